//! The fast path of WRITE and FLUSH. Whatever is unusual about a request, and every error but one, is the control plane's:
//! it gets the request only when nothing was done for it here.

use std::sync::atomic::Ordering;
use std::sync::Arc;

use zerocopy::IntoBytes;

use super::answer::{find_open, job, protection, Answered, Context, Done, Request, UNUSUAL};
use super::Server;
use crate::attached::{AttachedOpen, Running};
use crate::conn::arriving::Shown;
use crate::conn::common::Common;
use crate::conn::input::Verdict;
use crate::conn::protect::Protection;
use crate::conn::Host;
use crate::crypto::SignOnce;
use crate::event::Reason;
use crate::file_job::Work;
use crate::gate::Level;
use crate::ladder::WriteRung;
use crate::stats::add;
use crate::wire::{
    command, flags, Body, Empty, ErrorResponse, FlushRequest, Header, WriteRequest, PROTOCOL_TRANSFORM,
    STATUS_DISK_FULL, STATUS_IO_DEVICE_ERROR,
};
use crate::writing::{is_plain_write, write_response, Written, WRITE_REQUEST_BYTES};

impl Server {
    /// [MS-SMB2] 3.3.5.13
    pub(super) fn write(&mut self, context: &mut Context) -> Answered {
        let Context { common, request, right, host } = context;
        let Request { header, message, shown, encrypted } = request;
        let following = if let Shown::Head(following) = shown { *following } else { 0 };
        let (write, open) = find_target(common, header, message, message.len() + following)?;
        let protection = protection(common, header, *encrypted, open.encrypted_only)?;
        if !open.in_sequence(header) {
            return None;
        }
        let running = open.enter(Level::Write)?;
        if *shown != Shown::Whole {
            return Some(Ok(self.write_later(common, request, write, running, right.take(), 0)));
        }
        let open = running.open();
        open.act().ok()?;

        let (length, offset) = (write.length.get(), write.offset.get());
        let data = &message[WRITE_REQUEST_BYTES..][..length as usize];
        let mut written = open.file.write_nowait(data, offset);
        if let (Written::WouldBlock(done), false) = (written, host.can_defer) {
            let result = open.file.write_blocking(data, offset, done);
            written = result.map_or(Written::Failed, Written::Done);
        }
        match written {
            Written::Failed => None,
            Written::Done(count) => {
                open.position.store(offset + count as u64, Ordering::Relaxed);
                count_write(count, host);
                let body = write_response(count);
                Some(self.respond(common, header, 0, body.as_bytes(), protection, right.take(), host))
            }
            Written::WouldBlock(done) => {
                add(&host.stats.fast_writes_deferred, 1);
                Some(Ok(self.write_later(common, request, write, running, right.take(), done)))
            }
        }
    }

    /// A write that is to go on behind `done` bytes, once it has its message.
    fn write_later(
        &mut self,
        common: &Common,
        request: &Request,
        write: &WriteRequest,
        running: Running,
        right: Option<SignOnce>,
        done: usize,
    ) -> Verdict {
        let length = write.length.get() as usize;
        self.deferred_bytes += length;
        let data = WRITE_REQUEST_BYTES..(WRITE_REQUEST_BYTES + length).min(request.message.len());
        let work = Work::Write { offset: write.offset.get(), data, done };
        Verdict::Later(Box::new(job(common, request, work, running, right)))
    }

    /// Whether a message that begins like this may be a WRITE which the fast path does: it is one that stands alone, or nobody
    /// can tell, because it is encrypted.
    pub(in crate::conn) fn may_write(&self, common: &Common, head: &[u8]) -> bool {
        let writes = Header::parse(head)
            .is_some_and(|header| header.command.get() == command::WRITE && header.next_command == 0);
        common.settings.authenticated && (writes || head.starts_with(&PROTOCOL_TRANSFORM))
    }

    /// Whether a message of `size` bytes that begins like this is a WRITE which the fast path would do now, with data that nobody
    /// has to look at: neither signed nor encrypted. Padding would be data, too: there must be none.
    pub(in crate::conn) fn would_write(&self, common: &Common, head: &[u8], size: usize) -> bool {
        const OTHERS: u32 = UNUSUAL | flags::SIGNED;
        let plain = Header::parse(head).filter(|header| {
            let alone = header.next_command == 0 && header.flags.get() & OTHERS == 0;
            common.settings.authenticated && alone && header.command.get() == command::WRITE
        });
        let Some(header) = plain else { return false };
        find_target(common, &header, head, size).is_some_and(|(write, open)| {
            size - WRITE_REQUEST_BYTES == write.length.get() as usize
                && protection(common, &header, None, open.encrypted_only).is_some()
                && open.gate.is_open(Level::Write)
        })
    }

    /// [MS-SMB2] 3.3.5.11
    pub(super) fn flush(&mut self, context: &mut Context) -> Answered {
        let Context { common, request, right, host } = context;
        let Request { header, message, encrypted, .. } = request;
        let flush = FlushRequest::of(message)?;
        let open = find_open(common, header, flush.file_id, 0, 0)?;
        let protection = protection(common, header, *encrypted, open.encrypted_only)?;
        open.in_sequence(header); // remembered, whatever it is
        let running = Some(open).filter(|open| open.writable)?.enter(Level::Write)?;
        if running.open().file.is_in_memory() {
            add(&host.stats.fast_flushes, 1);
            let body = Empty::new();
            return Some(self.respond(common, header, 0, body.as_bytes(), protection, right.take(), host));
        }
        if !host.can_defer {
            return None;
        }
        Some(Ok(Verdict::Later(Box::new(job(common, request, Work::Flush, running, right.take())))))
    }

    /// Queues the answer to a WRITE of `count` bytes or a FLUSH that a worker or the ring has done.
    pub(super) fn finish_write(
        &mut self,
        common: &mut Common,
        done: Done,
        count: usize,
        host: &mut Host,
    ) -> Result<(), Reason> {
        let Done { header, work, running, protection, right } = done;
        match work {
            Work::Write { offset, .. } | Work::WriteRest { offset, .. } => {
                running.open().position.store(offset + count as u64, Ordering::Relaxed);
                count_write(count, host);
                if let Work::WriteRest { rest, .. } = work {
                    let (way, bytes) = rest.give_back(&mut host.pool.pipes);
                    let counter = match way {
                        WriteRung::Fixed => &host.stats.written_fixed,
                        _ => &host.stats.written_spliced,
                    };
                    add(counter, bytes as u64);
                }
                let body = write_response(count);
                self.respond(common, &header, 0, body.as_bytes(), protection, right, host)?;
            }
            _ => {
                add(&host.stats.fast_flushes, 1);
                let body = Empty::new();
                self.respond(common, &header, 0, body.as_bytes(), protection, right, host)?;
            }
        }
        Ok(())
    }

    /// Queues the response to a FLUSH that has failed. Without the session's keys nobody can be told.
    pub(super) fn refuse_flush(
        &mut self,
        common: &mut Common,
        header: &Header,
        status: u32,
        protection: Option<Protection>,
        right: Option<SignOnce>,
        host: &mut Host,
    ) -> Result<(), Reason> {
        let Some(protection) = protection else { return Ok(()) };
        let body = ErrorResponse::new();
        self.respond(common, header, status, body.as_bytes(), protection, right, host).map(|_| ())
    }
}

/// The status of the response to a FLUSH that has ended so; None: the control plane decides. The kernel tells once that data
/// did not get to the disk: to ask it again would be to say that all is well.
pub(super) fn flush_failed(outcome: Result<usize, i32>) -> Option<u32> {
    match outcome.err()? {
        libc::EIO => Some(STATUS_IO_DEVICE_ERROR),
        libc::ENOSPC | libc::EDQUOT => Some(STATUS_DISK_FULL),
        _ => None,
    }
}

/// What a request in a message of `size` bytes is to write, and the open, if that may be written.
fn find_target<'a>(
    common: &Common,
    header: &Header,
    message: &'a [u8],
    size: usize,
) -> Option<(&'a WriteRequest, Arc<AttachedOpen>)> {
    let write = WriteRequest::of(message).filter(|write| is_plain_write(write, size))?;
    let open = find_open(common, header, write.file_id, write.length.get(), common.settings.max_write)?;
    open.writable.then_some((write, open))
}

fn count_write(count: usize, host: &Host) {
    add(&host.stats.fast_writes, 1);
    add(&host.stats.fast_write_bytes, count as u64);
}
