//! Counters of a data plane, read by `frevo status` while they run.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters since the start; relaxed atomics, each exact, not consistent with each other. Nothing else is in their cache
        /// lines.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct Stats { $($(#[$doc])* pub $name: AtomicU64,)* }

        impl Stats {
            /// Every counter with its name.
            pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
                Stats::sums(&[self])
            }

            /// The sums of every counter, with its name.
            pub fn sums(all: &[&Stats]) -> Vec<(&'static str, u64)> {
                let sum = |counter: fn(&Stats) -> &AtomicU64| {
                    all.iter().fold(0, |sum: u64, one| sum.wrapping_add(counter(one).load(Ordering::Relaxed)))
                };
                vec![$((stringify!($name), sum(|stats| &stats.$name)),)*]
            }
        }
    };
}

counters! {
    /// Connections open now.
    connections,
    /// Connections open now that have not authenticated.
    unauthenticated,
    /// Connections accepted or adopted.
    accepted,
    /// Connections refused by a limit.
    rejected,
    /// Connections closed.
    closed,
    /// Messages handed to Python.
    messages,
    /// Messages that Python submitted.
    submitted,
    /// READ requests answered without Python.
    fast_reads,
    /// Bytes that they carried.
    fast_read_bytes,
    /// READ requests that had to wait for the disk in a worker.
    fast_reads_deferred,
    /// WRITE requests answered without Python.
    fast_writes,
    /// Bytes that they carried.
    fast_write_bytes,
    /// Bytes of them that a file got from the socket, without a copy in between.
    written_spliced,
    /// Bytes of them that the ring wrote from memory that it knows.
    written_fixed,
    /// WRITE requests that a worker did.
    fast_writes_deferred,
    /// FLUSH requests answered without Python.
    fast_flushes,
    /// ECHO requests answered without Python.
    fast_echoes,
    /// Encrypted messages received.
    decrypted,
    /// Messages with a wrong signature.
    bad_signatures,
    /// Bytes received.
    bytes_received,
    /// Bytes sent, in whatever way.
    bytes_sent,
    /// Bytes of them that a thread of the kernel copied into the socket.
    sent_async,
    /// Bytes of them that the socket referred to in our buffers.
    sent_zero_copy,
    /// Bytes of those that were copied after all, as on the loopback.
    sent_zero_copy_copied,
    /// Bytes of them that the socket referred to in the page cache.
    sent_spliced,
    /// Read leases on files held now, so that their pages can be sent as they are.
    leases,
    /// Those that were given up because somebody opened the file for writing.
    leases_broken,
    /// Connections ended because their peers did not take data of a file that somebody waited to write to.
    cut_for_writers,
    /// READ requests that were copied because the peer may be on this host.
    unspliced_near,
    /// The same because somebody had the file open for writing, or wanted to.
    unspliced_writer,
    /// The same because the server may not have leases.
    unspliced_denied,
    /// The same because the file system has no leases that suffice.
    unspliced_unable,
    /// The same because there were too many leases or too few descriptors.
    unspliced_short,
    /// Bytes that left by RDMA, of this side's WRITEs and the peer's READs.
    rdma_bytes_sent,
    /// Bytes that came by RDMA.
    rdma_bytes_received,
    /// Pieces of memory that this side, as a client, has registered for RDMA.
    rdma_registrations,
    /// Datagrams of QUIC received.
    quic_datagrams_received,
    /// Datagrams of QUIC sent.
    quic_datagrams_sent,
    /// Those that were lost on the way, as far as that was noticed when timers were last due.
    quic_datagrams_lost,
    /// Clients that were asked to show that they receive at their address.
    quic_retries,
    /// Handshakes that did not succeed.
    quic_handshakes_failed,
}

/// Adds to a counter.
#[inline]
pub fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

/// Takes from a gauge.
#[inline]
pub fn sub(counter: &AtomicU64, amount: u64) {
    counter.fetch_sub(amount, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_thread_adds_another_may_take_away() {
        let (one, other) = (Stats::default(), Stats::default());
        add(&one.unauthenticated, 3);
        sub(&other.unauthenticated, 2);
        add(&other.fast_reads, 5);
        let sums = Stats::sums(&[&one, &other]);
        let sum = |name| sums.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        assert_eq!((sum("unauthenticated"), sum("fast_reads"), sum("closed")), (Some(1), Some(5), Some(0)));
    }
}
