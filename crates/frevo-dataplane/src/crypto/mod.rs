//! Packet protection: signing ([MS-SMB2] 3.1.4.1) and encryption (3.1.4.3), both in place.

mod encryption;
mod gcm;
mod nonces;
mod payload;
mod rc4;
mod signing;

use std::sync::Arc;

pub use encryption::{Cipher, EncryptOnce, Encryption};
pub use gcm::{Gcm, Provider};
pub use nonces::{AnswerNonces, DataOnce, Owner, RequestNonces, SignOnce};
pub use payload::{Seal, SealKind, Unsealed};
pub use rc4::rc4;
pub use signing::{Signer, SigningAlgorithm};

use crate::wire::TRANSFORM_BYTES;

/// A key or an algorithm that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadKey(pub &'static str);

/// The protection of the messages of one session on one channel.
///
/// Signing keys differ per channel and belong to one connection each; the encryption half, with its nonces, is shared by all
/// channels of the session. A nonce is never used twice with one key, see `nonces.rs`.
#[derive(Debug)]
pub struct SessionKeys {
    signer: Signer,
    encryption: Option<Arc<Encryption>>,
    /// Unsigned plain requests are not answered by the fast path.
    pub signing_required: bool,
    /// Unencrypted requests are not answered by the fast path.
    pub encryption_required: bool,
}

impl SessionKeys {
    /// Keys of a session's first channel; `encryption` is None before 3.0 or if no cipher was negotiated.
    pub fn new(
        signer: Signer,
        encryption: Option<Encryption>,
        signing_required: bool,
        encryption_required: bool,
    ) -> SessionKeys {
        SessionKeys { signer, encryption: encryption.map(Arc::new), signing_required, encryption_required }
    }

    /// Keys of a further channel: another signing key, the same encryption keys and nonce counter.
    pub fn for_channel(&self, signer: Signer) -> SessionKeys {
        SessionKeys {
            signer,
            encryption: self.encryption.clone(),
            signing_required: self.signing_required,
            encryption_required: self.encryption_required,
        }
    }

    /// True if the session has encryption keys.
    pub fn can_encrypt(&self) -> bool {
        self.encryption.is_some()
    }

    /// See [`Signer::claim`]: to be called before anything is signed.
    pub fn claim(&self, owner: Owner) -> bool {
        self.signer.claim(owner)
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

    /// True if the Signature field is correct. The message is unchanged afterwards.
    pub fn verify(&self, message: &mut [u8]) -> bool {
        self.signer.verify(message)
    }

    /// Encrypts `packet[52..]` in place and writes the transform header before it. False, with the packet unchanged, if
    /// there is no cipher or the key is used up.
    #[must_use]
    pub fn encrypt(&self, session_id: u64, packet: &mut [u8]) -> bool {
        self.encrypt_once().map(|once| once.encrypt(session_id, packet)).is_some()
    }

    /// The right to encrypt one packet; None without a cipher or if the key is used up.
    pub fn encrypt_once(&self) -> Option<EncryptOnce> {
        Encryption::once(self.encryption.as_ref()?)
    }

    /// Decrypts a packet that starts with a transform header; if it returns true, the message is `packet[52..]`.
    pub fn decrypt(&self, packet: &mut [u8]) -> bool {
        packet.len() > TRANSFORM_BYTES && self.encryption.as_ref().is_some_and(|s| s.decrypt(packet))
    }
}
