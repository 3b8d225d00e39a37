//! The gate of one file: fast operations of a level run while nobody holds it at that level. A holder is told when those
//! that were running have ended; nobody ever waits here.
//!
//! Each attached open has a gate of its own below that of its file. Operations are counted there alone, and only look at the
//! file's: threads that serve different opens of one file write to nothing that they share. Whoever holds the file looks
//! at the counts of all its opens.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::engine::Waker;
use crate::event::{ConnectionId, Flow};

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

/// One per file identity, and below it one for each attached open of that file.
#[derive(Debug, Default)]
pub struct Gate {
    /// By level. High half: number of holders; low half: number of running operations.
    words: [AtomicU64; 2],
    /// The gate above, which has to be open, too.
    above: Option<Arc<Gate>>,
    /// The gates below, whose operations count.
    below: Mutex<Vec<Weak<Gate>>>,
    waiting: Mutex<Vec<Waiting>>,
    /// Connections with operations that wait for their peers, to be woken by who holds it.
    parked: Mutex<HashMap<ConnectionId, Weak<Flow>>>,
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

    /// A gate below this one: what holds this one keeps its operations out, too, and waits for them.
    pub fn beneath(self: &Arc<Gate>) -> Arc<Gate> {
        let gate = Arc::new(Gate { above: Some(Arc::clone(self)), ..Gate::default() });
        let mut below = locked(&self.below);
        if below.len() == below.capacity() {
            below.retain(|one| one.strong_count() > 0);
        }
        below.push(Arc::downgrade(&gate));
        gate
    }

    /// Counts one more running operation, which [`Gate::leave`] must end. False: it is held at this level, and nothing was
    /// counted.
    ///
    /// An operation counts itself and then looks for holders; a holder makes itself seen and then looks at the counts. In
    /// one order of all these steps (SeqCst), one of them sees the other.
    pub fn enter(&self, level: Level) -> bool {
        if !self.is_open(level) {
            return false;
        }
        if self.words[level as usize].fetch_add(1, Ordering::SeqCst) < HOLDER && self.above_is_open(level) {
            return true;
        }
        self.leave(level);
        false
    }

    /// Ends a running operation.
    pub fn leave(&self, level: Level) {
        let before = self.words[level as usize].fetch_sub(1, Ordering::SeqCst);
        debug_assert!(before & RUNNING > 0, "an operation ends once");
        if before & RUNNING != 1 {
            return;
        }
        if before >= HOLDER {
            self.tell();
        }
        if let Some(above) = self.above.as_ref().filter(|above| !above.is_open(level)) {
            above.tell();
        }
    }

    /// Keeps out operations of `levels` from now on.
    pub fn hold(self: &Arc<Gate>, levels: Levels) -> Hold {
        self.words_of(levels).for_each(|word| {
            word.fetch_add(HOLDER, Ordering::SeqCst);
        });
        self.wake();
        Hold { gate: Arc::clone(self), levels, released: false }
    }

    /// Has a connection woken once, by the next holder: an operation of it waits for the peer, and is to end soon when somebody
    /// waits for it. Afterwards the caller looks whether it is held already.
    pub(crate) fn park(&self, connection: ConnectionId, flow: &Arc<Flow>) {
        if let Some(above) = &self.above {
            above.park(connection, flow);
        }
        let mut parked = locked(&self.parked);
        if parked.insert(connection, Arc::downgrade(flow)).is_none() && parked.len().is_power_of_two() {
            parked.retain(|_, flow| flow.strong_count() > 0);
        }
    }

    fn wake(&self) {
        let parked = mem::take(&mut *locked(&self.parked));
        parked.into_values().filter_map(|flow| flow.upgrade()).for_each(|flow| flow.wake());
    }

    /// Keeps out all operations for good: releasing this hold does nothing.
    pub fn close(self: &Arc<Gate>) -> Hold {
        let mut hold = self.hold(Levels::ALL);
        hold.released = true;
        hold
    }

    /// True when nobody holds it at this level, nor the gate above.
    pub fn is_open(&self, level: Level) -> bool {
        self.words[level as usize].load(Ordering::SeqCst) < HOLDER && self.above_is_open(level)
    }

    fn above_is_open(&self, level: Level) -> bool {
        self.above.as_ref().is_none_or(|above| above.is_open(level))
    }

    fn is_drained(&self, levels: Levels) -> bool {
        self.words_of(levels).all(|word| word.load(Ordering::SeqCst) & RUNNING == 0)
            && locked(&self.below).iter().filter_map(Weak::upgrade).all(|gate| gate.is_drained(levels))
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

    /// The last running operation of a level has ended.
    fn tell(&self) {
        let mut waiting = locked(&self.waiting);
        let (told, left) = mem::take(&mut *waiting).into_iter().partition(|one| self.is_drained(one.levels));
        *waiting = left;
        drop(waiting);
        let told: Vec<Waiting> = told;
        told.into_iter().for_each(|one| (one.tell)());
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hold {
    /// True when no operation of its levels is running. It stays so: none begins while it is held.
    pub fn is_drained(&self) -> bool {
        self.gate.is_drained(self.levels)
    }

    /// Calls `tell` once when no operation of its levels is running any more: at once, or by the thread that ends the last
    /// one.
    pub fn when_drained(&self, tell: Box<dyn FnOnce() + Send>) {
        let mut waiting = locked(&self.gate.waiting);
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
        locked(&self.numbers).push(number);
        self.waker.wake();
    }

    /// Those that there are; the descriptor is not readable any more.
    pub fn take(&self) -> Vec<u64> {
        self.waker.drain();
        mem::take(&mut *locked(&self.numbers))
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

    /// Who has parked is woken by the next holder, once.
    #[test]
    fn a_holder_wakes_those_whose_peers_are_slow() {
        let (gate, woken) = (Arc::new(Gate::new()), Arc::new(AtomicU64::new(0)));
        let count = woken.clone();
        let flow = Arc::new(Flow::new(Some(Box::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        }))));
        let open = gate.beneath();
        for (held, times) in [(&gate, 1), (&open, 2)] {
            open.park(1, &flow);
            open.park(1, &flow);
            drop(held.hold(Levels::READ));
            drop(held.hold(Levels::READ));
            assert_eq!(woken.load(Ordering::SeqCst), times);
        }
        for connection in 2..1000 {
            gate.park(connection, &Arc::default());
        }
        assert!(gate.parked.lock().unwrap().len() <= 512, "those that are gone are forgotten");
    }

    #[test]
    fn a_hold_of_a_file_counts_its_opens_and_a_hold_of_an_open_only_that_one() {
        let file = Arc::new(Gate::new());
        let (one, other) = (file.beneath(), file.beneath());
        assert!(one.enter(Level::Read) && other.enter(Level::Write));
        let (of_one, of_other) = (one.hold(Levels::ALL), other.hold(Levels::READ));
        assert!(!of_one.is_drained() && of_other.is_drained());
        assert!(other.enter(Level::Write) && !other.enter(Level::Read) && file.is_open(Level::Read));
        let all = file.hold(Levels::ALL);
        drop((of_one, of_other));
        assert!(!one.enter(Level::Read) && !one.is_open(Level::Read) && !other.enter(Level::Write));
        let on_all = told(&all);
        one.leave(Level::Read);
        other.leave(Level::Write);
        assert!(!all.is_drained() && on_all.try_recv().is_err());
        other.leave(Level::Write);
        assert!(all.is_drained() && on_all.try_recv().is_ok());
    }

    #[test]
    fn gates_of_opens_that_are_gone_are_forgotten() {
        let file = Arc::new(Gate::new());
        let kept: Vec<_> = (0..3).map(|_| file.beneath()).collect();
        (0..10_000).for_each(|_| drop(file.beneath()));
        assert!(locked(&file.below).len() <= 8, "{}", locked(&file.below).len());
        assert!(kept[0].enter(Level::Read) && !file.hold(Levels::READ).is_drained());
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
        let opens = [gate.beneath(), gate.beneath()];
        let inside = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let workers: Vec<_> = [(Level::Read, 0), (Level::Write, 0), (Level::Write, 1)]
            .into_iter()
            .map(|(level, open)| {
                let (gate, inside) = (opens[open].clone(), inside.clone());
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
        let gates = opens.iter().chain([&gate]);
        assert!(gates.flat_map(|gate| &gate.words).all(|word| word.load(Ordering::SeqCst) == 0));
    }

    /// Many holders wait for one running operation, and it ends in another thread at the same time.
    #[test]
    fn every_holder_is_told_however_the_end_falls() {
        for _ in 0..200 {
            let gate = Arc::new(Gate::new());
            let open = gate.beneath();
            assert!(open.enter(Level::Write));
            let mut holds: Vec<_> = (0..4).map(|_| gate.hold(Levels::ALL)).collect();
            holds.push(open.hold(Levels::WRITE));
            let ender = thread::spawn(move || open.leave(Level::Write));
            let waiting: Vec<_> = holds.iter().map(told).collect();
            waiting.iter().for_each(|one| one.recv().unwrap());
            ender.join().unwrap();
        }
    }
}
