//! Moving bytes between sockets and connections by readiness; both engines use it.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, RawFd};

use super::socket;
use super::table::Entry;
use crate::conn::Host;
use crate::event::Reason;
use crate::stats::add;

/// Receive buffer of a thread. Larger messages continue in a buffer of their own.
pub(super) const SCRATCH_BYTES: usize = 64 * 1024;
/// Receives from one connection before the others get their turn.
const RECEIVES: usize = 4;
/// Pieces per send.
const SLICES: usize = 64;

/// Receives what is there, within bounds, and says how many bytes that were.
pub(super) fn receive(entry: &mut Entry, host: &mut Host, scratch: &mut [u8]) -> Result<usize, Reason> {
    let fd = entry.fd.as_raw_fd();
    let mut total = 0;
    for _ in 0..RECEIVES {
        let (room, count) = if let Some(buffer) = entry.core.direct(host) {
            let (room, count) = (buffer.len(), receive_into(fd, buffer)?);
            let Some(count) = count else { break };
            // SAFETY: `direct` gave the buffer, nothing has happened since, and `count` bytes were received into it.
            unsafe { entry.core.direct_filled(count, host)? };
            (room, count)
        } else {
            let Some(count) = receive_into(fd, uninit(scratch))? else { break };
            entry.core.feed(&mut scratch[..count], host)?;
            (scratch.len(), count)
        };
        total += count;
        if count < room || entry.core.is_paused(&host.limits) {
            break;
        }
    }
    Ok(total)
}

/// Sends what waits and goes on with input that waited for it, as far as both go.
pub(super) fn pump(entry: &mut Entry, host: &mut Host) -> Result<(), Reason> {
    loop {
        send_output(entry, host)?;
        if !resume(entry, host)? {
            return Ok(());
        }
    }
}

/// Goes on with input that waited, once. True when there was a message in it.
pub(super) fn resume(entry: &mut Entry, host: &mut Host) -> Result<bool, Reason> {
    let before = entry.core.frame_count();
    if entry.core.has_partial() && !entry.core.is_paused(&host.limits) {
        entry.core.resume(host)?;
    }
    Ok(entry.core.frame_count() != before)
}

/// Sends until nothing waits or the socket takes no more.
pub(super) fn send_output(entry: &mut Entry, host: &mut Host) -> Result<(), Reason> {
    let fd = entry.fd.as_raw_fd();
    let output = entry.core.output();
    while !output.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut used = 0;
        for slice in output.slices(SLICES) {
            slices[used] = slice;
            used += 1;
        }
        match socket::send(fd, &slices[..used]) {
            Ok(sent) => {
                add(&host.stats.bytes_sent, sent as u64);
                output.advance(sent, &mut host.pool);
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(()),
                io::ErrorKind::Interrupted => (),
                _ => return Err(Reason::Owned(error.to_string())),
            },
        }
    }
    Ok(())
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
