//! Which thread owns a datagram when several share one UDP port.
//!
//! Every thread has a socket of its own on the port (SO_REUSEPORT). The owner of a connection is the remainder of the
//! first byte of the connection id by the number of threads: ids that we choose are made so, and a client's first id, which is
//! random, decides who begins. The kernel asks a small program which socket gets a datagram; where no program may be attached
//! it goes by addresses, and a thread hands on what is not its own.

use std::io;
use std::os::fd::RawFd;

use quinn_proto::{ConnectionId, ConnectionIdGenerator};

use crate::syscalls;

/// Length of the connection ids that we choose.
const ID_BYTES: usize = 8;
/// And of those that others choose (RFC 9000 17.2).
const ID_BYTES_MAX: usize = 20;
/// First byte of a packet with a long header (RFC 9000 17.2).
const LONG_HEADER: u8 = 0x80;
/// Where the id of the receiver starts: behind flags, version and length, or behind the flags (17.2, 17.3).
const LONG_ID: usize = 6;
const SHORT_ID: usize = 1;

/// The thread that owns a datagram; None when it is too short to be one of QUIC.
pub(super) fn owner(datagram: &[u8], threads: usize) -> Option<usize> {
    let at = if *datagram.first()? & LONG_HEADER != 0 { LONG_ID } else { SHORT_ID };
    Some(usize::from(*datagram.get(at)?) % threads)
}

/// The ID of the receiver in a long header (RFC 9000 17.2).
pub(super) fn long_id(datagram: &[u8]) -> Option<ConnectionId> {
    let (first, length) = (*datagram.first()?, usize::from(*datagram.get(LONG_ID - 1)?));
    let id = datagram.get(LONG_ID..LONG_ID + length)?;
    (first & LONG_HEADER != 0 && length <= ID_BYTES_MAX).then(|| ConnectionId::new(id))
}

/// Makes connection ids that say which thread owns them; all else in them is random.
#[derive(Debug)]
pub(super) struct OwnedIds {
    pub(super) thread: u8,
    pub(super) threads: u8,
}

impl ConnectionIdGenerator for OwnedIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID_BYTES];
        // Without random numbers there is no TLS either, so no connection comes this far.
        let _ = syscalls::random(&mut id);
        let lowest = id[0] - id[0] % self.threads;
        id[0] = lowest.checked_add(self.thread).unwrap_or(self.thread);
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

/// Has the kernel choose the socket of a group by [`owner`]. An error: it may not be done here, and is not needed.
pub(in crate::engine) fn steer(socket: RawFd, threads: usize) -> io::Result<()> {
    let step = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    let (load, jump, divide, back) = (
        libc::BPF_LD | libc::BPF_B | libc::BPF_ABS,
        libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K,
        libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K,
        libc::BPF_RET | libc::BPF_A,
    );
    // Offsets count from the start of the datagram; a read behind its end gives 0, which is as good as any.
    let mut program = [
        step(load, 0, 0, 0),
        step(jump, 0, 2, u32::from(LONG_HEADER)),
        step(load, 0, 0, LONG_ID as u32),
        step(libc::BPF_JMP | libc::BPF_JA, 0, 0, 1),
        step(load, 0, 0, SHORT_ID as u32),
        step(divide, 0, 0, threads as u32),
        step(back, 0, 0, 0),
    ];
    let filter = libc::sock_fprog { len: program.len() as libc::c_ushort, filter: program.as_mut_ptr() };
    let length = std::mem::size_of_val(&filter) as libc::socklen_t;
    let pointer = std::ptr::from_ref(&filter).cast();
    // SAFETY: the program and its description live during the call; the kernel copies them.
    let result = unsafe {
        libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF, pointer, length)
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_say_who_owns_them() {
        for threads in [1u8, 2, 3, 7, 255] {
            for thread in [0, threads / 2, threads - 1] {
                let mut ids = OwnedIds { thread, threads };
                for _ in 0..100 {
                    let id = ids.generate_cid();
                    let short = [&[0x40][..], &id].concat();
                    assert_eq!(owner(&short, usize::from(threads)), Some(usize::from(thread)));
                    let long = [&[0xC0, 0, 0, 0, 1, 8][..], &id].concat();
                    assert_eq!(owner(&long, usize::from(threads)), Some(usize::from(thread)));
                }
            }
        }
        assert_eq!((owner(&[], 2), owner(&[0x40], 2), owner(&[0xC0, 0, 0, 0, 1, 8], 2)), (None, None, None));
    }
}
