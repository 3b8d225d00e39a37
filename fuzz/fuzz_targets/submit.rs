//! Any message that Python might submit by mistake: refused or sent, no panic, and what is sent has a right frame.
#![no_main]

use std::sync::atomic::AtomicBool;
use std::sync::Arc;

use frevo_dataplane::conn::{Connection, Host, Role, Submission};
use frevo_dataplane::crypto::{SessionKeys, Signer, SigningAlgorithm};
use frevo_dataplane::event::Flow;
use frevo_dataplane::framing::Framing;
use frevo_dataplane::limits::Limits;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let limits = Arc::new(Limits::default());
    let mut host = Host::new(limits.clone(), Arc::default(), Arc::new(AtomicBool::new(true)));
    let flow = Arc::new(Flow::new(None));
    let mut connection = Connection::new(1, Framing::Tcp, Role::Server, flow, &limits);
    let signer = Signer::new(SigningAlgorithm::AesGmac, &[1; 16]).unwrap();
    connection.set_session(1, Arc::new(SessionKeys::new(signer, None, false, false)));
    let mut message = b"\xfeSMB\x40\0".to_vec();
    message.extend_from_slice(data);
    let size = message.len();
    if connection.submit(Submission::new(1, 0, &[&message]), &mut host).is_ok() {
        let output = connection.output().take_all(&mut host.pool);
        assert_eq!(output[..4], (size as u32).to_be_bytes());
        assert_eq!(output.len(), size + 4);
    }
});
