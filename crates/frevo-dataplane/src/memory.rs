//! How our own code gets memory: large blocks come from the kernel and go back to it, each by itself.
//!
//! The C library does so only until the first of them is freed. From then on it keeps blocks of that size among small ones, and
//! what lies before one that stays cannot be given back: after a burst, a server kept most of what it took for good.
//!
//! Clearing fresh memory page by page costs several times as much as copying to it, so the data plane keeps what it is going to
//! need again. (Pages of 2 MiB would cost a tenth, but not on a file server: its memory is full of cached files, and the kernel
//! has to move these to make a large page.)

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;

/// Blocks of so many bytes are large.
const LARGE_BYTES: usize = 256 * 1024;
/// Mappings are aligned to it, on all processors.
const PAGE_BYTES: usize = 4096;

/// The allocator of the module, and of the tests here.
#[derive(Debug)]
pub struct Blocks;

fn is_large(size: usize, layout: Layout) -> bool {
    size >= LARGE_BYTES && layout.align() <= PAGE_BYTES
}

/// A mapping for `size` bytes, all zero, or null.
fn map(size: usize) -> *mut u8 {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a fresh anonymous mapping.
    let block = unsafe { libc::mmap(ptr::null_mut(), size, access, kind, -1, 0) };
    if block == libc::MAP_FAILED {
        return ptr::null_mut();
    }
    block.cast()
}

// SAFETY: whether a block is a mapping or the system's follows from its layout alone, so whoever has made it frees it. Mappings
// are aligned to pages and zero.
unsafe impl GlobalAlloc for Blocks {
    /// # Safety
    /// That of the trait, as below.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_large(layout.size(), layout) {
            return map(layout.size());
        }
        // SAFETY: the caller's promises.
        unsafe { System.alloc(layout) }
    }

    /// # Safety
    /// See `alloc`.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_large(layout.size(), layout) {
            return map(layout.size());
        }
        // SAFETY: the caller's promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    /// # Safety
    /// See `alloc`.
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if is_large(layout.size(), layout) {
            // SAFETY: what `map` has given for that size.
            unsafe { libc::munmap(block.cast(), layout.size()) };
        } else {
            // SAFETY: the system's, by its layout.
            unsafe { System.dealloc(block, layout) };
        }
    }

    /// # Safety
    /// See `alloc`.
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match (is_large(layout.size(), layout), is_large(size, layout)) {
            // SAFETY: the system's before and afterwards, by its layouts.
            (false, false) => return unsafe { System.realloc(block, layout, size) },
            (true, true) => {
                // SAFETY: what `map` has given for the old size.
                let moved = unsafe { libc::mremap(block.cast(), layout.size(), size, libc::MREMAP_MAYMOVE) };
                return if moved == libc::MAP_FAILED { ptr::null_mut() } else { moved.cast() };
            }
            _ => (),
        }
        // SAFETY: the caller has promised that `size` makes a layout.
        let new = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !new.is_null() {
            // SAFETY: two blocks, both with at least so many bytes; the old one is not used any more.
            unsafe {
                ptr::copy_nonoverlapping(block, new, layout.size().min(size));
                self.dealloc(block, layout);
            }
        }
        new
    }
}

/// mallopt(3) for what is not ours: blocks of at least `block` bytes are the kernel's again when they are freed, and the end of
/// the heap once it has `end` free bytes. False where the C library cannot be told.
pub fn return_memory(block: i32, end: i32) -> bool {
    #[cfg(target_env = "gnu")]
    // SAFETY: no pointers; it may be called at any time.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, block) == 1 && libc::mallopt(libc::M_TRIM_THRESHOLD, end) == 1
    }
    #[cfg(not(target_env = "gnu"))]
    {
        let _ = (block, end);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_grow_and_shrink_over_the_limit_with_what_is_in_them() {
        let mut bytes = vec![7u8; LARGE_BYTES - 1];
        let sizes = [1, 9, 3].map(|times| times * LARGE_BYTES + 5);
        for size in [sizes[0], sizes[1], sizes[2], LARGE_BYTES - 1, 100, LARGE_BYTES] {
            let kept = bytes.len().min(size);
            bytes.truncate(size);
            bytes.shrink_to_fit();
            bytes.reserve_exact(size - kept);
            bytes.resize(size, 9);
            assert!(bytes[..kept].iter().all(|byte| *byte == 7), "{size}");
            assert!(bytes[kept..].iter().all(|byte| *byte == 9), "{size}");
            assert!(size < LARGE_BYTES || (bytes.as_ptr() as usize).is_multiple_of(PAGE_BYTES), "{size}");
            bytes.fill(7);
        }
        assert!(vec![0u8; 5 * LARGE_BYTES].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn what_is_freed_is_the_kernels() {
        let block = vec![1u8; 8 * LARGE_BYTES];
        let places = [0, block.len() - 1].map(|place| block.as_ptr() as usize + place);
        let mapped = || {
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            let range = |line: &str| {
                let (from, to) = line.split(' ').next()?.split_once('-')?;
                Some(usize::from_str_radix(from, 16).ok()?..usize::from_str_radix(to, 16).ok()?)
            };
            let ranges: Vec<_> = maps.lines().filter_map(range).collect();
            places.map(|place| ranges.iter().any(|range| range.contains(&place)))
        };
        assert_eq!(mapped(), [true, true]);
        drop(block);
        assert_eq!(mapped(), [false, false]);
    }
}
