//! Two ends over a stream that is cut anywhere, with seeded operations.

use std::collections::{HashMap, VecDeque};

use super::*;
use crate::random::Random;
use crate::regions::{Access, Place};

const RECEIVE_BYTES: usize = 5000;

/// Where the memory begins, as the peer counts.
const BASE: u64 = 1 << 40;

/// Memory 0 may be read by the peer, 1 written, 2 is for answers to READs.
struct End {
    endpoint: Endpoint,
    memory: [Vec<u8>; 3],
    tags: [u32; 3],
    messages: VecDeque<u8>,
    receives: VecDeque<Vec<u8>>,
    received: Vec<Vec<u8>>,
    stream: VecDeque<u8>,
    reads: HashMap<u64, (usize, Vec<u8>)>,
    done: Vec<u64>,
    /// What was sent to this end by reference.
    referred: Vec<Vec<u8>>,
    writes: Vec<u64>,
}

impl End {
    fn new(random: &mut Random, limits: Limits) -> End {
        let mut endpoint = Endpoint::new(limits);
        let accesses = [Access::READ, Access::WRITE, Access::NONE];
        let mut memory = 0;
        let tags = accesses.map(|access| {
            memory += 1;
            endpoint.regions.register(memory - 1, BASE, 9000, access).unwrap()
        });
        let memory = [random.bytes(9000), vec![0; 9000], vec![0; 9000]];
        let (messages, receives, received, stream, reads, done, referred, writes) = Default::default();
        let mut end = End {
            endpoint,
            memory,
            tags,
            messages,
            receives,
            received,
            stream,
            reads,
            done,
            referred,
            writes,
        };
        for _ in 0..400 {
            end.endpoint.post_receive(RECEIVE_BYTES);
            end.receives.push_back(vec![0; RECEIVE_BYTES]);
        }
        end
    }

    /// Puts one segment on the other end's stream: whether there was one.
    fn send(&mut self, to: &mut End) -> bool {
        let Some(segment) = self.endpoint.next_segment() else { return false };
        let data: Vec<u8> = match segment.local {
            Local::Message => self.messages.drain(..segment.data).collect(),
            Local::Memory(place) => {
                let start = place.offset as usize;
                self.memory[place.memory as usize][start..start + segment.data].to_vec()
            }
            Local::Own => vec![],
        };
        let (first, second) = data.split_at(data.len() / 3);
        let (trailer, length) = segment.trailer([first, second].into_iter());
        to.stream.extend(segment.head());
        if segment.by_reference {
            // The other end of this test finds the data by their place in a list.
            to.stream.extend((to.referred.len() as u64).to_ne_bytes());
            to.referred.push(data);
            let (trailer, length) = segment.trailer(std::iter::empty());
            to.stream.extend(&trailer[..length]);
        } else {
            to.stream.extend(&data);
            to.stream.extend(&trailer[..length]);
        }
        self.done.extend(segment.done);
        true
    }

    fn put(&mut self, place: Placement, data: &[u8]) {
        let (bytes, start) = match place {
            Placement::Receive(offset) => (self.receives.front_mut().unwrap(), offset),
            Placement::Memory(place) => (&mut self.memory[place.memory as usize], place.offset as usize),
            Placement::Own => return,
        };
        bytes[start..start + data.len()].copy_from_slice(data);
    }

    /// Receives a piece of the stream: whether there was one.
    fn receive(&mut self, random: &mut Random) -> bool {
        let count = self.stream.len().min(1 + random.below(3000) as usize);
        if let Some((place, most)) = self.endpoint.direct().filter(|_| random.below(2) == 0 && count > 0) {
            let data: Vec<u8> = self.stream.drain(..count.min(most)).collect();
            self.put(place, &data);
            self.endpoint.received(&data);
            return true;
        }
        let bytes: Vec<u8> = self.stream.drain(..count).collect();
        let mut rest = &bytes[..];
        loop {
            let before = rest;
            let Some(event) = self.endpoint.feed(&mut rest).unwrap() else { break };
            match event {
                Event::Data(place, count) => {
                    let end = before.len() - rest.len();
                    self.put(place, &before[end - count..end]);
                }
                Event::Fetch(place, count, address) => {
                    let data = std::mem::take(&mut self.referred[address as usize]);
                    assert_eq!(data.len(), count);
                    self.put(place, &data);
                }
                Event::Completed(Completion::Fetched(work)) => self.done.push(work),
                Event::Completed(Completion::Received { bytes, invalidated }) => {
                    let mut message = self.receives.pop_front().unwrap();
                    message.truncate(bytes);
                    self.received.push(message);
                    assert_eq!(invalidated, None);
                }
                Event::Completed(Completion::Read(work)) => {
                    let (start, expected) = self.reads.remove(&work).unwrap();
                    assert_eq!(self.memory[2][start..start + expected.len()], expected);
                }
                Event::Completed(Completion::Terminated(terminate)) => panic!("{terminate}"),
            }
        }
        count > 0
    }
    /// Does something, with a work request of this number if it is one. Gives the message that it sends.
    fn step(&mut self, other: &mut End, random: &mut Random, work: u64) -> Option<Vec<u8>> {
        let (start, at) = (random.below(4000) as usize, random.below(4000) as usize);
        let bytes = random.below(5000) as usize;
        match random.below(6) {
            0 => {
                let data = random.bytes(bytes);
                self.endpoint.post_send(work, bytes as u32, None);
                self.messages.extend(&data);
                return Some(data);
            }
            1 => {
                // What is written where never changes, so that the order does not matter.
                let place = Place { memory: 0, offset: start as u64 };
                self.writes.push(work);
                self.endpoint.post_write(work, bytes as u64, place, (other.tags[1], BASE + start as u64));
            }
            // The memory for the answers is looked at when one is there, so there is one at a time.
            2 if self.reads.is_empty() => {
                let expected = other.memory[0][at..at + bytes].to_vec();
                self.reads.insert(work, (start, expected));
                let sink = (self.tags[2], BASE + start as u64);
                self.endpoint.post_read(work, bytes as u32, sink, (other.tags[0], BASE + at as u64));
            }
            3 | 4 => drop(self.receive(random)),
            _ => drop(self.send(other)),
        }
        None
    }
}

/// Goal: messages, RDMA WRITEs and READs arrive whole, in their places and in order, however the stream is cut.
/// Method: random operations, segments and pieces; what arrives is compared with what was meant.
#[test]
fn everything_arrives() {
    for seed in 1..=200_u64 {
        let random = &mut Random::of_run(seed);
        let limits = Limits {
            segment_bytes: 1 + random.below(4000) as usize,
            incoming_reads: 3,
            outgoing_reads: 1 + random.below(3) as u16,
            checks: random.below(2) == 0,
            by_reference: seed % 3 == 0,
        };
        let mut ends = [End::new(random, limits), End::new(random, limits)];
        let mut sent = [vec![], vec![]];
        let mut work = 0;
        for _ in 0..random.below(300) {
            let (left, right) = ends.split_at_mut(1);
            let (mut one, mut other) = (&mut left[0], &mut right[0]);
            let which = random.below(2) as usize;
            if which == 1 {
                std::mem::swap(&mut one, &mut other);
            }
            work += 1;
            sent[which].extend(one.step(other, random, work));
        }
        loop {
            let [one, other] = &mut ends;
            let moved = one.send(other) | other.send(one) | one.receive(random) | other.receive(random);
            if !moved {
                break;
            }
        }
        for which in 0..2 {
            assert_eq!(ends[1 - which].received, sent[which], "seed {seed}");
            assert!(ends[which].reads.is_empty() && !ends[which].endpoint.is_inside_segment(), "seed {seed}");
            let done = &ends[which].done;
            assert!(seed % 3 == 0 || done.is_sorted(), "seed {seed}: {done:?}");
            assert!(ends[which].writes.iter().all(|work| done.contains(work)), "seed {seed}");
            let (from, to) = (&ends[which].memory[0], &ends[1 - which].memory[1]);
            assert!(
                to.iter().zip(from).all(|(written, meant)| *written == 0 || written == meant),
                "seed {seed}"
            );
        }
    }
}

/// More RDMA READs than may be outstanding wait, and so does what was posted after them.
#[test]
fn reads_wait() {
    let mut end = Endpoint::new(Limits { outgoing_reads: 1, ..LIMITS });
    let sink = end.regions.register(1, 0, 8, Access::NONE).unwrap();
    for work in 1..=2 {
        end.post_read(work, 4, (sink, 0), (1, 0));
    }
    end.post_send(3, 1, None);
    assert_eq!(end.next_segment().unwrap().done, None);
    assert!(end.next_segment().is_none());
    let header = [0, 18, 0xC1, 0x42, (sink >> 24) as u8, (sink >> 16) as u8, (sink >> 8) as u8, sink as u8];
    let mut bytes = [&header[..], &[0; 8], &[1, 2, 3, 4]].concat();
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    let mut rest = &bytes[..];
    assert_eq!(
        end.feed(&mut rest),
        Ok(Some(Event::Data(Placement::Memory(Place { memory: 1, offset: 0 }), 4)))
    );
    assert_eq!(end.feed(&mut rest), Ok(Some(Event::Completed(Completion::Read(1)))));
    assert!(end.next_segment().is_some());
    assert_eq!(end.next_segment().unwrap().done, Some(3));
}
