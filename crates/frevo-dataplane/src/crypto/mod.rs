//! Packet protection: signing ([MS-SMB2] 3.1.4.1) and sealing (3.1.4.3), both in place.

mod gcm;
mod nonces;
mod rc4;
mod sealing;
mod signing;

use std::sync::Arc;

pub use gcm::{Gcm, Provider};
pub use nonces::{MessageNonces, SignOnce};
pub use rc4::rc4;
pub use sealing::{Cipher, SealOnce, Sealing};
pub use signing::{Signer, SigningAlgorithm};

use crate::wire::TRANSFORM_BYTES;

/// A key or an algorithm that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadKey(pub &'static str);

/// What protects the messages of one session on one channel.
///
/// Signing keys differ per channel and belong to one connection each; the sealing half, with its nonces, is shared by all
/// channels of the session. A nonce is never used twice with one key, see `nonces.rs`.
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

    /// See [`Signer::claim`]: to be said before anything is signed.
    pub fn claim(&self, nonces: &MessageNonces) -> bool {
        self.signer.claim(nonces)
    }

    /// See [`Signer::sign`].
    #[must_use]
    pub fn sign(&self, message: &mut [u8], right: SignOnce) -> bool {
        self.signer.sign(message, right)
    }

    /// See [`Signer::sign_unchecked`]: not for the data plane.
    pub fn sign_unchecked(&self, message: &mut [u8]) {
        self.signer.sign_unchecked(message);
    }

    /// True when the Signature field is right. The message is unchanged afterwards.
    pub fn verify(&self, message: &mut [u8]) -> bool {
        self.signer.verify(message)
    }

    /// Seals `packet[52..]` in place and writes the transform header before it. False, and the packet as it was, without
    /// a cipher or when the key is used up.
    #[must_use]
    pub fn seal(&self, session_id: u64, packet: &mut [u8]) -> bool {
        self.sealing.as_ref().is_some_and(|sealing| sealing.seal(session_id, packet))
    }

    /// The right to seal one packet; None without a cipher or when the key is used up.
    pub fn seal_once(&self) -> Option<SealOnce> {
        Sealing::once(self.sealing.as_ref()?)
    }

    /// Unseals a packet that starts with a transform header; the message is `packet[52..]` when it returns true.
    pub fn unseal(&self, packet: &mut [u8]) -> bool {
        packet.len() > TRANSFORM_BYTES && self.sealing.as_ref().is_some_and(|s| s.unseal(packet))
    }
}
