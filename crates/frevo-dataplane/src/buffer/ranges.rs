//! Output that is still in a file: the rest of a response whose header waits already. It is read in pieces when the carrier takes
//! them, so that they are sent while they are in the processor's cache, and a slow peer costs one piece of memory.

use std::io;
use std::sync::Arc;

use super::{Output, Pool, Segment};
use crate::attached::Running;
use crate::event::{ConnectionId, Flow};
use crate::fast::Attempt;
use crate::file_job::Work;

/// Bytes of a piece.
pub const PIECE_BYTES: usize = 256 * 1024;
/// While so many bytes wait before it, the next piece is not read.
pub(super) const AHEAD_BYTES: usize = 64 * 1024;

/// What a file has of a response.
#[derive(Debug)]
pub(super) struct FileRange {
    running: Running,
    offset: u64,
    pub(super) rest: usize,
}

/// The rest of a range that is not in memory: a job brings it.
#[derive(Debug)]
pub(crate) struct Missing {
    /// For [`Output::bring`].
    pub(crate) number: u64,
    pub(crate) work: Work,
    pub(crate) running: Running,
}

impl Output {
    /// Queues `length` bytes of a file, which are read later; those that it does not have any more are sent as zeros.
    pub(crate) fn push_file(&mut self, running: Running, offset: u64, length: usize) {
        self.bytes += length;
        self.files += 1;
        self.segments.push_back(Segment::File(FileRange { running, offset, rest: length }));
    }

    /// True if something that waits is in a file.
    pub fn has_files(&self) -> bool {
        self.files > 0
    }

    /// True while a job brings what is to be sent next.
    pub(crate) fn is_missing(&self) -> bool {
        let front = || self.segments.iter().find(|segment| segment.rest() > 0);
        self.has_files() && matches!(front(), Some(Segment::Missing { .. }))
    }

    /// Reads the next piece if it is its turn. What is not in memory is missing from then on, and to be brought, unless this
    /// `may_block`.
    pub(crate) fn load(&mut self, pool: &mut Pool, may_block: bool) -> io::Result<Option<Missing>> {
        let mut ahead = 0;
        for (index, segment) in self.segments.iter().enumerate() {
            match segment {
                Segment::File(_) => return self.read(index, PIECE_BYTES, pool, may_block),
                Segment::Bytes { .. } => ahead += segment.rest(),
                Segment::Pipe(_) | Segment::Missing { .. } => break,
            }
            if ahead >= AHEAD_BYTES {
                break;
            }
        }
        Ok(None)
    }

    /// Leaves what is in files there until the carrier takes more, or until `flow` is woken because somebody holds a file:
    /// of one that is held, everything is read now, or missing.
    pub(crate) fn park(
        &mut self,
        connection: ConnectionId,
        flow: &Arc<Flow>,
        pool: &mut Pool,
    ) -> io::Result<Vec<Missing>> {
        let mut missing = Vec::new();
        for index in 0..self.segments.len() {
            let Segment::File(range) = &self.segments[index] else { continue };
            if !range.running.park(connection, flow) {
                missing.extend(self.read(index, usize::MAX, pool, false)?);
            }
        }
        Ok(missing)
    }

    /// Puts what was missing in its place: `count` bytes in a buffer.
    pub(crate) fn bring(&mut self, number: u64, mut buffer: Vec<u8>, count: usize) {
        let this =
            |segment: &Segment| matches!(segment, Segment::Missing { number: of, .. } if *of == number);
        let Some(index) = self.segments.iter().position(this) else { return };
        let bytes = self.segments[index].rest();
        assert!(count <= buffer.capacity());
        // SAFETY: the job has initialised `count` bytes of the empty buffer.
        unsafe { buffer.set_len(count) };
        buffer.resize(bytes, 0);
        self.files -= 1;
        self.segments[index] = Segment::own(buffer, 0);
    }

    /// Reads up to `limit` bytes of a range, and puts them before it.
    fn read(
        &mut self,
        index: usize,
        limit: usize,
        pool: &mut Pool,
        may_block: bool,
    ) -> io::Result<Option<Missing>> {
        let Segment::File(range) = &mut self.segments[index] else { return Ok(None) };
        let length = range.rest.min(limit);
        let mut buffer = pool.take(length);
        let room = &mut buffer.spare_capacity_mut()[..length];
        let file = &range.running.open().file;
        let count = match file.read_nowait(room, range.offset) {
            Attempt::Done(count) => count,
            Attempt::WouldBlock if may_block => file.read_blocking(room, range.offset)?,
            Attempt::WouldBlock => {
                pool.put(buffer);
                return Ok(self.miss(index, pool));
            }
            Attempt::Failed => return Err(io::Error::from_raw_os_error(libc::EIO)),
        };
        // Somebody has made the file shorter since the header promised its bytes.
        room[count..].fill(std::mem::MaybeUninit::new(0));
        // SAFETY: `length` bytes were initialised just now.
        unsafe { buffer.set_len(length) };
        range.offset += length as u64;
        range.rest -= length;
        let piece = Segment::own(buffer, 0);
        if range.rest > 0 {
            self.segments.insert(index, piece);
        } else {
            self.files -= 1;
            self.segments[index] = piece;
        }
        Ok(None)
    }

    fn miss(&mut self, index: usize, pool: &mut Pool) -> Option<Missing> {
        self.missed += 1;
        let number = self.missed;
        let bytes = self.segments[index].rest();
        let before = std::mem::replace(&mut self.segments[index], Segment::Missing { number, bytes });
        let Segment::File(FileRange { running, offset, rest }) = before else { return None };
        let work = Work::Read { offset, length: rest, room: (pool.take(rest), 0) };
        Some(Missing { number, work, running })
    }
}
