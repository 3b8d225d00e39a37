//! Reads of files that would block, done by the ring.

use std::io;

use io_uring::{opcode, types};

use super::{Kind, Thread};
use crate::engine::fair_queue::Owner;
use crate::engine::Command;
use crate::file_job::{FileJob, Target, Work};

/// Reads of one file system in the kernel, of one thread: fewer than the queue of a disk holds, since the kernel makes
/// the thread wait when it is full.
pub(super) const READS_MAX: usize = 48;

/// A file read in the kernel.
pub(super) struct FileRead {
    owner: Owner,
    job: FileJob,
    done: usize,
}

impl Thread {
    /// Starts the file reads, leaves the rest to the workers, and hands the events to the control plane.
    pub(super) fn deliver(&mut self) {
        let jobs: Vec<_> = self.table.host.jobs.extract_if(.., |job| is_for_the_ring(job)).collect();
        for job in jobs {
            self.waiting_reads.push(self.table.owner_of(&job), job);
        }
        self.start_reads();
        self.start_writes();
        self.table.deliver();
    }

    fn start_reads(&mut self) {
        while let Some((owner, job)) = self.waiting_reads.start() {
            self.next_read += 1;
            self.submit_read(self.next_read, FileRead { owner, job, done: 0 });
        }
    }

    fn submit_read(&mut self, number: u64, mut read: FileRead) {
        let (Work::Read { offset, .. } | Work::ReadTo { offset, .. }, Target::Open(running)) =
            (&read.job.work, &read.job.file)
        else {
            return;
        };
        let (offset, fd) = (offset + read.done as u64, types::Fd(running.open().file.descriptor()));
        let room = &mut read.job.work.room()[read.done..];
        let entry = opcode::Read::new(fd, room.as_mut_ptr().cast(), room.len() as u32).offset(offset).build();
        // The buffer's memory stays where it is when the job moves into the table.
        self.reads.insert(number, read);
        self.arm(entry, Kind::FileRead, number);
    }

    pub(super) fn file_read(&mut self, number: u64, result: i32) {
        let Some(mut read) = self.reads.remove(&number) else { return };
        let outcome = match usize::try_from(result) {
            Ok(0) => Ok(read.done),
            Ok(count) if read.done + count == read.job.length() => Ok(read.job.length()),
            Ok(count) => {
                read.done += count;
                return self.submit_read(number, read); // to the end of the file, where 0 comes
            }
            Err(_) if [libc::EINTR, libc::EAGAIN].contains(&-result) => {
                return self.submit_read(number, read)
            }
            Err(_) => Err(io::Error::from_raw_os_error(-result)),
        };
        read.job.ended(outcome);
        self.waiting_reads.done(read.owner);
        self.table.command(Command::FileDone(Box::new(read.job)));
        self.start_reads();
    }
}

/// The kernel's threads serve all file systems, so a file system that does not tell whether it waits is left to the workers.
/// They fill the pipes, too: of a ring, threads of the kernel would do it.
fn is_for_the_ring(job: &FileJob) -> bool {
    match (&job.work, &job.file) {
        (Work::Read { .. } | Work::ReadTo { .. }, Target::Open(running)) => running.open().file.tells(),
        _ => false,
    }
}
