//! Large pieces of output that the kernel sends by itself: a thread of its own copies them (SEND with IOSQE_ASYNC), or the
//! socket refers to them (SEND_ZC).
//!
//! A piece is kept until the kernel has done with it. That is at the completion of a SEND, and for SEND_ZC, whose first
//! completion says how much was sent, at a second one, which comes if and only if the first has F_MORE: when the peer has
//! acknowledged the data. Meanwhile the next piece may be sent, and the connection may end.

use std::os::fd::RawFd;

use bytes::Bytes;
use io_uring::{cqueue, opcode, squeue, types};

use super::{Kind, Thread};
use crate::engine::carrier::Socket;
use crate::event::ConnectionId;
use crate::ladder::Rung;
use crate::stats::add;

/// IORING_SEND_ZC_REPORT_USAGE: the second completion says whether there was a copy after all.
const REPORT_USAGE: u16 = 1 << 3;
/// IORING_NOTIF_USAGE_ZC_COPIED: there was.
const COPIED: u32 = 1 << 31;

/// A piece in the kernel.
pub(super) struct LargeSend {
    connection: ConnectionId,
    /// Only kept.
    _piece: Bytes,
    rung: Rung,
    /// What was sent of it.
    sent: u64,
}

impl Thread {
    /// True when large pieces for that socket are sent from here.
    pub(super) fn sends_large(&self, socket: Socket) -> bool {
        matches!(self.table.host.rung, Rung::Async | Rung::ZeroCopy) && socket.quic_client.is_none()
    }

    /// Sends a piece of a connection's output, which is busy until [`Thread::sent`].
    pub(super) fn send_large(&mut self, connection: ConnectionId, fd: RawFd, piece: Bytes) {
        self.next_large += 1;
        let rung = self.table.host.rung;
        let (fd, start) = (types::Fd(fd), piece.as_ptr());
        let length = u32::try_from(piece.len()).unwrap_or(u32::MAX);
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let entry = match rung {
            Rung::ZeroCopy => {
                opcode::SendZc::new(fd, start, length).flags(flags).zc_flags(REPORT_USAGE).build()
            }
            _ => opcode::Send::new(fd, start, length).flags(flags).build().flags(squeue::Flags::ASYNC),
        };
        self.larges.insert(self.next_large, LargeSend { connection, _piece: piece, rung, sent: 0 });
        self.arm(entry, Kind::LargeSent, self.next_large);
    }

    /// One of the completions of a large piece.
    pub(super) fn large_sent(&mut self, number: u64, completion: &cqueue::Entry) {
        let Some(large) = self.larges.get_mut(&number) else { return };
        let (connection, stats) = (large.connection, &self.shared.stats);
        if cqueue::notif(completion.flags()) {
            if completion.result() as u32 & COPIED != 0 {
                add(&stats.sent_zero_copy_copied, large.sent);
            }
            self.larges.remove(&number);
            return;
        }
        large.sent = u64::try_from(completion.result()).unwrap_or(0);
        let counter = if large.rung == Rung::ZeroCopy { &stats.sent_zero_copy } else { &stats.sent_async };
        add(counter, large.sent);
        if !cqueue::more(completion.flags()) {
            self.larges.remove(&number);
        }
        self.sent(connection, completion.result());
    }
}
