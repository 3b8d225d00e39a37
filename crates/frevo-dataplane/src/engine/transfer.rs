//! Moving bytes between sockets and connections by readiness; both engines use it.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

use super::socket;
use crate::conn::{Connection, Host};
use crate::event::Reason;
use crate::stats::add;

/// Receive buffer of a thread. Larger messages continue in a buffer of their own.
pub(super) const SCRATCH_BYTES: usize = 64 * 1024;
/// Receives from one connection before the others get their turn.
const RECEIVES: usize = 4;
/// Pieces per send.
const SLICES: usize = 64;

/// Receives what is there, within bounds, and says how many bytes that were.
pub(super) fn receive(
    fd: RawFd,
    core: &mut Connection,
    host: &mut Host,
    scratch: &mut [u8],
) -> Result<usize, Reason> {
    let mut total = 0;
    for _ in 0..RECEIVES {
        let (room, count) = if let Some(buffer) = core.direct(host) {
            let (room, count) = (buffer.len(), receive_into(fd, buffer)?);
            let Some(count) = count else { break };
            // SAFETY: `direct` gave the buffer, nothing has happened since, and `count` bytes were received into it.
            unsafe { core.direct_filled(count, host)? };
            (room, count)
        } else {
            let Some(count) = receive_into(fd, uninit(scratch))? else { break };
            core.feed(&mut scratch[..count], host)?;
            (scratch.len(), count)
        };
        total += count;
        if count < room || core.is_paused(&host.limits) {
            break;
        }
    }
    Ok(total)
}

/// Sends what waits and goes on with input that waited for it, as far as both go.
pub(super) fn pump(fd: RawFd, core: &mut Connection, host: &mut Host) -> Result<(), Reason> {
    loop {
        send_output(fd, core, host)?;
        if !resume(core, host)? {
            return Ok(());
        }
    }
}

/// Goes on with input that waited, once. True when there was a message in it.
pub(super) fn resume(core: &mut Connection, host: &mut Host) -> Result<bool, Reason> {
    let before = core.frame_count();
    if core.has_partial() && !core.is_paused(&host.limits) {
        core.resume(host)?;
    }
    Ok(core.frame_count() != before)
}

/// Sends until nothing waits or the socket takes no more; nothing while somebody else is sending.
pub(super) fn send_output(fd: RawFd, core: &mut Connection, host: &mut Host) -> Result<(), Reason> {
    let output = core.output();
    while !output.is_empty() && !output.is_busy() {
        let sent = send_pieces(fd, output.slices(SLICES))?;
        if sent == 0 {
            return Ok(());
        }
        add(&host.stats.bytes_sent, sent as u64);
        output.advance(sent, &mut host.pool);
    }
    Ok(())
}

/// Sends once, and says how many bytes the socket took.
pub(super) fn send_pieces<'a>(fd: RawFd, pieces: impl Iterator<Item = IoSlice<'a>>) -> Result<usize, Reason> {
    let mut slices = [IoSlice::new(&[]); SLICES];
    let mut used = 0;
    for (slot, piece) in slices.iter_mut().zip(pieces) {
        *slot = piece;
        used += 1;
    }
    loop {
        match socket::send(fd, &slices[..used]) {
            Ok(sent) => return Ok(sent),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(0),
                io::ErrorKind::Interrupted => (),
                _ => return Err(Reason::Owned(error.to_string())),
            },
        }
    }
}

/// Some(bytes), None when nothing is there; an error when the connection has ended.
fn receive_into(fd: RawFd, buffer: &mut [MaybeUninit<u8>]) -> Result<Option<usize>, Reason> {
    match socket::receive(fd, buffer) {
        Ok(0) => Err(Reason::Borrowed("closed by the peer")),
        Ok(count) => Ok(Some(count)),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
            _ => Err(Reason::Owned(error.to_string())),
        },
    }
}

fn uninit(buffer: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: the layouts are the same, and recv writes initialised bytes only.
    unsafe { &mut *(std::ptr::from_mut(buffer) as *mut [MaybeUninit<u8>]) }
}
