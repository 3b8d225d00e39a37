//! All deadlines of one thread, in one heap.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// What is due when, soonest first. Entries cannot be taken back: whoever is reminded looks whether it is still time.
#[derive(Debug)]
pub(super) struct Timers<T: Ord>(BinaryHeap<Reverse<(Instant, T)>>);

impl<T: Ord> Default for Timers<T> {
    fn default() -> Timers<T> {
        Timers(BinaryHeap::new())
    }
}

impl<T: Ord> Timers<T> {
    /// Reminds of `what` at a time.
    pub(super) fn set(&mut self, at: Instant, what: T) {
        self.0.push(Reverse((at, what)));
    }

    /// When the next is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// The next that is due.
    pub(super) fn due(&mut self, now: Instant) -> Option<T> {
        if self.next()? > now {
            return None;
        }
        self.0.pop().map(|Reverse((_, what))| what)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_soonest_comes_first_and_none_early() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        [(20, "b"), (10, "a"), (30, "c")].into_iter().for_each(|(ms, what)| timers.set(after(ms), what));
        assert_eq!((timers.next(), timers.due(after(9))), (Some(after(10)), None));
        assert_eq!((timers.due(after(25)), timers.due(after(25))), (Some("a"), Some("b")));
        assert_eq!((timers.due(after(25)), timers.next()), (None, Some(after(30))));
    }
}
