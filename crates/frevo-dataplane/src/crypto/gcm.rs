//! AES-GCM by the library that is fastest on this processor.
//!
//! That is aws-lc-rs with AVX-512, and on everything but x86. On processors with VAES but without AVX-512 (AMD before
//! Zen 4, Intel's client processors), `ring` is twice as fast: it has code for them. `examples/crypto.rs` measures
//! both. GMAC is not here: for that, aws-lc-rs is several times faster everywhere.

use super::BadKey;

/// A library for AES-GCM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// aws-lc-rs
    AwsLc,
    /// ring
    Ring,
}

impl Provider {
    /// The fastest one for AES-GCM on this processor. Cheap: std caches the features.
    pub fn fastest() -> Provider {
        #[cfg(target_arch = "x86_64")]
        {
            let vaes = is_x86_feature_detected!("vaes") && is_x86_feature_detected!("vpclmulqdq");
            let avx512 = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
            if vaes && is_x86_feature_detected!("avx2") && !avx512 {
                return Provider::Ring;
            }
        }
        Provider::AwsLc
    }
}

/// An AES-128 or AES-256 key for GCM with nonces of 12 and tags of 16 bytes.
// One per session and direction: the sizes do not matter.
#[allow(clippy::large_enum_variant)]
pub enum Gcm {
    /// A key of aws-lc-rs.
    AwsLc(aws_lc_rs::aead::LessSafeKey),
    /// A key of ring.
    Ring(ring::aead::LessSafeKey),
}

impl Gcm {
    /// A key of 128 or 256 `bits` for the given provider; an error if it has another length.
    pub fn new(provider: Provider, bits: usize, key: &[u8]) -> Result<Gcm, BadKey> {
        const WRONG: BadKey = BadKey("the encryption key has the wrong length for its cipher");
        match provider {
            Provider::AwsLc => {
                use aws_lc_rs::aead::{LessSafeKey, UnboundKey, AES_128_GCM, AES_256_GCM};
                let algorithm = if bits == 128 { &AES_128_GCM } else { &AES_256_GCM };
                UnboundKey::new(algorithm, key)
                    .map(|key| Gcm::AwsLc(LessSafeKey::new(key)))
                    .map_err(|_| WRONG)
            }
            Provider::Ring => {
                use ring::aead::{LessSafeKey, UnboundKey, AES_128_GCM, AES_256_GCM};
                let algorithm = if bits == 128 { &AES_128_GCM } else { &AES_256_GCM };
                UnboundKey::new(algorithm, key).map(|key| Gcm::Ring(LessSafeKey::new(key))).map_err(|_| WRONG)
            }
        }
    }

    /// Encrypts `data` in place and returns the tag. None if the nonce does not have 12 bytes or the data is too long.
    pub fn encrypt(&self, nonce: &[u8], aad: &[u8], data: &mut [u8]) -> Option<[u8; 16]> {
        match self {
            Gcm::AwsLc(key) => {
                use aws_lc_rs::aead::{Aad, Nonce};
                let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), data).ok()?;
                tag.as_ref().try_into().ok()
            }
            Gcm::Ring(key) => {
                use ring::aead::{Aad, Nonce};
                let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), data).ok()?;
                tag.as_ref().try_into().ok()
            }
        }
    }

    /// Decrypts `data` in place; false if it, `aad` or the tag is not what was encrypted.
    pub fn open(&self, nonce: &[u8], aad: &[u8], tag: &[u8; 16], data: &mut [u8]) -> bool {
        match self {
            Gcm::AwsLc(key) => {
                use aws_lc_rs::aead::{Aad, Nonce};
                Nonce::try_assume_unique_for_key(nonce).is_ok_and(|nonce| {
                    key.open_in_place_separate_tag(nonce, Aad::from(aad), tag, data).is_ok()
                })
            }
            Gcm::Ring(key) => {
                use ring::aead::{Aad, Nonce, Tag};
                Nonce::try_assume_unique_for_key(nonce).is_ok_and(|nonce| {
                    key.open_in_place_separate_tag(nonce, Aad::from(aad), Tag::from(*tag), data, 0..).is_ok()
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Provider; 2] = [Provider::AwsLc, Provider::Ring];

    #[test]
    fn what_one_provider_encrypts_the_other_opens() {
        for (bits, length) in [(128, 0), (128, 5000), (256, 1), (256, 70_000)] {
            let key = vec![3; bits / 8];
            let plain: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let mut tags = Vec::new();
            for (by, to) in [(BOTH[0], BOTH[1]), (BOTH[1], BOTH[0]), (BOTH[0], BOTH[0]), (BOTH[1], BOTH[1])] {
                let (by, to) = (Gcm::new(by, bits, &key).unwrap(), Gcm::new(to, bits, &key).unwrap());
                let mut data = plain.clone();
                let tag = by.encrypt(&[9; 12], &[8; 32], &mut data).unwrap();
                let mut encrypted = data.clone();
                assert!(to.open(&[9; 12], &[8; 32], &tag, &mut data));
                assert_eq!(data, plain);
                assert!(!to.open(&[9; 12], &[7; 32], &tag, &mut encrypted));
                tags.push(tag);
            }
            assert!(tags.iter().all(|tag| *tag == tags[0]));
        }
    }

    #[test]
    fn case_4_of_the_gcm_specification_and_wrong_lengths() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
        };
        for provider in BOTH {
            let key = Gcm::new(provider, 128, &hex("feffe9928665731c6d6a8f9467308308")).unwrap();
            let mut data =
                hex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c9595680953\
                                2fcf0e2449a6b525b16aedf5aa0de657ba637b39");
            let aad = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
            let nonce = hex("cafebabefacedbaddecaf888");
            let tag = key.encrypt(&nonce, &aad, &mut data).unwrap();
            assert_eq!(tag.to_vec(), hex("5bc94fbc3221a5db94fae95ae7121a47"));
            assert!(key.encrypt(&nonce[1..], &aad, &mut data).is_none());
            assert!(!key.open(&nonce[1..], &aad, &tag, &mut data));
            assert!(Gcm::new(provider, 256, &[0; 16]).is_err());
            assert!(Gcm::new(provider, 128, &[0; 15]).is_err());
        }
    }
}
