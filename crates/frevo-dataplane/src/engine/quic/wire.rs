//! What the datagrams of a port go through: a UDP socket, or a network that a test makes up.

use std::io::{self, IoSliceMut};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

pub use quinn_udp::{RecvMeta, Transmit};
use quinn_udp::{UdpSockRef, UdpSocketState};

/// Sends and receives datagrams, many a call, without waiting.
pub trait Wire: Send {
    /// Receives into `buffers`: how many of them, and what is in each. [`io::ErrorKind::WouldBlock`]: nothing is there.
    fn receive(&self, buffers: &mut [IoSliceMut<'_>], metas: &mut [RecvMeta]) -> io::Result<usize>;

    /// Sends one or several datagrams. [`io::ErrorKind::WouldBlock`]: no room.
    fn send(&self, datagrams: &Transmit<'_>) -> io::Result<()>;

    /// Datagrams that one call sends at most.
    fn segments_max(&self) -> usize;

    /// Datagrams may be taken apart on the way, which hides how large they may be.
    fn may_fragment(&self) -> bool;

    /// What to wait for.
    fn descriptor(&self) -> RawFd;

    /// Our address, "ip:port"; `local`: the one that a datagram came to, if that is known.
    fn address(&self, local: Option<IpAddr>) -> String;
}

/// A UDP socket.
pub(super) struct Udp {
    fd: OwnedFd,
    state: UdpSocketState,
}

impl Udp {
    /// An error: it is no UDP socket.
    pub(super) fn new(fd: OwnedFd) -> io::Result<Box<Udp>> {
        let state = UdpSocketState::new(UdpSockRef::from(&fd))?;
        Ok(Box::new(Udp { fd, state }))
    }
}

impl Wire for Udp {
    fn receive(&self, buffers: &mut [IoSliceMut<'_>], metas: &mut [RecvMeta]) -> io::Result<usize> {
        self.state.recv(UdpSockRef::from(&self.fd), buffers, metas)
    }

    fn send(&self, datagrams: &Transmit<'_>) -> io::Result<()> {
        self.state.try_send(UdpSockRef::from(&self.fd), datagrams)
    }

    fn segments_max(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    fn descriptor(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    fn address(&self, local: Option<IpAddr>) -> String {
        let bound = crate::engine::socket::local_address(self.descriptor());
        match (local, bound.parse::<std::net::SocketAddr>()) {
            (Some(ip), Ok(bound)) => std::net::SocketAddr::new(ip, bound.port()).to_string(),
            _ => bound,
        }
    }
}
