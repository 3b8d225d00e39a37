//! How our QUIC connections behave: windows, timers, datagram sizes.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use quinn_proto::congestion::CubicConfig;
use quinn_proto::{
    AckFrequencyConfig, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt,
};

use super::congestion::{self, Ending};
use super::routing::OwnedIds;

/// What a peer may have under way before it has logged on, enough for its largest message, and afterwards.
const PREAUTH_WINDOW: u32 = 160 * 1024;
pub(super) const WINDOW: u32 = 16 * 1024 * 1024;
/// What we have under way without an acknowledgment at most.
const SEND_WINDOW: u64 = 16 * 1024 * 1024;
/// A peer that is silent for so long is gone. The lower value of the two ends counts (RFC 9000 10.1): ours as a client, which
/// notices a vanished server as soon as over TCP, and that of other clients, unless they would keep a connection for longer.
const IDLE_OF_CLIENT: Duration = Duration::from_secs(30);
const IDLE_OF_SERVER: Duration = Duration::from_secs(60);
/// Silence is ended after this time: most give up after 30 seconds, and others send nothing by themselves. When two
/// packets are lost there is still time.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Largest payload of a UDP datagram over IPv4.
const DATAGRAM_MAX: u16 = 65_507;
/// Largest payload on Ethernet. Above it there may be something smaller on the way, up to where only the loopback interface
/// and its like are.
const ETHERNET: u16 = 1_472;
const LARGE: u16 = 16_384;
/// How exactly the size is searched for where it may be anything, quinn-proto's own value.
const EXACT_STEP: u16 = 20;
/// An acknowledgment for so many packets, where the peer can be asked for it.
const PACKETS_PER_ACK: u32 = 16;
/// What may be sent before the first acknowledgment, in the largest datagrams of the route, as Linux' TCP does: where these
/// are large, the search for their size would use up RFC 9002's 14,720 bytes, and the first messages wait for it.
const FIRST_DATAGRAMS: u64 = 10;
/// Headers of IP and UDP.
const HEADERS_V4: u32 = 28;
const HEADERS_V6: u32 = 48;
/// What every path of QUIC carries (RFC 9000 14).
const DATAGRAM_MIN: u16 = 1200;

/// How datagrams are told apart. One for each socket: the thread is in the ids. `reset_key`: a server's.
pub(super) fn endpoint(thread: usize, threads: usize, reset_key: Option<&[u8; 32]>) -> EndpointConfig {
    let (thread, threads) = (thread as u8, threads.clamp(1, 255) as u8);
    let mut config = EndpointConfig::default();
    if let Some(key) = reset_key {
        config.reset_key(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, key)));
    }
    config.cid_generator(move || Box::new(OwnedIds { thread, threads }));
    config.supported_versions(vec![crate::quic::VERSION_1]);
    if config.max_udp_payload_size(DATAGRAM_MAX).is_err() {
        debug_assert!(false, "the size is a valid one");
    }
    config
}

/// A connection to or from `peer`, which may have so many streams open: a client one, a server none ([MS-SMB2] 2.1).
/// `ending` lets its last word through.
pub(super) fn transport(peer: SocketAddr, streams: u32, ending: &Ending) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(PACKETS_PER_ACK));
    let mut sizes = MtuDiscoveryConfig::default();
    let largest = largest_datagram(peer);
    sizes.upper_bound(largest).minimum_change(search_step(largest));
    let idle = if streams == 0 { IDLE_OF_CLIENT } else { IDLE_OF_SERVER };
    let mut cubic = CubicConfig::default();
    cubic.initial_window(FIRST_DATAGRAMS * u64::from(largest));
    let congestion = congestion::Config { cubic: Arc::new(cubic), ending: ending.clone() };
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(streams))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(WINDOW))
        .receive_window(VarInt::from_u32(PREAUTH_WINDOW))
        .send_window(SEND_WINDOW)
        .send_fairness(false)
        .max_idle_timeout(IdleTimeout::try_from(idle).ok())
        .keep_alive_interval(Some(KEEP_ALIVE))
        .mtu_discovery_config(Some(sizes))
        .congestion_controller_factory(Arc::new(congestion))
        .ack_frequency_config(Some(acks));
    Arc::new(config)
}

/// The step below which the search for the size of datagrams ends. With more than half of the range it begins with the
/// largest, which most routes take, and has one more try where it does not get through. Each step is a datagram of padding
/// each way and an answer to it, while the client logs on.
fn search_step(largest: u16) -> u16 {
    match largest {
        ..=ETHERNET | LARGE.. => (largest - DATAGRAM_MIN) / 2 + 1,
        _ => EXACT_STEP,
    }
}

/// The largest datagram that may reach `peer` in one piece, by the routes of this machine.
fn largest_datagram(peer: SocketAddr) -> u16 {
    let headers = if peer.is_ipv4() { HEADERS_V4 } else { HEADERS_V6 };
    let size = route_mtu(peer).unwrap_or(1500).saturating_sub(headers);
    u16::try_from(size).unwrap_or(u16::MAX).clamp(DATAGRAM_MIN, DATAGRAM_MAX)
}

/// The MTU of the route to `peer`.
fn route_mtu(peer: SocketAddr) -> Option<u32> {
    let any = if peer.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(peer).ok()?; // sends nothing
    let (level, option) = match peer {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU),
    };
    let mut mtu: libc::c_int = 0;
    let mut length = std::mem::size_of_val(&mtu) as libc::socklen_t;
    let pointer = std::ptr::from_mut(&mut mtu).cast();
    // SAFETY: value and length describe a buffer that lives during the call.
    let result = unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, pointer, &mut length) };
    (result == 0).then_some(mtu).and_then(|mtu| u32::try_from(mtu).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_are_as_large_as_the_route_takes() {
        let loopback = largest_datagram("127.0.0.1:9".parse().unwrap());
        assert!((DATAGRAM_MIN..=DATAGRAM_MAX).contains(&loopback));
        assert!(loopback > 16_000, "the loopback interface takes 64 KiB: {loopback}");
    }

    #[test]
    fn the_search_for_the_size_begins_with_the_largest() {
        for largest in [DATAGRAM_MIN + 1, 1_252, ETHERNET, LARGE, DATAGRAM_MAX] {
            // quinn-proto tries the middle if that is a step away, and else the end if that is one.
            let (range, step) = (largest - DATAGRAM_MIN, search_step(largest));
            assert!(step > range / 2 && step <= range, "{largest}: {step} of {range}");
        }
        assert_eq!(search_step(8_972), EXACT_STEP);
    }
}
