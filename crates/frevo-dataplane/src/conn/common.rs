//! What both ends of a connection have: framing, keys, what comes in and goes out, and what of it is counted.

use std::cell::Cell;
use std::sync::Arc;

use super::arriving::{Arrival, LARGE_BYTES};
use super::direct::Direct;
use super::input::Up;
use super::{violation, Host, Settings};
use crate::attached::{AttachedOpen, SessionOpens};
use crate::budget::{Budget, Share};
use crate::buffer::Output;
use crate::crypto::SessionKeys;
use crate::delivery::Delivery;
use crate::event::{ConnectionId, Event, Flow, Payload, Reason};
use crate::framing::Framing;
use crate::leases::{Obstacle, Pin};
use crate::stats::add;
use crate::wire::{TransformHeader, CREDIT_BYTES, HEADER_BYTES, PROTOCOL_SMB2, TRANSFORM_BYTES};

/// A session on this connection.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) session_id: u64,
    pub(super) keys: Arc<SessionKeys>,
    /// Those that the fast path of a server answers for.
    pub(super) opens: Arc<SessionOpens>,
}

/// What a server's and a client's side of a connection both use.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) id: ConnectionId,
    pub(super) framing: Framing,
    /// Bytes pass as they are, both ways: nobody here understands them.
    pub(super) opaque: bool,
    pub(super) settings: Settings,
    /// Bytes that are not a whole message yet, or wait because the connection is paused.
    pub(super) input: Vec<u8>,
    /// Where the rest of that message goes.
    pub(super) arrival: Arrival,
    /// The last message was a large one: the next one will be, too.
    pub(super) expects_large: bool,
    /// All of the large message at the front may come in: its size counts for the budget already.
    pub(super) let_in: bool,
    /// Complete messages so far.
    pub(super) frames: u64,
    pub(super) output: Output,
    /// Few per connection, mostly one: a list is the fastest map.
    pub(super) sessions: Vec<Channel>,
    pub(super) flow: Arc<Flow>,
    pub(super) closing: bool,
    /// Its carrier can send what is in pipes.
    pub(super) takes_pipes: bool,
    /// How far what it sends has arrived, if that is known.
    pub(super) delivery: Option<Arc<Delivery>>,
    pub(super) unread: Unread,
    /// What is between the messages and the carrier, unless they are framed on a stream.
    pub(super) direct: Option<Box<Direct>>,
}

impl Common {
    /// What this connection has of a session.
    pub(super) fn channel(&self, session_id: u64) -> Option<&Channel> {
        self.sessions.iter().find(|one| one.session_id == session_id)
    }

    /// The keys of a session.
    pub(super) fn keys(&self, session_id: u64) -> Option<&Arc<SessionKeys>> {
        self.channel(session_id).map(|one| &one.keys)
    }

    /// Credits that a request costs.
    pub(super) fn charge(&self, credit_charge: u16) -> u16 {
        if self.settings.multi_credit {
            credit_charge.max(1)
        } else {
            1
        }
    }

    /// What a request and its answer may take together: 64 KiB for each credit.
    pub(super) fn paid_bytes(&self, credit_charge: u16) -> usize {
        usize::from(self.charge(credit_charge)) * CREDIT_BYTES as usize
    }

    /// The right to send pages of a file as they are.
    pub(super) fn pin(&self, open: &AttachedOpen, host: &Host) -> Result<Pin, Obstacle> {
        match &self.delivery {
            Some(delivery) if delivery.leaves_host() => open.pages.pin(&open.file, host.now, &host.stats),
            _ => Err(Obstacle::Near),
        }
    }

    /// Bytes that wait to be sent.
    pub(super) fn queued(&self) -> usize {
        self.output.len() + self.direct.as_ref().map_or(0, |direct| direct.outstanding())
    }

    /// Bytes in memory of what was and is to be sent.
    pub(super) fn held(&self) -> usize {
        self.output.held() + self.direct.as_ref().map_or(0, |direct| direct.outstanding())
    }

    /// All of the message at the front is there, with its transport header so many bytes.
    pub(super) fn complete(&mut self, size: usize) {
        self.expects_large = size >= LARGE_BYTES;
        self.let_in = false;
        self.frames += 1;
    }

    /// Sends what is queued, then the connection is to be closed; nothing more is received or queued.
    pub(super) fn close_after_output(&mut self) {
        self.closing = true;
        self.let_in = false;
        self.input = Vec::new();
        self.arrival = Arrival::default();
    }

    /// Decrypts a packet and says whose it is; the message is behind the transform header. What cannot be opened ends the
    /// connection ([MS-SMB2] 3.3.5.2.1.1).
    pub(super) fn decrypt(&self, packet: &mut [u8], host: &Host) -> Result<u64, Reason> {
        if packet.len() < TRANSFORM_BYTES + HEADER_BYTES {
            return violation("encrypted message is too short");
        }
        let session_id = TransformHeader::of(packet).session_id.get();
        let Some(keys) = self.keys(session_id) else {
            return violation("encrypted message of an unknown session");
        };
        if !keys.decrypt(packet) {
            return violation("encrypted message cannot be decrypted");
        }
        add(&host.stats.decrypted, 1);
        if packet[TRANSFORM_BYTES..TRANSFORM_BYTES + 4] != PROTOCOL_SMB2 {
            return violation("encrypted message does not contain an SMB2 message");
        }
        Ok(session_id)
    }

    /// Hands a message to the control plane; it starts at `start` of `buffer`.
    pub(super) fn report(&self, buffer: Vec<u8>, start: usize, up: Up, host: &mut Host) {
        add(&host.stats.messages, 1);
        host.events.push(Event::Message {
            connection: self.id,
            session_id: up.session_id,
            flags: up.flags,
            payload: Payload::new(buffer, start, self.flow.clone()),
            bad_signatures: up.bad_signatures,
            unverified: up.unverified,
        });
    }
}

/// What a connection's peer has not read yet, and what of its messages is there, as the budget of all connections knows it.
#[derive(Debug)]
pub(super) struct Unread {
    budget: Arc<Budget>,
    share: Arc<Share>,
    counted: Cell<usize>,
}

impl Unread {
    /// Of a new connection, which is nobody's.
    pub(super) fn new(budget: Arc<Budget>) -> Unread {
        Unread { share: budget.share(0), budget, counted: Cell::new(0) }
    }

    /// It counts for this user from now on.
    pub(super) fn belongs_to(&mut self, user: u64) {
        self.budget.change(&self.share, self.counted.replace(0), 0);
        self.share = self.budget.share(user);
    }

    /// True when the user or all together have more than they should.
    pub(super) fn is_over(&self) -> bool {
        self.budget.is_over(&self.share)
    }

    /// What was counted last.
    #[cfg(test)]
    pub(super) fn counted(&self) -> usize {
        self.counted.get()
    }

    /// Counts what there is now. The account is shared by all threads, so small changes are left out until they add up.
    pub(super) fn count(&self, now: usize) {
        let before = self.counted.get();
        if before != now && (now == 0 || before.abs_diff(now) > self.budget.granule()) {
            self.counted.set(now);
            self.budget.change(&self.share, before, now);
        }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.budget.change(&self.share, self.counted.get(), 0);
    }
}
