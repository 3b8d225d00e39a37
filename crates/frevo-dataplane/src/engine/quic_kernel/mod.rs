//! SMB over the kernel's QUIC sockets: what happens until a connection is a stream socket like another.
//!
//! The thread of a listener accepts and makes an entry for the connection, under the same limits and deadlines as for
//! every other; a thread of its own runs the TLS of all that are in their handshakes, so that no peer, however slow
//! or hostile, delays those that move data. It tells the connection's thread how the handshake ended.

mod hand_over;
mod runner;
mod socket;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

pub(super) use hand_over::Admitted;
use runner::Runner;
pub(super) use socket::QuicSocket;

use super::link::Link;
use super::queue::Waker;
use super::Shared;
use crate::event::{ConnectionId, ListenerId};
use crate::quic::kernel::Whose;
use crate::quic::server::ServerTls;

/// As many handshakes of a listener at once make the kernel ask new clients to show their address, as in user space.
const HANDSHAKES_BEFORE_RETRY: usize = 64;

/// A socket that carries, or is to carry, one connection.
#[derive(Debug)]
pub(super) struct KernelQuic {
    fd: OwnedFd,
    is_client: bool,
    /// The handshake is done.
    is_ready: AtomicBool,
}

impl KernelQuic {
    /// Its descriptor, once it carries the stream.
    pub(super) fn ready(&self) -> Option<RawFd> {
        self.is_ready.load(Ordering::Acquire).then(|| self.fd.as_raw_fd())
    }

    /// Which end it is.
    pub(super) fn is_client(&self) -> bool {
        self.is_client
    }

    fn new(fd: OwnedFd, is_client: bool) -> KernelQuic {
        KernelQuic { fd, is_client, is_ready: AtomicBool::new(false) }
    }

    /// Says that nothing more will be sent.
    pub(super) fn finish(&self) {
        self.socket().finish();
    }

    fn socket(&self) -> QuicSocket {
        QuicSocket(self.fd.as_raw_fd())
    }
}

/// A listener that is open.
#[derive(Debug)]
struct Listening {
    /// Our own descriptor of it.
    fd: OwnedFd,
    tls: Presented,
    handshakes: usize,
    validates: bool,
}

/// What a listener presents and demands.
#[derive(Clone)]
struct Presented(Arc<ServerTls>);

impl std::fmt::Debug for Presented {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerTls")
    }
}

/// A handshake to begin.
struct Begin {
    link: Arc<Link>,
    whose: Whose,
    listener: Option<ListenerId>,
}

/// All that the threads share about the kernel's QUIC sockets.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    listeners: HashMap<ListenerId, Listening>,
    inbox: Vec<Order>,
    /// There when the first handshake begins.
    waker: Option<Arc<Waker>>,
    thread: Option<JoinHandle<()>>,
    stopping: bool,
}

/// What the thread is to do.
enum Order {
    Begin(Begin),
    /// The connection has ended.
    Forget(ConnectionId),
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Order::Begin(begin) => write!(f, "Begin({})", begin.link.id),
            Order::Forget(id) => write!(f, "Forget({id})"),
        }
    }
}

impl Handshakes {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None: the listener is closed.
    fn tls_of(&self, listener: ListenerId) -> Option<Arc<ServerTls>> {
        self.lock().listeners.get(&listener).map(|it| it.tls.0.clone())
    }

    /// None: the listener presents nothing any more. Its connections are told by their threads.
    pub(super) fn set_tls(&self, listener: ListenerId, tls: Option<&Arc<ServerTls>>) {
        let mut state = self.lock();
        match tls {
            None => drop(state.listeners.remove(&listener)),
            Some(tls) => {
                state.listeners.entry(listener).and_modify(|it| it.tls = Presented(tls.clone()));
            }
        }
    }

    /// The connection has ended before its handshake did.
    pub(super) fn forget(&self, id: ConnectionId) {
        self.push(Order::Forget(id));
    }

    fn push(&self, order: Order) {
        let mut state = self.lock();
        if let Some(waker) = state.waker.clone() {
            state.inbox.push(order);
            waker.wake();
        }
    }

    /// Begins a handshake; the first starts the thread.
    fn begin(&self, begin: Begin, shared: &Arc<Shared>) -> io::Result<()> {
        let mut state = self.lock();
        if state.stopping {
            return Err(io::Error::other("the data plane ends"));
        }
        if state.thread.is_none() {
            let waker = Arc::new(Waker::new()?);
            let mut runner = Runner::new(shared.clone(), waker.clone())?;
            let body = move || runner.run();
            state.thread = Some(thread::Builder::new().name("frevo-quic".into()).spawn(body)?);
            state.waker = Some(waker);
        }
        if let Some(listening) = begin.listener.and_then(|id| state.listeners.get_mut(&id)) {
            listening.handshakes += 1;
            if listening.handshakes >= HANDSHAKES_BEFORE_RETRY && !listening.validates {
                listening.validates = QuicSocket(listening.fd.as_raw_fd()).validate_addresses().is_ok();
            }
        }
        state.inbox.push(Order::Begin(begin));
        if let Some(waker) = &state.waker {
            waker.wake();
        }
        Ok(())
    }

    fn ended(&self, listener: Option<ListenerId>) {
        let Some(listener) = listener else { return };
        self.lock()
            .listeners
            .entry(listener)
            .and_modify(|it| it.handshakes = it.handshakes.saturating_sub(1));
    }

    /// Ends the thread.
    pub(super) fn stop(&self) {
        let thread = {
            let mut state = self.lock();
            state.stopping = true;
            if let Some(waker) = &state.waker {
                waker.wake();
            }
            state.thread.take()
        };
        thread.into_iter().for_each(|thread| drop(thread.join()));
        let mut state = self.lock();
        state.inbox.clear();
        state.listeners.clear();
    }
}
