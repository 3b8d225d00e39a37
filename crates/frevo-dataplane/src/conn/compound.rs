//! The elements of a message that came in, each with its signature checked.

use super::common::Common;
use super::violation;
use crate::event::Reason;
use crate::wire::{element_end, flags, Header};

/// One request or response of a message.
pub(super) struct Element<'a> {
    pub(super) header: Header,
    pub(super) bytes: &'a [u8],
    /// Its place in the message, from 0.
    pub(super) index: usize,
    /// Its signature is wrong.
    pub(super) bad: bool,
    /// It is signed, and the keys are not known here.
    pub(super) unverified: bool,
}

impl Element<'_> {
    /// True if there is no other one in its message.
    pub(super) fn is_alone(&self) -> bool {
        self.index == 0 && self.header.next_command == 0
    }
}

/// What was found in a message.
#[derive(Default)]
pub(super) struct Compound {
    /// Its elements.
    pub(super) count: usize,
    /// A bit for each element whose signature is wrong.
    pub(super) bad_signatures: u64,
    /// A bit for each signed element whose keys are not known here.
    pub(super) unverified: u64,
}

impl Common {
    /// Walks through a message of at most `max` elements and shows each one to `look`. An error ends the connection.
    #[inline]
    pub(super) fn walk(
        &self,
        message: &mut [u8],
        encrypted: bool,
        max: usize,
        mut look: impl FnMut(&Element) -> Result<(), Reason>,
    ) -> Result<Compound, Reason> {
        let (mut start, mut found, mut session_id) = (0, Compound::default(), 0);
        loop {
            let Some(header) = Header::parse(&message[start..]) else {
                return violation("malformed SMB2 header");
            };
            let Some(end) = element_end(message, start, header.next_command.get()) else {
                return violation("malformed compound");
            };
            let (index, bytes) = (found.count, &mut message[start..end]);
            if index == 0 || !header.has(flags::RELATED_OPERATIONS) {
                session_id = header.session_id.get();
            }
            let (mut bad, mut unverified) = (false, false);
            if !encrypted && header.has(flags::SIGNED) {
                match self.keys(session_id) {
                    None => unverified = true,
                    Some(keys) => bad = !keys.verify(bytes),
                }
            }
            found.bad_signatures |= u64::from(bad) << index;
            found.unverified |= u64::from(unverified) << index;
            look(&Element { header, bytes, index, bad, unverified })?;
            found.count += 1;
            if header.next_command == 0 {
                return Ok(found);
            }
            start = end;
            if found.count >= max.min(64) {
                return violation("compound has too many elements");
            }
        }
    }
}
