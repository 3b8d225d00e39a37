//! What leaves: messages cut into segments.

use crc32c::crc32c_append;

use super::decoder::{trailer, TRAILER_BYTES};
use super::header::{Header, Operation, ReadRequest, Target, HEADER_BYTES};
use super::terminate::Terminate;
use crate::regions::Place;

/// What both ends agreed upon, and what this one chooses.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Data of one segment at most, from 64 to 65,500 bytes.
    pub segment_bytes: usize,
    /// RDMA READs of the peer that are answered at a time.
    pub incoming_reads: u16,
    /// RDMA READs outstanding at a time.
    pub outgoing_reads: u16,
    /// Segments have checksums.
    pub checks: bool,
    /// Both ends are on one machine: instead of the data of RDMA WRITEs and READs, their address is sent, and the
    /// receiver fetches them. No card knows this.
    pub by_reference: bool,
}

/// Where the data of an outgoing segment are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// The next bytes of the messages that were given to send.
    Message,
    /// In memory of this side.
    Memory(Place),
    /// In the segment itself.
    Own,
}

/// One segment to be sent: head, data, and `Outgoing::trailer`.
#[derive(Clone, Debug)]
pub struct Outgoing {
    head: [u8; HEADER_BYTES + ReadRequest::BYTES],
    head_bytes: usize,
    /// How many bytes of data are between head and trailer, and where.
    pub data: usize,
    /// Where they are.
    pub local: Local,
    /// The address of the data is sent instead of them, as 8 bytes in the order of the machine. They have to stay until
    /// `Completion::Fetched`.
    pub by_reference: bool,
    /// With this segment a work request is done: its number.
    pub done: Option<u64>,
    checks: bool,
    ulpdu: usize,
}

impl Outgoing {
    /// `own`: the data when the segment has them itself.
    pub(super) fn new(header: Header, local: Local, own: &[u8], done: Option<u64>, checks: bool) -> Outgoing {
        let mut head = [0; HEADER_BYTES + ReadRequest::BYTES];
        let first = head.first_chunk_mut().expect("longer than a header");
        let mut head_bytes = header.pack(first);
        let ulpdu = head_bytes + header.data;
        head[head_bytes..head_bytes + own.len()].copy_from_slice(own);
        head_bytes += own.len();
        let data = if local == Local::Own { 0 } else { header.data };
        Outgoing { head, head_bytes, data, local, by_reference: false, done, checks, ulpdu }
    }

    /// What precedes the data.
    pub fn head(&self) -> &[u8] {
        &self.head[..self.head_bytes]
    }

    /// What follows the data, and how long it is. `data`: its pieces, looked at only when there are checksums.
    pub fn trailer<'a>(&self, data: impl Iterator<Item = &'a [u8]>) -> ([u8; TRAILER_BYTES], usize) {
        let sum = self.checks.then(|| data.fold(crc32c_append(0, self.head()), crc32c_append));
        trailer(self.ulpdu, sum)
    }
}

/// A message that leaves in segments.
#[derive(Clone, Copy, Debug)]
pub(super) enum Message {
    Send {
        number: u32,
        invalidate: Option<u32>,
    },
    Write {
        tag: u32,
        offset: u64,
        memory: Place,
    },
    /// `source`: what the peer has asked for, which has to be there still.
    ReadResponse {
        sink: (u32, u64),
        source: (u32, u64),
        memory: Place,
    },
    ReadRequest {
        number: u32,
        request: ReadRequest,
    },
    /// A message of the peer was fetched.
    Fetched {
        number: u32,
    },
    Terminate(Terminate),
}

impl Message {
    /// Whether its data may be sent by reference.
    pub(super) fn is_tagged(&self) -> bool {
        matches!(self, Message::Write { .. } | Message::ReadResponse { .. })
    }
}

/// A message with what is left of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    pub(super) message: Message,
    pub(super) bytes: u64,
    pub(super) sent: u64,
    /// The number of the work request.
    pub(super) work: u64,
    /// The same when it is done as soon as it has left.
    pub(super) done: Option<u64>,
}

impl Work {
    /// The next segment of at most `limits.segment_bytes`, and whether it is the last one.
    pub(super) fn next(&mut self, limits: &Limits) -> (Outgoing, bool) {
        let data = (self.bytes - self.sent).min(limits.segment_bytes as u64);
        let at = self.sent;
        self.sent += data;
        let last = self.sent == self.bytes;
        let header = |operation, target| Header { operation, last, data: data as usize, target };
        let untagged =
            |queue, number, invalidated| Target::Untagged { queue, number, offset: at as u32, invalidated };
        let done = self.done.filter(|_| last);
        let mut segment = match self.message {
            Message::Send { number, invalidate } => {
                let operation = Operation::Send { invalidates: invalidate.is_some(), solicited: false };
                let target = untagged(0, number, invalidate.unwrap_or(0));
                Outgoing::new(header(operation, target), Local::Message, &[], done, limits.checks)
            }
            Message::Write { tag, offset, memory } => {
                let target = Target::Tagged { tag, offset: offset.wrapping_add(at) };
                let local = Local::Memory(Place { offset: memory.offset + at, ..memory });
                Outgoing::new(header(Operation::Write, target), local, &[], done, limits.checks)
            }
            Message::ReadResponse { sink: (tag, offset), memory, .. } => {
                let target = Target::Tagged { tag, offset: offset.wrapping_add(at) };
                let local = Local::Memory(Place { offset: memory.offset + at, ..memory });
                Outgoing::new(header(Operation::ReadResponse, target), local, &[], done, limits.checks)
            }
            Message::ReadRequest { number, request } => {
                let target = untagged(1, number, 0);
                let own = request.pack();
                Outgoing::new(header(Operation::ReadRequest, target), Local::Own, &own, done, limits.checks)
            }
            Message::Fetched { number } => {
                let target = untagged(3, number, 0);
                Outgoing::new(header(Operation::Fetched, target), Local::Own, &[], done, limits.checks)
            }
            Message::Terminate(terminate) => {
                let target = untagged(2, 1, 0);
                let own = terminate.pack();
                Outgoing::new(header(Operation::Terminate, target), Local::Own, &own, done, limits.checks)
            }
        };
        segment.by_reference = limits.by_reference && self.message.is_tagged() && data > 0;
        (segment, last)
    }
}
