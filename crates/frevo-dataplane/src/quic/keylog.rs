//! The secrets of handshakes in an NSS key log file, with which tshark and Wireshark decrypt a capture.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

/// A file that grows by a line for each secret.
#[derive(Debug)]
pub struct KeyLogFile(File);

impl KeyLogFile {
    /// Opens it, or creates it for its owner alone.
    pub fn open(path: &Path) -> io::Result<Arc<KeyLogFile>> {
        Ok(Arc::new(KeyLogFile(OpenOptions::new().append(true).create(true).mode(0o600).open(path)?)))
    }
}

impl rustls::KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        // One write, so that the lines of several processes do not mix. A full disk must end no connection.
        let _ = (&self.0).write_all(line.as_bytes());
    }
}
