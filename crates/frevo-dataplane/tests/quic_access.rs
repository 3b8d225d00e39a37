//! Complete handshakes of SMB over QUIC in memory with clients that have certificates: [MS-SMB2] 3.3.1.18.

mod handshake;

use std::sync::Arc;

use frevo_dataplane::quic::access::{Entry, Property};
use frevo_dataplane::quic::certificate::Certificate;
use frevo_dataplane::quic::client::{ClientParts, ClientTls};
use frevo_dataplane::quic::server::{ClientAccess, ServerParts, ServerTls};
use handshake::{ca, client, client_parts, make, name_hosts, server, server_parts, shake, Made, Outcome};

const BAD_CERTIFICATE: u8 = 42;
const CERTIFICATE_REVOKED: u8 = 44;
const UNKNOWN_CA: u8 = 48;
const ACCESS_DENIED: u8 = 49;
const INTERNAL_ERROR: u8 = 80;
const CERTIFICATE_REQUIRED: u8 = 116;

/// A server that lets clients in by an access list, and a client with a certificate or without.
struct Guarded {
    root: Made,
    leaf: Made,
}

impl Guarded {
    fn new() -> Guarded {
        let root = ca("clients' root", None);
        Guarded { leaf: server(&["files.example"], &root), root }
    }

    fn tls(&self, client_access: ClientAccess, entries: Vec<Entry>, crls: &[Vec<u8>]) -> Arc<ServerTls> {
        let (certificates, cas) = ([self.leaf.with(&[])], [self.root.der.clone()]);
        let parts =
            ServerParts { client_access, client_cas: &cas, crls, entries, ..server_parts(&certificates) };
        ServerTls::new(parts).unwrap()
    }

    fn shake(&self, tls: Arc<ServerTls>, certificate: Option<(Vec<Vec<u8>>, Vec<u8>)>) -> Outcome {
        let cas = [self.root.der.clone()];
        let certificate = certificate.as_ref().map(|(chain, key)| (chain.as_slice(), key.as_slice()));
        let parts = ClientParts { certificate, ..client_parts("files.example", &cas) };
        shake(ClientTls::new(parts).unwrap(), tls)
    }
}

fn issuer(allow: bool, name: &str) -> Entry {
    let name = vec![("2.5.4.3".to_owned(), name.to_owned())];
    Entry { allow, property: Property::of_name("issuer", name).unwrap() }
}

fn sha256(allow: bool, one: &Made) -> Entry {
    Entry { allow, property: Property::of_sha256(&one.sha256()).unwrap() }
}

#[test]
fn a_client_is_let_in_by_its_issuer() {
    let guarded = Guarded::new();
    let anna = client("anna", &guarded.root);
    let tls = guarded.tls(ClientAccess::Require, vec![issuer(true, "CLIENTS'  root ")], &[]);
    let outcome = guarded.shake(tls, Some(anna.with(&[])));
    let (_, server) = outcome.done();
    assert_eq!((server.peer_chain.as_slice(), server.verified), ([anna.der.clone()].as_slice(), true));
}

#[test]
fn a_client_that_is_denied_gets_access_denied() {
    let guarded = Guarded::new();
    let anna = client("anna", &guarded.root);
    for (entries, why) in [
        (vec![], "no entry allows it".to_owned()),
        (
            vec![issuer(true, "clients' root"), sha256(false, &anna)],
            format!("an entry denies sha256 {}", anna.sha256().map(|byte| format!("{byte:02x}")).concat()),
        ),
    ] {
        for access in [ClientAccess::Require, ClientAccess::Allow] {
            let tls = guarded.tls(access, entries.clone(), &[]);
            let outcome = guarded.shake(tls, Some(anna.with(&[])));
            let (client, server) = outcome.failed(ACCESS_DENIED);
            assert_eq!(client, "the server denied this client access");
            assert_eq!(server, format!("the client CN=anna is denied access: {why}"));
        }
    }
}

#[test]
fn a_client_without_a_certificate_is_let_in_or_not() {
    let guarded = Guarded::new();
    let tls = |access| guarded.tls(access, vec![issuer(true, "clients' root")], &[]);
    let outcome = guarded.shake(tls(ClientAccess::Allow), None);
    assert!(!outcome.done().1.verified);
    let outcome = guarded.shake(tls(ClientAccess::Require), None);
    let (client, server) = outcome.failed(CERTIFICATE_REQUIRED);
    assert_eq!(client, "the server demands a certificate of its clients");
    assert_eq!(server, "the client sent no certificate, and one is required");
}

#[test]
fn a_client_of_another_ca_and_a_revoked_one_are_refused_before_the_access_check() {
    let guarded = Guarded::new();
    let (anna, stranger) = (client("anna", &guarded.root), client("anna", &ca("strangers", None)));
    let entries = vec![issuer(true, "clients' root"), sha256(true, &stranger)];
    let tls = guarded.tls(ClientAccess::Require, entries.clone(), &[]);
    let outcome = guarded.shake(tls, Some(stranger.with(&[])));
    let (client, server) = outcome.failed(UNKNOWN_CA);
    assert_eq!(client, "the server does not trust the CA of the client's certificate");
    assert_eq!(server, "the CA of the client's certificate (CN=strangers) is not trusted");

    let tls = guarded.tls(ClientAccess::Require, entries, &[guarded.root.crl(&[&anna], 2100)]);
    let outcome = guarded.shake(tls, Some(anna.with(&[])));
    let (client, server) = outcome.failed(CERTIFICATE_REVOKED);
    assert_eq!(client, "to the server the client's certificate is revoked");
    assert_eq!(server, "the client's certificate is revoked by its CA");
}

#[test]
fn an_access_check_that_cannot_be_made_is_an_internal_error() {
    let guarded = Guarded::new();
    let anna = client("anna", &guarded.root);
    let (mut chain, key) = anna.with(&[]);
    chain.push(b"no certificate".to_vec());
    let tls = guarded.tls(ClientAccess::Require, vec![issuer(true, "clients' root")], &[]);
    let outcome = guarded.shake(tls, Some((chain, key)));
    let (client, server) = outcome.failed(INTERNAL_ERROR);
    assert_eq!(client, "the server had an internal error");
    assert!(server.starts_with("the access check of CN=anna failed"), "{server}");
}

#[test]
fn a_self_signed_client_is_trusted_when_it_is_named_itself() {
    let guarded = Guarded::new();
    let (anna, berta) = (make("anna", None, |_| {}), make("berta", None, |_| {}));
    let certificates = [guarded.leaf.with(&[])];
    let tls = || {
        let entries = vec![sha256(true, &anna), sha256(true, &berta)];
        let parts = server_parts(&certificates);
        let client_access = ClientAccess::Require;
        ServerTls::new(ServerParts { client_access, client_cas: anna.alone(), entries, ..parts }).unwrap()
    };
    guarded.shake(tls(), Some(anna.with(&[]))).done();
    let outcome = guarded.shake(tls(), Some(berta.with(&[&anna])));
    assert_eq!(outcome.failed(UNKNOWN_CA).1, "the client's certificate is self-signed and not trusted");
}

#[test]
fn a_chain_without_end_is_refused() {
    let guarded = Guarded::new();
    let anna = client("anna", &guarded.root);
    let tls = || guarded.tls(ClientAccess::Require, vec![issuer(true, "clients' root")], &[]);
    guarded.shake(tls(), Some(anna.with(&[&guarded.leaf; 15]))).done();
    let outcome = guarded.shake(tls(), Some(anna.with(&[&guarded.leaf; 16])));
    assert_eq!(outcome.failed(BAD_CERTIFICATE).1, "the client's certificate comes with 16 others");
}

/// The example of [MS-SMB2] 3.3.1.18: three chains below one root, four entries.
#[test]
fn the_specifications_example_of_three_chains() {
    let guarded = Guarded::new();
    let (inter_1, inter_2) = (ca("inter 1", Some(&guarded.root)), ca("inter 2", Some(&guarded.root)));
    let (client_1, client_2) = (client("client 1", &inter_1), client("client 2", &inter_1));
    let client_3 = client("client 3", &inter_2);
    let entries = vec![
        sha256(false, &client_2),
        sha256(false, &guarded.root),
        issuer(true, "clients' root"),
        issuer(false, "inter 2"),
    ];
    let tls = || guarded.tls(ClientAccess::Require, entries.clone(), &[]);
    guarded.shake(tls(), Some(client_1.with(&[&inter_1]))).done();
    guarded.shake(tls(), Some(client_2.with(&[&inter_1]))).failed(ACCESS_DENIED);
    guarded.shake(tls(), Some(client_3.with(&[&inter_2]))).failed(ACCESS_DENIED);
    // A root that is sent is there to be denied.
    guarded.shake(tls(), Some(client_1.with(&[&inter_1, &guarded.root]))).failed(ACCESS_DENIED);
}

#[test]
fn an_allowed_certificate_that_is_not_above_the_clients_helps_nobody() {
    let guarded = Guarded::new();
    let (good, bad) = (ca("good", Some(&guarded.root)), ca("bad", Some(&guarded.root)));
    let friend = client("friend", &good);
    let stranger = client("stranger", &bad);
    for allowed in [sha256(true, &good), sha256(true, &friend), issuer(true, "good")] {
        let tls = || guarded.tls(ClientAccess::Require, vec![allowed.clone()], &[]);
        guarded.shake(tls(), Some(friend.with(&[&good]))).done();
        guarded.shake(tls(), Some(stranger.with(&[&bad, &good, &friend]))).failed(ACCESS_DENIED);
    }
    // A root counts by its hash when the client sends it.
    let tls = || guarded.tls(ClientAccess::Require, vec![sha256(true, &guarded.root)], &[]);
    guarded.shake(tls(), Some(friend.with(&[&good, &guarded.root]))).done();
    guarded.shake(tls(), Some(friend.with(&[&good]))).failed(ACCESS_DENIED);
}

#[test]
fn subjects_and_alternative_names_are_properties_too() {
    let guarded = Guarded::new();
    let anna = make("Anna", Some(&guarded.root), |params| {
        name_hosts(params, &["anna.example", "10.0.0.7"]);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names.extend([
            rcgen::SanType::Rfc822Name("Anna@example.org".try_into().unwrap()),
            rcgen::SanType::URI("urn:people:Anna".try_into().unwrap()),
        ]);
    });
    let subject = Property::of_name("subject", vec![("2.5.4.3".into(), "anna".into())]).unwrap();
    let names = ["DNS:ANNA.example", "IP:10.0.0.7", "email:anna@EXAMPLE.org", "URI:urn:people:Anna"];
    let properties = names.map(|name| Property::of_alternative(name).unwrap());
    for property in properties.into_iter().chain([subject]) {
        let name = property.to_string();
        let allowed = vec![Entry { allow: true, property: property.clone() }];
        let denied = vec![issuer(true, "clients' root"), Entry { allow: false, property }];
        let tls = |entries| guarded.tls(ClientAccess::Require, entries, &[]);
        assert!(guarded.shake(tls(allowed), Some(anna.with(&[]))).server.is_ok(), "{name}");
        guarded.shake(tls(denied), Some(anna.with(&[]))).failed(ACCESS_DENIED);
    }
    let other = Property::of_alternative("URI:urn:people:anna").unwrap();
    let tls = guarded.tls(ClientAccess::Require, vec![Entry { allow: true, property: other }], &[]);
    guarded.shake(tls, Some(anna.with(&[]))).failed(ACCESS_DENIED);
}

#[test]
fn live_connections_are_checked_again_when_the_lists_change() {
    let guarded = Guarded::new();
    let anna = client("anna", &guarded.root);
    let allowed = vec![issuer(true, "clients' root")];
    let tls = |access, entries: &[Entry], crls: &[Vec<u8>]| guarded.tls(access, entries.to_vec(), crls);
    let chain = [anna.der.clone()];
    use ClientAccess::{Allow, No, Require};
    assert_eq!(tls(Require, &allowed, &[]).recheck(&chain), Ok(()));
    assert_eq!(
        tls(Require, &[], &[]).recheck(&chain),
        Err("the client CN=anna is denied access: no entry allows it".into())
    );
    assert_eq!(
        tls(Allow, &allowed, &[guarded.root.crl(&[&anna], 2100)]).recheck(&chain),
        Err("the client's certificate is revoked by its CA".into())
    );
    assert_eq!(tls(Allow, &[], &[]).recheck(&[]), Ok(()));
    assert_eq!(
        tls(Require, &allowed, &[]).recheck(&[]),
        Err("the client has no certificate, and one is required now".into())
    );
    assert_eq!(tls(No, &[], &[]).recheck(&chain), Ok(()));
    assert!(tls(Require, &allowed, &[]).recheck(&[b"rubbish".to_vec()]).is_err());
}

/// A name whose attribute has an object identifier with one huge number, which takes quadratic time in decimal.
#[test]
fn a_huge_object_identifier_is_read_at_once() {
    let arcs = [&[2, 5, 4], [1; 60_000].as_slice()].concat();
    let mut der = make("anna", None, |params| {
        params.distinguished_name.push(rcgen::DnType::CustomDnType(arcs.clone()), "huge");
    })
    .der;
    let start = std::time::Instant::now();
    let plain = Certificate::parse(&der).unwrap();
    for window in 0..der.len() - 1 {
        // The continuation bit turns all the ones but the last into digits of one number.
        if der[window..window + 2] == [1, 1] {
            der[window] = 0x81;
        }
    }
    let huge = Certificate::parse(&der).unwrap();
    assert!(start.elapsed() < std::time::Duration::from_millis(500), "{:?}", start.elapsed());
    assert!(huge.subject.to_string().starts_with("CN=anna, #5504818181"));
    assert!(!huge.subject.matches(&plain.subject));
    assert!(huge.subject.matches(&huge.issuer));
}
