//! The way out: credits, signatures, encryption and framing of what the control plane submits.

use super::protect::{sign, Protection};
use super::{violation, Connection, Role};
use crate::crypto::SignOnce;
use crate::event::Reason;
use crate::stats::{add, Stats};
use crate::wire::{command, element_end, flags, Header, HEADROOM_BYTES, PROTOCOL_SMB2, STATUS_PENDING};

/// Flag of a submission: encrypt it with the session's keys.
pub const ENCRYPT: u32 = 1;
/// Flag of a submission: close the connection once it is sent.
pub const CLOSE_AFTER: u32 = 2;

/// A message of the control plane.
#[derive(Debug)]
pub struct Submission {
    /// The session whose keys protect it, 0 for none.
    pub session_id: u64,
    /// [`ENCRYPT`], [`CLOSE_AFTER`].
    pub flags: u32,
    /// [`HEADROOM_BYTES`] bytes of room, then the message.
    pub packet: Vec<u8>,
}

impl Submission {
    /// A submission of the message that `parts` make together.
    pub fn new(session_id: u64, flags: u32, parts: &[&[u8]]) -> Submission {
        let size = parts.iter().map(|part| part.len()).sum::<usize>();
        let mut packet = Vec::with_capacity(HEADROOM_BYTES + size);
        packet.resize(HEADROOM_BYTES, 0);
        parts.iter().for_each(|part| packet.extend_from_slice(part));
        Submission { session_id, flags, packet }
    }
}

impl Connection {
    /// Protects, frames and queues a message. An error is a bug of the control plane and ends the connection.
    pub fn submit(&mut self, submission: Submission, stats: &Stats) -> Result<(), Reason> {
        if self.closing {
            return Ok(());
        }
        add(&stats.submitted, 1);
        let Submission { session_id, flags, mut packet } = submission;
        let encrypted = flags & ENCRYPT != 0;
        if self.role == Role::Client && !self.can_send(&packet[HEADROOM_BYTES..]) {
            return Ok(());
        }
        if packet[HEADROOM_BYTES..].starts_with(&PROTOCOL_SMB2) {
            self.finish_elements(&mut packet[HEADROOM_BYTES..], session_id, encrypted)?;
        }
        let protection = match self.keys(session_id) {
            _ if !encrypted => Protection::Plain, // the elements are signed each by itself
            Some(keys) => Protection::encrypted(session_id, keys)?,
            None => return violation("no keys to encrypt a message with"),
        };
        let start = HEADROOM_BYTES - protection.room();
        protection.finish(&mut packet[start..], self.framing, None)?;
        self.output.push(packet, start);
        if flags & CLOSE_AFTER != 0 {
            self.close_after_output();
        }
        Ok(())
    }

    /// A CANCEL is sent once, and not for what has been answered meanwhile.
    fn can_send(&self, message: &[u8]) -> bool {
        let header = Header::parse(message).filter(Header::is_cancel);
        header.is_none_or(|header| self.nonces.can_cancel(header.message_id.get()))
    }

    /// Grants the credits and makes the signature of every element of the compound.
    fn finish_elements(
        &mut self,
        message: &mut [u8],
        session_id: u64,
        encrypted: bool,
    ) -> Result<(), Reason> {
        let mut start = 0;
        loop {
            let header = Header::parse(&message[start..]);
            let ends = header.and_then(|h| Some((h, element_end(message, start, h.next_command.get())?)));
            let Some((header, end)) = ends else { return violation("submitted message is malformed") };
            let element = &mut message[start..end];
            if self.role == Role::Server {
                Header::of_mut(element).credits = self.credits_for(&header).into();
            }
            let interim = self.role == Role::Server && header.is_interim();
            let right = if interim { None } else { self.right(&header) };
            if header.has(flags::SIGNED) {
                if encrypted || interim {
                    Header::of_mut(element).flags = header.flags & !flags::SIGNED;
                } else {
                    self.sign_element(element, &header, session_id, right)?;
                }
            }
            if header.next_command == 0 {
                return Ok(());
            }
            start = end;
        }
    }

    /// [MS-SMB2] 3.3.1.2: what is asked within the limits; a client is never left without any.
    fn credits_for(&mut self, header: &Header) -> u16 {
        if header.message_id == u64::MAX {
            return 0; // a break notification answers nothing
        }
        // The credits of an asynchronous request came with its interim response.
        let final_async = header.has(flags::ASYNC_COMMAND) && header.status != STATUS_PENDING;
        if !final_async {
            let paid = self.paid_bytes(header.credit_charge.get());
            self.expected_bytes = self.expected_bytes.saturating_sub(paid);
        }
        if header.status != STATUS_PENDING {
            self.promised_bytes = self.promised_bytes.saturating_sub(self.answer_bytes(header));
        }
        self.window.grant(header.credits.get(), !final_async)
    }

    /// The right to sign this message; None when it was used, or there never was one. An interim response has none: the
    /// answer after it will be signed under the same id ([MS-SMB2] 3.3.4.2).
    fn right(&mut self, header: &Header) -> Option<SignOnce> {
        let id = header.message_id.get();
        match (self.role, header.command.get()) {
            (Role::Server, _) => self.nonces.answer(id),
            (Role::Client, command::CANCEL) => self.nonces.cancel(id),
            (Role::Client, _) => {
                let first = self.window.send(id, header.credit_charge.get().max(1)).ok()?;
                let right = self.nonces.right(first);
                self.nonces.allow_cancel(&right);
                Some(right)
            }
        }
    }

    /// Without keys the control plane has signed it itself. The elements of a compound may be of different sessions: each
    /// is signed with its own keys.
    fn sign_element(
        &self,
        element: &mut [u8],
        header: &Header,
        session_id: u64,
        right: Option<SignOnce>,
    ) -> Result<(), Reason> {
        let Some(keys) = self.keys(header.session_id.get()).or_else(|| self.keys(session_id)) else {
            return Ok(());
        };
        sign(keys, element, right)
    }
}
