//! A network in memory with weather: datagrams are lost, doubled, changed, delayed and so come in another order.

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use frevo_dataplane::engine::wire::{RecvMeta, Transmit, Wire};

/// What a datagram may be larger than the limit on sending to an address that a connection has moved to: one of the
/// loopback interface.
const MOVED_EXTRA: usize = 65_507;

/// What every datagram takes at least.
const ON_THE_WAY: Duration = Duration::from_micros(200);

/// A small generator (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// Changes some bytes, or cuts the end off.
    pub fn mutate(&mut self, data: &mut Vec<u8>) {
        for _ in 0..self.below(3) {
            if !data.is_empty() {
                let at =
                    if self.below(2) == 0 { self.below(data.len().min(32)) } else { self.below(data.len()) };
                data[at] ^= 1 << self.below(8);
            }
        }
        if self.below(2) == 0 {
            let length = self.below(data.len() + 1);
            data.truncate(length);
        }
    }
}

/// A datagram with where it comes from and goes to.
#[derive(Clone)]
pub struct Datagram {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub data: Vec<u8>,
}

/// Of 256 datagrams so many have this fate; milliseconds of delay.
#[derive(Default, Clone, Copy)]
pub struct Weather {
    pub lost: u8,
    pub doubled: u8,
    pub changed: u8,
    pub delay: u8,
    pub scatter: u8,
}

/// What was exchanged with an address.
#[derive(Default, Clone, Copy)]
struct Account {
    received: usize,
    sent: usize,
    /// Something that we sent has arrived there: who is there may show it.
    hears: bool,
    /// Who is there has shown before, at another address, that it is no spoofed one.
    moved: bool,
}

#[derive(Default)]
struct State {
    /// By wire; None once it is closed.
    inboxes: Vec<Option<VecDeque<Datagram>>>,
    sent: VecDeque<Datagram>,
    accounts: HashMap<SocketAddr, Account>,
    is_full: bool,
    send_error: Option<io::ErrorKind>,
    receive_error: Option<io::ErrorKind>,
    limits_sending: bool,
}

/// Between our wires and what is on the way.
pub struct Net(Mutex<State>);

impl Net {
    /// `limits_sending`: we are a server, which must not be used to flood others.
    pub fn new(limits_sending: bool) -> Arc<Net> {
        Arc::new(Net(Mutex::new(State { limits_sending, ..State::default() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new wire at an address, and its number.
    pub fn wire(self: &Arc<Net>, address: SocketAddr) -> (usize, Box<dyn Wire>) {
        let mut state = self.state();
        state.inboxes.push(Some(VecDeque::new()));
        let number = state.inboxes.len() - 1;
        (number, Box::new(Memory { net: self.clone(), number, address }))
    }

    /// A datagram has come to a wire.
    pub fn deliver(&self, wire: usize, datagram: Datagram) {
        let mut state = self.state();
        state.accounts.entry(datagram.from).or_default().received += datagram.data.len();
        if let Some(inbox) = &mut state.inboxes[wire] {
            inbox.push_back(datagram);
        }
    }

    pub fn has_datagrams(&self) -> bool {
        self.state().inboxes.iter().flatten().any(|inbox| !inbox.is_empty())
    }

    /// What was sent since the last time.
    pub fn take_sent(&self) -> VecDeque<Datagram> {
        std::mem::take(&mut self.state().sent)
    }

    pub fn is_full(&self) -> bool {
        self.state().is_full
    }

    pub fn set_full(&self, is_full: bool) {
        self.state().is_full = is_full;
    }

    pub fn fail_next(&self, sending: bool, kind: io::ErrorKind) {
        let mut state = self.state();
        match sending {
            true => state.send_error = Some(kind),
            false => state.receive_error = Some(kind),
        }
    }

    /// Something that we sent has arrived.
    pub fn heard(&self, address: SocketAddr) {
        self.state().accounts.entry(address).or_default().hears = true;
    }

    /// What came from one address comes from another now.
    pub fn moved(&self, before: SocketAddr, after: SocketAddr) {
        let mut state = self.state();
        let known = state.accounts.get(&before).is_some_and(|account| account.hears || account.moved);
        state.accounts.entry(after).or_default().moved |= known;
    }
}

impl State {
    /// RFC 9000 8.1: three times as much as was received, until the address is known to be true.
    fn count(&mut self, to: SocketAddr, bytes: usize) {
        let limits = self.limits_sending;
        let account = self.accounts.entry(to).or_default();
        account.sent += bytes;
        let most = 3 * account.received + if account.moved { MOVED_EXTRA } else { 0 };
        let (sent, received) = (account.sent, account.received);
        assert!(!limits || account.hears || sent <= most, "{sent} bytes to {to}, from which came {received}");
    }
}

/// One of our wires.
struct Memory {
    net: Arc<Net>,
    number: usize,
    address: SocketAddr,
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.net.state().inboxes[self.number] = None;
    }
}

impl Wire for Memory {
    fn receive(&self, buffers: &mut [IoSliceMut<'_>], metas: &mut [RecvMeta]) -> io::Result<usize> {
        let mut state = self.net.state();
        if let Some(kind) = state.receive_error.take() {
            return Err(kind.into());
        }
        let Some(inbox) = state.inboxes[self.number].as_mut().filter(|inbox| !inbox.is_empty()) else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let count = buffers.len().min(metas.len()).min(inbox.len());
        for (datagram, (buffer, meta)) in inbox.drain(..count).zip(buffers.iter_mut().zip(metas)) {
            let length = datagram.data.len().min(buffer.len());
            buffer[..length].copy_from_slice(&datagram.data[..length]);
            (meta.addr, meta.len, meta.stride) = (datagram.from, length, length);
            meta.dst_ip = Some(self.address.ip());
        }
        Ok(count)
    }

    fn send(&self, datagrams: &Transmit<'_>) -> io::Result<()> {
        let mut state = self.net.state();
        if state.is_full {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if let Some(kind) = state.send_error.take() {
            return Err(kind.into());
        }
        assert!(!datagrams.contents.is_empty(), "an empty datagram");
        let segment = datagrams.segment_size.unwrap_or(datagrams.contents.len());
        for piece in datagrams.contents.chunks(segment) {
            state.count(datagrams.destination, piece.len());
            let to = datagrams.destination;
            state.sent.push_back(Datagram { from: self.address, to, data: piece.to_vec() });
        }
        Ok(())
    }

    fn segments_max(&self) -> usize {
        8
    }

    fn may_fragment(&self) -> bool {
        false
    }

    fn descriptor(&self) -> i32 {
        -1
    }

    fn address(&self, _local: Option<IpAddr>) -> String {
        self.address.to_string()
    }
}

/// What is on the way.
#[derive(Default)]
pub struct Road {
    pub weather: Weather,
    waiting: Vec<(Instant, Datagram)>,
    /// Some that have passed, to come again later.
    pub seen: VecDeque<Datagram>,
}

impl Road {
    /// Sends a datagram on its way.
    pub fn put(&mut self, now: Instant, mut datagram: Datagram, random: &mut Random) {
        if self.seen.len() >= 64 {
            self.seen.pop_front();
        }
        self.seen.push_back(datagram.clone());
        let mut happens = |chance: u8| random.below(256) < usize::from(chance);
        if happens(self.weather.lost) {
            return;
        }
        let copies = 1 + usize::from(happens(self.weather.doubled));
        let changed = happens(self.weather.changed);
        for _ in 0..copies {
            let scatter = random.below(usize::from(self.weather.scatter) + 1) as u64;
            let delay = ON_THE_WAY + Duration::from_millis(u64::from(self.weather.delay) + scatter);
            if changed {
                random.mutate(&mut datagram.data);
            }
            self.waiting.push((now + delay, datagram.clone()));
        }
    }

    /// When the next arrives.
    pub fn next(&self) -> Option<Instant> {
        self.waiting.iter().map(|(at, _)| *at).min()
    }

    /// Those that arrive now.
    pub fn due(&mut self, now: Instant) -> Vec<Datagram> {
        let waiting = std::mem::take(&mut self.waiting);
        let (due, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(at, _)| *at <= now);
        self.waiting = rest;
        due.into_iter().map(|(_, datagram)| datagram).collect()
    }
}
