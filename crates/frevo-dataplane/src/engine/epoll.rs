//! The epoll engine: level-triggered readiness, one receive and one send per wake-up where possible.
//!
//! Level triggering costs nothing here, since a connection is nearly always read until it is empty, and it makes a
//! paused connection simple: its interest is taken away and given back.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::carrier::Socket;
use super::link::Core;
use super::listener::Listeners;
use super::quic::PortId;
use super::socket::{self, check};
use super::table::Table;
use super::transfer::{self, SCRATCH_BYTES};
use super::{Command, Shared};
use crate::event::{ConnectionId, ListenerId, Reason};

const READ: u32 = libc::EPOLLIN as u32;
const WRITE: u32 = libc::EPOLLOUT as u32;
/// Told when more becomes possible, not while it is. See [`wanted`].
const EDGE: u32 = libc::EPOLLET as u32;
const GONE: u32 = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
/// Token of the eventfd of the command queue.
const WAKE: u64 = u64::MAX;
/// Tokens with this bit are listeners.
const LISTENER: u64 = 1 << 63;
/// Tokens with these bits are UDP ports.
const PORT: u64 = 3 << 62;

/// One I/O thread.
pub(super) struct Thread {
    index: usize,
    shared: Arc<Shared>,
    epoll: OwnedFd,
    table: Table,
    listeners: Listeners,
    /// Listeners without resources, asked again at the next tick.
    resting: Vec<ListenerId>,
    scratch: Box<[u8]>,
    stopping: bool,
}

impl Thread {
    pub(super) fn new(index: usize, shared: Arc<Shared>) -> io::Result<Thread> {
        // SAFETY: no pointers.
        let epoll = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        let thread = Thread {
            index,
            // SAFETY: a new descriptor that nothing else owns.
            epoll: unsafe { OwnedFd::from_raw_fd(epoll) },
            table: Table::new(index, shared.clone(), Instant::now()),
            listeners: Listeners::new(),
            resting: Vec::new(),
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            stopping: false,
            shared,
        };
        thread.control(libc::EPOLL_CTL_ADD, thread.shared.queues[index].waker().fd(), READ, WAKE)?;
        Ok(thread)
    }

    /// Runs until [`Command::Stop`].
    pub(super) fn run(mut self) {
        // SAFETY: an all-zero epoll_event is valid.
        let mut events: [libc::epoll_event; 256] = unsafe { std::mem::zeroed() };
        while !self.stopping {
            let count = self.wait(&mut events);
            self.table.host.now = Instant::now();
            // Commands first: those that were given before the data was sent count for it.
            for command in self.shared.queues[self.index].take() {
                self.command(command);
            }
            for event in &events[..count] {
                let (token, readiness) = (event.u64, event.events);
                match token {
                    WAKE => self.shared.queues[self.index].waker().drain(),
                    token if token & PORT == PORT => self.port(token & !PORT, readiness),
                    token if token & LISTENER != 0 => self.accept(token & !LISTENER),
                    id => self.ready(id, readiness),
                }
            }
            self.on_time();
            self.table.advance_quic();
            self.look_after();
            self.table.flush_quic();
            self.watch_ports();
            self.table.deliver();
        }
        self.finish();
    }

    fn wait(&self, events: &mut [libc::epoll_event]) -> usize {
        let queue = &self.shared.queues[self.index];
        let timeout = match queue.may_sleep() && !self.table.is_busy() {
            false => Some(Duration::ZERO),
            true => self.table.timers.next().map(|at| at.saturating_duration_since(Instant::now())),
        };
        let count = socket::wait(self.epoll.as_raw_fd(), events, timeout);
        queue.awake();
        count
    }

    fn control(&self, operation: libc::c_int, fd: RawFd, events: u32, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: token };
        // SAFETY: the event is read during the call only.
        check(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd, &mut event) }).map(drop)
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Listen { listener, door, transport } => {
                let raw = self.listeners.add(listener, door, transport);
                if self.control(libc::EPOLL_CTL_ADD, raw, READ, LISTENER | listener).is_err() {
                    self.listeners.remove(listener);
                }
            }
            Command::CloseListener(listener) => self.listeners.remove(listener),
            Command::Adopt { link, accepted } => {
                let id = link.id;
                self.table.adopt(link, accepted);
                self.watch(id);
            }
            Command::Handshaken { connection, result } => {
                if self.table.handshaken(connection, result) {
                    self.watch(connection);
                }
            }
            Command::Stop => self.stopping = true,
            other => self.table.command(other),
        }
    }

    /// Waits for a new connection, if it has a socket to wait for.
    fn watch(&mut self, id: ConnectionId) {
        let Some(entry) = self.table.entries.get_mut(&id) else { return };
        let Some(socket) = entry.link.carrier.socket() else { return self.table.mark(id) };
        entry.interest = READ;
        match self.control(libc::EPOLL_CTL_ADD, socket.fd, READ, id) {
            Ok(()) => self.table.mark(id),
            Err(error) => self.table.close(id, error.to_string().into()),
        }
    }

    /// A UDP port is ready.
    fn port(&mut self, id: PortId, readiness: u32) {
        if readiness & WRITE != 0 {
            self.table.quic.writable(id);
        }
        if readiness & !WRITE != 0 {
            self.table.host.now = Instant::now();
            self.table.quic_readable(id);
        }
    }

    /// Waits for UDP ports as they want it.
    fn watch_ports(&mut self) {
        for id in std::mem::take(&mut self.table.quic.changed) {
            if self.table.quic.remove_done(id).is_some() {
                continue; // closed, and epoll forgets it
            }
            let Some(port) = self.table.quic.port(id) else { continue };
            let wanted = READ | if port.is_blocked() { WRITE } else { 0 };
            let before = std::mem::replace(&mut port.interest, wanted);
            let fd = port.descriptor();
            let operation = if before == 0 { libc::EPOLL_CTL_ADD } else { libc::EPOLL_CTL_MOD };
            if before != wanted {
                let _ = self.control(operation, fd, wanted, PORT | id);
            }
        }
    }

    fn accept(&mut self, listener: ListenerId) {
        let result = {
            let Table { admission, host, .. } = &mut self.table;
            self.listeners.accept(listener, &self.shared, admission, &mut host.events)
        };
        if result.is_err() {
            if let Some(fd) = self.listeners.fd(listener) {
                let _ = self.control(libc::EPOLL_CTL_MOD, fd, 0, LISTENER | listener);
                self.resting.push(listener);
                self.table.keep_ticking();
            }
        }
    }

    fn ready(&mut self, id: ConnectionId, readiness: u32) {
        let Some(entry) = self.table.entries.get_mut(&id) else { return };
        let reads = entry.interest & READ != 0;
        let result = match readiness {
            _ if readiness & READ != 0 && reads => {
                entry.interest &= !EDGE; // what stays unread is told again
                let host = &mut self.table.host;
                host.now = Instant::now();
                let core = &mut entry.link.lock(host);
                let socket = entry.link.carrier.socket();
                socket
                    .map_or(Ok(0), |mut socket| transfer::receive(&mut socket, core, host, &mut self.scratch))
                    .map(drop)
            }
            _ if readiness & GONE != 0 => Err(Reason::Borrowed("connection reset by the peer")),
            _ => Ok(()),
        };
        match result {
            Ok(()) => self.table.mark(id),
            Err(reason) => self.table.close(id, reason),
        }
    }

    /// Goes on with every connection to which something has happened: input that waited, output, interest, closing.
    fn look_after(&mut self) {
        for id in self.table.take_dirty() {
            if let Err(reason) = self.go_on(id) {
                self.table.close(id, reason);
            }
        }
    }

    fn go_on(&mut self, id: ConnectionId) -> Result<(), Reason> {
        let Some(entry) = self.table.entries.get_mut(&id) else { return Ok(()) };
        let link = entry.link.clone();
        let Some(mut socket) = link.carrier.socket() else { return self.table.go_on(id, &mut self.scratch) };
        let mut core = link.lock(&mut self.table.host);
        if let Some(reason) = core.failed.take() {
            return Err(reason);
        }
        transfer::pump(&mut socket, &mut core, &mut self.table.host)?;
        let ends = core.is_closing() && core.is_flushed();
        core.parked = core.is_deaf(&self.shared.limits) && !ends && entry.lingering.is_none();
        let wanted = wanted(socket, &mut core);
        let changed = std::mem::replace(&mut entry.interest, wanted) != wanted;
        self.table.remind(id, core.due());
        if ends {
            self.table.linger(id, &mut core);
        }
        if changed {
            let result = self.control(libc::EPOLL_CTL_MOD, socket.fd, wanted, id);
            return result.map_err(|error| error.to_string().into());
        }
        Ok(())
    }

    fn on_time(&mut self) {
        if !self.table.on_time() {
            return;
        }
        for listener in std::mem::take(&mut self.resting) {
            if let Some(fd) = self.listeners.fd(listener) {
                let _ = self.control(libc::EPOLL_CTL_MOD, fd, READ, LISTENER | listener);
            }
        }
    }

    /// Last chance for queued output, then everything closes with the thread.
    fn finish(mut self) {
        self.table.end_all(&mut self.scratch);
    }
}

/// What to wait for. A QUIC socket of the kernel is writable while the peer's window for the connection is open; when that
/// for the stream is not, it takes nothing all the same.
fn wanted(socket: Socket, core: &mut Core) -> u32 {
    let read = if core.parked { 0 } else { READ };
    match core.output().is_waiting() {
        true if socket.quic_client.is_some() => read | WRITE | EDGE,
        true => read | WRITE,
        false => read,
    }
}
