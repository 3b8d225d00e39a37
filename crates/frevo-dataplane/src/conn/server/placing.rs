//! The data of READs, placed into the memory of the client by RDMA WRITE, ahead of their responses ([MS-SMB2] 3.3.5.12).

use std::sync::atomic::Ordering;

use frevo_rdma::provider::Memory;
use zerocopy::IntoBytes;

use super::answer::{count_read, Answered, Context};
use super::remote::{accepted, Owed};
use super::Server;
use crate::attached::Running;
use crate::conn::common::Common;
use crate::conn::input::Verdict;
use crate::conn::protect::Protection;
use crate::conn::{violation, Host};
use crate::crypto::{Seal, SealKind, SignOnce};
use crate::event::Reason;
use crate::fast::{Attempt, READ_RESPONSE_BYTES};
use crate::file_job::Work;
use crate::wire::{
    command, element_end, response_seal, Body, Header, ReadRequest, ReadResponse, HEADER_BYTES,
    HEADROOM_BYTES, RESPONSE_RDMA_TRANSFORM,
};

/// A submitted packet of which the data of READs were taken out.
pub(in crate::conn) struct Placed {
    pub(in crate::conn) packet: Vec<u8>,
    /// The token that ends with it.
    pub(in crate::conn) invalidate: Option<u32>,
}

impl Server {
    /// Keeps in mind where the data of a READ are to go. None: nobody can tell.
    pub(super) fn owe_read(&mut self, context: &mut Context) -> Option<()> {
        let Context { common, request, right, .. } = context;
        let header = &request.header;
        let session_id = header.session_id.get();
        let (info, seal) = accepted(common, header, session_id, request.message, request.encrypted)?;
        self.owe(header.message_id.get(), || Owed {
            places: info.places,
            invalidate: info.invalidate,
            right: right.as_mut().filter(|_| seal == Some(SealKind::Signed)).and_then(SignOnce::for_data),
            seal,
        });
        Some(())
    }

    /// A READ of an attached open, the data of which go to where the client wants them.
    pub(super) fn read_remotely(
        &mut self,
        context: &mut Context,
        read: &ReadRequest,
        protection: Protection,
        running: Running,
    ) -> Answered {
        let Context { common, request, right, host } = context;
        let (length, offset) = (read.length.get() as usize, read.offset.get());
        let open = running.open();
        let mut memory = common.remote_memory(length, host);
        let room = &mut memory.room()[..length];
        let attempt = match open.file.read_nowait(room, offset) {
            Attempt::WouldBlock if !host.can_defer => open.file.read_blocking(room, offset).into(),
            attempt => attempt,
        };
        match attempt {
            Attempt::Failed => None,
            Attempt::WouldBlock => {
                let work = Work::ReadTo { offset, length, memory };
                self.defer(common, request, work, running, right.take(), host);
                Some(Ok(Verdict::Answered))
            }
            Attempt::Done(count) if count < read.minimum_count.get() as usize => None,
            Attempt::Done(0) => {
                Some(self.end_of_file(common, &request.header, protection, right.take(), host))
            }
            Attempt::Done(count) => {
                // SAFETY: so many bytes were read into it just now.
                unsafe { memory.filled(0..count) };
                open.position.store(offset + count as u64, Ordering::Relaxed);
                count_read(count, host);
                let header = &request.header;
                let sent = self.answer_placed(common, header, memory, count, protection, right.take(), host);
                Some(sent.map(|()| Verdict::Answered))
            }
        }
    }

    /// Sends `count` bytes of memory to where a READ wants them, and queues its response.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn answer_placed(
        &mut self,
        common: &mut Common,
        request: &Header,
        memory: Memory,
        count: usize,
        protection: Protection,
        right: Option<SignOnce>,
        host: &mut Host,
    ) -> Result<(), Reason> {
        let mut owed =
            self.remotes.owed.get_mut(&request.message_id.get()).map(std::mem::take).unwrap_or_default();
        let invalidate = owed.invalidate.take();
        let session_id = request.session_id.get();
        let seal = place(common, session_id, &mut owed, fitting(memory, count), count)?;
        self.remotes.owed.insert(request.message_id.get(), Owed { invalidate, ..Owed::default() });
        let body = response_body(count, seal.as_ref());
        self.respond(common, request, 0, &body, protection, right, host)?;
        Ok(())
    }

    /// Takes the data of READs out of what the control plane answers, and sends them to where they are wanted.
    pub(in crate::conn) fn place_answers(
        &mut self,
        common: &mut Common,
        packet: Vec<u8>,
    ) -> Result<Placed, Reason> {
        if self.remotes.owed.is_empty() {
            return Ok(Placed { packet, invalidate: None });
        }
        let message = &packet[HEADROOM_BYTES..];
        let (mut start, mut invalidate, mut changed) = (0, None, Vec::new());
        let mut session_id = 0;
        while let Some(header) = Header::parse(&message[start..]) {
            let Some(end) = element_end(message, start, header.next_command.get()) else { break };
            let element = &message[start..end];
            if header.session_id != 0 && header.session_id != u64::MAX {
                session_id = header.session_id.get();
            }
            let owed =
                if header.is_interim() { None } else { self.remotes.owed.remove(&header.message_id.get()) };
            if let Some(mut owed) = owed {
                // One message ends one token: the client itself ends the others.
                invalidate = invalidate.or(owed.invalidate);
                if let Some(data) = read_data(element).filter(|_| !owed.places.is_empty()) {
                    let (memory, count) = (Memory::from(data.to_vec()), data.len());
                    let seal = place(common, session_id, &mut owed, memory, count)?;
                    let body = response_body(count, seal.as_ref());
                    changed.push((start..end, [&element[..HEADER_BYTES], &body].concat()));
                }
            }
            if header.next_command == 0 {
                break;
            }
            start = end;
        }
        let packet = if changed.is_empty() { packet } else { with_elements(&packet, changed) };
        Ok(Placed { packet, invalidate })
    }
}

/// The data of a READ response.
fn read_data(element: &[u8]) -> Option<&[u8]> {
    let body = ReadResponse::of(element)?;
    (Header::of(element).command == command::READ).then_some(())?;
    let start = usize::from(body.data_offset);
    element.get(start..start + body.data_length.get() as usize)
}

/// A packet with other bytes for some of its elements.
fn with_elements(packet: &[u8], changed: Vec<(std::ops::Range<usize>, Vec<u8>)>) -> Vec<u8> {
    let (mut made, message) = (packet[..HEADROOM_BYTES].to_vec(), &packet[HEADROOM_BYTES..]);
    let mut from = 0;
    for (range, mut element) in changed {
        made.extend_from_slice(&message[from..range.start]);
        if Header::of(&element).next_command != 0 {
            element.resize(element.len().next_multiple_of(8), 0);
            Header::of_mut(&mut element).next_command = (element.len() as u32).into();
        }
        made.extend_from_slice(&element);
        from = range.end;
    }
    made.extend_from_slice(&message[from..]);
    made
}

/// Memory for the `count` bytes that were read into some: what waits for the client is counted by its bytes, and little of the end
/// of a file must not keep a lot.
fn fitting(memory: Memory, count: usize) -> Memory {
    match memory.len() / 4 > count {
        true => Memory::from(memory.as_slice()[..count].to_vec()),
        false => memory,
    }
}

/// Protects `count` bytes of memory, and sends them.
fn place(
    common: &mut Common,
    session_id: u64,
    owed: &mut Owed,
    mut memory: Memory,
    count: usize,
) -> Result<Option<Seal>, Reason> {
    let data = memory.as_mut_slice().get_mut(..count);
    let seal = match (owed.seal, common.keys(session_id), data) {
        (None, ..) => None,
        (Some(SealKind::Encrypted), Some(keys), Some(data)) => keys.encrypt_data(data),
        (Some(SealKind::Signed), Some(keys), Some(data)) => {
            owed.right.take().and_then(|right| keys.sign_data(data, right))
        }
        _ => None,
    };
    if seal.is_none() && owed.seal.is_some() {
        return violation("the data of a response cannot be protected");
    }
    if owed.places.iter().map(|place| u64::from(place.bytes)).sum::<u64>() < count as u64 {
        return violation("more data than a READ has room for");
    }
    if let Some(direct) = &mut common.direct {
        direct.write(memory, 0, count, &owed.places);
    }
    Ok(seal)
}

/// The body of the response to a READ whose `count` bytes were placed.
fn response_body(count: usize, seal: Option<&Seal>) -> Vec<u8> {
    let buffer = seal.map(response_seal).unwrap_or_default();
    let body = ReadResponse {
        data_offset: READ_RESPONSE_BYTES as u8,
        data_length: (buffer.len() as u32).into(),
        data_remaining: (count as u32).into(),
        reserved2: if seal.is_some() { RESPONSE_RDMA_TRANSFORM } else { 0 }.into(),
        ..ReadResponse::new()
    };
    [body.as_bytes(), &buffer].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_that_was_read_keeps_little_memory() {
        let large = 65_536;
        for (bytes, count, kept) in [(8 << 20, 100, 100), (large, 16_383, 16_383), (large, 16_384, large)] {
            let mut memory = Memory::new(Vec::with_capacity(bytes), bytes, drop);
            memory.fill(0, &vec![7; count]);
            let fitting = fitting(memory, count);
            assert_eq!((fitting.len(), fitting.as_slice()), (kept, &vec![7; count][..]));
        }
    }
}
