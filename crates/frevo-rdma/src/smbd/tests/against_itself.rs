//! Two machines against each other, with seeded settings, sizes and delays.

use std::collections::VecDeque;

use super::*;
use crate::random::Random;

/// What one end offers, from the least to much.
fn settings(random: &mut Random) -> Settings {
    let mut size = |least: u64, bits: u64| {
        let bits = 1 + random.below(bits);
        (least + random.below(1 << bits)) as u32
    };
    Settings {
        receive_credits: size(1, 8) as u16,
        send_credits: size(1, 8) as u16,
        send_bytes: size(128, 14),
        receive_bytes: size(128, 14),
        fragmented_bytes: size(131_072, 12),
        ..Settings::default()
    }
}

/// One end, what it has posted, what it has yet to send and what has arrived.
struct End {
    machine: Machine,
    posted: u32,
    /// Messages on their way to this end.
    wire: VecDeque<Vec<u8>>,
    output: VecDeque<u8>,
    /// What the other end has queued for this one.
    expected: VecDeque<Vec<u8>>,
    arriving: Vec<u8>,
    empty: u32,
}

impl End {
    fn new(mut machine: Machine) -> End {
        let (wire, output, expected) = Default::default();
        let posted = machine.post();
        End { machine, posted, wire, output, expected, arriving: vec![], empty: 0 }
    }

    /// Posts receives and sends one message, if it can: whether it did.
    fn send(&mut self, to: &mut End, now: Instant) -> bool {
        self.posted += self.machine.post();
        let Some(send) = self.machine.next_send(now) else { return false };
        let mut message = send.head().to_vec();
        message.extend(self.output.drain(..send.data));
        assert!(message.len() <= to.machine.receive_bytes());
        to.wire.push_back(message);
        true
    }

    /// Receives one message, if one is there: whether it was.
    fn receive(&mut self, now: Instant) -> bool {
        let Some(message) = self.wire.pop_front() else { return false };
        self.posted = self.posted.checked_sub(1).expect("a receive is posted for each message");
        let part = self.machine.received(&message, None, now).unwrap();
        self.empty += u32::from(part.data.is_empty());
        if let Some(bytes) = part.begins {
            assert!(self.arriving.is_empty());
            self.arriving.reserve(bytes);
        }
        self.arriving.extend(&message[part.data.clone()]);
        if part.ends {
            assert_eq!(Some(std::mem::take(&mut self.arriving)), self.expected.pop_front());
        }
        true
    }

    fn queue(&mut self, to: &mut End, random: &mut Random) {
        let Some(agreed) = self.machine.agreed() else { return };
        let bits = 1 + random.below(17);
        let bytes = (1 + random.below(1 << bits)).min(u64::from(agreed.fragmented_bytes)) as usize;
        let data = random.bytes(bytes);
        self.machine.queue(bytes, None).unwrap();
        self.output.extend(&data);
        to.expected.push_back(data);
    }
}

/// Goal: whatever is queued arrives, in order and unchanged; nobody sends what the other one cannot take; both come to rest.
/// Method: random steps of both ends, then all steps until nothing moves.
#[test]
fn everything_arrives() {
    for seed in 1..=400_u64 {
        let random = &mut Random::of_run(seed);
        let now = Instant::now();
        let mut ends = [
            End::new(Machine::connect(settings(random), now)),
            End::new(Machine::accept(settings(random), now)),
        ];
        let quiet = random.below(3);
        for _ in 0..random.below(600) {
            let (left, right) = ends.split_at_mut(1);
            let (mut one, mut other) = (&mut left[0], &mut right[0]);
            let step = random.below(8);
            if step % 2 == 1 {
                std::mem::swap(&mut one, &mut other);
            }
            match step / 2 {
                0 if quiet != step % 2 => one.queue(other, random),
                1 => drop(one.receive(now)),
                _ => drop(one.send(other, now)),
            }
        }
        let mut turns = 0;
        loop {
            let [one, other] = &mut ends;
            let moved = one.send(other, now) | other.send(one, now) | one.receive(now) | other.receive(now);
            if !moved {
                break;
            }
            turns += 1;
            assert!(turns < 1_000_000, "seed {seed}: no rest");
        }
        for end in &ends {
            assert_eq!(end.machine.state(), State::Established, "seed {seed}");
            assert!(!end.machine.has_queued() && end.expected.is_empty(), "seed {seed}: {:?}", end.machine);
            let (_, granted) = end.machine.credits();
            assert!(granted <= end.posted, "seed {seed}");
        }
    }
}

/// Goal: credits cost few messages of their own. Method: one end sends, the other one only grants.
#[test]
fn empty_messages_are_few() {
    let now = Instant::now();
    let mut client = End::new(Machine::connect(Settings::default(), now));
    let mut server = End::new(Machine::accept(Settings::default(), now));
    let random = &mut Random(1);
    for _ in 0..10_000 {
        client.queue(&mut server, random);
        while client.send(&mut server, now)
            | server.send(&mut client, now)
            | client.receive(now)
            | server.receive(now)
        {}
    }
    let sent = 10_000 * 65_536 / 2 / 1340;
    assert!(client.empty < sent / 100 && server.empty <= client.empty, "{} {}", client.empty, server.empty);
}
