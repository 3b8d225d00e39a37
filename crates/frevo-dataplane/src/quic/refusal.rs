//! Why a handshake failed: TLS alerts and the sentences that people read.

use std::fmt;
use std::sync::Arc;

use quinn_proto::ConnectionError;
use rustls::{AlertDescription, CertificateError, OtherError};

use super::certificate::printable;

/// A peer, or a name that it asked for, that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What the peer is told.
    pub alert: AlertDescription,
    /// What we say and log: a clause that begins with a subject.
    pub sentence: String,
}

impl Refusal {
    /// A refusal with its two sides.
    pub fn new(alert: AlertDescription, sentence: impl Into<String>) -> Refusal {
        Refusal { alert, sentence: sentence.into() }
    }

    /// The same with what a user can do about it.
    pub(super) fn advising(mut self, advice: &str) -> Refusal {
        self.sentence += &format!(" ({advice})");
        self
    }

    /// As the error of a certificate verifier; `of` finds it there again.
    pub(super) fn into_error(self) -> rustls::Error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(self))))
    }

    pub(super) fn of(error: &rustls::Error) -> Option<&Refusal> {
        match error {
            rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => {
                inner.downcast_ref()
            }
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Refusal {}

/// What rustls found wrong with the peer's side of the handshake.
pub(super) fn of_handshake(error: &rustls::Error) -> String {
    match error {
        rustls::Error::NoApplicationProtocol => "the peer does not speak SMB over QUIC (ALPN \"smb\")".into(),
        rustls::Error::NoCertificatesPresented => {
            "the client sent no certificate, and one is required".into()
        }
        error => format!("the TLS handshake failed: {}", printable(&error.to_string())),
    }
}

/// The TLS alert in an error of QUIC (RFC 9001 4.8).
pub fn alert_of(error: &ConnectionError) -> Option<u8> {
    let code = match error {
        ConnectionError::TransportError(error) => error.code.into(),
        ConnectionError::ConnectionClosed(close) => close.error_code.into(),
        _ => return None,
    };
    // 0x0100 to 0x01ff
    u64::checked_sub(code, 0x100).and_then(|alert| u8::try_from(alert).ok())
}

/// Why the peer of a client or a server (`is_client`: which of the two we are) ended the handshake.
pub(super) fn of_alert(alert: u8, is_client: bool) -> String {
    let (peer, other) = if is_client { ("the server", "client") } else { ("the client", "server") };
    match AlertDescription::from(alert) {
        AlertDescription::AccessDenied => format!("{peer} denied this {other} access"),
        AlertDescription::CertificateRequired => format!("{peer} demands a certificate of its clients"),
        AlertDescription::UnknownCA => format!("{peer} does not trust the CA of the {other}'s certificate"),
        AlertDescription::CertificateExpired => {
            format!("to {peer} the {other}'s certificate has expired, or is not yet valid")
        }
        AlertDescription::CertificateRevoked => format!("to {peer} the {other}'s certificate is revoked"),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown => format!("{peer} does not accept the {other}'s certificate"),
        AlertDescription::UnrecognisedName => {
            format!("{peer} has no certificate for the name it was asked for")
        }
        AlertDescription::MissingExtension => {
            format!("{peer} has no certificate for an address: a server name is needed")
        }
        AlertDescription::NoApplicationProtocol => format!("{peer} does not speak SMB over QUIC there"),
        AlertDescription::InternalError => format!("{peer} had an internal error"),
        description => format!("{peer} ended the TLS handshake: {description:?}"),
    }
}

/// Why the peer of a client or a server ended a connection of the kernel: the code and phrase that it sent.
pub fn of_close(code: u32, phrase: &str, is_client: bool) -> String {
    if let Some(alert) = code.checked_sub(0x100).and_then(|alert| u8::try_from(alert).ok()) {
        return of_alert(alert, is_client);
    }
    let peer = if is_client { "the server" } else { "the client" };
    match (code, phrase) {
        (0, "") => "closed by the peer".into(),
        (_, "") => format!("{peer} ended the connection (QUIC error {code:#x})"),
        (_, phrase) => format!("{peer} ended the connection: {}", printable(phrase)),
    }
}
