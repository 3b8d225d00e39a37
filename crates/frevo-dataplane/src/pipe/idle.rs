//! Empty pipes that threads keep for what comes next, and how they go when somebody else needs their descriptors.

use std::io;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::Pipe;
use crate::limits::descriptors_max;

/// Pipes that a thread keeps.
const KEPT: usize = 16;

/// Those of every thread.
static ALL: Mutex<Vec<Weak<Mutex<Vec<Pipe>>>>> = Mutex::new(Vec::new());
/// Pipes there are, idle or not.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// A pipe among all there are, which have at most half of the descriptors.
#[derive(Debug)]
pub(super) struct Counted(());

impl Counted {
    /// One more. An error: there are too many.
    pub(super) fn new() -> io::Result<Counted> {
        let counted = Counted(());
        // Two descriptors each.
        match COUNT.fetch_add(1, Ordering::Relaxed) < descriptors_max() / 4 {
            true => Ok(counted),
            false => Err(io::Error::from_raw_os_error(libc::EMFILE)),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The idle pipes of one thread. Only who runs out of descriptors is a second one to lock them.
#[derive(Debug)]
pub(super) struct Idle(Arc<Mutex<Vec<Pipe>>>);

impl Default for Idle {
    fn default() -> Idle {
        let idle = Idle(Arc::default());
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(&idle.0));
        idle
    }
}

impl Idle {
    fn pipes(&self) -> MutexGuard<'_, Vec<Pipe>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.pipes().len()
    }

    /// One with room for so many bytes.
    pub(super) fn take(&self, room: usize) -> Option<Pipe> {
        let mut pipes = self.pipes();
        let index = pipes.iter().rposition(|pipe| pipe.capacity >= room)?;
        Some(pipes.swap_remove(index))
    }

    /// Keeps an empty pipe, or closes it.
    pub(super) fn put(&self, pipe: Pipe) {
        let mut pipes = self.pipes();
        if pipes.len() < KEPT {
            pipes.push(pipe);
        }
    }
}

/// Closes the idle pipes of all threads. False: there were none.
fn close_idle() -> bool {
    let all: Vec<_> =
        ALL.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect();
    all.into_iter().fold(false, |any, idle| {
        let pipes = mem::take(&mut *idle.lock().unwrap_or_else(PoisonError::into_inner));
        any || !pipes.is_empty()
    })
}

/// Makes a call that needs descriptors; if there are none left, once more without the idle pipes.
pub fn without_idle<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    match call() {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) && close_idle() => {
            call()
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Pipes;
    use super::*;

    fn none_left<T>() -> io::Result<T> {
        Err(io::Error::from_raw_os_error(libc::EMFILE))
    }

    #[test]
    fn idle_pipes_of_every_thread_go_when_descriptors_run_out() {
        let mut others = Pipes::default();
        let (idle, busy) = (others.take(0, 1).unwrap(), others.take(0, 1).unwrap());
        idle.into_iter().for_each(|pipe| others.put(pipe));
        assert_eq!(others.idle.len(), 1);
        let mut calls = 0;
        let result = std::thread::scope(|scope| {
            let call = || {
                calls += 1;
                if calls == 1 {
                    none_left()
                } else {
                    Ok(calls)
                }
            };
            scope.spawn(|| without_idle(call)).join().unwrap()
        });
        assert_eq!((result.unwrap(), others.idle.len(), busy.pipes.len()), (2, 0, 1));
        let other = without_idle(|| Err::<(), _>(io::Error::from_raw_os_error(libc::ENOENT))).unwrap_err();
        assert_eq!(other.raw_os_error(), Some(libc::ENOENT));
    }
}
