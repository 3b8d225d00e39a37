//! SMB over QUIC as a carrier: the ports of one thread, with quinn-proto as the protocol and quinn-udp for the calls.
//!
//! A turn of the engine: datagrams come in and go to their connections, due timers too; `advance` tells the table which
//! connections have news; the table moves bytes between SMB and the streams like those of sockets; `flush` sends what has become
//! of it, as many datagrams a call as the kernel takes. What is sent is paced by the connections' own timers.

mod buffers;
mod config;
mod congestion;
mod ending;
mod port;
mod routing;
mod stream;
pub mod wire;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use quinn_proto::EcnCodepoint;

use buffers::Buffers;
use port::{Outcome, Port, Stranger};
pub(super) use routing::steer;
pub(super) use stream::QuicStream;

use wire::{Udp, Wire};

use super::table::{Table, Timer};
use super::timers::Timers;
use super::{Accepted, Command};
use crate::event::{ConnectionId, Event, ListenerId, Reason};
use crate::quic::client::ClientTls;
use crate::quic::server::ServerTls;
use crate::stats::sub;
use crate::window::Ids;

/// A port's number on its thread; never used twice.
pub(super) type PortId = u64;

/// A connection on its thread: its port, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    port: PortId,
    handle: usize,
}

/// A datagram that was received.
#[derive(Debug)]
pub(crate) struct Datagram {
    peer: SocketAddr,
    local: Option<IpAddr>,
    ecn: Option<EcnCodepoint>,
    data: BytesMut,
}

/// What the control plane wants of the QUIC ports of a thread.
pub(crate) enum Order {
    /// Accept connections on a socket that is bound.
    Listen { listener: ListenerId, fd: OwnedFd, tls: Arc<ServerTls> },
    /// Present and demand something else from now on; None: accept no more.
    SetTls { listener: ListenerId, tls: Option<Arc<ServerTls>> },
    /// Connect; the link is there already.
    Dial { connection: ConnectionId, fd: OwnedFd, peer: SocketAddr, tls: Arc<ClientTls> },
    /// Another thread has received what is for this one.
    Received { listener: ListenerId, datagram: Datagram },
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Order::Listen { .. } => "Listen",
            Order::SetTls { .. } => "SetTls",
            Order::Dial { .. } => "Dial",
            Order::Received { .. } => "Received",
        })
    }
}

/// The ports of one thread.
#[derive(Debug, Default)]
pub(super) struct Quic {
    ports: HashMap<PortId, Port, Ids>,
    next_port: PortId,
    /// Connections on which something has happened.
    dirty: Vec<Key>,
    /// Ports whose readiness the engine has to wait for in another way than before.
    pub(super) changed: Vec<PortId>,
    /// Connections whose servers cannot be reached.
    unreachable: Vec<(ConnectionId, Reason)>,
    /// Where datagrams are received; made when the first come.
    buffers: Buffers,
    /// Where datagrams are made.
    out: Vec<u8>,
}

impl Quic {
    fn add(&mut self, port: Port) -> PortId {
        self.next_port += 1;
        self.ports.insert(self.next_port, port);
        self.changed.push(self.next_port);
        self.next_port
    }

    /// The port, for the engine to wait for it.
    pub(super) fn port(&mut self, id: PortId) -> Option<&mut Port> {
        self.ports.get_mut(&id)
    }

    /// The stream of a connection, once there is one.
    pub(super) fn stream(&mut self, key: Key) -> Option<QuicStream<'_>> {
        self.ports.get_mut(&key.port)?.stream(key.handle)
    }

    /// A connection has something to send, or may be read on.
    pub(super) fn touch(&mut self, key: Key) {
        self.dirty.push(key);
    }

    /// Something is left to do before the thread may wait.
    pub(super) fn is_busy(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// See [`Port::set_empty`].
    pub(super) fn set_empty(&mut self, key: Key, is_empty: bool) {
        self.with(key, |port| port.set_empty(key.handle, is_empty));
    }

    /// See [`Port::trust`].
    pub(super) fn trust(&mut self, key: Key) {
        self.with(key, |port| port.trust(key.handle));
    }

    /// See [`Port::finish`].
    pub(super) fn finish(&mut self, key: Key, now: Instant) {
        self.with(key, |port| port.finish(key.handle, now));
    }

    /// See [`Port::close`].
    pub(super) fn close(&mut self, key: Key, now: Instant) {
        self.with(key, |port| port.close(key.handle, now));
    }

    /// A timer of a connection is due.
    pub(super) fn remind(&mut self, key: Key, at: Instant, now: Instant) {
        self.with(key, |port| port.remind(key.handle, at, now));
    }

    fn with(&mut self, key: Key, act: impl FnOnce(&mut Port)) {
        if let Some(port) = self.ports.get_mut(&key.port) {
            act(port);
            self.dirty.push(key);
        }
    }

    /// The socket of a port takes more.
    pub(super) fn writable(&mut self, id: PortId) {
        if let Some(port) = self.ports.get_mut(&id) {
            self.dirty.extend(port.unblock().into_iter().map(|handle| Key { port: id, handle }));
            self.changed.push(id);
        }
    }

    /// Sends what the connections have to send, and sets their timers.
    pub(super) fn flush(&mut self, now: Instant, timers: &mut Timers<Timer>) {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        dirty.dedup();
        for key in dirty.drain(..) {
            let Some(port) = self.ports.get_mut(&key.port) else { continue };
            let was_blocked = port.is_blocked();
            if let Some((before, at)) = port.transmit(key.handle, now, &mut self.out) {
                timers.change(before, at, Timer::Quic(key));
            }
            self.unreachable.extend(port.take_unreachable());
            if port.is_done() || port.is_blocked() != was_blocked {
                self.changed.push(key.port);
            }
        }
        self.dirty = dirty;
    }

    /// Every port.
    pub(super) fn port_ids(&self) -> Vec<PortId> {
        self.ports.keys().copied().collect()
    }

    /// How many ports there are, connections on them, and handshakes among these.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let of_port = self.ports.values().map(Port::counts);
        of_port.fold((self.ports.len(), 0, 0), |(ports, peers, shaking), (more, also)| {
            (ports, peers + more, shaking + also)
        })
    }

    /// Ports on which nothing is left to do; the engine no longer waits for them.
    pub(super) fn remove_done(&mut self, id: PortId) -> Option<Port> {
        self.ports.get(&id).filter(|port| port.is_done())?;
        self.ports.remove(&id)
    }
}

impl Table {
    /// Carries out an order.
    pub(super) fn quic_order(&mut self, order: Order) {
        match order {
            Order::Listen { listener, fd, tls } => match Udp::new(fd) {
                Ok(wire) => self.listen_quic(wire, listener, tls),
                Err(error) => self.host.events.push(Event::Rejected {
                    listener,
                    peer: "unknown".into(),
                    reason: Reason::Owned(format!("the UDP socket cannot be used: {error}")),
                }),
            },
            Order::SetTls { listener, tls } => self.set_quic_tls(listener, tls),
            Order::Dial { connection, fd, peer, tls } => match Udp::new(fd) {
                Ok(wire) => self.dial_quic(wire, connection, peer, tls),
                Err(error) => self.close(connection, error.to_string().into()),
            },
            Order::Received { listener, datagram } => {
                let found = self.quic.ports.iter().find(|(_, port)| port.listener == Some(listener));
                self.shared.handed_on[self.index].fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
                if let Some(id) = found.map(|(id, _)| *id) {
                    self.take_datagram(id, datagram);
                }
            }
        }
    }

    /// Accepts what comes to `wire`.
    pub(super) fn listen_quic(&mut self, wire: Box<dyn Wire>, listener: ListenerId, tls: Arc<ServerTls>) {
        let thread = (self.index, self.shared.queues.len());
        self.quic.add(Port::listening(wire, listener, tls, thread, self.shared.stats.clone()));
    }

    /// Connects over `wire`.
    pub(super) fn dial_quic(
        &mut self,
        wire: Box<dyn Wire>,
        connection: ConnectionId,
        peer: SocketAddr,
        tls: Arc<ClientTls>,
    ) {
        let stats = self.shared.stats.clone();
        match Port::dialing(wire, connection, peer, tls, stats, self.host.now) {
            Ok((port, handle)) => {
                let key = Key { port: self.quic.add(port), handle };
                if let Some(entry) = self.entries.get_mut(&connection) {
                    entry.quic = Some(key);
                }
                self.quic.touch(key);
            }
            Err(reason) => self.close(connection, reason),
        }
    }

    fn set_quic_tls(&mut self, listener: ListenerId, tls: Option<Arc<ServerTls>>) {
        let mut denied = Vec::new();
        for (id, port) in &mut self.quic.ports {
            if port.listener == Some(listener) {
                port.set_tls(tls.clone());
                denied.extend(port.denied());
                self.quic.changed.push(*id);
            }
        }
        denied.extend(tls.iter().flat_map(|tls| self.denied_by(listener, tls)));
        denied.into_iter().for_each(|(id, why)| self.close(id, why.into()));
    }

    /// Datagrams wait on a port. The time is what it is now: the turn may have taken a while.
    pub(super) fn quic_readable(&mut self, id: PortId) {
        let Some(port) = self.quic.ports.get_mut(&id) else { return };
        let (index, threads, listener) = (self.index, self.shared.queues.len(), port.listener);
        let (shared, now) = (&self.shared, self.host.now);
        let mut strangers = Vec::new();
        let (dirty, out) = (&mut self.quic.dirty, &mut self.quic.out);
        let mut mine = |port: &mut Port, datagram: Datagram| {
            let owner = routing::owner(&datagram.data, threads).unwrap_or(index);
            match listener {
                Some(listener) if owner != index => shared.hand_on(owner, listener, datagram),
                _ => {
                    let (handle, stranger) = port.take(datagram, now, out);
                    // Most come in batches for one.
                    let key = handle.map(|handle| Key { port: id, handle });
                    dirty.extend(key.filter(|key| dirty.last() != Some(key)));
                    strangers.extend(stranger);
                }
            }
        };
        port.receive(&mut self.quic.buffers, &mut mine);
        strangers.into_iter().for_each(|stranger| self.admit_quic(id, stranger));
    }

    /// A datagram that another thread has received.
    fn take_datagram(&mut self, id: PortId, datagram: Datagram) {
        let Some(port) = self.quic.ports.get_mut(&id) else { return };
        let (handle, stranger) = port.take(datagram, self.host.now, &mut self.quic.out);
        self.quic.dirty.extend(handle.map(|handle| Key { port: id, handle }));
        if let Some(stranger) = stranger {
            self.admit_quic(id, stranger);
        }
    }

    /// A client begins: within the limits it gets a connection.
    fn admit_quic(&mut self, id: PortId, stranger: Stranger) {
        let Some(port) = self.quic.ports.get_mut(&id) else { return };
        let Some(listener) = port.listener else { return };
        let Some(stranger) = port.retry(stranger, &mut self.quic.out) else { return };
        let peer = stranger.incoming.remote_address();
        let peer = shown(peer);
        if let Err(reason) = super::admission::Admission::room(&self.shared) {
            port.refuse(stranger, &mut self.quic.out);
            return self.admission.reject(listener, &peer, reason, &self.shared, &mut self.host.events);
        }
        let local = port.address(stranger.incoming.local_ip());
        let connection = self.shared.number_for(self.index);
        let accepted = port.accept(stranger, connection, self.host.now, &mut self.quic.out);
        let handle = match accepted {
            Ok(handle) => handle,
            Err(reason) => {
                sub(&self.shared.stats.connections, 1);
                let events = &mut self.host.events;
                return self.admission.reject(listener, &peer, reason, &self.shared, events);
            }
        };
        let key = Key { port: id, handle };
        let link = self.shared.new_link(connection, super::Carrier::Quic, crate::framing::Framing::Tcp);
        self.adopt(link, None);
        if let Some(entry) = self.entries.get_mut(&connection) {
            entry.quic = Some(key);
            entry.announced = Some(Accepted { listener, peer, local });
        }
        self.shared.recent.admitted(connection, &self.shared.limits);
        self.quic.touch(key);
    }

    /// Goes on with the protocol of the connections on which something has happened.
    pub(super) fn advance_quic(&mut self) {
        if self.quic.dirty.is_empty() {
            return;
        }
        let (mut news, now) = (Vec::new(), self.host.now);
        let Quic { dirty, ports, .. } = &mut self.quic;
        dirty.sort_unstable();
        dirty.dedup();
        for key in dirty {
            if let Some(port) = ports.get_mut(&key.port) {
                port.advance(key.handle, now, |id, outcome| news.push((id, outcome)));
            }
        }
        for (id, outcome) in news {
            match outcome {
                Outcome::Ready => self.mark(id),
                Outcome::Secured(secured) => self.secured(id, *secured),
                Outcome::Moved(peer) => self.moved(id, shown(peer)),
                Outcome::Finished => {
                    if self.entries.get(&id).is_some_and(|entry| entry.lingering.is_some()) {
                        self.close(id, "closed by the server".into());
                    }
                }
                Outcome::Lost(reason) => self.close(id, reason),
            }
        }
    }

    pub(super) fn secured(&mut self, connection: ConnectionId, secured: crate::quic::session::Secured) {
        let Some(entry) = self.entries.get_mut(&connection) else { return };
        if let Some(Accepted { listener, peer, local }) = entry.announced.take() {
            self.host.events.push(Event::Accepted { connection, listener, peer, local });
        }
        self.host.events.push(Event::Secured { connection, secured: Box::new(secured) });
        self.mark(connection);
    }

    /// A client is somewhere else. Before the handshake is done nobody knows about it.
    pub(super) fn moved(&mut self, connection: ConnectionId, peer: String) {
        let Some(entry) = self.entries.get_mut(&connection) else { return };
        match &mut entry.announced {
            Some(accepted) => accepted.peer = peer,
            None if entry.lingering.is_none() => self.host.events.push(Event::Moved { connection, peer }),
            None => (),
        }
    }

    /// Sends what the QUIC connections have to send.
    pub(super) fn flush_quic(&mut self) {
        if self.quic.is_busy() {
            self.quic.flush(self.host.now, &mut self.timers);
            for (id, reason) in std::mem::take(&mut self.quic.unreachable) {
                self.close(id, reason);
            }
        }
    }
}

/// An address as it is reported.
fn shown(address: SocketAddr) -> String {
    SocketAddr::new(address.ip().to_canonical(), address.port()).to_string()
}

impl super::Shared {
    /// Gives a datagram to the thread that owns it; dropped when too many wait there.
    fn hand_on(&self, owner: usize, listener: ListenerId, datagram: Datagram) {
        use std::sync::atomic::Ordering::Relaxed;
        const HANDED_ON_MAX: usize = 4096;
        if self.handed_on[owner].fetch_add(1, Relaxed) >= HANDED_ON_MAX {
            self.handed_on[owner].fetch_sub(1, Relaxed);
            return;
        }
        self.queues[owner].push(Command::Quic(Order::Received { listener, datagram }));
    }
}
