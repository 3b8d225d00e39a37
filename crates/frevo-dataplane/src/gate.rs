//! The gate of one file: fast operations of a level run while nobody holds it at that level. A holder is told when those
//! that were running have ended; nobody ever waits here.

use std::fmt;
use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::engine::Waker;

const HOLDER: u64 = 1 << 32;
const RUNNING: u64 = HOLDER - 1;

/// What an operation does to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// It reads data.
    Read,
    /// It changes data, or waits for data to be on disk.
    Write,
}

/// Some of the levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels(u8);

impl Levels {
    /// [`Level::Read`] alone.
    pub const READ: Levels = Levels(1);
    /// [`Level::Write`] alone.
    pub const WRITE: Levels = Levels(2);
    /// All of them.
    pub const ALL: Levels = Levels(3);

    /// From the sum of the constants; None for anything else, and for none.
    pub fn from_bits(bits: u8) -> Option<Levels> {
        (1..=Levels::ALL.0).contains(&bits).then_some(Levels(bits))
    }

    fn has(self, level: Level) -> bool {
        self.0 >> level as u8 & 1 != 0
    }
}

/// One per file identity, shared by every attached open of that file; each attached open has another one for itself.
#[derive(Debug, Default)]
pub struct Gate {
    /// By level. High half: number of holders; low half: number of running operations.
    words: [AtomicU64; 2],
    waiting: Mutex<Vec<Waiting>>,
}

/// Somebody to be told that no operation of these levels is running any more.
struct Waiting {
    levels: Levels,
    tell: Box<dyn FnOnce() + Send>,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Waiting").field(&self.levels).finish()
    }
}

/// Keeps operations of some levels out until it is released or dropped. There may be several at a time.
#[derive(Debug)]
pub struct Hold {
    gate: Arc<Gate>,
    levels: Levels,
    released: bool,
}

impl Gate {
    /// A gate that nobody holds.
    pub fn new() -> Gate {
        Gate::default()
    }

    /// Counts one more running operation, which [`Gate::leave`] must end. False: it is held at this level, and nothing was
    /// counted.
    pub fn enter(&self, level: Level) -> bool {
        let word = &self.words[level as usize];
        if word.load(Ordering::Relaxed) >= HOLDER {
            return false;
        }
        // Acquire pairs with the Release of `let_go`: what the holder changed is seen by the operation.
        if word.fetch_add(1, Ordering::Acquire) < HOLDER {
            return true;
        }
        self.leave(level);
        false
    }

    /// Ends a running operation.
    pub fn leave(&self, level: Level) {
        let before = self.words[level as usize].fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before & RUNNING > 0, "an operation ends once");
        if before >= HOLDER && before & RUNNING == 1 {
            self.tell();
        }
    }

    /// Keeps out operations of `levels` from now on.
    pub fn hold(self: &Arc<Gate>, levels: Levels) -> Hold {
        self.words_of(levels).for_each(|word| {
            word.fetch_add(HOLDER, Ordering::AcqRel);
        });
        Hold { gate: Arc::clone(self), levels, released: false }
    }

    /// Keeps out all operations for good: releasing this hold does nothing.
    pub fn close(self: &Arc<Gate>) -> Hold {
        let mut hold = self.hold(Levels::ALL);
        hold.released = true;
        hold
    }

    /// True when nobody holds it at this level.
    pub fn is_open(&self, level: Level) -> bool {
        self.words[level as usize].load(Ordering::Acquire) < HOLDER
    }

    fn is_drained(&self, levels: Levels) -> bool {
        self.words_of(levels).all(|word| word.load(Ordering::Acquire) & RUNNING == 0)
    }

    fn words_of(&self, levels: Levels) -> impl Iterator<Item = &AtomicU64> {
        let all = [Level::Read, Level::Write].into_iter();
        all.filter(move |level| levels.has(*level)).map(|level| &self.words[level as usize])
    }

    fn let_go(&self, levels: Levels) {
        self.words_of(levels).for_each(|word| {
            word.fetch_sub(HOLDER, Ordering::Release);
        });
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last running operation of a level has ended.
    fn tell(&self) {
        let mut waiting = self.waiting();
        let (told, left) = mem::take(&mut *waiting).into_iter().partition(|one| self.is_drained(one.levels));
        *waiting = left;
        drop(waiting);
        let told: Vec<Waiting> = told;
        told.into_iter().for_each(|one| (one.tell)());
    }
}

impl Hold {
    /// True when no operation of its levels is running. It stays so: none begins while it is held.
    pub fn is_drained(&self) -> bool {
        self.gate.is_drained(self.levels)
    }

    /// Calls `tell` once when no operation of its levels is running any more: at once, or by the thread that ends the last
    /// one.
    pub fn when_drained(&self, tell: Box<dyn FnOnce() + Send>) {
        let mut waiting = self.gate.waiting();
        // Whoever ends the last operation counts it before it looks who waits.
        if self.is_drained() {
            drop(waiting);
            return tell();
        }
        waiting.push(Waiting { levels: self.levels, tell });
    }

    /// Lets operations in again, unless others hold the gate, too. More than once does nothing.
    pub fn release(&mut self) {
        if !mem::replace(&mut self.released, true) {
            self.gate.let_go(self.levels);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.release();
    }
}

/// The holds that the event loop waits for and that have drained, by the numbers that it gave them.
#[derive(Debug)]
pub struct Drains {
    numbers: Mutex<Vec<u64>>,
    waker: Waker,
}

impl Drains {
    /// None have drained yet.
    pub fn new() -> io::Result<Drains> {
        Ok(Drains { numbers: Mutex::default(), waker: Waker::new()? })
    }

    /// Readable when there are some.
    pub fn fd(&self) -> RawFd {
        self.waker.fd()
    }

    /// Adds one.
    pub fn push(&self, number: u64) {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner).push(number);
        self.waker.wake();
    }

    /// Those that there are; the descriptor is not readable any more.
    pub fn take(&self) -> Vec<u64> {
        self.waker.drain();
        mem::take(&mut *self.numbers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc;
    use std::thread;

    fn told(hold: &Hold) -> mpsc::Receiver<()> {
        let (sender, receiver) = mpsc::channel();
        hold.when_drained(Box::new(move || sender.send(()).unwrap()));
        receiver
    }

    #[test]
    fn it_opens_when_the_last_holder_lets_go() {
        let gate = Arc::new(Gate::new());
        let (mut one, two) = (gate.hold(Levels::ALL), gate.hold(Levels::WRITE));
        assert!(!gate.enter(Level::Read) && !gate.enter(Level::Write));
        one.release();
        one.release();
        assert!(gate.is_open(Level::Read) && !gate.is_open(Level::Write));
        assert!(gate.enter(Level::Read) && !gate.enter(Level::Write));
        drop((one, two));
        assert!(gate.enter(Level::Write) && gate.is_open(Level::Write));
    }

    #[test]
    fn a_holder_is_told_once_when_the_last_operation_of_its_levels_ends() {
        let gate = Arc::new(Gate::new());
        assert!(gate.enter(Level::Read) && gate.enter(Level::Read) && gate.enter(Level::Write));
        let (all, write) = (gate.hold(Levels::ALL), gate.hold(Levels::WRITE));
        let (on_all, on_write) = (told(&all), told(&write));
        gate.leave(Level::Read);
        gate.leave(Level::Write);
        assert!(write.is_drained() && !all.is_drained());
        assert!(on_write.try_recv().is_ok() && on_all.try_recv().is_err());
        gate.leave(Level::Read);
        assert!(all.is_drained() && on_all.try_recv().is_ok());
        assert!(on_write.try_recv().is_err(), "only once");
        assert!(told(&all).try_recv().is_ok(), "nothing runs: told at once");
    }

    #[test]
    fn readers_run_while_writers_are_kept_out() {
        let gate = Arc::new(Gate::new());
        assert!(gate.enter(Level::Read));
        let write = gate.hold(Levels::WRITE);
        assert!(write.is_drained() && gate.enter(Level::Read) && !gate.enter(Level::Write));
    }

    #[test]
    fn a_closed_gate_stays_closed() {
        let gate = Arc::new(Gate::new());
        assert!(gate.enter(Level::Read));
        let mut closed = gate.close();
        assert!(!closed.is_drained());
        gate.leave(Level::Read);
        assert!(closed.is_drained());
        closed.release();
        drop(closed);
        assert!(!gate.enter(Level::Read) && !gate.enter(Level::Write));
    }

    #[test]
    fn levels_are_a_sum() {
        assert_eq!(Levels::from_bits(3), Some(Levels::ALL));
        assert_eq!((Levels::from_bits(0), Levels::from_bits(4)), (None, None));
    }

    /// The numbers that were pushed are there, and the descriptor says so.
    #[test]
    fn drained_holds_are_collected() {
        let drains = Drains::new().unwrap();
        let readable = || {
            let mut poll = libc::pollfd { fd: drains.fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one structure, for the call only.
            unsafe { libc::poll(&mut poll, 1, 0) == 1 }
        };
        assert!(!readable());
        drains.push(3);
        drains.push(5);
        assert!(readable());
        assert_eq!(drains.take(), [3, 5]);
        assert!(!readable() && drains.take().is_empty());
    }

    /// Threads enter and leave at both levels while holders come and go: inside a drained hold nothing runs, and every
    /// holder is told.
    #[test]
    fn no_operation_runs_inside_a_drained_hold() {
        let gate = Arc::new(Gate::new());
        let inside = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let workers: Vec<_> = [Level::Read, Level::Write, Level::Write]
            .into_iter()
            .map(|level| {
                let (gate, inside) = (gate.clone(), inside.clone());
                thread::spawn(move || {
                    for _ in 0..20_000 {
                        if gate.enter(level) {
                            assert!(!inside[level as usize].load(Ordering::SeqCst));
                            gate.leave(level);
                        }
                    }
                })
            })
            .collect();
        for turn in 0..300 {
            let levels = if turn % 2 == 0 { Levels::ALL } else { Levels::WRITE };
            let hold = gate.hold(levels);
            told(&hold).recv().unwrap();
            let set = |to| {
                for level in [Level::Read, Level::Write] {
                    if levels.has(level) {
                        inside[level as usize].store(to, Ordering::SeqCst);
                    }
                }
            };
            set(true);
            set(false);
        }
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        assert!(gate.words.iter().all(|word| word.load(Ordering::SeqCst) == 0));
    }

    /// Many holders wait for one running operation, and it ends in another thread at the same time.
    #[test]
    fn every_holder_is_told_however_the_end_falls() {
        for _ in 0..200 {
            let gate = Arc::new(Gate::new());
            assert!(gate.enter(Level::Write));
            let holds: Vec<_> = (0..4).map(|_| gate.hold(Levels::ALL)).collect();
            let ender = thread::spawn({
                let gate = gate.clone();
                move || gate.leave(Level::Write)
            });
            let waiting: Vec<_> = holds.iter().map(told).collect();
            waiting.iter().for_each(|one| one.recv().unwrap());
            ender.join().unwrap();
        }
    }
}
