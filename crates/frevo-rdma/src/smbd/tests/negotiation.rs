//! Negotiation: [MS-SMBD] 3.1.5.2, 3.1.5.3, 3.1.5.6 and 3.1.5.7.

use super::*;

/// How to spoil a valid message, and what is found.
type Case<T> = (fn(&mut T), Violation);

/// The messages of [MS-SMBD] 4.1, byte by byte, and what both sides agree upon.
#[test]
fn the_example() {
    let now = Instant::now();
    let mut client = Machine::connect(example(), now);
    let mut server = Machine::accept(example(), now);
    assert_eq!((client.post(), server.post(), client.receive_bytes()), (1, 1, 1024));
    let asked = client.next_send(now).unwrap();
    assert_eq!(asked.head(), request().as_bytes());
    assert_eq!(asked.head(), [0, 1, 0, 1, 0, 0, 10, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 0, 2, 0]);
    assert_eq!(client.next_send(now), None);
    server.received(asked.head(), None, now).unwrap();
    assert_eq!((server.state(), server.agreed()), (State::Answering, None));
    assert_eq!(server.post(), 10);
    let answered = server.next_send(now).unwrap();
    assert_eq!(answered.head(), response().as_bytes());
    client.received(answered.head(), None, now).unwrap();
    let agreed = Agreed {
        send_bytes: 1024,
        receive_bytes: 1024,
        fragmented_bytes: 131_072,
        read_write_bytes: 1_048_576,
    };
    assert_eq!((client.agreed(), server.agreed()), (Some(agreed), Some(agreed)));
    assert_eq!((client.credits(), server.credits()), ((10, 0), (0, 10)));
    client.queue(500, None).unwrap();
    assert_eq!(client.post(), 10);
    let first = client.next_send(now).unwrap();
    assert_eq!(fields(first.head()), (10, 10, 0, 0, 24, 500));
    assert_eq!(first.head().len(), 24);
    assert!(first.ends && first.data == 500);
}

/// Each side sends no more at once than the other one receives, and posts receives of its own size.
#[test]
fn the_smaller_size_is_used() {
    let now = Instant::now();
    for (preferred, receives, expected) in
        [(64, 128, (128, 128)), (500, 600, (600, 500)), (70_000, 70_000, (1024, 1024))]
    {
        let mut server = Machine::accept(example(), now);
        let mut asked = request();
        asked.preferred_send_size = preferred.into();
        asked.max_receive_size = receives.into();
        asked.max_fragmented_size = u32::MAX.into();
        server.received(asked.as_bytes(), None, now).unwrap();
        server.post();
        server.next_send(now).unwrap();
        let agreed = server.agreed().unwrap();
        assert_eq!((agreed.send_bytes, agreed.receive_bytes), expected);
        assert_eq!((agreed.fragmented_bytes, server.receive_bytes()), (u32::MAX, 1024));
    }
}

/// What is wrong with a request ends the connection without an answer; another version is answered.
#[test]
fn wrong_requests() {
    let now = Instant::now();
    let cases: [Case<NegotiateRequest>; 5] = [
        (|asked| asked.credits_requested = 0.into(), Violation::NoCreditsRequested),
        (|asked| asked.max_receive_size = 127.into(), Violation::SmallReceives(127)),
        (|asked| asked.max_fragmented_size = 131_071.into(), Violation::SmallMessages(131_071)),
        (|asked| asked.min_version = 0x101.into(), Violation::Version),
        (|asked| asked.max_version = 0x0FF.into(), Violation::Version),
    ];
    for (spoil, violation) in cases {
        let mut server = Machine::accept(example(), now);
        let mut asked = request();
        spoil(&mut asked);
        assert_eq!(server.received(asked.as_bytes(), None, now), Err(violation));
        let answer = server.next_send(now);
        if violation == Violation::Version {
            let refusal = answer.expect("a refusal");
            let mut expected = vec![0, 1, 0, 1];
            expected.resize(12, 0);
            expected.extend(0xC000_00BB_u32.to_le_bytes());
            expected.resize(32, 0);
            assert_eq!(refusal.head(), expected);
        } else {
            assert_eq!(answer, None);
        }
        assert_eq!(server.state(), State::Ended);
        assert_eq!((server.next_send(now), server.post(), server.due()), (None, 0, None));
    }
    let mut server = Machine::accept(example(), now);
    assert_eq!(server.received(&request().as_bytes()[..19], None, now), Err(Violation::Short));
    let mut wide = request();
    (wide.min_version, wide.max_version) = (0.into(), 0xFFFF.into());
    assert_eq!(Machine::accept(example(), now).received(wide.as_bytes(), None, now), Ok(Part::default()));
}

/// Each condition of [MS-SMBD] 3.1.5.7.
#[test]
fn wrong_responses() {
    let now = Instant::now();
    let cases: [Case<NegotiateResponse>; 7] = [
        (|answer| answer.negotiated_version = 0x200.into(), Violation::Version),
        (|answer| answer.max_receive_size = 127.into(), Violation::SmallReceives(127)),
        (|answer| answer.max_fragmented_size = 0.into(), Violation::SmallMessages(0)),
        (|answer| answer.credits_granted = 0.into(), Violation::NoCreditsGranted),
        (|answer| answer.credits_requested = 0.into(), Violation::NoCreditsRequested),
        (|answer| answer.preferred_send_size = 1025.into(), Violation::LargeSends(1025)),
        (|answer| answer.status = 0xC000_00BB.into(), Violation::Refused(0xC000_00BB)),
    ];
    for (spoil, violation) in cases {
        let mut client = Machine::connect(example(), now);
        client.next_send(now).unwrap();
        let mut answer = response();
        spoil(&mut answer);
        assert_eq!(client.received(answer.as_bytes(), None, now), Err(violation));
        assert_eq!((client.state(), client.next_send(now)), (State::Ended, None));
    }
    let mut client = Machine::connect(example(), now);
    client.next_send(now).unwrap();
    assert_eq!(client.received(&response().as_bytes()[..31], None, now), Err(Violation::Short));
}

/// A server waits 5 seconds for the request, a client 120 for the response ([MS-SMBD] 3.1.7.2, 3.1.4.1).
#[test]
fn the_negotiation_timer() {
    let now = Instant::now();
    let cases = [(Machine::accept(example(), now), 5), (Machine::connect(example(), now), 120)];
    for (mut machine, seconds) in cases {
        let due = now + SECOND * seconds;
        assert_eq!(machine.due(), Some(due));
        assert_eq!(machine.on_time(due - SECOND / 1000), Ok(()));
        assert_eq!(machine.on_time(due), Err(Violation::NegotiationTime));
        assert_eq!((machine.state(), machine.on_time(due)), (State::Ended, Ok(())));
    }
}

/// Nothing may be queued before the negotiation, and nothing that the peer cannot put together.
#[test]
fn messages_that_cannot_be_queued() {
    let now = Instant::now();
    assert!(Machine::connect(example(), now).queue(1, None).is_err());
    let mut server = established(now);
    assert_eq!(server.queue(131_073, None), Err(Violation::TooLarge(131_073)));
    assert_eq!(server.queue(0, None), Err(Violation::TooLarge(0)));
    assert_eq!(server.queue(131_072, None), Ok(()));
    assert!(server.has_queued());
}
