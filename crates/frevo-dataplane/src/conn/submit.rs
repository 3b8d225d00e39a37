//! The way out of what the control plane submits: each element is taken into account and signed, the whole is encrypted
//! and framed.

use super::protect::{sign, Protection};
use super::{violation, Connection, Side};
use crate::buffer;
use crate::crypto::SignOnce;
use crate::event::Reason;
use crate::stats::{add, Stats};
use crate::wire::{element_end, flags, Header, HEADROOM_BYTES, PROTOCOL_SMB2};

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
        let size = parts.iter().map(|part| part.len()).sum();
        let mut submission = Submission::with_room(session_id, flags, size);
        parts.iter().for_each(|part| submission.packet.extend_from_slice(part));
        submission
    }

    /// A submission of a message of `size` bytes that is to be appended.
    pub fn with_room(session_id: u64, flags: u32, size: usize) -> Submission {
        let mut packet = buffer::room(HEADROOM_BYTES + size);
        packet.resize(HEADROOM_BYTES, 0);
        Submission { session_id, flags, packet }
    }
}

/// How an element leaves, if it is to be signed.
pub(super) enum Leave {
    /// With this right; None when it was used, or there never was one.
    SignedWith(Option<SignOnce>),
    /// Not signed after all.
    Unsigned,
}

impl Connection {
    /// Protects, frames and queues a message. An error is a bug of the control plane and ends the connection.
    pub fn submit(&mut self, submission: Submission, stats: &Stats) -> Result<(), Reason> {
        if self.common.closing {
            return Ok(());
        }
        add(&stats.submitted, 1);
        let Submission { session_id, flags, mut packet } = submission;
        let encrypted = flags & ENCRYPT != 0;
        if self.common.opaque {
            self.common.output.push(packet, HEADROOM_BYTES);
            return Ok(());
        }
        match &self.side {
            Side::Client(client) if !client.can_send(&packet[HEADROOM_BYTES..]) => return Ok(()),
            _ => (),
        }
        let mut invalidate = None;
        if packet[HEADROOM_BYTES..].starts_with(&PROTOCOL_SMB2) {
            if let Side::Server(server) = &mut self.side {
                let placed = server.place_answers(&mut self.common, packet)?;
                (packet, invalidate) = (placed.packet, placed.invalidate);
            }
            self.finish_elements(&mut packet[HEADROOM_BYTES..], session_id, encrypted)?;
        }
        let common = &mut self.common;
        let protection = match common.keys(session_id) {
            _ if !encrypted => Protection::Plain, // the elements are signed each by itself
            Some(keys) => Protection::encrypted(session_id, keys)?,
            None => return violation("no keys to encrypt a message with"),
        };
        let start = HEADROOM_BYTES - protection.room();
        protection.finish(&mut packet[start..], common.framing, None)?;
        common.output.push(packet, start);
        if let Some(token) = invalidate {
            common.invalidate_with_last(token);
        }
        if flags & CLOSE_AFTER != 0 {
            common.close_after_output();
        }
        Ok(())
    }

    /// Takes every element of the compound into account and makes its signature.
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
            let leave = match &mut self.side {
                Side::Server(server) => server.leave(&self.common, &header, element),
                Side::Client(client) => client.leave(&header),
            };
            if header.has(flags::SIGNED) {
                match leave {
                    Leave::SignedWith(right) if !encrypted => {
                        self.sign_element(element, &header, session_id, right)?;
                    }
                    _ => Header::of_mut(element).flags = header.flags & !flags::SIGNED,
                }
            }
            if header.next_command == 0 {
                return Ok(());
            }
            start = end;
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
        let keys = self.common.keys(header.session_id.get()).or_else(|| self.common.keys(session_id));
        keys.map_or(Ok(()), |keys| sign(keys, element, right))
    }
}
