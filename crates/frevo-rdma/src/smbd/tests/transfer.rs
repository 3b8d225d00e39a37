//! Fragments, credits and keep-alives: [MS-SMBD] 3.1.5.1, 3.1.5.4, 3.1.5.8, 3.1.5.9 and 3.1.6.2.

use super::*;

/// 64 KiB leave in fragments of 1000 bytes as credits allow ([MS-SMBD] 4.3), the token with the last one.
#[test]
fn fragments() {
    let now = Instant::now();
    let mut server = established(now);
    server.received(&transfer(b"negotiate", 0, 10), None, now).unwrap();
    server.queue(65_536, Some(7)).unwrap();
    let mut lengths = vec![];
    let mut rest = 65_536;
    while rest > 0 {
        server.post();
        let Some(send) = server.next_send(now) else {
            let (mine, _) = server.credits();
            assert!(mine <= 1, "{mine} credits are left");
            server.received(&transfer(&[], 0, 10), None, now).unwrap();
            continue;
        };
        rest -= send.data;
        assert_eq!(fields(send.head()).3 as usize, rest);
        assert_eq!((send.ends, send.invalidate), (rest == 0, (rest == 0).then_some(7)));
        lengths.push(send.data);
    }
    assert_eq!((lengths.len(), lengths[0], lengths[65]), (66, 1000, 536));
    assert!(!server.has_queued());
}

/// The last credit is kept for a message that grants some.
#[test]
fn the_last_credit() {
    let now = Instant::now();
    let mut server = established(now);
    server.received(&transfer(b"x", 0, 1), None, now).unwrap();
    server.queue(10, None).unwrap();
    assert_eq!(server.credits(), (1, 9));
    assert_eq!(server.next_send(now), None, "no receive is posted that could be granted");
    assert_eq!(server.post(), 1);
    let send = server.next_send(now).unwrap();
    assert_eq!(fields(send.head()), (10, 1, 0, 0, 24, 10));
    assert_eq!((server.credits(), server.next_send(now)), ((0, 10), None));
}

/// When no receive is missing, one more is posted, so that the last credit can be used; a few times at most.
#[test]
fn a_receive_beyond_the_limit() {
    let now = Instant::now();
    let mut server = established(now);
    server.received(&transfer(b"x", 0, 2), None, now).unwrap();
    assert_eq!(server.post(), 1);
    server.queue(10, None).unwrap();
    assert_eq!(fields(server.next_send(now).unwrap().head()).1, 1);
    server.queue(10, None).unwrap();
    assert_eq!((server.credits(), server.post()), ((1, 10), 1));
    assert_eq!(fields(server.next_send(now).unwrap().head()).1, 1);
    assert_eq!(server.credits(), (0, 11));
}

/// Credits are granted at once when the peer has used half of them and nothing else is to be sent; an empty message
/// is not answered.
#[test]
fn grants_at_once() {
    let now = Instant::now();
    let mut server = established(now);
    for left in (5..10).rev() {
        assert!(sent(&mut server, now).is_empty(), "{left}");
        server.received(&transfer(b"x", 0, 1), None, now).unwrap();
        assert_eq!(server.credits().1, left);
    }
    let messages = sent(&mut server, now);
    assert_eq!(messages.iter().map(|message| fields(message)).collect::<Vec<_>>(), [(10, 5, 0, 0, 0, 0)]);
    assert_eq!(messages[0].len(), 20);
    for _ in 0..9 {
        server.received(&transfer(&[], 0, 1), None, now).unwrap();
        assert!(sent(&mut server, now).is_empty());
    }
    server.received(&transfer(&[], 0, 1), None, now).unwrap();
    assert_eq!(sent(&mut server, now).len(), 1, "the peer had no credit left");
}

/// A peer that requests other numbers gets them, between 2 and the limit.
#[test]
fn requested_credits() {
    let now = Instant::now();
    for (requested, granted) in [(1_u16, 2), (5, 5), (10, 10), (u16::MAX, 10)] {
        let mut server = Machine::accept(example(), now);
        let mut asked = request();
        asked.credits_requested = requested.into();
        server.received(asked.as_bytes(), None, now).unwrap();
        assert_eq!(server.post(), granted);
    }
}

/// A silent peer is asked after 120 seconds, and has 5 to answer; any message is an answer.
#[test]
fn keep_alive() {
    let now = Instant::now();
    let mut server = established(now);
    server.received(&transfer(b"x", 0, 5), None, now).unwrap();
    let asked = now + SECOND * 120;
    assert_eq!((server.due(), server.on_time(asked - SECOND)), (Some(asked), Ok(())));
    assert!(sent(&mut server, asked - SECOND).is_empty());
    assert_eq!(server.on_time(asked), Ok(()));
    let messages = sent(&mut server, asked);
    assert_eq!(messages.iter().map(|message| fields(message)).collect::<Vec<_>>(), [(10, 1, 1, 0, 0, 0)]);
    assert_eq!(server.due(), Some(asked + SECOND * 5));
    server.received(&transfer(&[], 0, 0), None, asked + SECOND).unwrap();
    let again = asked + SECOND * 121;
    assert_eq!((server.due(), server.on_time(again)), (Some(again), Ok(())));
    assert_eq!(server.on_time(again + SECOND * 5), Err(Violation::Silent));
    assert_eq!(server.state(), State::Ended);
}

/// The question of a keep-alive rides on a message that is sent anyway, and one that cannot be sent counts, too.
#[test]
fn a_question_without_a_credit() {
    let now = Instant::now();
    let mut server = established(now);
    let asked = now + SECOND * 120;
    server.on_time(asked).unwrap();
    assert!(sent(&mut server, asked).is_empty(), "no credit was granted");
    assert_eq!(server.on_time(asked + SECOND * 5), Err(Violation::Silent));
}

/// A peer's question is answered at once, and the answer asks for nothing.
#[test]
fn an_answer_is_asked_for() {
    let now = Instant::now();
    let mut server = established(now);
    let mut asks = transfer(&[], 0, 3);
    asks[4] = 1;
    server.received(&asks, None, now).unwrap();
    let messages = sent(&mut server, now);
    assert_eq!(messages.iter().map(|message| fields(message)).collect::<Vec<_>>(), [(10, 1, 0, 0, 0, 0)]);
    assert!(sent(&mut server, now).is_empty());
}

/// Fragments that arrive are put in their places; an empty message between two of them changes nothing, as Linux sends
/// such; a token is reported with the end.
#[test]
fn fragments_that_arrive() {
    let now = Instant::now();
    let mut server = established(now);
    let first = server.received(&transfer(b"abcd", 6, 1), Some(5), now).unwrap();
    assert_eq!(first, Part { data: 24..28, begins: Some(10), ends: false, invalidated: None });
    assert_eq!(server.received(&transfer(&[], 0, 1), None, now).unwrap(), Part::default());
    let second = server.received(&transfer(b"efg", 3, 1), None, now).unwrap();
    assert_eq!(second, Part { data: 24..27, begins: None, ends: false, invalidated: None });
    let third = server.received(&transfer(b"hij", 0, 1), None, now).unwrap();
    assert_eq!(third, Part { data: 24..27, begins: None, ends: true, invalidated: Some(5) });
    let whole = server.received(&transfer(b"k", 0, 1), None, now).unwrap();
    assert_eq!(whole, Part { data: 24..25, begins: Some(1), ends: true, invalidated: None });
}

/// Data may begin anywhere behind the header, and more may follow them in the message.
#[test]
fn other_places_for_the_data() {
    let now = Instant::now();
    let mut server = established(now);
    let mut message = transfer(b"", 0, 1);
    message[12..16].copy_from_slice(&32_u32.to_le_bytes());
    message[16..20].copy_from_slice(&3_u32.to_le_bytes());
    message.resize(64, 1);
    assert_eq!(server.received(&message, None, now).unwrap().data, 32..35);
}
