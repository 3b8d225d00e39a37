//! Reads that wait for a file system, counted for all connections.
//!
//! A read with RWF_NOWAIT does not wait for data, but it asks the disk for them, and waits itself when the disk's queue is
//! full. So while many reads wait for a file system, further ones join them without being tried.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// While so many reads wait, others are not tried. A disk has a queue for 64 or more.
const CROWDED: usize = 16;

/// A file system.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) number: u64,
    waiting: AtomicUsize,
    tells: OnceLock<bool>,
}

/// File systems that say whether a read would block, though not whether a write would.
const TELLING: [&str; 4] = ["ext2", "ext3", "ext4", "f2fs"];

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

    /// It says whether a read would block, by its name in the kernel's mount table: itself it is not asked, as it might not
    /// answer.
    pub(crate) fn tells_of_reads(&self) -> bool {
        *self.tells.get_or_init(|| {
            let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
            type_of(&table, self.number).is_some_and(|name| TELLING.contains(&name))
        })
    }
}

/// The type of the file system with this number in a mount table (proc_pid_mountinfo(5)).
fn type_of(table: &str, number: u64) -> Option<&str> {
    let device = format!("{}:{}", libc::major(number), libc::minor(number));
    let line = table.lines().find(|line| line.split(' ').nth(2) == Some(&device))?;
    line.split_once(" - ")?.1.split(' ').next()
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
    let device = Arc::new(Device { number, waiting: AtomicUsize::new(0), tells: OnceLock::new() });
    known.insert(number, Arc::downgrade(&device));
    device
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscalls::device_of;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_mount_table_says_which_file_systems_tell() {
        let table = "23 28 0:22 / /proc rw,nosuid - proc proc rw\n\
                     28 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
                     99 28 0:61 / /mnt/far rw - fuse.sshfs host:/ rw";
        let named = |major, minor| type_of(table, libc::makedev(major, minor));
        assert_eq!(
            [named(8, 1), named(0, 61), named(0, 22)],
            [Some("ext4"), Some("fuse.sshfs"), Some("proc")]
        );
        assert_eq!((named(8, 11), type_of("", 0), type_of("1 2 0:0", 0)), (None, None, None));
        let of = |path| device(device_of(fs::File::open(path).unwrap().as_raw_fd()));
        assert!(!of("/proc/self/stat").tells_of_reads());
    }

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
