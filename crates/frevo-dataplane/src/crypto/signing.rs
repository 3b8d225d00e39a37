//! HMAC-SHA256, AES-CMAC and AES-GMAC over one message ([MS-SMB2] 3.1.4.1).

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce, UnboundKey, AES_128_GCM};
use aws_lc_rs::{cmac, constant_time, hmac};

use std::sync::atomic::{AtomicU64, Ordering};

use super::nonces::{gmac_nonce, DataOnce, Owner, SignOnce};
use super::BadKey;
use crate::wire::{flags, Header, HEADER_BYTES};

/// SigningAlgorithmId of SMB2_SIGNING_CAPABILITIES ([MS-SMB2] 2.2.3.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// 0: 2.0.2 and 2.1.
    HmacSha256,
    /// 1: 3.0 and later.
    AesCmac,
    /// 2: 3.1.1 when negotiated.
    AesGmac,
}

impl SigningAlgorithm {
    /// The algorithm with this ID.
    pub fn by_id(id: u16) -> Option<SigningAlgorithm> {
        [Self::HmacSha256, Self::AesCmac, Self::AesGmac].get(usize::from(id)).copied()
    }
}

/// A signing key prepared for its algorithm, and the connection that it belongs to.
#[derive(Debug)]
pub struct Signer {
    key: Key,
    /// 0 before its first use.
    owner: AtomicU64,
}

#[derive(Debug)]
enum Key {
    /// HMAC-SHA256, the first 16 bytes of it.
    Hmac(Box<hmac::Key>),
    /// AES-128-CMAC.
    Cmac(cmac::Key),
    /// AES-128-GMAC.
    Gmac(LessSafeKey),
}

impl Signer {
    /// Prepares `key`: 16 bytes for the AES algorithms, at least one for HMAC.
    pub fn new(algorithm: SigningAlgorithm, key: &[u8]) -> Result<Signer, BadKey> {
        if key.is_empty() {
            return Err(BadKey("the signing key is empty"));
        }
        let wrong = |_| BadKey("the signing key must have 16 bytes");
        let key = match algorithm {
            SigningAlgorithm::HmacSha256 => Key::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, key))),
            SigningAlgorithm::AesCmac => cmac::Key::new(cmac::AES_128, key).map(Key::Cmac).map_err(wrong)?,
            SigningAlgorithm::AesGmac => {
                let key = UnboundKey::new(&AES_128_GCM, key).map_err(wrong)?;
                Key::Gmac(LessSafeKey::new(key))
            }
        };
        Ok(Signer { key, owner: AtomicU64::new(0) })
    }

    /// Assigns the key to a connection; false if it belongs to another one.
    pub fn claim(&self, owner: Owner) -> bool {
        let owner = owner.number();
        let claimed = self.owner.compare_exchange(0, owner, Ordering::Relaxed, Ordering::Relaxed);
        claimed.is_ok() || claimed == Err(owner)
    }

    /// Sets the SIGNED flag and fills the Signature field of a message of at least 64 bytes. Does nothing and returns
    /// false if `right` is for another message or the key belongs to another connection.
    #[must_use]
    pub fn sign(&self, message: &mut [u8], right: SignOnce) -> bool {
        let may = right.fits(message) && right.owner().number() == self.owner.load(Ordering::Relaxed);
        if may {
            self.sign_unchecked(message);
        }
        may
    }

    /// Signs any message any number of times: for peers in tests and load generators, which have no window and must be
    /// able to violate the protocol. The data plane never calls it.
    pub fn sign_unchecked(&self, message: &mut [u8]) {
        let header = Header::of_mut(message);
        header.flags |= flags::SIGNED;
        header.signature = [0; 16];
        Header::of_mut(message).signature = self.compute(message);
    }

    /// True if the Signature field is correct.
    pub fn verify(&self, message: &mut [u8]) -> bool {
        if message.len() < HEADER_BYTES {
            return false;
        }
        let received = std::mem::take(&mut Header::of_mut(message).signature);
        let expected = self.compute(message);
        Header::of_mut(message).signature = received;
        constant_time::verify_slices_are_equal(&expected, &received).is_ok()
    }

    /// The signature of data, and the nonce that goes with it: none unless the algorithm has one. None if the key belongs
    /// to another connection.
    pub(super) fn sign_data(&self, data: &[u8], right: DataOnce) -> Option<(Vec<u8>, [u8; 16])> {
        if right.owner().number() != self.owner.load(Ordering::Relaxed) {
            return None;
        }
        let nonce = if self.has_nonce() { right.nonce().to_vec() } else { Vec::new() };
        Some((nonce, self.tag(data, right.nonce())))
    }

    /// True if data have this signature.
    pub(super) fn verify_data(&self, data: &[u8], nonce: &[u8], signature: &[u8]) -> bool {
        let known = match (self.has_nonce(), nonce.first_chunk()) {
            (true, Some(whole)) if nonce.len() == whole.len() => *whole,
            (false, _) if nonce.is_empty() => [0; 12],
            _ => return false,
        };
        constant_time::verify_slices_are_equal(&self.tag(data, &known), signature).is_ok()
    }

    fn has_nonce(&self) -> bool {
        matches!(self.key, Key::Gmac(_))
    }

    /// The signature of a message whose Signature field is zero.
    fn compute(&self, message: &[u8]) -> [u8; 16] {
        let nonce = if self.has_nonce() { gmac_nonce(message) } else { [0; 12] };
        self.tag(message, &nonce)
    }

    /// The signature of some bytes; only AES-GMAC has the nonce.
    fn tag(&self, message: &[u8], nonce: &[u8; 12]) -> [u8; 16] {
        let mut out = [0; 16];
        match &self.key {
            Key::Hmac(key) => out.copy_from_slice(&hmac::sign(key, message).as_ref()[..16]),
            Key::Cmac(key) => {
                let tag = cmac::sign(key, message).expect("CMAC of any message can be made");
                out.copy_from_slice(tag.as_ref());
            }
            Key::Gmac(key) => {
                let nonce = Nonce::assume_unique_for_key(*nonce);
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from(message), &mut []);
                out.copy_from_slice(tag.expect("GMAC of any message can be made").as_ref());
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    }

    #[test]
    fn cmac_of_rfc_4493() {
        let key = hex("2b7e151628aed2a6abf7158809cf4f3c");
        let signer = Signer::new(SigningAlgorithm::AesCmac, &key).unwrap();
        assert_eq!(
            signer.compute(&hex("6bc1bee22e409f96e93d7e117393172a")).to_vec(),
            hex("070a16b46b4d4144f79bdd9dd04a287c")
        );
        let forty = hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411");
        assert_eq!(signer.compute(&forty).to_vec(), hex("dfa66747de9ae63030ca32611497c827"));
    }

    #[test]
    fn hmac_of_rfc_4231() {
        let signer = Signer::new(SigningAlgorithm::HmacSha256, b"Jefe").unwrap();
        let tag = signer.compute(b"what do ya want for nothing?");
        assert_eq!(tag.to_vec(), hex("5bdcc146bf60754e6a042426089575c7"));
    }

    #[test]
    fn a_key_signs_for_one_connection_and_a_right_one_message() {
        use super::super::nonces::RequestNonces;
        use crate::window::Window;
        use crate::wire::raw::{at, put};
        let signer = Signer::new(SigningAlgorithm::AesGmac, &[7; 16]).unwrap();
        let (first, second) = (RequestNonces::new(), RequestNonces::new());
        let (mut window, mut other) = (Window::new(9), Window::new(9));
        let message = |id: u64, flags: u32, command: u16| {
            let mut message = vec![0; 64];
            put(&mut message, at::MESSAGE_ID, id.to_le_bytes());
            put(&mut message, at::FLAGS, flags.to_le_bytes());
            put(&mut message, at::COMMAND, command.to_le_bytes());
            message
        };
        assert!(!signer.sign(&mut message(0, 0, 3), first.right(window.send(0, 1).unwrap())), "nobody's key");
        let (ours, theirs) = (first.owner(), second.owner());
        assert!(signer.claim(ours) && signer.claim(ours) && !signer.claim(theirs));
        let mut signed = message(1, 0, 3);
        assert!(signer.sign(&mut signed, first.right(window.send(1, 1).unwrap())));
        assert!(signer.verify(&mut signed));
        for (id, flags, command) in [(9, 0, 3), (2, 1, 3), (2, 0, 12)] {
            let mut wrong = message(id, flags, command);
            let right = first.right(Window::new(9).send(2, 1).unwrap());
            assert!(!signer.sign(&mut wrong, right), "{id} {flags} {command}");
            assert_eq!(wrong, message(id, flags, command));
        }
        assert!(!signer.sign(&mut message(3, 0, 3), second.right(other.send(3, 1).unwrap())), "another's");
    }

    #[test]
    fn every_algorithm_signs_and_verifies() {
        for id in 0..3 {
            let signer = Signer::new(SigningAlgorithm::by_id(id).unwrap(), &[7; 16]).unwrap();
            let mut message: Vec<u8> = (0..200).map(|i| i as u8).collect();
            signer.sign_unchecked(&mut message);
            assert!(signer.verify(&mut message));
            for position in [0, 30, 50, 63, 199] {
                message[position] ^= 1;
                assert!(!signer.verify(&mut message), "algorithm {id}, byte {position}");
                message[position] ^= 1;
            }
            assert!(signer.verify(&mut message));
            assert!(!signer.verify(&mut message[..40]));
        }
        assert!(SigningAlgorithm::by_id(3).is_none());
        assert!(Signer::new(SigningAlgorithm::AesCmac, &[0; 15]).is_err());
        assert!(Signer::new(SigningAlgorithm::HmacSha256, &[]).is_err());
    }
}
