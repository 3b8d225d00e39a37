//! The io_uring engine: one ring per thread, one kernel entry per turn.
//!
//! - Small messages arrive by multishot RECV into provided buffers: no system call per receive, and an idle connection
//!   owns no memory. Once a large message is on its way, the connection changes to readiness (POLL) and receives
//!   straight into that message's buffer, which saves a copy; it changes back when the messages get small again.
//! - When several connections have small answers, they leave by SEND in the kernel entry that waits for the next
//!   requests. A single one, large ones and several pieces leave at once by sendmsg, with POLL when the socket is full.
//! - Where it was asked for, the kernel sends large pieces by itself (`large_sends`).
//! - File reads that would block become READs of the ring instead of work for threads.
//! - Operations refer to descriptors by number until they are submitted, which may be a turn later when the kernel is
//!   short of memory, and a SEND reads the connection's output. What was armed on a closed connection is cancelled, and
//!   the connection keeps its socket, whose number is nobody else's meanwhile, until all of it has completed.

mod arming;
mod file_reads;
mod fixed_writes;
mod large_sends;
mod token;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arming::{ARMED, BULK, ENDING, POLL_IN, POLL_OUT, RECV, SEND, SEND_BYTES, SMALL_ONE};
use file_reads::{FileRead, READS_MAX};
use fixed_writes::FileWrite;
use large_sends::LargeSend;
use token::{token, Kind, KINDS, NUMBER_BITS, NUMBER_MASK};

use io_uring::{cqueue, opcode, squeue, types, IoUring};

use super::carrier::Socket;
use super::fair_queue::FairQueue;
use super::listener::Listeners;
use super::provided::{Provided, GROUP};
use super::table::{Entry, Table};
use super::transfer::{self, SCRATCH_BYTES};
use super::{Command, Shared};
use crate::event::{ConnectionId, ListenerId, Reason};
use crate::file_job::FileJob;
use crate::ladder::WriteRung;
use crate::stats::add;

/// A receive of fewer bytes is small.
const SMALL_BYTES: usize = 8 * 1024;
/// So many small receives in a row end BULK; small requests between large messages should not.
const SMALL_IN_A_ROW: u32 = 16;

/// Submission slots; when they are full, they are handed over early.
const ENTRIES: u32 = 512;
/// Completion slots; the kernel keeps what does not fit.
const COMPLETIONS: u32 = 4096;
/// How long a stopping thread waits for the operations it has cancelled.
const DRAIN: Duration = Duration::from_secs(5);

/// One I/O thread.
pub(super) struct Thread {
    index: usize,
    shared: Arc<Shared>,
    uring: IoUring,
    provided: Provided,
    table: Table,
    listeners: Listeners,
    /// Listeners to poll (again) at the end of the turn.
    unpolled: Vec<ListenerId>,
    /// Listeners without resources, asked again at the next tick.
    resting: Vec<ListenerId>,
    reads: HashMap<u64, FileRead>,
    waiting_reads: FairQueue<FileJob>,
    writes: HashMap<u64, FileWrite>,
    waiting_writes: FairQueue<FileJob>,
    /// Closed connections on which operations are under way.
    ending: HashMap<ConnectionId, Entry>,
    next_read: u64,
    /// Pieces of output that the kernel has.
    larges: HashMap<u64, LargeSend>,
    next_large: u64,
    /// Operations in the kernel that have not completed for good, cancellations not counted.
    outstanding: usize,
    scratch: Box<[u8]>,
    stopping: bool,
}

impl Thread {
    pub(super) fn new(index: usize, shared: Arc<Shared>) -> io::Result<Thread> {
        let uring = build()?;
        let provided = Provided::register(&uring)?;
        let mut table = Table::new(index, shared.clone(), Instant::now());
        table.gone = Some(Vec::new());
        if shared.write_ladder.rung == WriteRung::Fixed {
            match fixed_writes::register(&uring) {
                Ok(arena) => table.host.arena = Some(arena),
                Err(error) => drop(shared.not_registered.set(crate::ring::features::reason(&error))),
            }
        }
        Ok(Thread {
            index,
            uring,
            provided,
            table,
            listeners: Listeners::new(),
            unpolled: Vec::new(),
            resting: Vec::new(),
            reads: HashMap::new(),
            waiting_reads: FairQueue::new(READS_MAX),
            writes: HashMap::new(),
            waiting_writes: FairQueue::new(READS_MAX),
            ending: HashMap::new(),
            next_read: 0,
            larges: HashMap::new(),
            next_large: 0,
            outstanding: 0,
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
            stopping: false,
            shared,
        })
    }

    /// Runs until [`Command::Stop`].
    pub(super) fn run(mut self) {
        // The ring was made in another thread and belongs to the one that enables it.
        let enabled = self.uring.submitter().register_enable_rings();
        assert!(enabled.is_ok(), "enabling a ring fails only on a mistake of ours: {enabled:?}");
        self.poll_waker();
        let mut done = Vec::with_capacity(256);
        while !self.stopping {
            self.enter();
            self.table.host.now = Instant::now();
            done.extend(self.uring.completion());
            // Commands first: those that were given before the data was sent count for it.
            for command in self.shared.queues[self.index].take() {
                self.command(command);
            }
            for completion in done.drain(..) {
                self.completed(&completion);
            }
            self.provided.publish();
            self.on_time();
            self.table.advance_quic();
            self.look_after();
            self.table.flush_quic();
            self.poll_ports();
            self.deliver();
            self.cancel_gone();
            self.poll_listeners();
        }
        self.finish();
    }

    /// Hands over what was armed and waits for a completion, if there is nothing else to do.
    fn enter(&mut self) {
        let queue = &self.shared.queues[self.index];
        let may_sleep = queue.may_sleep() && !self.table.is_busy();
        let next = self.table.timers.next();
        let timeout = next.map(|at| types::Timespec::from(at.saturating_duration_since(Instant::now())));
        let mut arguments = types::SubmitArgs::new();
        if let Some(timeout) = &timeout {
            arguments = arguments.timespec(timeout);
        }
        // Errors: ETIME and EINTR are ends of waiting, EBUSY and EAGAIN leave the rest for the next turn.
        let _ = self.uring.submitter().submit_with_args(usize::from(may_sleep), &arguments);
        queue.awake();
    }

    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: what entries point to (provided buffers, buffers of `reads`) lives until their completion; the
        // timespec of a wait is not an entry.
        while unsafe { self.uring.submission().push(entry) }.is_err() {
            if self.uring.submit().is_err() {
                std::thread::yield_now(); // the kernel is out of memory for a moment
            }
        }
    }

    /// `push` for operations that complete later.
    fn arm(&mut self, entry: squeue::Entry, kind: Kind, number: u64) {
        self.outstanding += 1;
        self.push(&entry.user_data(token(kind, number)));
    }

    fn cancel(&mut self, kind: Kind, number: u64) {
        let entry = opcode::AsyncCancel::new(token(kind, number)).build();
        self.push(&entry.user_data(token(Kind::Cancel, 0)));
    }

    fn poll_waker(&mut self) {
        let fd = types::Fd(self.shared.queues[self.index].waker().fd());
        let entry = opcode::PollAdd::new(fd, libc::POLLIN as u32).multi(true).build();
        self.arm(entry, Kind::Wake, 0);
    }

    fn poll_listeners(&mut self) {
        for listener in std::mem::take(&mut self.unpolled) {
            if let Some(fd) = self.listeners.fd(listener) {
                let entry = opcode::PollAdd::new(types::Fd(fd), libc::POLLIN as u32).build();
                self.arm(entry, Kind::Listener, listener);
            }
        }
    }

    fn completed(&mut self, completion: &cqueue::Entry) {
        let number = completion.user_data() & NUMBER_MASK;
        let kind = KINDS[(completion.user_data() >> NUMBER_BITS) as usize];
        let more = cqueue::more(completion.flags());
        if ends(kind, completion) {
            self.outstanding -= 1;
        }
        match kind {
            Kind::Wake => {
                self.shared.queues[self.index].waker().drain();
                if !more {
                    self.poll_waker();
                }
            }
            Kind::Listener => self.accept(number),
            Kind::Receive => self.received(number, completion),
            Kind::Readable => self.readable(number),
            Kind::Writable => {
                let ended = if more { 0 } else { POLL_OUT };
                if let Some(entry) = self.table.entries.get_mut(&number) {
                    entry.interest &= !ended;
                    self.table.mark(number);
                } else {
                    self.completed_late(number, ended);
                }
            }
            Kind::Sent => self.sent(number, completion.result()),
            Kind::LargeSent => self.large_sent(number, completion),
            Kind::FileRead => self.file_read(number, completion.result()),
            Kind::FileWrite => self.file_written(number, completion.result()),
            Kind::Cancel => (),
            Kind::PortReadable => {
                self.port_polled(number, POLL_IN);
                self.table.host.now = Instant::now();
                self.table.quic_readable(number);
            }
            Kind::PortWritable => {
                self.port_polled(number, POLL_OUT);
                self.table.quic.writable(number);
            }
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Listen { listener, door, transport } => {
                self.listeners.add(listener, door, transport);
                self.unpolled.push(listener);
            }
            Command::CloseListener(listener) => {
                self.listeners.remove(listener);
                self.cancel(Kind::Listener, listener);
            }
            Command::Adopt { link, accepted } => {
                let id = link.id;
                self.table.adopt(link, accepted);
                self.table.mark(id);
            }
            Command::Stop => self.stopping = true,
            other => self.table.command(other),
        }
    }

    fn accept(&mut self, listener: ListenerId) {
        let Table { admission, host, .. } = &mut self.table;
        match self.listeners.accept(listener, &self.shared, admission, &mut host.events) {
            Ok(()) => self.unpolled.push(listener),
            Err(_) => {
                self.resting.push(listener);
                self.table.keep_ticking();
            }
        }
    }

    /// Bytes in a provided buffer, or the end of the multishot receive.
    fn received(&mut self, id: ConnectionId, completion: &cqueue::Entry) {
        let buffer = cqueue::buffer_select(completion.flags());
        let mut result = Ok(());
        if let Some(entry) = self.table.entries.get_mut(&id) {
            if !cqueue::more(completion.flags()) {
                entry.interest &= !(RECV | ENDING);
            }
            let host = &mut self.table.host;
            host.now = Instant::now();
            let mut core = entry.link.lock(host);
            result = match (completion.result(), buffer) {
                (count @ 1.., Some(buffer)) => core.feed(self.provided.filled(buffer, count as usize), host),
                (0, _) => Err(Reason::Borrowed("closed by the peer")),
                (error, _) => ended(-error),
            };
            if result.is_ok() && core.is_direct() {
                entry.interest |= BULK;
            }
        } else if !cqueue::more(completion.flags()) {
            self.completed_late(id, RECV);
        }
        if let Some(buffer) = buffer {
            self.provided.give_back(buffer);
        }
        self.settle(id, result);
    }

    /// The socket of a connection with large messages has something.
    fn readable(&mut self, id: ConnectionId) {
        let Some(entry) = self.table.entries.get_mut(&id) else { return self.completed_late(id, POLL_IN) };
        entry.interest &= !POLL_IN;
        let Some(mut socket) = entry.link.carrier.socket() else { return };
        let host = &mut self.table.host;
        host.now = Instant::now();
        let mut core = entry.link.lock(host);
        if core.is_deaf(&host.limits) && entry.lingering.is_none() {
            drop(core);
            return self.table.mark(id); // armed again when it may be read again
        }
        let result = transfer::receive(&mut socket, &mut core, host, &mut self.scratch).map(|received| {
            if received >= SMALL_BYTES || core.is_direct() {
                entry.interest %= SMALL_ONE;
            } else {
                entry.interest += SMALL_ONE;
            }
            if entry.interest / SMALL_ONE >= SMALL_IN_A_ROW {
                entry.interest = (entry.interest % SMALL_ONE) & !BULK;
            }
        });
        drop(core);
        self.settle(id, result);
    }

    /// The kernel has sent (some of) the front of the output.
    fn sent(&mut self, id: ConnectionId, result: i32) {
        let Some(entry) = self.table.entries.get_mut(&id) else { return self.completed_late(id, SEND) };
        entry.interest &= !SEND;
        let host = &mut self.table.host;
        let mut core = entry.link.lock(host);
        core.output().set_busy(false);
        let outcome = match usize::try_from(result) {
            Ok(count) => {
                add(&host.stats.bytes_sent, count as u64);
                core.output().advance(count, &mut host.pool);
                Ok(())
            }
            Err(_) => ended(-result),
        };
        drop(core);
        self.settle(id, outcome);
    }

    /// An operation of a connection that was closed meanwhile has ended; the last one lets the socket go.
    fn completed_late(&mut self, id: ConnectionId, bit: u32) {
        if let Some(entry) = self.ending.get_mut(&id) {
            entry.interest &= !bit;
            if entry.interest & ARMED == 0 {
                self.ending.remove(&id);
            }
        } else {
            // Closed in this very turn, `cancel_gone` has not seen it yet.
            let gone = self.table.gone.iter_mut().flatten();
            gone.filter(|(number, _)| *number == id).for_each(|(_, entry)| entry.interest &= !bit);
        }
    }

    fn settle(&mut self, id: ConnectionId, result: Result<(), Reason>) {
        match result {
            Ok(()) => self.table.mark(id),
            Err(reason) => self.table.close(id, reason),
        }
    }

    /// Goes on with every connection to which something has happened: input that waited, output, arming, closing.
    fn look_after(&mut self) {
        let dirty = self.table.take_dirty();
        // One SEND alone saves no kernel entry, and its completion would end the wait for the next request.
        let alone = dirty.len() == 1;
        for id in dirty {
            if let Err(reason) = self.go_on(id, alone) {
                self.table.close(id, reason);
            }
        }
    }

    fn go_on(&mut self, id: ConnectionId, alone: bool) -> Result<(), Reason> {
        let Some(entry) = self.table.entries.get_mut(&id) else { return Ok(()) };
        let link = entry.link.clone();
        let Some(socket) = link.carrier.socket() else { return self.table.go_on(id, &mut self.scratch) };
        let mut core = link.lock(&mut self.table.host);
        if let Some(reason) = core.failed.take() {
            return Err(reason);
        }
        if core.direct().is_some() {
            core.load(&mut self.table.host)?; // before, nothing says what there is to send
        }
        let by_ring = !alone && !socket.is_polled() && core.output().single(SEND_BYTES).is_some();
        match by_ring {
            true => drop(transfer::resume(&mut core, &mut self.table.host)?),
            false => {
                let leaves_large = self.sends_large(socket);
                let mut socket = Socket { leaves_large, ..socket };
                transfer::pump(&mut socket, &mut core, &mut self.table.host)?;
            }
        }
        if core.is_closing() && core.is_flushed() {
            self.table.linger(id, &mut core);
        }
        self.table.remind(id, core.due());
        self.arm_connection(id, socket, &mut core);
        Ok(())
    }

    fn on_time(&mut self) {
        if self.table.on_time() {
            self.unpolled.append(&mut self.resting);
        }
    }

    /// Last chance for queued output, then everything ends: what the kernel still does, then the thread's memory.
    fn finish(mut self) {
        let _ = self.uring.submit(); // what was armed in the last turn, sends among it
        self.table.end_all(&mut self.scratch);
        let entry = opcode::AsyncCancel2::new(types::CancelBuilder::any().all()).build();
        self.push(&entry.user_data(token(Kind::Cancel, 0)));
        let deadline = Instant::now() + DRAIN;
        while self.outstanding > 0 && Instant::now() < deadline {
            let timeout = types::Timespec::from(Duration::from_millis(50));
            let arguments = types::SubmitArgs::new().timespec(&timeout);
            let _ = self.uring.submitter().submit_with_args(1, &arguments);
            for completion in self.uring.completion() {
                let kind = KINDS[(completion.user_data() >> NUMBER_BITS) as usize];
                if ends(kind, &completion) {
                    self.outstanding -= 1;
                }
                let number = completion.user_data() & NUMBER_MASK;
                if kind == Kind::FileRead {
                    self.reads.remove(&number);
                } else if kind == Kind::FileWrite {
                    self.writes.remove(&number);
                }
            }
        }
        // What peers have not acknowledged yet is sent after our end, from these pieces.
        std::mem::forget(self.larges);
        if self.outstanding > 0 {
            // The kernel may still write: leaking the memory is the safe way out.
            std::mem::forget((self.provided, self.reads, self.writes, self.ending, self.table));
        }
    }
}

/// True if an operation is over with this completion. That of SEND_ZC is with its first one: it is not known when the second
/// comes, which only says that its piece is free.
fn ends(kind: Kind, completion: &cqueue::Entry) -> bool {
    match kind {
        Kind::Cancel => false,
        Kind::LargeSent => !cqueue::notif(completion.flags()),
        _ => !cqueue::more(completion.flags()),
    }
}

/// The end of a multishot receive that is no end of the connection, or else why the connection ended.
fn ended(errno: i32) -> Result<(), Reason> {
    match errno {
        // No buffer was left, it was cancelled, or the kernel wants it armed again.
        libc::ENOBUFS | libc::ECANCELED | libc::EINTR | libc::EAGAIN => Ok(()),
        _ => Err(Reason::Owned(io::Error::from_raw_os_error(errno).to_string())),
    }
}

/// A ring that is not enabled yet. With DEFER_TASKRUN the kernel works for us only when we enter it.
fn build() -> io::Result<IoUring> {
    let sized = || {
        let mut builder = IoUring::builder();
        builder.setup_clamp().setup_cqsize(COMPLETIONS).setup_r_disabled();
        builder
    };
    let deferring = sized().setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().build(ENTRIES);
    match deferring {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            sized().setup_coop_taskrun().build(ENTRIES)
        }
        other => other,
    }
}
