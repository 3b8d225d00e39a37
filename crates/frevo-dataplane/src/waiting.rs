//! Reads that wait for a file system, counted for all connections.
//!
//! A read with RWF_NOWAIT does not wait for data, but it asks the disk for them, and waits itself when the disk's queue is
//! full. So while many reads wait for a file system, further ones join them without being tried.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// While so many reads wait, others are not tried. A disk has a queue for 64 or more.
const CROWDED: usize = 16;

/// A file system.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) number: u64,
    waiting: AtomicUsize,
}

/// A read that waits for a file system.
#[derive(Debug)]
pub(crate) struct Waits(Arc<Device>);

impl Waits {
    pub(crate) fn new(device: Arc<Device>) -> Waits {
        device.waiting.fetch_add(1, Ordering::Relaxed);
        Waits(device)
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Device {
    /// Many reads wait.
    pub(crate) fn is_crowded(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) >= CROWDED
    }
}

/// The file systems of files for which a read has waited.
static KNOWN: Mutex<BTreeMap<u64, Weak<Device>>> = Mutex::new(BTreeMap::new());

/// The one with a number.
pub(crate) fn device(number: u64) -> Arc<Device> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(device) = known.get(&number).and_then(Weak::upgrade) {
        return device;
    }
    known.retain(|_, device| device.strong_count() > 0);
    let device = Arc::new(Device { number, waiting: AtomicUsize::new(0) });
    known.insert(number, Arc::downgrade(&device));
    device
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_is_counted_for_all_its_files() {
        const NUMBERS: (u64, u64) = (u64::MAX, u64::MAX - 1); // no real ones
        let (one, same, other) = (device(NUMBERS.0), device(NUMBERS.0), device(NUMBERS.1));
        let mut waiting: Vec<_> = (0..CROWDED).map(|_| Waits::new(one.clone())).collect();
        assert!(same.is_crowded() && !other.is_crowded());
        waiting.pop();
        assert!(!one.is_crowded());
        drop((one, same, waiting));
        assert!(!device(NUMBERS.0).is_crowded(), "a new one");
    }
}
