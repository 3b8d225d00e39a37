//! A queue of events behind a descriptor that can be polled.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Events that wait, and the descriptor that is readable while there are any.
#[derive(Debug)]
pub struct Events<T> {
    waiting: VecDeque<T>,
    descriptor: OwnedFd,
}

impl<T> Events<T> {
    pub fn new() -> Events<T> {
        // SAFETY: eventfd has no pointers; a fresh descriptor is nobody else's.
        let descriptor = unsafe {
            let fd = libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_SEMAPHORE);
            assert!(fd >= 0, "no eventfd");
            OwnedFd::from_raw_fd(fd)
        };
        Events { waiting: VecDeque::new(), descriptor }
    }

    pub fn fd(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    pub fn push(&mut self, event: T) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: eight bytes that live as long as the call.
        unsafe { libc::write(self.fd(), one.as_ptr().cast(), one.len()) };
        self.waiting.push_back(event);
    }

    /// The oldest event. None with EAGAIN: there is none, and nobody may wait for one here.
    pub fn pop(&mut self) -> Option<T> {
        let event = self.waiting.pop_front();
        if event.is_none() {
            set_errno(libc::EAGAIN);
            return None;
        }
        self.consume();
        event
    }

    /// Takes out what `matches`.
    pub fn remove(&mut self, matches: impl Fn(&T) -> bool) -> Vec<T> {
        let (gone, kept): (Vec<T>, Vec<T>) =
            std::mem::take(&mut self.waiting).into_iter().partition(&matches);
        self.waiting = kept.into();
        gone.iter().for_each(|_| self.consume());
        gone
    }

    fn consume(&self) {
        let mut count = [0; 8];
        // SAFETY: eight bytes that live as long as the call; there is a count for each event.
        unsafe { libc::read(self.fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

/// Fails as C does.
pub fn set_errno(errno: i32) {
    // SAFETY: the thread's own errno.
    unsafe { *libc::__errno_location() = errno };
}
