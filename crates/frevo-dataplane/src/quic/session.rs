//! TLS inside a QUIC connection: rustls as quinn-proto needs it (RFC 9001).
//!
//! quinn-proto's own session does not say which cipher was chosen, and has rustls' alerts only: a name that no
//! certificate is for, or an access check that fails, have others.

use std::any::Any;
use std::io::Cursor;

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce, UnboundKey, AES_128_GCM};
use quinn_proto::crypto::{
    self, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, UnsupportedVersion,
};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectionError, ConnectionId, Side, TransportError, TransportErrorCode};
use rustls::quic::{Connection, KeyChange, PacketKeySet, Secrets, Suite, Version};
use rustls::CipherSuite;
use rustls_pki_types::CertificateDer;

use super::refusal::{self, Refusal};
use super::VERSION_1;

/// What a handshake has agreed on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Secured {
    /// The cipher, as in `AES-128-GCM`.
    pub cipher: &'static str,
    /// The name that the client asked for; empty if it came to an address.
    pub server_name: String,
    /// The certificates that the peer sent, leaf first, in DER.
    pub peer_chain: Vec<Vec<u8>>,
    /// Whether they prove who the peer is.
    pub verified: bool,
    /// Who speaks QUIC: `user` for this process, `kernel`.
    pub driver: &'static str,
}

/// What quinn-proto hands through from `Session::handshake_data`.
struct HandshakeData {
    secured: Option<Secured>,
    failure: Option<String>,
}

/// What the two ends do differently.
pub(super) trait End: Send + Sync + 'static {
    /// Why no certificate was chosen, if that is the reason for the error.
    fn unnamed(&self, _server_name: Option<&str>) -> Option<Refusal> {
        None
    }

    /// The name that was asked for; `requested` is what a client sent to a server.
    fn server_name(&self, requested: Option<&str>) -> String;

    /// Whether the certificates of a peer, once accepted, prove who it is.
    fn verifies(&self, chain: &[CertificateDer<'_>]) -> bool;
}

/// The agreement of a connection whose handshake is done.
pub fn secured(connection: &quinn_proto::Connection) -> Option<Secured> {
    data_of(connection).and_then(|data| data.secured)
}

/// Why a connection ended, in a sentence for people.
pub fn failure(connection: &quinn_proto::Connection, error: &ConnectionError) -> String {
    if let Some(sentence) = data_of(connection).and_then(|data| data.failure) {
        return sentence;
    }
    failure_of(error, connection.side().is_client())
}

/// Like `failure`, for an error that comes without a connection; `is_client`: which end we are.
pub fn failure_of(error: &ConnectionError, is_client: bool) -> String {
    match (error, refusal::alert_of(error)) {
        (ConnectionError::ConnectionClosed(_), Some(alert)) => refusal::of_alert(alert, is_client),
        (ConnectionError::TransportError(error), Some(_)) => error.reason.clone(),
        // As of a TCP connection: an end without a reason needs no code.
        (ConnectionError::ApplicationClosed(close), _) if close.reason.is_empty() => {
            "closed by the peer".into()
        }
        _ => super::certificate::printable(&error.to_string()),
    }
}

fn data_of(connection: &quinn_proto::Connection) -> Option<Box<HandshakeData>> {
    connection.crypto_session().handshake_data().and_then(|data| data.downcast().ok())
}

/// The keys of Initial packets, which everyone can compute.
pub(super) fn initial_keys(
    suite: &Suite,
    version: u32,
    id: &ConnectionId,
    side: Side,
) -> Result<Keys, UnsupportedVersion> {
    match version {
        VERSION_1 => Ok(boxed(suite.keys(id, side.into(), Version::V1))),
        _ => Err(UnsupportedVersion),
    }
}

fn boxed(keys: rustls::quic::Keys) -> Keys {
    Keys {
        header: KeyPair { local: Box::new(keys.local.header), remote: Box::new(keys.remote.header) },
        packet: KeyPair { local: Box::new(keys.local.packet), remote: Box::new(keys.remote.packet) },
    }
}

/// The integrity tag of a Retry packet without its tag (RFC 9001 5.8).
pub(super) fn retry_tag(original_id: &ConnectionId, packet: &[u8]) -> [u8; 16] {
    const KEY: [u8; 16] = 0xbe0c_690b_9f66_575a_1d76_6b54_e368_c84e_u128.to_be_bytes();
    const NONCE: [u8; 12] = [0x46, 0x15, 0x99, 0xd3, 0x5d, 0x63, 0x2b, 0xf2, 0x23, 0x98, 0x25, 0xbb];
    let mut pseudo = Vec::with_capacity(1 + original_id.len() + packet.len());
    pseudo.push(original_id.len() as u8);
    pseudo.extend_from_slice(original_id);
    pseudo.extend_from_slice(packet);
    let key = UnboundKey::new(&AES_128_GCM, &KEY).expect("the key has the cipher's length");
    let tag = LessSafeKey::new(key)
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(NONCE), Aad::from(pseudo), &mut [])
        .expect("a packet is far below what the cipher can take");
    let mut bytes = [0; 16];
    bytes.copy_from_slice(tag.as_ref());
    bytes
}

/// The TLS of one connection.
pub(super) struct Session<E> {
    connection: Connection,
    end: E,
    suite: Suite,
    next_secrets: Option<Secrets>,
    told_of_data: bool,
    failure: Option<String>,
}

impl<E: End> Session<E> {
    pub fn new(connection: Connection, suite: Suite, end: E) -> Session<E> {
        Session { connection, end, suite, next_secrets: None, told_of_data: false, failure: None }
    }

    /// The connection of rustls.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Why it has failed, for people.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    fn requested_name(&self) -> Option<&str> {
        match &self.connection {
            Connection::Client(_) => None,
            Connection::Server(connection) => connection.server_name(),
        }
    }

    /// The error that ends the connection; its reason is what the peer is told besides the alert.
    fn ended(&mut self, error: &rustls::Error) -> TransportError {
        let unnamed = matches!(error, rustls::Error::General(_))
            .then(|| self.end.unnamed(self.requested_name()))
            .flatten();
        let refusal = Refusal::of(error).cloned().or(unnamed);
        let alert = refusal.as_ref().map(|refusal| refusal.alert).or(self.connection.alert());
        let sentence = refusal.map_or_else(|| refusal::of_handshake(error), |refusal| refusal.sentence);
        self.failure = Some(sentence.clone());
        match alert {
            Some(alert) => TransportError {
                code: TransportErrorCode::crypto(alert.into()),
                frame: None,
                // What an access list says is the server's own business.
                reason: if alert == rustls::AlertDescription::AccessDenied {
                    String::new()
                } else {
                    sentence
                },
            },
            None => {
                TransportError { code: TransportErrorCode::PROTOCOL_VIOLATION, frame: None, reason: sentence }
            }
        }
    }

    /// What was agreed, once all is done.
    pub(super) fn secured(&self) -> Option<Secured> {
        if self.connection.is_handshaking() {
            return None;
        }
        let chain = self.connection.peer_certificates().unwrap_or_default();
        Some(Secured {
            cipher: match self.connection.negotiated_cipher_suite()?.suite() {
                CipherSuite::TLS13_AES_128_GCM_SHA256 => "AES-128-GCM",
                CipherSuite::TLS13_AES_256_GCM_SHA384 => "AES-256-GCM",
                CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "CHACHA20-POLY1305",
                _ => "unknown",
            },
            server_name: self.end.server_name(self.requested_name()),
            verified: self.end.verifies(chain),
            driver: "user",
            peer_chain: chain.iter().map(|certificate| certificate.to_vec()).collect(),
        })
    }
}

impl<E: End> crypto::Session for Session<E> {
    fn initial_keys(&self, id: &ConnectionId, side: Side) -> Keys {
        boxed(self.suite.keys(id, side.into(), Version::V1))
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        Some(Box::new(HandshakeData { secured: self.secured(), failure: self.failure.clone() }))
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        let chain = self.connection.peer_certificates()?;
        Some(Box::new(chain.iter().map(|one| one.clone().into_owned()).collect::<Vec<_>>()))
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        None // Early data could be replayed: a WRITE that is done twice.
    }

    fn early_data_accepted(&self) -> Option<bool> {
        matches!(self.connection, Connection::Client(_)).then_some(false)
    }

    fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    fn read_handshake(&mut self, data: &[u8]) -> Result<bool, TransportError> {
        if let Err(error) = self.connection.read_hs(data) {
            return Err(self.ended(&error));
        }
        let first = !self.told_of_data && !self.connection.is_handshaking();
        self.told_of_data |= first;
        Ok(first)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let side = match self.connection {
            Connection::Client(_) => Side::Client,
            Connection::Server(_) => Side::Server,
        };
        self.connection
            .quic_transport_parameters()
            .map(|bytes| TransportParameters::read(side, &mut Cursor::new(bytes)).map_err(Into::into))
            .transpose()
    }

    fn write_handshake(&mut self, out: &mut Vec<u8>) -> Option<Keys> {
        match self.connection.write_hs(out)? {
            KeyChange::Handshake { keys } => Some(boxed(keys)),
            KeyChange::OneRtt { keys, next } => {
                self.next_secrets = Some(next);
                Some(boxed(keys))
            }
        }
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let PacketKeySet { local, remote } = self.next_secrets.as_mut()?.next_packet_keys();
        Some(KeyPair { local: Box::new(local), remote: Box::new(remote) })
    }

    fn is_valid_retry(&self, original_id: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        let Some(split) = payload.len().checked_sub(16) else { return false };
        let (body, tag) = payload.split_at(split);
        retry_tag(original_id, &[header, body].concat()) == tag
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.connection
            .export_keying_material(output, label, Some(context))
            .map(|_| ())
            .map_err(|_| ExportKeyingMaterialError)
    }
}
