//! What one data plane allows: every bound in one documented structure.

use std::sync::Arc;
use std::time::Duration;

use crate::budget::Budget;

/// The bounds of a data plane; the defaults suit a small file server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time, all listeners together; more are accepted and closed at once.
    /// Never more than a quarter of the process's descriptors.
    pub max_connections: usize,
    /// Connections at a time that have not authenticated.
    pub max_unauthenticated: usize,
    /// Largest message in bytes before authentication.
    pub max_preauth_frame: usize,
    /// Largest message in bytes afterwards: the largest WRITE and 64 KiB.
    pub max_frame: usize,
    /// Credits that a client may hold ([MS-SMB2] 3.3.1.2).
    pub max_credits: u32,
    /// Elements of one compound.
    pub max_compound: usize,
    /// Seconds until a new connection must have authenticated.
    pub preauth_timeout: Duration,
    /// Seconds without a message after which [`crate::event::Event::Idle`] is reported; zero: never.
    pub idle_timeout: Duration,
    /// Seconds that an incomplete message may take (and a second more per 8 KiB of it).
    pub frame_timeout: Duration,
    /// Seconds without progress while output waits, and to flush a connection that is being closed.
    pub send_timeout: Duration,
    /// Bytes of output queued on a connection at which it is no longer read.
    pub output_high_water: usize,
    /// Messages of a connection waiting for Python at which it is no longer read.
    pub max_requests_in_flight: usize,
    /// Bytes of a connection's messages held by Python at which it is no longer read.
    pub max_bytes_in_flight: usize,
    /// Threads for file reads that would block.
    pub workers: usize,
    /// Bytes of output that all connections together may have queued, and each user: who has too much is not read.
    pub unread: Arc<Budget>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_connections: 16_384,
            max_unauthenticated: 12_288,
            max_preauth_frame: 68 * 1024,
            max_frame: 8 * 1024 * 1024 + 64 * 1024,
            max_credits: 8192,
            max_compound: 64,
            preauth_timeout: Duration::from_secs(30),
            idle_timeout: Duration::ZERO,
            frame_timeout: Duration::from_secs(30),
            send_timeout: Duration::from_secs(60),
            output_high_water: 4 * 1024 * 1024,
            max_requests_in_flight: 8192,
            max_bytes_in_flight: 32 * 1024 * 1024,
            workers: 4,
            unread: Arc::new(Budget::new(1024 * 1024 * 1024)),
        }
    }
}
