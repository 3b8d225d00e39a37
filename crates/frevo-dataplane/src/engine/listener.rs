//! Accepting connections within the limits, without spinning when descriptors run out.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use super::admission::Admission;
use super::transport::Transport;
use super::{device, socket, Accepted, Shared};
use crate::event::{Event, ListenerId};
use crate::pipe::without_idle;

/// Connections accepted per wake-up of a listener, so that the others get their turn.
pub(super) const BATCH: usize = 64;

/// Where connections come in.
#[derive(Debug)]
pub(crate) enum Door {
    /// A listening stream socket.
    Socket(OwnedFd),
    /// A QUIC socket of the kernel: connections have their handshakes first.
    Quic(OwnedFd),
    /// RDMA devices.
    Device(frevo_verbs::Listener),
}

impl Door {
    /// What is readable when somebody comes.
    fn fd(&self) -> RawFd {
        match self {
            Door::Socket(fd) | Door::Quic(fd) => fd.as_raw_fd(),
            Door::Device(listener) => listener.descriptor(),
        }
    }
}

/// Where connections come in, and what carries them.
#[derive(Debug)]
struct Listener {
    door: Door,
    transport: Transport,
}

/// The listeners of a thread.
#[derive(Debug)]
pub(super) struct Listeners {
    doors: HashMap<ListenerId, Listener>,
    /// Given up for a moment when no descriptor is left, to turn clients away instead of leaving them waiting.
    reserve: Option<File>,
}

impl Listeners {
    pub(super) fn new() -> Listeners {
        Listeners { doors: HashMap::new(), reserve: reserve() }
    }

    pub(super) fn add(&mut self, listener: ListenerId, door: Door, transport: Transport) -> RawFd {
        let raw = door.fd();
        if !matches!(door, Door::Device(_)) {
            socket::prepare(raw);
        }
        self.doors.insert(listener, Listener { door, transport });
        raw
    }

    pub(super) fn remove(&mut self, listener: ListenerId) {
        self.doors.remove(&listener);
    }

    pub(super) fn fd(&self, listener: ListenerId) -> Option<RawFd> {
        self.doors.get(&listener).map(|it| it.door.fd())
    }

    /// Accepts what waits and deals it out. An error: no resources, ask again in a second.
    pub(super) fn accept(
        &mut self,
        listener: ListenerId,
        shared: &Arc<Shared>,
        admission: &mut Admission,
        events: &mut Vec<Event>,
    ) -> io::Result<()> {
        let Some(it) = self.doors.get(&listener) else { return Ok(()) };
        let (raw, transport, is_quic) = match &it.door {
            Door::Socket(fd) => (fd.as_raw_fd(), it.transport, false),
            Door::Quic(fd) => (fd.as_raw_fd(), it.transport, true),
            Door::Device(device) => {
                return device::accept(device, listener, it.transport, shared, admission, events);
            }
        };
        for _ in 0..BATCH {
            match without_idle(|| socket::accept(raw)) {
                Ok(accepted) => {
                    Self::admit(accepted, listener, (transport, is_quic), shared, admission, events)
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => return Ok(()),
                    Some(libc::EMFILE | libc::ENFILE) => {
                        if !self.turn_away(raw) {
                            admission.reject(listener, "unknown", "no file descriptor left", shared, events);
                            return Err(error);
                        }
                        admission.reject(listener, "unknown", "no file descriptor left", shared, events);
                    }
                    Some(libc::ENOBUFS | libc::ENOMEM | libc::EBADF | libc::EINVAL) => return Err(error),
                    _ => (), // the client gave up, or a signal came
                },
            }
        }
        Ok(())
    }

    fn admit(
        (fd, peer): (OwnedFd, String),
        listener: ListenerId,
        (transport, is_quic): (Transport, bool),
        shared: &Arc<Shared>,
        admission: &mut Admission,
        events: &mut Vec<Event>,
    ) {
        if let Err(reason) = Admission::room(shared) {
            return admission.reject(listener, &peer, reason, shared, events);
        }
        let accepted = Accepted { listener, peer, local: socket::local_address(fd.as_raw_fd()) };
        let connection = match is_quic {
            true => shared.accept_kernel_quic(fd, accepted),
            false => Some(shared.adopt(fd, transport, Some(accepted))),
        };
        connection.into_iter().for_each(|id| shared.recent.admitted(id, &shared.limits));
    }

    /// Accepts one connection with the reserved descriptor and closes it. False when even that fails.
    fn turn_away(&mut self, listener: RawFd) -> bool {
        let had = self.reserve.take().is_some();
        let accepted = socket::accept(listener).is_ok();
        self.reserve = reserve();
        had && accepted
    }
}

fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}
