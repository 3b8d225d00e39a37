//! Whether the peer still answers ([MS-SMBD] 3.1.2.2 and 3.1.6.2).

use std::time::{Duration, Instant};

/// KeepaliveRequested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    No,
    Pending,
    Sent,
}

/// The Idle Connection Timer.
#[derive(Debug)]
pub(super) struct Keepalive {
    interval: Duration,
    answer: Duration,
    asked: Asked,
    due: Instant,
}

impl Keepalive {
    /// The peer may be silent for `interval`, and has `answer` to say something when it is asked.
    pub(super) fn new(interval: Duration, answer: Duration, now: Instant) -> Keepalive {
        Keepalive { interval, answer, asked: Asked::No, due: now + interval }
    }

    /// Something has come.
    pub(super) fn heard(&mut self, now: Instant) {
        self.asked = Asked::No;
        self.due = now + self.interval;
    }

    /// When there is something to do.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// The time is `now`. False: the peer has not answered.
    ///
    /// The time for the answer runs from here even when the question cannot be sent: a peer that gives no credits for so
    /// long does not answer either.
    pub(super) fn on_time(&mut self, now: Instant) -> bool {
        if now < self.due {
            return true;
        }
        if self.asked != Asked::No {
            return false;
        }
        self.asked = Asked::Pending;
        self.due = now + self.answer;
        true
    }

    /// Whether the question waits to be sent.
    pub(super) fn is_pending(&self) -> bool {
        self.asked == Asked::Pending
    }

    /// Whether the message that is sent now asks.
    pub(super) fn ask(&mut self, now: Instant) -> bool {
        let asks = self.is_pending();
        if asks {
            self.asked = Asked::Sent;
            self.due = now + self.answer;
        }
        asks
    }
}
