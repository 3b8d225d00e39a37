//! Where the bytes of a large message go while it comes in.
//!
//! Its head tells what it is. Of a plain WRITE to an attached open, and of the plain answer to a READ that is for a file,
//! the rest may stay where the socket has it: in pipes, until all of it has come. Nothing is decided before: the message is
//! then let in like any other, and enters the file's gate, so a peer that stops in the middle keeps nobody waiting and leaves
//! nothing half done.

use std::mem::{self, MaybeUninit};

use super::input::Verdict;
use super::{violation, Connection, Host, Side};
use crate::arena::Slot;
use crate::event::Reason;
use crate::fast::READ_RESPONSE_BYTES;
use crate::file_job::{FileJob, Work};
use crate::ladder::WriteRung;
use crate::pipe::{Pipe, PipeRun};
use crate::rest::Rest;
use crate::stats::add;
use crate::wire::FRAME_BYTES;
use crate::writing::WRITE_REQUEST_BYTES;

/// What tells what a message to a server is, with its transport header.
const HEAD_BYTES: usize = FRAME_BYTES + WRITE_REQUEST_BYTES;
/// The same of a message to a client.
const ANSWER_HEAD_BYTES: usize = FRAME_BYTES + READ_RESPONSE_BYTES;
/// So much of an incomplete message is received straight into its own buffer.
const DIRECT_BYTES: usize = 16 * 1024;
/// Messages from this size on are large: the head of what follows them is received alone, and they never share a receive.
pub(super) const LARGE_BYTES: usize = 64 * 1024;

/// Where the rest of the message goes whose first bytes are in the input.
#[derive(Debug, Default)]
pub(super) enum Arrival {
    /// Its head has not come yet.
    #[default]
    Unknown,
    /// Into the input, too.
    Copied,
    /// Into pipes.
    Piped(PipeRun),
    /// Here, where a copy of the first bytes is, too.
    Registered(Slot),
}

/// What a side of a connection gets of a message, and where its rest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// All of it.
    Whole,
    /// All of it, in memory that the ring knows.
    Registered,
    /// The beginning; so many bytes are in pipes.
    Head(usize),
}

/// Where to receive.
#[derive(Debug)]
pub enum Room<'a> {
    /// Into a buffer of your own, for [`Connection::feed`].
    Any,
    /// Here; [`Connection::direct_filled`] is to follow.
    Own(&'a mut [MaybeUninit<u8>]),
    /// Here, at most so many bytes; [`Connection::piped`] is to follow.
    Pipe(&'a mut Pipe, usize),
}

impl Connection {
    /// Where the next bytes go.
    pub fn room(&mut self, host: &mut Host) -> Room<'_> {
        if self.common.direct.is_some() {
            return self.direct_room().map_or(Room::Any, Room::Own);
        }
        if self.common.closing || self.is_paused(&host.limits) {
            return Room::Any;
        }
        let (have, size) = (self.common.input.len(), self.expected_bytes());
        let Some(size) = size else {
            return match (&self.side, self.common.expects_large) {
                (Side::Server(_), true) if have < HEAD_BYTES => self.own(HEAD_BYTES - have, host),
                _ => Room::Any,
            };
        };
        if !self.is_direct() {
            return Room::Any;
        }
        if size >= LARGE_BYTES && !mem::replace(&mut self.common.let_in, true) {
            self.count();
        }
        if self.can_choose(size, host) {
            let head = match &self.side {
                Side::Server(_) => HEAD_BYTES,
                Side::Client(_) => ANSWER_HEAD_BYTES,
            };
            if have < head {
                return self.own(head - have, host);
            }
            self.choose(size, host);
        }
        let missing = size - self.arrived();
        match self.common.arrival {
            Arrival::Piped(ref mut run) => match run.last_mut() {
                Some(pipe) => Room::Pipe(pipe, missing),
                None => Room::Any,
            },
            Arrival::Registered(ref mut slot) => Room::Own(&mut slot.room()[..missing]),
            _ => self.own(missing, host),
        }
    }

    fn own(&mut self, count: usize, host: &mut Host) -> Room<'_> {
        let size = self.common.input.len() + count;
        self.make_room(size, host);
        Room::Own(&mut self.common.input.spare_capacity_mut()[..count])
    }

    /// Makes the input large enough for `size` bytes.
    pub(super) fn make_room(&mut self, size: usize, host: &mut Host) {
        let input = &mut self.common.input;
        if size >= LARGE_BYTES && input.capacity() < size {
            let mut buffer = host.pool.take(size);
            buffer.extend_from_slice(input);
            host.pool.put(mem::replace(input, buffer));
        }
        input.reserve_exact(size.saturating_sub(input.len()));
    }

    /// True while a message is coming in that is received where it belongs.
    pub fn is_direct(&self) -> bool {
        if let Some(direct) = &self.common.direct {
            return direct.receives_in_place();
        }
        let Some(size) = self.expected_bytes() else { return false };
        let missing = size.saturating_sub(self.arrived());
        missing >= DIRECT_BYTES || size >= LARGE_BYTES && missing > 0
    }

    /// Bytes of the message at the front, with its transport header, when known.
    fn expected_bytes(&self) -> Option<usize> {
        self.frame_bytes().or_else(|| match &self.side {
            Side::Client(client) => client.expected_frame(),
            Side::Server(_) => None,
        })
    }

    /// What the message at the front takes, as far as it may come in: a large one all of its size, so that however many
    /// clients send slowly, all that was begun finds room.
    pub(super) fn coming_bytes(&self) -> usize {
        match self.frame_bytes() {
            Some(size) if self.common.let_in => size,
            _ => self.arrived(),
        }
    }

    /// Bytes of the message at the front that are there.
    fn arrived(&self) -> usize {
        match &self.common.arrival {
            Arrival::Piped(run) => self.common.input.len() + run.len(),
            Arrival::Registered(slot) => slot.len(),
            _ => self.common.input.len(),
        }
    }

    /// True if it is not known yet where a message of that size goes, and there is a choice.
    fn can_choose(&self, size: usize, host: &Host) -> bool {
        let takes_pipes = self.common.takes_pipes;
        size >= LARGE_BYTES
            && matches!(self.common.arrival, Arrival::Unknown)
            && match (&self.side, host.write_rung) {
                (Side::Client(client), _) => takes_pipes && client.expects_landing(),
                (Side::Server(_), WriteRung::Plain) => false,
                (Side::Server(_), WriteRung::Fixed) => host.arena.is_some(),
                (Side::Server(_), WriteRung::Splice) => takes_pipes,
            }
    }

    /// Chooses where the rest of a message goes whose head is there.
    fn choose(&mut self, size: usize, host: &mut Host) {
        let (common, head) = (&self.common, &self.common.input[FRAME_BYTES..]);
        let unseen = match &self.side {
            Side::Server(server) => match (host.write_rung, &host.arena) {
                (WriteRung::Fixed, Some(arena)) if server.may_write(common, head) => {
                    return self.register(arena.take(size));
                }
                (WriteRung::Splice, _) => server.would_write(common, head, size - FRAME_BYTES),
                _ => false,
            },
            Side::Client(client) => client.would_land(head, size - FRAME_BYTES),
        };
        let pipes = if unseen { host.pool.pipes.receiving() } else { None };
        self.common.arrival = pipes.map_or(Arrival::Copied, Arrival::Piped);
    }

    /// The rest of the message goes into a slot, if there is one.
    fn register(&mut self, slot: Option<Slot>) {
        self.common.arrival = slot.map_or(Arrival::Copied, |mut slot| {
            slot.extend_from_slice(&self.common.input);
            Arrival::Registered(slot)
        });
    }

    /// Counts bytes in the room of a slot. None: it is not there that bytes go.
    pub(super) fn slot_filled(&mut self, count: usize, host: &mut Host) -> Option<Result<(), Reason>> {
        let size = self.frame_bytes();
        let Arrival::Registered(slot) = &mut self.common.arrival else { return None };
        slot.filled(count);
        Some(if Some(slot.len()) == size { self.whole_registered(host) } else { Ok(()) })
    }

    /// Counts `count` bytes that were moved into the pipe of [`Connection::room`], 0 when it took none. True: there may be more.
    pub fn piped(&mut self, count: usize, host: &mut Host) -> Result<bool, Reason> {
        add(&host.stats.bytes_received, count as u64);
        let (have, size) = (self.common.input.len(), self.frame_bytes().unwrap_or(0));
        let Arrival::Piped(run) = &mut self.common.arrival else { return Ok(true) };
        if have + run.len() == size {
            self.whole_piped(host)?;
            return Ok(true);
        }
        if !run.last_mut().is_some_and(|pipe| pipe.is_full()) {
            return Ok(false);
        }
        match host.pool.pipes.one_more().filter(|_| !run.is_sparse()) {
            Some(pipe) => run.push(pipe),
            None => self.copy_arrived()?,
        }
        Ok(true)
    }

    /// Goes on without pipes and slots: what is in them is copied.
    pub fn copy_arrived(&mut self) -> Result<(), Reason> {
        let input = &mut self.common.input;
        match mem::replace(&mut self.common.arrival, Arrival::Copied) {
            Arrival::Piped(mut run) => take_out(&mut run, input)?,
            Arrival::Registered(slot) => *input = slot.to_vec(),
            Arrival::Unknown | Arrival::Copied => (),
        }
        Ok(())
    }

    /// Handles a message of which the rest is in pipes.
    fn whole_piped(&mut self, host: &mut Host) -> Result<(), Reason> {
        let mut input = mem::take(&mut self.common.input);
        let Arrival::Piped(mut run) = mem::take(&mut self.common.arrival) else { return Ok(()) };
        self.check_length(input.len() + run.len() - FRAME_BYTES, host)?;
        self.common.complete(input.len() + run.len());
        let server = match &mut self.side {
            Side::Server(server) => server,
            Side::Client(client) => {
                return match client.landed(&mut self.common, input, run, host) {
                    Some(job) => self.store(job, host).map(drop),
                    None => Ok(()),
                };
            }
        };
        let (message, shown) = (&mut input[FRAME_BYTES..], Shown::Head(run.len()));
        match server.packet(&mut self.common, message, shown, None, host)? {
            Verdict::Answered => (),
            Verdict::Later(job) => {
                if self.store(job.with(input).with_rest(Rest::piped(run)), host)? {
                    add(&host.stats.fast_writes_deferred, 1);
                }
            }
            Verdict::Up(up) => {
                take_out(&mut run, &mut input)?;
                self.common.report(input, FRAME_BYTES, up, host);
            }
        }
        Ok(())
    }

    /// Does a job, unless it may block: then a worker gets it. True: it does.
    fn store(&mut self, mut job: FileJob, host: &mut Host) -> Result<bool, Reason> {
        if host.can_defer && job.may_block() {
            host.jobs.push(job);
            return Ok(true);
        }
        job.run();
        self.finish_job(job, host).map(|()| false)
    }

    /// Handles a message in a slot.
    fn whole_registered(&mut self, host: &mut Host) -> Result<(), Reason> {
        self.common.input = Vec::new();
        let Arrival::Registered(mut slot) = mem::take(&mut self.common.arrival) else { return Ok(()) };
        self.check_length(slot.len() - FRAME_BYTES, host)?;
        self.common.complete(slot.len());
        match self.message(&mut slot[FRAME_BYTES..], Shown::Registered, host)? {
            Verdict::Answered => (),
            Verdict::Later(job) => {
                if !matches!(job.work, Work::Write { .. }) {
                    host.jobs.push(job.with(slot.to_vec()));
                    return Ok(());
                }
                add(&host.stats.fast_writes_deferred, 1);
                let head = slot.len() - job.size..slot.len() - job.size + WRITE_REQUEST_BYTES;
                host.jobs.push(job.with_slot(slot[head.clone()].to_vec(), Rest::registered(slot, head.end)));
            }
            Verdict::Up(up) => {
                let start = up.start;
                self.common.report(slot[FRAME_BYTES + start..].to_vec(), 0, up, host);
            }
        }
        Ok(())
    }
}

fn take_out(run: &mut PipeRun, bytes: &mut Vec<u8>) -> Result<(), Reason> {
    run.take_into(bytes).or_else(|_| violation("received data could not be read from a pipe"))
}
