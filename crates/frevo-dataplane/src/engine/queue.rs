//! Queues between threads: commands down, events up, each with an eventfd that is written only when needed.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Command;
use crate::event::Event;

/// An eventfd.
#[derive(Debug)]
pub struct Waker(OwnedFd);

impl Waker {
    /// A new eventfd, not readable yet.
    pub fn new() -> io::Result<Waker> {
        // SAFETY: eventfd takes no pointers; the descriptor is checked before it is owned.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nothing else owns.
        Ok(Waker(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Its descriptor.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Makes it readable.
    pub fn wake(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: the buffer has eight bytes. The only possible error, a full counter, means it is readable.
        unsafe { libc::write(self.fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Makes it unreadable.
    pub fn drain(&self) {
        let mut count = [0u8; 8];
        // SAFETY: the buffer has eight bytes. EAGAIN means that it was not readable.
        unsafe { libc::read(self.fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Commands for one thread.
#[derive(Debug)]
pub(crate) struct CommandQueue {
    commands: Mutex<Vec<Command>>,
    waker: Waker,
    /// The thread waits in the kernel, or is about to.
    sleeping: AtomicBool,
}

impl CommandQueue {
    pub(crate) fn new() -> io::Result<CommandQueue> {
        Ok(CommandQueue {
            commands: Mutex::default(),
            waker: Waker::new()?,
            sleeping: AtomicBool::new(false),
        })
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    pub(crate) fn push(&self, command: Command) {
        locked(&self.commands).push(command);
        if self.sleeping.swap(false, Ordering::SeqCst) {
            self.waker.wake();
        }
    }

    /// Everything queued so far.
    pub(crate) fn take(&self) -> Vec<Command> {
        std::mem::take(&mut *locked(&self.commands))
    }

    /// Whether nothing is queued.
    pub(crate) fn is_empty(&self) -> bool {
        locked(&self.commands).is_empty()
    }

    /// The thread is about to wait; false when it must not, because something is queued.
    pub(crate) fn may_sleep(&self) -> bool {
        self.sleeping.store(true, Ordering::SeqCst);
        let idle = locked(&self.commands).is_empty();
        if !idle {
            self.sleeping.store(false, Ordering::SeqCst);
        }
        idle
    }

    /// The thread is back.
    pub(crate) fn awake(&self) {
        self.sleeping.store(false, Ordering::SeqCst);
    }
}

/// Events of all threads for the control plane.
#[derive(Debug)]
pub(crate) struct EventQueue {
    state: Mutex<Events>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Events {
    waiting: Vec<Event>,
    /// The eventfd is readable.
    signalled: bool,
    /// The control plane will ask again without being woken.
    attended: bool,
}

impl EventQueue {
    pub(crate) fn new() -> io::Result<EventQueue> {
        Ok(EventQueue { state: Mutex::default(), waker: Waker::new()? })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.waker.fd()
    }

    /// Adds all of `batch`.
    pub(crate) fn push(&self, batch: &mut Vec<Event>) {
        let mut state = locked(&self.state);
        state.waiting.append(batch);
        self.signal(state);
    }

    /// Up to `limit` events. The eventfd is readable afterwards only if some are left and it is not `attended`.
    pub(crate) fn take(&self, limit: usize, attended: bool) -> Vec<Event> {
        let mut state = locked(&self.state);
        if std::mem::take(&mut state.signalled) {
            self.waker.drain();
        }
        let rest = if state.waiting.len() > limit { state.waiting.split_off(limit) } else { Vec::new() };
        let taken = std::mem::replace(&mut state.waiting, rest);
        state.attended = attended && !taken.is_empty();
        self.signal(state);
        taken
    }

    /// The control plane does not ask again by itself.
    pub(crate) fn rest(&self) {
        let mut state = locked(&self.state);
        state.attended = false;
        self.signal(state);
    }

    fn signal(&self, mut state: MutexGuard<'_, Events>) {
        if !state.waiting.is_empty() && !state.attended && !state.signalled {
            state.signalled = true;
            self.waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    /// Whether an eventfd is readable within some milliseconds.
    fn becomes_readable(fd: RawFd, ms: i32) -> bool {
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&raw mut poll, 1, ms) == 1 }
    }

    fn is_readable(queue: &EventQueue) -> bool {
        becomes_readable(queue.fd(), 0)
    }

    /// How many threads push, how often each, and how long another one sleeps at most.
    const PUSHERS: u64 = 3;
    const PUSHES: u64 = 10_000;
    const SLEEP_MS: i32 = 20_000;

    /// Calls `push` from several threads, each time when `seen` says that what was pushed before has been taken: as the one who
    /// takes has nothing to do then, it is about to sleep, sleeps, or has just woken up.
    fn push_by_turns(seen: &AtomicU64, push: impl Fn() + Sync) {
        let pushed = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for pusher in 0..PUSHERS {
                let (pushed, push) = (&pushed, &push);
                scope.spawn(move || {
                    for turn in 0..PUSHES {
                        push();
                        let mine = pushed.fetch_add(1, Ordering::SeqCst) + 1;
                        while seen.load(Ordering::SeqCst) < mine {
                            std::thread::yield_now();
                        }
                        (0..(turn * 7 + pusher * 13) % 64).for_each(|_| std::hint::spin_loop());
                    }
                });
            }
        });
    }

    #[test]
    fn no_command_waits_for_a_thread_that_sleeps() {
        let (queue, seen) = (CommandQueue::new().unwrap(), AtomicU64::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // As the engines do.
                while seen.load(Ordering::SeqCst) < PUSHERS * PUSHES {
                    let ms = if queue.may_sleep() { SLEEP_MS } else { 0 };
                    let woken = becomes_readable(queue.waker().fd(), ms);
                    queue.awake();
                    let taken = queue.take().len() as u64;
                    assert!(woken || ms == 0 || taken == 0, "slept while {taken} commands waited");
                    if woken {
                        queue.waker().drain();
                    }
                    seen.fetch_add(taken, Ordering::SeqCst);
                }
            });
            push_by_turns(&seen, || queue.push(Command::Wake(1)));
        });
    }

    #[test]
    fn no_event_waits_for_a_control_plane_that_sleeps() {
        let (queue, seen) = (EventQueue::new().unwrap(), AtomicU64::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while seen.load(Ordering::SeqCst) < PUSHERS * PUSHES {
                    let woken = becomes_readable(queue.fd(), SLEEP_MS);
                    for _ in 0..3 {
                        let taken = queue.take(2, true).len() as u64;
                        assert!(woken || taken == 0, "slept while {taken} events waited");
                        seen.fetch_add(taken, Ordering::SeqCst);
                        if taken == 0 {
                            break;
                        }
                    }
                    queue.rest();
                }
            });
            push_by_turns(&seen, || queue.push(&mut vec![Event::Idle { connection: 1 }]));
        });
    }

    #[test]
    fn the_eventfd_is_readable_when_nobody_asks() {
        let queue = EventQueue::new().unwrap();
        let push = || queue.push(&mut vec![Event::Idle { connection: 1 }]);
        push();
        push();
        assert!(is_readable(&queue));
        assert_eq!(queue.take(1, false).len(), 1);
        assert!(is_readable(&queue), "one is left");
        assert_eq!(queue.take(9, true).len(), 1);
        push();
        assert!(!is_readable(&queue), "who took will ask again");
        assert_eq!(queue.take(9, true).len(), 1);
        assert!(queue.take(9, true).is_empty());
        push();
        assert!(is_readable(&queue), "nothing had come");
        assert_eq!(queue.take(9, true).len(), 1);
        push();
        queue.rest();
        assert!(is_readable(&queue), "it was said that nobody asks");
    }
}
