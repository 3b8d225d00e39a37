//! What a connection waits for, as operations of the ring.

use io_uring::{opcode, types};

use super::{Kind, Thread, GROUP};
use crate::engine::carrier::{Socket, LARGE_BYTES};
use crate::engine::link::Core;
use crate::engine::quic::PortId;
use crate::event::ConnectionId;

// Bits of `Entry::interest`: what is armed, and the state of receiving.
pub(super) const RECV: u32 = 1;
pub(super) const POLL_IN: u32 = 2;
pub(super) const POLL_OUT: u32 = 4;
/// The RECV was asked to end.
pub(super) const ENDING: u32 = 8;
/// Large messages are coming: receive by readiness.
pub(super) const BULK: u32 = 16;
/// The front of the output is being sent by the kernel: nothing else may send or remove it.
pub(super) const SEND: u32 = 32;
/// Operations that are under way.
pub(super) const ARMED: u32 = RECV | POLL_IN | POLL_OUT | SEND;
/// From here on the bits count the small receives in a row.
pub(super) const SMALL_ONE: u32 = 1 << 8;

/// Output up to this size is sent by the ring.
pub(super) const SEND_BYTES: usize = 64 * 1024;

impl Thread {
    /// Arms what the connection waits for.
    pub(super) fn arm_connection(&mut self, id: ConnectionId, socket: Socket, core: &mut Core) {
        let sends_large = self.sends_large(socket);
        let Some(entry) = self.table.entries.get_mut(&id) else { return };
        let fd = types::Fd(socket.fd);
        let before = entry.interest;
        core.parked = core.is_deaf(&self.shared.limits) && entry.lingering.is_none();
        let is_quic = socket.quic_client.is_some();
        // What comes from a QUIC socket has to be told apart, which a RECV of the ring does not do.
        let bulk = before & BULK != 0 || socket.is_polled();
        if before & RECV != 0 && (core.parked || bulk) {
            entry.interest |= ENDING;
        } else if before & (RECV | POLL_IN) == 0 && !core.parked {
            entry.interest |= if bulk { POLL_IN } else { RECV };
        }
        let (mut piece, mut large) = ((std::ptr::null(), 0), None);
        if core.output().is_waiting() && before & POLL_OUT == 0 {
            if let Some(front) = core.output().single(SEND_BYTES).filter(|_| !is_quic) {
                piece = (front.as_ptr(), front.len() as u32);
            }
            if piece.1 == 0 && sends_large {
                large = core.output().share_front(LARGE_BYTES);
            }
            entry.interest |= if piece.1 > 0 || large.is_some() { SEND } else { POLL_OUT };
        }
        let new = entry.interest & !before;
        if is_quic && before & POLL_OUT != 0 && !core.output().is_waiting() {
            self.cancel(Kind::Writable, id);
        }
        if new & ENDING != 0 {
            self.cancel(Kind::Receive, id);
        }
        if let Some(large) = large {
            core.output().set_busy(true);
            self.send_large(id, socket.fd, large);
        } else if new & SEND != 0 {
            // The piece stays in place: the output is busy until `sent`, and a closed connection is kept in `ending`.
            core.output().set_busy(true);
            let entry = opcode::Send::new(fd, piece.0, piece.1).flags(libc::MSG_NOSIGNAL).build();
            self.arm(entry, Kind::Sent, id);
        }
        if new & RECV != 0 {
            self.arm(opcode::RecvMulti::new(fd, GROUP).build(), Kind::Receive, id);
        }
        if new & POLL_IN != 0 {
            self.arm(opcode::PollAdd::new(fd, libc::POLLIN as u32).build(), Kind::Readable, id);
        }
        if new & POLL_OUT != 0 {
            // A QUIC socket is writable while the window of the connection is open, also when that of the stream is not: a
            // poll that goes on tells when more becomes possible.
            let poll = opcode::PollAdd::new(fd, libc::POLLOUT as u32).multi(is_quic).build();
            self.arm(poll, Kind::Writable, id);
        }
    }

    /// Waits for UDP ports as they want it.
    pub(super) fn poll_ports(&mut self) {
        for id in std::mem::take(&mut self.table.quic.changed) {
            if let Some(port) = self.table.quic.remove_done(id) {
                // The kernel holds the socket, not its number, until a poll has ended.
                for (bit, kind) in [(POLL_IN, Kind::PortReadable), (POLL_OUT, Kind::PortWritable)] {
                    if port.interest & bit != 0 {
                        self.cancel(kind, id);
                    }
                }
                continue;
            }
            let Some(port) = self.table.quic.port(id) else { continue };
            let wanted = POLL_IN | if port.is_blocked() { POLL_OUT } else { 0 };
            let new = wanted & !port.interest;
            port.interest |= wanted;
            let fd = types::Fd(port.descriptor());
            if new & POLL_IN != 0 {
                self.arm(opcode::PollAdd::new(fd, libc::POLLIN as u32).build(), Kind::PortReadable, id);
            }
            if new & POLL_OUT != 0 {
                self.arm(opcode::PollAdd::new(fd, libc::POLLOUT as u32).build(), Kind::PortWritable, id);
            }
        }
    }

    /// A poll of a UDP port has ended; it is armed again at the end of the turn.
    pub(super) fn port_polled(&mut self, id: PortId, bit: u32) {
        if let Some(port) = self.table.quic.port(id) {
            port.interest &= !bit;
            self.table.quic.changed.push(id);
        }
    }

    /// Ends what was armed on connections that were closed; they are kept until it has.
    pub(super) fn cancel_gone(&mut self) {
        let gone = self.table.gone.as_mut().map(std::mem::take).unwrap_or_default();
        let kinds = [
            (RECV, Kind::Receive),
            (POLL_IN, Kind::Readable),
            (POLL_OUT, Kind::Writable),
            (SEND, Kind::Sent),
        ];
        for (id, entry) in gone {
            for (_, kind) in kinds.iter().filter(|(bit, _)| entry.interest & bit != 0) {
                self.cancel(*kind, id);
            }
            if entry.interest & ARMED != 0 {
                self.ending.insert(id, entry);
            }
        }
    }
}
