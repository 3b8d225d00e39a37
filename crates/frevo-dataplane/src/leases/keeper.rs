//! The thread that gives leases up. The kernel tells it that somebody waits for one, by a signal that goes to this thread
//! alone and that it alone waits for: whatever the process does with signals, no other thread sees it.

use std::io;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{mpsc, Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Lease, Reader, Way, AFTER_WRITER};
use crate::gate::{Hold, Levels};
use crate::stats::add;

/// Leases at a time: each has a descriptor.
const LEASES_MAX: usize = 256;
/// One that was not used for so long is given up.
const IDLE: Duration = Duration::from_secs(5);
/// How often leases are looked at that nobody waits for.
const TICK: Duration = Duration::from_secs(1);
/// How often those are looked at that somebody waits for: at first, and after a while.
const SOON: Duration = Duration::from_millis(1);
const LATER: Duration = Duration::from_millis(5);
/// A reader that acknowledges nothing for so long, while somebody waits, is cut off ...
const STALLED: Duration = Duration::from_secs(2);
/// ... and one that has not acknowledged all by then.
const PATIENCE: Duration = Duration::from_secs(10);

const F_SETSIG: libc::c_int = 10;
const F_SETOWN_EX: libc::c_int = 15;
const F_OWNER_TID: libc::c_int = 0;

/// The argument of F_SETOWN_EX.
#[repr(C)]
struct Owner {
    kind: libc::c_int,
    pid: libc::pid_t,
}

/// The thread, as others see it.
#[derive(Debug)]
pub(super) struct Keeper {
    process: libc::pid_t,
    thread: libc::pid_t,
    inbox: Arc<Inbox>,
}

#[derive(Debug, Default)]
struct Inbox {
    new: Mutex<Vec<Arc<Lease>>>,
    /// Leases that there are.
    count: AtomicUsize,
}

/// The keeper of this process. None: it cannot be had, or this is the child of a process that had one.
pub(super) fn keeper() -> Option<&'static Keeper> {
    static KEEPER: OnceLock<Option<Keeper>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(Keeper::start).as_ref()?;
    // SAFETY: no arguments.
    (keeper.process == unsafe { libc::getpid() }).then_some(keeper)
}

/// False once the lease is to be given up.
pub(super) fn has_lease(file: RawFd) -> bool {
    // SAFETY: no pointers.
    unsafe { libc::fcntl(file, libc::F_GETLEASE) == libc::F_RDLCK }
}

/// The signal by which the kernel tells that a lease is broken, and others that there is something to do.
fn signal() -> libc::c_int {
    libc::SIGRTMIN() + 7
}

impl Keeper {
    fn start() -> Option<Keeper> {
        let inbox = Arc::<Inbox>::default();
        let (sender, receiver) = mpsc::channel();
        let run = {
            let inbox = inbox.clone();
            move || {
                let signals = block_signals();
                // SAFETY: no arguments.
                let _ = sender.send(unsafe { libc::gettid() });
                attend(&inbox, &signals);
            }
        };
        thread::Builder::new().name("frevo-leases".into()).spawn(run).ok()?;
        let thread = receiver.recv().ok()?;
        // SAFETY: no arguments.
        Some(Keeper { process: unsafe { libc::getpid() }, thread, inbox })
    }

    /// Whether there may be another lease.
    pub(super) fn has_room(&self) -> bool {
        self.inbox.count.load(Ordering::Relaxed) < LEASES_MAX
    }

    /// Takes a read lease that this thread is told about when it is broken.
    pub(super) fn set_lease(&self, file: RawFd) -> io::Result<()> {
        let owner = Owner { kind: F_OWNER_TID, pid: self.thread };
        // First who is told: the kernel would choose the process otherwise, and SIGIO.
        // SAFETY: the kernel reads the owner, which lives during the call; the others have no pointers.
        let failed = unsafe {
            libc::fcntl(file, F_SETOWN_EX, ptr::from_ref(&owner)) < 0
                || libc::fcntl(file, F_SETSIG, signal()) < 0
                || libc::fcntl(file, libc::F_SETLEASE, libc::F_RDLCK) < 0
        };
        if failed {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Attends to a lease from now on.
    pub(super) fn keep(&self, lease: Arc<Lease>) {
        self.inbox.count.fetch_add(1, Ordering::Relaxed);
        self.inbox.new.lock().unwrap_or_else(PoisonError::into_inner).push(lease);
        self.wake();
    }

    /// There is something to do.
    pub(super) fn wake(&self) {
        // SAFETY: no pointers. The thread never ends.
        unsafe { libc::syscall(libc::SYS_tgkill, self.process, self.thread, signal()) };
    }
}

/// Blocks all signals in this thread, and gives those that it waits for: the kernel sends SIGIO when it cannot queue more of
/// the other.
fn block_signals() -> libc::sigset_t {
    // SAFETY: the sets are made by sigfillset and sigemptyset, and live during the calls.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut set);
        libc::pthread_sigmask(libc::SIG_SETMASK, &set, ptr::null_mut());
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal());
        libc::sigaddset(&mut set, libc::SIGIO);
        set
    }
}

/// Waits for a signal; None: without end.
fn wait(signals: &libc::sigset_t, time: Option<Duration>) {
    let time = time.map(|time| libc::timespec {
        tv_sec: time.as_secs() as libc::time_t,
        tv_nsec: time.subsec_nanos() as libc::c_long,
    });
    let time = time.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the set and the time, if any, live during the call.
    unsafe { libc::sigtimedwait(signals, ptr::null_mut(), time) };
}

/// Runs for ever. Any signal means to look at all leases, of which there are few.
fn attend(inbox: &Inbox, signals: &libc::sigset_t) {
    let mut kept: Vec<Kept> = Vec::new();
    let mut next = None;
    loop {
        wait(signals, next);
        let new = std::mem::take(&mut *inbox.new.lock().unwrap_or_else(PoisonError::into_inner));
        kept.extend(new.into_iter().map(|lease| Kept { lease, ending: None }));
        let (before, now) = (kept.len(), Instant::now());
        next = None;
        kept.retain_mut(|one| {
            let again = one.look(now);
            next = match (again, next) {
                (Some(again), Some(next)) => Some(Duration::min(again, next)),
                (again, next) => again.or(next),
            };
            again.is_some()
        });
        inbox.count.fetch_sub(before - kept.len(), Ordering::Relaxed);
    }
}

/// A lease that is there.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) lease: Arc<Lease>,
    pub(super) ending: Option<Ending>,
}

/// A lease that is to end: nothing more is spliced.
#[derive(Debug)]
pub(super) struct Ending {
    /// Since when somebody waits for it, if anybody does.
    waited: Option<Instant>,
    hold: Hold,
}

impl Kept {
    /// Does what is to be done now, and says when to look again. None: it was given up.
    pub(super) fn look(&mut self, now: Instant) -> Option<Duration> {
        let lease = &self.lease;
        let is_idle = now.saturating_duration_since(lease.usage().used) >= IDLE;
        let begins = || Ending { waited: None, hold: lease.gate.hold(Levels::READ) };
        let is_abandoned = lease.abandoned.load(Ordering::Relaxed);
        let is_broken = lease.is_broken();
        if self.ending.is_none() && (is_broken || is_abandoned || is_idle) {
            self.ending = Some(begins());
        }
        let Some(ending) = &mut self.ending else {
            lease.usage().forget(now, |_, _| Way::Open);
            return Some(TICK);
        };
        if is_broken && ending.waited.is_none() {
            add(&lease.stats.leases_broken, 1);
            ending.waited = Some(now);
        }
        if ending.is_over(lease, now) {
            lease.give_up(ending.waited.map_or(now, |_| now + AFTER_WRITER));
            return None;
        }
        let again = ending.again(now);
        // Somebody else uses it again, or will: it was only not used for a while.
        if ending.waited.is_none() && !is_abandoned {
            self.ending = None;
        }
        Some(again)
    }
}

impl Ending {
    /// Whether nothing is under way any more. Cuts off readers for whom others have waited long enough.
    fn is_over(&mut self, lease: &Lease, now: Instant) -> bool {
        let limits = Limits::of_system();
        let is_waited = self.waited.is_some();
        let is_late = self.waited.is_some_and(|since| now >= since + limits.patience);
        let is_drained = self.hold.is_drained();
        let mut usage = lease.usage();
        usage.forget(now, |reader, (delivery, arrived)| {
            if is_waited && (reader.has_stalled(arrived, now, limits.stalled) || is_late) {
                delivery.cut();
                add(&lease.stats.cut_for_writers, 1);
                return Way::Ended;
            }
            Way::Open
        });
        // What is being read so late will not be sent.
        usage.lost |= is_late && !is_drained;
        (is_drained || usage.lost)
            && usage.settled.is_none_or(|settled| now >= settled)
            && usage.readers.is_empty()
    }

    fn again(&self, now: Instant) -> Duration {
        match self.waited {
            None => TICK,
            Some(since) if now < since + 20 * SOON => SOON,
            Some(_) => LATER,
        }
    }
}

impl Reader {
    /// Whether nothing more has arrived for so long, from the first time on that this was asked.
    fn has_stalled(&mut self, arrived: u64, now: Instant, time: Duration) -> bool {
        match self.progress {
            Some((before, since)) if before == arrived => now.saturating_duration_since(since) >= time,
            _ => {
                self.progress = Some((arrived, now));
                false
            }
        }
    }
}

/// How long writers wait.
#[derive(Clone, Copy, Debug)]
struct Limits {
    stalled: Duration,
    patience: Duration,
}

impl Limits {
    /// Less than the kernel waits before it takes the lease away, where it does.
    fn of_system() -> Limits {
        static LIMITS: OnceLock<Limits> = OnceLock::new();
        *LIMITS.get_or_init(|| {
            let text = std::fs::read_to_string("/proc/sys/fs/lease-break-time").unwrap_or_default();
            let kernel = match text.trim().parse() {
                Ok(0) | Err(_) => PATIENCE * 2,
                Ok(seconds) => Duration::from_secs(seconds),
            };
            Limits { stalled: STALLED.min(kernel / 4), patience: PATIENCE.min(kernel / 2) }
        })
    }
}
