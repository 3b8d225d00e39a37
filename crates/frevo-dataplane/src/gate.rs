//! The gate of one file: fast operations run while it is open, closing waits for those that are running.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

const CLOSER: u64 = 1 << 32;
const RUNNING: u64 = CLOSER - 1;

/// One per file identity, shared by every attached open of that file on every connection.
#[derive(Debug, Default)]
pub struct Gate {
    /// High half: number of closers that hold the gate; low half: number of running fast operations.
    word: AtomicU64,
    lock: Mutex<()>,
    idle: Condvar,
}

/// A running fast operation; the gate cannot finish closing before it is dropped.
#[derive(Debug)]
pub struct Pass(Arc<Gate>);

impl Gate {
    /// An open gate.
    pub fn new() -> Gate {
        Gate::default()
    }

    /// A pass, unless the gate is closed.
    pub fn enter(self: &Arc<Gate>) -> Option<Pass> {
        // Acquire pairs with the Release of `open`: what the closer changed is seen by the operation.
        let before = self.word.fetch_add(1, Ordering::Acquire);
        let pass = Pass(Arc::clone(self));
        (before < CLOSER).then_some(pass)
    }

    /// Keeps out fast operations and returns when running ones have ended. May block for one disk access.
    pub fn close(&self) {
        self.word.fetch_add(CLOSER, Ordering::AcqRel);
        for _ in 0..200 {
            if self.running() == 0 {
                return;
            }
            std::hint::spin_loop();
        }
        let mut guard = self.lock.lock().unwrap_or_else(|e| e.into_inner());
        while self.running() != 0 {
            guard = self.idle.wait(guard).unwrap_or_else(|e| e.into_inner());
        }
    }

    /// Undoes one `close`. Extra calls are ignored.
    pub fn open(&self) {
        let _ = self.word.fetch_update(Ordering::Release, Ordering::Relaxed, |word| word.checked_sub(CLOSER));
    }

    /// True when no closer holds it.
    pub fn is_open(&self) -> bool {
        self.word.load(Ordering::Acquire) < CLOSER
    }

    fn running(&self) -> u64 {
        self.word.load(Ordering::Acquire) & RUNNING
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let before = self.0.word.fetch_sub(1, Ordering::AcqRel);
        if before >= CLOSER && before & RUNNING == 1 {
            let _guard = self.0.lock.lock().unwrap_or_else(|e| e.into_inner());
            self.0.idle.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    #[test]
    fn closing_is_counted() {
        let gate = Arc::new(Gate::new());
        assert!(gate.enter().is_some());
        gate.close();
        gate.close();
        assert!(gate.enter().is_none());
        gate.open();
        assert!(gate.enter().is_none());
        gate.open();
        gate.open();
        assert!(gate.enter().is_some() && gate.is_open());
    }

    #[test]
    fn close_waits_for_the_running_operation() {
        let gate = Arc::new(Gate::new());
        let pass = gate.enter().unwrap();
        let closed = Arc::new(AtomicBool::new(false));
        let closer = thread::spawn({
            let (gate, closed) = (gate.clone(), closed.clone());
            move || {
                gate.close();
                closed.store(true, Ordering::SeqCst);
            }
        });
        while gate.is_open() {
            thread::yield_now();
        }
        assert!(gate.enter().is_none());
        assert!(!closed.load(Ordering::SeqCst));
        drop(pass);
        closer.join().unwrap();
        assert!(closed.load(Ordering::SeqCst));
    }

    #[test]
    fn no_operation_runs_inside_a_closed_gate() {
        let gate = Arc::new(Gate::new());
        let inside = Arc::new(AtomicBool::new(false));
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let (gate, inside) = (gate.clone(), inside.clone());
                thread::spawn(move || {
                    for _ in 0..20_000 {
                        if let Some(_pass) = gate.enter() {
                            assert!(!inside.load(Ordering::SeqCst));
                        }
                    }
                })
            })
            .collect();
        for _ in 0..300 {
            gate.close();
            inside.store(true, Ordering::SeqCst);
            inside.store(false, Ordering::SeqCst);
            gate.open();
        }
        workers.into_iter().for_each(|w| w.join().unwrap());
    }
}
