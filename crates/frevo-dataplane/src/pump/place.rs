//! The source or destination of a pump's data: nothing, a pattern, a descriptor, or memory of the caller.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::ptr::NonNull;
use std::sync::Arc;

use frevo_rdma::provider as remote;

use super::pattern;
use crate::fast::OpenFile;

/// Memory of the caller.
#[derive(Debug)]
pub struct Memory {
    start: *mut u8,
    length: usize,
    /// Whoever may touch the memory has this, too.
    users: Arc<()>,
}

// SAFETY: the creator of a `Memory` promises that any thread may use it until the pump's end is reported.
unsafe impl Send for Memory {}

impl Memory {
    /// `length` bytes from `start` on.
    ///
    /// # Safety
    ///
    /// They must stay valid until the end of the pump is reported and nobody has [`Memory::users`] any more, or the data plane
    /// was shut down; for READs they must be writable, and their contents are undefined until then.
    pub unsafe fn new(start: *mut u8, length: usize) -> Memory {
        Memory { start, length, users: Arc::default() }
    }

    /// Counts those who may touch the memory. After the end of the pump that is only a device which still sends from it.
    pub fn users(&self) -> Arc<()> {
        self.users.clone()
    }

    /// A part of it, for a device that reads or writes it.
    pub(crate) fn lend(&self, position: u64, length: usize) -> io::Result<remote::Memory> {
        let start = self.range(position, length)?;
        let start = NonNull::new(start).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: valid by the promise of `Memory::new` for as long as the keeper exists; its bytes have a value, as Python
        // made them. Nobody here touches them until they are given back; the caller may, at its own risk.
        Ok(unsafe { remote::Memory::of(start, length, Box::new(self.users())) })
    }

    fn range(&self, position: u64, length: usize) -> io::Result<*mut u8> {
        let position = usize::try_from(position).unwrap_or(usize::MAX);
        if position.checked_add(length).is_none_or(|end| end > self.length) {
            return Err(io::Error::from_raw_os_error(libc::EFAULT));
        }
        // SAFETY: inside the memory, as was just checked.
        Ok(unsafe { self.start.add(position) })
    }
}

/// The source or destination of a pump's data.
#[derive(Debug)]
pub enum Place {
    /// READ: discarded. WRITE: the pattern.
    Nowhere,
    /// READ: compared with the pattern.
    Verify,
    /// An open file, and the offset in it of the pump's first byte.
    File(Arc<OpenFile>, u64),
    /// The pump's first byte is the first one here.
    Memory(Memory),
}

/// The result of storing received data.
#[derive(Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is stored.
    Done,
    /// It is not the pattern.
    Wrong,
    /// Writing to the local file failed: errno.
    Failed(i32),
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

impl Place {
    /// Stores data read from `offset` of the remote file, `position` bytes after the pump's first byte.
    pub fn store(&self, data: &[u8], offset: u64, position: u64, seed: u64) -> Stored {
        let result = match self {
            Place::Nowhere => Ok(()),
            Place::Verify if pattern::matches(data, offset, seed) => Ok(()),
            Place::Verify => return Stored::Wrong,
            Place::File(file, start) => write_all(file.descriptor(), data, start.saturating_add(position)),
            Place::Memory(memory) => memory.range(position, data.len()).map(|target| {
                // SAFETY: the range is valid by the promise of `Memory::new`; received data lies elsewhere.
                unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), target, data.len()) }
            }),
        };
        result.map_or_else(|error| Stored::Failed(errno(&error)), |()| Stored::Done)
    }

    /// Appends up to `length` bytes for `offset` of the remote file; fewer only at the end of a local file.
    pub fn load(
        &self,
        out: &mut Vec<u8>,
        length: usize,
        offset: u64,
        position: u64,
        seed: u64,
    ) -> Result<usize, i32> {
        let before = out.len();
        let result = match self {
            Place::Nowhere | Place::Verify => {
                pattern::append(out, offset, length, seed);
                Ok(())
            }
            Place::File(file, start) => {
                read_some(file.descriptor(), out, length, start.saturating_add(position))
            }
            Place::Memory(memory) => memory.range(position, length).map(|source| {
                // SAFETY: valid by the promise of `Memory::new`. The caller may change the bytes meanwhile; they are
                // only copied.
                out.extend_from_slice(unsafe { std::slice::from_raw_parts(source, length) });
            }),
        };
        result.map(|()| out.len() - before).map_err(|error| errno(&error))
    }
}

/// Writes all of `data`.
pub(crate) fn write_all(file: RawFd, mut data: &[u8], mut position: u64) -> io::Result<()> {
    while !data.is_empty() {
        let at = libc::off_t::try_from(position).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))?;
        // SAFETY: the slice is borrowed for the call.
        let count = unsafe { libc::pwrite(file, data.as_ptr().cast(), data.len(), at) };
        match usize::try_from(count) {
            Ok(0) => return Err(io::Error::from_raw_os_error(libc::EIO)),
            Ok(count) => {
                data = &data[count..];
                position += count as u64;
            }
            Err(_) => interrupted(io::Error::last_os_error())?,
        }
    }
    Ok(())
}

fn read_some(file: RawFd, out: &mut Vec<u8>, length: usize, mut position: u64) -> io::Result<()> {
    out.reserve(length);
    let mut missing = length;
    while missing > 0 {
        let at = libc::off_t::try_from(position).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))?;
        let room: &mut [MaybeUninit<u8>] = &mut out.spare_capacity_mut()[..missing];
        // SAFETY: the kernel writes at most room.len() bytes into the borrowed room.
        let count = unsafe { libc::pread(file, room.as_mut_ptr().cast(), room.len(), at) };
        match usize::try_from(count) {
            Ok(0) => break,
            Ok(count) => {
                // SAFETY: `count` bytes after the end were initialised just now.
                unsafe { out.set_len(out.len() + count) };
                missing -= count;
                position += count as u64;
            }
            Err(_) => interrupted(io::Error::last_os_error())?,
        }
    }
    Ok(())
}

/// Repeats calls that fail with EINTR.
fn interrupted(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::Interrupted => Ok(()),
        _ => Err(error),
    }
}
