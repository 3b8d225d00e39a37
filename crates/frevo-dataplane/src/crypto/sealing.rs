//! AES-CCM and AES-GCM with the SMB2 TRANSFORM_HEADER ([MS-SMB2] 2.2.41, 3.1.4.3).

use std::sync::Arc;

use aes::{Aes128, Aes256};
use ccm::aead::generic_array::GenericArray;
use ccm::aead::{AeadInPlace, KeyInit};
use ccm::consts::{U11, U16};
use ccm::Ccm;

use super::nonces::{SealNonce, SealNonces};
use super::{BadKey, Gcm, Provider};
use crate::wire::{at, put, u16_at, u32_at, PROTOCOL_TRANSFORM, TRANSFORM_BYTES};

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
    /// The cipher of a wire id; None for 0 and unknown ones.
    pub fn by_id(id: u16) -> Option<Cipher> {
        let all = [Self::Aes128Ccm, Self::Aes128Gcm, Self::Aes256Ccm, Self::Aes256Gcm];
        all.get(usize::from(id).checked_sub(1)?).copied()
    }

    /// Bytes of nonce that the cipher uses; the others of the 16 are zero.
    fn nonce_bytes(self) -> usize {
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
        const WRONG: BadKey = BadKey("the sealing key has the wrong length for its cipher");
        let gcm = |bits| Gcm::new(provider, bits, key).map(Key::Gcm);
        match cipher {
            Cipher::Aes128Ccm => Ccm::new_from_slice(key).map(Key::Ccm128).map_err(|_| WRONG),
            Cipher::Aes256Ccm => Ccm::new_from_slice(key).map(Key::Ccm256).map_err(|_| WRONG),
            Cipher::Aes128Gcm => gcm(128),
            Cipher::Aes256Gcm => gcm(256),
        }
    }

    fn seal(&self, nonce: &[u8], aad: &[u8], data: &mut [u8]) -> Option<[u8; 16]> {
        match self {
            Key::Ccm128(key) => {
                key.encrypt_in_place_detached(GenericArray::from_slice(nonce), aad, data).ok().map(Into::into)
            }
            Key::Ccm256(key) => {
                key.encrypt_in_place_detached(GenericArray::from_slice(nonce), aad, data).ok().map(Into::into)
            }
            Key::Gcm(key) => key.seal(nonce, aad, data),
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

/// The sealing keys of a session, both directions, with the nonces of what is sent.
pub struct Sealing {
    cipher: Cipher,
    outgoing: Key,
    incoming: Key,
    nonces: SealNonces,
}

impl std::fmt::Debug for Sealing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealing").field("cipher", &self.cipher).finish_non_exhaustive()
    }
}

impl Sealing {
    /// `outgoing` seals what this side sends, `incoming` opens what it receives.
    pub fn new(cipher: Cipher, outgoing: &[u8], incoming: &[u8]) -> Result<Sealing, BadKey> {
        Sealing::by(Provider::fastest(), cipher, outgoing, incoming)
    }

    /// As `new`, with the library to use for GCM.
    fn by(provider: Provider, cipher: Cipher, outgoing: &[u8], incoming: &[u8]) -> Result<Sealing, BadKey> {
        Ok(Sealing {
            cipher,
            outgoing: Key::new(provider, cipher, outgoing)?,
            incoming: Key::new(provider, cipher, incoming)?,
            nonces: SealNonces::new()?,
        })
    }

    /// Seals `packet[52..]` and writes the transform header at its start; false when the key is used up.
    #[must_use]
    pub fn seal(&self, session_id: u64, packet: &mut [u8]) -> bool {
        let nonce = self.nonces.next();
        nonce.is_some_and(|nonce| self.seal_with(nonce, session_id, packet))
    }

    /// The right to seal one packet; None when the key is used up.
    pub fn once(sealing: &Arc<Sealing>) -> Option<SealOnce> {
        let nonce = sealing.nonces.next()?;
        Some(SealOnce { sealing: sealing.clone(), nonce })
    }

    fn seal_with(&self, nonce: SealNonce, session_id: u64, packet: &mut [u8]) -> bool {
        let (header, message) = packet.split_at_mut(TRANSFORM_BYTES);
        let size = self.cipher.nonce_bytes();
        header.fill(0);
        header[..4].copy_from_slice(&PROTOCOL_TRANSFORM);
        header[at::TRANSFORM_NONCE..at::TRANSFORM_NONCE + size].copy_from_slice(&nonce.bytes()[..size]);
        put(header, at::TRANSFORM_SIZE, (message.len() as u32).to_le_bytes());
        put(header, at::TRANSFORM_FLAGS, 1u16.to_le_bytes());
        put(header, at::TRANSFORM_SESSION_ID, session_id.to_le_bytes());
        let Some(tag) = self.outgoing.seal(&nonce.bytes()[..size], &header[at::TRANSFORM_NONCE..], message)
        else {
            return false;
        };
        put(header, at::TRANSFORM_SIGNATURE, tag);
        true
    }

    /// Opens `packet[52..]` in place; false when it is not a well-formed packet sealed with our key.
    pub fn unseal(&self, packet: &mut [u8]) -> bool {
        let (header, message) = packet.split_at_mut(TRANSFORM_BYTES);
        if header[..4] != PROTOCOL_TRANSFORM
            || u16_at(header, at::TRANSFORM_FLAGS) != 1
            || u32_at(header, at::TRANSFORM_SIZE) as usize != message.len()
        {
            return false;
        }
        let nonce = at::TRANSFORM_NONCE..at::TRANSFORM_NONCE + self.cipher.nonce_bytes();
        let mut tag = [0; 16];
        tag.copy_from_slice(&header[at::TRANSFORM_SIGNATURE..at::TRANSFORM_NONCE]);
        self.incoming.open(&header[nonce], &header[at::TRANSFORM_NONCE..], &tag, message)
    }
}

/// The right to seal one packet with these keys: it cannot fail any more.
#[derive(Debug)]
pub struct SealOnce {
    sealing: Arc<Sealing>,
    nonce: SealNonce,
}

impl SealOnce {
    /// As [`Sealing::seal`].
    pub fn seal(self, session_id: u64, packet: &mut [u8]) {
        let sealed = self.sealing.seal_with(self.nonce, session_id, packet);
        assert!(sealed, "a packet is shorter than what a cipher takes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cipher_seals_and_unseals() {
        use Provider::{AwsLc, Ring};
        let kinds =
            [(1, 16, Ring), (2, 16, AwsLc), (2, 16, Ring), (3, 32, Ring), (4, 32, AwsLc), (4, 32, Ring)];
        for (id, size, provider) in kinds {
            let (ours, theirs) = (vec![1u8; size], vec![2u8; size]);
            let cipher = Cipher::by_id(id).unwrap();
            let server = Sealing::by(provider, cipher, &ours, &theirs).unwrap();
            let client = Sealing::by(provider, cipher, &theirs, &ours).unwrap();
            let mut packet = vec![0u8; TRANSFORM_BYTES + 1000];
            packet[TRANSFORM_BYTES..].fill(0x5A);
            assert!(server.seal(0x1122, &mut packet));
            let sealed = packet.clone();
            assert!(client.unseal(&mut packet));
            assert!(packet[TRANSFORM_BYTES..].iter().all(|b| *b == 0x5A));
            for position in [0, 4, 20, 30, 36, 42, 44, 52, 1051] {
                let mut bad = sealed.clone();
                bad[position] ^= 1;
                assert!(!client.unseal(&mut bad), "cipher {id}, byte {position}");
            }
            let mut own = sealed.clone();
            assert!(!server.unseal(&mut own));
            assert!(Sealing::by(provider, cipher, &ours[1..], &theirs).is_err());
        }
        assert!(Cipher::by_id(0).is_none() && Cipher::by_id(5).is_none());
    }

    #[test]
    fn nonces_never_repeat() {
        for (id, size) in [(1, 16), (2, 16), (3, 32), (4, 32)] {
            let cipher = Cipher::by_id(id).unwrap();
            let make = || Arc::new(Sealing::new(cipher, &vec![1; size], &vec![2; size]).unwrap());
            let (first, again) = (make(), make());
            let mut seen = std::collections::HashSet::new();
            for sealing in [&first, &again, &first, &again] {
                let mut packet = vec![0u8; 152];
                assert!(sealing.seal(1, &mut packet));
                assert!(seen.insert(packet[20..36].to_vec()), "the same key again starts elsewhere");
                let mut packet = vec![0u8; 152];
                Sealing::once(sealing).unwrap().seal(1, &mut packet);
                assert!(seen.insert(packet[20..36].to_vec()));
                assert!(packet[20 + cipher.nonce_bytes()..36].iter().all(|byte| *byte == 0));
            }
            first.nonces.skip_to(u64::MAX >> 8);
            let mut packet = vec![7u8; 152];
            assert!(!first.seal(1, &mut packet) && Sealing::once(&first).is_none(), "used up");
            assert!(packet.iter().all(|byte| *byte == 7), "untouched");
        }
    }
}
