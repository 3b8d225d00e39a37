//! The one stream of a QUIC connection as a carrier's byte stream.

use std::io::IoSlice;
use std::mem::MaybeUninit;

use quinn_proto::{Connection, ReadError, StreamId, WriteError};

use crate::buffer::{Output, Pool};
use crate::engine::carrier::ByteStream;
use crate::engine::transfer::SLICES;
use crate::event::Reason;

/// Pieces from this size on are not copied into the connection.
const SHARED_BYTES: usize = 16 * 1024;

/// The stream while its connection is at hand.
pub(in crate::engine) struct QuicStream<'a> {
    pub(super) connection: &'a mut Connection,
    pub(super) id: StreamId,
    /// Nothing more has come: the stream says so when that changes.
    pub(in crate::engine) is_empty: bool,
}

impl QuicStream<'_> {
    /// True when more may be received now.
    pub(in crate::engine) fn has_more(&self) -> bool {
        !self.is_empty
    }
}

impl ByteStream for QuicStream<'_> {
    fn receive(&mut self, buffer: &mut [MaybeUninit<u8>]) -> Result<Option<usize>, Reason> {
        let mut stream = self.connection.recv_stream(self.id);
        let Ok(mut chunks) = stream.read(true) else { return closed() };
        let mut filled = 0;
        let mut end = Ok(());
        while filled < buffer.len() {
            match chunks.next(buffer.len() - filled) {
                Ok(Some(chunk)) => {
                    let room = &mut buffer[filled..filled + chunk.bytes.len()];
                    // SAFETY: the layouts are the same, and initialised bytes are written.
                    room.copy_from_slice(unsafe {
                        &*(std::ptr::from_ref(&*chunk.bytes) as *const [MaybeUninit<u8>])
                    });
                    filled += chunk.bytes.len();
                }
                Ok(None) => {
                    end = closed();
                    break;
                }
                Err(ReadError::Blocked) => {
                    self.is_empty = true;
                    break;
                }
                Err(ReadError::Reset(_)) => {
                    end = Err(Reason::Borrowed("connection reset by the peer"));
                    break;
                }
            }
        }
        let _ = chunks.finalize(); // what it wants sent is sent at the end of the turn
        match filled {
            0 => end.map(|()| None),
            _ => Ok(Some(filled)),
        }
    }

    fn send<'a>(&mut self, pieces: impl Iterator<Item = IoSlice<'a>>, _more: bool) -> Result<usize, Reason> {
        let mut stream = self.connection.send_stream(self.id);
        let mut total = 0;
        for piece in pieces {
            match stream.write(&piece) {
                Ok(count) => {
                    total += count;
                    if count < piece.len() {
                        break;
                    }
                }
                Err(WriteError::Blocked) => break,
                Err(WriteError::Stopped(_) | WriteError::ClosedStream) => return closed(),
            }
        }
        Ok(total)
    }

    /// Large pieces are handed over without a copy, and kept until the peer has acknowledged them.
    fn send_front(&mut self, output: &mut Output, pool: &mut Pool) -> Result<usize, Reason> {
        let Some(piece) = output.share_front(SHARED_BYTES) else {
            let small = output.slices(SLICES).take_while(|piece| piece.len() < SHARED_BYTES);
            let sent = self.send(small, false)?;
            output.advance(sent, pool);
            return Ok(sent);
        };
        match self.connection.send_stream(self.id).write_chunks(&mut [piece]) {
            Ok(written) => {
                output.advance(written.bytes, pool);
                Ok(written.bytes)
            }
            Err(WriteError::Blocked) => Ok(0),
            Err(WriteError::Stopped(_) | WriteError::ClosedStream) => closed(),
        }
    }
}

fn closed<T>() -> Result<T, Reason> {
    Err(Reason::Borrowed("closed by the peer"))
}
