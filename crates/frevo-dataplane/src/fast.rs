//! The fast path's reads: files that answer READ requests without waiting where they can. What is unusual is passed to the
//! control plane unchanged, which gives the same response.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use zerocopy::little_endian::U16;

use crate::pipe::{self, PipeRun};
use crate::syscalls::device_of;
use crate::waiting::{device, Device, Waits};
use crate::wire::{channel, Header, ReadRequest, ReadResponse, HEADER_BYTES};
use crate::writing::Manner;

/// A file descriptor and what is known about it.
#[derive(Debug)]
pub struct OpenFile {
    fd: OwnedFd,
    /// One of the modes below.
    mode: AtomicU8,
    /// Its file system, once a read has had to wait.
    device: OnceLock<Arc<Device>>,
    /// How it is written.
    pub(crate) manner: Manner,
}

/// RWF_NOWAIT tells whether a read would block; assumed until the file system refuses it.
const ASKS: u8 = 0;
/// Reads never block: the file system is in memory (tmpfs has no RWF_NOWAIT).
const IN_MEMORY: u8 = 1;
/// Reads may block, even for ever, and the file system (FUSE, NFS, overlay, vfat) does not tell.
const SILENT: u8 = 2;

/// The result of a read without blocking.
#[derive(Debug, PartialEq, Eq)]
pub enum Attempt {
    /// This many bytes, fewer than requested only at the end of the file.
    Done(usize),
    /// It would block: a worker has to do it.
    WouldBlock,
    /// An error; the control plane decides the response.
    Failed,
}

impl From<io::Result<usize>> for Attempt {
    /// That of one that could wait.
    fn from(result: io::Result<usize>) -> Attempt {
        result.map_or(Attempt::Failed, Attempt::Done)
    }
}

impl OpenFile {
    /// Takes the descriptor.
    pub fn new(fd: OwnedFd) -> OpenFile {
        OpenFile { fd, mode: AtomicU8::new(ASKS), device: OnceLock::new(), manner: Manner::default() }
    }

    /// False: the file system does not tell whether a read would block. Such a read belongs to a worker, and not to a ring,
    /// whose threads every file system shares.
    pub(crate) fn tells(&self) -> bool {
        self.mode.load(Ordering::Relaxed) != SILENT
    }

    /// The same as far as it can be known now: reads a byte that it does not need. Where it may not be read, its file system's
    /// name says it.
    pub(crate) fn would_tell(&self) -> bool {
        match self.read_nowait(&mut [MaybeUninit::uninit()], 0) {
            Attempt::Failed => self.device().tells_of_reads(),
            _ => self.tells(),
        }
    }

    /// Whether it may be read.
    pub(crate) fn is_readable(&self) -> bool {
        self.read_nowait(&mut [MaybeUninit::uninit()], 0) != Attempt::Failed
    }

    /// Which file system it is on.
    pub(crate) fn device(&self) -> &Arc<Device> {
        self.device.get_or_init(|| device(device_of(self.fd.as_raw_fd())))
    }

    /// Counts a read that has to wait.
    pub(crate) fn wait(&self) -> Waits {
        Waits::new(self.device().clone())
    }

    /// The descriptor, for an engine that reads by itself; it lives as long as `self`.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Reads what is in memory. Where the file system does not tell, nothing is; and while many reads wait for it, this one
    /// joins them.
    pub fn read_nowait(&self, buffer: &mut [MaybeUninit<u8>], offset: u64) -> Attempt {
        if self.device.get().is_some_and(|device| device.is_crowded()) {
            return Attempt::WouldBlock;
        }
        let mut done = 0;
        while done < buffer.len() {
            let mode = self.mode.load(Ordering::Relaxed);
            if mode == SILENT {
                return Attempt::WouldBlock;
            }
            let flags = if mode == ASKS { libc::RWF_NOWAIT } else { 0 };
            match self.preadv2(&mut buffer[done..], offset + done as u64, flags) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => (),
                    Some(libc::EAGAIN) => return Attempt::WouldBlock,
                    Some(libc::EOPNOTSUPP) if mode == ASKS => {
                        let mode = if self.is_in_memory() { IN_MEMORY } else { SILENT };
                        self.mode.store(mode, Ordering::Relaxed);
                    }
                    _ => return Attempt::Failed,
                },
            }
        }
        Attempt::Done(done)
    }

    /// How many bytes of a range there are, if all of them are in memory, as far as the kernel tells.
    pub fn available(&self, offset: u64, length: usize) -> Option<usize> {
        if self.mode.load(Ordering::Relaxed) != IN_MEMORY {
            // A file system that does not tell is not asked for the size either: it might not answer.
            if self.read_nowait(&mut [MaybeUninit::uninit()], offset) != Attempt::Done(1) {
                return None;
            }
            if !pipe::is_cached(self.descriptor(), offset, length) {
                return None;
            }
        }
        let end = offset.saturating_add(length as u64).min(pipe::size_of_file(self.descriptor()).ok()?);
        end.checked_sub(offset).and_then(|count| usize::try_from(count).ok())
    }

    /// Fills empty pipes with what is in memory.
    pub fn splice_nowait(&self, run: &mut PipeRun, offset: u64, length: usize) -> Attempt {
        // A file system that does not tell may wait for anything, even when it is asked for its pages.
        let mut first = [MaybeUninit::uninit()];
        match self.read_nowait(&mut first, offset) {
            Attempt::Done(1) if pipe::is_cached(self.descriptor(), offset, length) => {
                self.splice_blocking(run, offset, length).into()
            }
            Attempt::Done(1) => Attempt::WouldBlock,
            attempt => attempt,
        }
    }

    /// Fills empty pipes with `length` bytes or to the end of the file; may block.
    pub fn splice_blocking(&self, run: &mut PipeRun, offset: u64, length: usize) -> io::Result<usize> {
        run.fill(self.descriptor(), offset, length)
    }

    /// Reads all of `buffer` or to the end of the file; may block.
    pub fn read_blocking(&self, buffer: &mut [MaybeUninit<u8>], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.preadv2(&mut buffer[done..], offset + done as u64, 0) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// As if the file system did not tell whether a read would block.
    #[cfg(test)]
    pub(crate) fn forget_that_it_tells(&self) {
        self.mode.store(SILENT, Ordering::Relaxed);
    }

    /// True when its file system is in memory. Only files of tmpfs have seals; unlike statfs, the question is not passed on
    /// to the file system, which might not answer.
    pub(crate) fn is_in_memory(&self) -> bool {
        // SAFETY: no pointers.
        unsafe { libc::fcntl(self.fd.as_raw_fd(), libc::F_GET_SEALS) >= 0 }
    }

    fn preadv2(&self, buffer: &mut [MaybeUninit<u8>], offset: u64, flags: i32) -> io::Result<usize> {
        let iov = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: the iovec describes `buffer`, which is exclusively borrowed for the call, and the descriptor is
        // owned by self. The kernel writes at most iov_len bytes.
        let count = unsafe { libc::preadv2(self.fd.as_raw_fd(), &iov, 1, offset as libc::off_t, flags) };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }
}

/// READ_UNBUFFERED does not change the response.
const READ_UNBUFFERED: u8 = 1;

/// True if nothing about a READ is unusual, so that the fast path may try it ([MS-SMB2] 2.2.19).
pub fn is_plain(read: &ReadRequest) -> bool {
    is_usual(read)
        && read.channel == channel::NONE
        && (read.channel_info_offset, read.channel_info_length) == (U16::ZERO, U16::ZERO)
}

/// The same, whatever its channel is.
pub fn is_usual(read: &ReadRequest) -> bool {
    let end = read.offset.get().checked_add(u64::from(read.length.get()));
    read.flags & !READ_UNBUFFERED == 0 && read.length != 0 && end.is_some_and(|end| end <= i64::MAX as u64)
}

/// Bytes before the data of a READ response: header and fixed part.
pub const READ_RESPONSE_BYTES: usize = HEADER_BYTES + size_of::<ReadResponse>();

/// Header and fixed part of the response to a READ with `count` bytes ([MS-SMB2] 2.2.20).
pub fn read_response(request: &Header, credits: u16, count: usize) -> (Header, ReadResponse) {
    let body = ReadResponse {
        data_offset: READ_RESPONSE_BYTES as u8,
        data_length: (count as u32).into(),
        ..ReadResponse::new()
    };
    (request.response(0, credits), body)
}

/// A file in memory, which can be sealed.
#[cfg(test)]
pub(crate) fn temporary_file(content: &[u8]) -> OwnedFd {
    use std::io::Write;
    // SAFETY: the name is a C string; the returned descriptor is checked and then owned by us alone.
    let fd = unsafe { libc::memfd_create(c"frevo-test".as_ptr(), libc::MFD_ALLOW_SEALING) };
    assert!(fd >= 0);
    // SAFETY: see above.
    let fd = unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(fd) };
    let mut file = std::fs::File::from(fd);
    file.write_all(content).unwrap();
    OwnedFd::from(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_stop_at_the_end_of_the_file() {
        let file = OpenFile::new(temporary_file(b"0123456789"));
        let mut buffer = [MaybeUninit::new(0u8); 8];
        for (offset, count) in [(4, 6), (10, 0)] {
            assert_eq!(file.read_nowait(&mut buffer, offset), Attempt::Done(count));
            assert_eq!(file.read_blocking(&mut buffer, offset).unwrap(), count);
        }
        let unreadable = std::fs::OpenOptions::new().write(true).open("/dev/null").unwrap();
        assert_eq!(OpenFile::new(unreadable.into()).read_nowait(&mut buffer, 0), Attempt::Failed);
    }

    #[test]
    fn a_file_system_that_does_not_tell_is_read_by_workers_only() {
        let mut buffer = [MaybeUninit::new(0u8); 8];
        let memory = OpenFile::new(temporary_file(b"0123"));
        assert_eq!(memory.read_nowait(&mut buffer, 0), Attempt::Done(4));
        assert!(memory.tells());
        // procfs has neither RWF_NOWAIT nor seals.
        let silent = OpenFile::new(std::fs::File::open("/proc/self/stat").unwrap().into());
        for _ in 0..2 {
            assert_eq!(silent.read_nowait(&mut buffer, 0), Attempt::WouldBlock);
        }
        assert!(!silent.tells());
        assert_eq!(silent.read_blocking(&mut buffer, 0).unwrap(), 8);
        assert_ne!(silent.device().number, memory.device().number);
    }

    #[test]
    fn while_many_reads_wait_others_join_them() {
        let mut buffer = [MaybeUninit::new(0u8); 8];
        let file = OpenFile::new(temporary_file(b"0123"));
        // Other tests read memory, too.
        let device = file.device.get_or_init(|| device(u64::MAX - 2)).clone();
        let mut waiting = Vec::new();
        while !device.is_crowded() {
            assert_eq!(file.read_nowait(&mut buffer, 0), Attempt::Done(4));
            waiting.push(file.wait());
        }
        assert_eq!(file.read_nowait(&mut buffer, 0), Attempt::WouldBlock);
        waiting.pop();
        assert_eq!(file.read_nowait(&mut buffer, 0), Attempt::Done(4));
    }

    #[test]
    fn only_plain_reads_are_taken() {
        let plain = ReadRequest { length: 4096.into(), flags: READ_UNBUFFERED, ..ReadRequest::new() };
        assert!(is_plain(&plain));
        let unusual = [
            ReadRequest { length: 0.into(), ..plain },
            ReadRequest { flags: 2, ..plain },
            ReadRequest { channel: 1.into(), ..plain },
            ReadRequest { channel_info_offset: 112.into(), ..plain },
            ReadRequest { channel_info_length: 8.into(), ..plain },
            ReadRequest { offset: (i64::MAX as u64 - 4095).into(), ..plain },
            ReadRequest { offset: u64::MAX.into(), ..plain },
        ];
        for read in unusual {
            assert!(!is_plain(&read), "{read:?}");
        }
        assert!(is_plain(&ReadRequest { offset: (i64::MAX as u64 - 4096).into(), ..plain }));
    }
}
