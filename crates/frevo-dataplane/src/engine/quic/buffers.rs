//! Buffers for received datagrams, used again once nobody has anything of what was in them.

use std::collections::VecDeque;

use bytes::BytesMut;

/// Largest datagram, or batch of datagrams that the kernel has put together.
pub(super) const DATAGRAM_BYTES: usize = 64 * 1024;
/// Buffers that others may have a part of. Who has one byte of a buffer has all of it, and a peer decides which bytes are kept:
/// one in each batch may be data that cannot be delivered yet.
const LENT_MAX: usize = 256;

/// The buffers of one thread.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    slots: Vec<BytesMut>,
    /// What is left of buffers that were given away when others still had the rest, oldest first.
    lent: VecDeque<BytesMut>,
}

impl Buffers {
    /// So many buffers with room for datagrams, those that are there first.
    pub(super) fn provide(&mut self, count: usize) -> &mut [BytesMut] {
        drop(self.returned()); // Few are lent when little comes: these are freed.
        while self.slots.len() < count {
            self.slots.push(new_buffer());
        }
        for at in 0..count {
            if !is_whole(&mut self.slots[at]) {
                let other = self.returned().unwrap_or_else(new_buffer);
                self.lent.push_back(std::mem::replace(&mut self.slots[at], other));
            }
        }
        &mut self.slots[..count]
    }

    /// Those that were provided, and whether what is in them may be given away, all of a batch at once.
    pub(super) fn filled(&mut self) -> (&mut [BytesMut], bool) {
        let may_lend = self.lent.len() < LENT_MAX;
        (&mut self.slots, may_lend)
    }

    /// The oldest that was lent, if nobody has a part of it any more.
    fn returned(&mut self) -> Option<BytesMut> {
        let mut oldest = self.lent.pop_front()?;
        if is_whole(&mut oldest) {
            return Some(oldest);
        }
        self.lent.push_back(oldest);
        None
    }
}

fn new_buffer() -> BytesMut {
    BytesMut::zeroed(DATAGRAM_BYTES)
}

/// Makes a buffer whole again of which something was given away. False: somebody has that still.
fn is_whole(buffer: &mut BytesMut) -> bool {
    if buffer.len() == DATAGRAM_BYTES {
        return true;
    }
    buffer.clear();
    if !buffer.try_reclaim(DATAGRAM_BYTES) {
        return false;
    }
    // SAFETY: `new_buffer` has initialised all of the allocation, which has at least this capacity again.
    unsafe { buffer.set_len(DATAGRAM_BYTES) };
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_nobody_has_any_more_is_used_again() {
        let mut buffers = Buffers::default();
        let address = buffers.provide(1)[0].as_ptr();
        drop(buffers.filled().0[0].split_to(20_000));
        assert_eq!(buffers.provide(1)[0].as_ptr(), address, "at once");
        let kept = buffers.filled().0[0].split_to(20_000);
        assert_ne!(buffers.provide(1)[0].as_ptr(), address, "somebody has it");
        drop(kept);
        let kept = buffers.filled().0[0].split_to(20_000);
        buffers.provide(1);
        assert_eq!(
            (buffers.lent.len(), kept.len()),
            (1, 20_000),
            "the first one was freed, the second is lent"
        );
    }

    #[test]
    fn no_more_is_given_away_than_may_be_kept() {
        let mut buffers = Buffers::default();
        let mut kept = Vec::new();
        for _ in 0..1000 {
            buffers.provide(4);
            let (filled, may_lend) = buffers.filled();
            kept.extend(
                filled.iter_mut().filter(|_| may_lend).map(|one| one.split_to(DATAGRAM_BYTES).split_to(1)),
            );
        }
        assert!((LENT_MAX..LENT_MAX + 8).contains(&kept.len()), "{}", kept.len());
        kept.clear();
        for _ in 0..2 * LENT_MAX {
            buffers.provide(4);
        }
        assert_eq!((buffers.lent.len(), buffers.filled().1), (0, true));
    }
}
