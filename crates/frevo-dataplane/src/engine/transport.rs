//! What a stream socket carries: framed messages, or SMB Direct.

use std::sync::Arc;
use std::time::Instant;

use super::carrier::Carrier;
use crate::conn::direct::{Direct, Process, Provider, Settings};
use crate::conn::{Connection, Role};
use crate::event::{ConnectionId, Flow};
use crate::framing::Framing;
use crate::limits::Limits;

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
