//! What carries a connection's bytes: the contract between a connection and whatever is below it.
//!
//! A carrier is an ordered stream of bytes in both directions. The engine asks it to receive and to send what is possible
//! now, without waiting, arms what has to happen before more is possible, and closes it. A socket is armed by the
//! engine itself; a QUIC connection has datagrams and timers of its own (`quic/`), which mark the connection when something
//! has happened to its stream.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use super::quic_kernel::{KernelQuic, QuicSocket};
use super::socket;
use super::transfer::SLICES;
use crate::buffer::{Output, Pool};
use crate::delivery::Delivery;
use crate::event::Reason;
use crate::pipe::Pipe;

/// Receiving and sending without waiting.
pub(super) trait ByteStream {
    /// Receives into `buffer`: how many bytes, None when nothing is there. An error: the connection has ended.
    fn receive(&mut self, buffer: &mut [MaybeUninit<u8>]) -> Result<Option<usize>, Reason>;

    /// Moves at most `limit` received bytes into a pipe: how many, None when nothing is there or the pipe takes none. Only asked
    /// of carriers for which [`Connection::set_takes_pipes`](crate::conn::Connection::set_takes_pipes) was said.
    fn receive_pipe(&mut self, _pipe: &mut Pipe, _limit: usize) -> Result<Option<usize>, Reason> {
        Ok(None)
    }

    /// Sends from `pieces`: how many bytes were taken, 0 when nothing more fits. `more`: something else follows at once.
    fn send<'a>(&mut self, pieces: impl Iterator<Item = IoSlice<'a>>, more: bool) -> Result<usize, Reason>;

    /// Sends from the front of what waits and removes that: how many bytes were taken.
    fn send_front(&mut self, output: &mut Output, pool: &mut Pool) -> Result<usize, Reason>;
}

/// What a connection is carried by.
#[derive(Debug)]
pub(super) enum Carrier {
    /// A connected stream socket.
    Socket(Arc<Delivery>),
    /// The stream of a QUIC connection, which its thread has.
    Quic,
    /// A QUIC socket of the kernel.
    KernelQuic(KernelQuic),
    /// An RDMA device, which the connection has; this is its descriptor.
    Device(RawFd),
}

impl Carrier {
    /// A connected stream socket.
    pub(super) fn of(socket: OwnedFd) -> Carrier {
        Carrier::Socket(Arc::new(Delivery::new(socket)))
    }

    /// Its socket, if it has one of its own and carries messages already.
    pub(super) fn socket(&self) -> Option<Socket> {
        match self {
            Carrier::Socket(delivery) => Some(Socket { fd: delivery.as_raw_fd(), ..Socket::default() }),
            Carrier::Device(fd) => Some(Socket { fd: *fd, is_device: true, ..Socket::default() }),
            Carrier::Quic => None,
            Carrier::KernelQuic(quic) => {
                let quic_client = Some(quic.is_client());
                quic.ready().map(|fd| Socket { fd, quic_client, ..Socket::default() })
            }
        }
    }

    /// Whether the handshake of its QUIC socket is not done.
    pub(super) fn is_handshaking(&self) -> bool {
        matches!(self, Carrier::KernelQuic(quic) if quic.ready().is_none())
    }

    /// Whether a writer of a file could not wait for its peer any longer.
    pub(super) fn was_cut(&self) -> bool {
        matches!(self, Carrier::Socket(delivery) if delivery.was_cut())
    }

    /// Says that nothing more will be sent.
    pub(super) fn end_output(&self) {
        match self {
            Carrier::Socket(delivery) => socket::shutdown_write(delivery.socket()),
            // The connection ends it.
            Carrier::Quic | Carrier::Device(_) => (),
            Carrier::KernelQuic(quic) => quic.finish(),
        }
    }
}

/// Pieces from this size on are large.
pub(super) const LARGE_BYTES: usize = 64 * 1024;

/// A stream socket, borrowed by number while its owner is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Socket {
    pub(super) fd: RawFd,
    /// Of a QUIC socket, which end it is.
    pub(super) quic_client: Option<bool>,
    /// Large pieces are for somebody else to send.
    pub(super) leaves_large: bool,
    /// It only says when to ask an RDMA device: nothing is received from it, and nothing sent.
    pub(super) is_device: bool,
}

impl Default for Socket {
    fn default() -> Socket {
        Socket { fd: -1, quic_client: None, leaves_large: false, is_device: false }
    }
}

impl Socket {
    /// Whether the ring cannot receive from it.
    pub(super) fn is_polled(&self) -> bool {
        self.quic_client.is_some() || self.is_device
    }
}

impl Socket {
    /// Sends from the pipe that is to be sent next.
    fn send_pipe(&self, output: &mut Output) -> Result<usize, Reason> {
        loop {
            let Some((pipe, more)) = output.front_pipe() else { return Ok(0) };
            let error = match pipe.drain(self.fd, more) {
                Ok(count) => return Ok(count),
                Err(error) => error,
            };
            match error.raw_os_error() {
                Some(libc::EAGAIN) => return Ok(0),
                // A socket without splice.
                Some(libc::EINVAL) => {
                    output.copy_front_pipe().map_err(|error| Reason::Owned(error.to_string()))?;
                }
                _ => return Err(Reason::Owned(error.to_string())),
            }
        }
    }
}

/// The outcome of a receive.
fn received(result: io::Result<usize>) -> Result<Option<usize>, Reason> {
    match result {
        Ok(0) => Err(Reason::Borrowed("closed by the peer")),
        Ok(count) => Ok(Some(count)),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
            _ => Err(Reason::Owned(error.to_string())),
        },
    }
}

impl ByteStream for Socket {
    fn receive(&mut self, buffer: &mut [MaybeUninit<u8>]) -> Result<Option<usize>, Reason> {
        if let Some(is_client) = self.quic_client {
            return QuicSocket(self.fd).receive_data(buffer, is_client);
        }
        received(socket::receive(self.fd, buffer))
    }

    fn receive_pipe(&mut self, pipe: &mut Pipe, limit: usize) -> Result<Option<usize>, Reason> {
        received(pipe.receive(self.fd, limit))
    }

    fn send<'a>(&mut self, pieces: impl Iterator<Item = IoSlice<'a>>, more: bool) -> Result<usize, Reason> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut used = 0;
        for (slot, piece) in slices.iter_mut().zip(pieces) {
            *slot = piece;
            used += 1;
        }
        if used == 0 {
            return Ok(0);
        }
        loop {
            match socket::send(self.fd, &slices[..used], more) {
                Ok(sent) => return Ok(sent),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(0),
                    io::ErrorKind::Interrupted => (),
                    _ => return Err(Reason::Owned(error.to_string())),
                },
            }
        }
    }

    fn send_front(&mut self, output: &mut Output, pool: &mut Pool) -> Result<usize, Reason> {
        if output.front_pipe().is_some() {
            let sent = self.send_pipe(output)?;
            output.advance(sent, pool);
            if sent > 0 || output.front_pipe().is_some() {
                return Ok(sent);
            }
        }
        let (leaves_large, more) = (self.leaves_large, output.has_pipes() || output.has_files());
        let mine = |piece: &IoSlice<'_>| !leaves_large || piece.len() < LARGE_BYTES;
        let sent = self.send(output.slices(SLICES).take_while(mine), more)?;
        output.advance(sent, pool);
        Ok(sent)
    }
}
