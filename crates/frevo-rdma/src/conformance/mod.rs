//! What every provider has to do (the contract stands in `provider`): one suite for all of them.
//!
//! A provider brings a [`Bench`], a connection with itself, and [`conformance!`](crate::conformance!) makes the tests.

mod endings;
mod messages;
mod transfers;

use std::collections::VecDeque;

use crate::provider::{Completion, Memory, Piece, Provider, Remote};

pub use endings::*;
pub use messages::*;
pub use transfers::*;

/// How large the receives of the suite are.
const RECEIVE_BYTES: usize = 1364;

/// Two ends of a connection, the first of which has asked for it.
pub trait Bench {
    /// One of them, 0 or 1. None: it was dropped.
    fn end(&mut self, side: usize) -> Option<&mut dyn Provider>;

    /// Drops one, as a process that dies does.
    fn drop_end(&mut self, side: usize);

    /// Whether the device lets peers read what they may write. It should not.
    fn is_lenient(&self) -> bool {
        false
    }

    /// Whether the device lets peers invalidate also what no provider asks them to.
    fn lets_invalidate(&self) -> bool {
        false
    }

    /// Moves what is on its way, or waits a moment for it: false when nothing came, so that nothing is to be expected.
    fn turn(&mut self) -> bool;
}

/// What an end has seen.
#[derive(Debug)]
enum Seen {
    Message(Vec<u8>, Option<u32>),
    Read(u64, Memory),
}

/// A bench, and what was seen there.
struct Conversation {
    bench: Box<dyn Bench>,
    seen: [VecDeque<Seen>; 2],
    ended: [Option<String>; 2],
}

/// How often in a row nothing may come before it is taken for lost.
const PATIENCE: usize = 1000;

impl Conversation {
    /// Both ends with so many receives.
    fn new(bench: Box<dyn Bench>, receives: u32) -> Conversation {
        let mut talk = Conversation { bench, seen: Default::default(), ended: Default::default() };
        for side in [0, 1] {
            talk.end(side).post_receives(receives, RECEIVE_BYTES);
        }
        talk
    }

    /// The same, when the connection has begun: both have heard of each other.
    fn begun(bench: Box<dyn Bench>, receives: u32) -> Conversation {
        let mut talk = Conversation::new(bench, receives);
        for side in [0, 1] {
            talk.say(side, b"hello");
            assert_eq!(talk.message(1 - side), b"hello");
            talk.end(1 - side).post_receives(1, RECEIVE_BYTES);
        }
        talk
    }

    fn end(&mut self, side: usize) -> &mut dyn Provider {
        self.bench.end(side).expect("nobody has dropped it")
    }

    fn say(&mut self, side: usize, message: &[u8]) {
        self.end(side).send(message, &mut std::iter::empty(), None);
    }

    fn look(&mut self, side: usize) {
        while self.ended[side].is_none() {
            let Some(end) = self.bench.end(side) else { break };
            match end.poll() {
                Ok(None) => break,
                Ok(Some(Completion::Received { message, invalidated })) => {
                    let message = message.to_vec();
                    self.seen[side].push_back(Seen::Message(message, invalidated));
                }
                Ok(Some(Completion::Read { work, memory })) => {
                    self.seen[side].push_back(Seen::Read(work, memory));
                }
                Err(ended) => {
                    assert_eq!(end.poll().unwrap_err(), ended, "an end is for good");
                    self.ended[side] = Some(ended.to_string());
                }
            }
        }
    }

    /// Goes on until `done`.
    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Conversation) -> bool) {
        let mut nothing = 0;
        loop {
            [0, 1].iter().for_each(|side| self.look(*side));
            if done(self) {
                return;
            }
            nothing = if self.bench.turn() { 0 } else { nothing + 1 };
            assert!(nothing < PATIENCE, "{what} did not come: {:?}, ended: {:?}", self.seen, self.ended);
        }
    }

    /// Goes on as long as anything comes.
    fn settle(&mut self) {
        while self.bench.turn() {
            [0, 1].iter().for_each(|side| self.look(*side));
        }
        [0, 1].iter().for_each(|side| self.look(*side));
    }

    fn next(&mut self, side: usize) -> Seen {
        self.until("something", |talk| !talk.seen[side].is_empty() || talk.ended[side].is_some());
        self.seen[side].pop_front().unwrap_or_else(|| panic!("ended: {:?}", self.ended))
    }

    fn message(&mut self, side: usize) -> Vec<u8> {
        match self.next(side) {
            Seen::Message(message, None) => message,
            other => panic!("no plain message: {other:?}"),
        }
    }

    fn read(&mut self, side: usize) -> (u64, Memory) {
        match self.next(side) {
            Seen::Read(work, memory) => (work, memory),
            other => panic!("no end of a READ: {other:?}"),
        }
    }

    /// Both ends have to end, and say why.
    fn ends(&mut self) {
        self.until("the end", |talk| {
            [0, 1].iter().all(|side| talk.ended[*side].is_some() || talk.bench.end(*side).is_none())
        });
        assert!(self.ended.iter().flatten().all(|reason| !reason.is_empty()));
    }

    /// Memory that a side lets the other one read or write.
    fn register(&mut self, side: usize, memory: Memory, access: crate::provider::Access) -> Remote {
        let bytes = memory.len();
        let remote = self.end(side).register(memory, access).expect("it may be registered");
        assert_eq!(remote.bytes as usize, bytes);
        remote
    }

    /// What became of registered memory.
    fn release(&mut self, side: usize, remote: Remote) -> Vec<u8> {
        self.end(side).release(remote.tag).expect("it was registered").into_vec()
    }

    /// Writes, and sends a message after that.
    fn write_and_say(&mut self, side: usize, data: &[u8], targets: &[Remote]) {
        let memory = Memory::from(data.to_vec());
        self.end(side).write(memory, 0, data.len(), targets);
        self.say(side, b"written");
    }
}

/// Bytes that differ from their neighbours.
fn pattern(bytes: usize, seed: u8) -> Vec<u8> {
    (0..bytes).map(|at| (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ seed).collect()
}

/// A part of what was registered.
fn part(remote: Remote, start: u64, bytes: u32) -> Remote {
    Remote { tag: remote.tag, offset: remote.offset.wrapping_add(start), bytes }
}

/// Lent pieces of a message.
fn lent<'a>(parts: &'a [&'a [u8]]) -> impl Iterator<Item = Piece<'a>> {
    parts.iter().map(|part| Piece::Lent(part))
}

/// A test for each rule, over benches that `$make` makes.
#[macro_export]
macro_rules! conformance {
    ($make:expr) => {
        $crate::conformance!($make;
            messages_of_all_sizes_come_in_order what_is_posted_early_leaves_later
            more_messages_than_queues_hold receives_that_are_missing_end_it
            messages_that_are_too_long_end_it
            writes_go_to_all_targets_before_the_message reads_fill_their_sink
            more_reads_than_agreed_wait large_transfers_of_known_memory
            both_sides_at_once wrong_writes_touch_nothing wrong_reads_touch_nothing
            what_was_released_is_closed tags_open_nothing_to_others
            invalidated_tags_open_nothing closing_lets_everything_leave
            who_dies_ends_the_other counts_say_what_is_there);
    };
    ($make:expr; $($name:ident)*) => {
        $(#[test]
        fn $name() {
            $crate::conformance::$name(&mut $make);
        })*
    };
}

/// Makes benches.
pub type Make<'a> = &'a mut dyn FnMut() -> Box<dyn Bench>;
