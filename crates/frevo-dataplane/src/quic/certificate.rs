//! What is read from a certificate for decisions about names, and for sentences about them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aws_lc_rs::digest::{digest, SHA256};
use x509_parser::asn1_rs::{Any, Tag};
use x509_parser::prelude::{ASN1Time, FromDer, GeneralName, X509Certificate, X509Name};

use super::Unusable;

/// Bytes of SHA-256.
pub type Sha256 = [u8; 32];

/// One certificate, with what its DER says in a form that can be compared.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub sha256: Sha256,
    pub subject: Name,
    pub issuer: Name,
    /// The names of its subjectAltName extension, without those of other kinds.
    pub alternatives: Vec<Alternative>,
    /// The dates between which it is valid, in seconds since 1970.
    pub not_before: i64,
    pub not_after: i64,
}

impl Certificate {
    /// Reads DER. An error for what is no X.509 certificate, or one with something after it.
    pub fn parse(der: &[u8]) -> Result<Certificate, Unusable> {
        let (rest, parsed) = X509Certificate::from_der(der)
            .map_err(|_| Unusable("this is not an X.509 certificate in DER".into()))?;
        if !rest.is_empty() {
            return Err(Unusable(format!("{} bytes follow the certificate", rest.len())));
        }
        let alternatives = parsed
            .subject_alternative_name()
            .map_err(|_| Unusable("the certificate has two lists of alternative names".into()))?
            .map(|names| names.value.general_names.iter().filter_map(Alternative::read).collect())
            .unwrap_or_default();
        Ok(Certificate {
            sha256: fingerprint(der),
            subject: Name::read(parsed.subject()),
            issuer: Name::read(parsed.issuer()),
            alternatives,
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
        })
    }

    /// The host names and addresses that it is for.
    pub fn hosts(&self) -> Vec<Alternative> {
        let is_host = |name: &&Alternative| matches!(name, Alternative::Dns(_) | Alternative::Ip(_));
        self.alternatives.iter().filter(is_host).cloned().collect()
    }

    /// The common name, in which certificates had their host before there were alternative names.
    pub fn common_name(&self) -> Option<&str> {
        self.subject.0.iter().rev().find(|(oid, _)| oid == "2.5.4.3").map(|(_, text)| text.as_str())
    }

    /// Whether it names itself as its issuer.
    pub fn is_self_issued(&self) -> bool {
        self.subject.matches(&self.issuer)
    }
}

/// The SHA-256 that a certificate is known by.
pub fn fingerprint(der: &[u8]) -> Sha256 {
    let mut sha256 = Sha256::default();
    sha256.copy_from_slice(digest(&SHA256, der).as_ref());
    sha256
}

/// A SHA-256 as users write it.
pub fn hex(sha256: &Sha256) -> String {
    sha256.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A day as users write it, of seconds since 1970.
pub fn day(seconds: i64) -> String {
    ASN1Time::from_timestamp(seconds)
        .map_or_else(|_| "an impossible date".into(), |time| time.to_datetime().date().to_string())
}

/// A text of somebody else's that may stand in a log line.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A distinguished name: its attributes in order, each (object identifier, text).
#[derive(Debug, Clone)]
pub struct Name(Vec<(String, String)>);

impl Name {
    /// A name from its attributes as Python has them.
    pub fn new(attributes: Vec<(String, String)>) -> Name {
        Name(attributes)
    }

    fn read(name: &X509Name<'_>) -> Name {
        let text = |any: &Any<'_>| {
            text_of(any).unwrap_or_else(|| {
                // RFC 4514 2.4: what is no text is written as its bytes, so that every name can be compared.
                any.data.iter().fold(String::from("#"), |text, byte| text + &format!("{byte:02x}"))
            })
        };
        Name(
            name.iter_attributes()
                .map(|attribute| (attribute.attr_type().to_id_string(), text(attribute.attr_value())))
                .collect(),
        )
    }

    /// Whether two names are the same: attribute by attribute, whatever their case, spaces and string types.
    pub fn matches(&self, other: &Name) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().zip(&other.0).all(|((oid, text), (other_oid, other_text))| {
                oid == other_oid && folded(text) == folded(other_text)
            })
    }

    /// Whether there is no attribute.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (oid, text)) in self.0.iter().enumerate() {
            let name = match oid.as_str() {
                "2.5.4.3" => "CN",
                "2.5.4.6" => "C",
                "2.5.4.7" => "L",
                "2.5.4.8" => "ST",
                "2.5.4.10" => "O",
                "2.5.4.11" => "OU",
                "0.9.2342.19200300.100.1.25" => "DC",
                "1.2.840.113549.1.9.1" => "emailAddress",
                other => other,
            };
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{name}={}", printable(text))?;
        }
        Ok(())
    }
}

/// The text of an attribute; None for what is no string, or a broken one.
fn text_of(any: &Any<'_>) -> Option<String> {
    let data = any.data;
    match any.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString | Tag::VisibleString => {
            std::str::from_utf8(data).ok().map(str::to_owned)
        }
        // Teletex strings in certificates are Latin-1, whatever T.61 says.
        Tag::T61String => Some(data.iter().map(|&byte| char::from(byte)).collect()),
        Tag::BmpString if data.len() % 2 == 0 => {
            let units: Vec<u16> =
                data.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            String::from_utf16(&units).ok()
        }
        Tag::UniversalString if data.len() % 4 == 0 => data
            .chunks_exact(4)
            .map(|four| char::from_u32(u32::from_be_bytes([four[0], four[1], four[2], four[3]])))
            .collect(),
        _ => None,
    }
}

/// Lower case, with one space for several and none at the ends (RFC 5280 7.1).
fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// One name of a subjectAltName extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alternative {
    /// In lower case, without a last dot.
    Dns(String),
    Email(String),
    Ip(IpAddr),
    Uri(String),
}

impl Alternative {
    fn read(name: &GeneralName<'_>) -> Option<Alternative> {
        match name {
            GeneralName::DNSName(name) => Some(Alternative::dns(name)),
            GeneralName::RFC822Name(name) => Some(Alternative::Email(name.to_lowercase())),
            GeneralName::URI(uri) => Some(Alternative::Uri((*uri).to_owned())),
            GeneralName::IPAddress(bytes) => match bytes.len() {
                4 => {
                    <[u8; 4]>::try_from(*bytes).ok().map(|four| Alternative::Ip(Ipv4Addr::from(four).into()))
                }
                _ => <[u8; 16]>::try_from(*bytes).ok().map(|all| Alternative::Ip(Ipv6Addr::from(all).into())),
            },
            _ => None,
        }
    }

    /// A host name, in the form in which they are compared.
    pub fn dns(name: &str) -> Alternative {
        Alternative::Dns(name.strip_suffix('.').unwrap_or(name).to_lowercase())
    }

    /// A name as it stands in an access list: `DNS:x`, `email:x`, `IP:x` or `URI:x`.
    pub fn from_text(text: &str) -> Result<Alternative, Unusable> {
        let unusable = || Unusable(format!("{text:?} is not DNS:name, email:name, IP:address or URI:uri"));
        let (kind, value) = text.split_once(':').ok_or_else(unusable)?;
        match kind.to_ascii_lowercase().as_str() {
            _ if value.is_empty() => Err(unusable()),
            "dns" => Ok(Alternative::dns(value)),
            "email" => Ok(Alternative::Email(value.to_lowercase())),
            "ip" => value.parse().map(Alternative::Ip).map_err(|_| unusable()),
            "uri" => Ok(Alternative::Uri(value.to_owned())),
            _ => Err(unusable()),
        }
    }

    /// Whether a certificate with this name is for a host: the same name, or one label in place of a `*`.
    pub fn covers(&self, host: &str) -> bool {
        let Alternative::Dns(name) = self else { return false };
        let host = host.strip_suffix('.').unwrap_or(host).to_lowercase();
        match name.strip_prefix("*.") {
            None => *name == host,
            Some(parent) => {
                host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent)
            }
        }
    }
}

impl fmt::Display for Alternative {
    /// As in an access list.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Alternative::Dns(name) => write!(f, "DNS:{}", printable(name)),
            Alternative::Email(name) => write!(f, "email:{}", printable(name)),
            Alternative::Ip(address) => write!(f, "IP:{address}"),
            Alternative::Uri(uri) => write!(f, "URI:{}", printable(uri)),
        }
    }
}

/// The names for a sentence: at most five, without their kinds.
pub fn listed(names: &[Alternative]) -> String {
    let mut texts: Vec<String> = names
        .iter()
        .take(5)
        .map(|name| name.to_string().split_once(':').map_or_else(String::new, |(_, text)| text.to_owned()))
        .collect();
    if names.len() > 5 {
        texts.push("...".into());
    }
    match texts.is_empty() {
        true => "no host".into(),
        false => texts.join(", "),
    }
}
