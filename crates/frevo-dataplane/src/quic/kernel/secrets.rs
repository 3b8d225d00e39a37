//! The keys of one handshake: rustls tells them to whoever logs them, which is the way to have them as TLS agrees on them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::KeyLog;

use super::interface::Level;

/// Collects the traffic secrets of one connection; what the user logs is logged as before.
pub(in crate::quic) struct Secrets {
    log: Arc<dyn KeyLog>,
    found: Mutex<HashMap<String, Vec<u8>>>,
}

impl Secrets {
    /// `log`: the log of the configuration.
    pub(in crate::quic) fn new(log: Arc<dyn KeyLog>) -> Secrets {
        Secrets { log, found: Mutex::default() }
    }

    /// The secret for what a client or a server sends, if it is known.
    pub(super) fn of(&self, client_sends: bool, level: Level) -> Option<Vec<u8>> {
        let label = match (client_sends, level) {
            (true, Level::Handshake) => "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
            (false, Level::Handshake) => "SERVER_HANDSHAKE_TRAFFIC_SECRET",
            (true, Level::Application) => "CLIENT_TRAFFIC_SECRET_0",
            (false, Level::Application) => "SERVER_TRAFFIC_SECRET_0",
            (_, Level::Initial) => return None, // the kernel computes these
        };
        self.found.lock().unwrap_or_else(PoisonError::into_inner).get(label).cloned()
    }
}

impl KeyLog for Secrets {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        if label.contains("TRAFFIC_SECRET") {
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            found.insert(label.to_owned(), secret.to_vec());
        }
        if self.log.will_log(label) {
            self.log.log(label, client_random, secret);
        }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}
