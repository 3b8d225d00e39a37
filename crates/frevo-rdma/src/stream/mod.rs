//! RDMA over a byte stream: iWARP, which cards speak, too, and its variant for two processes of one machine.
//!
//! `Stream` is a `Provider`. Received bytes are given to it (`next`, `room`), and what it wants to send is taken from it (`flush`,
//! `take`); it does neither itself. Between neighbours on one machine the data of RDMA WRITEs and READs are not sent, but fetched by
//! whoever receives them (`Neighbour`).

mod memories;
mod posting;
mod receiving;
mod startup;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::iwarp::{Endpoint, Limits, Side};
use crate::memory::Memory;
use crate::provider::Ended;
use memories::Memories;
use startup::Startup;
pub use startup::NONCE_BYTES;
pub use wire::Leaving;
use wire::Wire;

/// What one end of a stream is to be.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Which end it is.
    pub side: Side,
    /// Segments have checksums, whatever the peer wants. They have them, too, if the peer wants them.
    pub checks: bool,
    /// Data of one segment at most, from 64 to 65,500 bytes.
    pub segment_bytes: usize,
    /// RDMA READs of the peer that are answered at a time.
    pub incoming_reads: u16,
    /// RDMA READs outstanding at a time, if the peer takes so many.
    pub outgoing_reads: u16,
    /// How long an initiator waits before its first message.
    pub patience: Duration,
}

impl Settings {
    /// The usual ones of a side.
    pub fn new(side: Side) -> Settings {
        Settings {
            side,
            checks: false,
            segment_bytes: 65_472,
            incoming_reads: 16,
            outgoing_reads: 16,
            patience: Duration::ZERO,
        }
    }
}

/// The process at the other end of a stream, on the same machine.
pub trait Neighbour: fmt::Debug + Send {
    /// Random bytes, and where they are in the memory of this process for as long as this exists.
    fn hello(&self) -> (u64, [u8; NONCE_BYTES]);

    /// The same of the peer. Whether its memory can be read: the nonce is where it says.
    fn meet(&mut self, address: u64, nonce: [u8; NONCE_BYTES]) -> bool;

    /// Copies `bytes` at an address of the peer. An error says why not, and ends the connection.
    ///
    /// # Safety
    /// There is room for them at `to`.
    unsafe fn fetch(&self, address: u64, to: NonNull<u8>, bytes: usize) -> Result<(), String>;
}

/// A message whose data could not leave at once.
#[derive(Debug)]
struct Waiting {
    pieces: VecDeque<Bytes>,
}

/// What a work request is of.
#[derive(Clone, Copy, Debug)]
enum Work {
    /// A message, or a part of a transfer that is not its last one.
    Nothing,
    /// The last part of a WRITE of so many bytes out of this memory.
    Write { memory: u64, bytes: usize },
    /// The last part of a READ.
    Read { work: u64, memory: u64, tag: u32 },
}

/// One end of a connection over a byte stream.
#[derive(Debug)]
pub struct Stream {
    settings: Settings,
    neighbour: Option<Box<dyn Neighbour>>,
    /// Until the connection has begun.
    startup: Option<Startup>,
    /// An initiator says nothing before.
    silent_until: Option<Instant>,
    by_reference: bool,
    endpoint: Endpoint,
    memories: Memories,
    works: Works,
    /// Messages in the order of their work requests, as far as they have not left.
    waiting: VecDeque<Waiting>,
    wire: Wire,
    /// READs of nothing, which are over at once.
    over: VecDeque<(u64, Memory)>,
    /// The message that comes in, unless it stands in the received bytes at `in_place`.
    message: Vec<u8>,
    /// It is whole, and was handed out.
    complete: bool,
    in_place: Option<Range<usize>>,
    /// Much data comes for memory: what is between is received alone, so that the data can be received in their place.
    bulk: bool,
    /// That what is between.
    between: Vec<u8>,
    ended: Option<Ended>,
    closing: bool,
    /// Bytes of messages and WRITEs that have not left.
    held: usize,
    moved: (u64, u64),
}

/// Work requests by number.
#[derive(Debug, Default)]
struct Works {
    slots: Vec<Work>,
    free: Vec<usize>,
}

impl Works {
    /// Number of requests that need no end.
    const NOTHING: u64 = 0;

    fn add(&mut self, work: Work) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Work::Nothing);
            self.slots.len() - 1
        });
        self.slots[index] = work;
        index as u64 + 1
    }

    fn take(&mut self, number: u64) -> Work {
        if number == Works::NOTHING {
            return Work::Nothing;
        }
        self.free.push(number as usize - 1);
        std::mem::replace(&mut self.slots[number as usize - 1], Work::Nothing)
    }
}

impl Stream {
    /// The end of a stream on which nothing was sent. `neighbour`: the peer is a process of this machine.
    pub fn new(settings: Settings, neighbour: Option<Box<dyn Neighbour>>) -> Stream {
        let (startup, first) = Startup::new(&settings, neighbour.as_deref());
        let mut wire = Wire::default();
        if !first.is_empty() {
            wire.copy(&first);
        }
        Stream {
            settings,
            neighbour,
            startup: Some(startup),
            silent_until: None,
            by_reference: false,
            endpoint: Endpoint::new(Limits {
                segment_bytes: settings.segment_bytes,
                incoming_reads: settings.incoming_reads,
                outgoing_reads: settings.outgoing_reads,
                checks: settings.checks,
                by_reference: false,
            }),
            memories: Memories::default(),
            works: Works::default(),
            waiting: VecDeque::new(),
            wire,
            over: VecDeque::new(),
            message: Vec::new(),
            complete: false,
            in_place: None,
            bulk: false,
            between: Vec::new(),
            ended: None,
            closing: false,
            held: 0,
            moved: (0, 0),
        }
    }

    /// Whether it has begun: what MPA, or neighbours, say first has been said.
    pub fn has_begun(&self) -> bool {
        self.startup.is_none()
    }

    /// Whether data of RDMA WRITEs and READs are fetched instead of sent.
    pub fn is_by_reference(&self) -> bool {
        self.by_reference
    }

    /// When `flush` has something to do, if that is only a question of time.
    pub fn due(&self) -> Option<Instant> {
        self.silent_until
    }

    /// Whether the peer has begun something and not ended it.
    pub fn is_inside(&self) -> bool {
        self.startup.is_some()
            || self.endpoint.is_inside_segment()
            || !self.message.is_empty() && !self.complete
    }

    /// Bytes that are to be taken.
    pub fn leaving(&self) -> usize {
        self.wire.len()
    }

    /// The next bytes to send.
    pub fn take(&mut self) -> Option<Leaving> {
        self.wire.take()
    }

    /// An empty buffer, which is used next for small things that leave.
    pub fn lend(&mut self, spare: Vec<u8>) {
        self.wire.lend(spare);
    }

    /// The buffer that was lent, if it was not used.
    pub fn reclaim(&mut self) -> Option<Vec<u8>> {
        self.wire.reclaim()
    }

    fn end(&mut self, why: String) -> Ended {
        self.ended.get_or_insert(Ended(why)).clone()
    }
}
