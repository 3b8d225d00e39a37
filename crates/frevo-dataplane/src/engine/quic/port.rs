//! A UDP socket with the QUIC connections on it.

mod allowance;
mod moves;
mod receiving;
mod sending;

pub(super) use receiving::Stranger;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Instant;

use quinn_proto::{
    ClientConfig, ConnectError, ConnectionError, ConnectionHandle, Dir, Endpoint, EndpointConfig,
    EndpointEvent, Event, ServerConfig, StreamEvent, StreamId, Transmit, VarInt,
};

use allowance::Allowance;
use moves::Moves;

use super::config;
use super::congestion::Ending;
use super::stream::QuicStream;
use super::wire::Wire;
use crate::event::{ConnectionId, ListenerId, Reason};
use crate::quic::client::ClientTls;
use crate::quic::server::ServerTls;
use crate::quic::session::{self, Secured};
use crate::stats::{add, Stats};
use crate::window::Ids;

/// Handshakes under way above which a client must first show that it receives at its address (RFC 9000 8.1.2).
const HANDSHAKES_BEFORE_RETRY: usize = 64;
/// Application error codes: SMB has none.
const NO_ERROR: VarInt = VarInt::from_u32(0);

/// What has happened to a connection.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Bytes may be received or sent.
    Ready,
    /// The handshake is done.
    Secured(Box<Secured>),
    /// The client's address has changed.
    Moved(SocketAddr),
    /// Everything was sent and received.
    Finished,
    /// It is over.
    Lost(Reason),
}

/// A QUIC connection.
struct Peer {
    quic: quinn_proto::Connection,
    /// Its number as a carrier; None once the control plane has nothing more to do with it.
    id: Option<ConnectionId>,
    stream: Option<StreamId>,
    secured: bool,
    /// Which of the port's TLS settings its handshake began with.
    terms: u64,
    /// The peer knows that it is over, or nobody is there to know.
    told: bool,
    /// Nothing more has come on the stream.
    is_empty: bool,
    /// Where it is, as far as that was reported.
    address: SocketAddr,
    moves: Moves,
    /// Lost datagrams that are in the statistics.
    lost: u64,
    /// A client that may be somewhere else than it says.
    allowance: Option<Allowance>,
    /// The timer that is set.
    reminder: Option<Instant>,
    ending: Ending,
    /// Bytes that were sent in the last turn that sent anything.
    burst: usize,
}

impl Peer {
    /// Adds what was lost since the last time to the statistics.
    fn count_lost(&mut self, stats: &Stats) {
        let lost = self.quic.stats().path.lost_packets;
        add(&stats.quic_datagrams_lost, lost.saturating_sub(std::mem::replace(&mut self.lost, lost)));
    }

    /// Whether the peer is somewhere else than before. After its move, quinn-proto sends a datagram there even if that is more
    /// than three times what came from there, so nobody may move at will.
    fn moved(&mut self, now: Instant) -> Option<Outcome> {
        let address = self.quic.remote_address();
        let before = std::mem::replace(&mut self.address, address);
        match before.ip() == address.ip() || self.moves.may_move(now) {
            _ if before == address => None,
            true => Some(Outcome::Moved(address)),
            false => Some(Outcome::Lost(Reason::Borrowed("the client's address changes too often"))),
        }
    }
}

/// The socket of a listener on one thread, or of one connection that we made.
pub(in crate::engine) struct Port {
    wire: Box<dyn Wire>,
    endpoint: Endpoint,
    peers: HashMap<usize, Peer, Ids>,
    pub(super) listener: Option<ListenerId>,
    pub(super) tls: Option<Arc<ServerTls>>,
    server: Option<ServerConfig>,
    /// How often `tls` has changed.
    terms: u64,
    /// What the socket did not take, and who waits behind it.
    blocked: Option<(Transmit, Vec<u8>)>,
    waiting: BTreeSet<usize>,
    /// Why nothing can be sent to the server that is dialed.
    unreachable: Option<io::Error>,
    /// Connections whose handshake is not done, those that have failed among them until they are gone.
    handshakes: usize,
    /// Buffers that the next call is given.
    batch: usize,
    stats: Arc<Stats>,
    /// What the engine waits for (its own encoding).
    pub(in crate::engine) interest: u32,
}

impl Port {
    /// A listening port of one of several threads.
    pub(super) fn listening(
        wire: Box<dyn Wire>,
        listener: ListenerId,
        tls: Arc<ServerTls>,
        (thread, threads): (usize, usize),
        stats: Arc<Stats>,
    ) -> Port {
        let mut server = ServerConfig::with_crypto(tls.clone());
        server.migration(true);
        let mut port = Port::new(wire, config::endpoint(thread, threads, Some(tls.reset_key())), stats);
        port.endpoint.set_server_config(Some(Arc::new(server.clone())));
        (port.listener, port.tls, port.server) = (Some(listener), Some(tls), Some(server));
        port
    }

    /// A port for one connection that we make.
    pub(super) fn dialing(
        wire: Box<dyn Wire>,
        id: ConnectionId,
        peer: SocketAddr,
        tls: Arc<ClientTls>,
        stats: Arc<Stats>,
        now: Instant,
    ) -> Result<(Port, usize), Reason> {
        let mut port = Port::new(wire, config::endpoint(0, 1, None), stats);
        let name = tls.server_name();
        let mut client = ClientConfig::new(tls);
        let ending = Ending::default();
        client.transport_config(config::transport(peer, 0, &ending));
        let (handle, quic) =
            port.endpoint.connect(now, client, peer, &name).map_err(|error| match error {
                ConnectError::InvalidServerName(name) => {
                    Reason::Owned(format!("{name:?} is no name of a server"))
                }
                error => Reason::Owned(error.to_string()),
            })?;
        port.insert(handle, quic, id, ending);
        Ok((port, handle.0))
    }

    fn new(wire: Box<dyn Wire>, config: EndpointConfig, stats: Arc<Stats>) -> Port {
        let endpoint = Endpoint::new(Arc::new(config), None, !wire.may_fragment(), None);
        Port {
            wire,
            endpoint,
            peers: HashMap::default(),
            listener: None,
            tls: None,
            server: None,
            terms: 0,
            blocked: None,
            waiting: BTreeSet::new(),
            unreachable: None,
            handshakes: 0,
            batch: receiving::FEW,
            stats,
            interest: 0,
        }
    }

    fn insert(
        &mut self,
        handle: ConnectionHandle,
        quic: quinn_proto::Connection,
        id: ConnectionId,
        ending: Ending,
    ) -> &mut Peer {
        self.handshakes += 1;
        let peer = Peer {
            address: quic.remote_address(),
            moves: Moves::default(),
            lost: 0,
            quic,
            id: Some(id),
            stream: None,
            secured: false,
            terms: self.terms,
            told: false,
            is_empty: true,
            allowance: None,
            reminder: None,
            ending,
            burst: 0,
        };
        self.peers.entry(handle.0).insert_entry(peer).into_mut()
    }

    pub(in crate::engine) fn descriptor(&self) -> RawFd {
        self.wire.descriptor()
    }

    /// Our address, as a client sees it whose datagram came to `local`.
    pub(super) fn address(&self, local: Option<IpAddr>) -> String {
        self.wire.address(local)
    }

    /// True when there is something that the socket did not take.
    pub(in crate::engine) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// How many connections there are, and handshakes among them.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.peers.len(), self.handshakes)
    }

    /// True when nothing is left to do here.
    pub(super) fn is_done(&self) -> bool {
        self.server.is_none() && self.peers.is_empty()
    }

    /// New connections are made by `tls`; None: there are no new connections.
    pub(super) fn set_tls(&mut self, tls: Option<Arc<ServerTls>>) {
        self.server = self.server.take().zip(tls.clone()).map(|(mut server, tls)| {
            server.crypto = tls;
            server
        });
        self.endpoint.set_server_config(self.server.clone().map(Arc::new));
        self.tls = tls;
        self.terms += 1;
    }

    /// Connections whose peer would not be let in any more, and why.
    pub(super) fn denied(&self) -> Vec<(ConnectionId, String)> {
        let Some(tls) = &self.tls else { return Vec::new() };
        let secured = self.peers.values().filter(|peer| peer.secured);
        let found = secured.filter_map(|peer| {
            let chain = session::secured(&peer.quic)?.peer_chain;
            Some((peer.id?, tls.recheck(&chain).err()?))
        });
        found.collect()
    }

    /// The stream of a connection, once there is one.
    pub(super) fn stream(&mut self, handle: usize) -> Option<QuicStream<'_>> {
        let peer = self.peers.get_mut(&handle)?;
        let id = peer.stream?;
        Some(QuicStream { connection: &mut peer.quic, id, is_empty: peer.is_empty })
    }

    /// Remembers whether more may be received.
    pub(super) fn set_empty(&mut self, handle: usize, is_empty: bool) {
        if let Some(peer) = self.peers.get_mut(&handle) {
            peer.is_empty = is_empty;
        }
    }

    /// The peer has logged on: it may have more under way.
    pub(super) fn trust(&mut self, handle: usize) {
        if let Some(peer) = self.peers.get_mut(&handle) {
            peer.quic.set_receive_window(VarInt::from_u32(config::WINDOW));
        }
    }

    /// Nothing more will be sent.
    pub(super) fn finish(&mut self, handle: usize, now: Instant) {
        if let Some(peer) = self.peers.get_mut(&handle) {
            match peer.stream {
                Some(stream) => drop(peer.quic.send_stream(stream).finish()),
                None => peer.quic.close(now, NO_ERROR, bytes::Bytes::new()),
            }
        }
    }

    /// Ends a connection at once; the peer is told.
    pub(super) fn close(&mut self, handle: usize, now: Instant) {
        if let Some(peer) = self.peers.get_mut(&handle) {
            peer.id = None;
            peer.ending.begin();
            peer.quic.close(now, NO_ERROR, bytes::Bytes::new());
        }
    }

    /// A timer of a connection, which may have been put off since it was set.
    pub(super) fn remind(&mut self, handle: usize, at: Instant, now: Instant) {
        let Some(peer) = self.peers.get_mut(&handle).filter(|peer| peer.reminder == Some(at)) else { return };
        peer.reminder = None;
        if peer.quic.poll_timeout().is_some_and(|at| at <= now) {
            peer.quic.handle_timeout(now);
        }
        peer.count_lost(&self.stats);
    }

    /// Goes on with the protocol of a connection, and tells what came of it.
    pub(super) fn advance(
        &mut self,
        handle: usize,
        now: Instant,
        mut tell: impl FnMut(ConnectionId, Outcome),
    ) {
        self.exchange(handle);
        let Some(peer) = self.peers.get_mut(&handle) else { return };
        if let Some((id, moved)) = peer.id.zip(peer.moved(now)) {
            tell(id, moved);
        }
        let is_client = peer.quic.side().is_client();
        while let Some(event) = peer.quic.poll() {
            let outcome = match event {
                Event::HandshakeDataReady => continue,
                Event::Connected => {
                    self.handshakes -= usize::from(!std::mem::replace(&mut peer.secured, true));
                    if is_client {
                        peer.stream = peer.quic.streams().open(Dir::Bi);
                    }
                    let current = self.tls.as_ref().filter(|_| peer.terms != self.terms);
                    match session::secured(&peer.quic) {
                        // Who may come in is decided now, not when the handshake began.
                        Some(secured) => match current.map(|tls| tls.recheck(&secured.peer_chain)) {
                            Some(Err(why)) => Outcome::Lost(why.into()),
                            _ => Outcome::Secured(Box::new(secured)),
                        },
                        None => Outcome::Lost(Reason::Borrowed("TLS says nothing about the handshake")),
                    }
                }
                Event::ConnectionLost { reason } => {
                    add(&self.stats.quic_handshakes_failed, u64::from(!peer.secured));
                    peer.told |= !matches!(reason, ConnectionError::TransportError(_));
                    Outcome::Lost(session::failure(&peer.quic, &reason).into())
                }
                Event::Stream(StreamEvent::Opened { dir: Dir::Bi }) => {
                    // A second one, after the end of the first, is nothing that SMB knows.
                    let next = peer.quic.streams().accept(Dir::Bi);
                    if peer.stream.is_some() && next.is_some() {
                        Outcome::Lost(Reason::Borrowed("the client opened a second stream"))
                    } else {
                        peer.stream = peer.stream.or(next);
                        peer.is_empty = false;
                        Outcome::Ready
                    }
                }
                Event::Stream(StreamEvent::Available { dir: Dir::Bi }) if is_client => {
                    peer.stream = peer.stream.or_else(|| peer.quic.streams().open(Dir::Bi));
                    Outcome::Ready
                }
                Event::Stream(StreamEvent::Readable { .. }) => {
                    peer.is_empty = false;
                    Outcome::Ready
                }
                Event::Stream(StreamEvent::Writable { .. } | StreamEvent::Stopped { .. }) => Outcome::Ready,
                Event::Stream(StreamEvent::Finished { .. }) => Outcome::Finished,
                _ => continue,
            };
            if let Some(id) = peer.id {
                tell(id, outcome);
            }
        }
    }

    /// Passes on what connection and endpoint have to say to each other.
    fn exchange(&mut self, handle: usize) {
        let Some(peer) = self.peers.get_mut(&handle) else { return };
        while let Some(event) = peer.quic.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(ConnectionHandle(handle), event) {
                peer.quic.handle_event(event);
            }
        }
        if peer.quic.is_drained() && peer.id.is_none() {
            self.remove(handle);
        }
    }

    fn remove(&mut self, handle: usize) {
        if let Some(mut peer) = self.peers.remove(&handle) {
            peer.count_lost(&self.stats);
            self.handshakes -= usize::from(!peer.secured);
        }
    }

    /// Forgets a handshake that has failed without waiting for packets that may still be under way, when there are many: clients
    /// that begin and give up at once must not fill the memory.
    fn forget_failed(&mut self, handle: usize) {
        let is_crowded = self.handshakes >= HANDSHAKES_BEFORE_RETRY;
        let Some(peer) = self.peers.get(&handle).filter(|_| is_crowded) else { return };
        if peer.id.is_none() && !peer.secured && peer.quic.is_closed() {
            self.endpoint.handle_event(ConnectionHandle(handle), EndpointEvent::drained());
            self.remove(handle);
        }
    }

    /// True when every connection that was closed has said so to its peer.
    pub(super) fn has_told(&self) -> bool {
        !self.is_blocked() && self.peers.values().all(|peer| peer.told || peer.quic.is_drained())
    }
}

impl std::fmt::Debug for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Port").field("fd", &self.descriptor()).field("peers", &self.peers.len()).finish()
    }
}
