//! The system calls on files that Python's `os` module lacks: openat2, statx, renameat2, fallocate.
//!
//! They run in the caller's thread. The metadata path of the server calls them inside the event loop, because a
//! thread or a ring costs more than a cached lookup does.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// How often a path resolution that lost a race with a rename (EAGAIN, openat2(2)) is tried again.
const RESOLVE_ATTEMPTS: u32 = 64;

/// `RESOLVE_CACHED` of openat2(2): with it EAGAIN means "not in the cache" and is an answer, not a race.
const RESOLVE_CACHED: u64 = 0x20;

/// What statx(2) says about one file. Times are nanoseconds since 1970; a file system without birth time gives 0.
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
    pub atime_ns: i64,
    /// Birth (creation) time, 0 when the file system does not keep it.
    pub btime_ns: i64,
    /// Last change of the inode.
    pub ctime_ns: i64,
    /// Last change of the content.
    pub mtime_ns: i64,
    /// STATX_ATTR_* bits.
    pub attributes: u64,
    /// Mount id, 0 when the kernel does not tell.
    pub mnt_id: u64,
}

/// The fields that every caller gets; a kernel ignores bits that it does not know.
pub const STATX_MASK: u32 = libc::STATX_BASIC_STATS | libc::STATX_BTIME | libc::STATX_MNT_ID;

fn nanoseconds(time: libc::statx_timestamp) -> i64 {
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(i64::from(time.tv_nsec))
}

impl From<&libc::statx> for FileStatus {
    fn from(raw: &libc::statx) -> Self {
        let has = |bit: u32| raw.stx_mask & bit != 0;
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
            atime_ns: nanoseconds(raw.stx_atime),
            btime_ns: if has(libc::STATX_BTIME) { nanoseconds(raw.stx_btime) } else { 0 },
            ctime_ns: nanoseconds(raw.stx_ctime),
            mtime_ns: nanoseconds(raw.stx_mtime),
            attributes: raw.stx_attributes,
            mnt_id: if has(libc::STATX_MNT_ID) { raw.stx_mnt_id } else { 0 },
        }
    }
}

/// openat2(2). A resolution that raced with a rename is repeated; EINTR is the caller's to handle.
pub fn openat2(dirfd: RawFd, path: &CStr, flags: u64, mode: u64, resolve: u64) -> io::Result<OwnedFd> {
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
    fn resolve_beneath_holds() {
        // Goal: `..` does not leave the directory. Method: RESOLVE_BENEATH (0x08) below /proc.
        let proc_fd = openat2(libc::AT_FDCWD, c"/proc", libc::O_PATH as u64, 0, 0).unwrap();
        let error = openat2(proc_fd.as_raw_fd(), c"../etc", libc::O_PATH as u64, 0, 0x08).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EXDEV));
    }
}
