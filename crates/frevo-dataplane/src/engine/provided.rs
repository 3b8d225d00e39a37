//! A ring of provided buffers: the kernel picks one when data arrives, so idle connections own none.

use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;
use io_uring::IoUring;

/// Buffers per thread; a power of two.
const COUNT: u16 = 256;
/// Bytes per buffer. Requests fit, and what is longer soon goes straight into a buffer of its own.
const BYTES: usize = 8 * 1024;
/// One page: the entries of the ring, 16 bytes each.
const ENTRIES_BYTES: usize = COUNT as usize * std::mem::size_of::<BufRingEntry>();
const TOTAL_BYTES: usize = ENTRIES_BYTES + COUNT as usize * BYTES;
/// Number of the group; there is one per ring.
pub(super) const GROUP: u16 = 0;

/// The memory that is shared with the kernel. Unmapped on drop: the ring must be idle by then.
#[derive(Debug)]
pub(super) struct Provided {
    base: *mut u8,
    tail: u16,
}

// SAFETY: the mapping belongs to this value alone (and the kernel); no thread-local state is involved.
unsafe impl Send for Provided {}

impl Provided {
    /// Maps the memory and registers it with `ring`.
    pub(super) fn register(ring: &IoUring) -> io::Result<Provided> {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a fresh anonymous mapping.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), TOTAL_BYTES, access, kind, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mut provided = Provided { base: base.cast(), tail: 0 };
        // SAFETY: the entries lie at the page-aligned start of a mapping that outlives the ring's use of it.
        unsafe { ring.submitter().register_buf_ring_with_flags(base as u64, COUNT, GROUP, 0)? };
        (0..COUNT).for_each(|buffer| provided.give_back(buffer));
        provided.publish();
        Ok(provided)
    }

    fn start(&self, buffer: u16) -> *mut u8 {
        assert!(buffer < COUNT, "the kernel named a buffer that does not exist");
        // SAFETY: within the mapping, as buffer < COUNT.
        unsafe { self.base.add(ENTRIES_BYTES + usize::from(buffer) * BYTES) }
    }

    /// The first `length` bytes of a buffer that the kernel has filled and not been given back.
    pub(super) fn filled(&mut self, buffer: u16, length: usize) -> &mut [u8] {
        assert!(length <= BYTES);
        // SAFETY: inside the mapping, initialised (anonymous memory), and the kernel leaves a buffer alone that it
        // has reported until it is given back; `self` is borrowed for as long as the slice lives.
        unsafe { std::slice::from_raw_parts_mut(self.start(buffer), length) }
    }

    /// Queues a buffer for the kernel, visible after `publish`.
    pub(super) fn give_back(&mut self, buffer: u16) {
        let address = self.start(buffer) as u64;
        let slot = usize::from(self.tail & (COUNT - 1));
        // SAFETY: slot < COUNT entries at the start of the mapping; the kernel does not read slots behind the tail.
        let entry = unsafe { &mut *self.base.cast::<BufRingEntry>().add(slot) };
        entry.set_addr(address);
        entry.set_len(BYTES as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel everything that was given back.
    pub(super) fn publish(&self) {
        // SAFETY: the tail lies in the first entry of the mapping, is aligned, and is shared with the kernel only.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.base.cast()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for Provided {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `register`, of that size.
        unsafe { libc::munmap(self.base.cast(), TOTAL_BYTES) };
    }
}
