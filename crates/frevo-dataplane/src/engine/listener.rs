//! Accepting connections within the limits, without spinning when descriptors run out.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use super::admission::Admission;
use super::transport::Transport;
use super::{socket, Accepted, Shared};
use crate::event::{Event, ListenerId};
use crate::pipe::without_idle;

/// Connections accepted per wake-up of a listener, so that the others get their turn.
const BATCH: usize = 64;

/// A listening socket.
#[derive(Debug)]
struct Listener {
    fd: OwnedFd,
    transport: Transport,
    /// A QUIC socket of the kernel: connections have their handshakes first.
    is_quic: bool,
}

/// The listening sockets of a thread.
#[derive(Debug)]
pub(super) struct Listeners {
    sockets: HashMap<ListenerId, Listener>,
    /// Given up for a moment when no descriptor is left, to turn clients away instead of leaving them waiting.
    reserve: Option<File>,
}

impl Listeners {
    pub(super) fn new() -> Listeners {
        Listeners { sockets: HashMap::new(), reserve: reserve() }
    }

    pub(super) fn add(
        &mut self,
        listener: ListenerId,
        fd: OwnedFd,
        transport: Transport,
        is_quic: bool,
    ) -> RawFd {
        socket::prepare(fd.as_raw_fd());
        let raw = fd.as_raw_fd();
        self.sockets.insert(listener, Listener { fd, transport, is_quic });
        raw
    }

    pub(super) fn remove(&mut self, listener: ListenerId) {
        self.sockets.remove(&listener);
    }

    pub(super) fn fd(&self, listener: ListenerId) -> Option<RawFd> {
        self.sockets.get(&listener).map(|it| it.fd.as_raw_fd())
    }

    /// Accepts what waits and deals it out. An error: no resources, ask again in a second.
    pub(super) fn accept(
        &mut self,
        listener: ListenerId,
        shared: &Arc<Shared>,
        admission: &mut Admission,
        events: &mut Vec<Event>,
    ) -> io::Result<()> {
        let Some(it) = self.sockets.get(&listener) else { return Ok(()) };
        let (raw, transport, is_quic) = (it.fd.as_raw_fd(), it.transport, it.is_quic);
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
