//! All limits of a data plane in one documented structure.

use std::sync::Arc;
use std::time::Duration;

use crate::budget::Budget;

/// Bytes of the largest message beyond its payload: its headers, and the rest of its compound.
pub const FRAME_OVERHEAD: usize = 64 * 1024;

/// The bounds of a data plane. The defaults are also those of the keys of `smb.conf`, which are read from here.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time, all listeners together; more are accepted and closed at once.
    /// Never more than [`descriptor_shares`] leaves to them.
    pub max_connections: usize,
    /// Connections at a time that have not authenticated.
    pub max_unauthenticated: usize,
    /// Largest message in bytes before authentication.
    pub max_preauth_frame: usize,
    /// Largest message in bytes afterwards: the largest payload and [`FRAME_OVERHEAD`].
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
    /// Threads for the files of one file system whose reads would block; one connection has at most half of them.
    pub workers: usize,
    /// Bytes of output that all connections together may have queued, and how much of it each user has. Connections of
    /// a user who has too much are not read.
    pub max_unread_bytes: Arc<Budget>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_connections: 16_384,
            max_unauthenticated: 1024,
            max_preauth_frame: 128 * 1024,
            max_frame: 8 * 1024 * 1024 + FRAME_OVERHEAD,
            max_credits: 8192,
            max_compound: 64,
            preauth_timeout: Duration::from_secs(30),
            idle_timeout: Duration::ZERO,
            frame_timeout: Duration::from_secs(30),
            send_timeout: Duration::from_secs(60),
            output_high_water: 4 * 1024 * 1024,
            max_requests_in_flight: 8192,
            max_bytes_in_flight: 64 * 1024 * 1024,
            workers: 8,
            max_unread_bytes: Arc::new(Budget::new(1024 * 1024 * 1024)),
        }
    }
}

/// How many descriptors this process may have.
pub(crate) fn descriptors_max() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: limit is a buffer of the right type that lives during the call.
    match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } {
        0 => usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX),
        _ => usize::MAX,
    }
}

/// How the descriptors of this process are divided: (connections, files). A connection needs one, and an open file one
/// or two.
pub fn descriptor_shares() -> (usize, usize) {
    let all = descriptors_max();
    let connections = (all / 4).max(1);
    (connections, all.saturating_sub(connections))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_a_quarter_of_the_descriptors_and_files_the_rest() {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: limit is a buffer of the right type that lives during the call.
        assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) }, 0);
        let (connections, files) = descriptor_shares();
        assert_eq!(connections as u64, limit.rlim_cur / 4);
        assert_eq!((connections + files) as u64, limit.rlim_cur);
    }
}
