//! The end of a thread: no kernel goes on for QUIC when the process has gone, so what was promised is delivered before.

use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use super::Order;
use crate::conn::Role;
use crate::engine::table::Table;
use crate::engine::Command;

/// How long a server waits until its clients have received what was sent to them.
const DELIVERY: Duration = Duration::from_millis(500);
/// How long all that is closed tries to say so: congestion control and a full socket may delay it.
const FAREWELL: Duration = Duration::from_millis(100);

/// Waits for ports, each a descriptor and whether it wants to send, not longer than that: the time, and whether each may
/// receive and send.
type Wait<'a> = &'a mut dyn FnMut(&[(RawFd, bool)], Duration) -> (Instant, Vec<(bool, bool)>);

impl Table {
    /// Delivers what waits, as far as that is quick, and ends every connection.
    pub(in crate::engine) fn end_quic(&mut self, scratch: &mut [u8], wait: Wait<'_>) {
        if self.quic.ports.is_empty() {
            return;
        }
        self.quic.ports.values_mut().for_each(|port| port.set_tls(None));
        if self.shared.role == Role::Server {
            let ids: Vec<_> = self.quic_connections().collect();
            for id in ids {
                self.command(Command::Close { connection: id, abort: false });
            }
            let deadline = self.host.now + DELIVERY;
            while self.quic_connections().next().is_some() && self.end_turn(deadline, scratch, wait) {}
        }
        let ids: Vec<_> = self.quic_connections().collect();
        ids.into_iter().for_each(|id| self.close(id, "closed by the server".into()));
        let deadline = self.host.now + FAREWELL;
        self.flush_quic();
        while !self.quic.ports.values().all(|port| port.has_told()) && self.end_turn(deadline, scratch, wait)
        {
        }
    }

    fn quic_connections(&self) -> impl Iterator<Item = crate::event::ConnectionId> + '_ {
        self.entries.iter().filter(|(_, entry)| entry.quic.is_some()).map(|(id, _)| *id)
    }

    /// One more turn, without the engine. False: the time is over.
    fn end_turn(&mut self, deadline: Instant, scratch: &mut [u8], wait: Wait<'_>) -> bool {
        for id in self.take_dirty() {
            if let Err(reason) = self.go_on(id, scratch) {
                self.close(id, reason);
            }
        }
        self.flush_quic();
        let until = match self.is_busy() {
            true => self.host.now,
            false => self.timers.next().map_or(deadline, |next| next.min(deadline)),
        };
        let ports = self.quic.port_ids();
        let waits: Vec<_> =
            self.quic.ports.values().map(|port| (port.descriptor(), port.is_blocked())).collect();
        let (now, ready) = wait(&waits, until.saturating_duration_since(self.host.now));
        self.host.now = now;
        for command in self.shared.queues[self.index].take() {
            if let Command::Quic(order @ Order::Received { .. }) = command {
                self.quic_order(order);
            }
        }
        for (id, (readable, writable)) in ports.into_iter().zip(ready) {
            if writable {
                self.quic.writable(id);
            }
            if readable {
                self.quic_readable(id);
            }
        }
        self.on_time();
        self.advance_quic();
        self.host.now < deadline
    }
}
