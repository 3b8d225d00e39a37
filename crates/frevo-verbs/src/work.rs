//! Work for the send queue: one step for each request that the device gets.

use std::ptr::NonNull;

use frevo_rdma::provider::{Memory, Remote};

use crate::domain::Region;
use crate::queue::Request;
use crate::sys::Sge;

/// What comes back when the device is done with a piece of work.
#[derive(Debug)]
pub(crate) enum End {
    /// A slot for messages: of which size, and which one.
    Slot(usize, u32),
    /// The source of an RDMA WRITE.
    Written(Source),
    /// The sink of an RDMA READ, which has a value from `start` on.
    Read { work: u64, sink: Source, start: usize, bytes: usize },
}

/// Memory, registered for this work alone or for longer.
#[derive(Debug)]
pub(crate) struct Source {
    // In this order: deregistered first.
    region: Option<Region>,
    memory: Memory,
}

impl Source {
    pub(crate) fn new(region: Option<Region>, memory: Memory) -> Source {
        Source { region, memory }
    }

    /// The memory, which the device does not use any more.
    pub(crate) fn into_memory(self) -> Memory {
        drop(self.region);
        self.memory
    }
}

/// What the caller learns of a completion.
#[derive(Debug)]
pub(crate) enum Finished {
    Received { slot: u32, bytes: usize, invalidated: Option<u32> },
    Read(u64, Memory),
}

/// Work that was posted before a device was found.
#[derive(Debug)]
pub(crate) enum Early {
    Send(Vec<u8>, Option<u32>),
    Write(Memory, usize, usize, Vec<Remote>),
    Read(u64, Memory, usize, Vec<Remote>),
}

/// Memory that the peer may use.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) source: Source,
    pub(crate) is_open: bool,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) request: Request,
    pub(crate) place: Sge,
    /// What its completion ends.
    pub(crate) end: Option<End>,
}

/// Splits the `bytes` that begin at `at` into pieces for each of `remotes`, none longer than `limit`: where each is on
/// this side, how long, and its key and address there.
pub(crate) fn pieces(
    at: NonNull<u8>,
    bytes: usize,
    remotes: &[Remote],
    limit: u32,
) -> Vec<(u64, u32, u32, u64)> {
    let mut pieces = Vec::with_capacity(remotes.len());
    let (mut local, mut rest) = (at.as_ptr() as u64, bytes);
    for remote in remotes {
        let mut offset = remote.offset;
        let mut room = rest.min(remote.bytes as usize);
        rest -= room;
        while room > 0 {
            let now = room.min(limit as usize);
            pieces.push((local, now as u32, remote.tag, offset));
            local += now as u64;
            // The peer's device finds out when it wraps.
            offset = offset.wrapping_add(now as u64);
            room -= now;
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each target takes what it has room for, in pieces that the device takes; nothing is left for those behind the end.
    #[test]
    fn data_go_to_the_targets_in_order() {
        let at = NonNull::new(1000 as *mut u8).unwrap();
        let remote = |tag, offset, bytes| Remote { tag, offset, bytes };
        let targets = [remote(1, 50, 10), remote(2, 7, 0), remote(3, u64::MAX - 3, 25), remote(4, 0, 5)];
        assert_eq!(
            pieces(at, 30, &targets, 16),
            [(1000, 10, 1, 50), (1010, 16, 3, u64::MAX - 3), (1026, 4, 3, 12)]
        );
        assert_eq!(pieces(at, 0, &targets, 16), []);
    }
}
