//! Unread responses of all connections: how many bytes there may be, and how many of them each user has.
//!
//! A user may hold at most as much as is still free, so the first one gets at most half. The control plane numbers the
//! users; 0 stands for all that are not logged on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The budget of a data plane.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    total: AtomicUsize,
    users: Mutex<HashMap<u64, Weak<Share>>>,
}

/// The part of one user.
#[derive(Debug, Default)]
pub struct Share(AtomicUsize);

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Budget {
        Budget { limit, total: AtomicUsize::new(0), users: Mutex::default() }
    }

    /// The limit in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Changes up to so many bytes need not be counted: those of 16,384 connections are a quarter of the budget together.
    pub fn granule(&self) -> usize {
        self.limit >> 16
    }

    /// The share of a user, the same for all of its connections.
    pub fn share(&self, user: u64) -> Arc<Share> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = users.get(&user).and_then(Weak::upgrade) {
            return share;
        }
        if users.len() >= 1024 && users.len().is_power_of_two() {
            users.retain(|_, share| share.strong_count() > 0);
        }
        let share = Arc::new(Share::default());
        users.insert(user, Arc::downgrade(&share));
        share
    }

    /// True if some user may have more than its part: only then, [`Budget::is_over`] is worth a call.
    pub fn is_pressed(&self) -> bool {
        self.total.load(Ordering::Relaxed) > self.limit / 2
    }

    /// True if a user has more than is free.
    pub fn is_over(&self, share: &Share) -> bool {
        let total = self.total.load(Ordering::Relaxed);
        // Of at most half of everything, nobody can have more than the other half.
        total > self.limit / 2 && share.0.load(Ordering::Relaxed) > self.limit.saturating_sub(total)
    }

    /// Counts `now` bytes for a user instead of `before`.
    pub fn change(&self, share: &Share, before: usize, now: usize) {
        // The difference wraps around, and so does what it is added to.
        let difference = now.wrapping_sub(before);
        share.0.fetch_add(difference, Ordering::Relaxed);
        self.total.fetch_add(difference, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_gets_half_and_the_next_half_of_the_rest() {
        let budget = Budget::new(1000);
        let (alice, bob) = (budget.share(1), budget.share(2));
        assert!(Arc::ptr_eq(&alice, &budget.share(1)));
        budget.change(&alice, 0, 500);
        assert!(!budget.is_over(&alice) && !budget.is_pressed());
        budget.change(&alice, 500, 501);
        assert!(budget.is_over(&alice) && budget.is_pressed() && !budget.is_over(&bob));
        budget.change(&bob, 0, 240);
        assert!(!budget.is_over(&bob) && budget.is_over(&alice));
        budget.change(&bob, 240, 260);
        assert!(budget.is_over(&bob));
        budget.change(&alice, 501, 0);
        assert!(!budget.is_over(&bob) && !budget.is_pressed());
    }

    #[test]
    fn users_who_are_gone_are_forgotten() {
        let budget = Budget::new(1);
        (0..5000).for_each(|user| drop(budget.share(user)));
        assert!(budget.users.lock().unwrap().len() <= 1024);
    }
}
