//! Protection of data that RDMA carries beside its message: encrypted or signed by itself ([MS-SMB2] 2.2.43.1).

use super::{DataOnce, SessionKeys};

/// How data is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealKind {
    /// Encrypted in place with the session's keys.
    Encrypted,
    /// Signed with the key of the connection.
    Signed,
}

/// What says that data was protected, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// How.
    pub kind: SealKind,
    /// The tag or signature.
    pub signature: Vec<u8>,
    /// The nonce: 11 or 12 bytes, none where the algorithm has none.
    pub nonce: Vec<u8>,
}

/// Why protected data cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsealed {
    /// STATUS_AUTH_TAG_MISMATCH: the seal does not fit the cipher, or the data cannot be decrypted.
    Tag,
    /// STATUS_INVALID_SIGNATURE
    Signature,
}

impl SessionKeys {
    /// Encrypts data in place; None without a cipher or if the key is used up.
    pub fn encrypt_data(&self, data: &mut [u8]) -> Option<Seal> {
        let (nonce, tag) = self.encrypt_once()?.encrypt_data(data);
        Some(Seal { kind: SealKind::Encrypted, signature: tag.to_vec(), nonce })
    }

    /// The signature of data; None if the key belongs to another connection.
    pub fn sign_data(&self, data: &[u8], right: DataOnce) -> Option<Seal> {
        let (nonce, tag) = self.signer.sign_data(data, right)?;
        Some(Seal { kind: SealKind::Signed, signature: tag.to_vec(), nonce })
    }

    /// Whether a seal can be of these keys, as far as it tells ([MS-SMB2] 3.3.5.13): whoever has a wrong one need not be asked
    /// for the data.
    pub fn fits(&self, seal: &Seal) -> bool {
        match (seal.kind, &self.encryption) {
            (SealKind::Encrypted, Some(encryption)) => {
                seal.signature.len() == 16 && seal.nonce.len() == encryption.cipher().nonce_bytes()
            }
            (SealKind::Encrypted, None) => false,
            (SealKind::Signed, _) => seal.signature.len() == 16,
        }
    }

    /// Decrypts data in place, or checks their signature.
    pub fn unseal(&self, seal: &Seal, data: &mut [u8]) -> Result<(), Unsealed> {
        match seal.kind {
            SealKind::Encrypted => {
                let tag: Result<&[u8; 16], _> = seal.signature.as_slice().try_into();
                match (tag, &self.encryption) {
                    (Ok(tag), Some(keys)) if keys.open_data(&seal.nonce, tag, data) => Ok(()),
                    _ => Err(Unsealed::Tag),
                }
            }
            SealKind::Signed if self.signer.verify_data(data, &seal.nonce, &seal.signature) => Ok(()),
            SealKind::Signed => Err(Unsealed::Signature),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{AnswerNonces, Cipher, Encryption, Signer, SigningAlgorithm};
    use crate::window::Window;

    fn keys(cipher: u16, algorithm: u16, own: u8, peer: u8) -> SessionKeys {
        let size = if cipher > 2 { 32 } else { 16 };
        let cipher = Cipher::by_id(cipher).unwrap();
        let encryption = Encryption::new(cipher, &vec![own; size], &vec![peer; size]).unwrap();
        let signer = Signer::new(SigningAlgorithm::by_id(algorithm).unwrap(), &[7; 16]).unwrap();
        SessionKeys::new(signer, Some(encryption), true, false)
    }

    #[test]
    fn every_cipher_seals_data_and_notices_each_change() {
        for (cipher, nonce) in [(1, 11), (2, 12), (3, 11), (4, 12)] {
            let (ours, theirs) = (keys(cipher, 2, 1, 2), keys(cipher, 2, 2, 1));
            let plain: Vec<u8> = (0..5000).map(|at| at as u8).collect();
            let mut data = plain.clone();
            let seal = ours.encrypt_data(&mut data).unwrap();
            assert_eq!((seal.nonce.len(), seal.signature.len()), (nonce, 16));
            assert!(data != plain && theirs.fits(&seal));
            let encrypted = data.clone();
            assert_eq!(theirs.unseal(&seal, &mut data), Ok(()));
            assert_eq!(data, plain);
            for change in [0usize, 1, 2] {
                let (mut bad, mut data) = (seal.clone(), encrypted.clone());
                match change {
                    0 => bad.signature[3] ^= 1,
                    1 => bad.nonce[3] ^= 1,
                    _ => data[3] ^= 1,
                }
                assert_eq!(theirs.unseal(&bad, &mut data), Err(Unsealed::Tag), "cipher {cipher}, {change}");
            }
            // A tag that is cut is easier to guess.
            for (signature, nonce) in [(15, nonce), (17, nonce), (0, nonce), (16, nonce - 1), (16, nonce + 1)]
            {
                let bad = Seal { signature: vec![1; signature], nonce: vec![1; nonce], ..seal.clone() };
                assert!(!theirs.fits(&bad), "cipher {cipher}: {signature}, {nonce}");
                assert_eq!(theirs.unseal(&bad, &mut encrypted.clone()), Err(Unsealed::Tag));
            }
            assert_ne!(ours.encrypt_data(&mut plain.clone()).unwrap().nonce, seal.nonce);
        }
    }

    #[test]
    fn every_algorithm_signs_data_once() {
        for (algorithm, nonce) in [(0, 0), (1, 0), (2, 12)] {
            let (ours, theirs) = (keys(2, algorithm, 1, 2), keys(2, algorithm, 2, 1));
            let nonces = AnswerNonces::new();
            assert!(ours.claim(nonces.owner()));
            let mut right = nonces.right(Window::new(8).consume(0, 1).unwrap());
            let mut data = vec![5; 3000];
            let seal = ours.sign_data(&data, right.for_data().unwrap()).unwrap();
            assert_eq!((seal.nonce.len(), seal.signature.len()), (nonce, 16));
            assert!(theirs.fits(&seal) && right.for_data().is_none());
            assert_eq!(theirs.unseal(&seal, &mut data), Ok(()));
            data[9] ^= 1;
            assert_eq!(theirs.unseal(&seal, &mut data), Err(Unsealed::Signature));
            data[9] ^= 1;
            for nonce in [nonce + 1, nonce + 20] {
                let bad = Seal { nonce: vec![0; nonce], ..seal.clone() };
                assert_eq!(theirs.unseal(&bad, &mut data), Err(Unsealed::Signature));
            }
            let bad = Seal { signature: seal.signature[..15].to_vec(), ..seal };
            assert_eq!(theirs.unseal(&bad, &mut data), Err(Unsealed::Signature));
        }
    }

    #[test]
    fn the_key_of_another_connection_signs_no_data() {
        let (ours, nonces) = (keys(2, 2, 1, 2), AnswerNonces::new());
        assert!(ours.claim(AnswerNonces::new().owner()));
        let mut right = nonces.right(Window::new(8).consume(0, 1).unwrap());
        assert!(ours.sign_data(b"data", right.for_data().unwrap()).is_none());
    }
}
