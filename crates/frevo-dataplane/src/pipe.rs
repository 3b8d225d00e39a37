//! Pipes that hold pages of files: data on its way from a file to a socket, which nobody copies. `receiving` is the other way.
//!
//! What is in a pipe refers to the pages of the page cache. They stay when the file is truncated, but who writes to the
//! file before they have arrived may change what is sent (`leases`).

mod idle;
mod receiving;

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Arc, OnceLock};

pub use idle::without_idle;
use idle::{Counted, Idle};

use crate::leases::Pin;

/// Number of cachestat(2), the same on every architecture.
const CACHESTAT: libc::c_long = 451;
/// Pipes of a thread at a time: each takes two descriptors.
const PIPES_MAX: usize = 128;

/// A pipe and how much is in it.
#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    capacity: usize,
    filled: usize,
    /// Counts the pipes of its thread.
    _alive: Arc<()>,
    /// And those of all threads.
    _counted: Counted,
}

impl Pipe {
    /// An empty pipe with room for `size` bytes of a file, wherever they start. An error: there are no descriptors, or this
    /// user may not have so large a pipe.
    fn new(size: usize, alive: Arc<()>) -> io::Result<Pipe> {
        let counted = Counted::new()?;
        let mut ends = [0; 2];
        without_idle(|| {
            // SAFETY: the kernel writes two descriptors.
            match unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        })?;
        // SAFETY: new descriptors that nothing else owns.
        let [read, write] = ends.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
        let wanted = libc::c_int::try_from(size.next_power_of_two()).unwrap_or(libc::c_int::MAX);
        // SAFETY: no pointers.
        let capacity = unsafe { libc::fcntl(write.as_raw_fd(), libc::F_SETPIPE_SZ, wanted) };
        match usize::try_from(capacity) {
            Ok(capacity) => Ok(Pipe { read, write, capacity, filled: 0, _alive: alive, _counted: counted }),
            Err(_) => Err(io::Error::last_os_error()),
        }
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.filled
    }

    /// True when nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Moves `length` bytes of a file into the empty pipe, fewer when it is full or the file ends. Blocks where the file
    /// does.
    fn fill(&mut self, file: RawFd, offset: u64, length: usize) -> io::Result<usize> {
        let mut position =
            libc::off64_t::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
        while self.filled < length {
            // SAFETY: the kernel reads and writes the position, which lives during the call.
            let count = unsafe {
                libc::splice(
                    file,
                    &mut position,
                    self.write.as_raw_fd(),
                    std::ptr::null_mut(),
                    length - self.filled,
                    libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MOVE,
                )
            };
            match usize::try_from(count) {
                Ok(0) => break,
                Ok(count) => self.filled += count,
                Err(_) => match io::Error::last_os_error() {
                    full if full.kind() == io::ErrorKind::WouldBlock && self.filled > 0 => break,
                    error => interrupted(error)?,
                },
            }
        }
        Ok(self.filled)
    }

    /// Moves what is in it to a socket, as much as that takes now; [`Pipe::consumed`] is to follow. `more`: something else
    /// follows at once.
    pub fn drain(&self, socket: RawFd, more: bool) -> io::Result<usize> {
        let flags =
            libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MOVE | if more { libc::SPLICE_F_MORE } else { 0 };
        loop {
            let (none, nowhere) = (std::ptr::null_mut(), std::ptr::null_mut());
            // SAFETY: no pointers but null ones.
            let count =
                unsafe { libc::splice(self.read.as_raw_fd(), none, socket, nowhere, self.filled, flags) };
            match usize::try_from(count) {
                Ok(count) => return Ok(count),
                Err(_) => interrupted(io::Error::last_os_error())?,
            }
        }
    }

    /// So many bytes have left it.
    pub fn consumed(&mut self, count: usize) {
        self.filled -= count.min(self.filled);
    }

    /// Takes everything out of it as bytes, for whom cannot use it as it is.
    pub fn take(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.take_into(&mut bytes)?;
        Ok(bytes)
    }

    /// The same, behind what is in `bytes`.
    fn take_into(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        bytes.reserve_exact(self.filled);
        while self.filled > 0 {
            let room = bytes.spare_capacity_mut();
            // SAFETY: the kernel writes at most room.len() bytes into the spare capacity.
            let count = unsafe { libc::read(self.read.as_raw_fd(), room.as_mut_ptr().cast(), room.len()) };
            match usize::try_from(count) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    // SAFETY: `count` bytes were written just now.
                    unsafe { bytes.set_len(bytes.len() + count) };
                    self.filled -= count.min(self.filled);
                }
                Err(_) => interrupted(io::Error::last_os_error())?,
            }
        }
        Ok(())
    }
}

/// The largest pipe that everybody may have.
fn pipe_bytes_max() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/fs/pipe-max-size").unwrap_or_default();
        text.trim().parse().unwrap_or(0).max(64 * 1024)
    })
}

/// Its size in bytes.
pub(crate) fn size_of_file(file: RawFd) -> io::Result<u64> {
    // SAFETY: an all-zero stat is valid.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: status is a buffer of the right type that lives during the call.
    match unsafe { libc::fstat(file, &mut status) } {
        0 => Ok(u64::try_from(status.st_size).unwrap_or(0)),
        _ => Err(io::Error::last_os_error()),
    }
}

fn page_bytes() -> u64 {
    static BYTES: OnceLock<u64> = OnceLock::new();
    // SAFETY: no pointers.
    *BYTES.get_or_init(|| u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096))
}

/// True if a range of a file, as far as there is one, is in the page cache, so that nobody waits for the disk. False when the
/// kernel does not tell (before Linux 6.5, or of files that this user may only read).
pub fn is_cached(file: RawFd, offset: u64, length: usize) -> bool {
    let Ok(size) = size_of_file(file) else { return false };
    let end = offset.saturating_add(length as u64).min(size);
    if end <= offset {
        return true; // nothing to wait for
    }
    let range = [offset, end - offset];
    let mut cached = [0u64; 5];
    // SAFETY: the kernel reads the range (two numbers) and writes the statistics (five), which live during the call.
    let result = unsafe { libc::syscall(CACHESTAT, file, range.as_ptr(), cached.as_mut_ptr(), 0) };
    let pages = (end - 1) / page_bytes() - offset / page_bytes() + 1;
    result == 0 && cached[0] >= pages
}

/// Repeats calls that fail with EINTR.
fn interrupted(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::Interrupted => Ok(()),
        _ => Err(error),
    }
}

/// The pipes that hold one range of a file together, in order.
#[derive(Debug)]
pub struct PipeRun {
    pipes: Vec<Pipe>,
    /// Keeps writers from the file until what is in the pipes has arrived.
    pub pin: Option<Pin>,
}

impl PipeRun {
    /// Bytes in them.
    pub fn len(&self) -> usize {
        self.pipes.iter().map(Pipe::len).sum()
    }

    /// True when nothing is in them.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Moves `length` bytes of a file into the empty pipes, fewer only at the end of the file. Blocks where the file does.
    pub fn fill(&mut self, file: RawFd, offset: u64, length: usize) -> io::Result<usize> {
        let mut done = 0;
        for pipe in &mut self.pipes {
            if pipe.fill(file, offset + done as u64, length - done)? == 0 {
                return Ok(done);
            }
            done += pipe.len();
        }
        // All of them are full or the last bytes have come: which, the file says.
        if done < length && size_of_file(file)? > offset + done as u64 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(done)
    }
}

impl IntoIterator for PipeRun {
    type Item = Pipe;
    type IntoIter = std::vec::IntoIter<Pipe>;

    fn into_iter(self) -> Self::IntoIter {
        self.pipes.into_iter()
    }
}

/// The pipes of a thread.
#[derive(Debug, Default)]
pub struct Pipes {
    /// The empty ones.
    idle: Idle,
    /// One reference for each pipe, wherever it is, and this one.
    alive: Arc<()>,
}

impl Pipes {
    /// Empty pipes for `length` bytes of a file from `offset` on; None when there are no more.
    pub fn take(&mut self, offset: u64, length: usize) -> Option<PipeRun> {
        // A pipe counts pages, however little of them is in it.
        let mut room = (offset % page_bytes()) as usize + length;
        let mut run = PipeRun { pipes: Vec::with_capacity(room.div_ceil(pipe_bytes_max())), pin: None };
        while room > 0 {
            let part = room.min(pipe_bytes_max());
            match self.take_one(part) {
                Some(pipe) => run.pipes.push(pipe),
                None => {
                    run.into_iter().for_each(|pipe| self.put(pipe));
                    return None;
                }
            }
            room -= part;
        }
        Some(run)
    }

    fn take_one(&mut self, room: usize) -> Option<Pipe> {
        match self.idle.take(room) {
            Some(pipe) => Some(pipe),
            None if Arc::strong_count(&self.alive) > PIPES_MAX => None,
            None => Pipe::new(room, self.alive.clone()).ok().filter(|pipe| pipe.capacity >= room),
        }
    }

    /// Returns a pipe. One that is not empty is closed.
    pub fn put(&mut self, pipe: Pipe) {
        if pipe.is_empty() {
            self.idle.put(pipe);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fast::temporary_file;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    fn file(content: &[u8]) -> std::fs::File {
        temporary_file(content).into()
    }

    #[test]
    fn pipes_carry_a_range_from_a_file_to_a_socket() {
        let content: Vec<u8> = (0..2_500_000u32).map(|i| ((i * 7) >> 3) as u8).collect();
        let (file, mut pipes) = (file(&content), Pipes::default());
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).unwrap();
            all
        });
        let mut run = pipes.take(4095, 2_200_000).unwrap();
        assert_eq!(run.fill(file.as_raw_fd(), 4095, 2_200_000).unwrap(), 2_200_000);
        let count = run.pipes.len();
        assert!(count >= 1 && run.pipes.iter().all(|pipe| pipe.capacity <= pipe_bytes_max()));
        for mut pipe in run {
            while !pipe.is_empty() {
                match pipe.drain(ours.as_raw_fd(), false) {
                    Ok(count) => {
                        assert!(count > 0);
                        pipe.consumed(count);
                    }
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            }
            pipes.put(pipe);
        }
        drop(ours);
        assert!(reader.join().unwrap() == content[4095..2_204_095]);
        assert_eq!(pipes.idle.len(), count);
    }

    #[test]
    fn pipes_are_used_again_and_bounded() {
        let (file, mut pipes) = (file(&[7; 1_000_000]), Pipes::default());
        let mut run = pipes.take(999_990, 100_000).unwrap();
        assert_eq!(run.fill(file.as_raw_fd(), 999_990, 100_000).unwrap(), 10, "the file ends");
        let mut pipe = run.into_iter().next().unwrap();
        assert_eq!(pipe.take().unwrap(), [7; 10]);
        pipes.put(pipe);
        let mut run = pipes.take(0, 1).unwrap();
        assert_eq!(pipes.idle.len(), 0, "used again");
        assert_eq!(run.fill(file.as_raw_fd(), 1_000_000, 1).unwrap(), 0);
        run.fill(file.as_raw_fd(), 0, 1).unwrap();
        run.into_iter().for_each(|pipe| pipes.put(pipe));
        assert_eq!(pipes.idle.len(), 0, "one with something in it is not used again");
        let all: Vec<PipeRun> = std::iter::from_fn(|| pipes.take(0, 1)).take(PIPES_MAX + 1).collect();
        assert_eq!(all.len(), PIPES_MAX);
        drop(all);
        assert!(pipes.take(0, 1).is_some());
        let mut small = pipes.take(0, 8192).unwrap();
        assert!(
            small.fill(file.as_raw_fd(), 0, 999_999).is_err(),
            "too little room is not the end of the file"
        );
    }

    #[test]
    fn what_is_in_the_page_cache_is_known() {
        let file = file(&[7; 1_000_000]);
        assert!(is_cached(file.as_raw_fd(), 5000, 900_000) && is_cached(file.as_raw_fd(), 999_999, 5000));
        file.set_len(2_000_000).unwrap();
        assert!(!is_cached(file.as_raw_fd(), 900_000, 500_000), "a hole has no pages");
        assert!(is_cached(file.as_raw_fd(), 2_000_000, 5), "there is nothing");
    }
}
