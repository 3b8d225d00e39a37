//! Connections over RDMA devices: they have a descriptor, which says when to ask them, and move their data by themselves.

use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Instant;

use frevo_rdma::provider::{Ended, Provider};
pub use frevo_verbs::Listener;
use frevo_verbs::{Library, Verbs};

use super::admission::Admission;
use super::carrier::Carrier;
use super::listener::{Door, BATCH};
use super::transport::Transport;
use super::{Accepted, Command, DataPlane, Shared};
use crate::conn::direct::{Direct, Settings};
use crate::conn::Connection;
use crate::event::{ConnectionId, Event, ListenerId};
use crate::framing::Framing;
use crate::stats::add;

/// Connections that wait to be accepted.
const BACKLOG: u16 = 128;

/// As the addresses of sockets are told.
fn text(address: Option<SocketAddr>) -> String {
    let canonical = |it: SocketAddr| SocketAddr::new(it.ip().to_canonical(), it.port()).to_string();
    address.map_or_else(|| "unknown".to_owned(), canonical)
}

/// Accepts what waits at RDMA devices and deals it out. An error: no resources, ask again in a second.
pub(super) fn accept(
    door: &Listener,
    listener: ListenerId,
    transport: Transport,
    shared: &Arc<Shared>,
    admission: &mut Admission,
    events: &mut Vec<Event>,
) -> io::Result<()> {
    let Transport::Direct(settings) = transport else { return Ok(()) };
    for _ in 0..BATCH {
        let incoming = match door.accept() {
            Ok(None) => return Ok(()),
            Ok(Some(incoming)) => incoming,
            Err(error) => {
                admission.reject(listener, "unknown", format!("RDMA device: {error}"), shared, events);
                return Err(error);
            }
        };
        let peer = text(incoming.peer());
        if let Err(reason) = Admission::room(shared) {
            incoming.refuse();
            admission.reject(listener, &peer, reason, shared, events);
            continue;
        }
        match Verbs::accept(incoming) {
            Ok(device) => {
                let accepted = Accepted { listener, peer, local: text(device.addresses().0) };
                let id = shared.adopt_device(device, &settings, Some(accepted));
                shared.recent.admitted(id, &shared.limits);
            }
            // A device that has no more queues, or memory that may not be locked: the next client may have more luck.
            Err(error) => {
                admission.reject(listener, &peer, format!("RDMA device: {error}"), shared, events);
            }
        }
    }
    Ok(())
}

impl Shared {
    /// Hands a connection over an RDMA device to its thread.
    fn adopt_device(
        self: &Arc<Shared>,
        device: Verbs,
        settings: &Settings,
        accepted: Option<Accepted>,
    ) -> ConnectionId {
        let id = self.next_connection.fetch_add(1, Ordering::Relaxed);
        let Some(fd) = device.descriptor().filter(|_| !self.is_stopping()) else { return id };
        if accepted.is_none() {
            add(&self.stats.connections, 1);
        }
        let mut connection = Connection::new(id, Framing::Tcp, self.role, self.new_flow(id), &self.limits);
        connection.run_over(Direct::over(settings, self.role, Instant::now(), Box::new(device)));
        let link = self.carried(Carrier::Device(fd), connection);
        self.send(id, Command::Adopt { link, accepted });
        id
    }
}

/// A connection that begins: nothing has it yet.
#[derive(Debug)]
pub struct Dial {
    device: Verbs,
    settings: Settings,
}

impl Dial {
    /// Begins to connect. An error: there are no libraries for it.
    pub fn new(target: SocketAddr, settings: Settings) -> io::Result<Dial> {
        let mut device = Verbs::connect(system_library()?, target)?;
        device.post_receives(1, settings.receives());
        Ok(Dial { device, settings })
    }

    /// What becomes readable when it goes on.
    pub fn descriptor(&self) -> RawFd {
        self.device.descriptor().expect("devices have one")
    }

    /// Goes on: true when it is connected. An error says why it will not be.
    pub fn advance(&mut self) -> Result<bool, Ended> {
        // The peer says nothing before this side does.
        while self.device.poll()?.is_some() {}
        Ok(self.device.is_established())
    }
}

/// Listens at RDMA devices: those that have the address, or all of them where it is unspecified.
pub fn door(address: SocketAddr) -> io::Result<Listener> {
    Listener::bind(system_library()?, address, BACKLOG)
}

fn system_library() -> io::Result<&'static Library> {
    Library::of_system().map_err(|missing| io::Error::new(io::ErrorKind::Unsupported, missing.to_string()))
}

impl DataPlane {
    /// Accepts connections over RDMA devices from now on.
    pub fn listen_device(&self, door: Listener, settings: Settings) -> ListenerId {
        let listener = self.new_listener();
        let transport = Transport::Direct(settings);
        self.shared.send(0, Command::Listen { listener, door: Door::Device(door), transport });
        listener
    }

    /// Takes a connection over an RDMA device.
    pub fn adopt_device(&self, dial: Dial) -> ConnectionId {
        self.shared.adopt_device(dial.device, &dial.settings, None)
    }
}
