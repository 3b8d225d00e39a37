//! The memory that a connection uses, by number.

use std::ptr::NonNull;
use std::sync::Arc;

use bytes::Bytes;

use crate::memory::Memory;

/// Memory that is only read, which what leaves may still need when it is given back.
#[derive(Debug)]
struct Shared(Arc<Memory>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// What memory is for.
#[derive(Debug)]
enum Use {
    /// Data leave it.
    Read { all: Bytes, memory: Arc<Memory> },
    /// Data come into it. `tag`: what it is registered as.
    Written(Memory),
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Memories {
    slots: Vec<Option<Use>>,
    free: Vec<usize>,
}

impl Memories {
    /// Keeps memory whose data leave. Only the bytes that have a value are there.
    pub(super) fn keep_source(&mut self, memory: Memory) -> u64 {
        let memory = Arc::new(memory);
        let all = Bytes::from_owner(Shared(memory.clone()));
        self.keep(Use::Read { all, memory })
    }

    /// Keeps memory that data come into.
    pub(super) fn keep_sink(&mut self, memory: Memory) -> u64 {
        self.keep(Use::Written(memory))
    }

    fn keep(&mut self, what: Use) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[index] = Some(what);
        index as u64
    }

    /// Some of the data that leave.
    pub(super) fn slice(&self, number: u64, offset: u64, bytes: usize) -> Option<Bytes> {
        match self.slots.get(number as usize)? {
            Some(Use::Read { all, .. }) => {
                let start = usize::try_from(offset).ok()?;
                let end = start.checked_add(bytes).filter(|end| *end <= all.len())?;
                Some(all.slice(start..end))
            }
            _ => None,
        }
    }

    /// Memory that data come into.
    pub(super) fn sink(&mut self, number: u64) -> Option<&mut Memory> {
        match self.slots.get_mut(number as usize)? {
            Some(Use::Written(memory)) => Some(memory),
            _ => None,
        }
    }

    /// The place for `bytes` that come.
    pub(super) fn place(&mut self, number: u64, offset: u64, bytes: usize) -> Option<NonNull<u8>> {
        let memory = self.sink(number)?;
        let start = usize::try_from(offset).ok()?;
        start.checked_add(bytes).filter(|end| *end <= memory.len())?;
        // SAFETY: `start` is within the memory.
        Some(unsafe { memory.start().add(start) })
    }

    /// Gives memory back. None: there is none of that number, or what leaves still has it.
    pub(super) fn take(&mut self, number: u64) -> Option<Memory> {
        let found = self.slots.get_mut(number as usize)?.take()?;
        self.free.push(number as usize);
        match found {
            Use::Written(memory) => Some(memory),
            Use::Read { all, memory } => {
                drop(all);
                Arc::into_inner(memory)
            }
        }
    }
}
