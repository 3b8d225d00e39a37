//! Large buffers that are too many for the pools of the threads, or come from the control plane: for all threads of the process.
//!
//! To get memory from the kernel costs more than to copy data to it: all of it has to be cleared, page by page. So a load that
//! needs more than the pools keep finds here what it has let go a moment ago. What nobody has needed for some seconds is freed, so
//! the memory that a burst took does not stay.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::pool::SMALL_BYTES;

/// Most bytes that it keeps.
const RESERVE_BYTES: usize = 256 * 1024 * 1024;
/// How long it is watched what is needed.
const PERIOD: Duration = Duration::from_secs(5);
/// A buffer is not used for less than the fourth part of it.
const WASTE: usize = 4;

static RESERVE: Mutex<Reserve> = Mutex::new(Reserve { buffers: Vec::new(), bytes: 0, idle: 0, since: None });

/// Buffers of more than [`SMALL_BYTES`], the last one used at the end.
#[derive(Debug)]
struct Reserve {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
    /// The fewest bytes that there were in this period: nobody has needed them.
    idle: usize,
    /// When it began.
    since: Option<Instant>,
}

impl Reserve {
    fn take(&mut self, size: usize) -> Option<Vec<u8>> {
        let buffer = self.buffers.remove(last_fit(&self.buffers, size)?);
        self.bytes -= buffer.capacity();
        self.idle = self.idle.min(self.bytes);
        Some(buffer)
    }

    /// Keeps a buffer, or gives it back to be freed.
    fn put(&mut self, mut buffer: Vec<u8>) -> Option<Vec<u8>> {
        let size = buffer.capacity();
        if size <= SMALL_BYTES || self.bytes + size > RESERVE_BYTES {
            return Some(buffer);
        }
        buffer.clear();
        self.bytes += size;
        self.buffers.push(buffer);
        None
    }

    /// What is to be freed at the end of a period.
    fn shrink(&mut self, now: Instant) -> Vec<Vec<u8>> {
        if self.since.is_some_and(|since| now.saturating_duration_since(since) < PERIOD) {
            return Vec::new();
        }
        self.since = Some(now);
        let mut idle = std::mem::replace(&mut self.idle, self.bytes);
        let fits = |buffer: &&Vec<u8>| match idle.checked_sub(buffer.capacity()) {
            Some(rest) => {
                idle = rest;
                true
            }
            None => false,
        };
        let count = self.buffers.iter().take_while(fits).count();
        let freed: Vec<_> = self.buffers.drain(..count).collect();
        self.bytes -= freed.iter().map(Vec::capacity).sum::<usize>();
        self.idle = self.bytes;
        freed
    }
}

fn reserve() -> MutexGuard<'static, Reserve> {
    RESERVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The last of some buffers that has room for `size` bytes and is not much too large.
pub(super) fn last_fit(buffers: &[Vec<u8>], size: usize) -> Option<usize> {
    buffers.iter().rposition(|buffer| (size..=size.saturating_mul(WASTE)).contains(&buffer.capacity()))
}

/// An empty buffer with room for `size` bytes.
pub(crate) fn room(size: usize) -> Vec<u8> {
    let found = if size > SMALL_BYTES { reserve().take(size) } else { None };
    found.unwrap_or_else(|| Vec::with_capacity(size))
}

/// Takes a buffer that is not needed any more.
pub(crate) fn let_go(buffer: Vec<u8>) {
    if buffer.capacity() > SMALL_BYTES {
        let rejected = reserve().put(buffer);
        drop(rejected); // without the lock
    }
}

/// Frees what nobody has needed; to be called every second or so, by any number of threads. True while there is something left
/// to free later.
pub(crate) fn shrink(now: Instant) -> bool {
    let (freed, more) = {
        let mut reserve = reserve();
        (reserve.shrink(now), reserve.bytes > 0)
    };
    drop(freed); // without the lock
    more
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn empty() -> Reserve {
        Reserve { buffers: Vec::new(), bytes: 0, idle: 0, since: None }
    }

    #[test]
    fn what_is_let_go_is_taken_again_and_what_is_not_needed_is_freed() {
        let (mut reserve, start) = (empty(), Instant::now());
        let at = |periods| start + PERIOD * periods;
        assert!(reserve.shrink(at(0)).is_empty());
        for _ in 0..3 {
            assert!(reserve.put(vec![7; MIB]).is_none());
        }
        let mut used = reserve.take(MIB).unwrap();
        assert!(used.is_empty() && reserve.bytes == 2 * MIB);
        assert!(reserve.shrink(at(1)).is_empty(), "they came in this very period");
        for period in 2..9 {
            let other = reserve.take(MIB).unwrap();
            assert!(reserve.put(std::mem::replace(&mut used, other)).is_none());
            assert_eq!(reserve.shrink(at(period)).len(), usize::from(period == 2), "one of two is needed");
            assert!(reserve.shrink(at(period)).is_empty(), "nothing before the next one");
        }
        assert_eq!((reserve.shrink(at(9)).len(), reserve.bytes), (1, 0), "then none is");
    }

    #[test]
    fn nothing_small_and_no_more_than_the_limit_is_kept() {
        let mut reserve = empty();
        assert!(reserve.put(Vec::with_capacity(SMALL_BYTES)).is_some());
        for _ in 0..RESERVE_BYTES / (64 * MIB) {
            assert!(reserve.put(Vec::with_capacity(64 * MIB)).is_none());
        }
        assert!(reserve.put(Vec::with_capacity(MIB)).is_some());
        assert!(reserve.take(64 * MIB + 1).is_none(), "none is large enough");
        assert!(reserve.take(16 * MIB - 1).is_none(), "all are much too large");
        assert_eq!(reserve.take(16 * MIB).map(|buffer| buffer.capacity()), Some(64 * MIB));
        assert!(reserve.put(Vec::with_capacity(MIB)).is_none());
    }

    #[test]
    fn any_thread_gets_what_another_one_has_let_go() {
        const SIZE: usize = 77 * MIB + 7; // nobody else's
        let buffer = room(SIZE);
        let address = buffer.as_ptr() as usize;
        std::thread::spawn(move || let_go(buffer)).join().unwrap();
        let again = room(SIZE);
        assert_eq!(again.as_ptr() as usize, address);
    }
}
