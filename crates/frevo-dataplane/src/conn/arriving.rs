//! Where the bytes of a large message go while it comes in.
//!
//! Its head tells what it is. Of a plain WRITE to an attached open, and of the plain answer to a READ that is for a file, the
//! rest may stay where the socket has it: in pipes, until all of it has come. Nothing is decided before: the message is then let in like any other, and enters the file's gate, so
//! a peer that stops in the middle keeps nobody waiting and leaves nothing half done.

use std::mem::{self, MaybeUninit};

use super::input::Verdict;
use super::{violation, Connection, Host, Side};
use crate::event::Reason;
use crate::fast::READ_RESPONSE_BYTES;
use crate::file_job::FileJob;
use crate::ladder::WriteRung;
use crate::pipe::{Pipe, PipeRun};
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
    /// Here.
    Piped(PipeRun),
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
        if self.common.closing || self.is_paused(&host.limits) {
            return Room::Any;
        }
        let (have, size) = (self.common.input.len(), self.expected_bytes());
        let Some(size) = size else {
            return match (&self.side, self.common.expects_large) {
                (Side::Server(_), true) if have < HEAD_BYTES => self.own(HEAD_BYTES - have),
                _ => Room::Any,
            };
        };
        if !self.is_direct() {
            return Room::Any;
        }
        if self.can_pipe(size, host) {
            let head = match &self.side {
                Side::Server(_) => HEAD_BYTES,
                Side::Client(_) => ANSWER_HEAD_BYTES,
            };
            if have < head {
                return self.own(head - have);
            }
            self.choose(size, host);
        }
        let missing = size - have - self.piped_bytes();
        match self.common.arrival {
            Arrival::Piped(ref mut run) => match run.last_mut() {
                Some(pipe) => Room::Pipe(pipe, missing),
                None => Room::Any,
            },
            _ => self.own(missing),
        }
    }

    fn own(&mut self, count: usize) -> Room<'_> {
        self.common.input.reserve_exact(count);
        Room::Own(&mut self.common.input.spare_capacity_mut()[..count])
    }

    /// True while a message is coming in that is received where it belongs.
    pub fn is_direct(&self) -> bool {
        let Some(size) = self.expected_bytes() else { return false };
        let missing = size.saturating_sub(self.common.input.len() + self.piped_bytes());
        missing >= DIRECT_BYTES || size >= LARGE_BYTES && missing > 0
    }

    /// Bytes of the message at the front, with its transport header, when known.
    fn expected_bytes(&self) -> Option<usize> {
        self.frame_bytes().or_else(|| match &self.side {
            Side::Client(client) => client.expected_frame(),
            Side::Server(_) => None,
        })
    }

    fn piped_bytes(&self) -> usize {
        match &self.common.arrival {
            Arrival::Piped(run) => run.len(),
            _ => 0,
        }
    }

    /// True if it is not known yet where a message of that size goes, and pipes are possible.
    fn can_pipe(&self, size: usize, host: &Host) -> bool {
        self.common.takes_pipes
            && size >= LARGE_BYTES
            && matches!(self.common.arrival, Arrival::Unknown)
            && match &self.side {
                Side::Server(_) => host.write_rung == WriteRung::Splice,
                Side::Client(client) => client.expects_landing(),
            }
    }

    /// Chooses where the rest of a message goes whose head is there.
    fn choose(&mut self, size: usize, host: &mut Host) {
        let (head, size) = (&self.common.input[FRAME_BYTES..], size - FRAME_BYTES);
        let unseen = match &self.side {
            Side::Server(server) => server.would_write(&self.common, head, size),
            Side::Client(client) => client.would_land(head, size),
        };
        let pipes = if unseen { host.pool.pipes.receiving() } else { None };
        self.common.arrival = pipes.map_or(Arrival::Copied, Arrival::Piped);
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
            None => self.unpipe()?,
        }
        Ok(true)
    }

    /// Goes on without pipes: what is in them is copied.
    pub fn unpipe(&mut self) -> Result<(), Reason> {
        if let Arrival::Piped(mut run) = mem::replace(&mut self.common.arrival, Arrival::Copied) {
            take_out(&mut run, &mut self.common.input)?;
        }
        Ok(())
    }

    /// Handles a message of which the rest is in pipes.
    fn whole_piped(&mut self, host: &mut Host) -> Result<(), Reason> {
        let mut input = mem::take(&mut self.common.input);
        let Arrival::Piped(mut run) = mem::take(&mut self.common.arrival) else { return Ok(()) };
        self.check_length(input.len() + run.len() - FRAME_BYTES, host)?;
        self.common.frames += 1;
        self.common.expects_large = true;
        let server = match &mut self.side {
            Side::Server(server) => server,
            Side::Client(client) => {
                return match client.landed(&mut self.common, input, run, host) {
                    Some(job) => self.store(job, host).map(drop),
                    None => Ok(()),
                };
            }
        };
        match server.packet(&mut self.common, &mut input[FRAME_BYTES..], run.len(), None, host)? {
            Verdict::Answered => (),
            Verdict::Later(job) => {
                if self.store(job.with(input).with_rest(run), host)? {
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
}

impl Connection {
    /// Does a job, unless it may block: then a worker gets it. True: it does.
    fn store(&mut self, mut job: FileJob, host: &mut Host) -> Result<bool, Reason> {
        if host.can_defer && job.may_block() {
            host.jobs.push(job);
            return Ok(true);
        }
        job.run();
        self.finish_job(job, host).map(|()| false)
    }
}

fn take_out(run: &mut PipeRun, bytes: &mut Vec<u8>) -> Result<(), Reason> {
    run.take_into(bytes).or_else(|_| violation("received data could not be read from a pipe"))
}
