//! What the connections of a port send.

use std::collections::BTreeSet;
use std::io;
use std::time::Instant;

use quinn_proto::Transmit;

use super::Port;
use crate::event::{ConnectionId, Reason};
use crate::stats::add;

/// Bytes in one call that sends, below what a UDP datagram may have.
const SEND_BYTES: usize = 65_000;
/// Fewer bytes are not worth a call of their own.
const FIRST_SEND_BYTES: usize = 12_000;

impl Port {
    /// Sends what a connection has to send, as far as the socket takes it. The time at which it wants to be reminded, if
    /// that is earlier than the one that is set, which comes with it.
    pub(in crate::engine::quic) fn transmit(
        &mut self,
        handle: usize,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Option<(Option<Instant>, Instant)> {
        let mut sent = 0;
        while self.blocked.is_none() {
            let peer = self.peers.get_mut(&handle)?;
            let size = if sent == 0 { first_send(peer.burst) } else { SEND_BYTES };
            let mtu = usize::from(peer.quic.current_mtu());
            let allowed = peer.allowance.as_ref().map_or(usize::MAX, |allowance| allowance.datagrams(mtu));
            let most = (size / mtu).clamp(1, self.wire.segments_max()).min(allowed);
            if most == 0 {
                break;
            }
            out.clear();
            let Some(transmit) = peer.quic.poll_transmit(now, most, out) else { break };
            peer.told |= peer.quic.is_closed();
            sent += transmit.size;
            peer.burst = sent;
            if let Some(allowance) = &mut peer.allowance {
                allowance.send(transmit.size);
            }
            if !self.send(&transmit, &out[..transmit.size]) {
                self.blocked = Some((transmit, std::mem::take(out)));
            }
        }
        if self.blocked.is_some() {
            self.waiting.insert(handle);
        } else {
            self.forget_failed(handle);
        }
        self.exchange(handle);
        let peer = self.peers.get_mut(&handle)?;
        let at = peer.quic.poll_timeout()?;
        if peer.reminder.is_some_and(|set| set <= at) {
            return None;
        }
        Some((peer.reminder.replace(at), at))
    }

    /// The socket takes more: who waited for that.
    pub(in crate::engine::quic) fn unblock(&mut self) -> BTreeSet<usize> {
        if let Some((transmit, bytes)) = self.blocked.take() {
            if !self.send(&transmit, &bytes[..transmit.size]) {
                self.blocked = Some((transmit, bytes));
                return BTreeSet::new();
            }
        }
        std::mem::take(&mut self.waiting)
    }

    /// False: the socket is full. What cannot be sent at all is lost, as any datagram may be.
    /// A server to which the very first cannot be sent, however, is as unreachable as it would be over TCP.
    pub(super) fn send(&mut self, transmit: &Transmit, contents: &[u8]) -> bool {
        let datagrams = quinn_udp::Transmit {
            destination: transmit.destination,
            ecn: transmit.ecn.and_then(|ecn| quinn_udp::EcnCodepoint::from_bits(ecn as u8)),
            contents,
            segment_size: transmit.segment_size,
            src_ip: transmit.src_ip,
        };
        match self.wire.send(&datagrams) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => {
                if self.listener.is_none() && is_unreachable(&error) {
                    self.unreachable = Some(error);
                }
                true
            }
            Ok(()) => {
                let size = transmit.segment_size.unwrap_or(contents.len()).max(1);
                add(&self.stats.quic_datagrams_sent, contents.len().div_ceil(size) as u64);
                true
            }
        }
    }

    /// The connection that we make, if its server cannot be reached, and why.
    pub(in crate::engine::quic) fn take_unreachable(&mut self) -> Option<(ConnectionId, Reason)> {
        let error = self.unreachable.take()?;
        let id = self.peers.values().find(|peer| !peer.secured)?.id?;
        Some((id, Reason::Owned(error.to_string())))
    }
}

/// Bytes in the first call of a turn, after one that has sent `burst`: half of it. The peer begins with the first half while the
/// second is made; with all in one call the two ends would work in turn and wait for each other.
fn first_send(burst: usize) -> usize {
    (burst / 2).clamp(FIRST_SEND_BYTES, SEND_BYTES)
}

/// Whether an error says that nothing can be sent to an address.
fn is_unreachable(error: &io::Error) -> bool {
    use io::ErrorKind::{
        AddrNotAvailable, HostUnreachable, NetworkDown, NetworkUnreachable, PermissionDenied,
    };
    let kinds = [AddrNotAvailable, HostUnreachable, NetworkDown, NetworkUnreachable, PermissionDenied];
    kinds.contains(&error.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_call_could_send_goes_in_two_and_more_in_full_calls() {
        assert_eq!(first_send(0), FIRST_SEND_BYTES);
        assert_eq!(first_send(64_000), 32_000);
        assert_eq!(first_send(2 * SEND_BYTES), SEND_BYTES);
        assert_eq!(first_send(usize::MAX), SEND_BYTES);
    }
}
