//! What a client of SMB over QUIC demands of a server, and presents.

use std::path::Path;
use std::sync::Arc;

use quinn_proto::crypto;
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::ConnectError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::Resumption;
use rustls::sign::SingleCertAndKey;
use rustls::{AlertDescription, DigitallySignedStruct, KeyLog, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::certificate::{fingerprint, hex, Certificate, Sha256};
use super::keylog::KeyLogFile;
use super::refusal::Refusal;
use super::session::{End, Session};
use super::verify::{self, Peer, Trust};
use super::{certified_key, initial_suite, provider, BuildError, Unusable, ALPN, VERSION_1};

/// How a server is checked: the words of Samba's `tls verify peer`, each stricter than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verify {
    /// Not at all.
    NoCheck,
    /// Its certificate comes from a trusted CA, is in date and not revoked.
    CaOnly,
    /// And it is for the server's name, if that is a name and no address.
    CaAndNameIfAvailable,
    /// And it is for the server's name or address.
    CaAndName,
    /// And if there are CRLs, they are up to date and one is from each CA of the chain. Samba refuses every server
    /// when it has no CRL; we do not, because this is the default, and few small networks have one.
    AsStrictAsPossible,
}

impl Verify {
    /// By its word in the configuration.
    pub fn by_name(name: &str) -> Result<Verify, Unusable> {
        match name {
            "no_check" => Ok(Verify::NoCheck),
            "ca_only" => Ok(Verify::CaOnly),
            "ca_and_name_if_available" => Ok(Verify::CaAndNameIfAvailable),
            "ca_and_name" => Ok(Verify::CaAndName),
            "as_strict_as_possible" => Ok(Verify::AsStrictAsPossible),
            _ => Err(Unusable(format!(
                "a server is checked as no_check, ca_only, ca_and_name_if_available, ca_and_name or \
                 as_strict_as_possible, not {name:?}"
            ))),
        }
    }
}

/// The parts of a `ClientTls`; certificates, keys and lists in DER.
pub struct ClientParts<'a> {
    /// The server's name, or its address, which its certificate must be for.
    pub server_name: &'a str,
    /// How it is checked.
    pub verify: Verify,
    /// The CAs that are trusted.
    pub cas: &'a [Vec<u8>],
    /// What those CAs have revoked.
    pub crls: &'a [Vec<u8>],
    /// The one certificate that the server may have, by its SHA-256, in place of every other check.
    pub fingerprint: Option<&'a [u8]>,
    /// Our chain, leaf first, and its key, for a server that asks for it.
    pub certificate: Option<(&'a [Vec<u8>], &'a [u8])>,
    /// A file for the secrets of handshakes.
    pub key_log: Option<&'a Path>,
}

/// What a client demands and presents. Unchangeable.
pub struct ClientTls {
    config: Arc<rustls::ClientConfig>,
    server: Arc<Server>,
    suite: rustls::quic::Suite,
}

impl ClientTls {
    /// Puts the parts together; an error for what does not parse or does not fit, or a log that cannot be opened.
    pub fn new(parts: ClientParts<'_>) -> Result<Arc<ClientTls>, BuildError> {
        let server = Arc::new(Server::new(&parts)?);
        let builder = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| Unusable(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(server.clone());
        let mut config = match parts.certificate {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let key = certified_key(chain, key)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.enable_early_data = false;
        config.resumption = Resumption::disabled();
        if let Some(path) = parts.key_log {
            config.key_log = KeyLogFile::open(path).map_err(BuildError::KeyLog)?;
        }
        Ok(Arc::new(ClientTls { config: Arc::new(config), server, suite: initial_suite() }))
    }

    /// The name or address that the server is asked for and checked against.
    pub fn server_name(&self) -> String {
        self.server.name.to_str().into_owned()
    }

    /// The TLS of one connection: our encoded QUIC parameters, and who hears of the secrets instead of the log.
    pub(super) fn session(
        &self,
        parameters: Vec<u8>,
        log: Option<Arc<dyn KeyLog>>,
    ) -> Result<Session<ClientEnd>, rustls::Error> {
        let mut config = self.config.clone();
        if let Some(log) = log {
            Arc::make_mut(&mut config).key_log = log;
        }
        let (version, name) = (rustls::quic::Version::V1, self.server.name.clone());
        let connection = rustls::quic::ClientConnection::new(config, version, name, parameters)?;
        Ok(Session::new(connection.into(), self.suite, ClientEnd(self.server.clone())))
    }

    /// Where the secrets of handshakes are logged.
    pub(super) fn key_log(&self) -> Arc<dyn KeyLog> {
        self.config.key_log.clone()
    }
}

impl crypto::ClientConfig for ClientTls {
    /// The name that quinn-proto passes on is not used: `server_name` is the one.
    fn start_session(
        self: Arc<Self>,
        version: u32,
        _server_name: &str,
        parameters: &TransportParameters,
    ) -> Result<Box<dyn crypto::Session>, ConnectError> {
        if version != VERSION_1 {
            return Err(ConnectError::UnsupportedVersion);
        }
        let mut encoded = Vec::new();
        parameters.write(&mut encoded);
        match self.session(encoded, None) {
            Ok(session) => Ok(Box::new(session)),
            Err(_) => Err(ConnectError::InvalidServerName(self.server_name())),
        }
    }
}

pub(super) struct ClientEnd(Arc<Server>);

impl End for ClientEnd {
    fn server_name(&self, _requested: Option<&str>) -> String {
        self.0.name.to_str().into_owned()
    }

    fn verifies(&self, _chain: &[CertificateDer<'_>]) -> bool {
        // A handshake that is done has passed the checks; whether they prove who the server is depends on them.
        self.0.fingerprint.is_some() || (self.0.verify > Verify::CaOnly && self.0.checks_name())
    }
}

/// Judges the certificate of the server.
#[derive(Debug)]
struct Server {
    name: ServerName<'static>,
    verify: Verify,
    trust: Trust,
    fingerprint: Option<Sha256>,
}

impl Server {
    fn new(parts: &ClientParts<'_>) -> Result<Server, Unusable> {
        let name = ServerName::try_from(parts.server_name.to_owned()).map_err(|_| {
            Unusable(format!("{:?} is neither a host name nor an address", parts.server_name))
        })?;
        let fingerprint = match parts.fingerprint {
            None => None,
            Some(bytes) => Some(bytes.try_into().map_err(|_| {
                Unusable(format!("a fingerprint is a SHA-256 of 32 bytes, not {}", bytes.len()))
            })?),
        };
        let trust = Trust::new(parts.cas, parts.crls, parts.verify == Verify::AsStrictAsPossible)?;
        Ok(Server { name, verify: parts.verify, trust, fingerprint })
    }

    fn checks_name(&self) -> bool {
        match self.verify {
            Verify::NoCheck | Verify::CaOnly => false,
            Verify::CaAndNameIfAvailable => matches!(self.name, ServerName::DnsName(_)),
            Verify::CaAndName | Verify::AsStrictAsPossible => true,
        }
    }

    fn judge(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Refusal> {
        if let Some(expected) = self.fingerprint {
            let presented = fingerprint(&chain[0]);
            if presented == expected {
                return Ok(());
            }
            let sentence = format!(
                "the server's certificate has the SHA-256 {}, not {} as was asked for",
                hex(&presented),
                hex(&expected)
            );
            return Err(Refusal::new(AlertDescription::BadCertificate, sentence));
        }
        if self.verify == Verify::NoCheck {
            return Ok(());
        }
        let leaf = Certificate::parse(&chain[0]).map_err(|error| {
            Refusal::new(AlertDescription::BadCertificate, format!("the server's certificate: {error}"))
        })?;
        let sha256 = hex(&leaf.sha256);
        self.trust.check(Peer::Server, chain, &leaf, now).map_err(|refusal| match refusal.alert {
            // An unknown CA comes with its advice, and what a CA has said itself stands.
            AlertDescription::UnknownCA | AlertDescription::CertificateRevoked => refusal,
            _ => refusal.advising(&format!("--tls-fingerprint {sha256} trusts it all the same")),
        })?;
        if !self.checks_name() {
            return Ok(());
        }
        Trust::check_name(&leaf, &chain[0], &self.name).map_err(|refusal| {
            refusal.advising(&format!(
                "--tls-server-name NAME expects another name, --tls-fingerprint {sha256} trusts it under any"
            ))
        })
    }
}

impl ServerCertVerifier for Server {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain: Vec<_> = std::iter::once(leaf).chain(others).cloned().collect();
        self.judge(&chain, now).map_err(Refusal::into_error)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify::tls12()
    }

    /// Always verified, also for a certificate that nothing else is asked of: the server must have its key.
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
