//! Which clients are let in: the limits on connections, whatever carries them.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Command, Shared};
use crate::event::{ConnectionId, Event, ListenerId, Reason};
use crate::limits::Limits;
use crate::stats::add;

/// REJECTED events per second at most.
const REPORTS_PER_SECOND: u32 = 10;

/// What one thread remembers for it.
#[derive(Debug)]
pub(super) struct Admission {
    second: Instant,
    reports: u32,
    /// Who was let in lately, oldest first; some have authenticated or gone.
    recent: VecDeque<ConnectionId>,
}

impl Admission {
    pub(super) fn new() -> Admission {
        Admission { second: Instant::now(), reports: 0, recent: VecDeque::new() }
    }

    /// Makes room for one more connection; else which limit there is.
    pub(super) fn room(&mut self, shared: &Shared) -> Result<(), &'static str> {
        let (limits, stats) = (&shared.limits, &shared.stats);
        if stats.connections.load(Ordering::Relaxed) >= limits.max_connections as u64 {
            return Err("too many connections");
        }
        let unauthenticated = stats.unauthenticated.load(Ordering::Relaxed) as usize;
        if unauthenticated >= limits.max_unauthenticated + limits.max_unauthenticated / 8 + 2 {
            return Err("too many unauthenticated connections");
        }
        if unauthenticated >= limits.max_unauthenticated {
            self.evict_oldest(shared);
        }
        Ok(())
    }

    /// A connection was let in.
    pub(super) fn admitted(&mut self, connection: ConnectionId, limits: &Limits) {
        if self.recent.len() >= 4 * limits.max_unauthenticated {
            self.recent.pop_front();
        }
        self.recent.push_back(connection);
    }

    /// Makes room for a new connection: silent ones that fill the table must not keep everybody else out. Of those
    /// who came first many may have logged on or gone, so two are tried.
    fn evict_oldest(&mut self, shared: &Shared) {
        for connection in self.recent.drain(..self.recent.len().min(2)) {
            shared.send(connection, Command::Evict(connection));
        }
    }

    /// Counts a client that was turned away, and reports it unless there were many.
    pub(super) fn reject(
        &mut self,
        listener: ListenerId,
        peer: &str,
        reason: impl Into<Reason>,
        shared: &Shared,
        events: &mut Vec<Event>,
    ) {
        add(&shared.stats.rejected, 1);
        if self.second.elapsed() > Duration::from_secs(1) {
            self.second = Instant::now();
            self.reports = 0;
        }
        self.reports += 1;
        if self.reports <= REPORTS_PER_SECOND {
            events.push(Event::Rejected { listener, peer: peer.to_owned(), reason: reason.into() });
        }
    }
}
