//! Complete handshakes of SMB over QUIC in memory: what a client checks, what each end says, which alert the other sees.

mod handshake;

use std::sync::Arc;

use frevo_dataplane::quic::client::{ClientParts, ClientTls, Verify};
use frevo_dataplane::quic::server::{ClientAccess, ServerParts, ServerTls};
use frevo_dataplane::quic::BuildError;
use handshake::{ca, client_parts, make, name_hosts, server, server_parts, shake, shake_with, Made, Outcome};
use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::ClientConfig;
use rustls::CipherSuite;

const BAD_CERTIFICATE: u8 = 42;
const UNSUPPORTED_CERTIFICATE: u8 = 43;
const CERTIFICATE_REVOKED: u8 = 44;
const CERTIFICATE_EXPIRED: u8 = 45;
const UNKNOWN_CA: u8 = 48;
const MISSING_EXTENSION: u8 = 109;
const UNRECOGNIZED_NAME: u8 = 112;
const NO_APPLICATION_PROTOCOL: u8 = 120;

/// A server for files.example under a root, and how a client with these parts fares with it.
fn connect(change: impl FnOnce(ClientParts) -> ClientParts) -> Outcome {
    let root = ca("root", None);
    let leaf = server(&["files.example"], &root);
    let cas = [root.der.clone()];
    let client = ClientTls::new(change(client_parts("files.example", &cas))).unwrap();
    shake(client, serve(&leaf))
}

fn serve(leaf: &Made) -> Arc<ServerTls> {
    ServerTls::new(server_parts(&[leaf.with(&[])])).unwrap()
}

/// A client that trusts one CA and asks for a name, at a server that presents a leaf.
fn present(leaf: &Made, trusted: &Made, name: &str) -> Outcome {
    shake(ClientTls::new(client_parts(name, trusted.alone())).unwrap(), serve(leaf))
}

/// What a refusal says that the user may do about it.
fn all_the_same(leaf: &Made) -> String {
    format!(" (--tls-fingerprint {} trusts it all the same)", hex(leaf))
}

fn another_name(leaf: &Made) -> String {
    let sha256 = hex(leaf);
    format!(" (--tls-server-name NAME expects another name, --tls-fingerprint {sha256} trusts it under any)")
}

fn hex(leaf: &Made) -> String {
    leaf.sha256().map(|byte| format!("{byte:02x}")).concat()
}

#[test]
fn a_good_server_is_verified() {
    let outcome = connect(|parts| parts);
    let (client, server) = outcome.done();
    assert_eq!(
        (client.cipher, client.server_name.as_str(), client.verified),
        ("AES-128-GCM", "files.example", true)
    );
    assert_eq!(client.peer_chain.len(), 1);
    assert_eq!(
        (server.cipher, server.server_name.as_str(), server.verified),
        ("AES-128-GCM", "files.example", false)
    );
    assert!(server.peer_chain.is_empty());
}

/// A client of quinn-proto and rustls alone, as others' clients: its name, protocol and ciphers are free.
fn foreign(trusted: &Made, server_name: &'static str, alpn: &[u8], ciphers: &[CipherSuite]) -> ClientConfig {
    struct Named(QuicClientConfig, &'static str);
    impl quinn_proto::crypto::ClientConfig for Named {
        fn start_session(
            self: Arc<Self>,
            version: u32,
            _name: &str,
            parameters: &quinn_proto::transport_parameters::TransportParameters,
        ) -> Result<Box<dyn quinn_proto::crypto::Session>, quinn_proto::ConnectError> {
            let Named(config, name) = Arc::into_inner(self).unwrap();
            Arc::new(config).start_session(version, name, parameters)
        }
    }
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    if !ciphers.is_empty() {
        provider.cipher_suites.retain(|suite| ciphers.contains(&suite.suite()));
    }
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.der.clone().into()).unwrap();
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    // Initial packets always have AES-128 (RFC 9001 5.2), also when the client does not want it afterwards.
    let initial = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().unwrap();
    let config = QuicClientConfig::with_initial(Arc::new(config), initial.quic_suite().unwrap()).unwrap();
    ClientConfig::new(Arc::new(Named(config, server_name)))
}

#[test]
fn others_clients_connect_with_and_without_a_retry() {
    let root = ca("root", None);
    let leaf = server(&["files.example"], &root);
    for retry in [false, true] {
        let outcome = shake_with(foreign(&root, "files.example", b"smb", &[]), serve(&leaf), retry);
        assert_eq!(outcome.done().1.server_name, "files.example");
    }
}

#[test]
fn others_servers_are_connected_to_with_and_without_a_retry() {
    let root = ca("root", None);
    let leaf = server(&["files.example"], &root);
    for retry in [false, true] {
        let key = rustls_pki_types::PrivateKeyDer::try_from(leaf.key.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der.clone().into()], key)
            .unwrap();
        config.alpn_protocols = vec![b"smb".to_vec()];
        let config = QuicServerConfig::try_from(config).unwrap();
        let client = ClientTls::new(client_parts("files.example", root.alone())).unwrap();
        let outcome = shake_with(ClientConfig::new(client), Arc::new(config), retry);
        assert!(outcome.done().0.verified);
    }
}

#[test]
fn every_cipher_that_a_client_wants_is_there_and_named() {
    let root = ca("root", None);
    let leaf = server(&["files.example"], &root);
    for (suite, name) in [
        (CipherSuite::TLS13_AES_128_GCM_SHA256, "AES-128-GCM"),
        (CipherSuite::TLS13_AES_256_GCM_SHA384, "AES-256-GCM"),
        (CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, "CHACHA20-POLY1305"),
    ] {
        let outcome = shake_with(foreign(&root, "files.example", b"smb", &[suite]), serve(&leaf), false);
        assert_eq!(outcome.done().1.cipher, name);
    }
}

#[test]
fn another_protocol_is_refused() {
    let root = ca("root", None);
    let leaf = server(&["files.example"], &root);
    let outcome = shake_with(foreign(&root, "files.example", b"h3", &[]), serve(&leaf), false);
    let (_, server) = outcome.failed(NO_APPLICATION_PROTOCOL);
    assert_eq!(server, "the peer does not speak SMB over QUIC (ALPN \"smb\")");
}

#[test]
fn a_name_that_no_certificate_has_ends_the_connection() {
    let root = ca("root", None);
    let outcome = present(&server(&["files.example", "*.lan"], &root), &root, "other.example");
    let (client, server) = outcome.failed(UNRECOGNIZED_NAME);
    assert_eq!(client, "the server has no certificate for the name it was asked for");
    assert_eq!(server, "no certificate is for other.example, the name that the client asked for");
}

#[test]
fn without_a_name_only_a_certificate_for_an_address_is_served() {
    let root = ca("root", None);
    let by_name = server(&["files.example"], &root);
    let outcome = present(&by_name, &root, "127.0.0.1");
    let (client, server_) = outcome.failed(MISSING_EXTENSION);
    assert_eq!(client, "the server has no certificate for an address: a server name is needed");
    assert_eq!(server_, "the client asked for no name, and no certificate is for an address");

    let by_address = server(&["127.0.0.1", "files.example"], &root);
    let outcome = present(&by_address, &root, "127.0.0.1");
    let (client, server_) = outcome.done();
    assert_eq!((client.server_name.as_str(), client.verified), ("127.0.0.1", true));
    assert_eq!(server_.server_name, "");

    let outcome = present(&by_address, &root, "127.0.0.2");
    let (client, _) = outcome.failed(BAD_CERTIFICATE);
    let sentence = "the server's certificate is for 127.0.0.1, files.example, not for 127.0.0.2";
    assert_eq!(client, sentence.to_owned() + &another_name(&by_address));
}

#[test]
fn the_name_chooses_the_certificate() {
    let root = ca("root", None);
    let leaves =
        [server(&["*.lan.example"], &root), server(&["one.lan.example"], &root), server(&["two.lan"], &root)];
    let certificates: Vec<_> = leaves.iter().map(|leaf| leaf.with(&[])).collect();
    for (name, expected) in [("ONE.lan.example", 1), ("three.lan.example", 0), ("two.lan", 2)] {
        let server = ServerTls::new(server_parts(&certificates)).unwrap();
        let outcome = shake(ClientTls::new(client_parts(name, root.alone())).unwrap(), server);
        assert_eq!(outcome.done().0.peer_chain[0], leaves[expected].der, "{name}");
    }
    for name in ["a.one.lan.example", "lan.example", "lan"] {
        let server = ServerTls::new(server_parts(&certificates)).unwrap();
        shake(ClientTls::new(client_parts(name, root.alone())).unwrap(), server).failed(UNRECOGNIZED_NAME);
    }
}

#[test]
fn the_dates_of_a_certificate_count() {
    let root = ca("root", None);
    let dated = |from, to| {
        make("dated", Some(&root), |params| {
            name_hosts(params, &["files.example"]);
            params.not_before = rcgen::date_time_ymd(from, 1, 1);
            params.not_after = rcgen::date_time_ymd(to, 6, 30);
        })
    };
    let past = dated(2020, 2021);
    let outcome = present(&past, &root, "files.example");
    let (client, server) = outcome.failed(CERTIFICATE_EXPIRED);
    assert_eq!(client, format!("the server's certificate expired on 2021-06-30{}", all_the_same(&past)));
    assert_eq!(server, "to the client the server's certificate has expired, or is not yet valid");
    let future = dated(2100, 2101);
    let outcome = present(&future, &root, "files.example");
    let (client, _) = outcome.failed(CERTIFICATE_EXPIRED);
    let sentence = "the server's certificate is not valid before 2100-01-01: is this machine's clock right?";
    assert_eq!(client, sentence.to_owned() + &all_the_same(&future));
}

#[test]
fn an_expired_ca_is_told_from_an_expired_certificate() {
    let root = ca("root", None);
    let between = make("between", Some(&root), |params| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.not_after = rcgen::date_time_ymd(2025, 2, 3);
    });
    let leaf = server(&["files.example"], &between);
    let tls = ServerTls::new(server_parts(&[leaf.with(&[&between])])).unwrap();
    let outcome = shake(ClientTls::new(client_parts("files.example", root.alone())).unwrap(), tls);
    let (client, _) = outcome.failed(CERTIFICATE_EXPIRED);
    let sentence = "a CA above the server's certificate expired on 2025-02-03";
    assert_eq!(client, sentence.to_owned() + &all_the_same(&leaf));
}

#[test]
fn an_unknown_ca_is_refused_with_what_helps() {
    let leaf = server(&["files.example"], &ca("theirs", None));
    let outcome = present(&leaf, &ca("ours", None), "files.example");
    let (client, served) = outcome.failed(UNKNOWN_CA);
    let sha256 = hex(&leaf);
    assert_eq!(
        client,
        format!(
            "the CA of the server's certificate (CN=theirs) is not trusted: use --tls-ca FILE with its CA, or \
             --tls-fingerprint {sha256} if this is the server's"
        )
    );
    assert_eq!(served, "the client does not trust the CA of the server's certificate");
    // Nor is one trusted that only has the name of ours, nor any when no CA is known.
    let outcome = present(&server(&["files.example"], &ca("ours", None)), &ca("ours", None), "files.example");
    let (client, _) = outcome.failed(UNKNOWN_CA);
    assert!(client
        .starts_with("the server's certificate is from a CA (CN=ours) of a trusted name with another key"));
    connect(|parts| ClientParts { cas: &[], ..parts }).failed(UNKNOWN_CA);
}

#[test]
fn a_self_signed_certificate_is_trusted_only_by_itself() {
    for is_ca in [false, true] {
        let alone = make("alone", None, |params| {
            name_hosts(params, &["files.example"]);
            if is_ca {
                params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            }
        });
        assert!(present(&alone, &alone, "files.example").done().0.verified);
        present(&alone, &alone, "127.0.0.1").failed(MISSING_EXTENSION);
        let outcome = present(&alone, &ca("other", None), "files.example");
        let (client, _) = outcome.failed(UNKNOWN_CA);
        assert!(
            client.starts_with("the server's certificate is self-signed and not trusted: use --tls-ca"),
            "{client}"
        );
    }
    let expired = make("expired", None, |params| {
        name_hosts(params, &["files.example"]);
        params.not_after = rcgen::date_time_ymd(2025, 1, 1);
    });
    present(&expired, &expired, "files.example").failed(CERTIFICATE_EXPIRED);
}

#[test]
fn a_certificate_that_is_named_itself_is_checked_like_others() {
    for is_ca in [false, true] {
        let alone = |purpose| {
            make("alone", None, |params| {
                name_hosts(params, &["files.example"]);
                params.extended_key_usages = vec![purpose];
                params.key_usages = vec![rcgen::KeyUsagePurpose::CrlSign];
                if is_ca {
                    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
                }
            })
        };
        let wrong = alone(rcgen::ExtendedKeyUsagePurpose::ClientAuth);
        let sentence = "the server's certificate is for another purpose (extended key usage)";
        let outcome = present(&wrong, &wrong, "files.example");
        assert!(outcome.failed(UNSUPPORTED_CERTIFICATE).0.starts_with(sentence));

        let right = alone(rcgen::ExtendedKeyUsagePurpose::ServerAuth);
        let with_crl = |crl: Vec<u8>| {
            let crls = [crl];
            let parts = ClientParts { crls: &crls, ..client_parts("files.example", right.alone()) };
            shake(ClientTls::new(parts).unwrap(), serve(&right))
        };
        with_crl(right.crl(&[], 2100)).done();
        with_crl(ca("other", None).crl(&[&right], 2100)).done();
        let outcome = with_crl(right.crl(&[&right], 2100));
        assert_eq!(outcome.failed(CERTIFICATE_REVOKED).0, "the server's certificate is revoked by its CA");
    }
}

#[test]
fn a_pinned_certificate_is_trusted_whatever_else_it_says() {
    let leaf = make("old", None, |params| {
        name_hosts(params, &["files.example"]);
        params.not_after = rcgen::date_time_ymd(2025, 1, 1);
    });
    let pin = |sha256: [u8; 32]| {
        let parts = ClientParts { fingerprint: Some(&sha256), ..client_parts("files.example", &[]) };
        shake(ClientTls::new(parts).unwrap(), serve(&leaf))
    };
    assert!(pin(leaf.sha256()).done().0.verified);
    let outcome = pin([0xAB; 32]);
    let (client, _) = outcome.failed(BAD_CERTIFICATE);
    assert!(client.ends_with(&format!("not {} as was asked for", "ab".repeat(32))), "{client}");
}

#[test]
fn a_fingerprint_is_in_place_of_the_cas() {
    connect(|parts| ClientParts { fingerprint: Some(&[0; 32]), ..parts }).failed(BAD_CERTIFICATE);
}

#[test]
fn every_way_to_verify_checks_what_it_says() {
    let (root, other) = (ca("root", None), ca("other", None));
    let leaf = server(&["127.0.0.9", "files.example"], &root);
    let verified = |verify, name: &str, trusted: &Made| {
        let cas = [trusted.der.clone()];
        let parts = ClientParts { verify, ..client_parts(name, &cas) };
        shake(ClientTls::new(parts).unwrap(), serve(&leaf)).client.map(|secured| secured.verified).ok()
    };
    let (address, name) = ("127.0.0.1", "files.example"); // the address is not the certificate's
    assert_eq!(verified(Verify::NoCheck, name, &other), Some(false));
    assert_eq!(verified(Verify::CaOnly, name, &other), None);
    assert_eq!(verified(Verify::CaOnly, address, &root), Some(false));
    assert_eq!(verified(Verify::CaAndNameIfAvailable, address, &root), Some(false));
    assert_eq!(verified(Verify::CaAndNameIfAvailable, name, &root), Some(true));
    for strict in [Verify::CaAndName, Verify::AsStrictAsPossible] {
        assert_eq!(verified(strict, address, &root), None);
        assert_eq!(verified(strict, "127.0.0.9", &root), Some(true));
        assert_eq!(verified(strict, name, &root), Some(true));
    }
}

#[test]
fn a_wrong_name_is_refused_with_the_right_ones() {
    let root = ca("root", None);
    let hosts = ["localhost", "files.example", "127.0.0.1"];
    let leaf = server(&hosts, &root);
    let outcome = present(&leaf, &root, "10.0.0.1");
    let (client, server_) = outcome.failed(BAD_CERTIFICATE);
    let sentence = "the server's certificate is for localhost, files.example, 127.0.0.1, not for 10.0.0.1";
    assert_eq!(client, sentence.to_owned() + &another_name(&leaf));
    assert_eq!(server_, "the client does not accept the server's certificate");
    let old = make("files.example", Some(&root), |_| {});
    let outcome = present(&old, &root, "files.example");
    let (client, _) = outcome.failed(BAD_CERTIFICATE);
    assert!(client.contains("only in its subject (files.example)"), "{client}");
}

#[test]
fn a_certificate_for_clients_is_none_for_servers() {
    let root = ca("root", None);
    let leaf = make("files.example", Some(&root), |params| {
        name_hosts(params, &["files.example"]);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    let outcome = present(&leaf, &root, "files.example");
    let (client, _) = outcome.failed(UNSUPPORTED_CERTIFICATE);
    let sentence = "the server's certificate is for another purpose (extended key usage)";
    assert_eq!(client, sentence.to_owned() + &all_the_same(&leaf));
}

#[test]
fn a_revoked_server_is_refused() {
    let root = ca("root", None);
    let (good, bad) = (server(&["files.example"], &root), server(&["files.example"], &root));
    let with_crl = |leaf: &Made, crl: Vec<u8>, verify| {
        let (cas, crls) = ([root.der.clone()], [crl]);
        let parts = ClientParts { crls: &crls, verify, ..client_parts("files.example", &cas) };
        shake(ClientTls::new(parts).unwrap(), serve(leaf))
    };
    with_crl(&good, root.crl(&[&bad], 2100), Verify::AsStrictAsPossible).done();
    let outcome = with_crl(&bad, root.crl(&[&bad], 2100), Verify::CaOnly);
    assert_eq!(outcome.failed(CERTIFICATE_REVOKED).0, "the server's certificate is revoked by its CA");
    // A CRL of another CA, or one of yesterday, is enough for all but the strictest.
    let others = ca("other", None).crl(&[], 2100);
    with_crl(&good, others.clone(), Verify::CaAndName).done();
    let outcome = with_crl(&good, others, Verify::AsStrictAsPossible);
    assert_eq!(outcome.failed(UNKNOWN_CA).0, "no CRL is from the CA of the server's certificate");
    with_crl(&good, root.crl(&[], 2025), Verify::CaAndName).done();
    let outcome = with_crl(&good, root.crl(&[], 2025), Verify::AsStrictAsPossible);
    assert_eq!(
        outcome.failed(UNKNOWN_CA).0,
        "the CRL for the server's certificate has been out of date since 2025-01-01"
    );
}

fn refused(result: Result<Arc<ServerTls>, BuildError>) -> String {
    match result {
        Err(BuildError::Unusable(unusable)) => unusable.0,
        Err(BuildError::KeyLog(error)) => error.to_string(),
        Ok(_) => panic!("it was taken"),
    }
}

#[test]
fn parts_that_do_not_fit_are_refused_with_a_sentence() {
    let root = ca("root", None);
    let (one, two) = (server(&["one"], &root), server(&["two"], &root));
    let with = |chain: Vec<Vec<u8>>, key: Vec<u8>| refused(ServerTls::new(server_parts(&[(chain, key)])));
    assert_eq!(
        with(vec![one.der.clone()], two.key.clone()),
        "the private key is not the one of the certificate"
    );
    assert_eq!(with(vec![], one.key.clone()), "a chain has at least one certificate");
    assert_eq!(with(vec![b"x".to_vec()], one.key.clone()), "this is not an X.509 certificate in DER");
    assert_eq!(
        with(vec![one.der.clone()], b"x".to_vec()),
        "the private key is neither PKCS#8 nor SEC1 nor PKCS#1"
    );
    assert_eq!(refused(ServerTls::new(server_parts(&[]))), "a server needs a certificate");
    let certificates = [one.with(&[])];
    let parts = ServerParts { client_access: ClientAccess::Require, ..server_parts(&certificates) };
    assert_eq!(refused(ServerTls::new(parts)), "client certificates need a CA that they come from");
}

#[test]
fn the_secrets_of_a_handshake_go_to_the_key_log() {
    let path = std::env::temp_dir().join(format!("frevo-keys-{}", std::process::id()));
    let root = ca("root", None);
    let leaf = server(&["files.example"], &root);
    let cas = [root.der.clone()];
    let parts = ClientParts { key_log: Some(&path), ..client_parts("files.example", &cas) };
    shake(ClientTls::new(parts).unwrap(), serve(&leaf)).done();
    let text = std::fs::read_to_string(&path).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    std::fs::remove_file(&path).unwrap();
    for label in ["CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_TRAFFIC_SECRET_0", "CLIENT_TRAFFIC_SECRET_0"] {
        let line = text.lines().find(|line| line.starts_with(&format!("{label} "))).expect(label);
        let fields: Vec<usize> = line.split(' ').skip(1).map(str::len).collect();
        assert_eq!(fields, [64, 64], "{line}");
    }
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn the_key_of_resets_outlives_a_restart() {
    let root = ca("root", None);
    let (one, other) = (server(&["one.example"], &root), server(&["other.example"], &root));
    let key = |leaf: &Made, machine| {
        let certificates = [leaf.with(&[])];
        *ServerTls::new(ServerParts { machine, ..server_parts(&certificates) }).unwrap().reset_key()
    };
    assert_eq!(key(&one, b"here"), key(&one, b"here"));
    assert_ne!(key(&one, b"here"), key(&one, b"there"));
    assert_ne!(key(&one, b"here"), key(&other, b"here"));
}
