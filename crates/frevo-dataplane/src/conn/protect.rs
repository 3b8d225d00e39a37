//! The way out of one message: it is signed or encrypted, and gets its transport header. Requests of pumps, answers of the
//! fast path and messages of the control plane all go through [`Protection::finish`].

use std::sync::Arc;

use super::violation;
use crate::crypto::{EncryptOnce, SessionKeys, SignOnce};
use crate::event::Reason;
use crate::framing::Framing;
use crate::wire::{FRAME_BYTES, TRANSFORM_BYTES};

/// How a message is protected.
pub(super) enum Protection {
    Plain,
    Signed(Arc<SessionKeys>),
    /// SessionId of the transform header, and the right to one packet.
    Encrypted(u64, EncryptOnce),
}

impl Protection {
    /// Encryption with the keys of a session.
    pub(super) fn encrypted(session_id: u64, keys: &SessionKeys) -> Result<Protection, Reason> {
        match keys.encrypt_once() {
            Some(once) => Ok(Protection::Encrypted(session_id, once)),
            None => violation("the session has no cipher, or has used up its nonces"),
        }
    }

    /// Bytes before the SMB2 header.
    pub(super) fn room(&self) -> usize {
        room(matches!(self, Protection::Encrypted(..)))
    }

    /// Signs or encrypts a message and writes its transport header. `frame` is the message behind [`Protection::room`]; `right`
    /// is what it may be signed with. After an error it must not be sent.
    pub(super) fn finish(
        self,
        frame: &mut [u8],
        framing: Framing,
        right: Option<SignOnce>,
    ) -> Result<(), Reason> {
        finish_plain(frame, 0, framing)?;
        let message = &mut frame[FRAME_BYTES..];
        match self {
            Protection::Plain => (),
            Protection::Signed(keys) => sign(&keys, message, right)?,
            Protection::Encrypted(session_id, once) => once.encrypt(session_id, message),
        }
        Ok(())
    }
}

/// Writes the transport header of a plain message of which `following` bytes are somewhere else, behind `frame`.
pub(super) fn finish_plain(frame: &mut [u8], following: usize, framing: Framing) -> Result<(), Reason> {
    let (header, message) = frame.split_at_mut(FRAME_BYTES);
    let Some(length) = framing.header(message.len() + following) else {
        return violation("a message is too large for the transport");
    };
    header.copy_from_slice(&length);
    Ok(())
}

/// Bytes before the SMB2 header of a message that is encrypted or not.
pub(super) fn room(encrypted: bool) -> usize {
    FRAME_BYTES + if encrypted { TRANSFORM_BYTES } else { 0 }
}

/// Signs a message, or one element of a compound.
pub(super) fn sign(keys: &SessionKeys, message: &mut [u8], right: Option<SignOnce>) -> Result<(), Reason> {
    match right.is_some_and(|right| keys.sign(message, right)) {
        true => Ok(()),
        false => violation("a message must not be signed: its message id was already used to sign"),
    }
}
