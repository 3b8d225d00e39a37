//! AES-CCM and AES-GCM with the SMB2 TRANSFORM_HEADER ([MS-SMB2] 2.2.41, 3.1.4.3).

use std::sync::Arc;

use aes::{Aes128, Aes256};
use ccm::aead::generic_array::GenericArray;
use ccm::aead::{AeadInPlace, KeyInit};
use ccm::consts::{U11, U16};
use ccm::Ccm;
use zerocopy::IntoBytes;

use super::nonces::{EncryptNonce, EncryptNonces};
use super::{BadKey, Gcm, Provider};
use crate::wire::{TransformHeader, TRANSFORM_BYTES};

/// Cipher of SMB2_ENCRYPTION_CAPABILITIES ([MS-SMB2] 2.2.3.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// 1
    Aes128Ccm,
    /// 2
    Aes128Gcm,
    /// 3
    Aes256Ccm,
    /// 4
    Aes256Gcm,
}

impl Cipher {
    /// The cipher with this ID; None for 0 and unknown ones.
    pub fn by_id(id: u16) -> Option<Cipher> {
        let all = [Self::Aes128Ccm, Self::Aes128Gcm, Self::Aes256Ccm, Self::Aes256Gcm];
        all.get(usize::from(id).checked_sub(1)?).copied()
    }

    /// Bytes of nonce that the cipher uses; the rest of the 16 are zero.
    pub(super) fn nonce_bytes(self) -> usize {
        match self {
            Cipher::Aes128Ccm | Cipher::Aes256Ccm => 11,
            Cipher::Aes128Gcm | Cipher::Aes256Gcm => 12,
        }
    }
}

// One key per session and direction: the size of the expanded CCM keys does not matter.
#[allow(clippy::large_enum_variant)]
enum Key {
    Ccm128(Ccm<Aes128, U16, U11>),
    Ccm256(Ccm<Aes256, U16, U11>),
    Gcm(Gcm),
}

impl Key {
    fn new(provider: Provider, cipher: Cipher, key: &[u8]) -> Result<Key, BadKey> {
        const WRONG: BadKey = BadKey("the encryption key has the wrong length for its cipher");
        let gcm = |bits| Gcm::new(provider, bits, key).map(Key::Gcm);
        match cipher {
            Cipher::Aes128Ccm => Ccm::new_from_slice(key).map(Key::Ccm128).map_err(|_| WRONG),
            Cipher::Aes256Ccm => Ccm::new_from_slice(key).map(Key::Ccm256).map_err(|_| WRONG),
            Cipher::Aes128Gcm => gcm(128),
            Cipher::Aes256Gcm => gcm(256),
        }
    }

    fn encrypt(&self, nonce: &[u8], aad: &[u8], data: &mut [u8]) -> Option<[u8; 16]> {
        match self {
            Key::Ccm128(key) => {
                key.encrypt_in_place_detached(GenericArray::from_slice(nonce), aad, data).ok().map(Into::into)
            }
            Key::Ccm256(key) => {
                key.encrypt_in_place_detached(GenericArray::from_slice(nonce), aad, data).ok().map(Into::into)
            }
            Key::Gcm(key) => key.encrypt(nonce, aad, data),
        }
    }

    fn open(&self, nonce: &[u8], aad: &[u8], tag: &[u8; 16], data: &mut [u8]) -> bool {
        let (ccm_nonce, ccm_tag) = (nonce, GenericArray::from_slice(tag));
        match self {
            Key::Ccm128(key) => {
                key.decrypt_in_place_detached(GenericArray::from_slice(ccm_nonce), aad, data, ccm_tag).is_ok()
            }
            Key::Ccm256(key) => {
                key.decrypt_in_place_detached(GenericArray::from_slice(ccm_nonce), aad, data, ccm_tag).is_ok()
            }
            Key::Gcm(key) => key.open(nonce, aad, tag, data),
        }
    }
}

/// The encryption keys of a session, both directions, with the nonces of what is sent.
pub struct Encryption {
    cipher: Cipher,
    outgoing: Key,
    incoming: Key,
    nonces: EncryptNonces,
}

impl std::fmt::Debug for Encryption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encryption").field("cipher", &self.cipher).finish_non_exhaustive()
    }
}

impl Encryption {
    /// `outgoing` encrypts what this side sends, `incoming` decrypts what it receives.
    pub fn new(cipher: Cipher, outgoing: &[u8], incoming: &[u8]) -> Result<Encryption, BadKey> {
        Encryption::by(Provider::fastest(), cipher, outgoing, incoming)
    }

    /// As `new`, with the library to use for GCM.
    fn by(
        provider: Provider,
        cipher: Cipher,
        outgoing: &[u8],
        incoming: &[u8],
    ) -> Result<Encryption, BadKey> {
        Ok(Encryption {
            cipher,
            outgoing: Key::new(provider, cipher, outgoing)?,
            incoming: Key::new(provider, cipher, incoming)?,
            nonces: EncryptNonces::new()?,
        })
    }

    /// The right to encrypt one packet; None if the key is used up.
    pub fn once(encryption: &Arc<Encryption>) -> Option<EncryptOnce> {
        let nonce = encryption.nonces.next()?;
        Some(EncryptOnce { encryption: encryption.clone(), nonce })
    }

    /// Encrypts `packet[52..]` and writes the transform header at its start; false if the cipher refuses it.
    fn encrypt(&self, nonce: EncryptNonce, session_id: u64, packet: &mut [u8]) -> bool {
        let (place, message) = packet.split_at_mut(TRANSFORM_BYTES);
        let nonce = &nonce.bytes()[..self.cipher.nonce_bytes()];
        let mut header = TransformHeader::new(session_id, message.len() as u32, nonce);
        let Some(tag) = self.outgoing.encrypt(nonce, header.authenticated(), message) else {
            return false;
        };
        header.signature = tag;
        place.copy_from_slice(header.as_bytes());
        true
    }

    /// Which cipher it is.
    pub(super) fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// Decrypts data without a header in place; false if they, the nonce or the tag are not what was encrypted.
    pub(super) fn open_data(&self, nonce: &[u8], tag: &[u8; 16], data: &mut [u8]) -> bool {
        nonce.len() == self.cipher.nonce_bytes() && self.incoming.open(nonce, &[], tag, data)
    }

    /// Decrypts `packet[52..]` in place; false if it is not a well-formed packet encrypted with our key.
    pub fn decrypt(&self, packet: &mut [u8]) -> bool {
        let Some(header) = TransformHeader::parse(packet) else { return false };
        let nonce = &header.nonce[..self.cipher.nonce_bytes()];
        let message = &mut packet[TRANSFORM_BYTES..];
        self.incoming.open(nonce, header.authenticated(), &header.signature, message)
    }
}

/// The right to encrypt one packet with these keys, which can no longer fail.
#[derive(Debug)]
pub struct EncryptOnce {
    encryption: Arc<Encryption>,
    nonce: EncryptNonce,
}

impl EncryptOnce {
    /// Encrypts `packet[52..]` in place and writes the transform header before it.
    pub fn encrypt(self, session_id: u64, packet: &mut [u8]) {
        let encrypted = self.encryption.encrypt(self.nonce, session_id, packet);
        assert!(encrypted, "packets are shorter than the limit of a cipher");
    }

    /// Encrypts data without a header in place: the nonce and the tag.
    pub(super) fn encrypt_data(self, data: &mut [u8]) -> (Vec<u8>, [u8; 16]) {
        let nonce = &self.nonce.bytes()[..self.encryption.cipher.nonce_bytes()];
        let tag = self.encryption.outgoing.encrypt(nonce, &[], data);
        (nonce.to_vec(), tag.expect("data are shorter than the limit of a cipher"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cipher_encrypts_and_decrypts() {
        use Provider::{AwsLc, Ring};
        let kinds =
            [(1, 16, Ring), (2, 16, AwsLc), (2, 16, Ring), (3, 32, Ring), (4, 32, AwsLc), (4, 32, Ring)];
        for (id, size, provider) in kinds {
            let (ours, theirs) = (vec![1u8; size], vec![2u8; size]);
            let cipher = Cipher::by_id(id).unwrap();
            let server = Arc::new(Encryption::by(provider, cipher, &ours, &theirs).unwrap());
            let client = Encryption::by(provider, cipher, &theirs, &ours).unwrap();
            let mut packet = vec![0u8; TRANSFORM_BYTES + 1000];
            packet[TRANSFORM_BYTES..].fill(0x5A);
            Encryption::once(&server).unwrap().encrypt(0x1122, &mut packet);
            let encrypted = packet.clone();
            assert!(client.decrypt(&mut packet));
            assert!(packet[TRANSFORM_BYTES..].iter().all(|b| *b == 0x5A));
            for position in [0, 4, 20, 30, 36, 42, 44, 52, 1051] {
                let mut bad = encrypted.clone();
                bad[position] ^= 1;
                assert!(!client.decrypt(&mut bad), "cipher {id}, byte {position}");
            }
            let mut own = encrypted.clone();
            assert!(!server.decrypt(&mut own));
            assert!(Encryption::by(provider, cipher, &ours[1..], &theirs).is_err());
        }
        assert!(Cipher::by_id(0).is_none() && Cipher::by_id(5).is_none());
    }

    #[test]
    fn nonces_never_repeat() {
        for (id, size) in [(1, 16), (2, 16), (3, 32), (4, 32)] {
            let cipher = Cipher::by_id(id).unwrap();
            let make = || Arc::new(Encryption::new(cipher, &vec![1; size], &vec![2; size]).unwrap());
            let (first, again) = (make(), make());
            let mut seen = std::collections::HashSet::new();
            for encryption in [&first, &again, &first, &again] {
                let mut packet = vec![0u8; 152];
                Encryption::once(encryption).unwrap().encrypt(1, &mut packet);
                assert!(seen.insert(packet[20..36].to_vec()), "the same key again starts elsewhere");
                assert!(packet[20 + cipher.nonce_bytes()..36].iter().all(|byte| *byte == 0));
            }
            first.nonces.skip_to(u64::MAX >> 8);
            assert!(Encryption::once(&first).is_none(), "used up");
        }
    }
}
