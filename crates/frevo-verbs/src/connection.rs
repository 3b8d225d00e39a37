//! A connection over an RDMA device: how it goes on.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use frevo_rdma::provider::{Ended, Memory, Provider, Refused};

use crate::domain::{Domain, Region};
use crate::library::Library;
use crate::manager::{Depths, Event, Identifier, Incoming};
use crate::queue::{Queue, Request, Waiter, BATCH};
use crate::slab::{Slabs, Slots};
use crate::startup::{self, Stage};
use crate::sys::{self, access, event, status, Sge, WorkCompletion};
use crate::work::{Early, End, Finished, Shared, Source, Step};

/// Requests in the send queue at a time.
const SENDS: u32 = 256;

/// Receives at a time: 255 credits and a few, as the contract has it.
const RECEIVES: u32 = 272;

/// The least slot for a message that is sent; Windows' and Linux' largest message is smaller.
pub(crate) const MESSAGE_BYTES: usize = 2048;

/// Numbers of receives are slots; those of the send queue have this bit.
const SEND_QUEUE: u64 = 1 << 63;

/// Completions that were taken and not looked at yet.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    completions: [WorkCompletion; BATCH],
    next: usize,
    count: usize,
}

/// One end of a connection over an RDMA device.
#[derive(Debug)]
pub struct Verbs {
    // First: when it is dropped, the device is done with all memory below.
    pub(crate) queue: Option<Queue>,
    /// Posted to the send queue, oldest first. None: it is over, ahead of one that was posted before (siw does that).
    pub(crate) posted: VecDeque<Option<Step>>,
    /// Number of the oldest one.
    pub(crate) first: u64,
    pub(crate) waiting: VecDeque<Step>,
    pub(crate) early: Vec<Early>,
    pub(crate) receives: Option<Slots>,
    /// Slots that the device fills, in this order.
    pub(crate) open: VecDeque<u32>,
    /// The receive whose message the caller looks at.
    pub(crate) current: Option<u32>,
    /// Receives that wait for the queue.
    pub(crate) wanted: u32,
    pub(crate) receive_bytes: usize,
    pub(crate) messages: Vec<Slots>,
    pub(crate) shared: HashMap<u32, Shared>,
    pub(crate) slabs: Option<Slabs>,
    /// READs without bytes, which are over at once.
    pub(crate) empty: VecDeque<(u64, Memory)>,
    pub(crate) batch: Box<Batch>,
    pub(crate) stage: Stage,
    pub(crate) depths: Depths,
    /// RDMA READs in the send queue.
    pub(crate) reading: usize,
    pub(crate) held: usize,
    pub(crate) moved: (u64, u64),
    pub(crate) is_closing: bool,
    /// Why it ends as soon as everything that has come was looked at.
    pub(crate) ending: Option<String>,
    pub(crate) ended: Option<Ended>,
    pub(crate) domain: Option<Arc<Domain>>,
    pub(crate) waiter: Waiter,
    pub(crate) identifier: Arc<Identifier>,
}

impl Verbs {
    fn new(identifier: Identifier, stage: Stage) -> io::Result<Verbs> {
        let identifier = Arc::new(identifier);
        Ok(Verbs {
            queue: None,
            posted: VecDeque::new(),
            first: 0,
            waiting: VecDeque::new(),
            early: vec![],
            receives: None,
            open: VecDeque::new(),
            current: None,
            wanted: 0,
            receive_bytes: 0,
            messages: vec![],
            shared: HashMap::new(),
            slabs: None,
            empty: VecDeque::new(),
            batch: Box::default(),
            stage,
            depths: Depths::default(),
            reading: 0,
            held: 0,
            moved: (0, 0),
            is_closing: false,
            ending: None,
            ended: None,
            domain: None,
            waiter: Waiter::new(identifier.descriptor())?,
            identifier,
        })
    }

    /// Begins to connect. How that ends, polling says.
    pub fn connect(library: &'static Library, target: SocketAddr) -> io::Result<Verbs> {
        Verbs::new(Identifier::resolving(library, target)?, Stage::Resolving)
    }

    /// Accepts, as soon as a receive is posted.
    pub fn accept(incoming: Incoming) -> io::Result<Verbs> {
        let Incoming { identifier, depths, private_data } = incoming;
        let mut verbs = Verbs::new(identifier, Stage::Prepared { asks: false })?;
        let prepared = verbs.find_domain().and_then(|domain| {
            verbs.depths = startup::agreed(&domain.limits, depths, &private_data);
            verbs.make_queue()
        });
        if let Err(error) = prepared {
            verbs.identifier.reject();
            return Err(error);
        }
        Ok(verbs)
    }

    /// Whether both sides have said yes.
    pub fn is_established(&self) -> bool {
        self.stage == Stage::Established
    }

    /// The addresses of this side and of the peer, as far as they are known.
    pub fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        (self.identifier.local(), self.identifier.peer())
    }

    fn find_domain(&mut self) -> io::Result<Arc<Domain>> {
        let domain = Domain::new(self.identifier.clone())?;
        self.slabs = Some(Slabs::new(domain.clone()));
        self.domain = Some(domain.clone());
        Ok(domain)
    }

    fn make_queue(&mut self) -> io::Result<()> {
        let domain = self.domain.as_ref().expect("a device was found before");
        self.queue = Some(Queue::new(domain, &self.waiter, SENDS, RECEIVES)?);
        Ok(())
    }

    /// Ends the connection here: the device is done with everything.
    pub(crate) fn end(&mut self, reason: impl Into<String>) {
        if self.ended.is_some() {
            return;
        }
        self.identifier.disconnect();
        self.ended = Some(Ended(reason.into()));
        self.queue = None;
        self.posted.clear();
        self.waiting.clear();
        self.early.clear();
        self.shared.values_mut().for_each(|shared| shared.is_open = false);
        (self.held, self.reading) = (0, 0);
    }

    fn end_if(&mut self, outcome: io::Result<()>) {
        if let Err(error) = outcome {
            self.end(format!("RDMA: {error}"));
        }
    }

    /// Something happened to the connection.
    fn happened(&mut self, happened: &Event) {
        let name = self.identifier.library().event_text(happened.kind);
        if let Some(reason) = startup::ending(happened, self.identifier.peer(), &name) {
            let closed = self.is_closing && happened.kind == event::DISCONNECTED;
            self.ending.get_or_insert(if closed { "closed".to_owned() } else { reason });
            return;
        }
        let outcome = match (happened.kind, self.stage) {
            (event::ADDR_RESOLVED, Stage::Resolving) => {
                self.stage = Stage::Routing;
                let found = self.find_domain().and_then(|_| self.identifier.resolve_route());
                self.post_early();
                found
            }
            (event::ROUTE_RESOLVED, Stage::Routing) => {
                self.stage = Stage::Prepared { asks: true };
                self.make_queue()
            }
            (event::ESTABLISHED, Stage::Waiting) => {
                self.stage = Stage::Established;
                self.established(happened);
                Ok(())
            }
            _ => Ok(()),
        };
        self.end_if(outcome);
        self.open_receives();
        self.go_on();
    }

    /// There is a device now.
    fn post_early(&mut self) {
        for early in std::mem::take(&mut self.early) {
            match early {
                Early::Send(message, invalidate) => {
                    self.held -= message.len();
                    self.send(&message, &mut std::iter::empty(), invalidate);
                }
                Early::Write(memory, start, bytes, targets) => {
                    self.held -= bytes;
                    self.write(memory, start, bytes, &targets);
                }
                Early::Read(work, memory, start, sources) => self.read(work, memory, start, &sources),
            }
        }
    }

    fn established(&mut self, happened: &Event) {
        // Whoever accepted knew what the other side can before.
        let asked = self.depths == Depths::default();
        if let Some(domain) = self.domain.as_ref().filter(|_| asked) {
            self.depths = startup::agreed(&domain.limits, happened.depths, &happened.private_data);
        }
    }

    /// Posts the receives that wait, and asks or answers when the first one is there.
    pub(crate) fn open_receives(&mut self) {
        if self.queue.is_none() {
            return;
        }
        if let Err(error) = self.post_wanted() {
            return self.end(error);
        }
        let (Stage::Prepared { asks }, false) = (self.stage, self.open.is_empty()) else { return };
        let limits = self.domain.as_ref().expect("there is a queue").limits;
        let outcome = if asks {
            let offered = startup::offered(&limits);
            self.identifier.connect(offered, &startup::private_data(&limits, offered))
        } else {
            self.identifier.accept(self.depths, &startup::private_data(&limits, self.depths))
        };
        self.stage = Stage::Waiting;
        self.end_if(outcome);
    }

    fn post_wanted(&mut self) -> Result<(), String> {
        let (Some(queue), Some(domain)) = (&self.queue, &self.domain) else { return Ok(()) };
        let bytes = self.receive_bytes;
        let slots = self.receives.get_or_insert_with(|| Slots::new(domain.clone(), bytes));
        while self.wanted > 0 && self.open.len() < queue.receives {
            let slot = slots.take().map_err(|refused| refused.to_string())?;
            let (start, key) = slots.place(slot);
            let place = Sge { addr: start.as_ptr() as u64, length: bytes as u32, lkey: key };
            // SAFETY: the slot is the device's until its completion, and outlives the queue.
            unsafe { queue.post_receive(u64::from(slot), place) }
                .map_err(|error| format!("RDMA receive: {error}"))?;
            self.open.push_back(slot);
            self.wanted -= 1;
        }
        Ok(())
    }

    /// Gives the device what waits, as far as it takes it.
    pub(crate) fn go_on(&mut self) {
        while self.stage == Stage::Established {
            let (Some(queue), Some(step)) = (&self.queue, self.waiting.front()) else { break };
            let reads = matches!(step.request, Request::Read(..));
            if reads && self.depths.outgoing == 0 {
                return self.end("the peer lets nobody read its memory");
            }
            let busy = reads && self.reading >= usize::from(self.depths.outgoing);
            if busy || self.posted.len() >= queue.room {
                break;
            }
            let number = self.first + self.posted.len() as u64;
            // SAFETY: what the place is in stands in this step or behind it until its completion came.
            let posted = unsafe { queue.post_send(number | SEND_QUEUE, step.request, step.place) };
            match posted {
                Ok(()) => {
                    self.reading += usize::from(reads);
                    self.posted.push_back(self.waiting.pop_front());
                }
                // It counts in other units than we: less fits.
                Err(error) if error.raw_os_error() == Some(libc::ENOMEM) && !self.posted.is_empty() => break,
                Err(error) => return self.end(format!("RDMA request: {error}")),
            }
        }
        if self.is_closing && self.waiting.is_empty() && self.posted.is_empty() {
            self.identifier.disconnect();
        }
    }

    pub(crate) fn add(&mut self, step: Step) {
        if !matches!(step.request, Request::Read(..)) {
            self.held += step.place.length as usize;
        }
        self.waiting.push_back(step);
    }

    /// Memory with a key for the device: its own, or registered for this work.
    pub(crate) fn source(&self, memory: Memory, sink: bool) -> Result<(Source, u32), Refused> {
        let (Some(domain), Some(slabs)) = (&self.domain, &self.slabs) else {
            return Err(Refused("there is no RDMA device yet".to_owned()));
        };
        let remotely = sink && domain.limits.is_iwarp;
        if let Some(key) = slabs.key(&memory).filter(|_| !remotely) {
            return Ok((Source::new(None, memory), key));
        }
        let rights = match (sink, remotely) {
            (false, _) => 0,
            (true, false) => access::LOCAL_WRITE,
            // The answers are RDMA WRITEs there, as far as the device's checks go.
            (true, true) => access::LOCAL_WRITE | access::REMOTE_WRITE,
        };
        let region = register(domain, slabs, &memory, rights)?;
        let key = region.local_key();
        Ok((Source::new(Some(region), memory), key))
    }

    /// A completion: what the caller learns from it.
    fn completed(&mut self, completion: &WorkCompletion) -> Option<Finished> {
        // Of completions that failed, only number and status say something.
        let sent = completion.wr_id & SEND_QUEUE != 0;
        if completion.status != status::SUCCESS {
            self.failed(completion, sent);
            return None;
        }
        if !sent {
            return self.received(completion);
        }
        let step = self.take_posted(completion.wr_id)?;
        let bytes = step.place.length as usize;
        match step.request {
            Request::Read(..) => {
                self.reading -= 1;
                self.moved.1 += bytes as u64;
            }
            Request::Write(..) => self.moved.0 += bytes as u64,
            Request::Send { .. } => (),
        }
        if !matches!(step.request, Request::Read(..)) {
            self.held -= bytes;
        }
        match step.end? {
            End::Slot(size, slot) => {
                let slots = self.messages.iter_mut().find(|slots| slots.bytes() == size);
                slots.expect("slots stay").give(slot);
                None
            }
            End::Written(source) => {
                drop(source.into_memory());
                None
            }
            End::Read { work, sink, start, bytes } => {
                let mut memory = sink.into_memory();
                // SAFETY: the device has filled them.
                unsafe { memory.filled(start..start + bytes) };
                Some(Finished::Read(work, memory))
            }
        }
    }

    /// What was posted with this number.
    fn take_posted(&mut self, number: u64) -> Option<Step> {
        let index = (number & !SEND_QUEUE).checked_sub(self.first)?;
        let step = self.posted.get_mut(usize::try_from(index).ok()?)?.take();
        while let Some(None) = self.posted.front() {
            self.posted.pop_front();
            self.first += 1;
        }
        step
    }

    fn received(&mut self, completion: &WorkCompletion) -> Option<Finished> {
        let slot = self.open.pop_front()?;
        let bytes = (completion.byte_len as usize).min(self.receive_bytes);
        self.current = Some(slot);
        let invalidated =
            (completion.wc_flags & sys::wc::WITH_INV != 0).then_some(completion.invalidated_rkey);
        if let Some(shared) = invalidated.and_then(|key| self.shared.get_mut(&key)) {
            shared.is_open = false;
        }
        Some(Finished::Received { slot, bytes, invalidated })
    }

    fn failed(&mut self, completion: &WorkCompletion, sent: bool) {
        if completion.status == status::WR_FLUSH_ERR {
            // The reason comes as an event, or came with another completion.
            self.take_events();
            let reason = self.ending.take();
            return self.end(reason.unwrap_or("the peer or its device has ended the connection".to_owned()));
        }
        let step = if sent { self.take_posted(completion.wr_id) } else { None };
        let what = match step.as_ref().map(|step| step.request) {
            Some(Request::Read(..)) => "RDMA READ",
            Some(Request::Write(..)) => "RDMA WRITE",
            Some(Request::Send { .. }) => "a message",
            None => "a receive",
        };
        let reason = self.identifier.library().status_text(completion.status);
        self.end(format!("{what} failed: {reason}"));
        // Not before: the device could have been at it.
        drop(step);
    }

    fn take_events(&mut self) {
        while self.ended.is_none() && self.ending.is_none() {
            match self.identifier.event() {
                Ok(Some(event)) => self.happened(&event),
                Ok(None) => break,
                Err(error) => self.end(format!("RDMA events: {error}")),
            }
        }
    }
}

impl Verbs {
    /// The next thing that is over.
    pub(crate) fn next(&mut self) -> Result<Option<Finished>, Ended> {
        loop {
            if let Some((work, memory)) = self.empty.pop_front() {
                return Ok(Some(Finished::Read(work, memory)));
            }
            if self.batch.next < self.batch.count {
                let completion = self.batch.completions[self.batch.next];
                self.batch.next += 1;
                if let Some(finished) = self.completed(&completion) {
                    return Ok(Some(finished));
                }
                continue;
            }
            if let Some(ended) = &self.ended {
                return Err(ended.clone());
            }
            self.go_on();
            if self.take_completions() {
                continue;
            }
            if let Some(reason) = self.ending.take() {
                self.end(reason);
                continue;
            }
            if !self.wake() {
                return Ok(None);
            }
        }
    }

    /// Takes the next completions: whether there were any.
    fn take_completions(&mut self) -> bool {
        let Some(queue) = &self.queue else { return false };
        match queue.poll(&mut self.batch.completions) {
            Ok(count) => (self.batch.next, self.batch.count) = (0, count),
            Err(error) => self.end(error.to_string()),
        }
        self.batch.next < self.batch.count
    }

    /// Sees what woke the caller, and has it woken again: whether there was anything.
    fn wake(&mut self) -> bool {
        let ready = self.waiter.ready();
        if let Some(queue) = self.queue.as_ref().filter(|_| ready.completions) {
            let rearmed = queue.rearm();
            self.end_if(rearmed);
        }
        if ready.events {
            self.take_events();
        }
        ready.events || ready.completions
    }
}

/// Registers memory that somebody else owns, if need be in the place of what is idle.
pub(crate) fn register(
    domain: &Arc<Domain>,
    slabs: &Slabs,
    memory: &Memory,
    rights: i32,
) -> Result<Region, Refused> {
    // SAFETY: memory stays in place while the provider has it, and the region is dropped before; who touches it meanwhile, the
    // contract of providers says.
    let region = || unsafe { Region::new(domain, memory.start(), memory.len(), rights) };
    region().or_else(|refused| if slabs.shrink() { region() } else { Err(refused) })
}
