//! From the control plane to a handshake, and from there to the thread that moves the data.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::carrier::Carrier;
use super::super::listener::Door;
use super::super::table::Table;
use super::super::{socket, Accepted, Command, DataPlane, Shared};
use super::{Begin, KernelQuic, Listening, Presented, QuicSocket};
use crate::event::{ConnectionId, ListenerId, Reason};
use crate::framing::Framing;
use crate::quic::client::ClientTls;
use crate::quic::kernel::Whose;
use crate::quic::server::ServerTls;
use crate::quic::session::Secured;
use crate::stats::{add, sub};

/// How long a server that ends waits until its clients have what was sent, as in user space.
const DELIVERY: Duration = Duration::from_millis(500);

/// The client of a connection, for when the listener's rules change.
#[derive(Debug)]
pub(in crate::engine) struct Admitted {
    listener: ListenerId,
    chain: Vec<Vec<u8>>,
    /// Where it is, as far as that was reported.
    peer: String,
}

impl DataPlane {
    /// Accepts SMB over QUIC on one of the kernel's sockets, which is bound and does not listen yet. An error: it is
    /// none, or cannot listen.
    pub fn listen_quic_kernel(&self, fd: OwnedFd, tls: Arc<ServerTls>) -> io::Result<ListenerId> {
        let quic = QuicSocket(fd.as_raw_fd());
        quic.prepare(false)?;
        quic.listen()?;
        let ours = fd.try_clone()?;
        let listener = self.new_listener();
        let listening = Listening { fd: ours, tls: Presented(tls), handshakes: 0, validates: false };
        self.shared.handshakes.lock().listeners.insert(listener, listening);
        self.shared
            .send(0, Command::Listen { listener, door: Door::Quic(fd), transport: Framing::Tcp.into() });
        Ok(listener)
    }

    /// Connects over QUIC with one of the kernel's sockets: [`crate::event::Event::Secured`] follows, or
    /// [`crate::event::Event::Closed`]. An error:
    /// it is none, or there is no way to the peer.
    pub fn connect_quic_kernel(
        &self,
        fd: OwnedFd,
        peer: SocketAddr,
        tls: Arc<ClientTls>,
    ) -> io::Result<ConnectionId> {
        let quic = QuicSocket(fd.as_raw_fd());
        quic.prepare(true)?;
        quic.connect(peer)?;
        let id = self.shared.next_connection.fetch_add(1, Ordering::Relaxed);
        add(&self.shared.stats.connections, 1);
        self.shared.begin_handshake(id, KernelQuic::new(fd, true), Whose::Client(tls), None);
        Ok(id)
    }
}

impl Shared {
    /// Begins the handshake of an accepted connection, which has been counted; None when its listener is closed.
    pub(in crate::engine) fn accept_kernel_quic(
        self: &Arc<Shared>,
        fd: OwnedFd,
        accepted: Accepted,
    ) -> Option<ConnectionId> {
        let Some(tls) = self.handshakes.tls_of(accepted.listener) else {
            sub(&self.stats.connections, 1);
            return None;
        };
        let id = self.next_connection.fetch_add(1, Ordering::Relaxed);
        self.begin_handshake(id, KernelQuic::new(fd, false), Whose::Server(tls), Some(accepted));
        Some(id)
    }

    fn begin_handshake(
        self: &Arc<Shared>,
        id: ConnectionId,
        carrier: KernelQuic,
        whose: Whose,
        accepted: Option<Accepted>,
    ) {
        socket::prepare(carrier.socket().0);
        let listener = accepted.as_ref().map(|it| it.listener);
        let link = self.new_link(id, Carrier::KernelQuic(carrier), Framing::Tcp);
        // Its thread has it first, with all deadlines.
        self.send(id, Command::Adopt { link: link.clone(), accepted });
        if let Err(error) = self.handshakes.begin(Begin { link, whose, listener }, self) {
            let result = Err(Reason::Owned(format!("no thread for its handshake: {error}")));
            self.send(id, Command::Handshaken { connection: id, result });
        }
    }
}

impl Table {
    /// A handshake has ended. True: the connection is one like another now.
    pub(in crate::engine) fn handshaken(
        &mut self,
        id: ConnectionId,
        result: Result<Box<Secured>, Reason>,
    ) -> bool {
        let secured = match result {
            Ok(secured) => secured,
            Err(reason) => {
                self.close(id, reason);
                return false;
            }
        };
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        let Carrier::KernelQuic(carrier) = &entry.link.carrier else { return false };
        let accepted = entry.announced.as_ref().map(|it| (it.listener, it.peer.clone()));
        if let Some((listener, peer)) = accepted {
            let chain = secured.peer_chain.clone();
            // The rules may have changed since the handshake judged it.
            let judged = match self.shared.handshakes.tls_of(listener) {
                None => Err("the listener is closed".to_owned()),
                Some(tls) => tls.recheck(&chain),
            };
            if let Err(why) = judged {
                self.close(id, why.into());
                return false;
            }
            entry.admitted = Some(Box::new(Admitted { listener, chain, peer }));
        }
        carrier.is_ready.store(true, Ordering::Release);
        self.secured(id, *secured);
        true
    }

    /// Reports clients that are somewhere else than before. The kernel does not say so by itself; who asks is told.
    pub(in crate::engine) fn look_for_moves(&mut self) {
        let mut moved = Vec::new();
        for (id, entry) in &mut self.entries {
            let Carrier::KernelQuic(carrier) = &entry.link.carrier else { continue };
            let Some(admitted) = entry.admitted.as_deref_mut() else { continue };
            if let Some(peer) = socket::peer_address(carrier.socket().0).filter(|it| *it != admitted.peer) {
                admitted.peer.clone_from(&peer);
                moved.push((*id, peer));
            }
        }
        moved.into_iter().for_each(|(id, peer)| self.moved(id, peer));
    }

    /// The thread of a server ends: waits a moment until the clients have what was sent to them. A QUIC socket that
    /// closes does not send again what gets lost.
    pub(in crate::engine) fn deliver_kernel_quic(&self) {
        let undelivered = || {
            self.entries.values().any(|entry| match &entry.link.carrier {
                Carrier::KernelQuic(carrier) => carrier.ready().is_some() && !carrier.socket().is_delivered(),
                _ => false,
            })
        };
        let deadline = Instant::now() + DELIVERY;
        while undelivered() && Instant::now() < deadline {
            std::thread::sleep(DELIVERY / 100);
        }
    }

    /// Connections of clients that a listener would not let in now, and why.
    pub(in crate::engine) fn denied_by(
        &self,
        listener: ListenerId,
        tls: &ServerTls,
    ) -> Vec<(ConnectionId, String)> {
        let admitted = self.entries.iter().filter_map(|(id, entry)| Some((*id, entry.admitted.as_deref()?)));
        admitted
            .filter(|(_, it)| it.listener == listener)
            .filter_map(|(id, it)| Some((id, tls.recheck(&it.chain).err()?)))
            .collect()
    }
}
