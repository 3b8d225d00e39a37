//! Whom a server lets in: the access list of client certificates, [MS-SMB2] 3.3.1.18.

use std::fmt;

use super::certificate::{hex, Alternative, Certificate, Name, Sha256};
use super::Unusable;

/// What an entry says about a certificate. `Subject` and `Alternative` are ours, the others the specification's.
#[derive(Debug, Clone)]
pub enum Property {
    /// Its SHA-256.
    Sha256(Sha256),
    /// The name of whoever issued it.
    Issuer(Name),
    /// Its own name.
    Subject(Name),
    /// One of its subject alternative names.
    Alternative(Alternative),
}

impl Property {
    /// A property by its kind, of a distinguished name.
    pub fn of_name(kind: &str, attributes: Vec<(String, String)>) -> Result<Property, Unusable> {
        let name = Name::new(attributes);
        match kind {
            _ if name.is_empty() => Err(Unusable(format!("an entry for {kind} names nobody"))),
            "issuer" => Ok(Property::Issuer(name)),
            "subject" => Ok(Property::Subject(name)),
            _ => Err(unknown(kind)),
        }
    }

    /// A property of a subject alternative name, `DNS:x`, `email:x`, `IP:x` or `URI:x`.
    pub fn of_alternative(text: &str) -> Result<Property, Unusable> {
        Alternative::from_text(text).map(Property::Alternative)
    }

    /// A property of a SHA-256.
    pub fn of_sha256(bytes: &[u8]) -> Result<Property, Unusable> {
        let sha256 =
            bytes.try_into().map_err(|_| Unusable(format!("a SHA-256 has 32 bytes, not {}", bytes.len())))?;
        Ok(Property::Sha256(sha256))
    }

    fn fits(&self, certificate: &Certificate) -> bool {
        match self {
            Property::Sha256(sha256) => *sha256 == certificate.sha256,
            Property::Issuer(name) => name.matches(&certificate.issuer),
            Property::Subject(name) => name.matches(&certificate.subject),
            Property::Alternative(name) => certificate.alternatives.contains(name),
        }
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Property::Sha256(sha256) => write!(f, "sha256 {}", hex(sha256)),
            Property::Issuer(name) => write!(f, "issuer {name}"),
            Property::Subject(name) => write!(f, "subject {name}"),
            Property::Alternative(name) => write!(f, "san {name}"),
        }
    }
}

/// The error for an entry of a kind that does not exist.
pub fn unknown(kind: &str) -> Unusable {
    Unusable(format!("an entry is for sha256, issuer, subject or san, not {kind:?}"))
}

/// One line of the access list.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Whether it lets in or keeps out.
    pub allow: bool,
    /// The certificates that it is about, and with them all below them in a chain.
    pub property: Property,
}

/// A certificate that a client has sent.
#[derive(Debug, Clone)]
pub struct Received {
    /// The certificate.
    pub certificate: Certificate,
    /// Whether the verified path from the leaf to a trusted CA goes through it. A client can send whatever
    /// certificates it likes, also an allowed one that has nothing to do with its own.
    pub on_path: bool,
}

/// What the access list says of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// It may come in.
    Granted,
    /// It may not; why, for the log.
    Denied(String),
}

/// Decides over a chain that is valid and trusted: some entry allows, and none denies, anywhere in the chain.
///
/// A root that the client does not send is known only by its name, as the issuer of the one below it.
pub fn decide(chain: &[Received], entries: &[Entry]) -> Access {
    let about = |entry: &&Entry| {
        // An entry that allows needs a certificate that vouches for the leaf; one that denies takes any.
        chain.iter().any(|one| (one.on_path || !entry.allow) && entry.property.fits(&one.certificate))
    };
    if let Some(entry) = entries.iter().filter(|entry| !entry.allow).find(about) {
        return Access::Denied(format!("an entry denies {}", entry.property));
    }
    match entries.iter().filter(|entry| entry.allow).any(|entry| about(&entry)) {
        true => Access::Granted,
        false => Access::Denied("no entry allows it".into()),
    }
}
