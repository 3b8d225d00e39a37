//! One connection without its carrier: bytes in, events and output bytes out.
//!
//! The engines move bytes for [`Connection`]; everything that is protocol happens here, so that the tests in memory
//! and the sockets run the same code. What both ends need is `common`: `input` finds the messages in what comes in,
//! `compound` walks through them, `submit` and `protect` are the way out. What differs has two sides: `server` has the
//! message IDs, the credits that it grants and the fast path, `client` the credits that it was granted and the pumps.

mod arriving;
mod client;
mod common;
mod compound;
pub mod direct;
mod input;
#[cfg(test)]
mod nonce_tests;
mod protect;
mod ranges;
mod rdma;
mod server;
mod submit;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Instant;

use arriving::Arrival;
pub use arriving::Room;
use client::Client;
use common::{Channel, Common, Unread};
use direct::Direct;
pub use rdma::may;
use server::Server;
pub use submit::{Submission, CLOSE_AFTER, ENCRYPT};

use crate::arena::Arena;
use crate::attached::SessionOpens;
use crate::buffer::{Output, Pool};
use crate::credits::Credits;
use crate::crypto::SessionKeys;
use crate::delivery::Delivery;
use crate::event::{ConnectionId, Event, Flow, Reason};
use crate::file_job::{FileJob, Purpose};
use crate::framing::Framing;
use crate::ladder::{Rung, Splicing, WriteRung};
use crate::limits::Limits;
use crate::pump::{self, PumpId};
use crate::stats::Stats;

/// Which end of the connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Requests come in: their message ids are checked, credits are granted.
    Server,
    /// Responses come in.
    Client,
    /// Nobody here understands what passes: bytes go up as they arrive and out as they are submitted.
    Relay,
}

/// What the connections of one thread share.
#[derive(Debug)]
pub struct Host {
    /// The bounds.
    pub limits: Arc<Limits>,
    /// The counters.
    pub stats: Arc<Stats>,
    /// Buffers for output.
    pub pool: Pool,
    /// Reports that were not delivered yet.
    pub events: Vec<Event>,
    /// What would block; stays empty unless `can_defer`.
    pub jobs: Vec<FileJob>,
    /// There are workers: what would block is put into `jobs`.
    pub can_defer: bool,
    /// ECHO is answered without the control plane.
    pub fast_echo: Arc<AtomicBool>,
    /// How large answers leave.
    pub rung: Rung,
    /// How the data of large WRITEs come.
    pub write_rung: WriteRung,
    /// Memory that the ring knows, for them.
    pub arena: Option<Arc<Arena>>,
    /// When that may be splice.
    pub splicing: Splicing,
    /// The time as of the last event: a connection has no clock of its own.
    pub now: Instant,
}

impl Host {
    /// A host with the given limits and counters, at a time, and no workers.
    pub fn new(limits: Arc<Limits>, stats: Arc<Stats>, fast_echo: Arc<AtomicBool>, now: Instant) -> Host {
        Host {
            limits,
            stats,
            pool: Pool::default(),
            events: Vec::new(),
            jobs: Vec::new(),
            can_defer: false,
            rung: Rung::default(),
            write_rung: WriteRung::default(),
            arena: None,
            splicing: Splicing::default(),
            fast_echo,
            now,
        }
    }

    fn echoes(&self) -> bool {
        self.fast_echo.load(Ordering::Relaxed)
    }
}

/// What the control plane tells about a connection once it knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// A session was set up: larger messages are allowed, the handshake timer stops.
    pub authenticated: bool,
    /// Largest READ that the fast path answers.
    pub max_read: u32,
    /// Largest WRITE that the fast path answers.
    pub max_write: u32,
    /// CreditCharge counts (2.1 and later, when both sides agreed).
    pub multi_credit: bool,
    /// Whose budget its unread answers count for, 0 before log-on.
    pub user: u64,
    /// In which ways RDMA may carry data, see [`may`].
    pub rdma: u8,
    /// A client's READs and WRITEs of at least so many bytes are carried by RDMA, 0 for none.
    pub rdma_threshold: u32,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    common: Common,
    side: Side,
}

/// What differs between the two ends.
#[derive(Debug)]
enum Side {
    Server(Server),
    Client(Client),
}

impl Connection {
    /// A new connection. `flow` accounts for the messages that the control plane holds.
    pub fn new(
        id: ConnectionId,
        framing: Framing,
        role: Role,
        flow: Arc<Flow>,
        limits: &Limits,
    ) -> Connection {
        let common = Common {
            id,
            framing,
            opaque: role == Role::Relay,
            settings: Settings::default(),
            input: Vec::new(),
            arrival: Arrival::default(),
            expects_large: false,
            let_in: false,
            frames: 0,
            output: Output::default(),
            sessions: Vec::new(),
            flow,
            closing: false,
            takes_pipes: false,
            delivery: None,
            unread: Unread::new(limits.max_unread_bytes.clone()),
            direct: None,
        };
        let side = match role {
            Role::Server => Side::Server(Server::new(limits.max_credits)),
            Role::Client | Role::Relay => Side::Client(Client::new(limits.max_credits)),
        };
        Connection { common, side }
    }

    /// Its number.
    pub fn id(&self) -> ConnectionId {
        self.common.id
    }

    /// What the control plane said.
    pub fn settings(&self) -> Settings {
        self.common.settings
    }

    /// Changes the settings.
    pub fn set_settings(&mut self, settings: Settings) {
        if settings.user != self.common.settings.user {
            self.common.unread.belongs_to(settings.user);
            self.count();
        }
        self.common.settings = settings;
    }

    /// Gives a session its keys on this connection, or new ones, and its attached opens. Keys that sign on another
    /// connection are an error, which ends this one.
    pub fn set_session(
        &mut self,
        session_id: u64,
        keys: Arc<SessionKeys>,
        opens: Arc<SessionOpens>,
    ) -> Result<(), Reason> {
        let owner = match &self.side {
            Side::Server(server) => server.owner(),
            Side::Client(client) => client.owner(),
        };
        if !keys.claim(owner) {
            return violation("the signing key of another connection");
        }
        let channel = Channel { session_id, keys, opens };
        let sessions = &mut self.common.sessions;
        match sessions.iter_mut().find(|one| one.session_id == session_id) {
            Some(one) => *one = channel,
            None => sessions.push(channel),
        }
        Ok(())
    }

    /// Forgets a session.
    pub fn drop_session(&mut self, session_id: u64) {
        self.common.sessions.retain(|one| one.session_id != session_id);
    }

    /// Whether its carrier can send what is in pipes; not from the start.
    pub fn set_takes_pipes(&mut self, takes_pipes: bool) {
        self.common.takes_pipes = takes_pipes;
    }

    /// What is sent goes through that socket alone.
    pub fn set_delivery(&mut self, delivery: Arc<Delivery>) {
        self.common.output.count_in(delivery.counter());
        self.common.delivery = Some(delivery);
    }

    /// Sends what is queued, then the connection is to be closed; nothing more is received or queued.
    pub fn close_after_output(&mut self) {
        self.common.close_after_output();
    }

    /// True when the connection only waits for its output.
    pub fn is_closing(&self) -> bool {
        self.common.closing
    }

    /// Carries its messages by SMB Direct; nothing was sent or received before.
    pub fn run_over(&mut self, direct: Direct) {
        self.common.direct = Some(Box::new(direct));
    }

    /// Its SMB Direct.
    pub fn direct(&self) -> Option<&Direct> {
        self.common.direct.as_deref()
    }

    /// Whether a device carries it: what has arrived is asked for ([`Connection::poll_device`]), and what is sent leaves by itself.
    pub(crate) fn has_device(&self) -> bool {
        self.direct().is_some_and(Direct::is_device)
    }

    /// Everything is sent, and nothing more comes from here.
    pub(crate) fn finish_device(&mut self) {
        if let Some(direct) = &mut self.common.direct {
            direct.finish();
        }
    }

    /// What the carrier is to send.
    pub fn output(&mut self) -> &mut Output {
        match &mut self.common.direct {
            Some(direct) => &mut direct.wire,
            None => &mut self.common.output,
        }
    }

    /// Bytes that wait to be sent.
    pub fn output_bytes(&self) -> usize {
        self.common.queued()
    }

    /// Bytes sent so far of what waits: messages while there are any, as what SMB Direct says beside them is none.
    pub fn sent(&self) -> u64 {
        match &self.common.direct {
            Some(direct) if self.common.output.is_empty() => direct.wire.sent(),
            _ => self.common.output.sent(),
        }
    }

    /// True when nothing waits to be sent, whoever it waits for.
    pub fn is_flushed(&self) -> bool {
        let direct = self.common.direct.as_ref();
        self.common.output.is_empty() && direct.is_none_or(|direct| direct.is_flushed())
    }

    /// True if there may be something to send that nobody is sending.
    pub(crate) fn has_waiting_output(&self) -> bool {
        match &self.common.direct {
            Some(direct) => direct.wire.is_waiting() || !self.common.output.is_empty(),
            None => self.common.output.is_waiting(),
        }
    }

    /// True while a job brings what is to be sent next.
    pub(crate) fn is_missing(&self) -> bool {
        self.common.output.is_missing()
    }

    /// True while no more may be received: it is paused, and its peer can wait. Over SMB Direct the peer has to be heard, as
    /// nothing can be sent without what it grants; what it may send is bounded by what it was granted itself.
    pub fn is_deaf(&self, limits: &Limits) -> bool {
        let paused = self.is_paused(limits);
        paused && self.common.direct.is_none()
    }

    /// When it has something to do by itself that cannot wait for the next tick.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.common.direct.as_ref().and_then(|direct| direct.due())
    }

    /// The time is `host.now`. True if something is to be sent because of that; an error ends the connection.
    pub(crate) fn on_time(&mut self, host: &Host) -> Result<bool, Reason> {
        self.common.direct.as_mut().map_or(Ok(false), |direct| direct.on_time(host.now))
    }

    /// It ends because of something that its peer is told. True: that is in its output.
    pub(crate) fn say_goodbye(&mut self, host: &mut Host) -> bool {
        self.common.direct.as_mut().is_some_and(|direct| {
            direct.say_goodbye(host);
            !direct.wire.is_empty() && !direct.wire.is_busy()
        })
    }

    /// True while no more may be read: too much waits to be sent or to be handled by the control plane.
    pub fn is_paused(&self, limits: &Limits) -> bool {
        self.count();
        let full = match &self.side {
            Side::Server(server) => server.is_full(&self.common, limits),
            Side::Client(_) => self.common.queued() >= limits.output_high_water,
        };
        full || self.common.flow.is_full(limits.max_requests_in_flight, limits.max_bytes_in_flight)
    }

    /// Counts what waits to be sent, what will, and what comes in, for the budget of all connections.
    pub fn count(&self) {
        let common = &self.common;
        let due = match &self.side {
            Side::Server(server) => server.due_bytes() + self.coming_bytes(),
            Side::Client(_) => 0,
        };
        common.unread.count(if common.settings.authenticated { common.held() + due } else { 0 });
    }

    /// Goes on with what a worker or the ring has done.
    pub fn finish_job(&mut self, job: FileJob, host: &mut Host) -> Result<(), Reason> {
        if let Purpose::Rest(number) = job.purpose {
            return self.bring(number, job);
        }
        match &mut self.side {
            Side::Server(server) => return server.finish_job(&mut self.common, job, host),
            Side::Client(client) => client.stored(&mut self.common, job, host),
        }
        Ok(())
    }

    /// The client's side, if it is one, and what it needs.
    fn client(&mut self) -> Option<(&mut Client, &mut Common)> {
        match &mut self.side {
            Side::Client(client) => Some((client, &mut self.common)),
            Side::Server(_) => None,
        }
    }

    /// What responses grant goes to `credits` from now on.
    pub fn set_credits(&mut self, credits: Arc<Credits>) {
        if let Some((client, _)) = self.client() {
            client.credits = Some(credits);
        }
    }

    /// Starts a pump. Its end is reported by [`Event::Pump`].
    pub fn add_pump(&mut self, settings: pump::Settings, host: &mut Host) {
        match &mut self.side {
            Side::Client(client) => client.add_pump(&mut self.common, settings, host),
            Side::Server(_) => {
                let (connection, pump) = (self.common.id, settings.id);
                host.events.push(Event::Pump { connection, pump, end: pump::End::Lost });
            }
        }
    }

    /// Ends a pump when its requests are answered, or `now`. Unknown ones have ended.
    pub fn stop_pump(&mut self, id: PumpId, now: bool, host: &mut Host) {
        if let Some((client, common)) = self.client() {
            client.stop_pump(common, id, now, host);
        }
    }

    /// The connection has ended: so have its pumps.
    pub fn end_pumps(&mut self, host: &mut Host) {
        if let Some((client, common)) = self.client() {
            client.end_pumps(common, host);
        }
    }

    /// Sends what the pumps have to ask and reports those that have ended. True when there was something to do.
    pub fn feed_pumps(&mut self, host: &mut Host) -> bool {
        self.client().is_some_and(|(client, common)| client.feed_pumps(common, host))
    }
}

fn violation<T>(reason: &'static str) -> Result<T, Reason> {
    Err(Reason::Borrowed(reason))
}
