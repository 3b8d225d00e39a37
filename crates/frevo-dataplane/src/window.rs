//! The message ID window and the credits of one connection ([MS-SMB2] 3.3.1.1, 3.3.1.2, 3.3.5.2.3).
//!
//! The window is the range `low..high` of IDs granted so far, with a bit for each used ID. The client holds a credit
//! for each unused ID of the range. `low` advances when its ID is used, so a client that skips an ID holds the window
//! in place: at a span of twice the maximum number of credits, grants stop until the skipped ID is used.

use std::hash::{BuildHasherDefault, Hasher};

/// A client may send a request this many IDs late; older IDs count as sent.
const LATE_MAX: u64 = 1 << 20;

/// Proof that a message ID was used for the first time on its connection. Only a window creates it.
#[derive(Debug)]
pub struct FirstUse(u64);

impl FirstUse {
    /// The ID.
    pub fn id(&self) -> u64 {
        self.0
    }
}

/// Message IDs, and numbers that we give, are their own hash, in sets and maps of them.
pub type Ids = BuildHasherDefault<IdHasher>;

/// See [`Ids`].
#[derive(Debug, Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn write_usize(&mut self, id: usize) {
        self.write_u64(id as u64);
    }
}

/// Why a message ID was refused; the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Below the window or beyond what was granted.
    OutOfWindow,
    /// Used before.
    Duplicate,
}

/// The window of one connection. About 60 bytes until the client is granted more than 64 credits.
#[derive(Debug)]
pub struct Window {
    low: u64,
    high: u64,
    held: u64,
    max_credits: u64,
    /// One bit per ID, at `id % bits`; the number of words is a power of two.
    used: Vec<u64>,
}

impl Window {
    /// The window of a new connection: ID 0 is granted.
    pub fn new(max_credits: u32) -> Window {
        Window { low: 0, high: 1, held: 1, max_credits: u64::from(max_credits.max(1)), used: Vec::new() }
    }

    /// Credits that the client holds now.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Takes the IDs `message_id .. message_id + charge`, or none of them.
    pub fn consume(&mut self, message_id: u64, charge: u16) -> Result<FirstUse, Refusal> {
        let end = message_id.checked_add(u64::from(charge)).ok_or(Refusal::OutOfWindow)?;
        if message_id < self.low || end > self.high {
            return Err(Refusal::OutOfWindow);
        }
        if self.used.is_empty() {
            self.used.push(0);
        }
        if (message_id..end).any(|id| self.is_used(id)) {
            return Err(Refusal::Duplicate);
        }
        for id in message_id..end {
            self.set(id);
        }
        self.held -= u64::from(charge);
        while self.low < self.high && self.is_used(self.low) {
            let (word, bit) = self.place(self.low);
            self.used[word] &= !bit;
            self.low += 1;
        }
        Ok(FirstUse(message_id))
    }

    /// The client's counterpart of [`Window::consume`]: IDs from its account, sent in any order. An unsent ID does not
    /// hold the window in place: at most 128 KiB are kept, and IDs before that count as used.
    pub fn send(&mut self, message_id: u64, charge: u16) -> Result<FirstUse, Refusal> {
        let end = message_id.checked_add(u64::from(charge)).ok_or(Refusal::OutOfWindow)?;
        if end > self.high {
            self.forget(end.saturating_sub(LATE_MAX));
            self.extend(end - self.high);
        }
        self.consume(message_id, charge)
    }

    /// IDs before `until` count as used.
    fn forget(&mut self, until: u64) {
        while self.low < until.min(self.high) {
            let (word, bit) = self.place(self.low);
            match self.used.get_mut(word).filter(|used| **used & bit != 0) {
                Some(used) => *used &= !bit,
                None => self.held -= 1,
            }
            self.low += 1;
        }
        if until > self.high {
            (self.low, self.high) = (until, until);
        }
    }

    /// Grants up to `wish` credits and returns how many; if `needed`, at least one to a client that would hold none.
    pub fn grant(&mut self, wish: u16, needed: bool) -> u16 {
        let room = self.max_credits.saturating_sub(self.held);
        let span_end = self.low.saturating_add(2 * self.max_credits).min(u64::MAX - 1);
        let room = room.min(span_end.saturating_sub(self.high));
        let mut granted = u64::from(wish).min(room);
        if granted == 0 && needed && self.held == 0 && room > 0 {
            granted = 1;
        }
        self.extend(granted);
        granted as u16
    }

    fn extend(&mut self, count: u64) {
        self.high += count;
        self.held += count;
        let span = self.high - self.low;
        if span > self.used.len() as u64 * 64 {
            self.grow(span);
        }
    }

    fn grow(&mut self, span: u64) {
        let words = (span.div_ceil(64) as usize).next_power_of_two();
        let old = std::mem::replace(&mut self.used, vec![0; words]);
        if old.is_empty() {
            return;
        }
        let old_bits = old.len() as u64 * 64;
        for id in self.low..self.high.min(self.low + old_bits) {
            let slot = id % old_bits;
            if old[(slot / 64) as usize] >> (slot % 64) & 1 == 1 {
                self.set(id);
            }
        }
    }

    fn place(&self, id: u64) -> (usize, u64) {
        let slot = id & (self.used.len() as u64 * 64).saturating_sub(1);
        ((slot / 64) as usize, 1 << (slot % 64))
    }

    fn is_used(&self, id: u64) -> bool {
        let (word, bit) = self.place(id);
        self.used[word] & bit != 0
    }

    fn set(&mut self, id: u64) {
        let (word, bit) = self.place(id);
        self.used[word] |= bit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn starts_with_id_zero() {
        let mut window = Window::new(8192);
        assert_eq!(window.consume(1, 1).map(drop), Err(Refusal::OutOfWindow));
        assert_eq!(window.consume(0, 1).map(drop), Ok(()));
        assert_eq!(window.consume(0, 1).map(drop), Err(Refusal::OutOfWindow));
        assert_eq!(window.grant(0, true), 1);
        assert_eq!(window.consume(1, 1).map(drop), Ok(()));
        assert_eq!(window.grant(0, false), 0);
        assert_eq!(window.grant(8191, true), 8191);
        assert_eq!(window.grant(10, true), 1);
        assert_eq!(window.grant(10, true), 0);
    }

    #[test]
    fn multi_credit_takes_all_or_nothing() {
        let mut window = Window::new(64);
        window.consume(0, 1).unwrap();
        assert_eq!(window.grant(16, true), 16);
        assert_eq!(window.consume(2, 4).map(drop), Ok(()));
        assert_eq!(window.consume(4, 1).map(drop), Err(Refusal::Duplicate));
        assert_eq!(window.consume(1, 2).map(drop), Err(Refusal::Duplicate));
        assert_eq!(window.consume(14, 4).map(drop), Err(Refusal::OutOfWindow));
        assert_eq!(window.consume(14, 3).map(drop), Ok(()));
        assert_eq!(window.held(), 9);
        assert_eq!(window.consume(u64::MAX, 2).map(drop), Err(Refusal::OutOfWindow));
    }

    #[test]
    fn a_skipped_id_stops_the_growth() {
        let mut window = Window::new(8);
        window.consume(0, 1).unwrap();
        window.grant(8, true);
        let mut id = 2;
        while window.consume(id, 1).is_ok() {
            id += 1;
            window.grant(1, true);
        }
        assert_eq!(id, 1 + 16);
        assert_eq!(window.held(), 1);
        window.consume(1, 1).unwrap();
        assert_eq!(window.grant(8, true), 8);
    }

    #[test]
    fn a_client_sends_each_id_once() {
        let mut window = Window::new(1);
        for (id, charge) in [(0, 1), (3, 16), (1, 2), (100_000, 1), (19, 1)] {
            assert!(window.send(id, charge).is_ok());
            assert!(window.send(id, charge).is_err());
            assert!(window.send(id + u64::from(charge) - 1, 1).is_err());
        }
        assert!(window.send(2 * LATE_MAX, 1).is_ok());
        assert!(window.send(LATE_MAX, 1).is_err(), "too late");
        assert!(window.send(LATE_MAX + 1, 1).is_ok(), "just in time");
        assert!(window.send(u64::MAX - 1, 1).is_ok());
        assert_eq!(window.send(u64::MAX, 1).map(drop), Err(Refusal::OutOfWindow));
        assert!(window.used.len() as u64 * 64 <= LATE_MAX);
    }

    #[test]
    fn sending_agrees_with_a_set_of_ids() {
        let mut state = 0x1234_5678_9ABC_DEF1u64;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let (mut window, mut sent, mut next) = (Window::new(1), HashSet::new(), 0u64);
        for _ in 0..50_000 {
            let id = (next + random(20)).saturating_sub(random(300));
            let charge = 1 + random(4) as u16;
            let all = (id..id + u64::from(charge)).all(|i| !sent.contains(&i));
            assert_eq!(window.send(id, charge).is_ok(), all);
            if all {
                sent.extend(id..id + u64::from(charge));
                next = next.max(id + u64::from(charge));
            }
        }
        assert_eq!(
            window.held(),
            next - window.low - sent.iter().filter(|id| **id >= window.low).count() as u64
        );
    }

    #[test]
    fn agrees_with_a_set_of_ids() {
        let mut state = 0x9E37_79B9_7F4A_7C15u64;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut window = Window::new(200);
        let mut free: HashSet<u64> = HashSet::from([0]);
        let mut high = 1u64;
        for _ in 0..20_000 {
            let id = high.saturating_sub(random(420));
            let charge = 1 + random(3) as u16;
            let all = (id..id + u64::from(charge)).all(|i| free.contains(&i));
            assert_eq!(window.consume(id, charge).is_ok(), all);
            if all {
                (id..id + u64::from(charge)).for_each(|i| assert!(free.remove(&i)));
            } else if let Some(&lowest) = free.iter().min() {
                window.consume(lowest, 1).unwrap();
                free.remove(&lowest);
            }
            let granted = u64::from(window.grant(random(8) as u16, true));
            free.extend(high..high + granted);
            high += granted;
            assert_eq!(window.held(), free.len() as u64);
            assert!((1..=200).contains(&window.held()));
        }
    }
}
