//! The events of a data plane for the control plane, and the accounting of messages that the control plane holds.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;

use crate::buffer::let_go;
use crate::pump::{End, PumpId};
use crate::quic::session::Secured;

/// The number of a connection; never used twice.
pub type ConnectionId = u64;
/// The number of a listener.
pub type ListenerId = u64;
/// Why a connection ended.
pub type Reason = Cow<'static, str>;

/// One event.
#[derive(Debug)]
pub enum Event {
    /// A client connected.
    Accepted {
        /// The new connection.
        connection: ConnectionId,
        /// The listener that accepted it.
        listener: ListenerId,
        /// The client's address, "ip:port".
        peer: String,
        /// Our address, "ip:port".
        local: String,
    },
    /// A message that the data plane does not answer itself.
    Message {
        /// Its connection.
        connection: ConnectionId,
        /// SessionId of the transform header, 0 for a plain message.
        session_id: u64,
        /// [`Event::ENCRYPTED`] or 0.
        flags: u32,
        /// The message, decrypted, without framing.
        payload: Payload,
        /// By element of the compound: SIGNED is set and the signature is wrong.
        bad_signatures: u64,
        /// By element of the compound: SIGNED is set and there is no key to check it with.
        unverified: u64,
    },
    /// A connection ended; its last event.
    Closed {
        /// The connection.
        connection: ConnectionId,
        /// Why, for the log.
        reason: Reason,
    },
    /// A limit refused a client.
    Rejected {
        /// The listener that accepted it.
        listener: ListenerId,
        /// Its address.
        peer: String,
        /// Which limit.
        reason: Reason,
    },
    /// No message arrived for `idle_timeout`; repeated after every further such time.
    Idle {
        /// The connection.
        connection: ConnectionId,
    },
    /// A pump has ended and released everything.
    Pump {
        /// Its connection.
        connection: ConnectionId,
        /// Its number.
        pump: PumpId,
        /// How.
        end: End,
    },
    /// The handshake of QUIC is done: of a client directly after [`Event::Accepted`].
    Secured {
        /// The connection.
        connection: ConnectionId,
        /// What was agreed.
        secured: Box<Secured>,
    },
    /// A client of QUIC has another address.
    Moved {
        /// The connection.
        connection: ConnectionId,
        /// The client's address now, "ip:port".
        peer: String,
    },
    /// The credits that the control plane waits for are there.
    Credits {
        /// The connection.
        connection: ConnectionId,
    },
}

/// The numbers of the events and the bits of their flags, as the control plane sees them.
impl Event {
    /// [`Event::Accepted`]
    pub const ACCEPTED: u8 = 0;
    /// [`Event::Message`]
    pub const MESSAGE: u8 = 1;
    /// [`Event::Closed`]
    pub const CLOSED: u8 = 2;
    /// [`Event::Rejected`]
    pub const REJECTED: u8 = 3;
    /// [`Event::Idle`]
    pub const IDLE: u8 = 4;
    /// [`Event::Pump`]
    pub const PUMP: u8 = 5;
    /// [`Event::Credits`]
    pub const CREDITS: u8 = 6;
    /// [`Event::Secured`]
    pub const SECURED: u8 = 7;
    /// [`Event::Moved`]
    pub const MOVED: u8 = 8;

    /// Flag of [`Event::Message`]: it came encrypted.
    pub const ENCRYPTED: u32 = 1;
}

/// How much of a connection's input the control plane is still processing.
#[derive(Default)]
pub struct Flow {
    messages: AtomicUsize,
    bytes: AtomicUsize,
    paused: AtomicBool,
    wake: Option<Box<dyn Fn() + Send + Sync>>,
}

impl std::fmt::Debug for Flow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flow").field("messages", &self.messages).field("bytes", &self.bytes).finish()
    }
}

impl Flow {
    /// `wake` is called from any thread when a paused connection may be read again.
    pub fn new(wake: Option<Box<dyn Fn() + Send + Sync>>) -> Flow {
        Flow { wake, ..Flow::default() }
    }

    /// True if the control plane has enough; the release that falls below half of the limits calls `wake` once.
    pub fn is_full(&self, max_messages: usize, max_bytes: usize) -> bool {
        if !self.exceeds(max_messages, max_bytes) {
            return false;
        }
        self.paused.store(true, Ordering::SeqCst);
        // A release between the check and the store would have seen no pause: look again.
        self.exceeds(max_messages, max_bytes)
    }

    /// Lets the thread of the connection look after it.
    pub fn wake(&self) {
        if let Some(wake) = &self.wake {
            wake();
        }
    }

    fn exceeds(&self, max_messages: usize, max_bytes: usize) -> bool {
        self.messages.load(Ordering::SeqCst) >= max_messages || self.bytes.load(Ordering::SeqCst) >= max_bytes
    }

    fn release(&self, bytes: usize) {
        self.messages.fetch_sub(1, Ordering::SeqCst);
        self.bytes.fetch_sub(bytes, Ordering::SeqCst);
        if self.paused.load(Ordering::SeqCst) && self.paused.swap(false, Ordering::SeqCst) {
            self.wake();
        }
    }
}

/// A received message that its connection accounts for until it is dropped.
#[derive(Debug)]
pub struct Payload {
    data: Vec<u8>,
    start: usize,
    flow: Arc<Flow>,
}

impl Payload {
    /// The message `data[start..]` of the connection that owns `flow`.
    pub fn new(data: Vec<u8>, start: usize, flow: Arc<Flow>) -> Payload {
        flow.messages.fetch_add(1, Ordering::SeqCst);
        flow.bytes.fetch_add(data.len(), Ordering::SeqCst);
        Payload { data, start, flow }
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.data[self.start..]
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.flow.release(self.data.len());
        let_go(std::mem::take(&mut self.data));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_connection_is_woken_when_something_is_dropped() {
        let woken = Arc::new(AtomicUsize::new(0));
        let seen = woken.clone();
        let wake = move || {
            seen.fetch_add(1, Ordering::SeqCst);
        };
        let flow = Arc::new(Flow::new(Some(Box::new(wake))));
        let payloads: Vec<_> = (0..3).map(|_| Payload::new(vec![0; 10], 4, flow.clone())).collect();
        assert_eq!(payloads[0].len(), 6);
        assert!(!flow.is_full(10, 1000));
        assert!(flow.is_full(3, 1000));
        drop(payloads);
        assert_eq!(woken.load(Ordering::SeqCst), 1);
        assert!(!flow.is_full(1, 1));
    }
}
