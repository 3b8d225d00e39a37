//! A generic io_uring for an event loop: operations in, one eventfd to watch, completions out in batches.
//!
//! Facts that the code follows:
//! - The kernel may write into a buffer until the completion of its operation has been seen, cancelled or not. So the
//!   ring owns every path and buffer from `submit` to the completion, and gives them back with it.
//! - Many operations (cached reads, failed lookups) complete while they are submitted. `submit` therefore masks the
//!   eventfd while it enters the kernel; the caller takes what is complete at once and saves a turn of its loop.
//! - The loop may move to another thread between two runs, so neither SINGLE_ISSUER nor DEFER_TASKRUN is used here.

use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use io_uring::{opcode, squeue, types, IoUring};

use crate::syscalls::{FileStatus, STATX_MASK};

pub mod features;

/// Memory that the kernel reads or writes while an operation runs.
///
/// # Safety
/// `pointer` and `length` must describe memory that neither moves nor is freed while the value lives, wherever the
/// value itself is moved; it is writable when the operation writes into it.
pub unsafe trait StableBuffer: Send {
    /// Start of the memory.
    fn pointer(&self) -> *mut u8;
    /// Its length in bytes.
    fn length(&self) -> usize;
}

// SAFETY: the heap memory of a vector stays where it is when the Vec is moved, and nobody resizes it in here.
unsafe impl StableBuffer for Vec<u8> {
    fn pointer(&self) -> *mut u8 {
        self.as_ptr().cast_mut()
    }
    fn length(&self) -> usize {
        self.len()
    }
}

/// A buffer handed to an operation.
pub type Buffer = Box<dyn StableBuffer>;

/// One operation with everything that the kernel needs for it.
#[allow(missing_docs)] // the fields are the arguments of the system call of the same name
pub enum Operation {
    Openat2 {
        dirfd: RawFd,
        path: CString,
        how: Box<types::OpenHow>,
    },
    Statx {
        dirfd: RawFd,
        path: CString,
        flags: i32,
        result: Box<MaybeUninit<libc::statx>>,
    },
    /// `offset` of `u64::MAX` is the file's own position.
    Read {
        fd: RawFd,
        offset: u64,
        buffer: Buffer,
    },
    Write {
        fd: RawFd,
        offset: u64,
        buffer: Buffer,
    },
    Fsync {
        fd: RawFd,
        datasync: bool,
    },
    Fallocate {
        fd: RawFd,
        mode: i32,
        offset: u64,
        length: u64,
    },
    Unlinkat {
        dirfd: RawFd,
        path: CString,
        flags: i32,
    },
    Renameat2 {
        olddirfd: RawFd,
        old: CString,
        newdirfd: RawFd,
        new: CString,
        flags: u32,
    },
    Mkdirat {
        dirfd: RawFd,
        path: CString,
        mode: u32,
    },
    Linkat {
        olddirfd: RawFd,
        old: CString,
        newdirfd: RawFd,
        new: CString,
        flags: i32,
    },
    Fgetxattr {
        fd: RawFd,
        name: CString,
        buffer: Buffer,
    },
    Fsetxattr {
        fd: RawFd,
        name: CString,
        buffer: Buffer,
        flags: i32,
    },
    Splice {
        fd_in: RawFd,
        offset_in: i64,
        fd_out: RawFd,
        offset_out: i64,
        length: u32,
        flags: u32,
    },
}

impl Operation {
    /// An openat2 with its `open_how`.
    pub fn openat2(dirfd: RawFd, path: CString, flags: u64, mode: u64, resolve: u64) -> Self {
        let how = Box::new(types::OpenHow::new().flags(flags).mode(mode).resolve(resolve));
        Operation::Openat2 { dirfd, path, how }
    }

    /// A statx with room for its answer.
    pub fn statx(dirfd: RawFd, path: CString, flags: i32) -> Self {
        Operation::Statx { dirfd, path, flags, result: Box::new(MaybeUninit::zeroed()) }
    }

    /// The answer of a statx that completed with 0.
    pub fn status(&self) -> Option<FileStatus> {
        match self {
            // SAFETY: zeroed at first, then filled by the kernel; every bit pattern is a valid statx.
            Operation::Statx { result, .. } => Some(FileStatus::from(unsafe { result.assume_init_ref() })),
            _ => None,
        }
    }

    /// The path (or the first of two) of the operation, for error messages.
    pub fn path(&self) -> Option<&CString> {
        match self {
            Operation::Openat2 { path, .. }
            | Operation::Statx { path, .. }
            | Operation::Unlinkat { path, .. }
            | Operation::Mkdirat { path, .. } => Some(path),
            Operation::Renameat2 { old, .. } | Operation::Linkat { old, .. } => Some(old),
            _ => None,
        }
    }

    /// Whether the copy alone would hold up the submitting loop for longer than a worker thread costs.
    fn is_bulk(&self) -> bool {
        match self {
            Operation::Read { buffer, .. } | Operation::Write { buffer, .. } => buffer.length() >= BULK_BYTES,
            _ => false,
        }
    }

    /// The submission entry; its pointers stay good as long as `self` is kept, also when `self` is moved.
    fn entry(&mut self) -> squeue::Entry {
        match self {
            Operation::Openat2 { dirfd, path, how } => {
                opcode::OpenAt2::new(types::Fd(*dirfd), path.as_ptr(), &**how).build()
            }
            Operation::Statx { dirfd, path, flags, result } => {
                opcode::Statx::new(types::Fd(*dirfd), path.as_ptr(), result.as_mut_ptr().cast())
                    .flags(*flags)
                    .mask(STATX_MASK)
                    .build()
            }
            Operation::Unlinkat { dirfd, path, flags } => {
                opcode::UnlinkAt::new(types::Fd(*dirfd), path.as_ptr()).flags(*flags).build()
            }
            Operation::Renameat2 { olddirfd, old, newdirfd, new, flags } => {
                opcode::RenameAt::new(types::Fd(*olddirfd), old.as_ptr(), types::Fd(*newdirfd), new.as_ptr())
                    .flags(*flags)
                    .build()
            }
            Operation::Mkdirat { dirfd, path, mode } => {
                opcode::MkDirAt::new(types::Fd(*dirfd), path.as_ptr()).mode(*mode).build()
            }
            Operation::Linkat { olddirfd, old, newdirfd, new, flags } => {
                opcode::LinkAt::new(types::Fd(*olddirfd), old.as_ptr(), types::Fd(*newdirfd), new.as_ptr())
                    .flags(*flags)
                    .build()
            }
            _ => self.data_entry(),
        }
    }

    /// `entry` for the operations on an open file.
    fn data_entry(&mut self) -> squeue::Entry {
        match self {
            Operation::Read { fd, offset, buffer } => {
                opcode::Read::new(types::Fd(*fd), buffer.pointer(), clamp(buffer.length()))
                    .offset(*offset)
                    .build()
            }
            Operation::Write { fd, offset, buffer } => {
                opcode::Write::new(types::Fd(*fd), buffer.pointer(), clamp(buffer.length()))
                    .offset(*offset)
                    .build()
            }
            Operation::Fsync { fd, datasync } => {
                let flags = if *datasync { types::FsyncFlags::DATASYNC } else { types::FsyncFlags::empty() };
                opcode::Fsync::new(types::Fd(*fd)).flags(flags).build()
            }
            Operation::Fallocate { fd, mode, offset, length } => {
                opcode::Fallocate::new(types::Fd(*fd), *length).offset(*offset).mode(*mode).build()
            }
            Operation::Fgetxattr { fd, name, buffer } => opcode::FGetXattr::new(
                types::Fd(*fd),
                name.as_ptr(),
                buffer.pointer().cast(),
                clamp(buffer.length()),
            )
            .build(),
            Operation::Fsetxattr { fd, name, buffer, flags } => opcode::FSetXattr::new(
                types::Fd(*fd),
                name.as_ptr(),
                buffer.pointer().cast(),
                clamp(buffer.length()),
            )
            .flags(*flags)
            .build(),
            Operation::Splice { fd_in, offset_in, fd_out, offset_out, length, flags } => {
                opcode::Splice::new(types::Fd(*fd_in), *offset_in, types::Fd(*fd_out), *offset_out, *length)
                    .flags(*flags)
                    .build()
            }
            _ => unreachable!("entry() handles the operations on names"),
        }
    }
}

/// The kernel moves at most 0x7ffff000 bytes in one call; a longer buffer gives a short count, as read(2) does.
fn clamp(length: usize) -> u32 {
    length.min(0x7fff_f000) as u32
}

/// Reads and writes from this size on are copied by a kernel worker instead of in the submitting loop.
const BULK_BYTES: usize = 256 * 1024;

/// A finished operation: its token, the result (negative errno or the call's value) and all that it owned.
pub struct Completion {
    /// What `submit` was given.
    pub token: u64,
    /// As the system call returns it; negative values are errno.
    pub result: i32,
    /// The operation with its buffers.
    pub operation: Operation,
}

/// Counters since the ring was made.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counters {
    /// Operations given to the kernel.
    pub submitted: u64,
    /// Completions taken.
    pub completed: u64,
    /// io_uring_enter calls made for submission.
    pub enters: u64,
}

/// User data of cancel requests, whose own completion nobody waits for.
const CANCEL: u64 = u64::MAX;
/// How long a dropped ring waits for the operations that it cancelled before it leaks their buffers.
const DRAIN_ROUNDS: u32 = 100;
const DRAIN_ROUND_MS: i32 = 20;

/// One io_uring with its eventfd and the operations in flight.
pub struct Ring {
    uring: IoUring,
    eventfd: OwnedFd,
    in_flight: HashMap<u64, Operation>,
    /// Completions that had to be taken while submitting, because the completion queue was full.
    taken: Vec<Completion>,
    counters: Counters,
}

impl Ring {
    /// A ring with `entries` submission slots. The error is the kernel's: ENOSYS, EPERM (seccomp, sysctl), ENOMEM.
    pub fn new(entries: u32) -> io::Result<Self> {
        let uring = build(entries)?;
        // SAFETY: plain call; the result is checked.
        let raw = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: raw is a new descriptor that belongs to nobody else.
        let eventfd = unsafe { OwnedFd::from_raw_fd(raw) };
        uring.submitter().register_eventfd(raw)?;
        Ok(Ring {
            uring,
            eventfd,
            in_flight: HashMap::new(),
            taken: Vec::new(),
            counters: Counters::default(),
        })
    }

    /// The descriptor to watch: readable when `complete` has something that `submit` did not see.
    pub fn eventfd(&self) -> RawFd {
        self.eventfd.as_raw_fd()
    }

    /// Operations whose completion has not been taken.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Counters since the ring was made.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Queues one operation under a token that is not in flight; `enter` hands it to the kernel.
    ///
    /// `personality` is what `register_personality` gave, 0 for the credentials of whoever calls `enter`. A full queue is
    /// handed over at once. On an error nothing of the operation stays behind.
    pub fn push(&mut self, token: u64, mut operation: Operation, personality: u16) -> io::Result<()> {
        if token == CANCEL || self.in_flight.contains_key(&token) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let mut entry = operation.entry().user_data(token).personality(personality);
        if operation.is_bulk() {
            entry = entry.flags(squeue::Flags::ASYNC);
        }
        self.push_entry(&entry)?;
        self.in_flight.insert(token, operation);
        self.counters.submitted += 1;
        Ok(())
    }

    /// A number for the credentials that this thread has now; operations pushed with it are done with these.
    pub fn register_personality(&self) -> io::Result<u16> {
        self.uring.submitter().register_personality()
    }

    /// Forgets a number; operations that were pushed with it keep their credentials.
    pub fn unregister_personality(&self, personality: u16) -> io::Result<()> {
        self.uring.submitter().unregister_personality(personality)
    }

    /// Asks the kernel to give up an operation; it completes as usual, with ECANCELED or as if nothing had happened.
    pub fn cancel(&mut self, token: u64) -> io::Result<()> {
        if !self.in_flight.contains_key(&token) {
            return Ok(());
        }
        self.push_entry(&opcode::AsyncCancel::new(token).build().user_data(CANCEL))
    }

    fn push_entry(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        loop {
            // SAFETY: what the entry points to is owned by the operation, which the caller keeps in `in_flight`.
            if unsafe { self.uring.submission().push(entry) }.is_ok() {
                return Ok(());
            }
            self.enter()?;
        }
    }

    /// Hands all queued operations to the kernel in one call. The eventfd does not fire for what completes meanwhile:
    /// call `complete` afterwards.
    pub fn enter(&mut self) -> io::Result<()> {
        if self.uring.submission().is_empty() {
            return Ok(());
        }
        self.uring.completion().disable_eventfd();
        let result = loop {
            match self.uring.submit() {
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => continue,
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) && self.harvest() > 0 => continue,
                other => break other,
            }
        };
        self.uring.completion().enable_eventfd();
        self.counters.enters += 1;
        result.map(drop)
    }

    /// Takes everything that is complete, without waiting.
    pub fn complete(&mut self) -> Vec<Completion> {
        self.harvest();
        std::mem::take(&mut self.taken)
    }

    /// Moves completions from the queue to `taken`; how many there were.
    fn harvest(&mut self) -> usize {
        let before = self.taken.len();
        loop {
            for entry in self.uring.completion() {
                if let Some(operation) = self.in_flight.remove(&entry.user_data()) {
                    self.counters.completed += 1;
                    self.taken.push(Completion {
                        token: entry.user_data(),
                        result: entry.result(),
                        operation,
                    });
                }
            }
            // Completions that found the queue full wait in the kernel until we enter it with GETEVENTS; nothing
            // signals them, so they must not be left there.
            let queue = self.uring.submission();
            let more = queue.cq_overflow() || queue.taskrun();
            drop(queue);
            if !more || self.uring.submit_and_wait(0).is_err() {
                break;
            }
        }
        self.taken.len() - before
    }

    /// Resets the eventfd; call before `complete`, so that nothing completes unnoticed in between.
    pub fn acknowledge(&self) {
        let mut count = 0u64;
        // SAFETY: eight bytes are read into a u64; the descriptor is non-blocking and EAGAIN is fine.
        unsafe { libc::read(self.eventfd(), (&raw mut count).cast(), 8) };
    }

    /// Cancels what runs, waits for it, and gives what completed. What the kernel still has after two seconds is leaked,
    /// not freed: it may write there at any time.
    pub fn drain(&mut self) -> Vec<Completion> {
        let tokens: Vec<u64> = self.in_flight.keys().copied().collect();
        for token in tokens {
            let _ = self.cancel(token);
        }
        let _ = self.enter();
        for _ in 0..DRAIN_ROUNDS {
            self.harvest();
            if self.in_flight.is_empty() {
                break;
            }
            self.wait_once();
        }
        std::mem::forget(std::mem::take(&mut self.in_flight));
        std::mem::take(&mut self.taken)
    }

    /// Waits for the eventfd: every kernel with io_uring has that, a wait with timeout on the ring itself needs 5.11.
    fn wait_once(&mut self) {
        let mut poll = libc::pollfd { fd: self.eventfd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd; a timeout or a signal only ends this round.
        unsafe { libc::poll(&raw mut poll, 1, DRAIN_ROUND_MS) };
        self.acknowledge();
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        drop(self.drain());
    }
}

/// The best ring that the kernel grants: completions are run on the next kernel entry instead of by an interrupt.
fn build(entries: u32) -> io::Result<IoUring> {
    let cooperative = IoUring::builder().setup_clamp().setup_coop_taskrun().build(entries);
    match cooperative {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            IoUring::builder().setup_clamp().build(entries)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Submits and waits for one completion through the eventfd, as a loop does.
    fn run(ring: &mut Ring, operation: Operation) -> Completion {
        ring.push(7, operation, 0).unwrap();
        ring.enter().unwrap();
        loop {
            if let Some(done) = ring.complete().pop() {
                return done;
            }
            let mut poll = libc::pollfd { fd: ring.eventfd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one valid pollfd.
            assert_eq!(unsafe { libc::poll(&raw mut poll, 1, 5000) }, 1, "no completion within 5 s");
            ring.acknowledge();
        }
    }

    #[test]
    fn open_read_stat_close() {
        // Goal: names, data and buffers survive the trip. Method: one file through four operations.
        let Ok(mut ring) = Ring::new(8) else { return };
        let open = Operation::openat2(libc::AT_FDCWD, c"/proc/self/exe".into(), 0, 0, 0);
        let fd = run(&mut ring, open).result;
        assert!(fd >= 0);
        let read = run(&mut ring, Operation::Read { fd, offset: 0, buffer: Box::new(vec![0u8; 4]) });
        let Operation::Read { buffer, .. } = read.operation else { panic!("another operation came back") };
        // SAFETY: the buffer is the four bytes made above.
        assert_eq!(unsafe { std::slice::from_raw_parts(buffer.pointer(), 4) }, b"\x7fELF");
        let stat = run(&mut ring, Operation::statx(fd, c"".into(), libc::AT_EMPTY_PATH));
        assert!(stat.operation.status().unwrap().size > 4);
        // SAFETY: a descriptor of our own, which nothing uses any more.
        assert_eq!(unsafe { libc::close(fd) }, 0);
    }

    #[test]
    fn dropping_with_a_blocked_read_returns() {
        // Goal: a ring can go while an operation hangs. Method: read an empty pipe, drop, measure nothing but return.
        let Ok(mut ring) = Ring::new(8) else { return };
        let mut ends = [0; 2];
        // SAFETY: two descriptors are written into the array.
        assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
        ring.push(1, Operation::Read { fd: ends[0], offset: u64::MAX, buffer: Box::new(vec![0u8; 16]) }, 0)
            .unwrap();
        ring.enter().unwrap();
        assert!(ring.complete().is_empty());
        drop(ring);
    }
}
