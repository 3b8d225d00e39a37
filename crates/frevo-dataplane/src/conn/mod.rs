//! One connection without its socket: bytes in, events and output bytes out.
//!
//! The engines move bytes for [`Connection`]; everything that is protocol happens here, so that the tests in memory
//! and the sockets run the same code. `input` is the way in, `output` the way out, `answer` the fast path.

mod answer;
mod input;
#[cfg(test)]
mod nonce_tests;
mod output;
mod protect;
mod pump_body;
#[cfg(test)]
mod pump_tests;
mod pumping;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Instant;

pub use output::{Submission, CLOSE_AFTER, ENCRYPT};
use pumping::Pumps;

use crate::budget::{Budget, Share};
use crate::buffer::{Output, Pool};
use crate::credits::Credits;
use crate::crypto::{MessageNonces, SessionKeys};
use crate::event::{ConnectionId, Event, Flow, Reason};
use crate::fast::{AttachedOpen, ReadJob};
use crate::framing::Framing;
use crate::limits::Limits;
use crate::pump::StoreJob;
use crate::stats::Stats;
use crate::window::Window;
use crate::wire::{command, Header, CREDIT_BYTES};

/// Answers that a connection may leave unread before log-on.
const PREAUTH_OUTPUT_BYTES: usize = 16 * 1024;
/// What the answer to most requests takes.
const SMALL_ANSWER_BYTES: usize = 1024;

/// Which end of the connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Requests come in: their message ids are checked, credits are granted.
    Server,
    /// Responses come in.
    Client,
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
    /// Reads for the workers; stays empty unless `can_defer`.
    pub jobs: Vec<ReadJob>,
    /// Received data for the workers to write to files; stays empty unless `can_defer`.
    pub stores: Vec<StoreJob>,
    /// There are workers: reads that would block are put into `jobs`.
    pub can_defer: bool,
    /// ECHO is answered without the control plane.
    pub fast_echo: Arc<AtomicBool>,
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
            stores: Vec::new(),
            can_defer: false,
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
    /// CreditCharge counts (2.1 and later, when both sides agreed).
    pub multi_credit: bool,
    /// Whose budget its unread answers count for, 0 before log-on.
    pub user: u64,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    /// Its number.
    pub id: ConnectionId,
    framing: Framing,
    role: Role,
    settings: Settings,
    /// Bytes that are not a whole message yet, or wait because the connection is paused.
    input: Vec<u8>,
    /// Complete messages so far.
    frames: u64,
    output: Output,
    window: Window,
    /// What may still be signed.
    nonces: MessageNonces,
    /// Few per connection, mostly one: a list is the fastest map.
    sessions: Vec<(u64, Arc<SessionKeys>)>,
    opens: HashMap<u64, AttachedOpen>,
    flow: Arc<Flow>,
    /// Bytes of answers that workers are reading.
    deferred_bytes: usize,
    /// Bytes that the requests paid for which the control plane has not answered yet: bounds its answers, too.
    expected_bytes: usize,
    /// What the answers may be that the control plane still owes, also of requests that it has said to be pending:
    /// it counts as unread from the moment that a request is let in.
    promised_bytes: usize,
    /// Client: what responses grant goes here.
    credits: Option<Arc<Credits>>,
    /// Client: the request loops that run on this connection.
    pumps: Option<Box<Pumps>>,
    closing: bool,
    unread: Arc<Budget>,
    share: Arc<Share>,
    /// What of the output was counted last.
    counted: Cell<usize>,
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
        Connection {
            id,
            framing,
            role,
            settings: Settings::default(),
            input: Vec::new(),
            frames: 0,
            output: Output::default(),
            window: Window::new(limits.max_credits),
            nonces: MessageNonces::new(role == Role::Server),
            sessions: Vec::new(),
            opens: HashMap::new(),
            flow,
            deferred_bytes: 0,
            expected_bytes: 0,
            promised_bytes: 0,
            credits: None,
            pumps: None,
            closing: false,
            share: limits.max_unread_bytes.share(0),
            unread: limits.max_unread_bytes.clone(),
            counted: Cell::new(0),
        }
    }

    /// What the control plane said.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Changes the settings.
    pub fn set_settings(&mut self, settings: Settings) {
        if settings.user != self.settings.user {
            let counted = self.counted.replace(0);
            self.unread.change(&self.share, counted, 0);
            self.share = self.unread.share(settings.user);
            self.count();
        }
        self.settings = settings;
    }

    /// Gives a session its keys on this connection, or new ones. Keys that sign on another connection are an error, which
    /// ends this one.
    pub fn set_session(&mut self, session_id: u64, keys: Arc<SessionKeys>) -> Result<(), Reason> {
        if !keys.claim(&self.nonces) {
            return violation("the signing key of another connection");
        }
        match self.sessions.iter_mut().find(|(id, _)| *id == session_id) {
            Some(entry) => entry.1 = keys,
            None => self.sessions.push((session_id, keys)),
        }
        Ok(())
    }

    /// Forgets a session and its attached opens.
    pub fn drop_session(&mut self, session_id: u64) {
        self.sessions.retain(|(id, _)| *id != session_id);
        self.opens.retain(|_, open| open.session_id != session_id);
    }

    /// Lets the fast path answer for an open.
    pub fn attach(&mut self, open: AttachedOpen) {
        self.opens.insert(open.volatile_id, open);
    }

    /// Leaves the READs of an open to the control plane again.
    pub fn detach(&mut self, volatile_id: u64) {
        self.opens.remove(&volatile_id);
    }

    /// Sends what is queued, then the connection is to be closed; nothing more is received or queued.
    pub fn close_after_output(&mut self) {
        self.closing = true;
        self.input = Vec::new();
    }

    /// True when the connection only waits for its output.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// What waits to be sent.
    pub fn output(&mut self) -> &mut Output {
        &mut self.output
    }

    /// Bytes that wait to be sent.
    pub fn output_bytes(&self) -> usize {
        self.output.len()
    }

    /// True while no more may be read: too much waits to be sent or to be handled by the control plane.
    pub fn is_paused(&self, limits: &Limits) -> bool {
        self.count();
        (self.role == Role::Server && self.answers_suffice())
            || self.output.len() + self.deferred_bytes >= limits.output_high_water
            || self.expected_bytes >= limits.max_bytes_in_flight
            || self.flow.is_full(limits.max_requests_in_flight, limits.max_bytes_in_flight)
    }

    /// Before log-on a connection has a little for itself, whoever else reads nothing: nobody can keep others from
    /// logging on. Afterwards its user has a share of the budget.
    fn answers_suffice(&self) -> bool {
        match self.settings.authenticated {
            true => self.unread.is_over(&self.share),
            false => self.output.len() >= PREAUTH_OUTPUT_BYTES,
        }
    }

    /// Counts what waits to be sent, and what will, for the budget of all connections. The account is shared by all threads,
    /// so small changes are left out until they add up.
    pub fn count(&self) {
        let now = match self.settings.authenticated {
            true => self.output.held() + self.deferred_bytes + self.promised_bytes,
            false => 0,
        };
        let before = self.counted.get();
        if before != now && (now == 0 || before.abs_diff(now) > self.unread.granule()) {
            self.counted.set(now);
            self.unread.change(&self.share, before, now);
        }
    }

    /// What a request and its answer may take together: 64 KiB for each credit.
    fn paid_bytes(&self, credit_charge: u16) -> usize {
        let charge = if self.settings.multi_credit { credit_charge.max(1) } else { 1 };
        usize::from(charge) * CREDIT_BYTES as usize
    }

    /// What the answer to a request may be: nearly all are small, whatever was paid.
    fn answer_bytes(&self, header: &Header) -> usize {
        match header.command.get() {
            command::CANCEL => 0,
            command::READ | command::IOCTL | command::QUERY_DIRECTORY | command::QUERY_INFO => {
                self.paid_bytes(header.credit_charge.get())
            }
            _ => SMALL_ANSWER_BYTES,
        }
    }

    fn keys(&self, session_id: u64) -> Option<&Arc<SessionKeys>> {
        self.sessions.iter().find(|(id, _)| *id == session_id).map(|(_, keys)| keys)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.unread.change(&self.share, self.counted.get(), 0);
    }
}

fn violation<T>(reason: &'static str) -> Result<T, Reason> {
    Err(Reason::Borrowed(reason))
}
