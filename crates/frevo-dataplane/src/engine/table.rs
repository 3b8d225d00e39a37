//! The connections of one thread: what commands and the clock do to them. The engine adds the I/O.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::admission::Admission;
use super::carrier::ByteStream;
use super::fair_queue::{Owner, Party};
use super::link::{Core, Link};
use super::quic::{Key, Quic};
use super::quic_kernel::Admitted;
use super::timers::Timers;
use super::workers::Job;
use super::{socket, transfer, Accepted, Command, Shared};
use crate::buffer;
use crate::conn::{Host, Role};
use crate::event::{ConnectionId, Event, Reason};
use crate::file_job::FileJob;
use crate::limits::Limits;
use crate::stats::{add, sub};

/// How long a closed connection is kept to let the peer read the last answer.
const LINGER: Duration = Duration::from_secs(2);

/// How often connections are looked at for what is overdue.
const TICK: Duration = Duration::from_secs(1);

/// What a thread is reminded of.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// To close what is overdue.
    Tick,
    /// A timer of a QUIC connection.
    Quic(Key),
    /// To go on with a connection.
    Connection(ConnectionId),
}

/// A connection as its thread sees it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) link: Arc<Link>,
    /// What the engine waits for (its own encoding).
    pub(super) interest: u32,
    /// It is in the list of connections to look after.
    dirty: bool,
    since: Instant,
    /// How far the connection was when an incomplete message was there first, and when that was.
    partial: Option<(u64, Instant)>,
    /// Bytes sent so far and when that changed last, None when nothing waits to be sent.
    stalled: Option<(u64, Instant)>,
    /// Number of messages when they last came, and when that was.
    active: (u64, Instant),
    /// CLOSED was reported; only the peer's end of the stream is waited for.
    pub(super) lingering: Option<Instant>,
    /// Where it is carried over QUIC.
    pub(super) quic: Option<Key>,
    /// It has logged on, and its carrier knows.
    trusted: bool,
    /// To be reported when the handshake is done.
    pub(super) announced: Option<Accepted>,
    /// The client of a QUIC socket of the kernel.
    pub(super) admitted: Option<Box<Admitted>>,
}

/// The connections of one thread.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) host: Host,
    pub(super) shared: Arc<Shared>,
    pub(super) entries: HashMap<ConnectionId, Entry>,
    pub(super) timers: Timers<Timer>,
    pub(super) quic: Quic,
    pub(super) admission: Admission,
    /// Number of the thread.
    pub(super) index: usize,
    /// There is a [`Timer::Tick`].
    ticks: bool,
    dirty: Vec<ConnectionId>,
    /// Closed connections, for an engine that has to take back what was armed on them.
    pub(super) gone: Option<Vec<(ConnectionId, Entry)>>,
}

impl Table {
    pub(super) fn new(index: usize, shared: Arc<Shared>, now: Instant) -> Table {
        let mut host =
            Host::new(shared.limits.clone(), shared.stats_of[index].clone(), shared.fast_echo.clone(), now);
        host.can_defer = true;
        host.rung = shared.ladder.rung;
        host.write_rung = shared.write_ladder.rung;
        host.splicing = shared.splicing;
        Table {
            host,
            shared,
            entries: HashMap::new(),
            timers: Timers::default(),
            quic: Quic::default(),
            admission: Admission::new(),
            index,
            ticks: false,
            dirty: Vec::new(),
            gone: None,
        }
    }

    /// Carries out a command for one connection and marks the connection.
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Close { connection, abort: true } => {
                self.close(connection, "closed by the server".into())
            }
            Command::Close { connection, abort: false } => {
                self.with(connection, |core, _| core.close_after_output());
            }
            Command::Evict(id) => self.with(id, |core, _| {
                if !core.settings().authenticated {
                    core.failed = Some("too many unauthenticated connections: the oldest goes".into());
                }
            }),
            Command::FileDone(job) => {
                self.with(job.connection, |core, host| {
                    if let Err(reason) = core.finish_job(*job, host) {
                        core.failed.get_or_insert(reason);
                    }
                });
            }
            Command::Wake(id) => self.mark(id),
            Command::Handshaken { connection, result } => drop(self.handshaken(connection, result)),
            Command::Quic(order) => self.quic_order(order),
            Command::Listen { .. } | Command::CloseListener(_) | Command::Adopt { .. } | Command::Stop => {
                unreachable!("the engine does these itself")
            }
        }
    }

    /// Lets `change` work on a connection and marks it. Unknown connections are gone, which is no error.
    fn with(&mut self, id: ConnectionId, change: impl FnOnce(&mut Core, &mut Host)) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        change(&mut entry.link.lock(&mut self.host), &mut self.host);
        self.mark(id);
    }

    /// Puts a connection on the list of those to look after before the thread waits again.
    pub(super) fn mark(&mut self, id: ConnectionId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            if !std::mem::replace(&mut entry.dirty, true) {
                self.dirty.push(id);
            }
        }
    }

    /// True when something is left to do before the thread may wait.
    pub(super) fn is_busy(&self) -> bool {
        !self.dirty.is_empty() || self.quic.is_busy()
    }

    /// Goes on with a connection whose carrier is not a socket.
    pub(super) fn go_on(&mut self, id: ConnectionId, scratch: &mut [u8]) -> Result<(), Reason> {
        let Table { entries, host, quic, shared, .. } = self;
        let Some(entry) = entries.get_mut(&id) else { return Ok(()) };
        let link = entry.link.clone();
        let mut core = link.lock(host);
        if let Some(reason) = core.failed.take() {
            return Err(reason);
        }
        let Some(key) = entry.quic else {
            return if core.is_closing() { Err("closed by the server".into()) } else { Ok(()) };
        };
        if core.settings().authenticated && !std::mem::replace(&mut entry.trusted, true) {
            quic.trust(key);
        }
        let Some(mut stream) = quic.stream(key) else {
            return if core.is_closing() { Err("closed by the server".into()) } else { Ok(()) };
        };
        if entry.lingering.is_some() {
            // The end of what comes is not yet that of what goes: `Finished` is, or the time.
            if transfer::receive(&mut stream, &mut core, host, scratch).is_err() {
                stream.is_empty = true;
            }
        } else if !core.is_paused(&shared.limits) {
            transfer::receive(&mut stream, &mut core, host, scratch)?;
        }
        transfer::pump(&mut stream, &mut core, host)?;
        let is_empty = !stream.has_more();
        quic.set_empty(key, is_empty);
        let ends = core.is_closing() && core.output().is_empty();
        core.parked = core.is_paused(&shared.limits) && !ends && entry.lingering.is_none();
        let again = !is_empty && !core.parked;
        if ends {
            self.linger(id, &mut core);
        }
        drop(core);
        if again {
            self.mark(id);
        }
        Ok(())
    }

    /// The connections to look after.
    pub(super) fn take_dirty(&mut self) -> Vec<ConnectionId> {
        let dirty = std::mem::take(&mut self.dirty);
        for id in &dirty {
            if let Some(entry) = self.entries.get_mut(id) {
                entry.dirty = false;
            }
        }
        dirty
    }

    /// Adds a connection.
    pub(super) fn adopt(&mut self, link: Arc<Link>, accepted: Option<Accepted>) -> &mut Entry {
        add(&self.shared.stats.accepted, 1);
        let (announced, accepted) = match link.carrier.is_handshaking() {
            true => (accepted, None),
            false => (None, accepted),
        };
        if let Some(Accepted { listener, peer, local }) = accepted {
            self.host.events.push(Event::Accepted { connection: link.id, listener, peer, local });
        }
        let now = self.host.now;
        self.keep_ticking();
        self.entries.entry(link.id).or_insert(Entry {
            link,
            interest: 0,
            dirty: false,
            since: now,
            partial: None,
            stalled: None,
            active: (0, now),
            lingering: None,
            quic: None,
            trusted: false,
            announced,
            admitted: None,
        })
    }

    /// Closes a connection at once.
    pub(super) fn close(&mut self, id: ConnectionId, reason: Reason) {
        let Some(entry) = self.entries.remove(&id) else { return };
        let reason = match entry.link.carrier.was_cut() {
            true => Reason::Borrowed("peer does not take data of a file that somebody waits to write to"),
            false => reason,
        };
        self.say_goodbye(&entry);
        self.shared.forget(id);
        let authenticated = entry.link.end(&mut self.host);
        let stats = &self.shared.stats;
        sub(&stats.connections, 1);
        if !authenticated {
            sub(&stats.unauthenticated, 1);
        }
        if let Some(key) = entry.quic {
            self.quic.close(key, self.host.now);
        }
        if entry.link.carrier.is_handshaking() {
            self.shared.handshakes.forget(id);
        }
        if let Some(Accepted { listener, peer, .. }) = entry.announced {
            add(&stats.closed, 1);
            self.admission.reject(listener, &peer, reason, &self.shared, &mut self.host.events);
            return;
        }
        if entry.lingering.is_none() {
            add(&stats.closed, 1);
            self.host.events.push(Event::Closed { connection: id, reason });
        }
        if let Some(gone) = &mut self.gone {
            gone.push((id, entry));
        }
    }

    /// What the peer is told of the end, if it still takes it.
    fn say_goodbye(&mut self, entry: &Entry) {
        let Some(mut socket) = entry.link.carrier.socket() else { return };
        let mut core = entry.link.lock(&mut self.host);
        if core.say_goodbye(&mut self.host) {
            let _ = socket.send_front(core.output(), &mut self.host.pool);
        }
    }

    /// Reminds of a connection, if it has something to do at a time.
    pub(super) fn remind(&mut self, id: ConnectionId, due: Option<Instant>) {
        if let Some(at) = due {
            self.timers.set(at, Timer::Connection(id));
        }
    }

    /// Everything is sent: ends our side and waits a moment for the peer, so that it can read the last answer.
    pub(super) fn linger(&mut self, id: ConnectionId, core: &mut Core) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if entry.lingering.is_none() {
            core.end_pumps(&mut self.host);
            entry.link.carrier.end_output();
            core.finish_device();
            if let Some(key) = entry.quic {
                self.quic.finish(key, self.host.now);
            }
            entry.lingering = Some(self.host.now);
            add(&self.shared.stats.closed, 1);
            self.host.events.push(Event::Closed { connection: id, reason: "closed by the server".into() });
        }
    }

    /// Sees to it that the thread is woken within a second.
    pub(super) fn keep_ticking(&mut self) {
        if !std::mem::replace(&mut self.ticks, true) {
            self.timers.set(self.host.now + TICK, Timer::Tick);
        }
    }

    /// Does what is due. True when a second or more has passed.
    pub(super) fn on_time(&mut self) -> bool {
        let now = self.host.now;
        let mut ticked = false;
        while let Some(timer) = self.timers.due(now) {
            match timer {
                (_, Timer::Tick) => ticked = true,
                (at, Timer::Quic(key)) => self.quic.remind(key, at, now),
                (_, Timer::Connection(id)) => self.mark(id),
            }
        }
        if ticked {
            self.ticks = false;
            self.tick(now);
            let holds_memory = buffer::shrink(now);
            if holds_memory || !self.entries.is_empty() {
                self.keep_ticking();
            }
        }
        ticked
    }

    /// Closes what is overdue.
    fn tick(&mut self, now: Instant) {
        let limits = self.shared.limits.clone();
        let server = self.shared.role == Role::Server;
        let mut overdue: Vec<(ConnectionId, &'static str)> = Vec::new();
        let mut fed = Vec::new();
        for (id, entry) in &mut self.entries {
            let age = now.saturating_duration_since(entry.since);
            let link = entry.link.clone();
            let core = &mut *link.lock(&mut self.host);
            let authenticated = core.settings().authenticated;
            link.note_direct(core);
            match core.on_time(&self.host) {
                Ok(true) => fed.push(*id),
                Ok(false) => (),
                Err(reason) => drop(core.failed.get_or_insert(reason)),
            }
            if core.failed.is_some() {
                fed.push(*id);
            }
            if entry.lingering.is_some_and(|since| now.saturating_duration_since(since) >= LINGER) {
                overdue.push((*id, "closed by the server"));
            } else if server && !authenticated && age >= limits.preauth_timeout {
                overdue.push((*id, "not authenticated in time"));
            } else if entry.message_overdue(core, now, &limits) {
                overdue.push((*id, "message was not completed in time"));
            } else if entry.output_overdue(core, now, limits.send_timeout) {
                overdue.push((*id, "peer does not read"));
            } else if entry.is_idle(core, now, limits.idle_timeout) {
                self.host.events.push(Event::Idle { connection: *id });
            }
            // Nobody says when a user's other connections have sent enough.
            if core.goes_on(&limits) {
                fed.push(*id);
            }
            // Credits that the control plane has waited for and not taken wake nobody.
            if core.feed_pumps(&mut self.host) {
                fed.push(*id);
            }
        }
        overdue.into_iter().for_each(|(id, reason)| self.close(id, reason.into()));
        fed.into_iter().for_each(|id| self.mark(id));
        self.look_for_moves();
    }

    /// The thread ends: sends what can be sent now, and says so to every peer.
    pub(super) fn end_all(&mut self, scratch: &mut [u8]) {
        for entry in self.entries.values_mut() {
            let host = &mut self.host;
            let mut core = entry.link.lock(host);
            if let Some(mut socket) = entry.link.carrier.socket() {
                let _ = transfer::send_output(&mut socket, &mut core, host);
            }
            entry.link.carrier.end_output();
        }
        if self.shared.role == Role::Server {
            self.deliver_kernel_quic();
        }
        self.host.now = Instant::now();
        self.end_quic(scratch, &mut |ports, time| {
            let ready = socket::poll(ports, time);
            (Instant::now(), ready)
        });
    }

    /// Who gets a share of the threads for a job.
    pub(super) fn owner_of(&mut self, job: &FileJob) -> Owner {
        let connection = job.connection;
        let entry = self.entries.get(&connection);
        let party = match entry.map_or(0, |entry| entry.link.lock(&mut self.host).settings().user) {
            0 => Party::Connection(connection),
            user => Party::User(user),
        };
        Owner { device: job.device(), party, connection }
    }

    /// Hands what blocks to the workers and the events to the control plane.
    pub(super) fn deliver(&mut self) {
        for job in std::mem::take(&mut self.host.jobs) {
            let owner = self.owner_of(&job);
            match job.series().cloned() {
                None => self.shared.workers.push(owner, Job::One(Box::new(job)), &self.shared),
                Some(series) if series.push(job) => {
                    self.shared.workers.push(owner, Job::Series(series), &self.shared);
                }
                Some(_) => (),
            }
        }
        if !self.host.events.is_empty() {
            self.shared.events.push(&mut self.host.events);
        }
    }
}

impl Entry {
    /// True when the same incomplete message has been there for too long; a second is added per 8 KiB of it.
    fn message_overdue(&mut self, core: &Core, now: Instant, limits: &Limits) -> bool {
        let number = core.progress();
        match self.partial {
            _ if !core.has_partial() || core.is_paused(limits) => self.partial = None,
            Some((of, since)) if of == number => {
                let size = core.frame_bytes().unwrap_or(0) as u64;
                let allowed = limits.frame_timeout + Duration::from_secs(size / 8192);
                return now.saturating_duration_since(since) >= allowed;
            }
            _ => self.partial = Some((number, now)),
        }
        false
    }

    /// True when output waits and none of it has moved for too long.
    fn output_overdue(&mut self, core: &mut Core, now: Instant, timeout: Duration) -> bool {
        let (waiting, sent) = (core.output_bytes(), core.sent());
        match self.stalled {
            _ if waiting == 0 || core.is_missing() => self.stalled = None,
            Some((then, since)) if then == sent => return now.saturating_duration_since(since) >= timeout,
            _ => self.stalled = Some((sent, now)),
        }
        false
    }

    /// True when no message came for `timeout`, and again after every further `timeout`.
    fn is_idle(&mut self, core: &Core, now: Instant, timeout: Duration) -> bool {
        let frames = core.frame_count();
        if self.active.0 != frames {
            self.active = (frames, now);
        }
        let idle = !timeout.is_zero() && now.saturating_duration_since(self.active.1) >= timeout;
        if idle {
            self.active.1 = now;
        }
        idle
    }
}
