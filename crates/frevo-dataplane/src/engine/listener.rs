//! Accepting connections within the limits, without spinning when descriptors run out.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{socket, Accepted, Command, Shared};
use crate::event::{ConnectionId, Event, ListenerId};
use crate::framing::Framing;
use crate::stats::add;

/// REJECTED events per second at most.
const REPORTS_PER_SECOND: u32 = 10;
/// Connections accepted per wake-up of a listener, so that the others get their turn.
const BATCH: usize = 64;

/// The listening sockets of a thread.
#[derive(Debug)]
pub(super) struct Listeners {
    sockets: HashMap<ListenerId, (OwnedFd, Framing)>,
    /// Given up for a moment when no descriptor is left, to turn clients away instead of leaving them waiting.
    reserve: Option<File>,
    second: Instant,
    reports: u32,
    /// Who was let in lately, oldest first; some have authenticated or gone.
    recent: VecDeque<ConnectionId>,
}

impl Listeners {
    pub(super) fn new() -> Listeners {
        Listeners {
            sockets: HashMap::new(),
            reserve: reserve(),
            second: Instant::now(),
            reports: 0,
            recent: VecDeque::new(),
        }
    }

    pub(super) fn add(&mut self, listener: ListenerId, fd: OwnedFd, framing: Framing) -> RawFd {
        socket::prepare(fd.as_raw_fd());
        let raw = fd.as_raw_fd();
        self.sockets.insert(listener, (fd, framing));
        raw
    }

    pub(super) fn remove(&mut self, listener: ListenerId) {
        self.sockets.remove(&listener);
    }

    pub(super) fn fd(&self, listener: ListenerId) -> Option<RawFd> {
        self.sockets.get(&listener).map(|(fd, _)| fd.as_raw_fd())
    }

    /// Accepts what waits and deals it out. An error: no resources, ask again in a second.
    pub(super) fn accept(
        &mut self,
        listener: ListenerId,
        shared: &Arc<Shared>,
        events: &mut Vec<Event>,
    ) -> io::Result<()> {
        let Some((socket, framing)) = self.sockets.get(&listener) else { return Ok(()) };
        let (raw, framing) = (socket.as_raw_fd(), *framing);
        for _ in 0..BATCH {
            match socket::accept(raw) {
                Ok((fd, peer)) => self.admit(fd, peer, listener, framing, shared, events),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => return Ok(()),
                    Some(libc::EMFILE | libc::ENFILE) => {
                        if !self.turn_away(raw) {
                            self.reject(listener, "unknown", "no file descriptor left", shared, events);
                            return Err(error);
                        }
                        self.reject(listener, "unknown", "no file descriptor left", shared, events);
                    }
                    Some(libc::ENOBUFS | libc::ENOMEM | libc::EBADF | libc::EINVAL) => return Err(error),
                    _ => (), // the client gave up, or a signal came
                },
            }
        }
        Ok(())
    }

    fn admit(
        &mut self,
        fd: OwnedFd,
        peer: String,
        listener: ListenerId,
        framing: Framing,
        shared: &Arc<Shared>,
        events: &mut Vec<Event>,
    ) {
        let (limits, stats) = (&shared.limits, &shared.stats);
        if stats.connections.load(Ordering::Relaxed) >= limits.max_connections as u64 {
            return self.reject(listener, &peer, "too many connections", shared, events);
        }
        let unauthenticated = stats.unauthenticated.load(Ordering::Relaxed) as usize;
        if unauthenticated >= limits.max_unauthenticated + limits.max_unauthenticated / 8 + 2 {
            return self.reject(listener, &peer, "too many unauthenticated connections", shared, events);
        }
        if unauthenticated >= limits.max_unauthenticated {
            self.evict_oldest(shared);
        }
        let accepted = Accepted { listener, peer, local: socket::local_address(fd.as_raw_fd()) };
        let connection = shared.adopt(fd, framing, Some(accepted));
        if self.recent.len() >= 4 * limits.max_unauthenticated {
            self.recent.pop_front();
        }
        self.recent.push_back(connection);
    }

    /// Makes room for a new connection: silent ones that fill the table must not keep everybody else out. Of those
    /// who came first many may have logged on or gone, so two are tried.
    fn evict_oldest(&mut self, shared: &Arc<Shared>) {
        for connection in self.recent.drain(..self.recent.len().min(2)) {
            shared.send(connection, Command::Evict(connection));
        }
    }

    fn reject(
        &mut self,
        listener: ListenerId,
        peer: &str,
        reason: &'static str,
        shared: &Arc<Shared>,
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
