//! One connection as its I/O thread and the control plane share it, and how the control plane sends by itself.
//!
//! A change (an answer, keys, settings) is put into the connection's inbox by whoever makes it. Whoever holds
//! the connection's lock carries out what is in the inbox, in order, before anything else. The control plane tries
//! the lock: when it gets it and nothing waits to be sent, small answers leave on its own thread, which saves the
//! wake-up of the I/O thread. Else the I/O thread is woken and does it. The rules:
//!
//! 1. Order of locks: connection, then inbox. Both are leaves otherwise: nobody waits for another lock, runs foreign
//!    code or enters a command queue while holding one of them.
//! 2. The control plane never waits for a connection's lock, and it does not hold it while it sends: what it sends
//!    is lent out of the output, which is busy until it comes back. A busy output is sent by nobody else, still
//!    counts as waiting, and takes more at its end.
//! 3. Who leaves the lock with work for the I/O thread behind (output left, a pause that has ended, a failure, the last
//!    byte before closing) wakes it. Only the I/O thread closes, arms, receives and reports.
//! 4. Only a carrier with a socket of its own is sent to by the control plane. The descriptor lives as long as the last reference, so a send never hits a foreign socket. A closed connection is
//!    `gone`: what comes for it is dropped.

use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use super::carrier::{ByteStream, Carrier};
use super::{Command, Shared};
use crate::attached::SessionOpens;
use crate::buffer::Loan;
use crate::conn::direct::{self, Direct};
use crate::conn::{Connection, Host, Settings, Submission};
use crate::credits::Credits;
use crate::crypto::SessionKeys;
use crate::event::{ConnectionId, Reason};
use crate::limits::Limits;
use crate::pump::{self, PumpId};
use crate::stats::{add, sub, Stats};

/// Answers up to this size are sent by the control plane's own thread: what is larger costs more to protect and to copy
/// than the wake-up of the I/O thread.
const DIRECT_BYTES: usize = 16 * 1024;

/// What the control plane does to a connection.
#[derive(Debug)]
pub(super) enum Change {
    Submit(Submission),
    SetSession(u64, Arc<SessionKeys>, Arc<SessionOpens>),
    DropSession(u64),
    SetSettings(Settings),
    SetCredits(Arc<Credits>),
    /// For the I/O thread alone.
    Pump(Box<pump::Settings>),
    /// For the I/O thread alone.
    StopPump(PumpId, bool),
    /// What was lent out of the output has been sent, or so much of it.
    Sent(Loan, Result<usize, Reason>),
}

impl Change {
    /// Bytes to protect and to copy; what only the I/O thread can do is more than anybody else does.
    fn effort(&self) -> usize {
        match self {
            Change::Submit(submission) => submission.packet.len(),
            Change::Pump(_) | Change::StopPump(..) => DIRECT_BYTES + 1,
            _ => 0,
        }
    }
}

/// Changes that nobody has carried out yet.
#[derive(Debug, Default)]
struct Inbox {
    changes: Vec<Change>,
    /// That of all changes.
    effort: usize,
    /// The I/O thread has closed the connection.
    ended: bool,
}

impl Inbox {
    fn take(&mut self) -> Vec<Change> {
        self.effort = 0;
        mem::take(&mut self.changes)
    }

    /// All changes unless they are more effort than that.
    fn take_up_to(&mut self, effort: usize) -> Option<Vec<Change>> {
        (self.effort <= effort).then(|| self.take())
    }
}

/// What the lock protects.
#[derive(Debug)]
pub(super) struct Core {
    connection: Connection,
    /// The I/O thread does not read it because it was paused.
    pub(super) parked: bool,
    /// Why it is to be closed.
    pub(super) failed: Option<Reason>,
    /// The I/O thread has closed it.
    pub(super) gone: bool,
}

impl Deref for Core {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Core {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// A connection with its carrier.
#[derive(Debug)]
pub(crate) struct Link {
    pub(super) id: ConnectionId,
    pub(super) carrier: Carrier,
    inbox: Mutex<Inbox>,
    /// As it was at the last tick.
    direct: Mutex<Option<direct::Status>>,
    core: Mutex<Core>,
}

impl Link {
    pub(super) fn new(carrier: Carrier, mut connection: Connection) -> Link {
        if let (Carrier::Socket(delivery), None) = (&carrier, connection.direct()) {
            connection.set_takes_pipes(true);
            connection.set_delivery(delivery.clone());
        }
        let id = connection.id();
        let direct = Mutex::new(connection.direct().map(Direct::status));
        let core = Core { connection, parked: false, failed: None, gone: false };
        Link { id, carrier, inbox: Mutex::default(), direct, core: Mutex::new(core) }
    }

    /// The connection with all changes carried out; for its I/O thread, which may wait.
    pub(super) fn lock(&self, host: &mut Host) -> MutexGuard<'_, Core> {
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        for change in self.inbox().take() {
            core.carry_out_here(change, host);
        }
        core
    }

    /// The I/O thread closes the connection: nothing is taken any more. True: it had authenticated.
    pub(super) fn end(&self, host: &mut Host) -> bool {
        self.inbox().ended = true;
        let mut core = self.lock(host); // what was posted before
        core.gone = true;
        core.end_pumps(host);
        core.settings().authenticated
    }

    /// How its SMB Direct was at the last tick.
    pub(super) fn direct(&self) -> Option<direct::Status> {
        *self.direct.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how its SMB Direct is.
    pub(super) fn note_direct(&self, core: &Core) {
        if let Some(direct) = core.direct() {
            *self.direct.lock().unwrap_or_else(PoisonError::into_inner) = Some(direct.status());
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a change into the inbox; false when the connection has ended. [`Link::settle`] must follow.
    pub(super) fn post(&self, change: Change) -> bool {
        let mut inbox = self.inbox();
        if !inbox.ended {
            inbox.effort += change.effort();
            inbox.changes.push(change);
        }
        !inbox.ended
    }

    /// Carries out what was posted and sends, as far as that is quick; leaves the rest to the I/O thread.
    pub(super) fn settle(&self, shared: &Shared) {
        if !self.try_settle(shared) {
            shared.send(self.id, Command::Wake(self.id));
        }
    }

    /// False: there is something for the I/O thread to do.
    fn try_settle(&self, shared: &Shared) -> bool {
        let Some(mut core) = self.try_lock(&shared.stats) else { return false };
        let socket = self.carrier.socket().filter(|_| core.can_send());
        if let Some((mut socket, loan)) = socket.and_then(|it| Some((it, core.output().lend(DIRECT_BYTES)?)))
        {
            drop(core);
            let result = socket.send(loan.slices(), false);
            self.post(Change::Sent(loan, result));
            match self.try_lock(&shared.stats) {
                Some(again) => core = again,
                None => return false,
            }
        }
        core.is_settled(&shared.limits)
    }

    /// The connection with all changes carried out, if that takes no time.
    fn try_lock(&self, stats: &Stats) -> Option<MutexGuard<'_, Core>> {
        let mut core = match self.core.try_lock() {
            Ok(core) => core,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let changes = self.inbox().take_up_to(DIRECT_BYTES)?;
        changes.into_iter().for_each(|change| core.carry_out(change, stats));
        Some(core)
    }
}

impl Core {
    /// Carries out a change on the I/O thread.
    fn carry_out_here(&mut self, change: Change, host: &mut Host) {
        match change {
            Change::Pump(settings) => self.connection.add_pump(*settings, host),
            Change::StopPump(id, now) => self.connection.stop_pump(id, now, host),
            other => self.carry_out(other, &host.stats),
        }
    }

    /// Carries out a change. What fails closes the connection later.
    fn carry_out(&mut self, change: Change, stats: &Stats) {
        match change {
            Change::Submit(submission) => {
                if let Err(reason) = self.connection.submit(submission, stats) {
                    self.failed.get_or_insert(reason);
                }
            }
            Change::Sent(loan, result) => {
                let count = result.unwrap_or_else(|reason| {
                    self.failed.get_or_insert(reason);
                    0
                });
                add(&stats.bytes_sent, count as u64);
                self.connection.output().settle(loan, count);
            }
            Change::SetSession(session_id, keys, opens) => {
                if let Err(reason) = self.connection.set_session(session_id, keys, opens) {
                    self.failed.get_or_insert(reason);
                }
            }
            Change::DropSession(session_id) => self.connection.drop_session(session_id),
            Change::SetSettings(settings) => self.set_settings(settings, stats),
            Change::SetCredits(credits) => self.connection.set_credits(credits),
            Change::Pump(_) | Change::StopPump(..) => unreachable!("only the I/O thread takes these"),
        }
    }

    fn set_settings(&mut self, settings: Settings, stats: &Stats) {
        match (self.connection.settings().authenticated, settings.authenticated) {
            (false, true) => sub(&stats.unauthenticated, 1),
            (true, false) => add(&stats.unauthenticated, 1),
            _ => (),
        }
        self.connection.set_settings(settings);
    }

    fn can_send(&self) -> bool {
        !self.gone && self.failed.is_none()
    }

    /// True when nothing is left to the I/O thread but to wait for the socket.
    fn is_settled(&mut self, limits: &Limits) -> bool {
        if self.gone {
            return true;
        }
        self.connection.count();
        let waits = self.connection.has_waiting_output();
        let ends = self.connection.is_flushed() && self.connection.is_closing();
        !(waits || ends || self.goes_on(limits) || self.failed.is_some())
    }

    /// True when a pause has ended.
    pub(super) fn goes_on(&self, limits: &Limits) -> bool {
        (self.parked || self.connection.holds_messages()) && !self.connection.is_paused(limits)
    }
}
