//! Whether a chain of certificates leads to a trusted CA; what is wrong with it, in a sentence.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::{AlertDescription, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{
    anchor_from_trusted_cert, CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage,
    OwnedCertRevocationList, RevocationOptionsBuilder, UnknownStatusPolicy,
};

use super::certificate::{day, hex, listed, Certificate};
use super::refusal::Refusal;
use super::{provider, Unusable};

/// The signature of a handshake, by which a peer shows that it has the key of its certificate.
pub(super) fn signature(
    message: &[u8],
    leaf: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let algorithms = &provider().signature_verification_algorithms;
    rustls::crypto::verify_tls13_signature(message, leaf, signature, algorithms)
}

/// The answer to a handshake of TLS 1.2, which QUIC does not have (RFC 9001 4.2).
pub(super) fn tls12() -> Result<HandshakeSignatureValid, rustls::Error> {
    Err(rustls::PeerIncompatible::Tls13RequiredForQuic.into())
}

/// The signatures that can be verified.
pub(super) fn schemes() -> Vec<SignatureScheme> {
    provider().signature_verification_algorithms.supported_schemes()
}

/// What certificates of the peer are judged by.
#[derive(Debug)]
pub(super) struct Trust {
    cas: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
    crls: Vec<CertRevocationList<'static>>,
    /// Whether a CRL must know every certificate of the chain and be up to date. Otherwise what is revoked is
    /// refused, and what no CRL speaks of is not.
    strict: bool,
}

/// Certificates that a peer may send: real chains have two to four, and each is read and compared with every entry.
const CHAIN_MAX: usize = 16;

/// Whose certificate it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Server,
    Client,
}

impl Peer {
    fn usage(self) -> KeyUsage {
        match self {
            Peer::Server => KeyUsage::server_auth(),
            Peer::Client => KeyUsage::client_auth(),
        }
    }

    fn certificate(self) -> &'static str {
        match self {
            Peer::Server => "the server's certificate",
            Peer::Client => "the client's certificate",
        }
    }
}

impl Trust {
    /// Trust in CAs, as restricted by CRLs. Some CAs of a system's store may be unreadable, but not all.
    pub fn new(cas: &[Vec<u8>], crls: &[Vec<u8>], strict: bool) -> Result<Trust, Unusable> {
        let cas: Vec<_> = cas.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let anchors: Vec<_> = cas
            .iter()
            .filter_map(|der| anchor_from_trusted_cert(der).map(|anchor| anchor.to_owned()).ok())
            .collect();
        if anchors.is_empty() && !cas.is_empty() {
            return Err(Unusable("a CA is not an X.509 certificate in DER".into()));
        }
        let crls = crls
            .iter()
            .map(|der| OwnedCertRevocationList::from_der(der).map(CertRevocationList::from))
            .collect::<Result<_, _>>()
            .map_err(|error| Unusable(format!("a CRL cannot be used: {error}")))?;
        Ok(Trust { cas, anchors, crls, strict })
    }

    /// Whether no CA is trusted.
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// The subjects of the CAs, as a server names them to its clients.
    pub fn subjects(&self) -> Vec<rustls::DistinguishedName> {
        self.anchors.iter().map(|anchor| rustls::DistinguishedName::in_sequence(&anchor.subject)).collect()
    }

    /// Checks a chain, leaf first: which of its certificates the path from the leaf to a trusted CA goes through.
    pub fn check(
        &self,
        peer: Peer,
        chain: &[CertificateDer<'_>],
        leaf: &Certificate,
        now: UnixTime,
    ) -> Result<Vec<bool>, Refusal> {
        if chain.len() > CHAIN_MAX {
            let sentence = format!("{} comes with {} others", peer.certificate(), chain.len() - 1);
            return Err(Refusal::new(AlertDescription::BadCertificate, sentence));
        }
        if self.cas.contains(&chain[0]) {
            // Small servers present a certificate that they signed themselves, often one of a CA, which no path
            // may begin with: it is trusted because it is named itself.
            self.check_named(peer, &chain[0], leaf, now)?;
            return Ok((0..chain.len()).map(|index| index == 0).collect());
        }
        self.path(peer, chain, now).map_err(|error| refusal(peer, leaf, error))
    }

    /// Checks a certificate that is trusted by itself for all that it says itself, and what a CRL says of it.
    fn check_named(
        &self,
        peer: Peer,
        der: &CertificateDer<'_>,
        leaf: &Certificate,
        now: UnixTime,
    ) -> Result<(), Refusal> {
        check_dates(peer, leaf, now)?;
        let fits = match peer {
            Peer::Server => leaf.for_servers,
            Peer::Client => leaf.for_clients,
        };
        if !fits {
            return Err(wrong_purpose(peer));
        }
        let certificate = EndEntityCert::try_from(der).map_err(|error| refusal(peer, leaf, error))?;
        // Who has signed the list is not asked: it can only refuse, and it was given by whoever runs this end.
        let lists = self.crls.iter().filter(|crl| crl.issuer() == certificate.issuer());
        for crl in lists {
            match crl.find_serial(certificate.serial()) {
                Ok(None) => (),
                Ok(Some(_)) => return Err(refusal(peer, leaf, webpki::Error::CertRevoked)),
                Err(error) => return Err(refusal(peer, leaf, error)),
            }
        }
        Ok(())
    }

    fn path(
        &self,
        peer: Peer,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Vec<bool>, webpki::Error> {
        let crls: Vec<_> = self.crls.iter().collect();
        let revocation = RevocationOptionsBuilder::new(&crls).ok().map(|options| match self.strict {
            true => options
                .with_status_policy(UnknownStatusPolicy::Deny)
                .with_expiration_policy(ExpirationPolicy::Enforce)
                .build(),
            false => options.with_status_policy(UnknownStatusPolicy::Allow).build(),
        });
        let leaf = EndEntityCert::try_from(&chain[0])?;
        let algorithms = provider().signature_verification_algorithms.all;
        let path = leaf.verify_for_usage(
            algorithms,
            &self.anchors,
            &chain[1..],
            now,
            peer.usage(),
            revocation,
            None,
        )?;
        let is_anchor = |der: &CertificateDer<'_>| {
            anchor_from_trusted_cert(der).is_ok_and(|it| {
                it.subject == path.anchor().subject
                    && it.subject_public_key_info == path.anchor().subject_public_key_info
            })
        };
        let on_path = |(index, der): (usize, &CertificateDer<'_>)| {
            index == 0 || path.intermediate_certificates().any(|one| one.der() == *der) || is_anchor(der)
        };
        Ok(chain.iter().enumerate().map(on_path).collect())
    }

    /// Checks that a certificate is for a host.
    pub fn check_name(
        leaf: &Certificate,
        der: &CertificateDer<'_>,
        host: &rustls_pki_types::ServerName<'_>,
    ) -> Result<(), Refusal> {
        let fits = EndEntityCert::try_from(der)
            .is_ok_and(|certificate| certificate.verify_is_valid_for_subject_name(host).is_ok());
        if fits {
            return Ok(());
        }
        let (hosts, asked) = (leaf.hosts(), host.to_str());
        Err(Refusal::new(
            AlertDescription::BadCertificate,
            match leaf.common_name().filter(|_| hosts.is_empty()) {
                Some(name) => format!(
                    "the server's certificate names a host only in its subject ({}), which is no longer valid: \
                     it needs {asked} as a subject alternative name",
                    super::certificate::printable(name)
                ),
                None => format!("the server's certificate is for {}, not for {asked}", listed(&hosts)),
            },
        ))
    }
}

/// What a chain that does not verify is refused with.
fn refusal(peer: Peer, leaf: &Certificate, error: webpki::Error) -> Refusal {
    use webpki::Error;
    let it = peer.certificate();
    match error {
        Error::CertExpired { not_after, .. } => expired(peer, leaf, seconds(not_after)),
        Error::CertNotValidYet { not_before, .. } => not_yet_valid(peer, leaf, seconds(not_before)),
        Error::CertRevoked => {
            Refusal::new(AlertDescription::CertificateRevoked, format!("{it} is revoked by its CA"))
        }
        Error::UnknownIssuer | Error::CaUsedAsEndEntity => match leaf.is_self_issued() {
            true => untrusted(peer, leaf, format!("{it} is self-signed and not trusted")),
            false => untrusted(peer, leaf, format!("the CA of {it} ({}) is not trusted", leaf.issuer)),
        },
        Error::InvalidSignatureForPublicKey => {
            let why = format!("{it} is from a CA ({}) of a trusted name with another key", leaf.issuer);
            untrusted(peer, leaf, why)
        }
        Error::UnknownRevocationStatus => {
            Refusal::new(AlertDescription::UnknownCA, format!("no CRL is from the CA of {it}"))
        }
        Error::CrlExpired { next_update, .. } => Refusal::new(
            AlertDescription::UnknownCA,
            format!("the CRL for {it} has been out of date since {}", day(seconds(next_update))),
        ),
        Error::RequiredEkuNotFoundContext(_) => wrong_purpose(peer),
        error => Refusal::new(AlertDescription::BadCertificate, format!("{it} cannot be used: {error}")),
    }
}

fn wrong_purpose(peer: Peer) -> Refusal {
    let text = format!("{} is for another purpose (extended key usage)", peer.certificate());
    Refusal::new(AlertDescription::UnsupportedCertificate, text)
}

fn untrusted(peer: Peer, leaf: &Certificate, why: String) -> Refusal {
    let hint = match peer {
        Peer::Server => {
            let sha256 = hex(&leaf.sha256);
            format!(": use --tls-ca FILE with its CA, or --tls-fingerprint {sha256} if this is the server's")
        }
        Peer::Client => String::new(),
    };
    Refusal::new(AlertDescription::UnknownCA, why + &hint)
}

/// Checks the dates of a certificate.
fn check_dates(peer: Peer, leaf: &Certificate, now: UnixTime) -> Result<(), Refusal> {
    match seconds(now) {
        now if now > leaf.not_after => Err(expired(peer, leaf, leaf.not_after)),
        now if now < leaf.not_before => Err(not_yet_valid(peer, leaf, leaf.not_before)),
        _ => Ok(()),
    }
}

fn expired(peer: Peer, leaf: &Certificate, not_after: i64) -> Refusal {
    let it = subject_of_dates(peer, not_after == leaf.not_after);
    Refusal::new(AlertDescription::CertificateExpired, format!("{it} expired on {}", day(not_after)))
}

fn not_yet_valid(peer: Peer, leaf: &Certificate, not_before: i64) -> Refusal {
    let it = subject_of_dates(peer, not_before == leaf.not_before);
    let text = format!("{it} is not valid before {}: is this machine's clock right?", day(not_before));
    Refusal::new(AlertDescription::CertificateExpired, text)
}

fn subject_of_dates(peer: Peer, is_leaf: bool) -> String {
    match is_leaf {
        true => peer.certificate().to_owned(),
        false => format!("a CA above {}", peer.certificate()),
    }
}

fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}
