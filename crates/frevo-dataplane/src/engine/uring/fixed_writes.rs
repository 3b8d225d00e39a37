//! Large WRITEs that the ring does from memory that it knows (WRITE_FIXED).

use std::io;
use std::sync::Arc;

use io_uring::{opcode, types, IoUring};

use super::{Kind, Thread};
use crate::arena::Arena;
use crate::engine::fair_queue::Owner;
use crate::engine::Command;
use crate::file_job::{FileJob, Target, Work};

/// So much a thread registers, if it may.
const ARENA_BYTES: usize = 16 << 20;
/// With less it does without.
const ARENA_BYTES_MIN: usize = 1 << 20;

/// A write in the kernel.
pub(super) struct FileWrite {
    owner: Owner,
    job: FileJob,
    done: usize,
}

/// Memory that a ring knows: as much as this user may lock.
pub(super) fn register(uring: &IoUring) -> io::Result<Arc<Arena>> {
    let mut size = ARENA_BYTES;
    loop {
        let arena = Arena::new(size)?;
        // SAFETY: the mapping is there until the ring is gone: the thread drops it last. The kernel has its own hold on the pages.
        match unsafe { uring.submitter().register_buffers(&[arena.iovec()]) } {
            Ok(()) => return Ok(arena),
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) && size > ARENA_BYTES_MIN => size /= 2,
            Err(error) => return Err(error),
        }
    }
}

impl Thread {
    /// Starts the writes that are for the ring.
    pub(super) fn start_writes(&mut self) {
        let jobs: Vec<_> = self.table.host.jobs.extract_if(.., |job| is_for_the_ring(job)).collect();
        for job in jobs {
            let owner = self.table.owner_of(&job);
            self.waiting_writes.push(owner, job);
        }
        while let Some((owner, job)) = self.waiting_writes.start() {
            self.next_read += 1;
            self.submit_write(self.next_read, FileWrite { owner, job, done: 0 });
        }
    }

    /// Submits a write, as the open's user: the kernel takes that of the thread at this moment.
    fn submit_write(&mut self, number: u64, mut write: FileWrite) {
        let (Work::WriteRest { offset, rest, .. }, Target::Open(running)) =
            (&write.job.work, &write.job.file)
        else {
            return;
        };
        let (fd, place) = (types::Fd(running.open().file.descriptor()), offset + write.done as u64);
        let bytes = &rest.for_the_ring().unwrap_or_default()[write.done..];
        if let Err(error) = running.open().act() {
            let outcome = if write.done > 0 { Ok(write.done) } else { Err(error) };
            write.job.ended(outcome);
            return self.end_write(write);
        }
        let (start, length) = (bytes.as_ptr(), u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        let entry = opcode::WriteFixed::new(fd, start, length, 0).offset(place).build();
        // The memory stays where it is while the job is in the table.
        self.writes.insert(number, write);
        self.arm(entry, Kind::FileWrite, number);
        let _ = self.uring.submit(); // what the kernel does not take now it takes in the next turn
    }

    /// A write has ended, or so much of it.
    pub(super) fn file_written(&mut self, number: u64, result: i32) {
        let Some(mut write) = self.writes.remove(&number) else { return };
        match usize::try_from(result) {
            Ok(count) if count > 0 && write.done + count < write.job.length() => {
                write.done += count;
                return self.submit_write(number, write); // it goes on, or says why not
            }
            Ok(count) => write.done += count,
            Err(_) if [libc::EINTR, libc::EAGAIN].contains(&-result) => {
                return self.submit_write(number, write);
            }
            Err(_) => (),
        }
        if let Work::WriteRest { rest, .. } = &mut write.job.work {
            rest.written(write.done);
        }
        let outcome = match (write.done, result) {
            (0, 0) => Err(io::Error::from_raw_os_error(libc::ENOSPC)), // no progress
            (0, _) => Err(io::Error::from_raw_os_error(-result)),
            (done, _) => Ok(done),
        };
        write.job.ended(outcome);
        self.end_write(write);
    }

    fn end_write(&mut self, write: FileWrite) {
        self.waiting_writes.done(write.owner);
        self.table.command(Command::FileDone(Box::new(write.job)));
    }
}

/// A file system that does not tell whether it waits is left to the workers, as for reads.
fn is_for_the_ring(job: &FileJob) -> bool {
    match (&job.work, &job.file) {
        (Work::WriteRest { rest, .. }, Target::Open(running)) => {
            rest.for_the_ring().is_some() && running.open().file.would_tell()
        }
        _ => false,
    }
}
