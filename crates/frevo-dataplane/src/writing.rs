//! The fast path's writes: plain WRITE and FLUSH requests, done without waiting where that is possible.

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use zerocopy::little_endian::{U16, U32};

use crate::fast::OpenFile;
use crate::wire::{WriteRequest, WriteResponse, HEADER_BYTES};

/// Bytes before the data of a WRITE request: header and fixed part.
pub const WRITE_REQUEST_BYTES: usize = HEADER_BYTES + size_of::<WriteRequest>();
/// SMB2_WRITEFLAG_WRITE_UNBUFFERED does not change the response; anything else does.
const WRITE_UNBUFFERED: u32 = 2;

/// Where nothing tells whether a write would block, no larger ones of a server's clients are tried.
const SMALL_BYTES: usize = 64 * 1024;
/// There, a write that took longer than this has blocked ...
const LONG: Duration = Duration::from_millis(2);
/// ... and so many of the file's next ones are left to workers.
const LEFT_TO_WORKERS: u8 = 64;

/// True for a WRITE that the fast path may try ([MS-SMB2] 2.2.21), in a message of `size` bytes.
pub fn is_plain_write(write: &WriteRequest, size: usize) -> bool {
    let length = write.length.get();
    let end = write.offset.get().checked_add(u64::from(length));
    usize::from(write.data_offset.get()) == WRITE_REQUEST_BYTES
        && length != 0
        && length as usize <= size - WRITE_REQUEST_BYTES
        && write.flags.get() & !WRITE_UNBUFFERED == 0
        && (write.channel, write.remaining_bytes) == (U32::ZERO, U32::ZERO)
        && (write.channel_info_offset, write.channel_info_length) == (U16::ZERO, U16::ZERO)
        && end.is_some_and(|end| end <= i64::MAX as u64)
}

/// The fixed part of the response to a WRITE of `count` bytes ([MS-SMB2] 2.2.22).
pub fn write_response(count: usize) -> WriteResponse {
    WriteResponse { count: (count as u32).into(), ..WriteResponse::new() }
}

/// The result of a write without blocking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// This many bytes, fewer than all only if the file system took no more.
    Done(usize),
    /// The rest would block: a worker has to write it. So many bytes are written.
    WouldBlock(usize),
    /// An error, and nothing was written: the control plane tries it again and decides the response.
    Failed,
}

/// What is known about writing to a file.
#[derive(Debug, Default)]
pub(crate) struct Manner {
    /// One of the modes below.
    mode: AtomicU8,
    /// How many writes are left to workers, because one has blocked.
    left: AtomicU8,
}

/// RWF_NOWAIT tells whether a write would block; assumed until the file system refuses it.
const ASKS: u8 = 0;
/// Writes never block: the file system is in memory.
const IN_MEMORY: u8 = 1;
/// The file system (ext4) tells it of reads only.
const CACHED: u8 = 2;
/// Nor of these: it may block for ever.
const SILENT: u8 = 3;

impl Manner {
    /// Takes one of the writes that are left to workers.
    fn leave_one(&self) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

impl OpenFile {
    /// Writes as much as can be written without blocking. A file system that tells it of reads only has a page cache, which
    /// small writes fill without waiting unless too much of it is dirty: these are tried.
    pub fn write_nowait(&self, data: &[u8], offset: u64) -> Written {
        self.write_trying(data, offset, SMALL_BYTES)
    }

    /// The same for a client, which has a thread of its own and keeps nobody else waiting: large writes are tried, too. But
    /// not where it cannot be found out whether a write may block for ever, as that takes a read. How many bytes are
    /// written; the rest, and whatever goes wrong, is for a worker.
    pub(crate) fn write_soon(&self, data: &[u8], offset: u64) -> usize {
        if self.manner.mode.load(Ordering::Relaxed) == ASKS && !self.is_readable() {
            return 0;
        }
        match self.write_trying(data, offset, usize::MAX) {
            Written::Done(done) | Written::WouldBlock(done) => done,
            Written::Failed => 0,
        }
    }

    /// Where nothing tells whether a write would block, up to `most` bytes are tried.
    fn write_trying(&self, data: &[u8], offset: u64, most: usize) -> Written {
        let mut done = 0;
        while done < data.len() {
            let mode = self.manner.mode.load(Ordering::Relaxed);
            let result = match mode {
                SILENT => return Written::WouldBlock(done),
                CACHED if data.len() > most || self.manner.leave_one() => return Written::WouldBlock(done),
                CACHED => self.timed(&data[done..], offset + done as u64),
                IN_MEMORY => pwrite(self.descriptor(), &data[done..], offset + done as u64, 0),
                _ => pwrite(self.descriptor(), &data[done..], offset + done as u64, libc::RWF_NOWAIT),
            };
            match result {
                Ok(count) => done += count,
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => (),
                    Some(libc::EAGAIN) => return Written::WouldBlock(done),
                    Some(libc::EOPNOTSUPP) if mode == ASKS => {
                        let mode = match (self.is_in_memory(), self.would_tell()) {
                            (true, _) => IN_MEMORY,
                            (false, true) => CACHED,
                            (false, false) => SILENT,
                        };
                        self.manner.mode.store(mode, Ordering::Relaxed);
                    }
                    _ if done > 0 => break, // what was written counts
                    _ => return Written::Failed,
                },
            }
        }
        Written::Done(done)
    }

    /// Writes all of `data`, of which `done` bytes were written before; may block.
    /// An error: nothing was written; otherwise how many bytes are written, fewer than all only if the file system took no
    /// more.
    pub fn write_blocking(&self, data: &[u8], offset: u64, mut done: usize) -> io::Result<usize> {
        while done < data.len() {
            match pwrite(self.descriptor(), &data[done..], offset + done as u64, 0) {
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// True if no write ever blocks, as far as it is known.
    pub(crate) fn never_blocks(&self) -> bool {
        let mode = &self.manner.mode;
        if mode.load(Ordering::Relaxed) == ASKS && self.is_in_memory() {
            mode.store(IN_MEMORY, Ordering::Relaxed);
        }
        mode.load(Ordering::Relaxed) == IN_MEMORY
    }

    /// As if it were on a file system that never tells whether a write would block.
    #[cfg(test)]
    pub(crate) fn forget_how_it_is_written(&self) {
        self.manner.mode.store(SILENT, Ordering::Relaxed);
    }

    /// As if it were in memory again.
    #[cfg(test)]
    pub(crate) fn write_at_once(&self) {
        self.manner.mode.store(IN_MEMORY, Ordering::Relaxed);
    }

    /// Waits until data and metadata are on disk.
    pub fn flush(&self) -> io::Result<()> {
        // SAFETY: no pointers; the descriptor is owned by self.
        match unsafe { libc::fsync(self.descriptor()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn timed(&self, data: &[u8], offset: u64) -> io::Result<usize> {
        let begun = Instant::now();
        let result = pwrite(self.descriptor(), data, offset, 0);
        if begun.elapsed() > LONG {
            self.manner.left.store(LEFT_TO_WORKERS, Ordering::Relaxed);
        }
        result
    }
}

fn pwrite(fd: RawFd, data: &[u8], offset: u64, flags: i32) -> io::Result<usize> {
    let iov = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
    // SAFETY: the iovec describes `data`, which is borrowed for the call and only read.
    let count = unsafe { libc::pwritev2(fd, &iov, 1, offset as libc::off_t, flags) };
    match usize::try_from(count) {
        Ok(0) => Err(io::Error::from_raw_os_error(libc::ENOSPC)), // as if there were no space: no progress
        Ok(count) => Ok(count),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fast::temporary_file;
    use std::mem::MaybeUninit;

    fn content(file: &OpenFile) -> Vec<u8> {
        let mut room = [MaybeUninit::<u8>::uninit(); 64];
        let count = file.read_blocking(&mut room, 0).unwrap();
        // SAFETY: that many bytes were read into it.
        room[..count].iter().map(|byte| unsafe { byte.assume_init() }).collect()
    }

    #[test]
    fn writes_go_where_they_should() {
        let file = OpenFile::new(temporary_file(b"0123456789"));
        assert_eq!(file.write_nowait(b"abc", 2), Written::Done(3));
        assert_eq!(file.manner.mode.load(Ordering::Relaxed), IN_MEMORY);
        assert_eq!(file.write_blocking(b"xyz", 8, 1).unwrap(), 3, "the rest of it");
        assert_eq!(content(&file), b"01abc5678yz");
        file.flush().unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_written_is_left_to_the_control_plane() {
        let file = OpenFile::new(std::fs::File::open("/").unwrap().into());
        assert_eq!(file.write_nowait(b"abc", 0), Written::Failed);
        assert!(file.write_blocking(b"abc", 0, 0).is_err());
        assert_eq!(file.write_blocking(b"abc", 0, 2).unwrap(), 2, "not once more");
    }

    #[test]
    fn where_nothing_tells_large_writes_and_those_after_a_slow_one_are_left_to_workers() {
        let file = OpenFile::new(temporary_file(b""));
        file.manner.mode.store(CACHED, Ordering::Relaxed);
        assert_eq!(file.write_nowait(&[7; SMALL_BYTES + 1], 0), Written::WouldBlock(0));
        file.manner.left.store(2, Ordering::Relaxed);
        let results = [0; 3].map(|_| file.write_nowait(b"abc", 0));
        assert_eq!(results, [Written::WouldBlock(0), Written::WouldBlock(0), Written::Done(3)]);
        file.manner.mode.store(SILENT, Ordering::Relaxed);
        assert_eq!(file.write_nowait(b"abc", 0), Written::WouldBlock(0));
        assert_eq!(file.write_soon(b"abc", 0), 0);
    }

    #[test]
    fn a_file_that_may_not_be_read_is_not_taken_for_one_that_tells() {
        // procfs does not tell. Nothing is written to it here.
        let file = std::fs::OpenOptions::new().write(true).open("/proc/self/oom_score_adj").unwrap();
        let file = OpenFile::new(file.into());
        assert_eq!(file.write_nowait(b"0", 0), Written::WouldBlock(0));
        assert_eq!(file.manner.mode.load(Ordering::Relaxed), SILENT);
    }

    #[test]
    fn a_client_tries_large_writes_too_but_not_to_what_it_knows_nothing_of() {
        let file = OpenFile::new(temporary_file(b""));
        file.manner.mode.store(CACHED, Ordering::Relaxed);
        assert_eq!(file.write_soon(&[7; SMALL_BYTES + 1], 0), SMALL_BYTES + 1);
        file.manner.left.store(1, Ordering::Relaxed);
        assert_eq!([0; 2].map(|_| file.write_soon(b"abc", 0)), [0, 3]);
        let unreadable = std::fs::OpenOptions::new().write(true).open("/dev/null").unwrap();
        assert_eq!(OpenFile::new(unreadable.into()).write_soon(b"abc", 0), 0);
        assert_eq!(OpenFile::new(temporary_file(b"")).write_soon(b"abc", 0), 3);
    }

    #[test]
    fn only_plain_writes_are_taken() {
        let plain = WriteRequest {
            data_offset: (WRITE_REQUEST_BYTES as u16).into(),
            length: 8.into(),
            flags: WRITE_UNBUFFERED.into(),
            ..WriteRequest::new()
        };
        let size = WRITE_REQUEST_BYTES + 8;
        assert!(is_plain_write(&plain, size) && is_plain_write(&plain, size + 1));
        assert!(!is_plain_write(&plain, size - 1), "data is missing");
        let unusual = [
            WriteRequest { length: 0.into(), ..plain },
            WriteRequest { data_offset: 120.into(), ..plain },
            WriteRequest { flags: 1.into(), ..plain },
            WriteRequest { channel: 1.into(), ..plain },
            WriteRequest { remaining_bytes: 1.into(), ..plain },
            WriteRequest { channel_info_offset: 112.into(), ..plain },
            WriteRequest { channel_info_length: 8.into(), ..plain },
            WriteRequest { offset: (i64::MAX as u64 - 7).into(), ..plain },
            WriteRequest { offset: u64::MAX.into(), ..plain },
        ];
        for write in unusual {
            assert!(!is_plain_write(&write, size + 100), "{write:?}");
        }
        assert!(is_plain_write(&WriteRequest { offset: (i64::MAX as u64 - 8).into(), ..plain }, size));
    }
}
