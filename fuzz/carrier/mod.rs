//! Fuzzes what carries SMB over QUIC: the data plane between a network in memory and quinn-proto's own endpoints, with virtual
//! time. The input says what the other ends, the network and the control plane do.

mod control;
mod network;
mod peer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use frevo_dataplane::conn::Role;
use frevo_dataplane::engine::stepped::Stepped;
use frevo_dataplane::engine::Config;
use frevo_dataplane::event::ListenerId;
use frevo_dataplane::limits::Limits;
use quinn_proto::{Dir, VarInt};

use control::{framed, message, Control};
use network::{Datagram, Net, Random, Road, Weather};
use peer::{tls, Peer};

/// Other ends that keep their connection.
const PEERS_MAX: usize = 8;
const CONNECTIONS_MAX: usize = 24;
/// Messages that may wait for the control plane on one connection.
const MESSAGES_MAX: usize = 16;
/// Turns at one moment until nothing is left to do.
const TURNS_MAX: usize = 100;
/// Moments in one step.
const MOMENTS_MAX: usize = 2000;
/// No deadline is later than this.
const DEADLINE_MAX: Duration = Duration::from_secs(600);

/// The input, byte by byte.
struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    fn next(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }
}

/// Everything.
struct Run<'a> {
    choices: Choices<'a>,
    random: Random,
    now: Instant,
    net: Arc<Net>,
    road: Road,
    us: Stepped,
    role: Role,
    threads: usize,
    listener: Option<ListenerId>,
    peers: Vec<Peer>,
    control: Control,
    /// The control plane takes no events for now.
    is_deaf: bool,
    next_address: u32,
    /// Connections that were begun, by anybody.
    begun: usize,
}

/// What a run has come to, to see that runs are worth something.
#[derive(Debug, Default)]
pub struct Seen {
    /// Connections whose handshake was done.
    pub secured: usize,
    /// Messages that came.
    pub messages: usize,
    /// Bytes of ours that the other ends have received.
    pub answered: usize,
}

/// The carrier under any sequence of events: no panic, no message that was not sent, nothing that is left in the end.
pub fn carrier(data: &[u8]) {
    let _seen = carried(data);
}

/// The same, and what has become of it.
pub fn carried(data: &[u8]) -> Seen {
    let Some((&choice, data)) = data.split_first() else { return Seen::default() };
    let mut run = Run::new(choice, data);
    while !run.choices.0.as_slice().is_empty() {
        run.step();
        run.settle();
    }
    run.end(choice);
    Seen {
        secured: run.control.secured(),
        messages: run.control.polled(),
        answered: run.peers.iter().map(|peer| peer.received.len()).sum(),
    }
}

fn address(number: u32) -> SocketAddr {
    let [_, b, c, d] = number.to_be_bytes();
    // Loopback has large datagrams; what is not there has those of Ethernet.
    let net = if number.is_multiple_of(3) { 127 } else { 10 };
    SocketAddr::from(([net, b, c, d.max(1)], 1024 + (number % 50_000) as u16))
}

impl<'a> Run<'a> {
    fn new(choice: u8, data: &'a [u8]) -> Run<'a> {
        let role = if choice & 1 == 0 { Role::Server } else { Role::Client };
        let threads = if role == Role::Server { 1 + usize::from(choice >> 1 & 1) } else { 1 };
        let limits = Limits {
            max_connections: CONNECTIONS_MAX,
            max_unauthenticated: 16,
            max_requests_in_flight: MESSAGES_MAX,
            max_bytes_in_flight: 256 * 1024,
            ..Limits::default()
        };
        let now = Instant::now();
        let us = Stepped::new(Config { threads, ..Config::with(role, limits) }, now).unwrap();
        let seed = data.iter().take(8).fold(u64::from(choice), |seed, byte| seed << 8 | u64::from(*byte));
        let net = Net::new(role == Role::Server);
        let mut run = Run {
            choices: Choices(data.iter()),
            random: Random(seed),
            now,
            net,
            road: Road::default(),
            us,
            role,
            threads,
            listener: None,
            peers: Vec::new(),
            control: Control::new(choice & 4 == 0),
            is_deaf: false,
            next_address: 0,
            begun: 0,
        };
        if role == Role::Server {
            let address = run.new_address();
            let wires = (0..threads).map(|_| run.net.wire(address).1).collect();
            run.listener = Some(run.us.listen(wires, &tls().server));
        }
        run
    }

    fn new_address(&mut self) -> SocketAddr {
        self.next_address += 1;
        address(self.next_address)
    }

    /// Where a server is: the first address is ours.
    fn server(&self) -> SocketAddr {
        address(1)
    }

    fn step(&mut self) {
        let (act, amount) = (self.choices.next(), self.choices.next());
        match act % 16 {
            0 => self.connect(amount),
            1 | 2 => self.write(amount),
            3 => self.stream(amount),
            4 => self.connection(amount),
            5 => self.weather(amount),
            6 | 7 => self.pass(Duration::from_millis(1 << (amount % 10))),
            8 => self.pass(Duration::from_secs(u64::from(amount % 70))),
            9 => self.garbage(amount),
            10 => self.replay(amount),
            11 => self.control.answer_more(&mut self.us, amount, &mut self.random),
            12 => self.control.act(&mut self.us, amount, &mut self.random),
            13 => self.trouble(amount),
            14 => self.change(amount),
            _ => self.flood(amount),
        }
    }

    fn connect(&mut self, amount: u8) {
        if self.peers.len() >= PEERS_MAX {
            return;
        }
        self.begun += 1;
        let address = self.new_address();
        let number = self.peers.len();
        if self.role == Role::Server {
            let token = if amount & 7 == 0 { self.random.bytes(usize::from(amount)) } else { vec![] };
            self.control.begins(address, number);
            let server = self.server();
            self.peers.push(Peer::client(self.now, address, server, token, &mut self.random));
            return;
        }
        let own = self.new_address();
        let wire = self.net.wire(own).1;
        let mut peer = Peer::server(address, own, &mut self.random);
        peer.retries = amount & 1 != 0;
        self.peers.push(peer);
        let connection = self.us.connect(wire, address, tls().client.clone());
        self.control.dialed(connection, number);
    }

    fn any_peer(&mut self) -> Option<&mut Peer> {
        let number = self.random.below(self.peers.len());
        self.peers.get_mut(number)
    }

    /// The other end writes to the first stream.
    fn write(&mut self, amount: u8) {
        let response = u32::from(self.role == Role::Client);
        let size = [0, 100, 3000, 70_000][usize::from(amount & 3)];
        let mut bytes = self.random.bytes(size);
        let number = self.random.below(self.peers.len());
        let Some(peer) = self.peers.get_mut(number) else { return };
        if amount & 0xF0 == 0xF0 {
            // A length that is none, or more than there is, or than there may be; and what comes behind it.
            let lengths: [u32; 6] = [0, 1, 0x80, 0x20_0000, 0xFF_FFFF, 0x8500_0001];
            bytes.splice(..0, lengths[usize::from(amount >> 1 & 7) % 6].to_be_bytes());
            peer.write(&bytes);
            return;
        }
        let most = if amount & 0xE0 == 0xC0 { u64::MAX } else { peer.granted() };
        for _ in 0..=(amount >> 2 & 7) {
            if self.role == Role::Server && peer.next_id >= most {
                break;
            }
            let commands = [0, 1, 3, 5, 11];
            let message = message(commands[peer.next_id as usize % 5], peer.next_id, response, &bytes);
            peer.next_id += 1;
            peer.write(&framed(&message));
        }
    }

    /// The other end does something with its streams.
    fn stream(&mut self, amount: u8) {
        let bytes = framed(&message(1, 0, 0, &self.random.bytes(usize::from(amount))));
        let Some(peer) = self.any_peer() else { return };
        let code = VarInt::from_u32(u32::from(amount));
        match amount % 7 {
            0 => peer.open_another(Dir::Bi, &bytes),
            1 => peer.open_another(Dir::Uni, &bytes),
            2 => peer.with_stream(|it, id| it.send_stream(id).finish()),
            3 => peer.with_stream(|it, id| it.send_stream(id).reset(code)),
            4 => peer.with_stream(|it, id| it.recv_stream(id).stop(code)),
            5 => peer.is_deaf = !peer.is_deaf,
            _ => peer.with_stream(|it, id| it.send_stream(id).write(&[])),
        }
    }

    /// The other end does something with its connection.
    fn connection(&mut self, amount: u8) {
        let (now, fresh) = (self.now, self.new_address());
        let net = self.net.clone();
        let Some(peer) = self.any_peer() else { return };
        match amount % 8 {
            0 => {
                peer.with(|it| it.close(now, VarInt::from_u32(u32::from(amount)), Bytes::from_static(b"why")))
            }
            1 => peer.with(|it| it.force_key_update()),
            2 => peer.with(|it| it.ping()),
            3 => peer.is_gone = true,
            _ => {
                // A server that moves is not listened to.
                net.moved(peer.address, fresh);
                let before = std::mem::replace(&mut peer.address, fresh);
                self.control.moved(before, fresh);
            }
        }
    }

    fn weather(&mut self, amount: u8) {
        self.road.weather = match amount % 6 {
            0 | 1 => Weather::default(),
            2 => Weather { lost: 40, scatter: 5, ..Weather::default() },
            3 => Weather { doubled: 100, scatter: 60, delay: 10, ..Weather::default() },
            4 => Weather { changed: 60, delay: 2, ..Weather::default() },
            _ => Weather { lost: amount, changed: 20, doubled: 20, delay: amount / 4, scatter: 40 },
        };
    }

    /// Something that is no datagram of QUIC, or hardly.
    fn garbage(&mut self, amount: u8) {
        let length = [0, 1, 20, 60, 1200, 1500, 9000][usize::from(amount) % 7];
        let mut data = self.random.bytes(length);
        let long = amount & 0x40 != 0;
        if let Some(first) = data.first_mut() {
            *first = *first & 0x3F | if long { 0xC0 } else { 0x40 };
        }
        if long && length > 20 {
            let version = [1u32, 0, 0xFF00_001D, 0x6B33_43CF][usize::from(amount >> 4 & 3)];
            data[1..5].copy_from_slice(&version.to_be_bytes());
            data[5] = [8, 20, 0, 21, 255][usize::from(amount) % 5];
        }
        let (from, server) = (self.new_address(), self.server());
        let ends = self.any_peer().map(|peer| (peer.address, peer.server));
        let (real, to) = ends.unwrap_or((from, server));
        self.throw(Datagram { from: if amount & 1 == 0 { real } else { from }, to, data });
    }

    /// A datagram that has passed comes once more: as it is, changed, with another behind it, from elsewhere, or
    /// of another version: 0 is a version negotiation.
    fn replay(&mut self, amount: u8) {
        let number = self.random.below(self.road.seen.len());
        let Some(mut datagram) = self.road.seen.get(number).cloned() else { return };
        match amount % 5 {
            0 => self.random.mutate(&mut datagram.data),
            1 => {
                let other = self.random.below(self.road.seen.len());
                datagram.data.extend_from_slice(&self.road.seen[other].data);
            }
            2 => {
                let from = std::mem::replace(&mut datagram.from, self.new_address());
                self.control.moved(from, datagram.from);
                self.net.moved(from, datagram.from);
            }
            3 if datagram.data.len() > 5 => {
                let version = [0u32, 0, 2, 0x0A0A_0A0A][self.random.below(4)];
                datagram.data[1..5].copy_from_slice(&version.to_be_bytes());
            }
            _ => (),
        }
        self.throw(datagram);
    }

    /// A datagram comes to one of our wires, whoever it was for.
    fn throw(&mut self, datagram: Datagram) {
        let wire = self.wire_for(&datagram);
        if let Some(wire) = wire {
            self.net.deliver(wire, datagram);
        }
    }

    /// The kernel chooses the thread by addresses: where it may not look into datagrams.
    fn wire_for(&self, datagram: &Datagram) -> Option<usize> {
        match self.role == Role::Server {
            true => Some(usize::from(datagram.from.port()) % self.threads),
            false => self.peers.iter().position(|peer| peer.server == datagram.to),
        }
    }

    fn trouble(&mut self, amount: u8) {
        use std::io::ErrorKind::{ConnectionRefused, InvalidInput, NetworkUnreachable, PermissionDenied};
        match amount % 5 {
            0 => self.net.set_full(!self.net.is_full()),
            1 => self.net.fail_next(
                true,
                [NetworkUnreachable, PermissionDenied, InvalidInput][usize::from(amount) / 5 % 3],
            ),
            2 => self.net.fail_next(false, ConnectionRefused),
            _ => self.is_deaf = !self.is_deaf,
        }
    }

    /// The listener changes.
    fn change(&mut self, amount: u8) {
        let Some(listener) = self.listener else { return };
        match amount % 8 {
            0 => self.us.plane.close_listener(listener),
            1 => self.us.plane.set_quic_tls(listener, tls().strict.clone()),
            _ => self.us.plane.set_quic_tls(listener, tls().server.clone()),
        }
    }

    /// Clients begin, and are not seen again.
    fn flood(&mut self, amount: u8) {
        if self.role == Role::Client {
            return;
        }
        for _ in 0..=amount / 3 {
            let (address, server) = (self.new_address(), self.server());
            self.begun += 1;
            let mut client = Peer::client(self.now, address, server, vec![], &mut self.random);
            for data in client.turn(self.now) {
                self.throw(Datagram { from: address, to: server, data });
            }
        }
    }

    /// Lets time pass, from one event to the next.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..MOMENTS_MAX {
            self.settle();
            let ours = (0..self.threads).filter_map(|thread| self.us.next(thread));
            let theirs = self.peers.iter_mut().filter_map(Peer::next);
            let next = ours.chain(theirs).chain(self.road.next()).min();
            match next.filter(|next| *next <= end) {
                Some(next) => self.now = self.now.max(next),
                None => break,
            }
        }
        self.now = end;
        self.settle();
    }

    /// Everybody does what is to be done now.
    fn settle(&mut self) {
        for turn in 0.. {
            assert!(turn < TURNS_MAX, "the engine never rests");
            let arrived = self.arrive();
            let had_datagrams = self.net.has_datagrams();
            for thread in 0..self.threads {
                self.us.turn(thread, self.now, had_datagrams, !self.net.is_full());
            }
            if !self.is_deaf {
                self.control.poll(&mut self.us, &self.peers, &mut self.random);
            }
            let ours = self.net.take_sent();
            let mut sent = !ours.is_empty();
            ours.into_iter().for_each(|it| self.road.put(self.now, it, &mut self.random));
            for peer in &mut self.peers {
                for data in peer.turn(self.now) {
                    sent = true;
                    let datagram = Datagram { from: peer.address, to: peer.server, data };
                    self.road.put(self.now, datagram, &mut self.random);
                }
            }
            let busy = (0..self.threads).any(|thread| self.us.is_busy(thread));
            if !arrived && !had_datagrams && !sent && !busy {
                break;
            }
        }
        self.check();
    }

    /// What is due arrives. True: something did.
    fn arrive(&mut self) -> bool {
        let due = self.road.due(self.now);
        let any = !due.is_empty();
        for datagram in due {
            let Some(number) = self.peers.iter().position(|peer| peer.address == datagram.to) else {
                if self.role == Role::Client || datagram.to == self.server() {
                    self.throw(datagram);
                }
                continue;
            };
            let peer = &mut self.peers[number];
            if peer.is_gone {
                continue;
            }
            self.net.heard(datagram.to);
            if let Some(data) = peer.receive(self.now, datagram.from, &datagram.data) {
                let answer = Datagram { from: peer.address, to: datagram.from, data };
                self.road.put(self.now, answer, &mut self.random);
            }
        }
        any
    }

    fn check(&mut self) {
        self.control.check(&self.peers);
        let counts = self.us.counts();
        assert!(counts.connections <= CONNECTIONS_MAX + self.threads, "{counts:?}");
        assert!(counts.peers <= self.begun + 1 && counts.handshakes <= counts.peers, "{counts:?}");
        assert!(counts.timers <= self.begun + 2 * self.threads, "{counts:?} of {} connections", self.begun);
        let stats = self.us.plane.statistics();
        let value = |name: &str| stats.iter().find(|(it, _)| *it == name).unwrap().1 as usize;
        assert_eq!(value("connections"), counts.connections);
        assert!(value("unauthenticated") <= counts.connections);
        let waiting = value("messages") - self.control.polled();
        assert!(waiting <= self.begun * (MESSAGES_MAX + 1), "{waiting} messages wait");
        for thread in 0..self.threads {
            let next = self.us.next(thread);
            assert!(next.is_none_or(|at| at <= self.now + DEADLINE_MAX), "a deadline is too late");
        }
    }

    /// Everything ends: by itself when nobody is there any more, or by a shutdown.
    fn end(&mut self, choice: u8) {
        self.is_deaf = false;
        self.net.set_full(false);
        if choice & 8 != 0 {
            let now = self.now;
            let mut time = now;
            self.us.end(|wait| {
                time += wait.max(Duration::from_millis(1));
                time
            });
            self.control.poll(&mut self.us, &self.peers, &mut self.random);
        } else {
            self.road.weather = Weather::default();
            self.peers.iter_mut().for_each(|peer| peer.is_gone = true);
            self.listener.iter().for_each(|listener| self.us.plane.close_listener(*listener));
            (0..20).for_each(|_| self.pass(Duration::from_secs(15)));
            let counts = self.us.counts();
            assert_eq!((counts.ports, counts.peers, counts.handshakes), (0, 0, 0), "something is left");
        }
        assert_eq!(self.us.counts().connections, 0, "a connection is left");
        let gauges = self.us.plane.statistics().into_iter();
        let left: Vec<_> =
            gauges.filter(|(name, _)| ["connections", "unauthenticated"].contains(name)).collect();
        assert!(left.iter().all(|(_, count)| *count == 0), "{left:?}");
        self.control.check(&self.peers);
        self.control.check_end();
    }
}
