//! Memory that is registered once and used again: for the data of RDMA, and in slots for messages.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use frevo_rdma::provider::{Memory, Refused};

use crate::domain::{is_scarce, Domain, Region};
use crate::sys::access;

/// The least of a slab: a page.
const LEAST_BYTES: usize = 4096;

/// The most that a connection keeps without using it, and that all of them do.
const IDLE_BYTES: usize = 16 << 20;
const IDLE_BYTES_OF_ALL: usize = 256 << 20;

/// What all connections keep now.
static IDLE: AtomicUsize = AtomicUsize::new(0);

/// Pages of their own, all zeros at first.
#[derive(Debug)]
struct Pages {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the pages belong to whoever has this.
unsafe impl Send for Pages {}
// SAFETY: through a shared reference, only the address is known.
unsafe impl Sync for Pages {}

impl Pages {
    fn new(bytes: usize) -> io::Result<Pages> {
        // SAFETY: fresh anonymous pages are asked for.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Pages { start: NonNull::new(start.cast()).expect("zero is not mapped"), bytes })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's, and nobody refers to it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// Registered pages.
#[derive(Debug)]
struct Slab {
    // In this order: deregistered first.
    region: Region,
    pages: Pages,
}

impl Slab {
    fn new(domain: &Arc<Domain>, bytes: usize) -> Result<Slab, Refused> {
        let pages =
            Pages::new(bytes).map_err(|error| Refused(format!("{bytes} bytes of memory: {error}")))?;
        // SAFETY: the pages live as long as the region, and only this side uses them.
        let region = unsafe { Region::new(domain, pages.start, bytes, access::LOCAL_WRITE)? };
        Ok(Slab { region, pages })
    }
}

/// What a connection has registered for the data of RDMA.
#[derive(Debug, Default)]
struct Kept {
    /// False when the connection is over: what comes back goes.
    is_open: bool,
    idle: Vec<Slab>,
    idle_bytes: usize,
    /// Registrations of what is lent, by address.
    lent: Vec<(usize, Region)>,
}

/// The size of a slab for so many bytes: few sizes, none much larger than what is asked for.
fn slab_bytes(bytes: usize) -> Option<usize> {
    let step = (bytes.checked_next_power_of_two()? / 16).max(LEAST_BYTES);
    bytes.max(1).checked_next_multiple_of(step)
}

impl Kept {
    /// Whether so many bytes more may be kept.
    fn has_room(&self, bytes: usize) -> bool {
        let of_all = IDLE.load(Ordering::Relaxed) + bytes <= IDLE_BYTES_OF_ALL;
        self.is_open && self.idle_bytes + bytes <= IDLE_BYTES && of_all && !is_scarce()
    }

    fn put_idle(&mut self, slab: Slab) {
        IDLE.fetch_add(slab.pages.bytes, Ordering::Relaxed);
        self.idle_bytes += slab.pages.bytes;
        self.idle.push(slab);
    }

    fn take_idle(&mut self, index: usize) -> Slab {
        let slab = self.idle.swap_remove(index);
        IDLE.fetch_sub(slab.pages.bytes, Ordering::Relaxed);
        self.idle_bytes -= slab.pages.bytes;
        slab
    }

    fn take_all_idle(&mut self) -> Vec<Slab> {
        IDLE.fetch_sub(self.idle_bytes, Ordering::Relaxed);
        self.idle_bytes = 0;
        std::mem::take(&mut self.idle)
    }
}

/// Slabs for the data of RDMA, lent as [`Memory`] and kept for the next time.
#[derive(Debug)]
pub(crate) struct Slabs {
    domain: Arc<Domain>,
    kept: Arc<Mutex<Kept>>,
}

/// What is lent. Dropped, it goes back.
struct Lease {
    pages: Option<Pages>,
    kept: Arc<Mutex<Kept>>,
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Slabs {
    pub(crate) fn new(domain: Arc<Domain>) -> Slabs {
        let kept = Kept { is_open: true, ..Kept::default() };
        Slabs { domain, kept: Arc::new(Mutex::new(kept)) }
    }

    /// Memory of `bytes` that is registered.
    pub(crate) fn lend(&self, bytes: usize) -> Result<Memory, Refused> {
        let size = slab_bytes(bytes).ok_or_else(|| Refused(format!("{bytes} bytes of memory: too many")))?;
        let found = {
            let mut kept = lock(&self.kept);
            let found = kept.idle.iter().rposition(|slab| slab.pages.bytes == size);
            found.map(|index| kept.take_idle(index))
        };
        let slab = match found {
            Some(slab) => slab,
            None => Slab::new(&self.domain, size).or_else(|refused| {
                if !self.shrink() {
                    return Err(refused);
                }
                Slab::new(&self.domain, size)
            })?,
        };
        let Slab { region, pages } = slab;
        let start = pages.start;
        lock(&self.kept).lent.push((start.as_ptr() as usize, region));
        let lease = Lease { pages: Some(pages), kept: self.kept.clone() };
        // SAFETY: the pages stay as long as the lease, are the borrower's alone, and have a value from the beginning.
        Ok(unsafe { Memory::of(start, bytes, Box::new(lease)) })
    }

    /// The key of lent memory; None: it is not from here.
    pub(crate) fn key(&self, memory: &Memory) -> Option<u32> {
        let start = memory.start().as_ptr() as usize;
        let kept = lock(&self.kept);
        kept.lent.iter().find(|(at, _)| *at == start).map(|(_, region)| region.local_key())
    }

    /// Gives up what is idle: whether there was anything.
    pub(crate) fn shrink(&self) -> bool {
        let idle = lock(&self.kept).take_all_idle();
        !idle.is_empty()
    }
}

impl Drop for Slabs {
    fn drop(&mut self) {
        let (idle, lent) = {
            let mut kept = lock(&self.kept);
            kept.is_open = false;
            (kept.take_all_idle(), std::mem::take(&mut kept.lent))
        };
        drop((idle, lent));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(pages) = self.pages.take() else { return };
        let start = pages.start.as_ptr() as usize;
        let mut kept = lock(&self.kept);
        let region = kept.lent.iter().position(|(at, _)| *at == start);
        let Some(region) = region.map(|index| kept.lent.swap_remove(index).1) else { return };
        let slab = Slab { region, pages };
        if kept.has_room(slab.pages.bytes) {
            kept.put_idle(slab);
        } else {
            drop(kept);
            drop(slab);
        }
    }
}

/// How many slots are made at a time, after the first page.
const SLOTS_AT_ONCE: usize = 32;

/// Registered memory in pieces of one size, for messages.
#[derive(Debug)]
pub(crate) struct Slots {
    domain: Arc<Domain>,
    bytes: usize,
    slabs: Vec<Slab>,
    /// Where each slot is: its slab, and how many slots are before it there.
    places: Vec<(u32, u32)>,
    free: Vec<u32>,
}

impl Slots {
    /// Slots of at least `bytes`.
    pub(crate) fn new(domain: Arc<Domain>, bytes: usize) -> Slots {
        Slots { domain, bytes: bytes.next_multiple_of(64), slabs: vec![], places: vec![], free: vec![] }
    }

    /// The size of a slot.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A free slot.
    pub(crate) fn take(&mut self) -> Result<u32, Refused> {
        if self.free.is_empty() {
            self.grow()?;
        }
        Ok(self.free.pop().expect("there is one"))
    }

    fn grow(&mut self) -> Result<(), Refused> {
        // Connections that only negotiate need one.
        let wanted = if self.slabs.is_empty() { 1 } else { SLOTS_AT_ONCE };
        let bytes = (self.bytes * wanted).next_multiple_of(LEAST_BYTES);
        self.slabs.push(Slab::new(&self.domain, bytes)?);
        for at in 0..bytes / self.bytes {
            self.free.push(self.places.len() as u32);
            self.places.push((self.slabs.len() as u32 - 1, at as u32));
        }
        Ok(())
    }

    /// Gives a slot back that nobody uses any more.
    pub(crate) fn give(&mut self, slot: u32) {
        debug_assert!(!self.free.contains(&slot));
        self.free.push(slot);
    }

    /// Where a slot is, and the key for it.
    pub(crate) fn place(&self, slot: u32) -> (NonNull<u8>, u32) {
        let (slab, at) = self.places[slot as usize];
        let slab = &self.slabs[slab as usize];
        // SAFETY: the slab has room for so many slots.
        (unsafe { slab.pages.start.add(at as usize * self.bytes) }, slab.region.local_key())
    }
}

#[cfg(test)]
mod tests {
    use super::slab_bytes;

    #[test]
    fn slabs_have_few_sizes_and_waste_little() {
        assert_eq!([0, 1, 4096, 4097, 60_000].map(slab_bytes), [4096, 4096, 4096, 8192, 61_440].map(Some));
        assert_eq!(slab_bytes((8 << 20) + 112), Some(9 << 20));
        assert_eq!((slab_bytes(8 << 20), slab_bytes(usize::MAX)), (Some(8 << 20), None));
    }
}
