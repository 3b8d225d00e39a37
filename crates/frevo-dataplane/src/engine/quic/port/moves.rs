//! How often a client may come from another machine's address. (A router may give it another port at any time.)

use std::time::{Duration, Instant};

/// So many changes in this time: more than a client that walks about makes, few enough to be no flood for anybody.
const MOVES: u32 = 32;
const TIME: Duration = Duration::from_secs(10);

/// The changes of late.
#[derive(Debug, Default)]
pub(super) struct Moves {
    since: Option<Instant>,
    count: u32,
}

impl Moves {
    /// Counts a change; false: that is one too many.
    pub(super) fn may_move(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= TIME) {
            *self = Moves { since: Some(now), count: 0 };
        }
        self.count += 1;
        self.count <= MOVES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_changes_in_a_while_are_allowed() {
        let start = Instant::now();
        let mut moves = Moves::default();
        assert!((0..32).all(|quarter| moves.may_move(start + Duration::from_millis(250 * quarter))));
        assert!(!moves.may_move(start + Duration::from_secs(9)));
        assert!(moves.may_move(start + Duration::from_secs(10)));
    }
}
