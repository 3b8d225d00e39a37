//! The fast path on one connection: which requests are answered here, and with what. `write` is the part that changes files.

use std::mem::MaybeUninit;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use zerocopy::IntoBytes;

use super::Server;
use crate::attached::{AttachedOpen, Running};
use crate::buffer::PIECE_BYTES;
use crate::conn::arriving::Shown;
use crate::conn::common::Common;
use crate::conn::input::Verdict;
use crate::conn::protect::{finish_plain, Protection};
use crate::conn::Host;
use crate::crypto::SignOnce;
use crate::event::Reason;
use crate::fast::{is_plain, is_usual, read_response, Attempt, OpenFile, READ_RESPONSE_BYTES};
use crate::file_job::{FileJob, Purpose, Target, Work};
use crate::framing::Framing;
use crate::gate::Level;
use crate::ladder::{Rung, Splicing};
use crate::pipe::PipeRun;
use crate::stats::add;
use crate::wire::{
    channel, command, flags, Body, Empty, ErrorResponse, FileId, Header, ReadRequest, CREDIT_BYTES,
    FRAME_BYTES, HEADER_BYTES, STATUS_END_OF_FILE,
};

/// READs of fewer bytes are copied: to splice them costs more.
const SPLICED_BYTES: usize = 64 * 1024;

/// A request that stands alone and whose signature, if any, is right.
pub(super) struct Request<'a> {
    pub(super) header: Header,
    pub(super) message: &'a [u8],
    /// Where its rest is.
    pub(super) shown: Shown,
    /// SessionId of the transform header, None for a plain request.
    pub(super) encrypted: Option<u64>,
}

/// What answering a request here needs.
pub(super) struct Context<'a> {
    pub(super) common: &'a mut Common,
    pub(super) request: &'a Request<'a>,
    /// The right to sign the answer: it is taken if the request is answered here, or left to a worker.
    pub(super) right: &'a mut Option<SignOnce>,
    pub(super) host: &'a mut Host,
}

/// What a worker or the ring has done for a request, and what its answer needs.
pub(super) struct Done {
    pub(super) header: Header,
    pub(super) work: Work,
    pub(super) running: Running,
    pub(super) protection: Protection,
    pub(super) right: Option<SignOnce>,
}

/// Flags of requests that the control plane answers.
pub(super) const UNUSUAL: u32 =
    flags::SERVER_TO_REDIR | flags::ASYNC_COMMAND | flags::RELATED_OPERATIONS | flags::REPLAY_OPERATION;

/// What became of a request: None when it is not for here; an error ends the connection.
pub(super) type Answered = Option<Result<Verdict, Reason>>;

impl Server {
    /// Answers a request if it can. If not, the right to sign its answer is still there.
    pub(super) fn answer(&mut self, context: &mut Context) -> Answered {
        let header = &context.request.header;
        if !context.common.settings.authenticated || header.flags.get() & UNUSUAL != 0 {
            return None;
        }
        match header.command.get() {
            command::READ => self.read(context),
            command::WRITE => self.write(context),
            command::FLUSH => self.flush(context),
            command::ECHO if context.host.echoes() => self.echo(context),
            _ => None,
        }
    }

    /// [MS-SMB2] 3.3.5.17
    fn echo(&mut self, context: &mut Context) -> Answered {
        let Context { common, request, right, host } = context;
        let Request { header, message, encrypted, .. } = request;
        Empty::of(message)?;
        let protection = match (header.session_id.get(), encrypted) {
            (0, None) if !header.has(flags::SIGNED) => Protection::Plain,
            _ => protection(common, header, *encrypted, false)?,
        };
        add(&host.stats.fast_echoes, 1);
        let body = Empty::new();
        Some(self.respond(common, header, 0, body.as_bytes(), protection, right.take(), host))
    }

    /// [MS-SMB2] 3.3.5.12
    fn read(&mut self, context: &mut Context) -> Answered {
        let Context { common, request, .. } = context;
        let Request { header, message, encrypted, .. } = request;
        let read = ReadRequest::of(message)?;
        let is_remote = read.channel != channel::NONE;
        Some(()).filter(|()| if is_remote { is_usual(read) } else { is_plain(read) })?;
        let max = if is_remote { common.settings.max_read } else { common.max_inline_read() };
        let open = find_open(common, header, read.file_id, read.length.get(), max)?;
        if !open.readable {
            return None;
        }
        let protection = protection(common, header, *encrypted, open.encrypted_only)?;
        open.in_sequence(header); // remembered, whatever it is
        if is_remote {
            self.owe_read(context)?;
            return self.read_remotely(context, read, protection, open.enter(Level::Read)?);
        }
        let Context { common, right, host, .. } = context;
        let (length, offset) = (read.length.get() as usize, read.offset.get());
        let minimum = read.minimum_count.get() as usize;
        let data_start = protection.room() + READ_RESPONSE_BYTES;
        common.framing.header(data_start + length - FRAME_BYTES)?;
        let running = open.enter(Level::Read)?;
        let open = running.open();

        let mut pipes = pipes_for(common, &protection, open, read, host);
        if let Some(count) = in_pieces(common, &open.file, &protection, read, host) {
            open.position.store(offset + count as u64, Ordering::Relaxed);
            count_read(count, host);
            let sent = self.send_header(common, header, count, host);
            common.output.push_file(running, offset, count);
            return Some(sent.map(|()| Verdict::Answered));
        }
        match try_read(common, &open.file, &mut pipes, read, data_start, host) {
            Attempt::Failed => None,
            Attempt::WouldBlock => {
                let work = match pipes {
                    Some(pipes) => Work::Splice { offset, length, pipes },
                    None => {
                        let room = (host.pool.take(data_start + length), data_start);
                        Work::Read { offset, length, room }
                    }
                };
                self.defer(common, request, work, running, right.take(), host);
                Some(Ok(Verdict::Answered))
            }
            Attempt::Done(count) if count < minimum => None,
            Attempt::Done(0) => Some(self.end_of_file(common, header, protection, right.take(), host)),
            Attempt::Done(count) => {
                open.position.store(offset + count as u64, Ordering::Relaxed);
                count_read(count, host);
                if let Some(run) = pipes {
                    return Some(self.send_pipes(common, header, run, host).map(|()| Verdict::Answered));
                }
                let credits = self.window.grant(header.credits.get(), true);
                let tail = common.output.tail(data_start + length, &mut host.pool);
                let start = tail.len();
                // SAFETY: the read has initialised `count` bytes from `data_start` on, in this same buffer.
                unsafe { commit_read(tail, data_start, count) };
                let (frame, right) = (&mut tail[start..], right.take());
                let done = finish_read_response(frame, header, credits, protection, right, common.framing);
                common.output.committed(data_start + count);
                Some(done.map(|()| Verdict::Answered))
            }
        }
    }

    /// Leaves a read to a worker or the ring.
    pub(super) fn defer(
        &mut self,
        common: &Common,
        request: &Request,
        work: Work,
        running: Running,
        right: Option<SignOnce>,
        host: &mut Host,
    ) {
        add(&host.stats.fast_reads_deferred, 1);
        let waits = running.open().file.wait();
        let job = job(common, request, work, running, right).with(request.message.to_vec());
        self.deferred_bytes += job.length();
        host.jobs.push(FileJob { _waits: Some(waits), ..job });
    }

    /// Queues the answer to a read of `count` bytes that a worker or the ring has done.
    pub(super) fn finish_read(
        &mut self,
        common: &mut Common,
        done: Done,
        count: usize,
        host: &mut Host,
    ) -> Result<(), Reason> {
        let Done { header, work, running, protection, right } = done;
        if count == 0 {
            self.end_of_file(common, &header, protection, right, host)?;
            return Ok(());
        }
        count_read(count, host);
        let position = &running.open().position;
        match work {
            Work::Read { offset, room: (mut buffer, data_start), .. } => {
                position.store(offset + count as u64, Ordering::Relaxed);
                let credits = self.window.grant(header.credits.get(), true);
                // SAFETY: the job has initialised `count` bytes from `data_start` on in the empty buffer.
                unsafe { commit_read(&mut buffer, data_start, count) };
                finish_read_response(&mut buffer, &header, credits, protection, right, common.framing)?;
                common.output.push(buffer, 0);
                Ok(())
            }
            Work::Splice { offset, pipes, .. } => {
                position.store(offset + count as u64, Ordering::Relaxed);
                self.send_pipes(common, &header, pipes, host)
            }
            Work::ReadTo { offset, mut memory, .. } => {
                position.store(offset + count as u64, Ordering::Relaxed);
                // SAFETY: the job has initialised `count` bytes.
                unsafe { memory.filled(0..count) };
                self.answer_placed(common, &header, memory, count, protection, right, host)
            }
            Work::Write { .. } | Work::WriteRest { .. } | Work::Flush => Ok(()),
        }
    }

    /// Queues the response to a READ that starts at the end of the file or after it.
    pub(super) fn end_of_file(
        &mut self,
        common: &mut Common,
        request: &Header,
        protection: Protection,
        right: Option<SignOnce>,
        host: &mut Host,
    ) -> Result<Verdict, Reason> {
        let body = ErrorResponse::new();
        self.respond(common, request, STATUS_END_OF_FILE, body.as_bytes(), protection, right, host)
    }

    /// Queues the response to a READ whose data is in pipes.
    fn send_pipes(
        &mut self,
        common: &mut Common,
        request: &Header,
        mut run: PipeRun,
        host: &mut Host,
    ) -> Result<(), Reason> {
        self.send_header(common, request, run.len(), host)?;
        let pin = run.pin.take();
        common.output.push_pipes(run, &mut host.pool);
        match (pin, &common.delivery) {
            (Some(pin), Some(delivery)) => pin.queued(delivery, common.output.end()),
            _ => Ok(()),
        }
    }

    /// Queues what comes before the data of a plain response to a READ.
    fn send_header(
        &mut self,
        common: &mut Common,
        request: &Header,
        count: usize,
        host: &mut Host,
    ) -> Result<(), Reason> {
        let credits = self.window.grant(request.credits.get(), true);
        let (header, body) = read_response(request, credits, count);
        let mut frame = [0; FRAME_BYTES + READ_RESPONSE_BYTES];
        frame[FRAME_BYTES..][..HEADER_BYTES].copy_from_slice(header.as_bytes());
        frame[FRAME_BYTES + HEADER_BYTES..].copy_from_slice(body.as_bytes());
        finish_plain(&mut frame, count, common.framing)?;
        common.output.push_small(&frame, &mut host.pool);
        Ok(())
    }

    /// Queues a response with a short body.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn respond(
        &mut self,
        common: &mut Common,
        request: &Header,
        status: u32,
        body: &[u8],
        protection: Protection,
        right: Option<SignOnce>,
        host: &mut Host,
    ) -> Result<Verdict, Reason> {
        let credits = self.window.grant(request.credits.get(), true);
        let room = protection.room();
        let size = room + HEADER_BYTES + body.len();
        let tail = common.output.tail(size, &mut host.pool);
        let start = tail.len();
        tail.resize(start + size, 0);
        let frame = &mut tail[start..];
        *Header::of_mut(&mut frame[room..]) = request.response(status, credits);
        frame[room + HEADER_BYTES..].copy_from_slice(body);
        protection.finish(frame, common.framing, right)?;
        common.output.committed(size);
        self.settle(common, request.message_id.get());
        Ok(Verdict::Answered)
    }
}

/// A job for a worker or the ring; its packet follows.
pub(super) fn job(
    common: &Common,
    request: &Request,
    work: Work,
    running: Running,
    right: Option<SignOnce>,
) -> FileJob {
    FileJob {
        connection: common.id,
        work,
        file: Target::Open(running),
        packet: Vec::new(),
        size: request.message.len(),
        purpose: Purpose::Answer { encrypted: request.encrypted, right },
        outcome: None,
        _waits: None,
    }
}

/// How to protect the answer; None when the request is not protected as its session or, with `encrypted_only`, its
/// share demands.
pub(super) fn protection(
    common: &Common,
    header: &Header,
    encrypted: Option<u64>,
    encrypted_only: bool,
) -> Option<Protection> {
    let keys = common.keys(header.session_id.get())?;
    let signed = header.has(flags::SIGNED);
    match encrypted {
        Some(session_id) if header.session_id == session_id => Protection::encrypted(session_id, keys).ok(),
        Some(_) => None,
        None if encrypted_only || keys.encryption_required || (keys.signing_required && !signed) => None,
        None if signed => Some(Protection::Signed(keys.clone())),
        None => Some(Protection::Plain),
    }
}

/// The attached open that a request is for, when its payload of `length` bytes is not too large and paid for
/// ([MS-SMB2] 3.3.5.2.5).
pub(super) fn find_open(
    common: &Common,
    header: &Header,
    id: FileId,
    length: u32,
    max: u32,
) -> Option<Arc<AttachedOpen>> {
    let open = common.channel(header.session_id.get())?.opens.find(id.volatile.get())?;
    let charge = common.charge(header.credit_charge.get());
    let fits = length <= max && length.div_ceil(CREDIT_BYTES) <= u32::from(charge);
    let same = id.persistent == open.persistent_id && header.tree_id == open.tree_id;
    (fits && same).then_some(open)
}

/// How many bytes a READ gets, if they are to be read when they are sent: what is signed or encrypted is needed before, what the
/// kernel sends by itself is read at once, and who asks for `splice` is promised nothing newer than the READ.
fn in_pieces(
    common: &Common,
    file: &OpenFile,
    protection: &Protection,
    read: &ReadRequest,
    host: &Host,
) -> Option<usize> {
    let (length, minimum) = (read.length.get() as usize, read.minimum_count.get() as usize);
    let plain = matches!(protection, Protection::Plain);
    if host.rung != Rung::Plain || !plain || !common.takes_pipes || length <= PIECE_BYTES {
        return None;
    }
    let count = file.available(read.offset.get(), length)?;
    (count > PIECE_BYTES && count >= minimum).then_some(count)
}

/// Pipes for the data of a READ that is to leave in them. Its file's pages stay as they are until they have arrived, unless
/// that was not asked for.
fn pipes_for(
    common: &Common,
    protection: &Protection,
    open: &AttachedOpen,
    read: &ReadRequest,
    host: &mut Host,
) -> Option<PipeRun> {
    let (length, offset) = (read.length.get() as usize, read.offset.get());
    let plain = matches!(protection, Protection::Plain);
    if host.rung != Rung::Splice || !plain || !common.takes_pipes || length < SPLICED_BYTES {
        return None;
    }
    let pin = match host.splicing {
        Splicing::Always => None,
        Splicing::Never => return None,
        Splicing::Auto => match common.pin(open, host) {
            Ok(pin) => Some(pin),
            Err(obstacle) => {
                obstacle.count(&host.stats);
                return None;
            }
        },
    };
    let mut run = host.pool.pipes.take(offset, length)?;
    run.pin = pin;
    Some(run)
}

/// Reads what is in memory, into the pipes or the room behind `data_start` at the end of the output.
fn try_read(
    common: &mut Common,
    file: &OpenFile,
    pipes: &mut Option<PipeRun>,
    read: &ReadRequest,
    data_start: usize,
    host: &mut Host,
) -> Attempt {
    let (length, offset) = (read.length.get() as usize, read.offset.get());
    let may_block = !host.can_defer;
    if let Some(run) = pipes {
        return match file.splice_nowait(run, offset, length) {
            Attempt::WouldBlock if may_block => file.splice_blocking(run, offset, length).into(),
            attempt => attempt,
        };
    }
    let tail = common.output.tail(data_start + length, &mut host.pool);
    let room = &mut tail.spare_capacity_mut()[data_start..data_start + length];
    match file.read_nowait(room, offset) {
        Attempt::WouldBlock if may_block => file.read_blocking(room, offset).into(),
        attempt => attempt,
    }
}

pub(super) fn count_read(count: usize, host: &Host) {
    add(&host.stats.fast_reads, 1);
    add(&host.stats.fast_read_bytes, count as u64);
}

/// Makes `data_start` zero bytes and the `count` bytes behind them part of `buffer`.
///
/// # Safety
/// `count` bytes of the spare capacity from `data_start` on must be initialised.
unsafe fn commit_read(buffer: &mut Vec<u8>, data_start: usize, count: usize) {
    let spare = buffer.spare_capacity_mut();
    assert!(data_start + count <= spare.len());
    spare[..data_start].fill(MaybeUninit::new(0));
    // SAFETY: the headers were filled just now, the caller has initialised the data; the capacity was checked.
    unsafe { buffer.set_len(buffer.len() + data_start + count) };
}

fn finish_read_response(
    frame: &mut [u8],
    request: &Header,
    credits: u16,
    protection: Protection,
    right: Option<SignOnce>,
    framing: Framing,
) -> Result<(), Reason> {
    let message = &mut frame[protection.room()..];
    let (header, body) = read_response(request, credits, message.len() - READ_RESPONSE_BYTES);
    message[..HEADER_BYTES].copy_from_slice(header.as_bytes());
    message[HEADER_BYTES..READ_RESPONSE_BYTES].copy_from_slice(body.as_bytes());
    protection.finish(frame, framing, right)
}
