//! The way in: frames, decryption, compounds, signatures, the message-id window.

use std::mem::{self, MaybeUninit};

use super::answer::Request;
use super::pumping::Protected;
use super::{violation, Connection, Host, Role};
use crate::crypto::SignOnce;
use crate::event::{Event, Payload, Reason};
use crate::framing::{check_session_request, FrameKind};
use crate::stats::add;
use crate::wire::{
    element_end, flags, Header, TransformHeader, FRAME_BYTES, HEADER_BYTES, PROTOCOL_COMPRESSION,
    PROTOCOL_SMB1, PROTOCOL_SMB2, PROTOCOL_TRANSFORM, TRANSFORM_BYTES,
};

/// From here on an incomplete message is received straight into its own buffer.
const DIRECT_BYTES: usize = 16 * 1024;

/// What became of a message.
enum Verdict {
    /// It was answered here.
    Answered,
    /// The control plane gets it.
    Up(Up),
}

/// What the elements of a compound have told so far.
#[derive(Default)]
struct Seen {
    /// The element that is looked at.
    index: usize,
    /// Of the element, or of the one that it is related to.
    session_id: u64,
    bad_signatures: u64,
    unverified: u64,
    /// Bytes that the requests have paid for, and those that their answers may have.
    paid: usize,
    promised: usize,
    /// Answers to pumps.
    pumped: usize,
    /// To sign the answer to a request that stands alone.
    right: Option<SignOnce>,
}

struct Up {
    /// Where the message starts: behind the transform header or at 0.
    start: usize,
    session_id: u64,
    flags: u32,
    bad_signatures: u64,
    unverified: u64,
}

impl Connection {
    /// Takes received bytes, which it may overwrite. An error ends the connection.
    pub fn feed(&mut self, chunk: &mut [u8], host: &mut Host) -> Result<(), Reason> {
        add(&host.stats.bytes_received, chunk.len() as u64);
        if self.closing {
            return Ok(());
        }
        if !self.input.is_empty() {
            self.input.extend_from_slice(chunk);
            return self.resume(host);
        }
        let used = self.frames(chunk, host)?;
        self.keep(&chunk[used..]);
        Ok(())
    }

    /// Where to receive the rest of a large message; None: use a buffer of your own and [`Connection::feed`].
    pub fn direct(&mut self, host: &Host) -> Option<&mut [MaybeUninit<u8>]> {
        if self.closing || self.is_paused(&host.limits) {
            return None;
        }
        let wanted = match self.frame_bytes() {
            Some(size) => size,
            None => self.expected_frame()?,
        };
        let missing = wanted.checked_sub(self.input.len())?;
        if missing < DIRECT_BYTES {
            return None;
        }
        self.input.reserve(missing);
        Some(&mut self.input.spare_capacity_mut()[..missing])
    }

    /// Counts `count` bytes that were written to the start of [`Connection::direct`].
    ///
    /// # Safety
    /// Those bytes must be initialised and `direct` must have been the last call on this connection.
    pub unsafe fn direct_filled(&mut self, count: usize, host: &mut Host) -> Result<(), Reason> {
        add(&host.stats.bytes_received, count as u64);
        // SAFETY: the caller has initialised `count` bytes of the spare capacity.
        unsafe { self.input.set_len(self.input.len() + count) };
        self.resume(host)
    }

    /// Goes on with what is buffered, after a pause has ended or bytes were added.
    pub fn resume(&mut self, host: &mut Host) -> Result<(), Reason> {
        if self.closing || self.input.is_empty() {
            return Ok(());
        }
        if let Some(size) = self.frame_bytes().filter(|size| *size > self.input.len()) {
            return self.check_length(size - FRAME_BYTES, host);
        }
        let mut input = mem::take(&mut self.input);
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
        if !self.closing && (!input.is_empty() || input.capacity() <= 4096) {
            self.input = input;
        }
        Ok(())
    }

    /// True when an incomplete message has begun.
    pub fn has_partial(&self) -> bool {
        !self.input.is_empty()
    }

    /// Complete messages so far; a change shows progress.
    pub fn frame_count(&self) -> u64 {
        self.frames
    }

    /// Size with its transport header of the message at the front of the buffer, when known.
    pub fn frame_bytes(&self) -> Option<usize> {
        let header = self.input.get(..FRAME_BYTES)?.try_into().ok()?;
        match self.framing.parse(header)? {
            FrameKind::Message(length) | FrameKind::SessionRequest(length) => Some(FRAME_BYTES + length),
            FrameKind::SessionRefused => Some(FRAME_BYTES + 1),
            FrameKind::KeepAlive | FrameKind::SessionAccepted => Some(FRAME_BYTES),
        }
    }

    fn check_length(&self, length: usize, host: &Host) -> Result<(), Reason> {
        let limits = &host.limits;
        let limit = if self.settings.authenticated { limits.max_frame } else { limits.max_preauth_frame };
        // An encrypted message is larger by its transform header.
        if length > limit + TRANSFORM_BYTES {
            return Err(Reason::Owned(format!("message of {length} bytes is larger than the limit {limit}")));
        }
        Ok(())
    }

    fn is_one_message(&self, input: &[u8]) -> bool {
        let header = input.get(..FRAME_BYTES).and_then(|header| header.try_into().ok());
        matches!(header.and_then(|header| self.framing.parse(header)),
            Some(FrameKind::Message(length)) if length + FRAME_BYTES == input.len())
    }

    /// Stores the unused end of a received chunk.
    fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() || self.closing {
            return;
        }
        self.input.extend_from_slice(rest);
        // Room for all of a large message is made once, but only for clients that we know.
        if self.settings.authenticated {
            if let Some(size) = self.frame_bytes() {
                self.input.reserve_exact(size.saturating_sub(self.input.len()));
            }
        }
    }

    /// Handles the whole frames at the start of `bytes` and says how many bytes they were.
    fn frames(&mut self, bytes: &mut [u8], host: &mut Host) -> Result<usize, Reason> {
        let mut position = 0;
        while !self.closing && !self.is_paused(&host.limits) {
            let body = position + FRAME_BYTES;
            let Some(header) = bytes.get(position..body) else { break };
            let header = header.try_into().expect("four bytes");
            let Some(kind) = self.framing.parse(header) else {
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
            self.frames += 1;
            self.frame(kind, body, host)?;
        }
        Ok(position)
    }

    fn frame(&mut self, kind: FrameKind, body: &mut [u8], host: &mut Host) -> Result<(), Reason> {
        match (kind, self.role) {
            (FrameKind::Message(_), _) => match self.message(body, host)? {
                Verdict::Answered => {
                    self.keep_for_store(body, host);
                    Ok(())
                }
                Verdict::Up(up) => {
                    let payload = body[up.start..].to_vec();
                    self.report(Payload::new(payload, 0, self.flow.clone()), up, host);
                    Ok(())
                }
            },
            (FrameKind::KeepAlive, _) | (FrameKind::SessionAccepted, Role::Client) => Ok(()),
            (FrameKind::SessionRequest(_), Role::Server) => {
                self.session_request(body, host);
                Ok(())
            }
            (FrameKind::SessionRefused, Role::Client) => violation("NetBIOS session refused"),
            _ => violation("unexpected NetBIOS packet"),
        }
    }

    /// Handles a buffer that is exactly one message and gives it away without a copy.
    fn whole_message(&mut self, mut input: Vec<u8>, host: &mut Host) -> Result<(), Reason> {
        self.check_length(input.len() - FRAME_BYTES, host)?;
        self.frames += 1;
        match self.message(&mut input[FRAME_BYTES..], host)? {
            Verdict::Answered => self.answered(input, host),
            Verdict::Up(up) => {
                let start = FRAME_BYTES + up.start;
                self.report(Payload::new(input, start, self.flow.clone()), up, host);
            }
        }
        Ok(())
    }

    fn report(&mut self, payload: Payload, up: Up, host: &mut Host) {
        add(&host.stats.messages, 1);
        host.events.push(Event::Message {
            connection: self.id,
            session_id: up.session_id,
            flags: up.flags,
            payload,
            bad_signatures: up.bad_signatures,
            unverified: up.unverified,
        });
    }

    /// Reports a request that a worker could not answer, with the right to sign its answer.
    pub(super) fn report_request(
        &mut self,
        request: Vec<u8>,
        encrypted: Option<u64>,
        right: Option<SignOnce>,
        host: &mut Host,
    ) {
        if let Some(right) = right {
            self.nonces.keep(right);
        }
        if let Some(header) = Header::parse(&request) {
            self.expected_bytes += self.paid_bytes(header.credit_charge.get());
            self.promised_bytes += self.answer_bytes(&header);
        }
        let up = Up {
            start: 0,
            session_id: encrypted.unwrap_or(0),
            flags: if encrypted.is_some() { Event::ENCRYPTED } else { 0 },
            bad_signatures: 0,
            unverified: 0,
        };
        self.report(Payload::new(request, 0, self.flow.clone()), up, host);
    }

    /// [RFC 1002] 4.3.2: answers with 0x82, or with 0x83 and ends the connection.
    fn session_request(&mut self, names: &[u8], host: &mut Host) {
        match check_session_request(names) {
            Ok(()) => self.output.push_small(&[0x82, 0, 0, 0], &mut host.pool),
            Err(code) => {
                self.output.push_small(&[0x83, 0, 0, 1, code], &mut host.pool);
                self.close_after_output();
            }
        }
    }

    fn message(&mut self, frame: &mut [u8], host: &mut Host) -> Result<Verdict, Reason> {
        let Some(protocol) = frame.first_chunk::<4>() else {
            return violation("message without a protocol id");
        };
        match *protocol {
            PROTOCOL_SMB2 => self.packet(frame, None, host),
            PROTOCOL_TRANSFORM => self.encrypted(frame, host),
            PROTOCOL_SMB1 => self.smb1(),
            PROTOCOL_COMPRESSION => violation("compressed message although compression was not negotiated"),
            _ => violation("unknown protocol id"),
        }
    }

    /// An SMB1 NEGOTIATE may open the connection; it takes the message id 0 ([MS-SMB2] 3.3.5.3).
    fn smb1(&mut self) -> Result<Verdict, Reason> {
        if self.role == Role::Server {
            let Ok(first) = self.window.consume(0, 1) else {
                return violation("SMB1 message after the first");
            };
            let right = self.nonces.right(first);
            self.nonces.keep(right);
        }
        Ok(Verdict::Up(Up { start: 0, session_id: 0, flags: 0, bad_signatures: 0, unverified: 0 }))
    }

    /// [MS-SMB2] 3.3.5.2.1.1: what cannot be opened ends the connection.
    fn encrypted(&mut self, frame: &mut [u8], host: &mut Host) -> Result<Verdict, Reason> {
        if frame.len() < TRANSFORM_BYTES + HEADER_BYTES {
            return violation("encrypted message is too short");
        }
        let session_id = TransformHeader::of(frame).session_id.get();
        let Some(keys) = self.keys(session_id) else {
            return violation("encrypted message of an unknown session");
        };
        if !keys.decrypt(frame) {
            return violation("encrypted message cannot be decrypted");
        }
        add(&host.stats.decrypted, 1);
        let inner = &mut frame[TRANSFORM_BYTES..];
        if inner[..4] != PROTOCOL_SMB2 {
            return violation("encrypted message does not contain an SMB2 message");
        }
        self.packet(inner, Some(session_id), host)
    }

    /// Walks through the compound; hands it to the fast path or up.
    fn packet(
        &mut self,
        message: &mut [u8],
        encrypted: Option<u64>,
        host: &mut Host,
    ) -> Result<Verdict, Reason> {
        let (mut start, mut seen) = (0, Seen::default());
        let first = loop {
            let Some(header) = Header::parse(&message[start..]) else {
                return violation("malformed SMB2 header");
            };
            let Some(end) = element_end(message, start, header.next_command.get()) else {
                return violation("malformed compound");
            };
            self.element(&header, &mut message[start..end], encrypted, &mut seen, host)?;
            if header.next_command == 0 {
                break (seen.index == 0).then_some(header);
            }
            seen.index += 1;
            start = end;
            if seen.index >= host.limits.max_compound.min(64) {
                return violation("compound has too many elements");
            }
        };
        if self.role == Role::Client {
            self.feed_pumps(host);
        }
        if seen.pumped > seen.index {
            return Ok(Verdict::Answered);
        }
        if seen.pumped > 0 {
            return violation("one message with responses to requests that were not sent together");
        }
        if seen.bad_signatures != 0 {
            add(&host.stats.bad_signatures, 1);
        } else if let Some(header) = first {
            let request = Request { header, message, encrypted };
            let known = seen.unverified == 0;
            if let Some(done) = known.then(|| self.answer(&request, &mut seen.right, host)).flatten() {
                return done.map(|()| Verdict::Answered);
            }
        }
        if let Some(right) = seen.right {
            self.nonces.keep(right);
        }
        if self.role == Role::Server {
            self.expected_bytes += seen.paid;
            self.promised_bytes += seen.promised;
        }
        Ok(Verdict::Up(Up {
            start: if encrypted.is_some() { TRANSFORM_BYTES } else { 0 },
            session_id: encrypted.unwrap_or(0),
            flags: if encrypted.is_some() { Event::ENCRYPTED } else { 0 },
            bad_signatures: seen.bad_signatures,
            unverified: seen.unverified,
        }))
    }

    /// Checks one element of a compound and takes it into account.
    #[inline]
    fn element(
        &mut self,
        header: &Header,
        element: &mut [u8],
        encrypted: Option<u64>,
        seen: &mut Seen,
        host: &mut Host,
    ) -> Result<(), Reason> {
        let index = seen.index;
        // Of what stands alone and may be answered here it need not be kept before.
        match self.take_message_id(header, host)? {
            Some(right) if index > 0 || header.next_command != 0 => self.nonces.keep(right),
            right => seen.right = right,
        }
        if !header.is_cancel() {
            seen.paid += self.paid_bytes(header.credit_charge.get());
        }
        seen.promised += self.answer_bytes(header);
        if index > 0 && self.role == Role::Server && seen.promised > host.limits.max_bytes_in_flight {
            return violation("compound asks for more than one message holds");
        }
        if !(header.has(flags::RELATED_OPERATIONS) && index > 0) {
            seen.session_id = header.session_id.get();
        }
        if encrypted.is_none() && header.has(flags::SIGNED) {
            match self.keys(seen.session_id) {
                None => seen.unverified |= 1 << index,
                Some(keys) if keys.verify(element) => (),
                Some(_) => seen.bad_signatures |= 1 << index,
            }
        }
        if self.is_pumped(header.message_id.get()) {
            let (bad, unverified) =
                (seen.bad_signatures >> index & 1 != 0, seen.unverified >> index & 1 != 0);
            let can_defer = host.can_defer && index == 0 && header.next_command == 0;
            let protected = Protected { encrypted, bad, unverified, can_defer, now: host.now };
            self.pumped(header, element, &protected)?;
            seen.pumped += 1;
        } else if self.role == Role::Client && !header.is_interim() {
            self.nonces.answered(header.message_id.get());
        }
        Ok(())
    }

    /// [MS-SMB2] 3.3.5.2.3. CANCEL has the id of the request that it is about. Gives a server the right to sign one answer.
    fn take_message_id(&mut self, header: &Header, host: &mut Host) -> Result<Option<SignOnce>, Reason> {
        if self.role == Role::Client {
            self.granted(header.credits.get(), host);
        }
        if self.role == Role::Client || header.is_cancel() {
            return Ok(None);
        }
        let charge = if self.settings.multi_credit { header.credit_charge.get().max(1) } else { 1 };
        match self.window.consume(header.message_id.get(), charge) {
            Ok(first) => Ok(Some(self.nonces.right(first))),
            Err(refusal) => {
                let id = header.message_id;
                Err(Reason::Owned(format!("message id {id} with charge {charge}: {refusal:?}")))
            }
        }
    }
}
