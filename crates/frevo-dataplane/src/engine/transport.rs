//! What a stream socket carries: framed messages, or SMB Direct.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::carrier::Carrier;
use super::link::Link;
use super::{Command, Shared};
use crate::conn::direct::{Direct, Process, Provider, Settings};
use crate::conn::{Connection, Role};
use crate::event::{ConnectionId, Flow};
use crate::framing::Framing;
use crate::limits::Limits;
use crate::stats::add;

/// How messages are carried.
#[derive(Clone, Copy, Debug)]
pub enum Transport {
    /// Each behind its transport header.
    Framed(Framing),
    /// By SMB Direct.
    Direct(Settings),
}

impl From<Framing> for Transport {
    fn from(framing: Framing) -> Transport {
        Transport::Framed(framing)
    }
}

impl From<Settings> for Transport {
    fn from(settings: Settings) -> Transport {
        Transport::Direct(settings)
    }
}

impl Transport {
    /// A new connection that is carried so.
    pub(super) fn connection(
        self,
        id: ConnectionId,
        role: Role,
        flow: Arc<Flow>,
        limits: &Limits,
        carrier: &Carrier,
    ) -> Connection {
        let settings = match self {
            Transport::Framed(framing) => return Connection::new(id, framing, role, flow, limits),
            Transport::Direct(settings) => settings,
        };
        let mut connection = Connection::new(id, Framing::Tcp, role, flow, limits);
        let process = match (settings.provider, carrier.socket()) {
            (Provider::Emulated, Some(socket)) => Some(Box::new(Process::at_the_end_of(socket.fd)) as _),
            _ => None,
        };
        connection.run_over(Direct::new(&settings, role, Instant::now(), process));
        connection
    }
}

impl Shared {
    /// A connection that can be found; it has been counted among the connections.
    pub(super) fn new_link(
        self: &Arc<Shared>,
        id: ConnectionId,
        carrier: Carrier,
        transport: impl Into<Transport>,
    ) -> Arc<Link> {
        let transport = transport.into();
        let flow = self.new_flow(id);
        let connection = transport.connection(id, self.role, flow, &self.limits, &carrier);
        self.carried(carrier, connection)
    }

    /// The flow of a connection, which wakes its thread.
    pub(super) fn new_flow(self: &Arc<Shared>, id: ConnectionId) -> Arc<Flow> {
        let shared = Arc::downgrade(self);
        let wake = move || {
            if let Some(shared) = shared.upgrade() {
                shared.send(id, Command::Wake(id));
            }
        };
        Arc::new(Flow::new(Some(Box::new(wake))))
    }

    pub(super) fn carried(&self, carrier: Carrier, connection: Connection) -> Arc<Link> {
        add(&self.stats.unauthenticated, 1);
        let id = connection.id();
        let link = Arc::new(Link::new(carrier, connection));
        self.links.write().unwrap_or_else(PoisonError::into_inner).insert(id, link.clone());
        link
    }

    /// Forgets a connection.
    pub(crate) fn forget(&self, connection: ConnectionId) {
        self.links.write().unwrap_or_else(PoisonError::into_inner).remove(&connection);
    }
}
