//! Messages and receives.

use bytes::Bytes;

use super::{lent, pattern, Conversation, Make, Seen, RECEIVE_BYTES};
use crate::provider::{Completion, Memory, Piece};

/// Heads and pieces, lent and kept, arrive as one message, up to the size of the receives, and in order.
pub fn messages_of_all_sizes_come_in_order(make: Make<'_>) {
    let mut talk = Conversation::begun(make(), 20);
    let mut sent = vec![];
    for (number, bytes) in
        [1, 2, 24, 63, 64, 65, 1000, RECEIVE_BYTES - 1, RECEIVE_BYTES].into_iter().enumerate()
    {
        let message = pattern(bytes, number as u8);
        let (head, rest) = message.split_at(bytes.min(24));
        let (first, second) = rest.split_at(rest.len() / 3);
        match number % 3 {
            0 => talk.end(0).send(head, &mut lent(&[first, second]), None),
            1 => {
                let pieces = [first, second].map(|piece| Piece::Kept(Bytes::copy_from_slice(piece)));
                talk.end(0).send(head, &mut pieces.into_iter(), None);
            }
            _ => talk.end(0).send(&message, &mut std::iter::empty(), None),
        }
        sent.push(message);
    }
    for message in sent {
        assert_eq!(talk.message(1), message);
    }
    // A message can be changed where it stands.
    talk.say(1, b"abc");
    let mut changed = None;
    talk.until("the message", |talk| {
        if let Some(Seen::Message(message, _)) = talk.seen[0].pop_front() {
            changed = Some(message);
        }
        changed.is_some()
    });
    assert_eq!(changed.as_deref(), Some(&b"abc"[..]));
    assert_eq!(talk.ended, [None, None]);
}

/// Who has just begun to connect may post already.
pub fn what_is_posted_early_leaves_later(make: Make<'_>) {
    let mut talk = Conversation::new(make(), 4);
    talk.say(0, b"first");
    talk.end(0).send(b"sec", &mut lent(&[b"o", b"nd"]), None);
    let kept = [Piece::Kept(Bytes::from_static(b"ird"))];
    talk.end(0).send(b"th", &mut kept.into_iter(), None);
    for expected in [&b"first"[..], b"second", b"third"] {
        assert_eq!(talk.message(1), expected);
    }
}

/// Thousands of messages both ways, with receives posted again as they are used.
pub fn more_messages_than_queues_hold(make: Make<'_>) {
    const MESSAGES: u32 = 2000;
    let mut talk = Conversation::begun(make(), 250);
    let mut sent = [0_u32; 2];
    let mut heard = [0_u32; 2];
    let mut credits = [200_u32; 2];
    while heard.iter().any(|count| *count < MESSAGES) {
        for side in [0, 1] {
            while sent[side] < MESSAGES && credits[side] > 0 {
                (credits[side], sent[side]) = (credits[side] - 1, sent[side] + 1);
                let data = pattern(200, sent[side] as u8);
                talk.end(side).send(&sent[side].to_be_bytes(), &mut lent(&[&data]), None);
            }
        }
        let before = heard;
        talk.until("messages", |talk| talk.seen.iter().any(|seen| !seen.is_empty()));
        for side in [0, 1] {
            while let Some(Seen::Message(message, None)) = talk.seen[side].pop_front() {
                heard[side] += 1;
                assert_eq!(message[..4], heard[side].to_be_bytes());
                assert_eq!(message[4..], pattern(200, heard[side] as u8));
            }
            let used = heard[side] - before[side];
            talk.end(side).post_receives(used, RECEIVE_BYTES);
            credits[1 - side] += used;
        }
    }
    talk.settle();
    assert_eq!(talk.ended, [None, None]);
}

/// A message for which no receive is posted ends the connection; those before it arrive.
pub fn receives_that_are_missing_end_it(make: Make<'_>) {
    let mut talk = Conversation::begun(make(), 3);
    for message in [b"1", b"2", b"3", b"4"] {
        talk.say(0, message);
    }
    talk.ends();
    let seen = talk.seen[1].iter().filter(|seen| matches!(seen, Seen::Message(..))).count();
    assert_eq!(seen, 3);
}

/// A message that is larger than its receive ends the connection, and nothing of it is shown.
pub fn messages_that_are_too_long_end_it(make: Make<'_>) {
    let mut talk = Conversation::begun(make(), 3);
    talk.say(0, &pattern(RECEIVE_BYTES + 1, 0));
    talk.ends();
    assert!(talk.seen[1].is_empty());
    // Whatever is asked afterwards does no harm.
    for side in [0, 1] {
        talk.say(side, b"more");
        talk.end(side).write(Memory::from(vec![1; 10]), 0, 10, &[]);
        assert!(!matches!(talk.end(side).poll(), Ok(Some(Completion::Received { .. }))));
    }
}
