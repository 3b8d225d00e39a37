//! Whatever bytes a client sends, cut anywhere: no panic, and output stays below what the limits allow.
#![no_main]

use std::sync::atomic::AtomicBool;
use std::sync::Arc;

use frevo_dataplane::conn::{Connection, Host, Role, Settings};
use frevo_dataplane::crypto::{Cipher, Sealing, SessionKeys, Signer, SigningAlgorithm};
use frevo_dataplane::event::Flow;
use frevo_dataplane::framing::Framing;
use frevo_dataplane::limits::Limits;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&choice, data)) = data.split_first() else { return };
    let limits = Arc::new(Limits::default());
    let framing = if choice & 1 == 0 { Framing::Tcp } else { Framing::Nbt };
    let role = if choice & 2 == 0 { Role::Server } else { Role::Client };
    let mut host = Host::new(limits.clone(), Arc::default(), Arc::new(AtomicBool::new(true)));
    let mut connection = Connection::new(1, framing, role, Arc::new(Flow::new(None)), &limits);
    let signer = Signer::new(SigningAlgorithm::AesCmac, &[1; 16]).unwrap();
    let sealing = Sealing::new(Cipher::Aes128Gcm, &[2; 16], &[3; 16]).unwrap();
    connection.set_session(1, Arc::new(SessionKeys::new(signer, Some(sealing), choice & 4 == 0, false)));
    let authenticated = choice & 8 == 0;
    connection.set_settings(Settings { dialect: 0x311, authenticated, max_read: 1 << 20, multi_credit: true });
    let piece = usize::from(choice >> 4) * 16 + 1;
    for chunk in data.to_vec().chunks_mut(piece) {
        if connection.feed(chunk, &mut host).is_err() {
            break;
        }
        host.events.clear();
        assert!(connection.output_bytes() <= limits.output_high_water + (1 << 20));
    }
});
