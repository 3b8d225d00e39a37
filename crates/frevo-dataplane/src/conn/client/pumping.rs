//! Pumps on a connection: their requests are built here, their answers are checked and routed here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use zerocopy::FromBytes;

use super::body::Body;
use super::Client;
use crate::buffer::{Output, Pool};
use crate::conn::common::Common;
use crate::conn::compound::Element;
use crate::conn::protect::{self, Protection};
use crate::conn::{violation, Host};
use crate::credits::Credits;
use crate::crypto::{RequestNonces, SessionKeys};
use crate::event::{Event, Reason};
use crate::fast::READ_RESPONSE_BYTES;
use crate::file_job::{FileJob, Purpose, Target, Work};
use crate::framing::Framing;
use crate::pipe::PipeRun;
use crate::pump::{read_data, Class, End, Operation, Pump, PumpId, Settings, Stored};
use crate::window::{Ids, Window};
use crate::wire::{flags, Header, WriteRequest, CREDIT_BYTES, HEADER_BYTES, STATUS_INSUFFICIENT_RESOURCES};

/// Credits that a client's connection asks for until it has them.
const CREDITS_WANTED: u64 = 1024;
/// How many it asks for at a time.
const GREED: u64 = 128;
/// READs from this size on are received into a buffer of their own.
const BULK_BYTES: usize = 64 * 1024;
/// So many buffers for large answers are kept beside the one that is being filled.
const SPARE_BUFFERS: usize = 4;
/// WRITEs from this size on leave without a copy, where that can be.
const SPLICED_BYTES: usize = 64 * 1024;

/// How a message came.
pub(super) struct Arrival {
    /// SessionId of the transform header.
    pub(super) encrypted: Option<u64>,
    /// There are workers.
    pub(super) can_defer: bool,
    /// When it came.
    pub(super) now: Instant,
}

/// A request without its final answer.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) pump: PumpId,
    pub(super) operation: Operation,
    charge: u16,
    sent: Instant,
    /// What its answer must have.
    session_id: u64,
    pub(super) encrypted: bool,
    pub(super) signed: bool,
}

impl Flight {
    /// How long the answer has taken that has come now, in ns.
    pub(super) fn latency(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.sent).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The pumps of one connection.
#[derive(Debug, Default)]
pub(super) struct Pumps {
    pub(super) list: Vec<Pump>,
    pub(super) flights: HashMap<u64, Flight, Ids>,
    /// For a worker, but for the message itself.
    store: Option<FileJob>,
    /// Buffers of large answers to use again.
    spare: Vec<Vec<u8>>,
}

impl Pumps {
    pub(super) fn find(&mut self, id: PumpId) -> Option<&mut Pump> {
        self.list.iter_mut().find(|pump| pump.settings.id == id)
    }
}

impl Client {
    /// Starts a pump. Its end is reported by [`Event::Pump`].
    pub(in crate::conn) fn add_pump(&mut self, common: &mut Common, settings: Settings, host: &mut Host) {
        let keys = common.keys(settings.session_id).cloned();
        let unprotected = settings.encrypt && !keys.as_ref().is_some_and(|keys| keys.can_encrypt());
        if common.closing || self.credits.is_none() || unprotected {
            let (connection, pump) = (common.id, settings.id);
            host.events.push(Event::Pump { connection, pump, end: End::Lost });
            return;
        }
        let mut pump = Pump::new(settings, keys);
        pump.needs_credits = true;
        self.pumps.get_or_insert_default().list.push(pump);
        self.feed_pumps(common, host);
    }

    /// Ends a pump when its requests are answered, or `now`. Unknown ones have ended.
    pub(in crate::conn) fn stop_pump(&mut self, common: &mut Common, id: PumpId, now: bool, host: &mut Host) {
        let Some(pumps) = &mut self.pumps else { return };
        let Some(pump) = pumps.find(id) else { return };
        if now {
            pump.abandon();
        } else {
            pump.stop(End::Done);
        }
        pump.needs_credits = true;
        self.feed_pumps(common, host);
    }

    /// The connection has ended: so have its pumps.
    pub(in crate::conn) fn end_pumps(&mut self, common: &Common, host: &mut Host) {
        for pump in self.pumps.take().map(|pumps| pumps.list).unwrap_or_default() {
            let (connection, pump) = (common.id, pump.settings.id);
            host.events.push(Event::Pump { connection, pump, end: End::Lost });
        }
    }

    /// A response has granted credits.
    pub(super) fn granted(&mut self, common: &Common, credits: u16, host: &mut Host) {
        if self.credits.as_ref().is_some_and(|account| account.grant(credits)) {
            host.events.push(Event::Credits { connection: common.id });
        }
    }

    /// True when a pump has sent the request with that id.
    pub(super) fn is_pumped(&self, message_id: u64) -> bool {
        self.pumps.as_ref().is_some_and(|pumps| pumps.flights.contains_key(&message_id))
    }

    /// Size of the message that is probably next, when it is so large that it should be received in one piece.
    pub(in crate::conn) fn expected_frame(&self) -> Option<usize> {
        let pumps = self.pumps.as_ref()?;
        let bulk = |pump: &Pump| {
            (pump.in_flight > 0).then_some((pump.bulk_bytes(), protect::room(pump.settings.encrypt)))
        };
        let (bytes, room) = pumps.list.iter().filter_map(bulk).min()?;
        (bytes >= BULK_BYTES).then_some(bytes + room + READ_RESPONSE_BYTES)
    }

    /// Does with the buffer of an answered message what is to be done: a worker writes it, or it is used again.
    pub(in crate::conn) fn answered(&mut self, common: &mut Common, input: Vec<u8>, host: &mut Host) {
        let Some(job) = self.pumps.as_mut().and_then(|pumps| pumps.store.take()) else {
            return self.use_again(common, input);
        };
        host.jobs.push(job.with(input));
        if let Some(spare) = self.pumps.as_mut().and_then(|pumps| pumps.spare.pop()) {
            self.use_again(common, spare);
        }
    }

    /// As `answered` for a message in a buffer that belongs to others.
    pub(in crate::conn) fn keep_for_store(&mut self, frame: &[u8], host: &mut Host) {
        if let Some(job) = self.pumps.as_mut().and_then(|pumps| pumps.store.take()) {
            host.jobs.push(job.with(frame.to_vec()));
        }
    }

    /// Keeps the buffer of a large answer for the next ones.
    fn use_again(&mut self, common: &mut Common, mut buffer: Vec<u8>) {
        if common.closing || self.expected_frame().is_none_or(|size| buffer.capacity() < size) {
            return;
        }
        buffer.clear();
        if common.input.capacity() == 0 {
            common.input = buffer;
        } else if let Some(pumps) = self.pumps.as_mut().filter(|pumps| pumps.spare.len() < SPARE_BUFFERS) {
            pumps.spare.push(buffer);
        }
    }

    /// A worker has written the data of an answer to its file.
    pub(in crate::conn) fn stored(&mut self, common: &mut Common, job: FileJob, host: &mut Host) {
        let length = job.length();
        let FileJob { purpose: Purpose::Pump { pump, operation, ns, .. }, packet, outcome, work, .. } = job
        else {
            return;
        };
        if let Work::WriteRest { rest, .. } = work {
            rest.give_back(&mut host.pool.pipes);
        }
        let outcome = match outcome {
            Some(Err(errno)) => Stored::Failed(errno),
            _ => Stored::Done,
        };
        if let Some(pump) = self.pumps.as_mut().and_then(|pumps| pumps.find(pump)) {
            pump.in_flight -= 1;
            pump.storing -= 1;
            pump.needs_credits = true;
            pump.stored(operation, length as u32, outcome, ns);
        }
        self.use_again(common, packet);
        self.feed_pumps(common, host);
    }

    /// The request whose final answer has come.
    pub(super) fn settled(&mut self, message_id: u64) -> Option<Flight> {
        let flight = self.pumps.as_mut()?.flights.remove(&message_id)?;
        self.credits.as_ref()?.settle(u64::from(flight.charge));
        Some(flight)
    }

    /// Handles an answer to a pump's request. An error ends the connection.
    pub(super) fn pumped(
        &mut self,
        common: &Common,
        element: &Element,
        arrival: &Arrival,
    ) -> Result<(), Reason> {
        let (header, message) = (&element.header, element.bytes);
        let flight = self.pumps.as_ref().and_then(|pumps| pumps.flights.get(&header.message_id.get()));
        let Some(flight) = flight else { return Ok(()) };
        let (status, interim) = (header.status.get(), header.is_interim());
        check(flight, element, arrival, interim)?;
        if interim {
            return Ok(());
        }
        let Some(flight) = self.settled(header.message_id.get()) else { return Ok(()) };
        let Some(pumps) = &mut self.pumps else { return Ok(()) };
        let Some(pump) = pumps.find(flight.pump) else { return Ok(()) }; // abandoned
        let (operation, ns) = (flight.operation, flight.latency(arrival.now));
        let large = arrival.can_defer && element.is_alone() && operation.size as usize >= BULK_BYTES;
        if let Some((file, place)) = pump.target(&operation, status).filter(|_| large) {
            let data = read_data(message).filter(|data| data.len() <= operation.size as usize);
            let Some(data) = data else { return violation("the server sent a malformed response") };
            // What is in this processor's cache is written for less than it costs to hand it over. But writes to one file
            // exclude each other: none beside a worker's.
            let done = if pump.storing == 0 { file.write_soon(data, place) } else { 0 };
            if done == data.len() {
                pump.in_flight -= 1;
                pump.needs_credits = true;
                pump.stored(operation, done as u32, Stored::Done, ns);
                return Ok(());
            }
            pump.storing += 1;
            let start = data.as_ptr() as usize - message.as_ptr() as usize;
            let series = pump.stores.clone();
            pumps.store = Some(FileJob {
                connection: common.id,
                work: Work::Write { offset: place, data: start..start + data.len(), done },
                file: Target::Local(file),
                packet: Vec::new(),
                size: message.len(),
                purpose: Purpose::Pump { pump: flight.pump, operation, ns, series },
                outcome: None,
                _waits: None,
            });
            return Ok(());
        }
        pump.in_flight -= 1;
        pump.needs_credits = true;
        if pump.answered(flight.operation, status, message, ns).is_err() {
            return violation("the server sent a malformed response");
        }
        Ok(())
    }

    /// Sends what the pumps have to ask and reports those that have ended. True when there was something to do.
    pub(in crate::conn) fn feed_pumps(&mut self, common: &mut Common, host: &mut Host) -> bool {
        let (Some(pumps), Some(credits)) = (&mut self.pumps, &self.credits) else { return false };
        if common.closing || !pumps.list.iter().any(|pump| pump.needs_credits) {
            return false;
        }
        let now = host.now;
        let mut outlet = Outlet {
            framing: common.framing,
            takes_pipes: common.takes_pipes,
            multi_credit: common.settings.multi_credit,
            credits,
            window: &mut self.window,
            nonces: &self.nonces,
            output: &mut common.output,
            pool: &mut host.pool,
        };
        let Pumps { list, flights, .. } = &mut **pumps;
        for pump in list.iter_mut().filter(|pump| pump.needs_credits) {
            pump.needs_credits = pump.should_ask() && outlet.feed(pump, flights, now);
        }
        let connection = common.id;
        list.retain(|pump| {
            let Some(end) = pump.ended() else { return true };
            host.events.push(Event::Pump { connection, pump: pump.settings.id, end });
            false
        });
        true
    }
}

/// The checks of [MS-SMB2] 3.2.5.1.1 and 3.2.5.1.3, the same as of the control plane's requests.
fn check(flight: &Flight, element: &Element, arrival: &Arrival, interim: bool) -> Result<(), Reason> {
    let header = &element.header;
    if !header.has(flags::SERVER_TO_REDIR) || header.command != flight.operation.class.command() {
        return violation("the server sent something other than a response");
    }
    match arrival.encrypted {
        Some(session_id) if session_id == flight.session_id => return Ok(()),
        Some(_) => return violation("a response was encrypted for another session"),
        None => (),
    }
    if flight.encrypted {
        return violation("a response is not encrypted, but must be");
    }
    if element.bad {
        return violation("the signature of a response is wrong: it may have been changed in transit");
    }
    if flight.signed && !interim && (element.unverified || !header.has(flags::SIGNED)) {
        return violation("a response is not signed, but must be");
    }
    Ok(())
}

/// What building a request needs of the connection.
struct Outlet<'a> {
    framing: Framing,
    takes_pipes: bool,
    multi_credit: bool,
    credits: &'a Credits,
    window: &'a mut Window,
    nonces: &'a RequestNonces,
    output: &'a mut Output,
    pool: &'a mut Pool,
}

impl Outlet<'_> {
    /// Sends as much as window and credits allow. True: it has more to ask and no credits.
    fn feed(&mut self, pump: &mut Pump, flights: &mut HashMap<u64, Flight, Ids>, now: Instant) -> bool {
        while let Some(mut operation) = pump.next() {
            let alone = pump.in_flight == 0;
            let total = self.credits.total();
            if total == 0 {
                // No answer is due that could bring any.
                pump.stop(End::Status(STATUS_INSUFFICIENT_RESOURCES, operation.offset));
                return false;
            }
            if u64::from(self.charge(operation.size)) > total {
                // More than there will be: a smaller piece gets through, and brings more.
                pump.split(&mut operation, (total.max(1) as u32).saturating_mul(CREDIT_BYTES));
            }
            if !self.credits.has_for_pump(u64::from(self.charge(operation.size)), alone) {
                pump.put_back(operation);
                return true;
            }
            match self.send(pump, &mut operation, alone) {
                Sent::Yes(message_id, charge) => {
                    pump.in_flight += 1;
                    let Settings { id, session_id, encrypt, .. } = pump.settings;
                    let signed = signing_keys(pump).is_some();
                    let flight = Flight {
                        pump: id,
                        operation,
                        charge,
                        sent: now,
                        session_id,
                        encrypted: encrypt,
                        signed,
                    };
                    flights.insert(message_id, flight);
                }
                Sent::NoCredits => {
                    pump.put_back(operation);
                    return true;
                }
                Sent::Ended => (),
            }
        }
        false
    }

    fn charge(&self, size: u32) -> u16 {
        if self.multi_credit {
            size.div_ceil(CREDIT_BYTES).clamp(1, u32::from(u16::MAX)) as u16
        } else {
            1
        }
    }

    /// Builds, protects and queues one request.
    fn send(&mut self, pump: &mut Pump, operation: &mut Operation, alone: bool) -> Sent {
        let room = protect::room(pump.settings.encrypt);
        let run = self.pipes_for(pump, operation);
        if run.as_ref().is_some_and(|run| !source(pump, operation, run.len())) {
            return Sent::Ended;
        }
        let body = Body::of(pump, operation);
        let load_it = operation.class == Class::Write && run.is_none();
        let data = if load_it { operation.size as usize } else { 0 };
        let tail = self.output.tail(room + HEADER_BYTES + body.len() + data, self.pool);
        let start = tail.len();
        tail.resize(start + room + HEADER_BYTES, 0);
        tail.extend_from_slice(body.bytes());
        if data > 0 && !load(pump, operation, tail, start + room + HEADER_BYTES) {
            tail.truncate(start);
            return Sent::Ended;
        }
        let charge = self.charge(operation.size);
        let id = self.credits.take_for_pump(u64::from(charge), alone);
        let wanted = CREDITS_WANTED.max(wanted(pump, charge));
        let greed = if self.credits.total() < wanted { GREED as u16 } else { 0 };
        // The same buffer again: what was appended is in it.
        let tail = self.output.tail(0, self.pool);
        let Some(message_id) = id else {
            tail.truncate(start);
            return Sent::NoCredits;
        };
        let frame = &mut tail[start..];
        let size = frame.len();
        *Header::of_mut(&mut frame[room..]) = Header {
            credit_charge: if self.multi_credit { charge } else { 0 }.into(),
            credits: charge.saturating_add(greed).into(),
            tree_id: pump.settings.tree_id.into(),
            session_id: pump.settings.session_id.into(),
            ..Header::request(operation.class.command(), message_id)
        };
        let first = self.window.send(message_id, charge);
        let right = first.ok().map(|first| self.nonces.right(first));
        let finished = match &run {
            Some(run) => protect::finish_plain(frame, run.len(), self.framing),
            None => protection(pump).and_then(|protection| protection.finish(frame, self.framing, right)),
        };
        if finished.is_err() {
            tail.truncate(start);
            pump.stop(End::Lost);
            return Sent::Ended;
        }
        self.output.committed(size);
        if let Some(run) = run {
            self.output.push_pipes(run, self.pool);
        }
        Sent::Yes(message_id, charge)
    }

    /// The data of a WRITE in pipes, if it is a local file's and nothing has to be computed from it. None: it is copied,
    /// which also finds out what is wrong with the file. A file that somebody writes to meanwhile arrives as it was before
    /// or after that, as it does when it is copied.
    fn pipes_for(&mut self, pump: &Pump, operation: &Operation) -> Option<PipeRun> {
        let (file, place) = pump.source(operation)?;
        let (plain, size) = (!pump.settings.encrypt && signing_keys(pump).is_none(), operation.size as usize);
        if !plain || !self.takes_pipes || size < SPLICED_BYTES {
            return None;
        }
        let mut run = self.pool.pipes.take(place, size)?;
        run.fill(file, place, size).ok().map(|_| run)
    }
}

/// Appends the data of a WRITE whose body is at `body`; false when there is none.
fn load(pump: &mut Pump, operation: &mut Operation, tail: &mut Vec<u8>, body: usize) -> bool {
    match pump.load(tail, operation) {
        Ok(count) => {
            let some = source(pump, operation, count);
            if let Ok((write, _)) = WriteRequest::mut_from_prefix(&mut tail[body..]) {
                write.length = operation.size.into();
            }
            some
        }
        Err(errno) => {
            pump.stop(End::Local(errno, operation.offset));
            false
        }
    }
}

/// The source of a WRITE had so many bytes for it; false when it had none.
fn source(pump: &mut Pump, operation: &mut Operation, count: usize) -> bool {
    if count < operation.size as usize {
        pump.source_ended(operation.offset + count as u64);
        operation.size = count as u32;
    }
    count > 0
}

/// What became of a request.
enum Sent {
    Yes(u64, u16),
    NoCredits,
    /// There was nothing to send.
    Ended,
}

/// Credits with which the pump can fill its window.
fn wanted(pump: &Pump, charge: u16) -> u64 {
    (u64::from(pump.settings.window) * u64::from(charge) + GREED).min(8192)
}

/// As the pump's settings demand.
fn protection(pump: &Pump) -> Result<Protection, Reason> {
    match (&pump.keys, signing_keys(pump)) {
        (Some(keys), _) if pump.settings.encrypt => Protection::encrypted(pump.settings.session_id, keys),
        (_, Some(keys)) => Ok(Protection::Signed(keys.clone())),
        _ => Ok(Protection::Plain),
    }
}

/// What the requests are signed with, if they are to be.
fn signing_keys(pump: &Pump) -> Option<&Arc<SessionKeys>> {
    pump.keys.as_ref().filter(|_| pump.settings.sign)
}
