//! The data of WRITEs, fetched from the memory of the client by RDMA READ ([MS-SMB2] 3.3.5.13).
//!
//! Nothing of a request is done, and no gate is entered, before all of its data are here. Then it is a WRITE like any other, with its
//! data behind it.

use std::ops::Range;

use frevo_rdma::provider::Memory;
use zerocopy::{FromBytes, IntoBytes};

use super::answer::{protection, Context, Request};
use super::remote::{make_plain, remote_elements, Owed, RemoteElement};
use super::{Asked, Server};
use crate::conn::arriving::Shown;
use crate::conn::common::Common;
use crate::conn::compound::Compound;
use crate::conn::input::{Up, Verdict};
use crate::conn::Host;
use crate::crypto::{Seal, SealKind, SignOnce, Unsealed};
use crate::event::Reason;
use crate::wire::{
    channel, command, ErrorResponse, Header, WriteRequest, CREDIT_BYTES, HEADER_BYTES,
    STATUS_AUTH_TAG_MISMATCH, STATUS_INVALID_SIGNATURE,
};
use crate::writing::WRITE_REQUEST_BYTES;

/// Elements of a message are numbered with so many bits.
const PART_BITS: u32 = 8;

/// A message that waits for the data of its WRITEs.
#[derive(Debug)]
pub(super) struct Fetch {
    /// The message, in pieces: each either there, or a WRITE with its data.
    parts: Vec<Part>,
    /// How many of them have not come.
    missing: usize,
    /// Bytes that are being fetched.
    bytes: usize,
    encrypted: Option<u64>,
    /// For the answer to a WRITE that stands alone.
    right: Option<SignOnce>,
    alone: bool,
    /// What the others of a compound ask for.
    paid: usize,
    promised: usize,
}

#[derive(Debug)]
enum Part {
    Here(Vec<u8>),
    /// A WRITE, with how its data are protected and by whose keys.
    Fetched {
        memory: Option<Memory>,
        seal: Option<Seal>,
        session_id: u64,
    },
}

impl Server {
    /// Makes a message, which is let in and is not answered here, one that has no channels. True: it waits for data. What is
    /// wrong stays as it is.
    pub(super) fn without_channels(
        &mut self,
        common: &mut Common,
        message: &mut [u8],
        encrypted: Option<u64>,
        asked: &mut Asked,
        host: &mut Host,
    ) -> bool {
        if common.direct.is_none() || !common.settings.authenticated {
            return false;
        }
        let elements = remote_elements(common, message, encrypted);
        let mut writes = Vec::new();
        for element in elements {
            let id = element.header.message_id.get();
            let right = asked.right_for_data(id).filter(|_| element.seal == Some(SealKind::Signed));
            let RemoteElement { range, header, session_id, info, seal } = element;
            self.owe(id, || Owed {
                places: if header.command == command::READ { info.places.clone() } else { Vec::new() },
                invalidate: info.invalidate,
                seal,
                right,
            });
            match header.command.get() {
                command::READ => make_plain(&mut message[range]),
                _ => writes.push(RemoteElement { range, header, session_id, info, seal }),
            }
        }
        // All of a compound is no more than one WRITE may be.
        let bytes: u64 = writes.iter().map(|write| u64::from(write.info.bytes)).sum();
        if writes.is_empty() || bytes > u64::from(common.settings.max_write) {
            return false;
        }
        self.fetch(common, message, encrypted, writes, asked, host);
        true
    }

    fn fetch(
        &mut self,
        common: &mut Common,
        message: &[u8],
        encrypted: Option<u64>,
        writes: Vec<RemoteElement>,
        asked: &mut Asked,
        host: &mut Host,
    ) {
        let number = self.remotes.fetched << PART_BITS;
        self.remotes.fetched += 1;
        let (mut parts, mut from, mut bytes, missing) = (Vec::new(), 0, 0, writes.len());
        for write in writes {
            let RemoteElement { range: Range { start, end }, header, session_id, info, .. } = write;
            if start > from {
                parts.push(Part::Here(message[from..start].to_vec()));
            }
            from = end;
            let length = info.bytes as usize;
            let mut memory = common.remote_memory(WRITE_REQUEST_BYTES + length, host);
            memory.fill(0, &plain_write(&message[start..end], &header, info.bytes));
            bytes += length;
            let work = number | parts.len() as u64;
            if let Some(direct) = &mut common.direct {
                direct.read(work, memory, WRITE_REQUEST_BYTES, &info.places);
            }
            parts.push(Part::Fetched { memory: None, seal: info.seal, session_id });
        }
        if from < message.len() {
            parts.push(Part::Here(message[from..].to_vec()));
        }
        self.deferred_bytes += bytes;
        let (alone, right) = (asked.alone.is_some(), asked.right.take());
        let (paid, promised) = (asked.paid, asked.promised);
        let fetch = Fetch { parts, missing, bytes, encrypted, right, alone, paid, promised };
        self.remotes.fetches.insert(number, fetch);
    }

    /// Whether data of WRITEs are on their way.
    #[cfg(test)]
    pub(in crate::conn) fn is_fetching(&self) -> bool {
        !self.remotes.fetches.is_empty()
    }

    /// The data of a WRITE are here.
    pub(in crate::conn) fn fetched(
        &mut self,
        common: &mut Common,
        work: u64,
        memory: Memory,
        host: &mut Host,
    ) -> Result<(), Reason> {
        let (number, index) =
            (work >> PART_BITS << PART_BITS, (work - (work >> PART_BITS << PART_BITS)) as usize);
        let Some(fetch) = self.remotes.fetches.get_mut(&number) else { return Ok(()) };
        if let Some(Part::Fetched { memory: place, .. }) = fetch.parts.get_mut(index) {
            *place = Some(memory);
            fetch.missing -= 1;
        }
        if fetch.missing > 0 {
            return Ok(());
        }
        let Some(mut fetch) = self.remotes.fetches.remove(&number) else { return Ok(()) };
        self.deferred_bytes = self.deferred_bytes.saturating_sub(fetch.bytes);
        if common.closing {
            return Ok(());
        }
        let opened = fetch.open(common);
        match (fetch.parts.pop(), fetch.alone) {
            (Some(Part::Fetched { memory: Some(memory), .. }), true) => {
                self.write_fetched(common, memory, fetch.encrypted, fetch.right, opened, host)
            }
            (Some(last), _) => {
                fetch.parts.push(last);
                self.expected_bytes += fetch.paid;
                self.promised_bytes += fetch.promised;
                let up = Up { start: 0, ..Up::new(fetch.encrypted, &Compound::default()) };
                common.report(fetch.whole(), 0, up, host);
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }

    /// Goes on with a WRITE that stands alone.
    fn write_fetched(
        &mut self,
        common: &mut Common,
        memory: Memory,
        encrypted: Option<u64>,
        mut right: Option<SignOnce>,
        opened: Result<(), Unsealed>,
        host: &mut Host,
    ) -> Result<(), Reason> {
        let header = *Header::of(memory.as_slice());
        if let Err(unsealed) = opened {
            if let Some(protection) = protection(common, &header, encrypted, false) {
                let body = ErrorResponse::new();
                let status = status_of(unsealed);
                self.respond(common, &header, status, body.as_bytes(), protection, right, host)?;
                return Ok(());
            }
        } else {
            let request = Request { header, message: memory.as_slice(), shown: Shown::Whole, encrypted };
            let context = &mut Context { common, request: &request, right: &mut right, host };
            match self.answer(context) {
                Some(Ok(Verdict::Later(job))) => {
                    host.jobs.push(job.with(memory.into_vec()));
                    return Ok(());
                }
                Some(done) => return done.map(drop),
                None => (),
            }
        }
        self.report_request(common, (memory.into_vec(), 0), encrypted, right, host);
        Ok(())
    }
}

impl Fetch {
    /// Decrypts all data, or checks their signatures. What is wrong gets a channel, so that whoever sees it refuses it.
    fn open(&mut self, common: &Common) -> Result<(), Unsealed> {
        let mut result = Ok(());
        for part in &mut self.parts {
            let Part::Fetched { memory: Some(memory), seal: Some(seal), session_id } = part else { continue };
            let (head, data) = memory.as_mut_slice().split_at_mut(WRITE_REQUEST_BYTES);
            let opened = match common.keys(*session_id) {
                Some(keys) => keys.unseal(seal, data),
                None => Err(Unsealed::Tag),
            };
            if opened.is_err() {
                if let Ok((write, _)) = WriteRequest::mut_from_prefix(&mut head[HEADER_BYTES..]) {
                    write.channel = channel::RDMA_TRANSFORM.into();
                }
                result = opened;
            }
        }
        result
    }

    /// All of it in one piece.
    fn whole(self) -> Vec<u8> {
        let mut message: Vec<u8> = Vec::new();
        for part in self.parts {
            match part {
                Part::Here(bytes) => message.extend_from_slice(&bytes),
                Part::Fetched { memory: Some(memory), .. } => {
                    let start = message.len();
                    message.extend_from_slice(memory.as_slice());
                    if Header::of(&message[start..]).next_command != 0 {
                        message.resize(message.len().next_multiple_of(8), 0);
                        let next = (message.len() - start) as u32;
                        Header::of_mut(&mut message[start..]).next_command = next.into();
                    }
                }
                Part::Fetched { memory: None, .. } => (),
            }
        }
        message
    }
}

/// The head of a WRITE that has no channel and `bytes` of data behind it. It is paid for: a request is charged for what it
/// has itself, which was nothing ([MS-SMB2] 3.3.5.2.5).
fn plain_write(element: &[u8], header: &Header, bytes: u32) -> Vec<u8> {
    let charge = header.credit_charge.get().max(bytes.div_ceil(CREDIT_BYTES).min(u32::from(u16::MAX)) as u16);
    let header = Header { credit_charge: charge.into(), ..*header };
    let before = WriteRequest::read_from_prefix(&element[HEADER_BYTES..]).map(|(write, _)| write);
    let write = WriteRequest {
        data_offset: (WRITE_REQUEST_BYTES as u16).into(),
        length: bytes.into(),
        channel: channel::NONE.into(),
        remaining_bytes: 0.into(),
        channel_info_offset: 0.into(),
        channel_info_length: 0.into(),
        ..before.unwrap_or_default()
    };
    [header.as_bytes(), write.as_bytes()].concat()
}

fn status_of(unsealed: Unsealed) -> u32 {
    match unsealed {
        Unsealed::Tag => STATUS_AUTH_TAG_MISMATCH,
        Unsealed::Signature => STATUS_INVALID_SIGNATURE,
    }
}
