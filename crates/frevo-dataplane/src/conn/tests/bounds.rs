//! When a connection is no longer read: unread answers, requests in flight.

use std::mem::MaybeUninit;

use super::*;

#[test]
fn output_stops_the_input() {
    let content = vec![5; 1 << 20];
    let (mut pair, _gate) = Pair::ready(&content, false, false);
    let mut bytes = Vec::new();
    for index in 0..20 {
        let message = read_request(1 + index * 16, 0, 1 << 20);
        bytes.extend((message.len() as u32).to_be_bytes());
        bytes.extend(message);
    }
    pair.connection.feed(&mut bytes, &mut pair.host).unwrap();
    let queued = pair.connection.output_bytes();
    assert!(pair.connection.is_paused(&pair.host.limits));
    assert!(queued < 6 << 20, "{queued} bytes queued");
    let mut total = 0;
    while !pair.connection.common.output.is_empty() {
        total += pair.output().len();
        pair.connection.resume(&mut pair.host).unwrap();
    }
    assert_eq!(total, 20 * ((1 << 20) + 84));
}

/// A connection of `user` whose unread answers count for `budget`.
fn budgeted(content: &[u8], budget: &Arc<crate::budget::Budget>, user: u64) -> Pair {
    let mut pair = Pair::ready(content, false, false).0;
    let limits =
        Limits { max_unread_bytes: budget.clone(), max_bytes_in_flight: 1 << 30, ..Limits::default() };
    let old = pair.connection.settings();
    pair.host.limits = Arc::new(limits);
    pair.connection.common.unread = common::Unread::new(budget.clone());
    pair.connection.set_settings(Settings { user, ..old });
    pair
}

/// Whoever does not read is not read from, on any of its connections; others are, and it is again once it has read.
#[test]
fn unread_answers_of_a_user_stop_all_of_its_connections() {
    let content = vec![7; 1 << 20];
    let budget = Arc::new(crate::budget::Budget::new(3 << 20));
    let ready = |user: u64| {
        let mut pair = budgeted(&content, &budget, user);
        let old = pair.connection.settings();
        pair.connection.set_settings(Settings { user: user + 10, ..old });
        pair
    };
    let (mut first, mut second, mut other) = (ready(1), ready(1), ready(2));
    first.read(1, 0, 1 << 20).unwrap();
    assert!(
        !first.connection.is_paused(&first.host.limits) && !second.connection.is_paused(&second.host.limits)
    );
    second.read(1, 0, 1 << 20).unwrap();
    assert!(
        first.connection.is_paused(&first.host.limits) && second.connection.is_paused(&second.host.limits)
    );
    second.read(17, 0, 1 << 20).unwrap();
    assert!(second.connection.has_partial(), "the request waits in its buffer");
    other.read(1, 0, 65536).unwrap();
    assert_eq!(other.answer().len(), 80 + 65536);
    first.output();
    first.connection.count();
    second.connection.resume(&mut second.host).unwrap();
    assert_eq!(second.output().len(), 2 * (84 + (1 << 20)));
    drop(first);
    second.connection.count();
    other.connection.count();
    assert!(!budget.is_pressed());
}

/// A client that sends, piece by piece, as an engine receives.
struct Sender {
    pair: Pair,
    message: Vec<u8>,
    sent: usize,
}

impl Sender {
    fn new(budget: &Arc<crate::budget::Budget>, user: u64, size: usize) -> Sender {
        let message = writes::write_request(1, 0, &vec![7; size]);
        let message = [&(message.len() as u32).to_be_bytes()[..], &message].concat();
        Sender { pair: budgeted(b"", budget, user + 10), message, sent: 0 }
    }

    /// Sends so many bytes, or fewer if it is not let in; how many are still to come.
    fn send(&mut self, count: usize) -> usize {
        let end = self.message.len().min(self.sent + count);
        while self.sent < end && !self.pair.connection.is_paused(&self.pair.host.limits) {
            let (connection, host) = (&mut self.pair.connection, &mut self.pair.host);
            let left = &mut self.message[self.sent..end];
            self.sent += match connection.room(host) {
                Room::Own(room) => {
                    let count = room.len().min(left.len());
                    room.iter_mut().zip(left).for_each(|(place, byte)| *place = MaybeUninit::new(*byte));
                    // SAFETY: so many bytes were written to what `room` has just given.
                    unsafe { connection.direct_filled(count, host).unwrap() };
                    count
                }
                _ => {
                    let count = left.len().min(8192);
                    connection.feed(&mut left[..count], host).unwrap();
                    count
                }
            };
        }
        self.message.len() - self.sent
    }
}

/// Messages that come in slowly count, each with all of its size once it is let in: a user's further ones wait, and those that
/// were let in come to their end, which makes room. Others are let in meanwhile.
#[test]
fn large_messages_that_come_in_slowly_have_a_budget() {
    let budget = Arc::new(crate::budget::Budget::new(4 << 20));
    let size = 1 << 20;
    let mut slow: Vec<_> = (0..8).map(|_| Sender::new(&budget, 1, size)).collect();
    let begun: Vec<_> = slow.iter_mut().map(|one| one.send(size) < size).collect();
    assert_eq!(begun, [true, true, false, false, false, false, false, false], "half of the budget");
    assert!(slow[2..].iter().all(|one| one.sent <= 8192), "no more than tells how large it is");
    assert!(slow[2..].iter().all(|one| one.pair.connection.is_paused(&one.pair.host.limits)));

    let mut other = Sender::new(&budget, 2, size / 2);
    assert_eq!(other.send(size), 0);
    assert_eq!(u32_at(&other.pair.answer(), at::STATUS), 0);

    for one in &mut slow {
        assert_eq!(one.send(2 * size), 0);
        assert_eq!(u32_at(&one.pair.answer(), at::STATUS), 0);
        one.pair.connection.count();
    }
    drop(slow);
    other.pair.connection.count();
    assert!(!budget.is_pressed() && !budget.is_over(&budget.share(11)));
}

/// Small answers touch the account of all threads only when they have added up, and nothing stays counted.
#[test]
fn small_changes_are_counted_when_they_have_added_up() {
    let budget = Arc::new(crate::budget::Budget::new(1 << 30));
    let mut pair = budgeted(&[7; 4096], &budget, 11);
    let mut counted = [0; 5];
    for (index, counted) in counted.iter_mut().enumerate() {
        pair.read(1 + index as u64, 0, 4096).unwrap();
        pair.connection.count();
        *counted = pair.connection.common.unread.counted();
    }
    assert_eq!(counted, [0, 0, 0, 4 * (84 + 4096), 4 * (84 + 4096)]);
    pair.output();
    pair.connection.count();
    assert_eq!(pair.connection.common.unread.counted(), 0);
}

/// A request counts for what its answer may be from when it is let in, until the answer itself does: however many
/// connections ask at once, none gets what there is no room for.
#[test]
fn what_is_promised_counts_as_unread() {
    let budget = Arc::new(crate::budget::Budget::new(3 << 20));
    let ready = |user: u64| {
        let pair = budgeted(b"", &budget, user + 10);
        pair.opens.detach(12);
        pair
    };
    let (mut many, mut other) = ([ready(1), ready(1), ready(1), ready(1)], ready(2));
    many.iter_mut().for_each(|pair| pair.read(1, 0, 1 << 20).unwrap());
    let let_in: Vec<_> = many.iter().map(|pair| pair.host.events.len()).collect();
    assert_eq!(let_in, [1, 1, 0, 0], "the third would have as much as is left");
    other.read(1, 0, 65536).unwrap();
    assert_eq!(other.host.events.len(), 1);

    let mut answer = read_request(1, 0, 1 << 20);
    put(&mut answer, at::FLAGS, (flags::SERVER_TO_REDIR | flags::ASYNC_COMMAND).to_le_bytes());
    put(&mut answer, at::STATUS, crate::wire::STATUS_PENDING.to_le_bytes());
    many[0].submit(0, 0, &answer).unwrap();
    many[0].output();
    many[0].connection.count();
    many[2].connection.resume(&mut many[2].host).unwrap();
    assert_eq!(many[2].host.events.len(), 0, "it is still to be answered");
    put(&mut answer, at::STATUS, 0u32.to_le_bytes());
    many[0].submit(0, 0, &answer).unwrap();
    many[0].output();
    many[0].connection.count();
    many[2].connection.resume(&mut many[2].host).unwrap();
    assert_eq!(many[2].host.events.len(), 1);
    drop((many, other));
    assert!(!budget.is_over(&budget.share(11)) && !budget.is_pressed());
}

/// A compound whose answers fit into no message is not begun.
#[test]
fn compounds_ask_for_no_more_than_a_message() {
    let mut pair = Pair::ready(b"", false, false).0;
    pair.host.limits = Arc::new(Limits { max_bytes_in_flight: 3 << 20, ..Limits::default() });
    let compound = |first: u64, count: u64| {
        let mut message = Vec::new();
        for index in 0..count {
            let mut element = read_request(first + 16 * index, 0, 1 << 20);
            element.resize(120, 0);
            let next = if index + 1 == count { 0u32 } else { 120 };
            put(&mut element, at::NEXT_COMMAND, next.to_le_bytes());
            message.extend(element);
        }
        message
    };
    pair.feed(&compound(1, 3)).unwrap();
    assert_eq!(pair.host.events.len(), 1);
    let mut pair = Pair::ready(b"", false, false).0;
    pair.host.limits = Arc::new(Limits { max_bytes_in_flight: 3 << 20, ..Limits::default() });
    assert!(pair.feed(&compound(1, 4)).is_err());
}

/// Whoever has not logged on has a little of its own: nobody can use up what others need to log on.
#[test]
fn before_log_on_no_budget_is_shared() {
    let budget = Arc::new(crate::budget::Budget::new(1));
    let limits = Arc::new(Limits {
        max_unread_bytes: budget.clone(),
        max_bytes_in_flight: 1 << 30,
        ..Limits::default()
    });
    let nobody = budget.share(0);
    budget.change(&nobody, 0, 1 << 20);
    let flow = Arc::new(Flow::new(None));
    let mut connection = Connection::new(1, Framing::Tcp, Role::Server, flow, &limits);
    assert!(budget.is_over(&nobody) && !connection.is_paused(&limits));
    let stats = crate::stats::Stats::default();
    let mut answer = request(0, 0);
    put(&mut answer, at::FLAGS, flags::SERVER_TO_REDIR.to_le_bytes());
    answer.resize(16 * 1024, 0);
    connection.submit(Submission::new(0, 0, &[&answer]), &stats).unwrap();
    assert!(connection.is_paused(&limits));
    connection.output().take_all(&mut Pool::default());
    assert!(!connection.is_paused(&limits));
}

/// Small requests may ask for much: what they paid for counts until they are answered.
#[test]
fn unanswered_requests_pause_by_what_they_paid_for() {
    let (mut pair, _gate) = Pair::ready(b"", false, false);
    pair.host.limits = Arc::new(Limits { max_bytes_in_flight: 4 * 65536, ..Limits::default() });
    let mut big = request(9, 1);
    put(&mut big, at::CREDIT_CHARGE, 3u16.to_le_bytes());
    pair.feed(&big).unwrap();
    assert!(!pair.connection.is_paused(&pair.host.limits));
    pair.feed(&request(command::CANCEL, 0)).unwrap();
    pair.feed(&request(7, 4)).unwrap();
    assert!(pair.connection.is_paused(&pair.host.limits));
    put(&mut big, at::FLAGS, (flags::SERVER_TO_REDIR | flags::ASYNC_COMMAND).to_le_bytes());
    put(&mut big, at::STATUS, crate::wire::STATUS_PENDING.to_le_bytes());
    pair.submit(0, 0, &big).unwrap();
    assert!(!pair.connection.is_paused(&pair.host.limits), "an interim response is an answer");
    pair.feed(&request(9, 5)).unwrap();
    put(&mut big, at::STATUS, 0u32.to_le_bytes());
    pair.submit(0, 0, &big).unwrap();
    assert_eq!(pair.server().expected_bytes, 2 * 65536, "the final response counts no second time");
}
