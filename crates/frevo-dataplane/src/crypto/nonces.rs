//! Who may use which nonce: no key ever protects two messages with one.
//!
//! Two messages under one nonce of AES-GMAC give the authentication key away, and with it the power to sign; of AES-GCM
//! or AES-CCM the plain text as well. So nonces are things that can be used once: [`SignOnce`] and [`EncryptNonce`] are made
//! here alone, cannot be copied, and are gone when they have been used.
//!
//! **Signing.** The nonce of AES-GMAC is the MessageId with a bit for responses and one for CANCEL ([MS-SMB2] 3.1.4.1). The
//! window ([`crate::window`]) sees every id of a connection for the first time once, which gives [`FirstUse`]; from that
//! comes the right to sign the one request (a client) or the one answer (a server) with this id. What the control plane
//! answers later is kept by [`MessageNonces`] until then: an interim response is not signed and leaves it where it is
//! (3.3.4.2), notifications have no id and no right (3.3.4.6). A client may cancel a request once, while it has no
//! answer. A key belongs to the connection that has signed with it first, because ids are unique there and nowhere else.
//! All this holds whatever the algorithm is: that CMAC and HMAC would forgive is no reason to have two rules.
//!
//! **Encryption.** The counter of a session's key starts at random over the whole nonce, because before 3.1.1 another session
//! may have the same key (a Kerberos ticket without a subkey), also after a restart; it ends before it comes round.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use super::BadKey;
use crate::syscalls;
use crate::window::{FirstUse, Ids};
use crate::wire::{at, command, flags, u16_at, u32_at, u64_at};

/// The id of notifications, which answer nothing.
const NOTIFICATION: u64 = u64::MAX;

/// What a message is to the nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Request,
    Cancel,
    Response,
}

impl Kind {
    fn of(message: &[u8]) -> Kind {
        if u32_at(message, at::FLAGS) & flags::SERVER_TO_REDIR != 0 {
            Kind::Response
        } else if u16_at(message, at::COMMAND) == command::CANCEL {
            Kind::Cancel
        } else {
            Kind::Request
        }
    }
}

/// The nonce of AES-GMAC ([MS-SMB2] 3.1.4.1).
pub(super) fn gmac_nonce(message: &[u8]) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&message[at::MESSAGE_ID..at::MESSAGE_ID + 8]);
    nonce[8] = match Kind::of(message) {
        Kind::Request => 0,
        Kind::Response => 1,
        Kind::Cancel => 2,
    };
    nonce
}

/// The right to sign one message. Signing takes it away.
#[derive(Debug)]
#[must_use]
pub struct SignOnce {
    owner: u64,
    message_id: u64,
    kind: Kind,
}

impl SignOnce {
    /// The connection whose ids these are.
    pub(super) fn owner(&self) -> u64 {
        self.owner
    }

    /// True when the right is for this message.
    pub(super) fn fits(&self, message: &[u8]) -> bool {
        self.message_id == u64_at(message, at::MESSAGE_ID) && self.kind == Kind::of(message)
    }
}

/// The rights to sign of one connection. Bounded by the requests without a final answer.
#[derive(Debug)]
pub struct MessageNonces {
    owner: u64,
    server: bool,
    /// Server: requests that the control plane answers. Client: requests that it may still cancel.
    open: HashSet<u64, Ids>,
}

impl MessageNonces {
    /// Of a new connection, at whose end there is a server or a client.
    pub fn new(server: bool) -> MessageNonces {
        static CONNECTIONS: AtomicU64 = AtomicU64::new(1);
        let owner = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        MessageNonces { owner, server, open: HashSet::default() }
    }

    /// What a signing key must belong to.
    pub(super) fn owner(&self) -> u64 {
        self.owner
    }

    /// The right to sign the request that is sent with this id, or the answer to the one that was received.
    pub fn right(&self, first: FirstUse) -> SignOnce {
        let kind = if self.server { Kind::Response } else { Kind::Request };
        SignOnce { owner: self.owner, message_id: first.id(), kind }
    }

    /// A server's control plane will answer that request.
    pub fn keep(&mut self, right: SignOnce) {
        if self.server && right.owner == self.owner && right.message_id != NOTIFICATION {
            self.open.insert(right.message_id);
        }
    }

    /// The right that was kept; None when there was none, or it has been used.
    pub fn answer(&mut self, message_id: u64) -> Option<SignOnce> {
        let kept = self.server && self.open.remove(&message_id);
        kept.then_some(SignOnce { owner: self.owner, message_id, kind: Kind::Response })
    }

    /// A client's control plane may cancel the request that has this right.
    pub fn allow_cancel(&mut self, right: &SignOnce) {
        if !self.server && right.owner == self.owner {
            self.open.insert(right.message_id);
        }
    }

    /// True when a request can be cancelled: it has no answer and was not cancelled before.
    pub fn can_cancel(&self, message_id: u64) -> bool {
        !self.server && self.open.contains(&message_id)
    }

    /// The right to sign the CANCEL of a request that has no answer; None when it has been used.
    pub fn cancel(&mut self, message_id: u64) -> Option<SignOnce> {
        let allowed = !self.server && self.open.remove(&message_id);
        allowed.then_some(SignOnce { owner: self.owner, message_id, kind: Kind::Cancel })
    }

    /// A client's request has its final answer.
    pub fn answered(&mut self, message_id: u64) {
        if !self.server {
            self.open.remove(&message_id);
        }
    }
}

/// A nonce of an encryption key, used once.
#[derive(Debug)]
#[must_use]
pub(super) struct EncryptNonce([u8; 12]);

impl EncryptNonce {
    pub(super) fn bytes(&self) -> &[u8; 12] {
        &self.0
    }
}

/// The nonces of one key in one direction, for every connection that encrypts with it.
#[derive(Debug)]
pub(super) struct EncryptNonces {
    start: u64,
    /// The bytes that do not count: chosen once, so that two runs of one key do not meet.
    rest: [u8; 4],
    used: AtomicU64,
}

impl EncryptNonces {
    /// So many messages are encrypted with one key. Beyond is a million a second for eight years, and the counter is
    /// still far from where it started.
    const MESSAGES_MAX: u64 = 1 << 48;

    pub(super) fn new() -> Result<EncryptNonces, BadKey> {
        let mut random = [0; 12];
        syscalls::random(&mut random).map_err(|_| BadKey("the system has no random numbers"))?;
        let (start, rest) = random.split_at(8);
        let start = u64::from_le_bytes(start.try_into().expect("eight bytes"));
        Ok(EncryptNonces { start, rest: rest.try_into().expect("four bytes"), used: AtomicU64::new(0) })
    }

    /// The next one; None when the key is used up. AES-CCM leaves the last byte out: those before it differ.
    pub(super) fn next(&self) -> Option<EncryptNonce> {
        let count = self.used.fetch_add(1, Ordering::Relaxed);
        if count >= Self::MESSAGES_MAX {
            self.used.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&self.start.wrapping_add(count).to_le_bytes());
        nonce[8..].copy_from_slice(&self.rest);
        Some(EncryptNonce(nonce))
    }

    /// As if so many had been used.
    #[cfg(test)]
    pub(super) fn skip_to(&self, used: u64) {
        self.used.store(used, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::Window;
    use crate::wire::put;

    #[test]
    fn gmac_nonce_has_role_and_cancel() {
        let mut message = vec![0u8; 64];
        put(&mut message, at::MESSAGE_ID, 0x0102_0304_0506_0708u64.to_le_bytes());
        assert_eq!(gmac_nonce(&message), [8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0]);
        put(&mut message, at::FLAGS, 1u32.to_le_bytes());
        assert_eq!(gmac_nonce(&message)[8], 1);
        put(&mut message, at::FLAGS, 0u32.to_le_bytes());
        put(&mut message, at::COMMAND, command::CANCEL.to_le_bytes());
        assert_eq!(gmac_nonce(&message)[8], 2);
    }

    #[test]
    fn an_answer_has_one_right() {
        let mut nonces = MessageNonces::new(true);
        let mut window = Window::new(8);
        let right = nonces.right(window.consume(0, 1).unwrap());
        assert!(nonces.answer(0).is_none(), "not kept");
        nonces.keep(right);
        assert!(nonces.cancel(0).is_none() && !nonces.can_cancel(0), "a server cancels nothing");
        assert!(nonces.answer(0).is_some());
        assert!(nonces.answer(0).is_none());
        let mut other = MessageNonces::new(true);
        window.grant(1, true);
        other.keep(nonces.right(window.consume(1, 1).unwrap()));
        assert!(other.answer(1).is_none(), "of another connection");
    }

    #[test]
    fn a_request_is_cancelled_once_and_before_its_answer() {
        let mut nonces = MessageNonces::new(false);
        let mut window = Window::new(8);
        for id in [0, 1] {
            let right = nonces.right(window.send(id, 1).unwrap());
            assert!(!nonces.can_cancel(id) && nonces.cancel(id).is_none());
            nonces.allow_cancel(&right);
            assert!(nonces.can_cancel(id));
        }
        assert!(nonces.cancel(0).is_some());
        assert!(nonces.cancel(0).is_none() && !nonces.can_cancel(0));
        nonces.answered(1);
        assert!(nonces.cancel(1).is_none());
    }

    #[test]
    fn encryption_starts_at_random_and_ends() {
        let (first, second) = (EncryptNonces::new().unwrap(), EncryptNonces::new().unwrap());
        assert_ne!((first.start, first.rest), (second.start, second.rest));
        let mut seen: HashSet<[u8; 12]> = HashSet::new();
        let short = |nonce: &EncryptNonce| nonce.bytes()[..11].to_vec();
        let mut short_seen = HashSet::new();
        for used in [0, u64::from(u32::MAX), EncryptNonces::MESSAGES_MAX - 3] {
            first.skip_to(used);
            for _ in 0..3 {
                let nonce = first.next().unwrap();
                assert!(short_seen.insert(short(&nonce)) && seen.insert(*nonce.bytes()));
            }
        }
        assert!(first.next().is_none());
        assert!(first.next().is_none(), "for good");
    }
}
