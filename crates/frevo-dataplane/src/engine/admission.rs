//! Which clients are let in: the limits on connections, whatever carries them.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Command, Shared};
use crate::event::{ConnectionId, Event, ListenerId, Reason};
use crate::limits::Limits;
use crate::stats::add;

/// REJECTED events per second at most.
const REPORTS_PER_SECOND: u32 = 10;

/// Who was let in lately by any thread, oldest first; some have authenticated or gone.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<VecDeque<ConnectionId>>);

impl Recent {
    /// A connection was let in.
    pub(super) fn admitted(&self, connection: ConnectionId, limits: &Limits) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= 4 * limits.max_unauthenticated {
            recent.pop_front();
        }
        recent.push_back(connection);
    }

    /// Makes room for a new connection: silent ones that fill the table must not keep everybody else out. Of those
    /// who came first many may have logged on or gone, so two are tried.
    fn evict_oldest(&self, shared: &Shared) {
        let oldest: Vec<_> = {
            let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let count = recent.len().min(2);
            recent.drain(..count).collect()
        };
        oldest.into_iter().for_each(|connection| shared.send(connection, Command::Evict(connection)));
    }
}

/// What one thread remembers for it.
#[derive(Debug)]
pub(super) struct Admission {
    second: Instant,
    reports: u32,
}

impl Admission {
    pub(super) fn new() -> Admission {
        Admission { second: Instant::now(), reports: 0 }
    }

    /// Makes room for one more connection, and counts it: several threads admit clients at once. Else which limit
    /// there is.
    pub(super) fn room(shared: &Shared) -> Result<(), &'static str> {
        let (limits, stats) = (&shared.limits, &shared.stats);
        let unauthenticated = shared.unauthenticated();
        if unauthenticated >= limits.max_unauthenticated + limits.max_unauthenticated / 8 + 2 {
            return Err("too many unauthenticated connections");
        }
        if unauthenticated >= limits.max_unauthenticated {
            shared.recent.evict_oldest(shared);
        }
        let one_more = |count| (count < limits.max_connections as u64).then_some(count + 1);
        let counted = stats.connections.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        counted.map(drop).map_err(|_| "too many connections")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::Role;
    use crate::engine::{Config, DataPlane};

    #[test]
    fn threads_together_admit_no_more_than_the_limit() {
        let limits = Limits { max_connections: 1000, max_unauthenticated: 2000, ..Limits::default() };
        let config = Config::with(Role::Server, limits);
        let shared = &*DataPlane::share(config, "epoll").unwrap();
        let limit = shared.limits.max_connections as u64;
        let admitted = || (0..limit).filter(|_| Admission::room(shared).is_ok()).count() as u64;
        let all: u64 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(admitted)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((all, shared.stats.connections.load(Ordering::Relaxed)), (limit, limit));
        assert_eq!(Admission::room(shared), Err("too many connections"));
    }
}
