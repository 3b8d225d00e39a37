//! Moving bytes between carriers and connections, as far as both go now; every carrier and both engines use it.

use std::mem::MaybeUninit;

use super::carrier::ByteStream;
use crate::conn::{Connection, Host, Room};
use crate::event::Reason;
use crate::stats::add;

/// Receive buffer of a thread. Larger messages continue in a buffer of their own.
pub(super) const SCRATCH_BYTES: usize = 64 * 1024;
/// Receives from one connection before the others get their turn.
const RECEIVES: usize = 4;
/// Pieces per send.
pub(super) const SLICES: usize = 64;

/// Receives what is there, within bounds, and says how many bytes that were.
pub(super) fn receive(
    stream: &mut impl ByteStream,
    core: &mut Connection,
    host: &mut Host,
    scratch: &mut [u8],
) -> Result<usize, Reason> {
    if core.has_device() {
        core.poll_device(host)?;
        return Ok(0);
    }
    let mut total = 0;
    for _ in 0..RECEIVES {
        let (more, count) = match core.room(host) {
            Room::Any => {
                let Some(count) = stream.receive(uninit(scratch))? else { break };
                core.feed(&mut scratch[..count], host)?;
                (count == scratch.len(), count)
            }
            Room::Own(buffer) => {
                let (room, count) = (buffer.len(), stream.receive(buffer)?);
                let Some(count) = count else { break };
                // SAFETY: `room` gave the buffer, nothing has happened since, and `count` bytes were received into it.
                unsafe { core.direct_filled(count, host)? };
                (count == room, count)
            }
            Room::Pipe(pipe, limit) => {
                let count = stream.receive_pipe(pipe, limit)?.unwrap_or(0);
                let more = core.piped(count, host)?;
                // There is something, and it does not come: splice stops before urgent data, which recv passes over.
                let stuck = total + count == 0 && !more;
                if stuck {
                    core.copy_arrived()?;
                }
                (more || stuck, count)
            }
        };
        total += count;
        if !more || core.is_deaf(&host.limits) {
            break;
        }
    }
    Ok(total)
}

/// Sends what waits and goes on with input that waited for it, as far as both go.
pub(super) fn pump(
    stream: &mut impl ByteStream,
    core: &mut Connection,
    host: &mut Host,
) -> Result<(), Reason> {
    loop {
        send_output(stream, core, host)?;
        if !resume(core, host)? {
            return Ok(());
        }
    }
}

/// Goes on with input that waited, once. True when there was a message in it.
pub(super) fn resume(core: &mut Connection, host: &mut Host) -> Result<bool, Reason> {
    let before = core.frame_count();
    if (core.has_partial() || core.holds_messages()) && !core.is_paused(&host.limits) {
        core.resume(host)?;
    }
    Ok(core.frame_count() != before)
}

/// Sends until nothing waits or the carrier takes no more; nothing while somebody else is sending.
pub(super) fn send_output(
    stream: &mut impl ByteStream,
    core: &mut Connection,
    host: &mut Host,
) -> Result<(), Reason> {
    while !core.output().is_busy() {
        core.load(host)?;
        let output = core.output();
        if output.is_empty() {
            break;
        }
        let piped = output.front_pipe().is_some();
        let sent = stream.send_front(output, &mut host.pool)?;
        if sent == 0 {
            break;
        }
        add(&host.stats.bytes_sent, sent as u64);
        if piped {
            add(&host.stats.sent_spliced, sent as u64);
        }
    }
    core.park(host)
}

fn uninit(buffer: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: the layouts are the same, and recv writes initialised bytes only.
    unsafe { &mut *(std::ptr::from_mut(buffer) as *mut [MaybeUninit<u8>]) }
}
