//! Nonces: no key ever protects two messages with the same one.
//!
//! Two messages under one nonce of AES-GMAC reveal the authentication key, which allows forging signatures; with
//! AES-GCM or AES-CCM also the plain text. So a nonce is an object that can be used once: [`SignOnce`] and
//! [`EncryptNonce`] are only created here, cannot be copied, and are consumed by use.
//!
//! **Signing.** The nonce of AES-GMAC is the MessageId with a bit for responses and one for CANCEL ([MS-SMB2] 3.1.4.1).
//! The window ([`crate::window`]) reports the first use of each ID of a connection as [`FirstUse`], which gives the
//! right to sign the one request (of a client) or the one response (of a server) with this ID. [`AnswerNonces`] keeps
//! the rights for responses that the control plane gives later: interim responses are not signed and leave the right
//! there (3.3.4.2), notifications have no ID and no right (3.3.4.6). A client may cancel a request once, before its
//! response. A key belongs to the connection that has signed with it first, as IDs are unique only there. All this
//! applies to every algorithm: CMAC and HMAC would not need it, but one rule is simpler than two.
//!
//! Data that RDMA carries has a signature of its own beside that of its message ([MS-SMB2] 2.2.43.1). The right to sign a message
//! gives that to its data once ([`DataOnce`]), with a nonce that no message has: its highest bit of the kind is set.
//!
//! **Encryption.** The counter of a session's key starts at a random value of the whole nonce, because before 3.1.1
//! another session may have the same key (a Kerberos ticket without a subkey), even after a restart. It ends before it
//! wraps around to its start.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use super::BadKey;
use crate::syscalls;
use crate::window::{FirstUse, Ids};
use crate::wire::{flags, Header};

/// The ID of notifications, which are no responses.
const NOTIFICATION: u64 = u64::MAX;

/// The kind of a message, as far as the nonce depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Request,
    Cancel,
    Response,
}

impl Kind {
    fn of(message: &[u8]) -> Kind {
        let header = Header::of(message);
        if header.has(flags::SERVER_TO_REDIR) {
            Kind::Response
        } else if header.is_cancel() {
            Kind::Cancel
        } else {
            Kind::Request
        }
    }
}

/// The nonce of AES-GMAC ([MS-SMB2] 3.1.4.1).
pub(super) fn gmac_nonce(message: &[u8]) -> [u8; 12] {
    nonce_of(Header::of(message).message_id.get(), Kind::of(message))
}

fn nonce_of(message_id: u64, kind: Kind) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&message_id.to_le_bytes());
    nonce[8] = match kind {
        Kind::Request => 0,
        Kind::Response => 1,
        Kind::Cancel => 2,
    };
    nonce
}

/// The right to sign one message, consumed by signing.
#[derive(Debug)]
#[must_use]
pub struct SignOnce {
    owner: Owner,
    message_id: u64,
    kind: Kind,
    /// Its data was signed.
    data_signed: bool,
}

/// The right to sign the data of one message, consumed by signing.
#[derive(Debug)]
#[must_use]
pub struct DataOnce {
    owner: Owner,
    nonce: [u8; 12],
}

/// Set in the kind of a nonce: it is for data, not for a message.
const DATA: u8 = 0x80;

impl DataOnce {
    /// The connection whose message has the data.
    pub(super) fn owner(&self) -> Owner {
        self.owner
    }

    /// The nonce of AES-GMAC.
    pub(super) fn nonce(&self) -> &[u8; 12] {
        &self.nonce
    }
}

impl SignOnce {
    fn new(owner: Owner, message_id: u64, kind: Kind) -> SignOnce {
        SignOnce { owner, message_id, kind, data_signed: false }
    }

    /// The right to sign the data of the message, once.
    pub fn for_data(&mut self) -> Option<DataOnce> {
        if std::mem::replace(&mut self.data_signed, true) {
            return None;
        }
        let mut nonce = nonce_of(self.message_id, self.kind);
        nonce[8] |= DATA;
        Some(DataOnce { owner: self.owner, nonce })
    }

    /// The connection that the ID belongs to.
    pub(super) fn owner(&self) -> Owner {
        self.owner
    }

    /// True if the right is for this message.
    pub(super) fn fits(&self, message: &[u8]) -> bool {
        Header::of(message).message_id == self.message_id && self.kind == Kind::of(message)
    }
}

/// The connection that a signing key and a right belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner(u64);

impl Owner {
    /// Of a new connection.
    fn new() -> Owner {
        static CONNECTIONS: AtomicU64 = AtomicU64::new(1);
        Owner(CONNECTIONS.fetch_add(1, Ordering::Relaxed))
    }

    /// Its number, never 0.
    pub(super) fn number(self) -> u64 {
        self.0
    }
}

/// The rights to sign of a server's connection. Bounded by the requests without a final response.
#[derive(Debug)]
pub struct AnswerNonces {
    owner: Owner,
    /// Requests that the control plane answers.
    open: HashSet<u64, Ids>,
}

impl AnswerNonces {
    /// For a new connection.
    #[allow(clippy::new_without_default)] // each one is another
    pub fn new() -> AnswerNonces {
        AnswerNonces { owner: Owner::new(), open: HashSet::default() }
    }

    /// The owner that a signing key must have.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// The right to sign the response to the request with this ID.
    pub fn right(&self, first: FirstUse) -> SignOnce {
        SignOnce::new(self.owner, first.id(), Kind::Response)
    }

    /// Keeps the right for a request that the control plane will answer.
    pub fn keep(&mut self, right: SignOnce) {
        if right.owner == self.owner && right.message_id != NOTIFICATION {
            self.open.insert(right.message_id);
        }
    }

    /// The kept right; None if there is none or it has been used.
    pub fn answer(&mut self, message_id: u64) -> Option<SignOnce> {
        let kept = self.open.remove(&message_id);
        kept.then_some(SignOnce::new(self.owner, message_id, Kind::Response))
    }
}

/// The rights to sign of a client's connection. Bounded by the requests without a final response.
#[derive(Debug)]
pub struct RequestNonces {
    owner: Owner,
    /// Requests that the control plane may still cancel.
    open: HashSet<u64, Ids>,
}

impl RequestNonces {
    /// For a new connection.
    #[allow(clippy::new_without_default)] // each one is another
    pub fn new() -> RequestNonces {
        RequestNonces { owner: Owner::new(), open: HashSet::default() }
    }

    /// The owner that a signing key must have.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// The right to sign the request that is sent with this ID.
    pub fn right(&self, first: FirstUse) -> SignOnce {
        SignOnce::new(self.owner, first.id(), Kind::Request)
    }

    /// Lets the control plane cancel the request with this right.
    pub fn allow_cancel(&mut self, right: &SignOnce) {
        if right.owner == self.owner {
            self.open.insert(right.message_id);
        }
    }

    /// True if a request can be cancelled: it has no response and has not been cancelled.
    pub fn can_cancel(&self, message_id: u64) -> bool {
        self.open.contains(&message_id)
    }

    /// The right to sign the CANCEL of a request without a response; None if it has been used.
    pub fn cancel(&mut self, message_id: u64) -> Option<SignOnce> {
        let allowed = self.open.remove(&message_id);
        allowed.then_some(SignOnce::new(self.owner, message_id, Kind::Cancel))
    }

    /// A request has its final response.
    pub fn answered(&mut self, message_id: u64) {
        self.open.remove(&message_id);
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
    /// The bytes outside the counter: chosen once, so that two runs of one key do not collide.
    rest: [u8; 4],
    used: AtomicU64,
}

impl EncryptNonces {
    /// Most messages encrypted with one key: a million per second for eight years, and still far from a counter that
    /// wraps around to its start.
    const MESSAGES_MAX: u64 = 1 << 48;

    pub(super) fn new() -> Result<EncryptNonces, BadKey> {
        let mut random = [0; 12];
        syscalls::random(&mut random).map_err(|_| BadKey("the system provides no random numbers"))?;
        let (start, rest) = random.split_at(8);
        let start = u64::from_le_bytes(start.try_into().expect("eight bytes"));
        Ok(EncryptNonces { start, rest: rest.try_into().expect("four bytes"), used: AtomicU64::new(0) })
    }

    /// The next one; None if the key is used up. AES-CCM does not use the last byte, but those before it differ.
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

    /// Skips nonces.
    #[cfg(test)]
    pub(super) fn skip_to(&self, used: u64) {
        self.used.store(used, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::Window;
    use crate::wire::command;
    use crate::wire::raw::{at, put};

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
        let mut nonces = AnswerNonces::new();
        let mut window = Window::new(8);
        let right = nonces.right(window.consume(0, 1).unwrap());
        assert!(nonces.answer(0).is_none(), "not kept");
        nonces.keep(right);
        assert!(nonces.answer(0).is_some());
        assert!(nonces.answer(0).is_none());
        let mut other = AnswerNonces::new();
        window.grant(1, true);
        other.keep(nonces.right(window.consume(1, 1).unwrap()));
        assert!(other.answer(1).is_none(), "of another connection");
    }

    #[test]
    fn data_are_signed_once_with_a_nonce_of_their_own() {
        let (answers, requests) = (AnswerNonces::new(), RequestNonces::new());
        let mut answer = answers.right(Window::new(9).consume(0, 1).unwrap());
        let mut request = requests.right(Window::new(9).send(0, 1).unwrap());
        let of_answer = answer.for_data().unwrap();
        assert_eq!(of_answer.nonce(), &[0, 0, 0, 0, 0, 0, 0, 0, 0x81, 0, 0, 0]);
        assert_eq!(request.for_data().unwrap().nonce()[8], 0x80);
        assert!(answer.for_data().is_none() && request.for_data().is_none());
    }

    #[test]
    fn a_request_is_cancelled_once_and_before_its_answer() {
        let mut nonces = RequestNonces::new();
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
