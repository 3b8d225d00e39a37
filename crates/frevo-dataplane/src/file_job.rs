//! What may block: reads, writes and flushes of files. Workers and the ring have one kind of job for all of them, whichever
//! side of a connection it is for.

use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use frevo_rdma::provider::Memory;

use crate::attached::{AttachedOpen, Running};
use crate::crypto::SignOnce;
use crate::event::ConnectionId;
use crate::fast::OpenFile;
use crate::pipe::PipeRun;
use crate::pump::{self, PumpId};
use crate::rest::Rest;
use crate::waiting::Waits;

/// Something to do to a file.
#[derive(Debug)]
pub struct FileJob {
    /// Whose it is.
    pub connection: ConnectionId,
    /// What to do.
    pub work: Work,
    /// To which file.
    pub file: Target,
    /// Ends with the message that it is about: a READ, WRITE or FLUSH request, or the answer whose data is stored.
    pub packet: Vec<u8>,
    /// Bytes of that message, which starts with its SMB2 header.
    pub size: usize,
    /// What it is for.
    pub purpose: Purpose,
    /// How many bytes were read or written, or errno; None before.
    pub outcome: Option<Result<usize, i32>>,
    /// It is counted among those that wait for the file system.
    pub(crate) _waits: Option<Waits>,
}

/// What a job does.
#[derive(Debug)]
pub enum Work {
    /// Reads all of the range, or to the end of the file.
    Read {
        /// Where in the file.
        offset: u64,
        /// How many bytes.
        length: usize,
        /// Room for a frame with a READ response, and where in it the data is to be.
        room: (Vec<u8>, usize),
    },
    /// The same, into memory that RDMA carries it from.
    ReadTo {
        /// Where in the file.
        offset: u64,
        /// How many bytes.
        length: usize,
        /// Where the data goes.
        memory: Memory,
    },
    /// The same, into empty pipes.
    Splice {
        /// Where in the file.
        offset: u64,
        /// How many bytes.
        length: usize,
        /// Where the data goes.
        pipes: PipeRun,
    },
    /// Writes data of the message.
    Write {
        /// Where in the file.
        offset: u64,
        /// Which bytes of the message.
        data: Range<usize>,
        /// How many of them are written already.
        done: usize,
    },
    /// Writes data of the message and what follows the message in pipes.
    WriteRest {
        /// Where in the file.
        offset: u64,
        /// Which bytes of the message.
        data: Range<usize>,
        /// What follows it.
        rest: Rest,
    },
    /// Writes what the file has to disk.
    Flush,
}

/// The file of a job.
#[derive(Debug)]
pub enum Target {
    /// That of an attached open; holders of its gate wait until the response is queued.
    Open(Running),
    /// A file of our own.
    Local(Arc<OpenFile>),
}

/// What becomes of the result.
#[derive(Debug)]
pub enum Purpose {
    /// It answers a request of a client, or the control plane does if nothing was done.
    Answer {
        /// SessionId of the transform header, None for a plain request.
        encrypted: Option<u64>,
        /// For the response.
        right: Option<SignOnce>,
    },
    /// It is the rest of a response, of that number, whose beginning waits to be sent.
    Rest(u64),
    /// A pump gets it.
    Pump {
        /// Which one.
        pump: PumpId,
        /// Its request.
        operation: pump::Operation,
        /// Latency of the response.
        ns: u64,
        /// The other jobs of its pump.
        series: Arc<Series>,
    },
}

impl FileJob {
    /// With its packet.
    pub(crate) fn with(mut self, packet: Vec<u8>) -> FileJob {
        self.packet = packet;
        self
    }

    /// With what follows the message of a [`Work::Write`].
    pub(crate) fn with_rest(mut self, rest: Rest) -> FileJob {
        if let Work::Write { offset, data, .. } = self.work {
            self.work = Work::WriteRest { offset, data, rest };
        }
        self
    }

    /// With the head of its message, and the data of its [`Work::Write`].
    pub(crate) fn with_slot(mut self, head: Vec<u8>, mut rest: Rest) -> FileJob {
        rest.truncate(self.length());
        self.size = head.len();
        if let Work::Write { data, .. } = &mut self.work {
            *data = head.len()..head.len();
        }
        self.with(head).with_rest(rest)
    }

    /// False: a write to this file never blocks.
    pub(crate) fn may_block(&self) -> bool {
        match &self.file {
            Target::Open(running) => !running.open().file.never_blocks(),
            Target::Local(file) => !file.never_blocks(),
        }
    }

    /// Where its message starts in the packet.
    pub fn start(&self) -> usize {
        self.packet.len() - self.size
    }

    /// Its message, which starts with its header.
    pub fn message(&self) -> &[u8] {
        &self.packet[self.start()..]
    }

    /// The number of its file system.
    pub(crate) fn device(&self) -> u64 {
        match &self.file {
            Target::Open(running) => running.open().file.device().number,
            Target::Local(file) => file.device().number,
        }
    }

    /// The jobs that it may not run beside.
    pub(crate) fn series(&self) -> Option<&Arc<Series>> {
        match &self.purpose {
            Purpose::Pump { series, .. } => Some(series),
            Purpose::Answer { .. } | Purpose::Rest(_) => None,
        }
    }

    /// Bytes of data that it moves.
    pub(crate) fn length(&self) -> usize {
        match &self.work {
            Work::Read { length, .. } | Work::ReadTo { length, .. } | Work::Splice { length, .. } => *length,
            Work::Write { data, .. } => data.len(),
            Work::WriteRest { data, rest, .. } => data.len() + rest.length(),
            Work::Flush => 0,
        }
    }

    /// Does it; may block.
    pub fn run(&mut self) {
        let message = &self.packet[self.packet.len() - self.size..];
        let result = match &self.file {
            Target::Open(running) => self.work.run(running.open(), message),
            Target::Local(file) => self.work.run_locally(file, message),
        };
        self.ended(result);
    }

    /// Keeps the result.
    pub(crate) fn ended(&mut self, result: io::Result<usize>) {
        self.outcome = Some(result.map_err(|error| error.raw_os_error().unwrap_or(libc::EIO)));
    }
}

impl Work {
    fn run(&mut self, open: &AttachedOpen, message: &[u8]) -> io::Result<usize> {
        match self {
            Work::Read { offset, length, room } => open.file.read_blocking(empty(room, *length), *offset),
            Work::ReadTo { offset, length, memory } => {
                open.file.read_blocking(&mut memory.room()[..*length], *offset)
            }
            Work::Splice { offset, length, pipes } => open.file.splice_blocking(pipes, *offset, *length),
            Work::Write { offset, data, done } => match open.act() {
                Ok(()) => open.file.write_blocking(&message[data.clone()], *offset, *done),
                // What was written stays written, and is not written again.
                Err(_) if *done > 0 => Ok(*done),
                Err(error) => Err(error),
            },
            Work::WriteRest { offset, data, rest } => {
                open.act()?;
                let data = &message[data.clone()];
                let done = open.file.write_blocking(data, *offset, 0)?;
                if done < data.len() {
                    return Ok(done);
                }
                match rest.store(&open.file, *offset + done as u64) {
                    Err(_) if done > 0 => Ok(done),
                    result => result.map(|count| done + count),
                }
            }
            Work::Flush => open.act().and_then(|()| open.file.flush()).map(|()| 0),
        }
    }

    /// The packet of a job that has done nothing, with all of its message.
    pub(crate) fn whole(self, mut packet: Vec<u8>) -> io::Result<Vec<u8>> {
        if let Work::WriteRest { rest, .. } = self {
            rest.append_to(&mut packet)?;
        }
        Ok(packet)
    }

    fn run_locally(&mut self, file: &OpenFile, message: &[u8]) -> io::Result<usize> {
        match self {
            Work::Write { offset, data, done } => {
                let (rest, place) = (&message[data.clone()][*done..], offset.saturating_add(*done as u64));
                pump::write_all(file.descriptor(), rest, place).map(|()| data.len())
            }
            Work::WriteRest { offset, data, rest } => {
                let data = &message[data.clone()];
                pump::write_all(file.descriptor(), data, *offset)?;
                let (place, mut done) = (offset.saturating_add(data.len() as u64), 0);
                while done < rest.length() {
                    match rest.store(file, place.saturating_add(done as u64))? {
                        0 => return Err(io::ErrorKind::WriteZero.into()),
                        count => done += count,
                    }
                }
                Ok(data.len() + done)
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Where the data of a [`Work::Read`] or [`Work::ReadTo`] goes; it stays in place while the job moves.
    pub(crate) fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        match self {
            Work::Read { length, room, .. } => empty(room, *length),
            Work::ReadTo { length, memory, .. } => &mut memory.room()[..*length],
            _ => &mut [],
        }
    }
}

/// The place for data in an empty buffer, which is made large enough.
fn empty((buffer, start): &mut (Vec<u8>, usize), length: usize) -> &mut [MaybeUninit<u8>] {
    buffer.clear();
    buffer.reserve(*start + length);
    &mut buffer.spare_capacity_mut()[*start..][..length]
}

/// Jobs that exclude each other, as the writes of one pump: they run one after the other, in order.
#[derive(Debug, Default)]
pub struct Series {
    /// Those that wait, and whether a worker is at them.
    state: Mutex<(VecDeque<FileJob>, bool)>,
}

impl Series {
    fn state(&self) -> MutexGuard<'_, (VecDeque<FileJob>, bool)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job; true if no worker is at them, so that the caller must start one.
    pub(crate) fn push(&self, job: FileJob) -> bool {
        let mut state = self.state();
        state.0.push_back(job);
        !std::mem::replace(&mut state.1, true)
    }

    /// The next job; None ends the work.
    pub(crate) fn next(&self) -> Option<FileJob> {
        let mut state = self.state();
        let job = state.0.pop_front();
        state.1 = job.is_some();
        job
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attached::open_of;
    use crate::fast::temporary_file;
    use crate::gate::{Gate, Level};

    fn job(work: Work, file: Target, packet: &[u8], size: usize) -> FileJob {
        FileJob {
            connection: 1,
            work,
            file,
            packet: packet.to_vec(),
            size,
            purpose: Purpose::Answer { encrypted: None, right: None },
            outcome: None,
            _waits: None,
        }
    }

    #[test]
    fn data_comes_from_the_message_behind_whatever_was_before_it() {
        let gate = Arc::new(Gate::new());
        let open = open_of(b"0123456789", &gate);
        let running = || Target::Open(open.clone().enter(Level::Write).unwrap());
        let write = |done| Work::Write { offset: 2, data: 1..4, done };
        let mut all = job(write(0), running(), b"frame-abcd", 4);
        all.run();
        assert_eq!((all.outcome, all.start(), all.message()), (Some(Ok(3)), 6, &b"abcd"[..]));
        let mut rest = job(write(2), running(), b"wxyz", 4);
        rest.run();
        assert_eq!(rest.outcome, Some(Ok(3)));
        let mut read = job(Work::Read { offset: 1, length: 20, room: (Vec::new(), 7) }, running(), b"", 0);
        read.run();
        assert_eq!(read.outcome, Some(Ok(9)));
        // SAFETY: nine bytes were read just now.
        let found = read.work.room()[..9].iter().map(|byte| unsafe { byte.assume_init() });
        assert_eq!(found.collect::<Vec<u8>>(), b"1bcz56789");
        let mut flush = job(Work::Flush, running(), b"", 0);
        flush.run();
        assert_eq!((flush.outcome, flush.length()), (Some(Ok(0)), 0));
    }

    #[test]
    fn an_error_has_its_number() {
        let file = OpenFile::new(std::fs::File::open("/").unwrap().into());
        let file = Target::Local(Arc::new(file));
        let mut store = job(Work::Write { offset: 0, data: 0..1, done: 0 }, file, b"a", 1);
        store.run();
        assert_eq!(store.outcome, Some(Err(libc::EBADF)));
    }

    #[test]
    fn one_worker_is_at_a_series() {
        let (series, file) = (Series::default(), Arc::new(OpenFile::new(temporary_file(b""))));
        let push = |data| {
            let work = Work::Write { offset: 0, data, done: 0 };
            series.push(job(work, Target::Local(file.clone()), b"abc", 3))
        };
        assert!(push(0..1) && !push(1..2));
        assert_eq!(series.next().map(|job| job.length()), Some(1));
        assert!(!push(0..3), "the worker comes back for it");
        assert_eq!([(); 3].map(|()| series.next().map(|job| job.length())), [Some(1), Some(3), None]);
        assert!(push(0..1), "the worker has gone");
    }
}
