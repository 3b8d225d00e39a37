//! Packet protection: signing ([MS-SMB2] 3.1.4.1) and sealing (3.1.4.3), both in place.

mod gcm;
mod rc4;
mod sealing;
mod signing;

use std::sync::Arc;

pub use gcm::{Gcm, Provider};
pub use rc4::rc4;
pub use sealing::{Cipher, Sealing};
pub use signing::{Signer, SigningAlgorithm};

use crate::wire::TRANSFORM_BYTES;

/// A key or an algorithm that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadKey(pub &'static str);

/// What protects the messages of one session on one channel.
///
/// Signing keys differ per channel, the sealing half (with its nonce counter) is shared by all channels of the
/// session: a nonce must never be used twice with one key.
#[derive(Debug)]
pub struct SessionKeys {
    signer: Signer,
    sealing: Option<Arc<Sealing>>,
    /// Unsigned plain requests are not answered by the fast path.
    pub signing_required: bool,
    /// Unsealed requests are not answered by the fast path.
    pub encryption_required: bool,
}

impl SessionKeys {
    /// Keys of a session's first channel; `sealing` is None before 3.0 or when no cipher was agreed.
    pub fn new(signer: Signer, sealing: Option<Sealing>, signing: bool, encryption: bool) -> SessionKeys {
        SessionKeys {
            signer,
            sealing: sealing.map(Arc::new),
            signing_required: signing,
            encryption_required: encryption,
        }
    }

    /// Keys of a further channel: another signing key, the same sealing keys and nonce counter.
    pub fn for_channel(&self, signer: Signer) -> SessionKeys {
        SessionKeys {
            signer,
            sealing: self.sealing.clone(),
            signing_required: self.signing_required,
            encryption_required: self.encryption_required,
        }
    }

    /// True when the session has sealing keys.
    pub fn can_seal(&self) -> bool {
        self.sealing.is_some()
    }

    /// Signs one message of at least 64 bytes: sets the SIGNED flag and fills the Signature field.
    pub fn sign(&self, message: &mut [u8]) {
        self.signer.sign(message);
    }

    /// True when the Signature field is right. The message is unchanged afterwards.
    pub fn verify(&self, message: &mut [u8]) -> bool {
        self.signer.verify(message)
    }

    /// Seals `packet[52..]` in place and writes the transform header before it. False without a cipher.
    pub fn seal(&self, session_id: u64, packet: &mut [u8]) -> bool {
        self.sealing.as_ref().is_some_and(|sealing| sealing.seal(session_id, packet))
    }

    /// Unseals a packet that starts with a transform header; the message is `packet[52..]` when it returns true.
    pub fn unseal(&self, packet: &mut [u8]) -> bool {
        packet.len() > TRANSFORM_BYTES && self.sealing.as_ref().is_some_and(|s| s.unseal(packet))
    }
}
