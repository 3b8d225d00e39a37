//! What the control plane, the workers and other threads ask of an I/O thread.

use std::sync::Arc;

use super::link::Link;
use super::listener::Door;
use super::quic;
use super::transport::Transport;
use crate::event::{ConnectionId, ListenerId, Reason};
use crate::file_job::FileJob;
use crate::quic::session::Secured;

/// What the control plane asks of a thread.
#[derive(Debug)]
pub(crate) enum Command {
    Listen {
        listener: ListenerId,
        door: Door,
        transport: Transport,
    },
    CloseListener(ListenerId),
    Adopt {
        link: Arc<Link>,
        accepted: Option<Accepted>,
    },
    Close {
        connection: ConnectionId,
        abort: bool,
    },
    /// Its place is needed: it goes unless it has authenticated meanwhile.
    Evict(ConnectionId),
    /// A worker or the ring has done something to a file.
    FileDone(Box<FileJob>),
    /// There is something to do for a connection.
    Wake(ConnectionId),
    /// The handshake of a QUIC connection of the kernel has ended.
    Handshaken {
        connection: ConnectionId,
        result: Result<Box<Secured>, Reason>,
    },
    /// For the QUIC ports of the thread.
    Quic(quic::Order),
    Stop,
}

/// Where an accepted connection came from.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) listener: ListenerId,
    pub(crate) peer: String,
    pub(crate) local: String,
}
