//! The message IDs and credits of a client's connection ([MS-SMB2] 3.2.4.1.2, 3.2.4.1.6).
//!
//! The control plane and the pumps share one account; the connection's thread adds the credits that each response
//! grants. Pumps leave a reserve, and the credits that the control plane waits for.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Credits that pumps leave for the control plane while they have requests in flight.
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
    /// Reserved by the control plane, which sends at once.
    reserved: u64,
    /// Spent on requests without a final response.
    outstanding: u64,
    /// Credits that the control plane waits for; 0: none.
    wanted: u64,
    /// It was told that they are there.
    told: bool,
}

impl Default for Credits {
    fn default() -> Credits {
        Credits::new()
    }
}

impl Credits {
    /// The account of a new connection: one credit and message ID 0.
    pub fn new() -> Credits {
        let state = State { next_id: 0, free: 1, reserved: 0, outstanding: 0, wanted: 0, told: false };
        Credits { state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Credits that are free.
    pub fn free(&self) -> u64 {
        self.state().free
    }

    /// Credits that are free or in use.
    pub fn total(&self) -> u64 {
        self.state().total()
    }

    /// Reserves `charge` credits for the control plane; false if there are not enough.
    pub fn reserve(&self, charge: u64) -> bool {
        let mut state = self.state();
        if state.free < charge {
            return false;
        }
        state.free -= charge;
        state.reserved += charge;
        true
    }

    /// Spends `charge` reserved credits and returns the first of as many message IDs. None if they were not reserved.
    pub fn take(&self, charge: u64) -> Option<u64> {
        let mut state = self.state();
        state.reserved = state.reserved.checked_sub(charge)?;
        Some(state.spend(charge))
    }

    /// Whether [`Credits::take_for_pump`] would succeed now.
    pub fn has_for_pump(&self, charge: u64, alone: bool) -> bool {
        self.state().enough(charge, alone)
    }

    /// Spends `charge` credits for a pump; `alone`: it has nothing in flight.
    pub fn take_for_pump(&self, charge: u64, alone: bool) -> Option<u64> {
        let mut state = self.state();
        if !state.enough(charge, alone) {
            return None;
        }
        state.free -= charge;
        Some(state.spend(charge))
    }

    /// Adds the credits of a response. True: tell the control plane that its credits are there.
    pub fn grant(&self, credits: u16) -> bool {
        let mut state = self.state();
        state.free = state.free.saturating_add(u64::from(credits));
        let enough = state.wanted > 0 && state.free >= state.wanted;
        enough && !std::mem::replace(&mut state.told, true)
    }

    /// A request with this `charge` has its final response.
    pub fn settle(&self, charge: u64) {
        let mut state = self.state();
        state.outstanding = state.outstanding.saturating_sub(charge);
    }

    /// The control plane waits for `charge` credits; 0: no longer.
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
