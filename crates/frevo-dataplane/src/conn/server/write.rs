//! The fast path of WRITE and FLUSH. Whatever is unusual about a request, and every error, is the control plane's: it gets
//! the request only when nothing was done for it here.

use std::sync::atomic::Ordering;

use zerocopy::IntoBytes;

use super::answer::{find_open, job, protection, Answered, Done, Request};
use super::Server;
use crate::conn::common::Common;
use crate::conn::input::Verdict;
use crate::conn::Host;
use crate::crypto::SignOnce;
use crate::event::Reason;
use crate::file_job::Work;
use crate::gate::Level;
use crate::stats::add;
use crate::wire::{Body, Empty, FlushRequest, WriteRequest};
use crate::writing::{is_plain_write, write_response, Written, WRITE_REQUEST_BYTES};

impl Server {
    /// [MS-SMB2] 3.3.5.13
    pub(super) fn write(
        &mut self,
        common: &mut Common,
        request: &Request,
        right: &mut Option<SignOnce>,
        host: &mut Host,
    ) -> Answered {
        let Request { header, message, encrypted } = request;
        let write = WriteRequest::of(message).filter(|write| is_plain_write(write, message.len()))?;
        // In a request the field is the ChannelSequence (3.3.5.2.10), which only a client with several channels changes.
        if header.status != 0 {
            return None;
        }
        let (length, offset) = (write.length.get(), write.offset.get());
        let open = find_open(common, header, write.file_id, length, common.settings.max_write)?;
        let protection = protection(common, header, *encrypted, open.encrypted_only)?;
        let running = Some(&open).filter(|open| open.writable)?.enter(Level::Write)?;
        open.act().ok()?;

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
                self.deferred_bytes += data.len();
                let data = WRITE_REQUEST_BYTES..WRITE_REQUEST_BYTES + data.len();
                let work = Work::Write { offset, data, done };
                Some(Ok(Verdict::Later(Box::new(job(common, request, work, running, right.take())))))
            }
        }
    }

    /// [MS-SMB2] 3.3.5.11
    pub(super) fn flush(
        &mut self,
        common: &mut Common,
        request: &Request,
        right: &mut Option<SignOnce>,
        host: &mut Host,
    ) -> Answered {
        let Request { header, message, encrypted } = request;
        let flush = FlushRequest::of(message)?;
        let open = find_open(common, header, flush.file_id, 0, 0)?;
        let protection = protection(common, header, *encrypted, open.encrypted_only)?;
        let running = Some(&open).filter(|open| open.writable)?.enter(Level::Write)?;
        if open.file.is_in_memory() {
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
            Work::Write { offset, .. } => {
                running.open().position.store(offset + count as u64, Ordering::Relaxed);
                count_write(count, host);
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
}

fn count_write(count: usize, host: &Host) {
    add(&host.stats.fast_writes, 1);
    add(&host.stats.fast_write_bytes, count as u64);
}
