//! What leaves on the stream: small things collected in buffers, large ones as they are.

use std::collections::VecDeque;

use bytes::Bytes;

/// Pieces of fewer bytes are copied: that costs less than to send them by themselves.
const COPIED_BYTES: usize = 4096;
/// Small things are collected in buffers of at least this size.
const BUFFER_BYTES: usize = 4096;

/// The next bytes of the stream.
#[derive(Debug)]
pub enum Leaving {
    /// In a buffer of its own.
    Small(Vec<u8>),
    /// Shared with whoever else has it.
    Shared(Bytes),
}

/// The bytes that have not been taken yet.
#[derive(Debug, Default)]
pub(super) struct Wire {
    queue: VecDeque<Leaving>,
    bytes: usize,
    /// An empty buffer for the next small things.
    spare: Option<Vec<u8>>,
}

impl Wire {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// A buffer to use next.
    pub(super) fn lend(&mut self, spare: Vec<u8>) {
        self.spare = Some(spare);
    }

    /// The buffer that was not used.
    pub(super) fn reclaim(&mut self) -> Option<Vec<u8>> {
        self.spare.take()
    }

    /// Appends a copy.
    pub(super) fn copy(&mut self, data: &[u8]) {
        self.bytes += data.len();
        if let Some(Leaving::Small(buffer)) = self.queue.back_mut() {
            if buffer.capacity() - buffer.len() >= data.len() {
                return buffer.extend_from_slice(data);
            }
        }
        let mut buffer = self.spare.take().unwrap_or_default();
        buffer.reserve_exact(data.len().max(BUFFER_BYTES));
        buffer.extend_from_slice(data);
        self.queue.push_back(Leaving::Small(buffer));
    }

    /// Appends bytes that are kept as long as they are needed.
    pub(super) fn share(&mut self, data: Bytes) {
        if data.len() < COPIED_BYTES {
            return self.copy(&data);
        }
        self.bytes += data.len();
        self.queue.push_back(Leaving::Shared(data));
    }

    /// The next bytes.
    pub(super) fn take(&mut self) -> Option<Leaving> {
        let next = self.queue.pop_front()?;
        self.bytes -= match &next {
            Leaving::Small(buffer) => buffer.len(),
            Leaving::Shared(data) => data.len(),
        };
        Some(next)
    }
}
