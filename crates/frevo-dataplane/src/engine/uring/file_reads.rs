//! Reads of files that would block, done by the ring.

use io_uring::{opcode, types};

use super::{Kind, Thread};
use crate::engine::fair_queue::Owner;
use crate::engine::Command;
use crate::fast::{Attempt, ReadJob};

/// Reads of one file system in the kernel, of one thread: fewer than the queue of a disk holds, since the kernel makes
/// the thread wait when it is full.
pub(super) const READS_MAX: usize = 48;

/// A file read in the kernel.
pub(super) struct FileRead {
    owner: Owner,
    pub(super) job: ReadJob,
    pub(super) done: usize,
}

impl Thread {
    /// Starts the file reads and hands the events to the control plane. The kernel's threads serve all file systems, so a
    /// file system that does not tell whether it waits is left to the workers.
    pub(super) fn deliver(&mut self) {
        // Pipes are filled by workers: of a ring, threads of the kernel would do it.
        let by_ring = |job: &mut ReadJob| job.running.open().file.tells() && job.pipes.is_none();
        for job in self.table.host.jobs.extract_if(.., by_ring) {
            let owner = Owner { device: job.waits.device(), connection: job.connection };
            self.waiting_reads.push(owner, job);
        }
        self.start_reads();
        self.table.deliver();
    }

    fn start_reads(&mut self) {
        while let Some((owner, mut job)) = self.waiting_reads.start() {
            job.make_room();
            self.next_read += 1;
            self.submit_read(self.next_read, FileRead { owner, job, done: 0 });
        }
    }

    pub(super) fn submit_read(&mut self, number: u64, mut read: FileRead) {
        let offset = read.job.read.offset.get() + read.done as u64;
        let fd = types::Fd(read.job.running.open().file.descriptor());
        let room = &mut read.job.room()[read.done..];
        let entry = opcode::Read::new(fd, room.as_mut_ptr().cast(), room.len() as u32).offset(offset).build();
        // The buffer's memory stays where it is when the job moves into the table.
        self.reads.insert(number, read);
        self.arm(entry, Kind::FileRead, number);
    }

    pub(super) fn file_read(&mut self, number: u64, result: i32) {
        let Some(mut read) = self.reads.remove(&number) else { return };
        let length = read.job.read.length.get() as usize;
        match result {
            count @ 1.. => read.done += count as usize,
            0 => (),
            _ if [libc::EINTR, libc::EAGAIN].contains(&-result) => return self.submit_read(number, read),
            _ => read.job.outcome = Some(Attempt::Failed),
        }
        if result > 0 && read.done < length {
            return self.submit_read(number, read); // to the end of the file, where 0 comes
        }
        read.job.outcome.get_or_insert(Attempt::Done(read.done));
        self.waiting_reads.done(read.owner);
        self.table.command(Command::ReadDone(read.job));
        self.start_reads();
    }
}
