//! Threads without a kernel: whoever drives them has the clock and the network. For tests of what is above the sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::carrier::Carrier;
use super::quic::wire::Wire;
use super::table::Table;
use super::transfer::SCRATCH_BYTES;
use super::{Choice, Command, Config, DataPlane};
use crate::event::{ConnectionId, ListenerId};
use crate::framing::Framing;
use crate::quic::client::ClientTls;
use crate::quic::server::ServerTls;
use crate::stats::add;

/// A data plane whose threads take a turn when they are told to.
#[derive(Debug)]
pub struct Stepped {
    /// Everything that the control plane does.
    pub plane: DataPlane,
    tables: Vec<Table>,
    scratch: Vec<u8>,
}

/// What is there.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Connections of the control plane.
    pub connections: usize,
    /// UDP ports.
    pub ports: usize,
    /// QUIC connections on them, those that are ending among them.
    pub peers: usize,
    /// Those whose handshake is not done.
    pub handshakes: usize,
    /// Bytes that wait to be sent on a connection at most.
    pub output_max: usize,
    /// Deadlines.
    pub timers: usize,
}

impl Stepped {
    /// A data plane with as many threads as the configuration says; its engine does not matter.
    pub fn new(config: Config, now: Instant) -> std::io::Result<Stepped> {
        let choice = Choice { engine: "stepped", reason: String::new() };
        let shared = DataPlane::share(config, "epoll")?;
        let tables = (0..shared.queues.len()).map(|index| Table::new(index, shared.clone(), now)).collect();
        let plane = DataPlane { shared, threads: Default::default(), choice };
        Ok(Stepped { plane, tables, scratch: vec![0; SCRATCH_BYTES] })
    }

    /// Accepts SMB over QUIC on one port, which each thread has a wire to.
    pub fn listen(&mut self, wires: Vec<Box<dyn Wire>>, tls: &Arc<ServerTls>) -> ListenerId {
        let listener = self.plane.new_listener();
        for (table, wire) in self.tables.iter_mut().zip(wires) {
            table.listen_quic(wire, listener, tls.clone());
        }
        listener
    }

    /// Connects to `peer`.
    pub fn connect(&mut self, wire: Box<dyn Wire>, peer: SocketAddr, tls: Arc<ClientTls>) -> ConnectionId {
        let shared = &self.plane.shared;
        let connection = shared.number_for(0);
        add(&shared.stats.connections, 1);
        let link = shared.new_link(connection, Carrier::Quic, Framing::Tcp);
        self.tables[0].adopt(link, None);
        self.tables[0].dial_quic(wire, connection, peer, tls);
        connection
    }

    /// One turn of a thread; with datagrams there is something to receive, and with room something may be sent again.
    pub fn turn(&mut self, thread: usize, now: Instant, has_datagrams: bool, has_room: bool) {
        let (table, scratch) = (&mut self.tables[thread], &mut self.scratch);
        table.host.now = now;
        for command in self.plane.shared.queues[thread].take() {
            if !matches!(command, Command::CloseListener(_)) {
                table.command(command);
            }
        }
        for id in table.quic.port_ids() {
            if has_room && table.quic.port(id).is_some_and(|port| port.is_blocked()) {
                table.quic.writable(id);
            }
            if has_datagrams {
                table.quic_readable(id);
            }
        }
        table.on_time();
        table.advance_quic();
        for id in table.take_dirty() {
            if let Err(reason) = table.go_on(id, scratch) {
                table.close(id, reason);
            }
        }
        table.flush_quic();
        for id in std::mem::take(&mut table.quic.changed) {
            table.quic.remove_done(id);
        }
        table.deliver();
    }

    /// Whether a thread has something to do at once.
    pub fn is_busy(&self, thread: usize) -> bool {
        self.tables[thread].is_busy() || !self.plane.shared.queues[thread].is_empty()
    }

    /// When a thread has something to do next.
    pub fn next(&self, thread: usize) -> Option<Instant> {
        self.tables[thread].timers.next()
    }

    /// Ends the threads as a shutdown does. `wait` lets some time pass, and says what time it is.
    pub fn end(&mut self, mut wait: impl FnMut(Duration) -> Instant) {
        for table in &mut self.tables {
            table.end_quic(&mut self.scratch, &mut |ports, time| {
                (wait(time), vec![(true, true); ports.len()])
            });
            table.deliver();
        }
    }

    /// What is there, of all threads.
    pub fn counts(&mut self) -> Counts {
        let mut counts = Counts::default();
        for table in &mut self.tables {
            counts.timers += table.timers.count();
            counts.connections += table.entries.len();
            let (ports, peers, handshakes) = table.quic.counts();
            (counts.ports, counts.peers) = (counts.ports + ports, counts.peers + peers);
            counts.handshakes += handshakes;
            for entry in table.entries.values() {
                let output = entry.link.lock(&mut table.host).output_bytes();
                counts.output_max = counts.output_max.max(output);
            }
        }
        counts
    }
}
