//! The message ids and credits of a client's connection ([MS-SMB2] 3.2.4.1.2, 3.2.4.1.6).
//!
//! The control plane and the pumps take from the same account; what every response grants goes in on the connection's
//! thread, once. Pumps leave a reserve, and all that the control plane says it waits for.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Credits that pumps leave to the control plane while they have requests in flight.
const RESERVE: u64 = 16;

/// The account of one connection, used from several threads.
#[derive(Debug)]
pub struct Credits {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next_id: u64,
    free: u64,
    /// Promised to the control plane, which sends at once.
    reserved: u64,
    /// Paid for requests without a final answer.
    outstanding: u64,
    /// What the control plane waits for, 0 when it does not.
    wanted: u64,
    /// It was told that there is enough.
    told: bool,
}

impl Default for Credits {
    fn default() -> Credits {
        Credits::new()
    }
}

impl Credits {
    /// A new connection's account: one credit and the message id 0.
    pub fn new() -> Credits {
        let state = State { next_id: 0, free: 1, reserved: 0, outstanding: 0, wanted: 0, told: false };
        Credits { state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Credits that nobody has taken.
    pub fn free(&self) -> u64 {
        self.state().free
    }

    /// Credits that are free or in use.
    pub fn total(&self) -> u64 {
        self.state().total()
    }

    /// Promises `charge` credits to the control plane; false when there are not so many.
    pub fn reserve(&self, charge: u64) -> bool {
        let mut state = self.state();
        if state.free < charge {
            return false;
        }
        state.free -= charge;
        state.reserved += charge;
        true
    }

    /// Spends `charge` of the promised credits: the first of as many message ids. None when they were not promised.
    pub fn take(&self, charge: u64) -> Option<u64> {
        let mut state = self.state();
        state.reserved = state.reserved.checked_sub(charge)?;
        Some(state.spend(charge))
    }

    /// Whether [`Credits::take_for_pump`] would give something now.
    pub fn has_for_pump(&self, charge: u64, alone: bool) -> bool {
        self.state().enough(charge, alone)
    }

    /// Spends `charge` credits for a pump, which is `alone` when it has nothing in flight.
    pub fn take_for_pump(&self, charge: u64, alone: bool) -> Option<u64> {
        let mut state = self.state();
        if !state.enough(charge, alone) {
            return None;
        }
        state.free -= charge;
        Some(state.spend(charge))
    }

    /// Adds what a response grants. True: tell the control plane that it has what it waits for.
    pub fn grant(&self, credits: u16) -> bool {
        let mut state = self.state();
        state.free = state.free.saturating_add(u64::from(credits));
        let enough = state.wanted > 0 && state.free >= state.wanted;
        enough && !std::mem::replace(&mut state.told, true)
    }

    /// A request that cost `charge` has its final answer.
    pub fn settle(&self, charge: u64) {
        let mut state = self.state();
        state.outstanding = state.outstanding.saturating_sub(charge);
    }

    /// The control plane waits for `charge` credits, or with 0 no longer.
    pub fn want(&self, charge: u64) {
        let mut state = self.state();
        (state.wanted, state.told) = (charge, false);
    }
}

impl State {
    fn total(&self) -> u64 {
        self.free.saturating_add(self.reserved).saturating_add(self.outstanding)
    }

    fn enough(&self, charge: u64, alone: bool) -> bool {
        let reserve = if alone { 0 } else { RESERVE.min(self.total() / 8) };
        self.free >= charge.saturating_add(reserve.max(self.wanted))
    }

    fn spend(&mut self, charge: u64) -> u64 {
        let id = self.next_id;
        self.next_id += charge;
        self.outstanding += charge;
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pumps_leave_what_the_control_plane_needs() {
        let credits = Credits::new();
        assert!(credits.reserve(1) && !credits.reserve(1));
        assert_eq!((credits.take(1), credits.take(1)), (Some(0), None));
        assert!(!credits.grant(64));
        credits.settle(1);
        assert_eq!(credits.total(), 64);
        assert_eq!(credits.take_for_pump(50, false), Some(1));
        assert_eq!(credits.take_for_pump(10, false), None); // the reserve
        assert_eq!(credits.take_for_pump(10, true), Some(51));
        credits.want(10);
        assert_eq!(credits.take_for_pump(1, true), None);
        assert!(!credits.grant(5));
        assert!(credits.grant(1));
        assert!(!credits.grant(1)); // told once
        assert!(credits.reserve(10));
        assert_eq!(credits.take(10), Some(61));
        credits.want(0);
        assert_eq!(credits.take_for_pump(1, true), Some(71));
    }
}
