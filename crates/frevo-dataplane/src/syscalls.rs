//! The system calls on files that Python's `os` module lacks: openat2, statx, utimensat, renameat2, fallocate.
//!
//! They run in the caller's thread. The metadata path of the server calls them inside the event loop, because a thread
//! or a ring costs more than a cached lookup.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use crate::pipe::without_idle;

/// How often a path resolution that lost a race with a rename (EAGAIN, openat2(2)) is tried again.
const RESOLVE_ATTEMPTS: u32 = 64;

/// `RESOLVE_CACHED` of openat2(2): with it EAGAIN means "not in the cache" and is an answer, not a race.
const RESOLVE_CACHED: u64 = 0x20;

/// 1970-01-01 as a FILETIME.
const UNIX_EPOCH: i64 = 116_444_736_000_000_000;

/// FILETIME units (100 ns) in a second.
const TICKS_PER_SECOND: i64 = 10_000_000;

/// The result of statx(2) for one file. Times are FILETIME, 100 ns since 1601: nanoseconds in 64 bits end in 2262.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStatus {
    /// Major number of the device that holds the file.
    pub dev_major: u32,
    /// Minor number of the device that holds the file.
    pub dev_minor: u32,
    /// Inode number.
    pub ino: u64,
    /// File type and permission bits.
    pub mode: u32,
    /// Number of hard links.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Allocated blocks of 512 bytes.
    pub blocks: u64,
    /// Last access.
    pub atime: i64,
    /// Birth (creation) time, 0 when the file system does not keep it.
    pub btime: i64,
    /// Last change of the inode.
    pub ctime: i64,
    /// Last change of the content.
    pub mtime: i64,
    /// STATX_ATTR_* bits.
    pub attributes: u64,
    /// Mount id, 0 when the kernel does not tell.
    pub mnt_id: u64,
    /// A number that no other file of the file system has or had, as far as inode and birth time tell.
    pub file_id: u64,
}

/// The fields that every caller gets; a kernel ignores bits that it does not know.
pub const STATX_MASK: u32 = libc::STATX_BASIC_STATS | libc::STATX_BTIME | libc::STATX_MNT_ID;

/// The time as FILETIME, rounded down; 0 before 1601, the largest value after the end of the range.
fn filetime(time: libc::statx_timestamp) -> i64 {
    let ticks = time.tv_sec.saturating_mul(TICKS_PER_SECOND).saturating_add(i64::from(time.tv_nsec / 100));
    ticks.saturating_add(UNIX_EPOCH).max(0)
}

/// FILETIME as seconds and nanoseconds since 1970; None leaves the file's time as it is.
fn timespec(filetime: Option<i64>) -> libc::timespec {
    let Some(filetime) = filetime else {
        return libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT };
    };
    let ticks = filetime - UNIX_EPOCH;
    libc::timespec {
        tv_sec: ticks.div_euclid(TICKS_PER_SECOND),
        tv_nsec: ticks.rem_euclid(TICKS_PER_SECOND) * 100,
    }
}

/// A number for the file `ino` created at `btime` (FILETIME), different from that of the previous file with this inode.
/// File systems reuse inode numbers at once; 23 bits of the birth time are mixed in above the low 40 bits of the inode
/// number. The sign bit is unchanged.
fn file_id(ino: u64, btime: i64) -> u64 {
    if btime == 0 {
        return ino;
    }
    ino ^ ((btime as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 41) << 40
}

impl From<&libc::statx> for FileStatus {
    fn from(raw: &libc::statx) -> Self {
        let has = |bit: u32| raw.stx_mask & bit != 0;
        let born = if has(libc::STATX_BTIME) { filetime(raw.stx_btime) } else { 0 };
        FileStatus {
            dev_major: raw.stx_dev_major,
            dev_minor: raw.stx_dev_minor,
            ino: raw.stx_ino,
            mode: u32::from(raw.stx_mode),
            nlink: raw.stx_nlink,
            uid: raw.stx_uid,
            gid: raw.stx_gid,
            size: raw.stx_size,
            blocks: raw.stx_blocks,
            atime: filetime(raw.stx_atime),
            btime: born,
            ctime: filetime(raw.stx_ctime),
            mtime: filetime(raw.stx_mtime),
            attributes: raw.stx_attributes,
            mnt_id: if has(libc::STATX_MNT_ID) { raw.stx_mnt_id } else { 0 },
            file_id: file_id(raw.stx_ino, born),
        }
    }
}

/// The device of an open file. Uses only what the kernel knows, so it does not wait for a file system that does not
/// answer; 0 if even that fails.
pub(crate) fn device_of(fd: RawFd) -> u64 {
    let mut raw = MaybeUninit::<libc::statx>::zeroed();
    let flags = libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC;
    // SAFETY: the path is a C string, and raw is a buffer of the right type that lives during the call.
    let result = unsafe { libc::statx(fd, c"".as_ptr(), flags, 0, raw.as_mut_ptr()) };
    // SAFETY: all-zero is a valid statx, and the kernel has at most written to it.
    let status = unsafe { raw.assume_init() };
    if result == 0 {
        libc::makedev(status.stx_dev_major, status.stx_dev_minor)
    } else {
        0
    }
}

/// openat2(2). A resolution that raced with a rename is repeated; EINTR is the caller's to handle.
pub fn openat2(dirfd: RawFd, path: &CStr, flags: u64, mode: u64, resolve: u64) -> io::Result<OwnedFd> {
    without_idle(|| openat2_now(dirfd, path, flags, mode, resolve))
}

fn openat2_now(dirfd: RawFd, path: &CStr, flags: u64, mode: u64, resolve: u64) -> io::Result<OwnedFd> {
    // SAFETY: open_how is plain data for which all-zero is valid; newer fields stay zero as the call demands.
    let mut how: libc::open_how = unsafe { MaybeUninit::zeroed().assume_init() };
    how.flags = flags;
    how.mode = mode;
    how.resolve = resolve;
    for attempt in 1.. {
        // SAFETY: path is NUL-terminated, how outlives the call and its true size is given.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                dirfd,
                path.as_ptr(),
                &how,
                std::mem::size_of::<libc::open_how>(),
            )
        };
        if fd >= 0 {
            // SAFETY: the kernel just gave this descriptor to us alone.
            return Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) });
        }
        let error = io::Error::last_os_error();
        let raced = error.raw_os_error() == Some(libc::EAGAIN) && resolve & RESOLVE_CACHED == 0;
        if !raced || attempt == RESOLVE_ATTEMPTS {
            return Err(error);
        }
    }
    unreachable!("the loop returns at its last attempt")
}

/// statx(2) of `path` below `dirfd`; with AT_EMPTY_PATH and an empty path, of `dirfd` itself.
pub fn statx(dirfd: RawFd, path: &CStr, flags: i32) -> io::Result<FileStatus> {
    let mut raw = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: path is NUL-terminated and raw is large enough for struct statx.
    let result = unsafe { libc::statx(dirfd, path.as_ptr(), flags, STATX_MASK, raw.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeroed, then filled by the kernel; every bit pattern is a valid statx.
    Ok(FileStatus::from(unsafe { raw.assume_init_ref() }))
}

/// utimensat(2) with FILETIME of 0 or more: of `path`, links followed, or of the descriptor `dirfd` itself. None
/// leaves a time.
pub fn set_times(
    dirfd: RawFd,
    path: Option<&CStr>,
    accessed: Option<i64>,
    written: Option<i64>,
) -> io::Result<()> {
    let times = [timespec(accessed), timespec(written)];
    let result = match path {
        // SAFETY: the path is NUL-terminated, and there are two times.
        Some(path) => unsafe { libc::utimensat(dirfd, path.as_ptr(), times.as_ptr(), 0) },
        // SAFETY: there are two times.
        None => unsafe { libc::futimens(dirfd, times.as_ptr()) },
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// renameat2(2) with RENAME_NOREPLACE, RENAME_EXCHANGE or no flags.
pub fn renameat2(olddirfd: RawFd, old: &CStr, newdirfd: RawFd, new: &CStr, flags: u32) -> io::Result<()> {
    // SAFETY: both paths are NUL-terminated and outlive the call.
    let result =
        unsafe { libc::syscall(libc::SYS_renameat2, olddirfd, old.as_ptr(), newdirfd, new.as_ptr(), flags) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// fallocate(2) with the FALLOC_FL_* bits in `mode`.
pub fn fallocate(fd: RawFd, mode: i32, offset: i64, length: i64) -> io::Result<()> {
    // SAFETY: plain numbers; a bad descriptor is an error, nothing more.
    if unsafe { libc::fallocate64(fd, mode, offset, length) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Fills `buffer`, of at most 256 bytes, with random bytes of the kernel (getrandom(2)).
pub fn random(buffer: &mut [u8]) -> io::Result<()> {
    debug_assert!(buffer.len() <= 256, "longer ones may come in part");
    // SAFETY: `buffer` is writable for its length.
    let filled = unsafe { libc::getrandom(buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    match usize::try_from(filled) {
        Ok(length) if length == buffer.len() => Ok(()),
        Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn open_and_stat_agree() {
        // Goal: a file opened with openat2 is the one that statx describes. Method: /proc/self/exe, both ways.
        let fd = openat2(libc::AT_FDCWD, c"/proc/self/exe", libc::O_PATH as u64, 0, 0).unwrap();
        let by_fd = statx(fd.as_raw_fd(), c"", libc::AT_EMPTY_PATH).unwrap();
        let by_path = statx(libc::AT_FDCWD, c"/proc/self/exe", 0).unwrap();
        assert_eq!((by_fd.ino, by_fd.size), (by_path.ino, by_path.size));
    }

    #[test]
    fn times_of_all_years() {
        // Goal: FILETIME survives the way to the kernel's form and back. Method: the ends of the range and around
        // 1970, 2038 and 2262.
        for time in [0, 1, UNIX_EPOCH - 1, UNIX_EPOCH, UNIX_EPOCH + 1, 1 << 57, i64::MAX / 2, i64::MAX] {
            let spec = timespec(Some(time));
            assert!((0..1_000_000_000).contains(&spec.tv_nsec));
            // SAFETY: plain numbers, for which zero is valid.
            let mut back: libc::statx_timestamp = unsafe { MaybeUninit::zeroed().assume_init() };
            (back.tv_sec, back.tv_nsec) = (spec.tv_sec, spec.tv_nsec as u32);
            assert_eq!(filetime(back), time);
        }
        assert_eq!(timespec(None).tv_nsec, libc::UTIME_OMIT);
    }

    #[test]
    fn a_file_id_is_not_its_predecessors() {
        // Goal: an inode that is used again has another number, also a tick later; without birth time it is the
        // inode. Method: neighbouring times.
        let ids: std::collections::HashSet<u64> =
            (1..1000).map(|born| file_id(12, UNIX_EPOCH + born)).collect();
        assert_eq!(ids.len(), 999);
        assert!(ids.iter().all(|id| id & 0xFF_FFFF_FFFF == 12));
        assert_eq!(file_id(12, 0), 12);
    }

    #[test]
    fn resolve_beneath_holds() {
        // Goal: `..` does not leave the directory. Method: RESOLVE_BENEATH (0x08) below /proc.
        let proc_fd = openat2(libc::AT_FDCWD, c"/proc", libc::O_PATH as u64, 0, 0).unwrap();
        let error = openat2(proc_fd.as_raw_fd(), c"../etc", libc::O_PATH as u64, 0, 0x08).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EXDEV));
    }
}
