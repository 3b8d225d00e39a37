//! The way out of pumps: their requests are built, protected and queued here, as far as window and credits go.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use zerocopy::FromBytes;

use super::body::Body;
use super::pumping::Flight;
use super::remote::Lent;
use crate::buffer::{Output, Pool};
use crate::conn::direct::Direct;
use crate::conn::protect::{self, Protection};
use crate::conn::Settings;
use crate::credits::Credits;
use crate::crypto::{RequestNonces, SessionKeys};
use crate::event::Reason;
use crate::framing::Framing;
use crate::pipe::PipeRun;
use crate::pump::{self, Class, End, Operation, Pump};
use crate::stats::Stats;
use crate::window::{Ids, Window};
use crate::wire::{Header, WriteRequest, CREDIT_BYTES, HEADER_BYTES, STATUS_INSUFFICIENT_RESOURCES};

/// Credits that a client's connection asks for until it has them.
const CREDITS_WANTED: u64 = 1024;
/// How many it asks for at a time.
const GREED: u64 = 128;
/// WRITEs from this size on leave without a copy, where that can be.
const SPLICED_BYTES: usize = 64 * 1024;

/// What building a request needs of the connection.
pub(super) struct Outlet<'a> {
    pub(super) framing: Framing,
    pub(super) takes_pipes: bool,
    pub(super) credits: &'a Credits,
    pub(super) window: &'a mut Window,
    pub(super) nonces: &'a RequestNonces,
    pub(super) output: &'a mut Output,
    pub(super) pool: &'a mut Pool,
    pub(super) settings: Settings,
    /// SMB Direct, if that is beneath.
    pub(super) direct: Option<&'a mut Direct>,
    /// Requests to be sent without trying to lend memory.
    pub(super) refused: &'a mut u32,
    pub(super) stats: &'a Stats,
}

impl Outlet<'_> {
    /// Sends as much as window and credits allow. True: it has more to ask and no credits.
    pub(super) fn feed(
        &mut self,
        pump: &mut Pump,
        flights: &mut HashMap<u64, Flight, Ids>,
        now: Instant,
    ) -> bool {
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
            let sent = match self.channel(pump, &operation) {
                Some(seal) => {
                    pump.split(&mut operation, self.most_by_rdma());
                    self.send_remote(pump, &mut operation, alone, seal)
                }
                None => {
                    self.keep_inline(pump, &mut operation);
                    self.send(pump, &mut operation, alone)
                }
            };
            match sent {
                Sent::Yes(message_id, charge, remote) => {
                    pump.in_flight += 1;
                    let pump::Settings { id, session_id, encrypt, .. } = pump.settings;
                    let signed = signing_keys(pump).is_some();
                    let flight = Flight {
                        pump: id,
                        operation,
                        charge,
                        sent: now,
                        session_id,
                        encrypted: encrypt,
                        signed,
                        remote,
                    };
                    flights.insert(message_id, flight);
                }
                Sent::NoCredits => {
                    pump.put_back(operation);
                    return true;
                }
                Sent::Again | Sent::Ended => (),
            }
        }
        false
    }

    pub(super) fn charge(&self, size: u32) -> u16 {
        if self.settings.multi_credit {
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
        // The same buffer again: what was appended is in it.
        let tail = self.output.tail(0, self.pool);
        let Some(message_id) = id else {
            tail.truncate(start);
            return Sent::NoCredits;
        };
        let frame = &mut tail[start..];
        let size = frame.len();
        *Header::of_mut(&mut frame[room..]) =
            header(self.credits, self.settings.multi_credit, pump, operation, charge, message_id);
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
        Sent::Yes(message_id, charge, None)
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
pub(super) fn source(pump: &mut Pump, operation: &mut Operation, count: usize) -> bool {
    if count < operation.size as usize {
        pump.source_ended(operation.offset + count as u64);
        operation.size = count as u32;
    }
    count > 0
}

/// What became of a request.
pub(super) enum Sent {
    /// With that message ID and charge, and memory for RDMA.
    Yes(u64, u16, Option<Lent>),
    NoCredits,
    /// It was put back, and can be sent in another way.
    Again,
    /// There was nothing to send.
    Ended,
}

/// The header of a request.
pub(super) fn header(
    credits: &Credits,
    multi_credit: bool,
    pump: &Pump,
    operation: &Operation,
    charge: u16,
    message_id: u64,
) -> Header {
    let wanted = CREDITS_WANTED.max(wanted(pump, charge));
    let greed = if credits.total() < wanted { GREED as u16 } else { 0 };
    Header {
        credit_charge: if multi_credit { charge } else { 0 }.into(),
        credits: charge.saturating_add(greed).into(),
        tree_id: pump.settings.tree_id.into(),
        session_id: pump.settings.session_id.into(),
        ..Header::request(operation.class.command(), message_id)
    }
}

/// Credits with which the pump can fill its window.
fn wanted(pump: &Pump, charge: u16) -> u64 {
    (u64::from(pump.settings.window) * u64::from(charge) + GREED).min(8192)
}

/// As the pump's settings demand.
pub(super) fn protection(pump: &Pump) -> Result<Protection, Reason> {
    match (&pump.keys, signing_keys(pump)) {
        (Some(keys), _) if pump.settings.encrypt => Protection::encrypted(pump.settings.session_id, keys),
        (_, Some(keys)) => Ok(Protection::Signed(keys.clone())),
        _ => Ok(Protection::Plain),
    }
}

/// What the requests are signed with, if they are to be.
pub(super) fn signing_keys(pump: &Pump) -> Option<&Arc<SessionKeys>> {
    pump.keys.as_ref().filter(|_| pump.settings.sign)
}
