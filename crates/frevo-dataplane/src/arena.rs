//! Memory of one data-plane thread that its ring knows: large messages are received into it, and the ring writes them to files
//! without looking for their pages.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Pieces begin at multiples of it.
const ALIGN: usize = 4096;

/// The memory. Unmapped when the last slot is gone, too.
pub struct Arena {
    base: NonNull<u8>,
    size: usize,
    /// Sorted, none beside another.
    free: Mutex<Vec<Range<usize>>>,
}

// SAFETY: the mapping belongs to this value alone; what is handed out of it does not overlap.
unsafe impl Send for Arena {}
// SAFETY: as above; the list of what is free has a lock.
unsafe impl Sync for Arena {}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena").field("size", &self.size).field("free", &self.free()).finish()
    }
}

impl Arena {
    /// Maps `size` bytes, a multiple of the size of a page.
    pub fn new(size: usize) -> io::Result<Arc<Arena>> {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a fresh anonymous mapping.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), size, access, kind, -1, 0) };
        match NonNull::new(base.cast::<u8>()) {
            Some(start) if base != libc::MAP_FAILED => {
                let free = Vec::from_iter([Range { start: 0, end: size }]);
                Ok(Arc::new(Arena { base: start, size, free: Mutex::new(free) }))
            }
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// All of it.
    pub fn iovec(&self) -> libc::iovec {
        libc::iovec { iov_base: self.base.as_ptr().cast(), iov_len: self.size }
    }

    /// An empty piece with room for `size` bytes; None when so much is not free in one place.
    pub fn take(self: &Arc<Arena>, size: usize) -> Option<Slot> {
        let size = size.max(1).next_multiple_of(ALIGN);
        let mut free = self.free();
        let index = free.iter().position(|range| range.len() >= size)?;
        let start = free[index].start;
        free[index].start += size;
        if free[index].is_empty() {
            free.remove(index);
        }
        Some(Slot { arena: Arc::clone(self), range: start..start + size, filled: 0 })
    }

    fn free(&self) -> MutexGuard<'_, Vec<Range<usize>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, range: Range<usize>) {
        let mut free = self.free();
        let index = free.partition_point(|one| one.start < range.start);
        free.insert(index, range);
        if free.get(index + 1).is_some_and(|next| next.start == free[index].end) {
            free[index].end = free.remove(index + 1).end;
        }
        if index > 0 && free[index - 1].end == free[index].start {
            free[index - 1].end = free.remove(index).end;
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, of that size. The kernel has its own hold on pages that it still uses.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.size) };
    }
}

/// A piece of an arena: bytes, like a vector that cannot grow.
#[derive(Debug)]
pub struct Slot {
    arena: Arc<Arena>,
    range: Range<usize>,
    filled: usize,
}

impl Slot {
    fn start(&self) -> *mut u8 {
        // SAFETY: the range lies within the mapping.
        unsafe { self.arena.base.as_ptr().add(self.range.start) }
    }

    /// Where more bytes go.
    pub fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        let room = self.range.len() - self.filled;
        // SAFETY: within the mapping, and nobody else has this range.
        unsafe { std::slice::from_raw_parts_mut(self.start().add(self.filled).cast(), room) }
    }

    /// Counts `count` bytes that were written to the start of [`Slot::room`].
    pub fn filled(&mut self, count: usize) {
        assert!(count <= self.range.len() - self.filled, "more than there is room for");
        self.filled += count; // all of it is initialised: the mapping is anonymous
    }

    /// Adds a copy of some bytes.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        for (slot, byte) in self.room()[..bytes.len()].iter_mut().zip(bytes) {
            slot.write(*byte);
        }
        self.filled(bytes.len());
    }
}

impl Deref for Slot {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: within the mapping, initialised, and nobody else has this range.
        unsafe { std::slice::from_raw_parts(self.start(), self.filled) }
    }
}

impl DerefMut for Slot {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.filled) }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.arena.give_back(self.range.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_do_not_overlap_and_come_back() {
        let arena = Arena::new(8 * ALIGN).unwrap();
        let mut one = arena.take(5000).unwrap();
        let mut two = arena.take(1).unwrap();
        one.extend_from_slice(&[1; 5000]);
        two.extend_from_slice(b"two");
        two[0] = b'T';
        assert_eq!((one.len(), &two[..], one.room().len()), (5000, &b"Two"[..], 2 * ALIGN - 5000));
        assert!(one.iter().all(|byte| *byte == 1));
        assert!(arena.take(5 * ALIGN + 1).is_none(), "it is not that large any more");
        let rest = arena.take(5 * ALIGN).unwrap();
        assert!(arena.take(1).is_none());
        drop(two);
        assert!(arena.take(2 * ALIGN).is_none(), "it is free, but not in one place");
        drop(one);
        assert_eq!(arena.take(3 * ALIGN).unwrap().range, 0..3 * ALIGN);
        drop(rest);
        assert!(arena.take(8 * ALIGN).is_some());
        assert_eq!(arena.iovec().iov_len, 8 * ALIGN);
    }

    #[test]
    fn a_piece_outlives_its_arena() {
        let mut slot = Arena::new(ALIGN).unwrap().take(9).unwrap();
        slot.extend_from_slice(b"123456789");
        assert_eq!(&slot[..], b"123456789");
    }
}
