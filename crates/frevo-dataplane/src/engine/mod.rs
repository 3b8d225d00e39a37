//! Threads that move bytes for connections, and the handle by which the control plane drives them.
//!
//! Thread 0 owns the listeners; connections are dealt out in turn and stay on their thread. Commands reach a thread
//! in the order in which they were given. Events of all threads go into one queue with one eventfd.

mod admission;
mod carrier;
mod choice;
mod command;
mod config;
pub mod device;
mod epoll;
mod fair_queue;
mod link;
mod listener;
mod provided;
mod queue;
mod quic;
mod quic_kernel;
#[cfg(test)]
mod rung_tests;
mod socket;
#[doc(hidden)]
pub mod stepped;
mod table;
mod timers;
mod transfer;
mod transport;
mod uring;
mod workers;
#[cfg(test)]
mod write_rung_tests;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::thread::{self, JoinHandle};

use crate::attached::SessionOpens;
use crate::conn::direct::Status;
use crate::conn::{Role, Settings, Submission};
use crate::credits::Credits;
use crate::crypto::SessionKeys;
use crate::event::{ConnectionId, Event, ListenerId};
use crate::framing::Framing;
use crate::ladder::{Ladder, Splicing, WriteRung};
use crate::limits::Limits;
use crate::pump::{self, PumpId};
use crate::quic::client::ClientTls;
use crate::quic::server::ServerTls;
use crate::stats::{add, Stats};

use admission::Recent;
use carrier::Carrier;
pub use choice::{choose, Choice};
pub(crate) use command::{Accepted, Command};
pub use config::Config;
use link::{Change, Link};
use listener::Door;
pub use queue::Waker;
use queue::{CommandQueue, EventQueue};
#[doc(hidden)]
pub use quic::wire;
pub use transport::Transport;
use workers::Workers;

/// What all threads of a data plane see.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) limits: Arc<Limits>,
    /// What the control plane counts, and connections.
    pub(crate) stats: Arc<Stats>,
    /// What each thread counts: no two write to the same memory. Only sums mean something, as one thread may take away what
    /// another has added.
    pub(crate) stats_of: Vec<Arc<Stats>>,
    pub(crate) fast_echo: Arc<AtomicBool>,
    pub(crate) role: Role,
    pub(crate) ladder: Ladder,
    pub(crate) write_ladder: Ladder<WriteRung>,
    pub(crate) splicing: Splicing,
    /// Why a ring knows no memory for large WRITEs.
    pub(crate) not_registered: OnceLock<String>,
    pub(crate) events: EventQueue,
    pub(crate) queues: Vec<CommandQueue>,
    pub(crate) workers: Workers,
    links: RwLock<HashMap<ConnectionId, Arc<Link>>>,
    next_connection: AtomicU64,
    next_listener: AtomicU64,
    next_pump: AtomicU64,
    recent: Recent,
    handshakes: quic_kernel::Handshakes,
    /// By thread: datagrams that others have received for it.
    handed_on: Vec<AtomicUsize>,
    stopping: AtomicBool,
}

impl Shared {
    /// Hands a connected socket to the thread that is to have it: the remainder of the connection's number says which.
    pub(crate) fn adopt(
        self: &Arc<Shared>,
        fd: OwnedFd,
        transport: Transport,
        accepted: Option<Accepted>,
    ) -> ConnectionId {
        let id = self.next_connection.fetch_add(1, Ordering::Relaxed);
        if self.is_stopping() {
            return id;
        }
        socket::prepare(fd.as_raw_fd());
        if accepted.is_none() {
            add(&self.stats.connections, 1);
            socket::keep_alive(fd.as_raw_fd());
        }
        let link = self.new_link(id, Carrier::of(fd), transport);
        self.send(id, Command::Adopt { link, accepted });
        id
    }

    /// A number for a connection that is to live on a thread.
    fn number_for(&self, thread: usize) -> ConnectionId {
        loop {
            let id = self.next_connection.fetch_add(1, Ordering::Relaxed);
            if self.thread_of(id) == thread {
                return id;
            }
        }
    }

    /// None: the connection has ended.
    fn link(&self, connection: ConnectionId) -> Option<Arc<Link>> {
        self.links.read().unwrap_or_else(PoisonError::into_inner).get(&connection).cloned()
    }

    /// False: the connection has ended.
    fn change(&self, connection: ConnectionId, change: Change) -> bool {
        let Some(link) = self.link(connection) else { return false };
        let posted = link.post(change);
        link.settle(self);
        posted
    }

    /// Queues a command for the thread of a connection.
    pub(crate) fn send(&self, connection: ConnectionId, command: Command) {
        if !self.stopping.load(Ordering::SeqCst) {
            self.queue_of(connection).push(command);
        }
    }

    /// True once the shutdown has begun.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn all_stats(&self) -> impl Iterator<Item = &Stats> {
        self.stats_of.iter().chain([&self.stats]).map(Arc::as_ref)
    }

    /// Connections that have not authenticated.
    fn unauthenticated(&self) -> usize {
        let gauges = self.all_stats().map(|stats| stats.unauthenticated.load(Ordering::Relaxed));
        // Less than none where a thread was seen to take away what another was not yet seen to have added.
        usize::try_from(gauges.fold(0, u64::wrapping_add) as i64).unwrap_or(0)
    }

    fn queue_of(&self, connection: ConnectionId) -> &CommandQueue {
        &self.queues[self.thread_of(connection)]
    }

    fn thread_of(&self, connection: ConnectionId) -> usize {
        (connection % self.queues.len() as u64) as usize
    }
}

/// A running data plane. Dropping it shuts it down.
#[derive(Debug)]
pub struct DataPlane {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    choice: Choice,
}

/// What a thread does until it is told to stop.
type Body = Box<dyn FnOnce() + Send>;

impl DataPlane {
    /// Starts the threads. The engine "uring" is refused where it does not exist.
    pub fn start(config: Config) -> io::Result<DataPlane> {
        let mut choice = choose(&config.engine)?;
        let mut shared = DataPlane::share(config.clone(), choice.engine)?;
        let bodies = match bodies(choice.engine, &shared) {
            Err(error) if choice.engine == "uring" => {
                let why = crate::ring::features::reason(&error);
                if config.engine != "auto" {
                    return Err(choice::refused(&why));
                }
                choice = Choice { engine: "epoll", reason: format!("io_uring is not available: {why}") };
                shared = DataPlane::share(config, "epoll")?;
                bodies("epoll", &shared)?
            }
            other => other?,
        };
        let plane = DataPlane { shared, threads: Mutex::default(), choice };
        for (index, body) in bodies.into_iter().enumerate() {
            let handle = thread::Builder::new().name(format!("frevo-io-{index}")).spawn(body)?;
            plane.threads.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
        }
        Ok(plane)
    }

    /// What the threads have in common.
    fn share(config: Config, engine: &str) -> io::Result<Arc<Shared>> {
        let (ladder, write_ladder) = choice::ladders(&config, engine)?;
        let count = config.threads.clamp(1, 256);
        let queues = (0..count).map(|_| CommandQueue::new()).collect::<io::Result<Vec<_>>>()?;
        Ok(Arc::new(Shared {
            workers: Workers::new(config.limits.workers.max(1)),
            limits: Arc::new(config::within_descriptors(config.limits)),
            stats: Arc::default(),
            stats_of: (0..count).map(|_| Arc::default()).collect(),
            fast_echo: Arc::new(AtomicBool::new(true)),
            role: config.role,
            ladder,
            write_ladder,
            splicing: config.splicing,
            not_registered: OnceLock::new(),
            events: EventQueue::new()?,
            queues,
            links: RwLock::default(),
            next_connection: AtomicU64::new(1),
            next_listener: AtomicU64::new(1),
            next_pump: AtomicU64::new(1),
            recent: Recent::default(),
            handshakes: quic_kernel::Handshakes::default(),
            handed_on: (0..count).map(|_| AtomicUsize::new(0)).collect(),
            stopping: AtomicBool::new(false),
        }))
    }

    /// The engine that runs.
    pub fn engine(&self) -> &'static str {
        self.choice.engine
    }

    /// Why that engine runs, one sentence.
    pub fn engine_reason(&self) -> &str {
        &self.choice.reason
    }

    /// How large answers leave, and why not otherwise.
    pub fn ladder(&self) -> &Ladder {
        &self.shared.ladder
    }

    /// How the data of large WRITEs come, and why not otherwise.
    pub fn write_ladder(&self) -> Ladder<WriteRung> {
        self.shared.write_ladder.without_memory(self.shared.not_registered.get())
    }

    /// Readable when [`DataPlane::poll`] has something.
    pub fn event_fd(&self) -> RawFd {
        self.shared.events.fd()
    }

    /// Takes a listening socket; its connections are accepted from now on.
    pub fn listen(&self, fd: OwnedFd, transport: impl Into<Transport>) -> ListenerId {
        let listener = self.new_listener();
        let transport = transport.into();
        self.shared.send(0, Command::Listen { listener, door: Door::Socket(fd), transport });
        listener
    }

    fn new_listener(&self) -> ListenerId {
        self.shared.next_listener.fetch_add(1, Ordering::Relaxed)
    }

    /// Stops to accept; connections stay.
    pub fn close_listener(&self, listener: ListenerId) {
        self.shared.send(0, Command::CloseListener(listener));
        self.order_all(listener, None);
    }

    /// Accepts SMB over QUIC on bound UDP sockets of one address and port, one for each thread. An error: there are not as
    /// many, or one of them is none.
    pub fn listen_quic(&self, sockets: Vec<OwnedFd>, tls: Arc<ServerTls>) -> io::Result<ListenerId> {
        let threads = self.shared.queues.len();
        if sockets.len() != threads {
            let text = format!("{} sockets for {threads} I/O threads", sockets.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let listener = self.new_listener();
        if threads > 1 {
            // Where it is not allowed the threads hand on what is not their own.
            let _ = quic::steer(sockets[0].as_raw_fd(), threads);
        }
        for (queue, fd) in self.shared.queues.iter().zip(sockets) {
            queue.push(Command::Quic(quic::Order::Listen { listener, fd, tls: tls.clone() }));
        }
        Ok(listener)
    }

    /// What a QUIC listener presents and demands from now on. Connections of clients that it would not let in end.
    pub fn set_quic_tls(&self, listener: ListenerId, tls: Arc<ServerTls>) {
        self.order_all(listener, Some(&tls));
    }

    fn order_all(&self, listener: ListenerId, tls: Option<&Arc<ServerTls>>) {
        self.shared.handshakes.set_tls(listener, tls);
        for queue in &self.shared.queues {
            queue.push(Command::Quic(quic::Order::SetTls { listener, tls: tls.cloned() }));
        }
    }

    /// Connects to `peer` over QUIC from an unconnected UDP socket: [`Event::Secured`] follows, or [`Event::Closed`].
    pub fn connect_quic(&self, fd: OwnedFd, peer: SocketAddr, tls: Arc<ClientTls>) -> ConnectionId {
        let connection = self.shared.next_connection.fetch_add(1, Ordering::Relaxed);
        add(&self.shared.stats.connections, 1);
        let link = self.shared.new_link(connection, Carrier::Quic, Framing::Tcp);
        self.shared.send(connection, Command::Adopt { link, accepted: None });
        self.shared.send(connection, Command::Quic(quic::Order::Dial { connection, fd, peer, tls }));
        connection
    }

    /// Takes a connected stream socket.
    pub fn adopt(&self, fd: OwnedFd, transport: impl Into<Transport>) -> ConnectionId {
        self.shared.adopt(fd, transport.into(), None)
    }

    /// Up to `limit` events, oldest first. The eventfd stays readable when there are more.
    pub fn poll(&self, limit: usize) -> Vec<Event> {
        self.shared.events.take(limit, false)
    }

    /// As [`DataPlane::poll`], by a caller who asks again until nothing comes, or says [`DataPlane::rest`]: until then
    /// new events do not make the eventfd readable.
    pub fn poll_on(&self, limit: usize) -> Vec<Event> {
        self.shared.events.take(limit, true)
    }

    /// Ends what [`DataPlane::poll_on`] began.
    pub fn rest(&self) {
        self.shared.events.rest();
    }

    /// Sends messages, in order. What is small and can be sent at once is sent by this call.
    pub fn submit(&self, batch: Vec<(ConnectionId, Submission)>) {
        let mut links: Vec<Arc<Link>> = Vec::with_capacity(batch.len());
        for (connection, submission) in batch {
            if links.last().is_none_or(|link| link.id != connection) {
                links.extend(self.shared.link(connection));
            }
            if let Some(link) = links.last().filter(|link| link.id == connection) {
                link.post(Change::Submit(submission));
            }
        }
        links.iter().for_each(|link| link.settle(&self.shared));
    }

    /// Gives a session its keys on a connection, and its attached opens.
    pub fn set_session(
        &self,
        connection: ConnectionId,
        session_id: u64,
        keys: Arc<SessionKeys>,
        opens: Arc<SessionOpens>,
    ) {
        self.shared.change(connection, Change::SetSession(session_id, keys, opens));
    }

    /// Takes them back.
    pub fn drop_session(&self, connection: ConnectionId, session_id: u64) {
        self.shared.change(connection, Change::DropSession(session_id));
    }

    /// Its bounds.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// Says what was negotiated.
    pub fn set_connection(&self, connection: ConnectionId, settings: Settings) {
        self.shared.change(connection, Change::SetSettings(settings));
    }

    /// Says where a client connection's responses put the credits that they grant.
    pub fn set_credits(&self, connection: ConnectionId, credits: Arc<Credits>) {
        self.shared.change(connection, Change::SetCredits(credits));
    }

    /// A number for a new pump.
    pub fn new_pump(&self) -> PumpId {
        self.shared.next_pump.fetch_add(1, Ordering::Relaxed)
    }

    /// Starts a pump on a client connection; [`Event::Pump`] reports its end.
    pub fn pump(&self, connection: ConnectionId, settings: pump::Settings) {
        let id = settings.id;
        if !self.shared.change(connection, Change::Pump(Box::new(settings))) {
            let lost = Event::Pump { connection, pump: id, end: pump::End::Lost };
            self.shared.events.push(&mut vec![lost]);
        }
    }

    /// Ends a pump when what it has in flight is answered, or `now`.
    pub fn stop_pump(&self, connection: ConnectionId, pump: PumpId, now: bool) {
        self.shared.change(connection, Change::StopPump(pump, now));
    }

    /// Whether ECHO is answered without the control plane (it is, from the start).
    pub fn fast_echo(&self, on: bool) {
        self.shared.fast_echo.store(on, Ordering::Relaxed);
    }

    /// Closes a connection: what is queued is sent first unless `abort`.
    pub fn close(&self, connection: ConnectionId, abort: bool) {
        self.shared.send(connection, Command::Close { connection, abort });
    }

    /// How the SMB Direct of a connection is, at most a second old. None: it has none, or has ended.
    pub fn smb_direct(&self, connection: ConnectionId) -> Option<Status> {
        self.shared.link(connection)?.direct()
    }

    /// The counters.
    pub fn statistics(&self) -> Vec<(&'static str, u64)> {
        Stats::sums(&self.shared.all_stats().collect::<Vec<_>>())
    }

    /// Tries to send what is queued, closes everything and joins the threads. Once is enough, twice does not hurt.
    pub fn shutdown(&self) {
        if self.shared.stopping.swap(true, Ordering::SeqCst) {
            return;
        }
        self.shared.workers.stop();
        self.shared.handshakes.stop();
        self.shared.queues.iter().for_each(|queue| queue.push(Command::Stop));
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        threads.into_iter().for_each(|thread| drop(thread.join()));
        // Commands that came too late own descriptors and gate passes.
        self.shared.queues.iter().for_each(|queue| drop(queue.take()));
        self.shared.links.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The threads of an engine, not started yet.
fn bodies(engine: &str, shared: &Arc<Shared>) -> io::Result<Vec<Body>> {
    let body = |index: usize| -> io::Result<Body> {
        let shared = shared.clone();
        if engine == "uring" {
            let thread = uring::Thread::new(index, shared)?;
            return Ok(Box::new(move || thread.run()));
        }
        let thread = epoll::Thread::new(index, shared)?;
        Ok(Box::new(move || thread.run()))
    };
    (0..shared.queues.len()).map(body).collect()
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        self.shutdown();
    }
}
