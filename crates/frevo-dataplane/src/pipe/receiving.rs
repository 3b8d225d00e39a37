//! Pipes on the way in: what a socket has received is moved into them, and from there into a file, where it is copied for the
//! first time.
//!
//! A pipe counts pieces, and a piece is what came in one fragment of a packet, however small. So how many pipes a message needs
//! is known only when it is there.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use super::{interrupted, pipe_bytes_max, Pipe, PipeRun, Pipes, PIPES_MAX};

/// A full pipe with less than this part of what it could hold costs more than a copy, and keeps many a page for a few bytes.
const SPARSE: usize = 8;

impl Pipe {
    /// Moves at most `limit` bytes from a socket behind what is in it, without waiting; 0: the peer has ended the stream.
    /// WouldBlock: nothing has come, or it is full.
    pub fn receive(&mut self, socket: RawFd, limit: usize) -> io::Result<usize> {
        loop {
            let (none, nowhere) = (std::ptr::null_mut(), std::ptr::null_mut());
            let flags = libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MOVE;
            // SAFETY: no pointers but null ones.
            let count = unsafe { libc::splice(socket, none, self.write.as_raw_fd(), nowhere, limit, flags) };
            match usize::try_from(count) {
                Ok(count) => {
                    self.filled += count;
                    return Ok(count);
                }
                Err(_) => interrupted(io::Error::last_os_error())?,
            }
        }
    }

    /// True when nothing more goes into it.
    pub fn is_full(&self) -> bool {
        let mut poll = libc::pollfd { fd: self.write.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
        // SAFETY: one pollfd, which lives during the call.
        unsafe { libc::poll(&raw mut poll, 1, 0) == 0 }
    }

    /// Moves what is in it to a file; may block. How many bytes that were, and why not more.
    fn store(&mut self, file: RawFd, offset: u64) -> (usize, io::Result<()>) {
        let Ok(mut position) = libc::off64_t::try_from(offset) else {
            return (0, Err(io::Error::from_raw_os_error(libc::EFBIG)));
        };
        let mut done = 0;
        while self.filled > 0 {
            let nowhere = std::ptr::null_mut();
            let (from, flags) = (self.read.as_raw_fd(), libc::SPLICE_F_MOVE);
            // SAFETY: the kernel reads and writes the position, which lives during the call.
            let count = unsafe { libc::splice(from, nowhere, file, &mut position, self.filled, flags) };
            match usize::try_from(count) {
                Ok(0) => return (done, Err(io::Error::from_raw_os_error(libc::ENOSPC))), // no progress
                Ok(count) => {
                    self.consumed(count);
                    done += count;
                }
                Err(_) => {
                    if let Err(error) = interrupted(io::Error::last_os_error()) {
                        return (done, Err(error));
                    }
                }
            }
        }
        (done, Ok(()))
    }
}

impl PipeRun {
    /// The one that is being filled.
    pub fn last_mut(&mut self) -> Option<&mut Pipe> {
        self.pipes.last_mut()
    }

    /// Goes on with another pipe.
    pub fn push(&mut self, pipe: Pipe) {
        self.pipes.push(pipe);
    }

    /// True when the last pipe is full of little pieces.
    pub fn is_sparse(&self) -> bool {
        self.pipes.last().is_some_and(|pipe| pipe.len() < pipe.capacity / SPARSE)
    }

    /// Moves everything to a file; may block. How many bytes that were, and why not more.
    pub fn store(&mut self, file: RawFd, offset: u64) -> (usize, io::Result<()>) {
        let mut done = 0;
        for pipe in &mut self.pipes {
            let (count, result) = pipe.store(file, offset + done as u64);
            done += count;
            if result.is_err() {
                return (done, result);
            }
        }
        (done, Ok(()))
    }

    /// Takes everything out as bytes, behind what is in `bytes`.
    pub fn take_into(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        bytes.reserve_exact(self.len());
        self.pipes.iter_mut().try_for_each(|pipe| pipe.take_into(bytes))
    }
}

impl Pipes {
    /// The first pipe for what comes in; None when there are no more. Who sends slowly keeps pipes for long: half of them are
    /// for what goes out.
    pub fn receiving(&mut self) -> Option<PipeRun> {
        Some(PipeRun { pipes: vec![self.one_more()?], pin: None })
    }

    /// A further one.
    pub fn one_more(&mut self) -> Option<Pipe> {
        match self.is_half_used() {
            true => None,
            false => self.take_one(pipe_bytes_max()),
        }
    }

    fn is_half_used(&self) -> bool {
        std::sync::Arc::strong_count(&self.alive) - 1 - self.idle.len() >= PIPES_MAX / 2
    }
}
