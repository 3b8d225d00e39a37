//! What is read from a certificate for decisions about names, and for sentences about them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aws_lc_rs::digest::{digest, SHA256};
use x509_parser::asn1_rs::{Any, Tag};
use x509_parser::prelude::{
    ASN1Time, AttributeTypeAndValue, FromDer, GeneralName, X509Certificate, X509Name,
};

use super::Unusable;

/// Bytes of SHA-256.
pub type Sha256 = [u8; 32];

/// One certificate, with what its DER says in a form that can be compared.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// What it is known by.
    pub sha256: Sha256,
    /// Whose it is.
    pub subject: Name,
    /// Who has signed it.
    pub issuer: Name,
    /// The names of its subjectAltName extension, without those of other kinds.
    pub alternatives: Vec<Alternative>,
    /// Whether it may be a server's, and a client's: all purposes when it names none (RFC 5280 4.2.1.12).
    pub for_servers: bool,
    /// See `for_servers`.
    pub for_clients: bool,
    /// From when it is valid, in seconds since 1970.
    pub not_before: i64,
    /// Until when it is valid, in seconds since 1970.
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
        let purposes = parsed
            .extended_key_usage()
            .map_err(|_| Unusable("the certificate has two lists of purposes".into()))?
            .map(|purposes| purposes.value);
        Ok(Certificate {
            for_servers: purposes.is_none_or(|them| them.server_auth),
            for_clients: purposes.is_none_or(|them| them.client_auth),
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
        self.subject.0.iter().rev().find(|one| one.oid == "2.5.4.3").map(|one| one.text.as_str())
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

/// The longest text of somebody else's that is shown, in characters.
const SHOWN: usize = 256;

/// A text of somebody else's that may stand in a log line: without control characters, and not endless.
pub fn printable(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push_str("...");
    }
    shown
}

/// A distinguished name: its attributes in order.
#[derive(Debug, Clone)]
pub struct Name(Vec<Attribute>);

#[derive(Debug, Clone)]
struct Attribute {
    oid: String,
    text: String,
    /// The text as it is compared (RFC 5280 7.1): lower case, one space for several and none at the ends.
    folded: String,
}

impl Attribute {
    fn new(oid: String, text: String) -> Attribute {
        let folded = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        Attribute { oid, text, folded }
    }

    fn read(attribute: &AttributeTypeAndValue<'_>) -> Attribute {
        let (oid, value) = (attribute.attr_type(), attribute.attr_value());
        // Decimal numbers of any length take quadratic time; no attribute that is in use has a long identifier.
        let oid = match oid.as_bytes() {
            long if long.len() > 64 => hashed(long),
            _ => oid.to_id_string(),
        };
        Attribute::new(oid, text_of(value).unwrap_or_else(|| hashed(value.data)))
    }
}

/// Bytes that are no text, as RFC 4514 2.4 writes them: every name can be compared and shown.
fn hashed(bytes: &[u8]) -> String {
    bytes.iter().fold(String::from("#"), |mut text, byte| {
        text.push_str(&format!("{byte:02x}"));
        text
    })
}

impl Name {
    /// A name from its attributes, each (object identifier in dotted form, text).
    pub fn new(attributes: Vec<(String, String)>) -> Name {
        Name(attributes.into_iter().map(|(oid, text)| Attribute::new(oid, text)).collect())
    }

    fn read(name: &X509Name<'_>) -> Name {
        Name(name.iter_attributes().map(Attribute::read).collect())
    }

    /// Whether two names are the same: attribute by attribute, whatever their case, spaces and string types.
    pub fn matches(&self, other: &Name) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().zip(&other.0).all(|(one, two)| one.oid == two.oid && one.folded == two.folded)
    }

    /// Whether there is no attribute.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for Attribute { oid, text: value, .. } in &self.0 {
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
            let separator = if text.is_empty() { "" } else { ", " };
            text.push_str(&format!("{separator}{name}={value}"));
        }
        f.write_str(&printable(&text))
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
        Tag::BmpString if data.len().is_multiple_of(2) => {
            let units: Vec<u16> =
                data.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            String::from_utf16(&units).ok()
        }
        Tag::UniversalString if data.len().is_multiple_of(4) => data
            .chunks_exact(4)
            .map(|four| char::from_u32(u32::from_be_bytes([four[0], four[1], four[2], four[3]])))
            .collect(),
        _ => None,
    }
}

/// One name of a subjectAltName extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alternative {
    /// A host, or hosts with `*` for the first label; in lower case, without a last dot.
    Dns(String),
    /// A mailbox, in lower case.
    Email(String),
    /// An address.
    Ip(IpAddr),
    /// A URI, as it stands there.
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
