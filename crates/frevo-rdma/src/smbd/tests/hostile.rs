//! Messages that end a connection.

use super::*;

/// Each condition of [MS-SMBD] 3.1.5.8, and fragments that cannot end.
#[test]
fn wrong_transfers() {
    let now = Instant::now();
    let with = |at: usize, value: u32| {
        let mut message = transfer(b"12345678", 0, 1);
        message[at..at + 4].copy_from_slice(&value.to_le_bytes());
        message
    };
    let mut none_requested = transfer(b"x", 0, 1);
    none_requested[0] = 0;
    let cases = [
        (transfer(b"x", 0, 1)[..19].to_vec(), Violation::Short),
        (none_requested, Violation::NoCreditsRequested),
        (with(12, 20), Violation::DataOffset(20)),
        (with(12, 25), Violation::DataOffset(25)),
        (with(12, 16), Violation::DataOffset(16)),
        (with(12, 0), Violation::DataOffset(0)),
        (with(12, 32), Violation::Bounds),
        (with(12, 0xFFFF_FFF8), Violation::Bounds),
        (with(16, 9), Violation::Bounds),
        (with(16, u32::MAX), Violation::Bounds),
        (with(8, 131_065), Violation::TooLarge(131_073)),
        (with(8, u32::MAX), Violation::TooLarge(u64::from(u32::MAX) + 8)),
        (transfer(&[], 1, 1), Violation::Fragments),
    ];
    for (message, violation) in cases {
        let mut server = established(now);
        assert_eq!(server.received(&message, None, now), Err(violation), "{message:?}");
        assert_eq!((server.state(), server.post(), server.next_send(now)), (State::Ended, 0, None));
    }
}

/// RemainingDataLength has to fall by the length of each fragment.
#[test]
fn wrong_fragments() {
    let now = Instant::now();
    for (length, remaining) in [(1, 6), (1, 4), (7, 0), (5, 0), (1, 0)] {
        let mut server = established(now);
        server.received(&transfer(b"abcd", 6, 1), None, now).unwrap();
        let second = transfer(&vec![0; length], remaining, 1);
        assert_eq!(server.received(&second, None, now), Err(Violation::Fragments), "{length} {remaining}");
    }
    let mut server = established(now);
    server.received(&transfer(b"abcd", 6, 1), None, now).unwrap();
    assert!(server.received(&transfer(b"efgh", 2, 1), None, now).is_ok());
}

/// More messages than credits.
#[test]
fn overdrawn_credits() {
    let now = Instant::now();
    let mut server = established(now);
    for _ in 0..10 {
        server.received(&transfer(&[], 0, 0), None, now).unwrap();
    }
    assert_eq!(server.received(&transfer(&[], 0, 0), None, now), Err(Violation::Overdrawn));
}

/// A second request before the answer has left, a message to a client that has not asked.
#[test]
fn messages_too_early() {
    let now = Instant::now();
    let mut server = Machine::accept(example(), now);
    server.received(request().as_bytes(), None, now).unwrap();
    assert_eq!(server.received(request().as_bytes(), None, now), Err(Violation::Overdrawn));
    let mut client = Machine::connect(example(), now);
    assert_eq!(client.received(response().as_bytes(), None, now), Err(Violation::Overdrawn));
}

/// What comes after the end is ignored.
#[test]
fn messages_after_the_end() {
    let now = Instant::now();
    let mut server = established(now);
    assert!(server.received(b"", None, now).is_err());
    assert_eq!(server.received(&transfer(b"x", 0, 1), None, now), Ok(Part::default()));
    assert!(server.queue(1, None).is_err());
}

/// Grants without end overflow nothing.
#[test]
fn grants_without_end() {
    let now = Instant::now();
    let mut server = established(now);
    for _ in 0..70_000 {
        server.received(&transfer(&[], 0, u16::MAX), None, now).unwrap();
        sent(&mut server, now);
    }
    assert!(server.credits().0 >= u32::MAX - 100_000);
}

/// A peer that grants single credits does not make more and more receives be posted.
#[test]
fn single_credits() {
    let now = Instant::now();
    let mut server = established(now);
    let mut posted = 10;
    let mut arrived = 0;
    for _ in 0..100_000 {
        server.queue(1, None).unwrap();
        posted += server.post();
        while server.next_send(now).is_some() {
            posted += server.post();
        }
        server.received(&transfer(&[], 0, 1), None, now).unwrap();
        arrived += 1;
    }
    assert!(posted - arrived <= 10 + 8, "{} are posted", posted - arrived);
}
