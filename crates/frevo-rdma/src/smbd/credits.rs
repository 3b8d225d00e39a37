//! Credits of both directions ([MS-SMBD] 3.1.5.1 and 3.1.5.9).
//!
//! A credit is a receive that the other side has posted. Who has one left keeps it for a message that grants some, as
//! otherwise both sides could wait for each other.

/// How many receives beyond the limit may be posted so that a message can use the last credit.
const BEYOND_LIMIT: u32 = 8;

/// The least that is granted, whatever was requested: one credit alone goes back and forth without end.
const LEAST_TARGET: u32 = 2;

/// What either side may send.
#[derive(Debug)]
pub(super) struct Credits {
    /// SendCredits: messages this side may send.
    send: u32,
    /// ReceiveCreditMax.
    limit: u32,
    /// ReceiveCreditTarget: what the peer has requested.
    requested: u32,
    /// ReceiveCredits: granted to the peer and not used.
    outstanding: u32,
    /// Receives posted and not granted yet.
    fresh: u32,
    /// The peer has sent data since it was last granted credits.
    used: bool,
}

impl Credits {
    /// Nothing granted. At most `limit` receives will be posted.
    pub(super) fn new(limit: u16) -> Credits {
        let limit = u32::from(limit).max(LEAST_TARGET);
        Credits { send: 0, limit, requested: 0, outstanding: 0, fresh: 0, used: false }
    }

    /// How many credits the peer should have.
    fn target(&self) -> u32 {
        self.requested.clamp(LEAST_TARGET, self.limit)
    }

    /// The peer requests so many in total.
    pub(super) fn request(&mut self, credits: u16) {
        self.requested = u32::from(credits);
    }

    /// The peer grants so many more.
    pub(super) fn granted(&mut self, credits: u16) {
        self.send = self.send.saturating_add(u32::from(credits));
    }

    /// How many receives have to be posted; they count as posted. `waits`: something is to be sent.
    pub(super) fn post(&mut self, waits: bool) -> u32 {
        let posted = self.outstanding + self.fresh;
        let mut count = self.target().saturating_sub(posted);
        if count == 0 && waits && self.send == 1 && self.fresh == 0 && posted < self.limit + BEYOND_LIMIT {
            count = 1;
        }
        self.fresh += count;
        count
    }

    /// Whether a message can be sent.
    pub(super) fn can_send(&self) -> bool {
        self.send > 1 || self.send == 1 && self.fresh > 0
    }

    /// Whether the peer should be granted credits at once, though nothing else is to be sent. The answer to an empty
    /// message is no unless the peer could send nothing at all: otherwise grants would follow each other without end.
    pub(super) fn grant_at_once(&self) -> bool {
        self.fresh > 0 && (self.outstanding == 0 || self.used && self.outstanding <= self.target() / 2)
    }

    /// Uses a credit for a message and gives the number that it grants.
    pub(super) fn spend(&mut self) -> u16 {
        self.send -= 1;
        self.grant()
    }

    /// How many credits a message grants.
    pub(super) fn grant(&mut self) -> u16 {
        let granted = u16::try_from(self.fresh).unwrap_or(u16::MAX);
        self.fresh -= u32::from(granted);
        self.outstanding += u32::from(granted);
        self.used &= granted == 0;
        granted
    }

    /// A message of the peer has used one of its credits, unless it had none: false then.
    pub(super) fn take(&mut self, has_data: bool) -> bool {
        self.used |= has_data;
        let Some(left) = self.outstanding.checked_sub(1) else { return false };
        self.outstanding = left;
        true
    }

    /// Messages this side may send, and messages the peer may send.
    pub(super) fn counts(&self) -> (u32, u32) {
        (self.send, self.outstanding)
    }
}
