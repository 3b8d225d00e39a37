//! Output: segments of bytes, in pooled buffers that are filled in place, and of files, in pipes or not read yet.

mod pool;
mod ranges;
mod reserve;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::Arc;

use bytes::Bytes;

use crate::pipe::{Pipe, PipeRun};

pub(crate) use pool::give_back;
use pool::Returning;
pub use pool::{Pool, SMALL_BYTES};
use ranges::FileRange;
pub(crate) use ranges::Missing;
pub use ranges::PIECE_BYTES;
pub(crate) use reserve::{let_go, room, shrink};

/// The bytes of a segment.
#[derive(Debug)]
enum Data {
    Own(Vec<u8>),
    /// The carrier has them, too.
    Shared(Bytes),
}

impl Data {
    /// How many bytes may be appended.
    fn room(&self) -> usize {
        match self {
            Data::Own(buffer) => buffer.capacity() - buffer.len(),
            Data::Shared(_) => 0,
        }
    }
}

impl Deref for Data {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Data::Own(buffer) => buffer,
            Data::Shared(bytes) => bytes,
        }
    }
}

/// A piece of output.
#[derive(Debug)]
enum Segment {
    /// Bytes, and the place of the first unsent one.
    Bytes { data: Data, position: usize },
    /// Pages of a file.
    Pipe(Pipe),
    /// A range of a file.
    File(FileRange),
    /// What a job brings.
    Missing { number: u64, bytes: usize },
}

impl Segment {
    fn own(buffer: Vec<u8>, position: usize) -> Segment {
        Segment::Bytes { data: Data::Own(buffer), position }
    }

    /// Bytes that are not sent yet.
    fn rest(&self) -> usize {
        match self {
            Segment::Bytes { data, position } => data.len() - position,
            Segment::Pipe(pipe) => pipe.len(),
            Segment::File(range) => range.rest,
            Segment::Missing { bytes, .. } => *bytes,
        }
    }

    /// Those bytes, where they are in memory.
    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Segment::Bytes { data, position } => Some(&data[*position..]),
            _ => None,
        }
    }

    /// How many bytes may be appended.
    fn room(&self) -> usize {
        match self {
            Segment::Bytes { data, .. } => data.room(),
            _ => 0,
        }
    }
}

/// The output of a connection.
#[derive(Debug, Default)]
pub struct Output {
    segments: VecDeque<Segment>,
    bytes: usize,
    /// How many of the segments are pipes.
    pipes: usize,
    /// How many of them are in files, or missing.
    files: usize,
    /// How many were ever missing.
    missed: u64,
    sent: Arc<AtomicU64>,
    /// Bytes of pieces that the carrier keeps.
    shared: Arc<AtomicUsize>,
    /// A thread is sending the front: no other may send or remove it.
    busy: bool,
}

/// Output being sent without the lock of its connection.
#[derive(Debug)]
pub struct Loan(VecDeque<Segment>);

impl Loan {
    /// The pieces to send.
    pub fn slices(&self) -> impl Iterator<Item = IoSlice<'_>> {
        slices(&self.0)
    }
}

/// The bytes before the first pipe or file.
fn slices(segments: &VecDeque<Segment>) -> impl Iterator<Item = IoSlice<'_>> {
    segments.iter().map_while(Segment::bytes).filter(|rest| !rest.is_empty()).map(IoSlice::new)
}

impl Output {
    /// Bytes waiting.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Bytes in memory, sent or not: those that wait, and those that the carrier still keeps.
    pub fn held(&self) -> usize {
        let counted_twice = match self.segments.front() {
            Some(Segment::Bytes { data: Data::Shared(bytes), position }) => bytes.len() - position,
            _ => 0, // only the front is ever shared
        };
        self.bytes - counted_twice + self.shared.load(Ordering::Relaxed)
    }

    /// Bytes sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Where in the stream what waits ends.
    pub(crate) fn end(&self) -> u64 {
        self.sent() + self.bytes as u64
    }

    /// Counts what is sent there.
    pub(crate) fn count_in(&mut self, sent: Arc<AtomicU64>) {
        self.sent = sent;
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Queues `data[position..]`.
    pub fn push(&mut self, data: Vec<u8>, position: usize) {
        self.bytes += data.len() - position;
        self.segments.push_back(Segment::own(data, position));
    }

    /// Queues bytes that others may have, too.
    pub fn push_shared(&mut self, data: Bytes) {
        self.bytes += data.len();
        self.segments.push_back(Segment::Bytes { data: Data::Shared(data), position: 0 });
    }

    /// Queues what is in pipes.
    pub fn push_pipes(&mut self, run: PipeRun, pool: &mut Pool) {
        for pipe in run {
            if pipe.is_empty() {
                pool.pipes.put(pipe);
                continue;
            }
            self.bytes += pipe.len();
            self.pipes += 1;
            self.segments.push_back(Segment::Pipe(pipe));
        }
    }

    /// Queues a copy of a few bytes.
    pub fn push_small(&mut self, bytes: &[u8], pool: &mut Pool) {
        let tail = self.tail(bytes.len(), pool);
        tail.extend_from_slice(bytes);
        self.committed(bytes.len());
    }

    /// A buffer at the end of the queue with room for `size` more bytes. Call [`Output::committed`] afterwards.
    pub fn tail(&mut self, size: usize, pool: &mut Pool) -> &mut Vec<u8> {
        if self.segments.back().is_none_or(|segment| segment.room() < size) {
            self.segments.push_back(Segment::own(pool.take(size), 0));
        }
        match self.segments.back_mut() {
            Some(Segment::Bytes { data: Data::Own(buffer), .. }) => buffer,
            _ => unreachable!("a segment with room was just made sure of"),
        }
    }

    /// Counts `size` bytes that were appended to the tail.
    pub fn committed(&mut self, size: usize) {
        self.bytes += size;
    }

    /// The next bytes to send in at most `limit` pieces, up to a pipe or file.
    pub fn slices(&self, limit: usize) -> impl Iterator<Item = IoSlice<'_>> {
        slices(&self.segments).take(limit)
    }

    /// The first `count` bytes, as far as they are in memory.
    pub fn front_bytes(&self, mut count: usize) -> impl Iterator<Item = &[u8]> {
        let pieces = self.segments.iter().map_while(Segment::bytes).filter(|rest| !rest.is_empty());
        pieces.map_while(move |rest| {
            let taken = count.min(rest.len());
            count -= taken;
            (taken > 0).then(|| &rest[..taken])
        })
    }

    /// True if the first `count` bytes are there, and in memory.
    pub fn has_in_memory(&self, count: usize) -> bool {
        self.bytes >= count && self.front_bytes(count).map(<[u8]>::len).sum::<usize>() == count
    }

    /// True if a pipe waits.
    pub fn has_pipes(&self) -> bool {
        self.pipes > 0
    }

    /// The pipe that is to be sent next, if it is one, and whether more is to be sent after it.
    pub fn front_pipe(&self) -> Option<(&Pipe, bool)> {
        let front = self.segments.iter().find(|segment| segment.rest() > 0)?;
        match front {
            Segment::Pipe(pipe) => Some((pipe, self.bytes > pipe.len())),
            _ => None,
        }
    }

    /// Makes the pipe that is to be sent next bytes, for a socket that takes no pipes.
    pub fn copy_front_pipe(&mut self) -> io::Result<()> {
        let front = self.segments.iter_mut().find(|segment| segment.rest() > 0);
        if let Some(front) = front {
            if let Segment::Pipe(pipe) = front {
                *front = Segment::own(pipe.take()?, 0);
                self.pipes -= 1;
            }
        }
        Ok(())
    }

    /// True if something waits for the carrier, and no thread is sending.
    pub fn is_waiting(&self) -> bool {
        self.bytes > 0 && !self.busy && !self.is_missing()
    }

    /// True while a thread is sending the front.
    pub fn is_busy(&self) -> bool {
        self.busy
    }

    /// Sets whether the front is being sent.
    pub fn set_busy(&mut self, busy: bool) {
        self.busy = busy;
    }

    /// Takes everything that waits, up to `limit` bytes, for a send without the lock; it counts as waiting until
    /// [`Output::settle`]. None if nothing waits, more does, pipes or files do, or a thread is already sending.
    pub fn lend(&mut self, limit: usize) -> Option<Loan> {
        if self.busy || self.bytes == 0 || self.bytes > limit || self.has_pipes() || self.has_files() {
            return None;
        }
        self.busy = true;
        Some(Loan(std::mem::take(&mut self.segments)))
    }

    /// Takes back what was lent, of which `sent` bytes have been sent.
    pub fn settle(&mut self, loan: Loan, sent: usize) {
        let later = std::mem::replace(&mut self.segments, loan.0);
        self.busy = false;
        self.advance(sent, &mut Pool::default());
        self.segments.extend(later);
    }

    /// Everything that waits, if it is one piece of at most `limit` bytes. Its memory stays in place until
    /// [`Output::advance`] has passed it, even if more is queued meanwhile.
    pub fn single(&self, limit: usize) -> Option<&[u8]> {
        let rest = self.segments.front()?.bytes()?;
        (!rest.is_empty() && rest.len() == self.bytes && rest.len() <= limit).then_some(rest)
    }

    /// The first piece, which the caller may keep without a copy; None when it has fewer than `minimum` bytes, which are
    /// copied for less than it costs to keep their buffer.
    pub fn share_front(&mut self, minimum: usize) -> Option<Bytes> {
        // A tail that nothing was written to.
        while self.segments.len() > 1 && self.segments[0].rest() == 0 {
            self.segments.pop_front();
        }
        let Segment::Bytes { data, position } = self.segments.front_mut()? else { return None };
        if data.len() - *position < minimum {
            return None;
        }
        if let Data::Own(buffer) = data {
            let (buffer, shared) = (std::mem::take(buffer), self.shared.clone());
            *data = Data::Shared(Bytes::from_owner(Returning::new(buffer, shared)));
        }
        match data {
            Data::Shared(bytes) => Some(bytes.slice(*position..)),
            Data::Own(_) => None,
        }
    }

    /// Removes `sent` bytes from the front.
    pub fn advance(&mut self, mut sent: usize, pool: &mut Pool) {
        self.bytes -= sent;
        self.sent.fetch_add(sent as u64, Ordering::Release);
        while let Some(front) = self.segments.front_mut() {
            let rest = front.rest();
            if sent < rest {
                match front {
                    Segment::Bytes { position, .. } => *position += sent,
                    Segment::Pipe(pipe) => pipe.consumed(sent),
                    Segment::File(_) | Segment::Missing { .. } => debug_assert_eq!(sent, 0, "not read yet"),
                }
                return;
            }
            sent -= rest;
            match self.segments.pop_front() {
                Some(Segment::Bytes { data: Data::Own(buffer), .. }) => pool.put(buffer),
                Some(Segment::Pipe(mut pipe)) => {
                    pipe.consumed(rest);
                    pool.pipes.put(pipe);
                    self.pipes -= 1;
                }
                _ => (),
            }
        }
        if self.segments.capacity() > 64 {
            self.segments.shrink_to(8);
        }
    }

    /// Everything in one piece, for the memory transport.
    pub fn take_all(&mut self, pool: &mut Pool) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.bytes);
        while self.bytes > 0 {
            while self.front_pipe().is_some() {
                // What cannot be read was never there: the frame is incomplete, and the connection of no use.
                if self.copy_front_pipe().is_err() {
                    return all;
                }
            }
            // Whoever takes no pipes gets nothing that is in a file.
            if self.load(pool, true).is_err() || self.is_missing() {
                return all;
            }
            let before = all.len();
            self.slices(usize::MAX).for_each(|slice| all.extend_from_slice(&slice));
            self.advance(all.len() - before, pool);
        }
        all
    }
}
