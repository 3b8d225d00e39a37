//! Output buffers: pooled, filled in place, sent several at a time.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use bytes::Bytes;

/// Small responses are collected in buffers of this size.
pub const SMALL_BYTES: usize = 64 * 1024;
/// Most bytes that a pool keeps.
const POOL_BYTES: usize = 16 * 1024 * 1024;

thread_local! {
    /// Shared buffers that nobody has any more, for the pool of this thread.
    static RETURNED: RefCell<Returned> = const { RefCell::new(Returned { buffers: Vec::new(), bytes: 0 }) };
}

/// What came back since the pool was asked last, no more than it would keep: what others have allocated comes back, too, and
/// a thread that answers nothing itself never asks.
struct Returned {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Returned {
    fn put(&mut self, buffer: Vec<u8>) {
        let size = buffer.capacity();
        if size >= SMALL_BYTES && self.bytes + size <= POOL_BYTES {
            self.bytes += size;
            self.buffers.push(buffer);
        }
    }

    fn take(&mut self) -> Vec<Vec<u8>> {
        self.bytes = 0;
        std::mem::take(&mut self.buffers)
    }
}

/// A shared buffer, which comes back when the last one who has it lets go.
struct Returning {
    buffer: Vec<u8>,
    /// Bytes of all shared buffers of an output.
    shared: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Returning {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        self.shared.fetch_sub(buffer.len(), Ordering::Relaxed);
        // At the end of a thread there is nobody to return it to.
        let _ = RETURNED.try_with(|returned| returned.borrow_mut().put(buffer));
    }
}

/// Buffers that one thread uses again.
#[derive(Debug, Default)]
pub struct Pool {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
    bytes: usize,
}

impl Pool {
    /// An empty buffer with room for `size` bytes.
    pub fn take(&mut self, size: usize) -> Vec<u8> {
        let returned = RETURNED.with(|returned| returned.borrow_mut().take());
        returned.into_iter().for_each(|buffer| self.put(buffer));
        let list = if size <= SMALL_BYTES { &mut self.small } else { &mut self.large };
        let found = list.iter().rposition(|buffer| buffer.capacity() >= size);
        match found {
            Some(index) => {
                let buffer = list.swap_remove(index);
                self.bytes -= buffer.capacity();
                buffer
            }
            None => Vec::with_capacity(size.max(SMALL_BYTES)),
        }
    }

    /// Returns a buffer. One of another size, or too much for the pool, is freed.
    pub fn put(&mut self, mut buffer: Vec<u8>) {
        let size = buffer.capacity();
        if size < SMALL_BYTES || self.bytes + size > POOL_BYTES {
            return;
        }
        buffer.clear();
        self.bytes += size;
        let list = if size == SMALL_BYTES { &mut self.small } else { &mut self.large };
        list.push(buffer);
    }
}

/// The bytes of a chunk.
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

#[derive(Debug)]
struct Chunk {
    data: Data,
    /// First unsent byte.
    position: usize,
}

/// The output of a connection.
#[derive(Debug, Default)]
pub struct Output {
    chunks: VecDeque<Chunk>,
    bytes: usize,
    sent: u64,
    /// Bytes of pieces that the carrier keeps.
    shared: Arc<AtomicUsize>,
    /// A thread is sending the front: no other may send or remove it.
    busy: bool,
}

/// Output being sent without the lock of its connection.
#[derive(Debug)]
pub struct Loan(VecDeque<Chunk>);

impl Loan {
    /// The pieces to send.
    pub fn slices(&self) -> impl Iterator<Item = IoSlice<'_>> {
        slices(&self.0)
    }
}

fn slices(chunks: &VecDeque<Chunk>) -> impl Iterator<Item = IoSlice<'_>> {
    let rest = chunks.iter().map(|chunk| &chunk.data[chunk.position..]);
    rest.filter(|rest| !rest.is_empty()).map(IoSlice::new)
}

impl Output {
    /// Bytes waiting.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Bytes in memory, sent or not: those that wait, and those that the carrier still keeps.
    pub fn held(&self) -> usize {
        let counted_twice = match self.chunks.front() {
            Some(Chunk { data: Data::Shared(bytes), position }) => bytes.len() - position,
            _ => 0, // only the front is ever shared
        };
        self.bytes - counted_twice + self.shared.load(Ordering::Relaxed)
    }

    /// Bytes sent so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Queues `data[position..]`.
    pub fn push(&mut self, data: Vec<u8>, position: usize) {
        self.bytes += data.len() - position;
        self.chunks.push_back(Chunk { data: Data::Own(data), position });
    }

    /// Queues a copy of a few bytes.
    pub fn push_small(&mut self, bytes: &[u8], pool: &mut Pool) {
        let tail = self.tail(bytes.len(), pool);
        tail.extend_from_slice(bytes);
        self.committed(bytes.len());
    }

    /// A buffer at the end of the queue with room for `size` more bytes. Call [`Output::committed`] afterwards.
    pub fn tail(&mut self, size: usize, pool: &mut Pool) -> &mut Vec<u8> {
        if self.chunks.back().is_none_or(|chunk| chunk.data.room() < size) {
            self.chunks.push_back(Chunk { data: Data::Own(pool.take(size)), position: 0 });
        }
        match self.chunks.back_mut().map(|chunk| &mut chunk.data) {
            Some(Data::Own(buffer)) => buffer,
            _ => unreachable!("a chunk with room was just made sure of"),
        }
    }

    /// Counts `size` bytes that were appended to the tail.
    pub fn committed(&mut self, size: usize) {
        self.bytes += size;
    }

    /// The next pieces to send, at most `limit`.
    pub fn slices(&self, limit: usize) -> impl Iterator<Item = IoSlice<'_>> {
        slices(&self.chunks).take(limit)
    }

    /// True if something waits and no thread is sending.
    pub fn is_waiting(&self) -> bool {
        self.bytes > 0 && !self.busy
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
    /// [`Output::settle`]. None if nothing waits, more does, or a thread is already sending.
    pub fn lend(&mut self, limit: usize) -> Option<Loan> {
        if self.busy || self.bytes == 0 || self.bytes > limit {
            return None;
        }
        self.busy = true;
        Some(Loan(std::mem::take(&mut self.chunks)))
    }

    /// Takes back what was lent, of which `sent` bytes have been sent.
    pub fn settle(&mut self, loan: Loan, sent: usize) {
        let later = std::mem::replace(&mut self.chunks, loan.0);
        self.busy = false;
        self.advance(sent, &mut Pool::default());
        self.chunks.extend(later);
    }

    /// Everything that waits, if it is one piece of at most `limit` bytes. Its memory stays in place until
    /// [`Output::advance`] has passed it, even if more is queued meanwhile.
    pub fn single(&self, limit: usize) -> Option<&[u8]> {
        let front = self.chunks.front()?;
        let rest = &front.data[front.position..];
        (!rest.is_empty() && rest.len() == self.bytes && rest.len() <= limit).then_some(rest)
    }

    /// The first piece, which the caller may keep without a copy; None when it has fewer than `minimum` bytes, which are
    /// copied for less than it costs to keep their buffer.
    pub fn share_front(&mut self, minimum: usize) -> Option<Bytes> {
        let front = self.chunks.front_mut()?;
        if front.data.len() - front.position < minimum {
            return None;
        }
        if let Data::Own(buffer) = &mut front.data {
            let (buffer, shared) = (std::mem::take(buffer), self.shared.clone());
            shared.fetch_add(buffer.len(), Ordering::Relaxed);
            front.data = Data::Shared(Bytes::from_owner(Returning { buffer, shared }));
        }
        match &front.data {
            Data::Shared(bytes) => Some(bytes.slice(front.position..)),
            Data::Own(_) => None,
        }
    }

    /// Removes `sent` bytes from the front.
    pub fn advance(&mut self, mut sent: usize, pool: &mut Pool) {
        self.bytes -= sent;
        self.sent += sent as u64;
        while let Some(front) = self.chunks.front_mut() {
            let rest = front.data.len() - front.position;
            if sent < rest {
                front.position += sent;
                return;
            }
            sent -= rest;
            if let Some(Chunk { data: Data::Own(buffer), .. }) = self.chunks.pop_front() {
                pool.put(buffer);
            }
        }
        if self.chunks.capacity() > 64 {
            self.chunks.shrink_to(8);
        }
    }

    /// Everything in one piece, for the memory transport.
    pub fn take_all(&mut self, pool: &mut Pool) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.bytes);
        self.slices(usize::MAX).for_each(|slice| all.extend_from_slice(&slice));
        self.advance(self.bytes, pool);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_piece_stays_with_whoever_has_it_and_comes_back() {
        let (mut pool, mut output) = (Pool::default(), Output::default());
        let mut buffer = pool.take(100_000);
        buffer.resize(100_000, 7);
        let address = buffer.as_ptr();
        output.push(buffer, 4);
        output.push_small(b"end", &mut pool);
        assert!(output.share_front(200_000).is_none());
        let kept = output.share_front(1000).unwrap();
        assert_eq!((kept.len(), kept.as_ptr()), (99_996, address.wrapping_add(4)));
        assert_eq!(output.held(), 100_003, "the buffer counts once, whether it is sent or not");
        output.advance(50_000, &mut pool);
        assert_eq!(output.share_front(1000).unwrap().len(), 49_996);
        output.advance(49_996, &mut pool);
        assert_eq!((output.share_front(100), output.take_all(&mut pool)), (None, b"end".to_vec()));
        let other = pool.take(100_000);
        assert_ne!(other.as_ptr(), address, "it is still held");
        assert_eq!((kept[0], output.held()), (7, 100_000));
        drop(kept);
        assert_eq!(output.held(), 0);
        let again = pool.take(100_000);
        assert_eq!(again.as_ptr(), address);
    }

    #[test]
    fn what_comes_back_and_is_not_used_again_is_freed() {
        let (mut pool, mut output) = (Pool::default(), Output::default());
        for size in [100_000, 20_000].into_iter().cycle().take(1000) {
            output.push(vec![1; size], 0);
            let shared = output.share_front(1000).unwrap();
            output.advance(size, &mut pool);
            drop(shared);
        }
        let bytes = RETURNED.with(|returned| returned.borrow().bytes);
        let held: usize = RETURNED.with(|returned| returned.borrow().buffers.iter().map(Vec::capacity).sum());
        assert!(bytes == held && held <= POOL_BYTES && held > POOL_BYTES / 2, "{held}");
        assert!(pool.take(100_000).capacity() >= 100_000);
        assert_eq!(RETURNED.with(|returned| returned.borrow().bytes), 0);
    }

    #[test]
    fn output_keeps_order_and_reuses_buffers() {
        let (mut pool, mut output) = (Pool::default(), Output::default());
        output.push_small(b"ab", &mut pool);
        output.push_small(b"cd", &mut pool);
        output.push(b"..efg".to_vec(), 2);
        assert_eq!((output.len(), output.slices(64).count()), (7, 2));
        output.advance(3, &mut pool);
        assert_eq!(output.slices(64).next().unwrap().as_ref(), b"d");
        assert_eq!(output.take_all(&mut pool), b"defg");
        assert!(output.is_empty());
        assert_eq!(pool.small.len(), 1);
        assert_eq!(pool.take(10).capacity(), SMALL_BYTES);
        assert!(pool.small.is_empty() && pool.bytes == 0);
        assert!(pool.take(100_000).capacity() >= 100_000);
    }
}
