//! The fuzz targets. libFuzzer calls them (fuzz_targets/), and a short seeded run in every test run does, too
//! (crates/frevo-dataplane/tests/fuzz.rs).

pub mod carrier;
pub mod direct;

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

use frevo_dataplane::conn::{Connection, Host, Role, Settings, Submission};
use frevo_dataplane::crypto::{Cipher, Encryption, SessionKeys, Signer, SigningAlgorithm};
use frevo_dataplane::event::Flow;
use frevo_dataplane::framing::{check_session_request, Framing};
use frevo_dataplane::limits::Limits;
use frevo_dataplane::quic::access::{decide, Access, Entry, Property, Received};
use frevo_dataplane::quic::certificate::{listed, Certificate};
use frevo_dataplane::quic::client::{ClientParts, ClientTls, Verify};
use frevo_dataplane::window::Window;

/// Any bytes of a client, split anywhere: no panic, and output stays within the limits.
pub fn connection(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else { return };
    let limits = Arc::new(Limits::default());
    let framing = if choice & 1 == 0 { Framing::Tcp } else { Framing::Nbt };
    let role = if choice & 2 == 0 { Role::Server } else { Role::Client };
    let mut host =
        Host::new(limits.clone(), Arc::default(), Arc::new(AtomicBool::new(true)), std::time::Instant::now());
    let mut connection = Connection::new(1, framing, role, Arc::new(Flow::new(None)), &limits);
    let signer = Signer::new(SigningAlgorithm::AesCmac, &[1; 16]).unwrap();
    let encryption = Encryption::new(Cipher::Aes128Gcm, &[2; 16], &[3; 16]).unwrap();
    let keys = SessionKeys::new(signer, Some(encryption), choice & 4 == 0, false);
    connection.set_session(1, Arc::new(keys), Arc::default()).expect("the keys are new");
    let authenticated = choice & 8 == 0;
    connection.set_settings(Settings {
        authenticated,
        max_read: 1 << 20,
        max_write: 1 << 20,
        multi_credit: true,
        ..Settings::default()
    });
    let piece = usize::from(choice >> 4) * 16 + 1;
    for chunk in data.to_vec().chunks_mut(piece) {
        if connection.feed(chunk, &mut host).is_err() {
            break;
        }
        host.events.clear();
        assert!(connection.output_bytes() <= limits.output_high_water + (1 << 20));
    }
}

/// Any NetBIOS names: accepted or refused with one of the codes of RFC 1002, no panic.
pub fn session_request(names: &[u8]) {
    if let Err(code) = check_session_request(names) {
        assert!(matches!(code, 0x80 | 0x82 | 0x83 | 0x8F));
    }
}

/// Any message that Python might submit by mistake: refused or sent, no panic, and the frame of a sent one is correct.
pub fn submit(data: &[u8]) {
    let limits = Arc::new(Limits::default());
    let mut host =
        Host::new(limits.clone(), Arc::default(), Arc::new(AtomicBool::new(true)), std::time::Instant::now());
    let flow = Arc::new(Flow::new(None));
    let mut connection = Connection::new(1, Framing::Tcp, Role::Server, flow, &limits);
    let signer = Signer::new(SigningAlgorithm::AesGmac, &[1; 16]).unwrap();
    let keys = SessionKeys::new(signer, None, false, false);
    connection.set_session(1, Arc::new(keys), Arc::default()).expect("the keys are new");
    let mut message = b"\xfeSMB\x40\0".to_vec();
    message.extend_from_slice(data);
    let size = message.len();
    if connection.submit(Submission::new(1, 0, &[&message]), &host.stats).is_ok() {
        let output = connection.output().take_all(&mut host.pool);
        assert_eq!(output[..4], (size as u32).to_be_bytes());
        assert_eq!(output.len(), size + 4);
    }
}

/// Any sequence of requests and grants: no ID is used twice, and the client never holds more than the maximum.
pub fn window(data: &[u8]) {
    let mut window = Window::new(100);
    let mut taken = HashSet::new();
    for step in data.chunks_exact(3) {
        let id = u64::from(u16::from_le_bytes([step[0], step[1]])) % 4096;
        let charge = u16::from(step[2] >> 4);
        if window.consume(id, charge).is_ok() {
            (id..id + u64::from(charge)).for_each(|id| assert!(taken.insert(id)));
        }
        window.grant(u16::from(step[2] & 15), true);
        assert!((1..=100).contains(&window.held()));
    }
}

/// Any bytes as a certificate, a CA and a CRL: read or refused, no panic; what is shown of them is short and harmless.
pub fn certificate(data: &[u8]) {
    let der = [data.to_vec()];
    let parts = ClientParts {
        server_name: "files.example",
        verify: Verify::AsStrictAsPossible,
        cas: &der,
        crls: &[],
        fingerprint: None,
        certificate: Some((&der, data)),
        key_log: None,
    };
    assert!(ClientTls::new(ClientParts { certificate: None, crls: &der, ..parts }).is_err(), "it is no CRL");
    assert!(ClientTls::new(parts).is_err(), "it is no key");
    let Ok(certificate) = Certificate::parse(data) else { return };
    let shown = format!("{} {} {}", certificate.subject, certificate.issuer, listed(&certificate.hosts()));
    assert!(shown.chars().count() < 4096 && !shown.chars().any(char::is_control));
    let own = [
        Property::Sha256(certificate.sha256),
        Property::Issuer(certificate.issuer.clone()),
        Property::Subject(certificate.subject.clone()),
    ];
    let alternatives = certificate.alternatives.iter().cloned().map(Property::Alternative);
    let properties: Vec<_> = own.into_iter().chain(alternatives).collect();
    let chain = [Received { certificate, on_path: true }];
    for property in properties {
        let allow = Entry { allow: true, property };
        assert_eq!(decide(&chain, std::slice::from_ref(&allow)), Access::Granted);
        let deny = Entry { allow: false, ..allow.clone() };
        assert!(matches!(decide(&chain, &[allow, deny]), Access::Denied(_)));
    }
}
