//! SMB over QUIC ([MS-SMB2] 2.1): the transport of RFC 9000 with ALPN `smb`, TLS 1.3 and client access control.
//!
//! Pure: no sockets and no threads. `server` and `client` say what an end presents and demands, `session` runs
//! their TLS inside quinn-proto, `verify` judges chains of certificates and `access` whom a server lets in.

pub mod access;
pub mod certificate;
pub mod client;
pub mod kernel;
mod keylog;
pub mod refusal;
pub mod server;
pub mod session;
mod verify;

use std::sync::{Arc, OnceLock};
use std::{fmt, io};

use rustls::crypto::{aws_lc_rs, CryptoProvider};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// What QUIC's handshake calls SMB ([MS-SMB2] 2.1).
pub const ALPN: &[u8] = b"smb";
/// The only version that is spoken (RFC 9000).
pub const VERSION_1: u32 = 1;

/// A certificate, key, list or name that cannot be used: a sentence for whoever gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable(pub String);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unusable {}

/// Why a configuration of TLS cannot be made.
#[derive(Debug)]
pub enum BuildError {
    /// A part of it cannot be used.
    Unusable(Unusable),
    /// The key log cannot be opened.
    KeyLog(io::Error),
}

impl From<Unusable> for BuildError {
    fn from(unusable: Unusable) -> BuildError {
        BuildError::Unusable(unusable)
    }
}

/// The cryptography of every handshake: AES-128 first, the fastest with SMB's sizes, when the choice is ours.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let provider = PROVIDER.get_or_init(|| {
        use aws_lc_rs::cipher_suite::{
            TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
        };
        Arc::new(CryptoProvider {
            cipher_suites: vec![
                TLS13_AES_128_GCM_SHA256,
                TLS13_AES_256_GCM_SHA384,
                TLS13_CHACHA20_POLY1305_SHA256,
            ],
            ..aws_lc_rs::default_provider()
        })
    });
    provider.clone()
}

/// The cipher of Initial packets (RFC 9001 5.2).
fn initial_suite() -> rustls::quic::Suite {
    let suite = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13();
    suite.and_then(|suite| suite.quic_suite()).expect("AES-128-GCM is one of QUIC's ciphers")
}

/// A chain, leaf first, and the key that fits its leaf.
fn certified_key(chain: &[Vec<u8>], key: &[u8]) -> Result<rustls::sign::CertifiedKey, Unusable> {
    let leaf = chain.first().ok_or_else(|| Unusable("a chain has at least one certificate".into()))?;
    certificate::Certificate::parse(leaf)?;
    let key = PrivateKeyDer::try_from(key.to_vec())
        .map_err(|_| Unusable("the private key is neither PKCS#8 nor SEC1 nor PKCS#1".into()))?;
    let chain = chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    rustls::sign::CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            Unusable("the private key is not the one of the certificate".into())
        }
        error => Unusable(format!("the certificate or its key cannot be used: {error}")),
    })
}
