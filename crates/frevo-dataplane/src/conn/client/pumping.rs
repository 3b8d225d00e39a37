//! Pumps on a connection: their requests are built here, their answers are checked and routed here.

use std::collections::HashMap;
use std::time::Instant;

use super::outlet::Outlet;
use super::remote::Lent;
use super::Client;
use crate::conn::common::Common;
use crate::conn::compound::Element;
use crate::conn::direct::Direct;
use crate::conn::protect;
use crate::conn::{violation, Host};
use crate::event::{Event, Reason};
use crate::fast::READ_RESPONSE_BYTES;
use crate::file_job::{FileJob, Purpose, Target, Work};
use crate::pump::{read_data, End, Operation, Pump, PumpId, Settings, Stored};
use crate::window::Ids;
use crate::wire::flags;

/// READs from this size on are received into a buffer of their own.
pub(super) const BULK_BYTES: usize = 64 * 1024;

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
    pub(super) charge: u16,
    pub(super) sent: Instant,
    /// What its answer must have.
    pub(super) session_id: u64,
    pub(super) encrypted: bool,
    pub(super) signed: bool,
    /// Memory that RDMA carries its data from or to.
    pub(super) remote: Option<Lent>,
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
    pub(super) store: Option<FileJob>,
    /// For workers, as they are.
    pub(super) ready: Vec<FileJob>,
    /// Memory could not be lent to the server lately: so many requests are sent without trying.
    pub(super) refused: u32,
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
        if now {
            pumps.take_back(id, common.direct.as_deref_mut());
        }
        self.feed_pumps(common, host);
    }

    /// The connection has ended: so have its pumps.
    pub(in crate::conn) fn end_pumps(&mut self, common: &mut Common, host: &mut Host) {
        if let (Some(pumps), Some(direct)) = (&mut self.pumps, &mut common.direct) {
            pumps.flights.drain().for_each(|(_, flight)| {
                flight.remote.and_then(|lent| direct.release(lent.tag));
            });
        }
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
    pub(in crate::conn) fn answered(&mut self, input: Vec<u8>, host: &mut Host) {
        match self.pumps.as_mut().and_then(|pumps| pumps.store.take()) {
            Some(job) => host.jobs.push(job.with(input)),
            None => host.pool.put(input),
        }
    }

    /// As `answered` for a message in a buffer that belongs to others.
    pub(in crate::conn) fn keep_for_store(&mut self, frame: &[u8], host: &mut Host) {
        if let Some(job) = self.pumps.as_mut().and_then(|pumps| pumps.store.take()) {
            host.jobs.push(job.with(frame.to_vec()));
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
        host.pool.put(packet);
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
        direct: Option<&mut Direct>,
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
        if let (Some(lent), Some(direct)) = (&flight.remote, direct) {
            // Whatever the answer is: the peer touches it no more.
            let memory = direct.release(lent.tag);
            return self.pumped_remotely(common, flight, message, memory, arrival);
        }
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
            let purpose = Purpose::Pump { pump: flight.pump, operation, ns, series };
            let work = Work::Write { offset: place, data: start..start + data.len(), done };
            pumps.store = Some(store(common, work, Target::Local(file), message.len(), purpose));
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
        let Pumps { list, flights, refused, .. } = &mut **pumps;
        let mut outlet = Outlet {
            framing: common.framing,
            takes_pipes: common.takes_pipes,
            settings: common.settings,
            direct: common.direct.as_deref_mut(),
            refused,
            stats: &host.stats,
            credits,
            window: &mut self.window,
            nonces: &self.nonces,
            output: &mut common.output,
            pool: &mut host.pool,
        };
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

/// The job that stores data of an answer of `size` bytes.
pub(super) fn store(common: &Common, work: Work, file: Target, size: usize, purpose: Purpose) -> FileJob {
    FileJob {
        connection: common.id,
        work,
        file,
        packet: Vec::new(),
        size,
        purpose,
        outcome: None,
        _waits: None,
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
