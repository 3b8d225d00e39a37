//! What comes to a port: datagrams for its connections, and clients that begin.

use std::io::{self, IoSliceMut};
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use quinn_proto::{DatagramEvent, EcnCodepoint, Incoming, Transmit};
use quinn_udp::{RecvMeta, BATCH_SIZE};

use super::super::buffers::Buffers;
use super::super::congestion::Ending;
use super::super::{config, Datagram};
use super::allowance::{Allowance, Arrival};
use super::{Port, HANDSHAKES_BEFORE_RETRY};
use crate::event::{ConnectionId, Reason};
use crate::quic::session;
use crate::stats::add;

/// Fewer bytes than this are copied out of the buffer that they came in, each datagram by itself: what is kept of one must not keep
/// the others. With more the buffer is given away, as long as not too many are.
const COPIED_BYTES: usize = 16 * 1024;
/// Receive calls before others get their turn.
const RECEIVES: usize = 4;
/// No more is received once there is so much: its connections take it while it is in the processor's cache.
const TURN_BYTES: usize = 512 * 1024;
/// Buffers that a call is given when little comes. Each is 64 KiB: a thread with little to do needs no more memory.
pub(super) const FEW: usize = 4;

/// A client that begins, with the size of its datagram.
pub(in crate::engine::quic) struct Stranger {
    pub(in crate::engine::quic) incoming: Incoming,
    bytes: usize,
}

impl Port {
    /// Receives what is there, within bounds, a batch at a time. What is left makes the socket readable again.
    pub(in crate::engine::quic) fn receive(
        &mut self,
        buffers: &mut Buffers,
        mut take: impl FnMut(&mut Port, Datagram),
    ) {
        let mut received = 0;
        for _ in 0..RECEIVES {
            let batch = self.batch;
            let mut metas = [RecvMeta::default(); BATCH_SIZE];
            let mut slots = buffers.provide(batch).iter_mut();
            let mut slices: [IoSliceMut<'_>; BATCH_SIZE] = std::array::from_fn(|_| {
                IoSliceMut::new(slots.next().map_or(&mut [][..], |buffer| &mut buffer[..]))
            });
            let count = match self.wire.receive(&mut slices[..batch], &mut metas[..batch]) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // What an ICMP message has said about an earlier datagram; the connections find out by themselves.
                Err(_) => continue,
            };
            let metas = &metas[..count];
            let datagrams = metas.iter().map(|meta| meta.len.div_ceil(meta.stride.max(1))).sum::<usize>();
            add(&self.stats.quic_datagrams_received, datagrams as u64);
            let (filled, may_lend) = buffers.filled();
            for (meta, buffer) in metas.iter().zip(filled) {
                let datagram = |data| Datagram {
                    peer: meta.addr,
                    local: meta.dst_ip,
                    ecn: meta.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8)),
                    data,
                };
                split(meta, buffer, may_lend, |data| take(self, datagram(data)));
            }
            let bytes = metas.iter().map(|meta| meta.len).sum::<usize>();
            self.batch = next_batch(batch, count, bytes);
            received += bytes;
            if count < batch || received >= TURN_BYTES {
                return;
            }
        }
    }

    /// Takes one datagram. Some: a client that is not known, see [`Port::accept`] and [`Port::refuse`]; the number is that
    /// of a connection to look after.
    pub(in crate::engine::quic) fn take(
        &mut self,
        datagram: Datagram,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> (Option<usize>, Option<Stranger>) {
        let Datagram { peer, local, ecn, data } = datagram;
        let bytes = data.len();
        let arrival = (self.handshakes > 0).then(|| Arrival::new(peer, &data));
        out.clear();
        match self.endpoint.handle(now, peer, local, ecn, data, out) {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some(peer) = self.peers.get_mut(&handle.0) {
                    peer.allowance.take_if(|it| arrival.is_some_and(|arrival| it.receive(&arrival)));
                    peer.quic.handle_event(event);
                }
                (Some(handle.0), None)
            }
            Some(DatagramEvent::NewConnection(incoming)) => (None, Some(Stranger { incoming, bytes })),
            Some(DatagramEvent::Response(transmit)) => {
                self.answer(&transmit, out);
                (None, None)
            }
            None => (None, None),
        }
    }

    /// Asks a client first to show that it is where it says; None when it did, or need not.
    pub(in crate::engine::quic) fn retry(
        &mut self,
        stranger: Stranger,
        out: &mut Vec<u8>,
    ) -> Option<Stranger> {
        let must =
            self.handshakes >= HANDSHAKES_BEFORE_RETRY && !stranger.incoming.remote_address_validated();
        if !must || !stranger.incoming.may_retry() {
            return Some(stranger);
        }
        out.clear();
        let Stranger { incoming, bytes } = stranger;
        match self.endpoint.retry(incoming, out) {
            Ok(transmit) => {
                add(&self.stats.quic_retries, 1);
                self.answer(&transmit, out);
            }
            Err(error) => return Some(Stranger { incoming: error.into_incoming(), bytes }),
        }
        None
    }

    /// Begins a handshake; the number of the connection on this port, or why there is none.
    pub(in crate::engine::quic) fn accept(
        &mut self,
        Stranger { incoming, bytes }: Stranger,
        id: ConnectionId,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<usize, Reason> {
        let allowance = (!incoming.remote_address_validated())
            .then(|| Allowance::new(incoming.remote_address(), *incoming.orig_dst_cid(), bytes));
        let Some(mut server) = self.server.clone() else { return Err("the listener is closed".into()) };
        let ending = Ending::default();
        server.transport_config(config::transport(incoming.remote_address(), 1, &ending));
        out.clear();
        match self.endpoint.accept(incoming, now, out, Some(Arc::new(server))) {
            Ok((handle, quic)) => {
                self.insert(handle, quic, id, ending).allowance = allowance;
                Ok(handle.0)
            }
            Err(error) => {
                error.response.iter().for_each(|transmit| self.answer(transmit, out));
                Err(session::failure_of(&error.cause, false).into())
            }
        }
    }

    /// Turns a client away.
    pub(in crate::engine::quic) fn refuse(&mut self, Stranger { incoming, .. }: Stranger, out: &mut Vec<u8>) {
        out.clear();
        let transmit = self.endpoint.refuse(incoming, out);
        self.answer(&transmit, out);
    }

    /// Sends what belongs to no connection; lost when the socket is full.
    fn answer(&mut self, transmit: &Transmit, bytes: &[u8]) {
        let _ = self.send(transmit, &bytes[..transmit.size.min(bytes.len())]);
    }
}

/// Takes apart what the kernel has put together.
fn split(meta: &RecvMeta, buffer: &mut BytesMut, may_lend: bool, mut take: impl FnMut(BytesMut)) {
    let stride = meta.stride.max(1);
    if meta.len < COPIED_BYTES || !may_lend {
        return buffer[..meta.len].chunks(stride).for_each(|datagram| take(datagram.into()));
    }
    let mut rest = buffer.split_to(meta.len);
    while !rest.is_empty() {
        take(rest.split_to(stride.min(rest.len())));
    }
}

/// How many buffers the next call is given, when of `batch` of them `count` were used, for so many bytes.
fn next_batch(batch: usize, count: usize, bytes: usize) -> usize {
    if count == batch && bytes < TURN_BYTES / 2 {
        (batch * 2).min(BATCH_SIZE)
    } else if count < batch / 2 {
        (batch / 2).max(FEW)
    } else {
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::buffers::DATAGRAM_BYTES;
    use super::*;

    #[test]
    fn a_call_is_given_more_buffers_while_small_datagrams_fill_them() {
        let mut batch = FEW;
        for expected in [8, 16, BATCH_SIZE, BATCH_SIZE] {
            batch = next_batch(batch, batch, batch * 1200);
            assert_eq!(batch, expected);
        }
        assert_eq!(next_batch(batch, batch / 2, 1200), batch);
        for expected in [16, 8, FEW, FEW] {
            batch = next_batch(batch, 1, 1200);
            assert_eq!(batch, expected);
        }
    }

    #[test]
    fn a_datagram_that_is_kept_keeps_little_else() {
        let meta = |len, stride| {
            let mut meta = RecvMeta::default();
            (meta.len, meta.stride) = (len, stride);
            meta
        };
        let parts = |meta: RecvMeta, may_lend| {
            let mut buffers = Buffers::default();
            let buffer = &mut buffers.provide(1)[0];
            buffer[..3].copy_from_slice(b"abc");
            let mut parts = Vec::new();
            split(&meta, buffer, may_lend, |data| parts.push(data));
            (parts, buffer.len())
        };
        let (small, rest) = parts(meta(7000, 3000), true);
        let sizes: Vec<_> = small.iter().map(|one| (one.len(), one.capacity())).collect();
        assert_eq!((sizes, rest), (vec![(3000, 3000), (3000, 3000), (1000, 1000)], DATAGRAM_BYTES));
        let (large, rest) = parts(meta(63_000, 1000), true);
        assert_eq!((large.len(), rest), (63, DATAGRAM_BYTES - 63_000), "given away");
        let (large, rest) = parts(meta(63_000, 1000), false);
        assert!(large.iter().all(|one| (one.len(), one.capacity()) == (1000, 1000)));
        assert_eq!((large.len(), rest, &large[0][..3]), (63, DATAGRAM_BYTES, &b"abc"[..]));
        assert_eq!(parts(meta(0, 0), true).0.len(), 0);
    }

    #[test]
    fn large_batches_of_datagrams_do_not_leave_the_cache() {
        let mut batch = FEW;
        for _ in 0..5 {
            batch = next_batch(batch, batch, batch * 64 * 1024);
        }
        assert!(batch * 64 * 1024 <= TURN_BYTES, "{batch}");
    }
}
