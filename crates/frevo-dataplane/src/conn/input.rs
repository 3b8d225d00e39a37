//! The way in: received bytes become frames, and frames messages, which go to the side that they are for.

use std::mem;

use super::arriving::{Arrival, Shown};
use super::compound::Compound;
use super::{violation, Connection, Host, Side};
use crate::event::{Event, Reason};
use crate::file_job::FileJob;
use crate::framing::FrameKind;
use crate::stats::add;
use crate::wire::{
    FRAME_BYTES, PROTOCOL_COMPRESSION, PROTOCOL_SMB1, PROTOCOL_SMB2, PROTOCOL_TRANSFORM, TRANSFORM_BYTES,
};

/// What became of a message.
pub(super) enum Verdict {
    /// It was answered here.
    Answered,
    /// A worker does what it asks, and takes it.
    Later(Box<FileJob>),
    /// The control plane gets it.
    Up(Up),
}

/// What the control plane is told about a message.
pub(super) struct Up {
    /// Where the message starts: behind the transform header or at 0.
    pub(super) start: usize,
    pub(super) session_id: u64,
    pub(super) flags: u32,
    pub(super) bad_signatures: u64,
    pub(super) unverified: u64,
}

impl Up {
    /// About a message with the SessionId of its transform header, if it has one.
    pub(super) fn new(encrypted: Option<u64>, found: &Compound) -> Up {
        Up {
            start: if encrypted.is_some() { TRANSFORM_BYTES } else { 0 },
            session_id: encrypted.unwrap_or(0),
            flags: if encrypted.is_some() { Event::ENCRYPTED } else { 0 },
            bad_signatures: found.bad_signatures,
            unverified: found.unverified,
        }
    }
}

impl Connection {
    /// Takes received bytes, which it may overwrite. An error ends the connection.
    pub fn feed(&mut self, chunk: &mut [u8], host: &mut Host) -> Result<(), Reason> {
        add(&host.stats.bytes_received, chunk.len() as u64);
        if self.common.direct.is_some() {
            return self.feed_direct(chunk, host);
        }
        if self.common.closing {
            return Ok(());
        }
        if self.common.opaque {
            self.common.frames += 1;
            let up = Up::new(None, &Compound::default());
            self.common.report(chunk.to_vec(), 0, up, host);
            return Ok(());
        }
        if !self.common.input.is_empty() {
            self.copy_arrived()?;
            self.common.input.extend_from_slice(chunk);
            return self.resume(host);
        }
        let used = self.frames(chunk, host)?;
        self.keep(&chunk[used..], host);
        Ok(())
    }

    /// Counts `count` bytes that were written to the start of what [`Connection::room`] gave.
    ///
    /// # Safety
    /// Those bytes must be initialised and `room` must have been the last call on this connection.
    pub unsafe fn direct_filled(&mut self, count: usize, host: &mut Host) -> Result<(), Reason> {
        add(&host.stats.bytes_received, count as u64);
        if self.common.direct.is_some() {
            // SAFETY: the same is asked of the caller.
            unsafe { self.direct_room_filled(count) };
            return self.feed_direct(&mut [], host);
        }
        if let Some(result) = self.slot_filled(count, host) {
            return result;
        }
        // SAFETY: the caller has initialised `count` bytes of the spare capacity.
        unsafe { self.common.input.set_len(self.common.input.len() + count) };
        self.resume(host)
    }

    /// Goes on with what is buffered, after a pause has ended or bytes were added.
    pub fn resume(&mut self, host: &mut Host) -> Result<(), Reason> {
        if self.common.direct.is_some() {
            return self.resume_direct(host);
        }
        if self.common.closing || self.common.input.is_empty() {
            return Ok(());
        }
        if let Some(size) = self.frame_bytes().filter(|size| *size > self.common.input.len()) {
            return self.check_length(size - FRAME_BYTES, host);
        }
        self.common.arrival = Arrival::default();
        let mut input = mem::take(&mut self.common.input);
        if self.is_one_message(&input) && !self.is_paused(&host.limits) {
            return self.whole_message(input, host);
        }
        let used = self.frames(&mut input, host)?;
        if used == input.len() {
            input.clear();
        } else {
            input.drain(..used);
        }
        // A large buffer is not kept for a connection that has nothing in it.
        if !self.common.closing && (!input.is_empty() || input.capacity() <= 4096) {
            self.common.input = input;
        } else {
            host.pool.put(input);
        }
        Ok(())
    }

    /// True when an incomplete message has begun.
    pub fn has_partial(&self) -> bool {
        !self.common.input.is_empty() || self.common.direct.as_ref().is_some_and(|direct| direct.is_inside())
    }

    /// Complete messages so far; a change shows progress.
    pub fn frame_count(&self) -> u64 {
        self.common.frames
    }

    /// What grows with everything of use that comes: messages, and data that RDMA brings.
    pub fn progress(&self) -> u64 {
        self.common.frames + self.common.direct.as_ref().map_or(0, |direct| direct.brought())
    }

    /// Size with its transport header of the message at the front of the buffer, when known.
    pub fn frame_bytes(&self) -> Option<usize> {
        if let Some(direct) = &self.common.direct {
            return direct.expected();
        }
        let header = self.common.input.get(..FRAME_BYTES)?.try_into().ok()?;
        match self.common.framing.parse(header)? {
            FrameKind::Message(length) | FrameKind::SessionRequest(length) => Some(FRAME_BYTES + length),
            FrameKind::SessionRefused => Some(FRAME_BYTES + 1),
            FrameKind::KeepAlive | FrameKind::SessionAccepted => Some(FRAME_BYTES),
        }
    }

    /// Bytes of the largest message; an encrypted one is larger by its transform header.
    pub(super) fn message_limit(&self, host: &Host) -> usize {
        let limits = &host.limits;
        if self.common.settings.authenticated {
            limits.max_frame
        } else {
            limits.max_preauth_frame
        }
    }

    pub(super) fn check_length(&self, length: usize, host: &Host) -> Result<(), Reason> {
        let limit = self.message_limit(host);
        if length > limit + TRANSFORM_BYTES {
            return Err(Reason::Owned(format!("message of {length} bytes is larger than the limit {limit}")));
        }
        Ok(())
    }

    fn is_one_message(&self, input: &[u8]) -> bool {
        let header = input.get(..FRAME_BYTES).and_then(|header| header.try_into().ok());
        matches!(header.and_then(|header| self.common.framing.parse(header)),
            Some(FrameKind::Message(length)) if length + FRAME_BYTES == input.len())
    }

    /// Stores the unused end of a received chunk.
    fn keep(&mut self, rest: &[u8], host: &mut Host) {
        if rest.is_empty() || self.common.closing {
            return;
        }
        self.common.input.extend_from_slice(rest);
        // Room for all of a large message is made once, but only for clients that we know.
        if self.common.settings.authenticated {
            if let Some(size) = self.frame_bytes() {
                self.make_room(size, host);
            }
        }
    }

    /// Handles the whole frames at the start of `bytes` and says how many bytes they were.
    fn frames(&mut self, bytes: &mut [u8], host: &mut Host) -> Result<usize, Reason> {
        let mut position = 0;
        while !self.common.closing && !self.is_paused(&host.limits) {
            let body = position + FRAME_BYTES;
            let Some(header) = bytes.get(position..body) else { break };
            let header = header.try_into().expect("four bytes");
            let Some(kind) = self.common.framing.parse(header) else {
                return violation("malformed transport header");
            };
            let length = match kind {
                FrameKind::Message(length) | FrameKind::SessionRequest(length) => length,
                FrameKind::SessionRefused => 1,
                FrameKind::KeepAlive | FrameKind::SessionAccepted => 0,
            };
            self.check_length(length, host)?;
            let Some(body) = bytes.get_mut(body..body + length) else { break };
            position += FRAME_BYTES + length;
            self.common.complete(FRAME_BYTES + length);
            self.frame(kind, body, host)?;
        }
        Ok(position)
    }

    fn frame(&mut self, kind: FrameKind, body: &mut [u8], host: &mut Host) -> Result<(), Reason> {
        match (kind, &mut self.side) {
            (FrameKind::Message(_), _) => return self.message_in(body, host),
            (FrameKind::KeepAlive, _) | (FrameKind::SessionAccepted, Side::Client(_)) => (),
            (FrameKind::SessionRequest(_), Side::Server(server)) => {
                server.session_request(&mut self.common, body, host);
            }
            (FrameKind::SessionRefused, Side::Client(_)) => return violation("NetBIOS session refused"),
            _ => return violation("unexpected NetBIOS packet"),
        }
        Ok(())
    }

    /// Handles a message in a buffer that belongs to others.
    pub(super) fn message_in(&mut self, body: &mut [u8], host: &mut Host) -> Result<(), Reason> {
        if self.common.opaque {
            self.pass_on([&[0; FRAME_BYTES], &*body].concat(), host);
            return Ok(());
        }
        match (self.message(body, Shown::Whole, host)?, &mut self.side) {
            (Verdict::Answered, Side::Server(_)) => (),
            (Verdict::Answered, Side::Client(client)) => client.keep_for_store(body, host),
            (Verdict::Later(job), _) => host.jobs.push(job.with(body.to_vec())),
            (Verdict::Up(up), _) => self.common.report(body[up.start..].to_vec(), 0, up, host),
        }
        Ok(())
    }

    /// Handles a buffer that is exactly one message and gives it away without a copy.
    pub(super) fn whole_message(&mut self, mut input: Vec<u8>, host: &mut Host) -> Result<(), Reason> {
        self.check_length(input.len() - FRAME_BYTES, host)?;
        self.common.complete(input.len());
        if self.common.opaque {
            self.pass_on(input, host);
            return Ok(());
        }
        match (self.message(&mut input[FRAME_BYTES..], Shown::Whole, host)?, &mut self.side) {
            (Verdict::Answered, Side::Server(_)) => host.pool.put(input),
            (Verdict::Answered, Side::Client(client)) => client.answered(input, host),
            (Verdict::Later(job), _) => host.jobs.push(job.with(input)),
            (Verdict::Up(up), _) => self.common.report(input, FRAME_BYTES + up.start, up, host),
        }
        Ok(())
    }

    /// Reports a message whose contents do not matter here, framed as over TCP.
    fn pass_on(&mut self, mut message: Vec<u8>, host: &mut Host) {
        let length = (message.len() - FRAME_BYTES) as u32;
        message[..FRAME_BYTES].copy_from_slice(&length.to_be_bytes());
        self.common.report(message, 0, Up::new(None, &Compound::default()), host);
    }

    pub(super) fn message(
        &mut self,
        frame: &mut [u8],
        shown: Shown,
        host: &mut Host,
    ) -> Result<Verdict, Reason> {
        let Some(protocol) = frame.first_chunk::<4>() else {
            return violation("message without a protocol id");
        };
        let (message, encrypted) = match *protocol {
            PROTOCOL_SMB2 => (frame, None),
            PROTOCOL_TRANSFORM => {
                let session_id = self.common.decrypt(frame, host)?;
                (&mut frame[TRANSFORM_BYTES..], Some(session_id))
            }
            PROTOCOL_SMB1 => {
                if let Side::Server(server) = &mut self.side {
                    server.smb1()?;
                }
                return Ok(Verdict::Up(Up::new(None, &Compound::default())));
            }
            PROTOCOL_COMPRESSION => {
                return violation("compressed message although compression was not negotiated");
            }
            _ => return violation("unknown protocol id"),
        };
        match &mut self.side {
            Side::Server(server) => server.packet(&mut self.common, message, shown, encrypted, host),
            Side::Client(client) => client.packet(&mut self.common, message, encrypted, host),
        }
    }
}
