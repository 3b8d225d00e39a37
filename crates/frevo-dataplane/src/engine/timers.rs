//! All deadlines of one thread, in order.

use std::collections::BTreeSet;
use std::time::Instant;

/// What is due when, soonest first.
#[derive(Debug)]
pub(super) struct Timers<T: Ord>(BTreeSet<(Instant, T)>);

impl<T: Ord> Default for Timers<T> {
    fn default() -> Timers<T> {
        Timers(BTreeSet::new())
    }
}

impl<T: Ord> Timers<T> {
    /// Reminds of `what` at a time.
    pub(super) fn set(&mut self, at: Instant, what: T) {
        self.0.insert((at, what));
    }

    /// Reminds of `what` at another time than it was set to, if it was.
    pub(super) fn change(&mut self, before: Option<Instant>, at: Instant, what: T) {
        let mut timer = (before.unwrap_or(at), what);
        if before.is_some() {
            self.0.remove(&timer);
        }
        timer.0 = at;
        self.0.insert(timer);
    }

    /// When the next is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    /// The next that is due, and since when.
    pub(super) fn due(&mut self, now: Instant) -> Option<(Instant, T)> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
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
        let due = |timers: &mut Timers<_>, ms| timers.due(after(ms));
        assert_eq!(
            (due(&mut timers, 25), due(&mut timers, 25)),
            (Some((after(10), "a")), Some((after(20), "b")))
        );
        assert_eq!((timers.due(after(25)), timers.next()), (None, Some(after(30))));
    }

    #[test]
    fn one_that_is_changed_is_there_once() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        timers.change(None, after(60_000), "a");
        timers.change(Some(after(60_000)), after(10), "a");
        assert_eq!((timers.count(), timers.due(after(10))), (1, Some((after(10), "a"))));
        timers.change(None, after(60_010), "a");
        assert_eq!((timers.count(), timers.next()), (1, Some(after(60_010))));
    }
}
