//! A generic io_uring for an event loop: operations in, one eventfd to watch, completions out in batches.
//!
//! Facts that the code follows:
//! - The kernel may write into a buffer until the completion of its operation has been seen, cancelled or not. So the
//!   ring owns every path and buffer from `submit` to the completion, and gives them back with it.
//! - Many operations (cached reads, failed lookups) complete while they are submitted. `submit` therefore masks the
//!   eventfd while it enters the kernel; the caller takes what is complete at once and saves an iteration of its loop.
//! - The loop may move to another thread between two runs, so neither SINGLE_ISSUER nor DEFER_TASKRUN is used here.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use io_uring::{opcode, squeue, IoUring};

pub mod features;
mod operation;

pub use operation::{Buffer, Operation, StableBuffer};

/// A finished operation: its token, the result (negative errno or the call's value) and everything that it owned.
pub struct Completion {
    /// The token passed to `submit`.
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

/// User data of cancel requests, whose own completion is ignored.
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
        // SAFETY: raw is a new descriptor with no other owner.
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
    /// handed over at once. After an error, nothing of the operation is left.
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

    /// A number for the current credentials of this thread; operations pushed with it use these.
    pub fn register_personality(&self) -> io::Result<u16> {
        self.uring.submitter().register_personality()
    }

    /// Forgets a number; operations that were pushed with it keep their credentials.
    pub fn unregister_personality(&self, personality: u16) -> io::Result<()> {
        self.uring.submitter().unregister_personality(personality)
    }

    /// Asks the kernel to cancel an operation; it completes as usual, with ECANCELED or its normal result.
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

    /// Cancels running operations, waits for them, and returns those that completed. Memory that the kernel still uses
    /// after two seconds is leaked, not freed: it may write there at any time.
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
