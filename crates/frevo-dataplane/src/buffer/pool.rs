//! Buffers that one thread uses again.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use super::reserve;
use crate::pipe::Pipes;

/// Small responses are collected in buffers of this size.
pub const SMALL_BYTES: usize = 64 * 1024;
/// Most bytes that a pool keeps: two responses to the largest READ, and pieces.
pub(super) const POOL_BYTES: usize = 20 * 1024 * 1024;

thread_local! {
    /// Shared buffers that nobody has any more, for the pool of this thread.
    pub(super) static RETURNED: RefCell<Returned> =
        const { RefCell::new(Returned { buffers: Vec::new(), bytes: 0 }) };
}

/// What came back since the pool was asked last, no more than it would keep: what others have allocated comes back, too, and
/// a thread that answers nothing itself never asks.
pub(super) struct Returned {
    pub(super) buffers: Vec<Vec<u8>>,
    pub(super) bytes: usize,
}

impl Returned {
    fn put(&mut self, buffer: Vec<u8>) {
        let size = buffer.capacity();
        if size < SMALL_BYTES || self.bytes + size > POOL_BYTES {
            return reserve::let_go(buffer);
        }
        self.bytes += size;
        self.buffers.push(buffer);
    }

    fn take(&mut self) -> Vec<Vec<u8>> {
        self.bytes = 0;
        std::mem::take(&mut self.buffers)
    }
}

/// A buffer comes back that nobody needs any more, to the pool of this thread.
pub(crate) fn give_back(buffer: Vec<u8>) {
    // At the end of a thread there is nobody to return it to.
    let _ = RETURNED.try_with(|returned| returned.borrow_mut().put(buffer));
}

/// A shared buffer, which comes back when the last one who has it lets go.
pub(super) struct Returning {
    buffer: Vec<u8>,
    /// Bytes of all shared buffers of an output.
    shared: Arc<AtomicUsize>,
}

impl Returning {
    /// A buffer that `shared` counts from now on.
    pub(super) fn new(buffer: Vec<u8>, shared: Arc<AtomicUsize>) -> Returning {
        shared.fetch_add(buffer.len(), Ordering::Relaxed);
        Returning { buffer, shared }
    }
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
        give_back(buffer);
    }
}

/// Buffers that one thread uses again. What it needs beyond them, and what is too much for it, is the reserve's.
#[derive(Debug, Default)]
pub struct Pool {
    pub(super) small: Vec<Vec<u8>>,
    pub(super) large: Vec<Vec<u8>>,
    pub(super) bytes: usize,
    /// Pipes for data that is not copied.
    pub pipes: Pipes,
}

impl Pool {
    /// An empty buffer with room for `size` bytes.
    pub fn take(&mut self, size: usize) -> Vec<u8> {
        let returned = RETURNED.with(|returned| returned.borrow_mut().take());
        returned.into_iter().for_each(|buffer| self.put(buffer));
        let found = match size <= SMALL_BYTES {
            true => self.small.pop(),
            false => reserve::last_fit(&self.large, size).map(|index| self.large.remove(index)),
        };
        match found {
            Some(buffer) => {
                self.bytes -= buffer.capacity();
                buffer
            }
            None => reserve::room(size.max(SMALL_BYTES)),
        }
    }

    /// Returns a buffer. Small ones are freed. The large one that was not used for the longest time makes room.
    pub fn put(&mut self, mut buffer: Vec<u8>) {
        let size = buffer.capacity();
        if size < SMALL_BYTES {
            return;
        }
        while self.bytes + size > POOL_BYTES {
            if self.large.is_empty() {
                return reserve::let_go(buffer);
            }
            let oldest = self.large.remove(0);
            self.bytes -= oldest.capacity();
            reserve::let_go(oldest);
        }
        buffer.clear();
        self.bytes += size;
        let list = if size == SMALL_BYTES { &mut self.small } else { &mut self.large };
        list.push(buffer);
    }
}
