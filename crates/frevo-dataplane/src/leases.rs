//! When the pages of a file may be sent as they are: while nobody can write to it.
//!
//! A read lease of Linux (F_SETLEASE) is granted while nobody has the file open for writing. Whoever then opens it for
//! writing, or truncates it, has to wait until the lease is given up. So one is taken when pages of a file are to be
//! spliced for the first time, all opens of the file share it, and it is given up when it was not used for a while. When a
//! writer comes, no more pages are spliced, those that are under way arrive at their readers, and then the writer goes on
//! (`keeper`). Nobody here waits for anything.

mod keeper;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::acting;
use crate::delivery::Delivery;
use crate::event::Reason;
use crate::fast::OpenFile;
use crate::gate::{Gate, Level};
use crate::stats::{add, sub, Stats};

/// What a connection that ended too early had given to the device leaves within this time.
const SETTLE: Duration = Duration::from_millis(100);
/// How long after a writer came, or was there, nobody tries to have a lease.
const AFTER_WRITER: Duration = Duration::from_millis(100);
/// The same for obstacles that stay.
const AFTER_REFUSAL: Duration = Duration::from_secs(10);

/// Why pages are not sent as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The peer may be on this host, where it would get the pages themselves.
    Near,
    /// Somebody has the file open for writing, or had just now.
    Writer,
    /// The server may not have leases: it neither owns the file nor has CAP_LEASE.
    Denied,
    /// The file system has no leases, or cannot be relied on.
    Unable,
    /// There are too many leases, or too few descriptors.
    Short,
}

impl Obstacle {
    /// Counts a READ that was copied because of it.
    pub fn count(self, stats: &Stats) {
        let counter = match self {
            Obstacle::Near => &stats.unspliced_near,
            Obstacle::Writer => &stats.unspliced_writer,
            Obstacle::Denied => &stats.unspliced_denied,
            Obstacle::Unable => &stats.unspliced_unable,
            Obstacle::Short => &stats.unspliced_short,
        };
        add(counter, 1);
    }

    /// How long it makes no sense to try again.
    fn lasts(self) -> Duration {
        match self {
            Obstacle::Denied | Obstacle::Unable => AFTER_REFUSAL,
            _ => AFTER_WRITER,
        }
    }

    /// What an error of F_SETLEASE means.
    fn of(error: &io::Error) -> Obstacle {
        match error.raw_os_error() {
            Some(libc::EAGAIN) => Obstacle::Writer,
            Some(libc::EACCES | libc::EPERM) => Obstacle::Denied,
            Some(libc::ENOMEM | libc::EMFILE | libc::ENFILE) => Obstacle::Short,
            _ => Obstacle::Unable,
        }
    }
}

/// What is known about the pages of one file; all its attached opens have it.
#[derive(Debug, Default)]
pub struct Pages {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Unknown,
    Leased(Arc<Lease>),
    Refused(Obstacle, Instant),
}

impl Pages {
    /// The right to send pages of the file as they are. It takes the lease if there is none.
    pub fn pin(&self, file: &OpenFile, now: Instant, stats: &Arc<Stats>) -> Result<Pin, Obstacle> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Leased(lease) => {
                if let Some(pin) = lease.pin(now) {
                    return Ok(pin);
                }
                if lease.again.get().is_none_or(|again| now < *again) {
                    return Err(Obstacle::Writer);
                }
            }
            State::Refused(obstacle, until) if now < *until => return Err(*obstacle),
            _ => (),
        }
        let taken = Lease::take(file, now, stats);
        *state = match &taken {
            Ok(lease) => State::Leased(lease.clone()),
            Err(obstacle) => State::Refused(*obstacle, now + obstacle.lasts()),
        };
        taken.and_then(|lease| lease.pin(now).ok_or(Obstacle::Writer))
    }
}

impl Drop for Pages {
    /// No open of the file is left.
    fn drop(&mut self) {
        if let State::Leased(lease) = &*self.state.get_mut().unwrap_or_else(PoisonError::into_inner) {
            lease.abandoned.store(true, Ordering::Relaxed);
            if let Some(keeper) = keeper::keeper() {
                keeper.wake();
            }
        }
    }
}

/// A read lease on a file, and who has been sent pages under it.
#[derive(Debug)]
struct Lease {
    /// The open that has it, until it is given up.
    file: Mutex<Option<OwnedFd>>,
    /// Held from the moment when it is to end.
    gate: Arc<Gate>,
    usage: Mutex<Usage>,
    /// No open of the file is left.
    abandoned: AtomicBool,
    /// It was given up; another one may be tried from then on.
    again: OnceLock<Instant>,
    stats: Arc<Stats>,
}

#[derive(Debug)]
struct Usage {
    used: Instant,
    /// By the address of their delivery.
    readers: HashMap<usize, Reader>,
    /// The lease stays until then: what readers that went had given to the device has to leave it.
    settled: Option<Instant>,
    /// What is not queued yet is not to be sent any more.
    lost: bool,
}

/// What becomes of pages on their way to a reader.
enum Way {
    /// They go on.
    Open,
    /// Its connection has ended.
    Ended,
}

impl Usage {
    /// Forgets readers to whom everything has arrived, and those whose connection has ended or ends with this: `look` at one
    /// to whom something is under way, with how far its stream has arrived.
    fn forget(&mut self, now: Instant, mut look: impl FnMut(&mut Reader, (&Delivery, u64)) -> Way) {
        let settled = &mut self.settled;
        self.readers.retain(|_, reader| {
            let way = match reader.delivery.upgrade() {
                None => Way::Ended,
                Some(delivery) => match delivery.arrived() {
                    arrived if arrived >= reader.end => return false,
                    arrived => look(reader, (&delivery, arrived)),
                },
            };
            if matches!(way, Way::Ended) {
                *settled = Some(now + SETTLE);
            }
            matches!(way, Way::Open)
        });
    }
}

/// A connection that has been sent pages.
#[derive(Debug)]
struct Reader {
    delivery: Weak<Delivery>,
    /// Where the last of them ends in its stream.
    end: u64,
    /// How far the stream had arrived when somebody waited for it, and when that changed last.
    progress: Option<(u64, Instant)>,
}

impl Lease {
    /// Takes a lease, if there can be one.
    fn take(file: &OpenFile, now: Instant, stats: &Arc<Stats>) -> Result<Arc<Lease>, Obstacle> {
        // What a file system that does not tell whether it waits has in its pages, others may change (FUSE).
        if !file.would_tell() {
            return Err(Obstacle::Unable);
        }
        let keeper = keeper::keeper().filter(|keeper| keeper.has_room()).ok_or(Obstacle::Short)?;
        // An open of its own: the lease ends when it is closed, whoever has the others.
        let mut options = fs::OpenOptions::new();
        options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        let path = format!("/proc/self/fd/{}", file.descriptor());
        let own = acting::leave().and_then(|()| options.open(path)).map_err(|error| Obstacle::of(&error))?;
        let lease = Arc::new(Lease {
            file: Mutex::new(None),
            gate: Arc::default(),
            usage: Mutex::new(Usage { used: now, readers: HashMap::new(), settled: None, lost: false }),
            abandoned: AtomicBool::new(false),
            again: OnceLock::new(),
            stats: stats.clone(),
        });
        keeper.set_lease(own.as_raw_fd()).map_err(|error| Obstacle::of(&error))?;
        *lease.file() = Some(own.into());
        add(&stats.leases, 1);
        keeper.keep(lease.clone());
        Ok(lease)
    }

    fn file(&self) -> MutexGuard<'_, Option<OwnedFd>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None: it is to end, or has ended.
    fn pin(self: &Arc<Lease>, now: Instant) -> Option<Pin> {
        if !self.gate.enter(Level::Read) {
            return None;
        }
        self.usage().used = now;
        Some(Pin(self.clone()))
    }

    /// True once somebody waits for its end.
    fn is_broken(&self) -> bool {
        self.file().as_ref().is_some_and(|file| !keeper::has_lease(file.as_raw_fd()))
    }

    /// Lets writers go on. Nothing is ever sent under it again.
    fn give_up(&self, again: Instant) {
        drop(self.gate.close());
        if self.file().take().is_some() {
            sub(&self.stats.leases, 1);
        }
        let _ = self.again.set(again);
    }
}

/// Pages on their way into the output of a connection: the lease stays until they are there, and what is there has arrived.
#[derive(Debug)]
pub struct Pin(Arc<Lease>);

impl Pin {
    /// The pages are queued: the last byte is the one before `end` of the stream. An error: it took so long that a
    /// writer could not be kept waiting.
    pub fn queued(self, delivery: &Arc<Delivery>, end: u64) -> Result<(), Reason> {
        let mut usage = self.0.usage();
        if usage.lost {
            return Err(Reason::Borrowed("a file was read for too long while somebody waits to write to it"));
        }
        delivery.await_arrival(end);
        let reader = usage.readers.entry(Arc::as_ptr(delivery) as usize).or_insert_with(|| Reader {
            delivery: Arc::downgrade(delivery),
            end,
            progress: None,
        });
        // The address may be that of another one that has gone.
        let has_gone = reader.delivery.strong_count() == 0;
        if has_gone {
            reader.delivery = Arc::downgrade(delivery);
        }
        reader.end = end;
        if has_gone {
            usage.settled = Some(Instant::now() + SETTLE);
        }
        Ok(())
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.0.gate.leave(Level::Read);
    }
}
