//! What a listener of SMB over QUIC presents and demands ([MS-SMB2] 3.3.5.1).

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::hmac;
use quinn_proto::crypto::{self, Keys, UnsupportedVersion};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectionId, Side};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, DigitallySignedStruct, DistinguishedName, KeyLog, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::access::{decide, Access, Entry, Received};
use super::certificate::{Alternative, Certificate};
use super::keylog::KeyLogFile;
use super::refusal::Refusal;
use super::session::{initial_keys, retry_tag, End, Session};
use super::verify::{self, Peer, Trust};
use super::{certified_key, provider, BuildError, Unusable, ALPN};

/// Whether a server asks its clients for certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAccess {
    /// It does not ask.
    No,
    /// It asks; a client without one is let in, one with one is checked.
    Allow,
    /// A client without one is turned away.
    Require,
}

impl ClientAccess {
    /// By its word in the configuration.
    pub fn by_name(name: &str) -> Result<ClientAccess, Unusable> {
        match name {
            "no" => Ok(ClientAccess::No),
            "allow" => Ok(ClientAccess::Allow),
            "require" => Ok(ClientAccess::Require),
            _ => Err(Unusable(format!("client access is no, allow or require, not {name:?}"))),
        }
    }
}

/// The parts of a `ServerTls`; certificates, keys and lists in DER.
pub struct ServerParts<'a> {
    /// Each a chain, leaf first, and its key (PKCS#8, SEC1 or PKCS#1). The name that a client asks for chooses.
    pub certificates: &'a [(Vec<Vec<u8>>, Vec<u8>)],
    /// Whether clients need a certificate.
    pub client_access: ClientAccess,
    /// The CAs that clients' certificates must come from.
    pub client_cas: &'a [Vec<u8>],
    /// What those CAs have revoked.
    pub crls: &'a [Vec<u8>],
    /// The access list.
    pub entries: Vec<Entry>,
    /// A file for the secrets of handshakes.
    pub key_log: Option<&'a Path>,
    /// What tells this machine from others that may have the same certificate.
    pub machine: &'a [u8],
}

/// What a listener presents and demands. Unchangeable: what changes is another one.
pub struct ServerTls {
    config: Arc<rustls::ServerConfig>,
    chooser: Arc<Chooser>,
    clients: Option<Arc<Clients>>,
    suite: rustls::quic::Suite,
    reset_key: [u8; 32],
}

impl ServerTls {
    /// Puts the parts together; an error for what does not parse or does not fit, or a log that cannot be opened.
    pub fn new(parts: ServerParts<'_>) -> Result<Arc<ServerTls>, BuildError> {
        let chooser = Arc::new(Chooser::new(parts.certificates)?);
        let reset_key = reset_key(parts.certificates.first().map_or(&[], |(_, key)| key), parts.machine);
        let clients = match parts.client_access {
            ClientAccess::No => None,
            access => Some(Arc::new(Clients::new(&parts, access == ClientAccess::Require)?)),
        };
        let builder = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| Unusable(error.to_string()))?;
        let builder = match &clients {
            None => builder.with_no_client_auth(),
            Some(clients) => builder.with_client_cert_verifier(clients.clone()),
        };
        let mut config = builder.with_cert_resolver(chooser.clone());
        config.alpn_protocols = vec![ALPN.to_vec()];
        // No early data, which can be replayed, and no resumption, which would pass by the access list.
        config.max_early_data_size = 0;
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if let Some(path) = parts.key_log {
            config.key_log = KeyLogFile::open(path).map_err(BuildError::KeyLog)?;
        }
        let suite = super::initial_suite();
        Ok(Arc::new(ServerTls { config: Arc::new(config), chooser, clients, suite, reset_key }))
    }

    /// The key of stateless resets (RFC 9000 10.3.2). It is the same after a restart, so that clients of a server that
    /// crashed hear at once that their connections are gone.
    pub fn reset_key(&self) -> &[u8; 32] {
        &self.reset_key
    }

    /// The TLS of one connection: our encoded QUIC parameters, and who hears of the secrets instead of the log.
    pub(super) fn session(&self, parameters: Vec<u8>, log: Option<Arc<dyn KeyLog>>) -> Session<ServerEnd> {
        let mut config = self.config.clone();
        if let Some(log) = log {
            Arc::make_mut(&mut config).key_log = log;
        }
        let connection = rustls::quic::ServerConnection::new(config, rustls::quic::Version::V1, parameters)
            .expect("the configuration has TLS 1.3, QUIC's ciphers and no early data");
        Session::new(connection.into(), self.suite, ServerEnd(self.chooser.clone()))
    }

    /// Where the secrets of handshakes are logged.
    pub(super) fn key_log(&self) -> Arc<dyn KeyLog> {
        self.config.key_log.clone()
    }

    /// Whether a client with this chain, which was let in before, would be let in now; otherwise why not.
    pub fn recheck(&self, chain: &[Vec<u8>]) -> Result<(), String> {
        match &self.clients {
            None => Ok(()),
            Some(clients) if chain.is_empty() => match clients.required {
                true => Err("the client has no certificate, and one is required now".into()),
                false => Ok(()),
            },
            Some(clients) => {
                let chain: Vec<_> = chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
                clients.judge(&chain, UnixTime::now()).map_err(|refusal| refusal.sentence)
            }
        }
    }
}

fn reset_key(private_key: &[u8], machine: &[u8]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, private_key));
    context.update(b"frevo stateless reset\0");
    context.update(machine);
    let mut key = [0; 32];
    key.copy_from_slice(context.sign().as_ref());
    key
}

impl crypto::ServerConfig for ServerTls {
    fn initial_keys(&self, version: u32, id: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        initial_keys(&self.suite, version, id, Side::Server)
    }

    fn retry_tag(&self, _version: u32, original_id: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        retry_tag(original_id, packet)
    }

    fn start_session(
        self: Arc<Self>,
        _version: u32,
        parameters: &TransportParameters,
    ) -> Box<dyn crypto::Session> {
        let mut encoded = Vec::new();
        parameters.write(&mut encoded);
        Box::new(self.session(encoded, None))
    }
}

/// The certificates of a server, each with the names that it is for.
#[derive(Debug)]
struct Chooser(Vec<(Vec<Alternative>, Arc<CertifiedKey>)>);

impl Chooser {
    fn new(certificates: &[(Vec<Vec<u8>>, Vec<u8>)]) -> Result<Chooser, Unusable> {
        if certificates.is_empty() {
            return Err(Unusable("a server needs a certificate".into()));
        }
        let choices = certificates.iter().map(|(chain, key)| {
            let key = certified_key(chain, key)?;
            let leaf = Certificate::parse(&chain[0])?;
            let mut names = leaf.hosts();
            if leaf.alternatives.is_empty() {
                names.extend(leaf.common_name().map(Alternative::dns));
            }
            Ok((names, Arc::new(key)))
        });
        Ok(Chooser(choices.collect::<Result<_, _>>()?))
    }

    /// The certificates for a name, the best first. A client that came to an address names nobody (RFC 6066 3):
    /// it gets those that are for any address, because behind a router ours is not the one that it knows.
    fn fitting(&self, name: Option<&str>) -> Vec<&Arc<CertifiedKey>> {
        let chosen = |fits: &dyn Fn(&Alternative) -> bool| -> Vec<_> {
            self.0.iter().filter(|(names, _)| names.iter().any(fits)).map(|(_, key)| key).collect()
        };
        match name {
            None => chosen(&|it| matches!(it, Alternative::Ip(_))),
            Some(name) => {
                let exact = Alternative::dns(name);
                let mut keys = chosen(&|it| *it == exact);
                keys.extend(chosen(&|it| it.covers(name)));
                keys
            }
        }
    }
}

impl ResolvesServerCert for Chooser {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let keys = self.fitting(hello.server_name());
        let usable = |key: &&&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        // With no signature in common rustls ends the handshake and says so.
        keys.iter().find(usable).or(keys.first()).map(|key| Arc::clone(key))
    }
}

pub(super) struct ServerEnd(Arc<Chooser>);

impl End for ServerEnd {
    fn unnamed(&self, server_name: Option<&str>) -> Option<Refusal> {
        if !self.0.fitting(server_name).is_empty() {
            return None;
        }
        // [MS-SMB2] 3.3.5.1: no entry for the name ends the connection. The alerts are those of RFC 6066 3 and
        // RFC 8446 9.2.
        Some(match server_name {
            Some(name) => Refusal::new(
                AlertDescription::UnrecognisedName,
                format!("no certificate is for {name}, the name that the client asked for"),
            ),
            None => Refusal::new(
                AlertDescription::MissingExtension,
                "the client asked for no name, and no certificate is for an address",
            ),
        })
    }

    fn server_name(&self, requested: Option<&str>) -> String {
        requested.unwrap_or_default().to_owned()
    }

    fn verifies(&self, chain: &[CertificateDer<'_>]) -> bool {
        !chain.is_empty() // rustls has called `Clients` for it.
    }
}

/// Judges the certificates of clients.
#[derive(Debug)]
struct Clients {
    trust: Trust,
    subjects: Vec<DistinguishedName>,
    entries: Vec<Entry>,
    required: bool,
}

impl Clients {
    fn new(parts: &ServerParts<'_>, required: bool) -> Result<Clients, Unusable> {
        let trust = Trust::new(parts.client_cas, parts.crls, false)?;
        if trust.is_empty() {
            return Err(Unusable("client certificates need a CA that they come from".into()));
        }
        Ok(Clients { subjects: trust.subjects(), trust, entries: parts.entries.clone(), required })
    }

    /// [MS-SMB2] 3.3.5.1: first whether the chain is valid and trusted, then the access check. Alerts:
    /// access_denied for a client that is denied, internal_error for a check that cannot be made.
    fn judge(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Refusal> {
        let unreadable = |error: Unusable| {
            Refusal::new(AlertDescription::BadCertificate, format!("the client's certificate: {error}"))
        };
        let leaf = Certificate::parse(&chain[0]).map_err(unreadable)?;
        let path = self.trust.check(Peer::Client, chain, &leaf, now)?;
        let received = chain.iter().zip(path).map(|(der, on_path)| {
            Certificate::parse(der).map(|certificate| Received { certificate, on_path })
        });
        let received = received.collect::<Result<Vec<_>, _>>().map_err(|error| {
            let sentence = format!("the access check of {} failed: {error}", leaf.subject);
            Refusal::new(AlertDescription::InternalError, sentence)
        })?;
        match decide(&received, &self.entries) {
            Access::Granted => Ok(()),
            Access::Denied(why) => Err(Refusal::new(
                AlertDescription::AccessDenied,
                format!("the client {} is denied access: {why}", leaf.subject),
            )),
        }
    }
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.subjects
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let chain: Vec<_> = std::iter::once(leaf).chain(others).cloned().collect();
        self.judge(&chain, now).map_err(Refusal::into_error)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify::tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify::signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        verify::schemes()
    }
}
