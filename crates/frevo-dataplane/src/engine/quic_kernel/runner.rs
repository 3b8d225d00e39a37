//! The thread of the handshakes: an epoll of the sockets that are in theirs.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use super::super::carrier::Carrier;
use super::super::link::Link;
use super::super::queue::Waker;
use super::super::socket::{self, check};
use super::super::{Command, Shared};
use super::{Begin, KernelQuic, Order};
use crate::event::{ConnectionId, ListenerId, Reason};
use crate::quic::kernel::{Failure, Handshake, Progress};
use crate::quic::session::Secured;
use crate::stats::add;

/// Token of the eventfd of the inbox.
const WAKE: u64 = u64::MAX;

/// One that is under way.
struct Running {
    link: Arc<Link>,
    handshake: Handshake,
    listener: Option<ListenerId>,
    /// What epoll waits for.
    interest: u32,
}

/// What the thread has. No deadlines: the connection's thread has them, and says when an entry is gone.
pub(super) struct Runner {
    shared: Arc<Shared>,
    waker: Arc<Waker>,
    epoll: OwnedFd,
    running: HashMap<ConnectionId, Running>,
}

impl Runner {
    pub(super) fn new(shared: Arc<Shared>, waker: Arc<Waker>) -> io::Result<Runner> {
        // SAFETY: no pointers.
        let epoll = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: a new descriptor that nothing else owns.
        let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
        let runner = Runner { shared, waker, epoll, running: HashMap::new() };
        runner.control(libc::EPOLL_CTL_ADD, runner.waker.fd(), libc::EPOLLIN as u32, WAKE)?;
        Ok(runner)
    }

    fn control(&self, operation: libc::c_int, fd: RawFd, events: u32, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: token };
        // SAFETY: the event is read during the call only.
        check(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd, &mut event) }).map(drop)
    }

    /// Runs until it is told to stop.
    pub(super) fn run(&mut self) {
        // SAFETY: an all-zero epoll_event is valid.
        let mut events: [libc::epoll_event; 64] = unsafe { std::mem::zeroed() };
        loop {
            let count = socket::wait(self.epoll.as_raw_fd(), &mut events, None);
            self.waker.drain();
            let (orders, stopping) = {
                let mut state = self.shared.handshakes.lock();
                (std::mem::take(&mut state.inbox), state.stopping)
            };
            if stopping {
                return;
            }
            for order in orders {
                match order {
                    Order::Begin(begin) => self.begin(begin),
                    Order::Forget(id) => drop(self.take(id)),
                }
            }
            for event in &events[..count] {
                let token = event.u64;
                if token != WAKE {
                    self.advance(token);
                }
            }
        }
    }

    fn begin(&mut self, Begin { link, whose, listener }: Begin) {
        let Carrier::KernelQuic(carrier) = &link.carrier else { return };
        let (id, socket) = (link.id, carrier.socket());
        match Handshake::new(&whose, &socket) {
            Err(failure) => {
                self.shared.handshakes.ended(listener);
                self.fail(id, carrier, failure);
            }
            Ok(handshake) => {
                self.running.insert(id, Running { link, handshake, listener, interest: 0 });
                self.advance(id);
            }
        }
    }

    fn take(&mut self, id: ConnectionId) -> Option<Running> {
        let running = self.running.remove(&id)?;
        self.shared.handshakes.ended(running.listener);
        if let Carrier::KernelQuic(carrier) = &running.link.carrier {
            // Others may have the descriptor still.
            let _ = self.control(libc::EPOLL_CTL_DEL, carrier.socket().0, 0, id);
        }
        Some(running)
    }

    fn advance(&mut self, id: ConnectionId) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let link = running.link.clone();
        let Carrier::KernelQuic(carrier) = &link.carrier else { return };
        let socket = carrier.socket();
        let wanted = match running.handshake.advance(&socket) {
            Ok(Progress::WaitsForPeer) => libc::EPOLLIN as u32,
            Ok(Progress::WaitsForRoom) => libc::EPOLLOUT as u32,
            Ok(Progress::Done(secured)) => {
                self.take(id);
                return self.tell(id, Ok(secured));
            }
            Err(failure) => {
                self.take(id);
                return self.fail(id, carrier, failure);
            }
        };
        let before = std::mem::replace(&mut running.interest, wanted);
        let operation = if before == 0 { libc::EPOLL_CTL_ADD } else { libc::EPOLL_CTL_MOD };
        if before != wanted {
            if let Err(error) = self.control(operation, socket.0, wanted, id) {
                self.take(id);
                self.tell(id, Err(error.to_string().into()));
            }
        }
    }

    fn fail(&self, id: ConnectionId, carrier: &KernelQuic, failure: Failure) {
        if let Some(close) = &failure.close {
            carrier.socket().set_close(close);
        }
        self.tell(id, Err(failure.sentence.into()));
    }

    fn tell(&self, connection: ConnectionId, result: Result<Box<Secured>, Reason>) {
        if result.is_err() {
            add(&self.shared.stats.quic_handshakes_failed, 1);
        }
        self.shared.send(connection, Command::Handshaken { connection, result });
    }
}
