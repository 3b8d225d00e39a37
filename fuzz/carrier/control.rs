//! The control plane of a run: checks every event against what the other end has sent, and answers.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use frevo_dataplane::conn::{Settings, Submission, CLOSE_AFTER};
use frevo_dataplane::engine::stepped::Stepped;
use frevo_dataplane::event::{ConnectionId, Event};

use super::network::Random;
use super::peer::Peer;

/// A connection as the control plane knows it.
#[derive(Default)]
struct Known {
    /// Which of the other ends has it; a client that nobody has made up is none of them.
    peer: Option<usize>,
    secured: bool,
    closed: bool,
    /// Bytes of the other end's stream whose messages have come.
    delivered: usize,
    /// What we have sent on the stream; None: the engine decides.
    submitted: Vec<Option<u8>>,
    /// How much of it the other end has received.
    checked: usize,
    /// MessageIds that wait for an answer.
    asked: Vec<u64>,
    next_id: u64,
}

/// All connections.
#[derive(Default)]
pub struct Control {
    known: HashMap<ConnectionId, Known>,
    /// Addresses at which the other ends began, by number.
    addresses: HashMap<String, usize>,
    answers: bool,
    polled: u64,
}

impl Control {
    /// `answers`: every message is answered at once.
    pub fn new(answers: bool) -> Control {
        Control { answers, ..Control::default() }
    }

    /// Another end begins.
    pub fn begins(&mut self, address: SocketAddr, number: usize) {
        self.addresses.insert(address.to_string(), number);
    }

    /// What another end sends comes from elsewhere.
    pub fn moved(&mut self, before: SocketAddr, after: SocketAddr) {
        let number = self.addresses.get(&before.to_string()).copied();
        self.addresses.extend(number.map(|number| (after.to_string(), number)));
    }

    /// A connection that we make.
    pub fn dialed(&mut self, connection: ConnectionId, peer: usize) {
        self.known.insert(connection, Known { peer: Some(peer), ..Known::default() });
    }

    /// Connections whose handshake was done.
    pub fn secured(&self) -> usize {
        self.known.values().filter(|known| known.secured).count()
    }

    /// Messages that it has taken.
    pub fn polled(&self) -> usize {
        self.polled as usize
    }

    /// Takes what has happened.
    pub fn poll(&mut self, us: &mut Stepped, peers: &[Peer], random: &mut Random) {
        for event in us.plane.poll(1 << 16) {
            match event {
                Event::Accepted { connection, peer, .. } => {
                    let peer = self.addresses.get(&peer).copied();
                    let before = self.known.insert(connection, Known { peer, ..Known::default() });
                    assert!(before.is_none(), "connection {connection} is accepted twice");
                }
                Event::Secured { connection, .. } => {
                    let known = self.live(connection);
                    assert!(!std::mem::replace(&mut known.secured, true), "secured twice");
                }
                Event::Message { connection, payload, .. } => {
                    self.polled += 1;
                    self.message(connection, &payload, peers);
                    if self.answers {
                        self.answer(us, connection, random.below(300));
                    }
                }
                Event::Closed { connection, .. } => self.live(connection).closed = true,
                Event::Moved { connection, peer } => {
                    let number = self.addresses.get(&peer).copied();
                    assert_eq!(self.live(connection).peer, number, "{peer} is somebody else's");
                }
                Event::Rejected { .. } | Event::Idle { .. } => (),
                other => panic!("{other:?}"),
            }
        }
        let counted = us.plane.statistics().into_iter().find(|(name, _)| *name == "messages").unwrap().1;
        assert_eq!(counted, self.polled, "messages are lost");
    }

    fn live(&mut self, connection: ConnectionId) -> &mut Known {
        let known = self.known.get_mut(&connection).expect("it was accepted");
        assert!(!known.closed, "an event of a connection that is closed");
        known
    }

    /// A message is the next one that the other end has sent on its first stream.
    fn message(&mut self, connection: ConnectionId, payload: &[u8], peers: &[Peer]) {
        let known = self.live(connection);
        assert!(known.secured, "a message before the handshake is done");
        let sent = &peers[known.peer.expect("it is one of the other ends")].sent;
        let body = known.delivered + 4;
        let header: [u8; 4] = sent[known.delivered..body].try_into().unwrap();
        assert_eq!(u32::from_be_bytes(header) as usize, payload.len());
        assert!(sent[body..].starts_with(payload), "other bytes than were sent");
        known.delivered = body + payload.len();
        if payload.len() >= 64 && payload.starts_with(b"\xfeSMB") {
            known.asked.push(u64::from_le_bytes(payload[24..32].try_into().unwrap()));
        }
    }

    /// Answers what was asked, or asks.
    fn answer(&mut self, us: &mut Stepped, connection: ConnectionId, size: usize) {
        let known = self.live(connection);
        let id = known.asked.pop().unwrap_or_else(|| {
            known.next_id += 1;
            known.next_id
        });
        let message = message(1, id, 1, &vec![id as u8; size]);
        known.submitted.extend(expected(&message));
        us.plane.submit(vec![(connection, Submission::new(0, 0, &[&message]))]);
    }

    /// One of the connections that are there.
    fn any(&self, random: &mut Random) -> Option<ConnectionId> {
        let there = self.known.iter().filter(|(_, it)| it.secured && !it.closed);
        let mut there: Vec<_> = there.map(|(id, _)| *id).collect();
        there.sort_unstable();
        there.get(random.below(there.len())).copied()
    }

    /// Sends something on one of the connections.
    pub fn answer_more(&mut self, us: &mut Stepped, amount: u8, random: &mut Random) {
        let Some(connection) = self.any(random) else { return };
        let size = if amount & 1 == 0 { 100 } else { 20_000 } + usize::from(amount) * 500;
        (0..=amount >> 1 & 7).for_each(|_| self.answer(us, connection, size));
    }

    /// Does something to one of the connections.
    pub fn act(&mut self, us: &mut Stepped, amount: u8, random: &mut Random) {
        let Some(connection) = self.any(random) else { return };
        let authenticated = amount & 0x80 == 0;
        match amount % 4 {
            0 => us.plane.close(connection, amount & 0x10 == 0),
            1 => {
                let message = message(1, u64::from(amount), 1, &[]);
                us.plane.submit(vec![(connection, Submission::new(0, CLOSE_AFTER, &[&message]))]);
                self.live(connection).submitted.extend(expected(&message));
            }
            _ => us.plane.set_connection(
                connection,
                Settings {
                    authenticated,
                    max_read: 1 << 20,
                    max_write: 1 << 20,
                    multi_credit: true,
                    user: 7,
                    ..Settings::default()
                },
            ),
        }
    }

    /// What the other ends have received is what we have sent.
    pub fn check(&mut self, peers: &[Peer]) {
        for known in self.known.values_mut() {
            let Some(peer) = known.peer.map(|peer| &peers[peer]) else { continue };
            assert!(peer.received.len() <= known.submitted.len(), "more was received than we sent");
            let same = |(got, expected): (&u8, &Option<u8>)| expected.is_none_or(|byte| byte == *got);
            let new = known.checked..peer.received.len();
            let mut pairs = peer.received[new.clone()].iter().zip(&known.submitted[new.clone()]);
            assert!(pairs.all(same), "other bytes than we sent");
            known.checked = new.end;
        }
    }

    /// Every connection has ended.
    pub fn check_end(&self) {
        let open: HashSet<_> = self.known.iter().filter(|(_, it)| !it.closed).map(|(id, _)| *id).collect();
        assert!(open.is_empty(), "{open:?} never ended");
    }
}

/// A message in its frame as it is sent: the engine says how many credits are granted.
fn expected(message: &[u8]) -> Vec<Option<u8>> {
    let header = (message.len() as u32).to_be_bytes().map(Some);
    let body = message.iter().enumerate().map(|(at, byte)| (!(14..16).contains(&at)).then_some(*byte));
    header.into_iter().chain(body).collect()
}

/// A message: 0x1 in the flags is the bit of a response.
pub fn message(command: u16, id: u64, flags: u32, body: &[u8]) -> Vec<u8> {
    let mut message = b"\xfeSMB\x40\0".to_vec();
    message.resize(64, 0);
    message[12..14].copy_from_slice(&command.to_le_bytes());
    message[14..16].copy_from_slice(&8u16.to_le_bytes());
    message[16..20].copy_from_slice(&flags.to_le_bytes());
    message[24..32].copy_from_slice(&id.to_le_bytes());
    message.extend_from_slice(body);
    message
}

/// A message in its frame.
pub fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_be_bytes()[..], message].concat()
}
