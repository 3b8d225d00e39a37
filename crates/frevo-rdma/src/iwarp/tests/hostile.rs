//! Segments that end a connection, and what the peer is told.

use super::super::header::{Header, Operation, ReadRequest, Target, HEADER_BYTES};
use super::super::outgoing::Outgoing as Made;
use super::*;
use crate::regions::{Access, Denied, Place};

/// A segment with its data, as it stands in the stream.
fn segment(operation: Operation, target: Target, data: &[u8], last: bool) -> Vec<u8> {
    let header = Header { operation, last, data: data.len(), target };
    let segment = Made::new(header, Local::Message, &[], None, true);
    let (trailer, length) = segment.trailer([data].into_iter());
    [segment.head(), data, &trailer[..length]].concat()
}

const SEND: Operation = Operation::Send { invalidates: false, solicited: false };

fn send(number: u32, offset: u32, data: &[u8], last: bool) -> Vec<u8> {
    segment(SEND, Target::Untagged { queue: 0, number, offset, invalidated: 0 }, data, last)
}

fn write(tag: u32, offset: u64, data: &[u8]) -> Vec<u8> {
    segment(Operation::Write, Target::Tagged { tag, offset }, data, true)
}

fn read(number: u32, tag: u32, offset: u64, bytes: u32) -> Vec<u8> {
    let request = ReadRequest { sink: (1, 2), bytes, source: (tag, offset) };
    let target = Target::Untagged { queue: 1, number, offset: 0, invalidated: 0 };
    segment(Operation::ReadRequest, target, &request.pack(), true)
}

fn response(tag: u32, offset: u64, data: &[u8], last: bool) -> Vec<u8> {
    segment(Operation::ReadResponse, Target::Tagged { tag, offset }, data, last)
}

/// An end with a receive of 10 bytes, memory of 100 bytes at 1000 to read, one to write, and a READ outstanding.
fn end() -> (Endpoint, u32, u32, u32) {
    let mut end = Endpoint::new(LIMITS);
    end.post_receive(10);
    let readable = end.regions.register(1, 1000, 100, Access::READ).unwrap();
    let writable = end.regions.register(2, 1000, 100, Access::WRITE).unwrap();
    let sink = end.regions.register(3, 0, 8, Access::NONE).unwrap();
    end.post_read(5, 8, (sink, 0), (77, 78));
    assert!(end.next_segment().is_some());
    (end, readable, writable, sink)
}

/// All events of what is received in one piece.
fn events(end: &mut Endpoint, bytes: &[u8]) -> Result<Vec<Event>, Fault> {
    let mut rest = bytes;
    let mut events = vec![];
    while let Some(event) = end.feed(&mut rest)? {
        events.push(event);
    }
    Ok(events)
}

/// What is allowed, so that the table below fails for its own reason.
#[test]
fn what_is_allowed() {
    let (mut end, readable, writable, sink) = end();
    let to = |memory, offset| Placement::Memory(Place { memory, offset });
    let received = events(&mut end, &[send(1, 0, b"01234", false), send(1, 5, b"56789", true)].concat());
    let whole = Event::Completed(Completion::Received { bytes: 10, invalidated: None });
    let expected = vec![Event::Data(Placement::Receive(0), 5), Event::Data(Placement::Receive(5), 5), whole];
    assert_eq!(received, Ok(expected));
    assert_eq!(events(&mut end, &write(writable, 1099, b"x")), Ok(vec![Event::Data(to(2, 99), 1)]));
    assert_eq!(events(&mut end, &write(4711, 1, b"")), Ok(vec![]), "nothing is written");
    let answered = events(&mut end, &response(sink, 0, b"12345678", true));
    assert_eq!(answered, Ok(vec![Event::Data(to(3, 0), 8), Event::Completed(Completion::Read(5))]));
    let asked = events(&mut end, &read(1, readable, 1000, 100)).unwrap();
    assert!(asked.iter().all(|event| matches!(event, Event::Data(Placement::Own, _))));
    let answer = end.next_segment().unwrap();
    assert_eq!((answer.data, answer.local), (100, Local::Memory(Place { memory: 1, offset: 0 })));
    let nothing = [0, 0, 0, 0];
    let sum = crc32c::crc32c(&nothing).to_le_bytes();
    assert_eq!(events(&mut end, &[nothing, sum].concat()), Ok(vec![]), "an empty FPDU");
    end.post_receive(1);
    assert!(events(&mut end, &send(2, 0, b"x", true)).is_ok());
}

/// Everything that is wrong has its own fault, and the peer is told in the words of the RFCs.
#[test]
fn faults() {
    let (_, readable, writable, sink) = end();
    let invalidates = Operation::Send { invalidates: true, solicited: false };
    let untagged = |queue, number| Target::Untagged { queue, number, offset: 0, invalidated: 0x1234 };
    let mut spoiled = send(1, 0, b"0123456789", true);
    *spoiled.last_mut().unwrap() ^= 1;
    let mut altered = send(1, 0, b"0123456789", true);
    altered[22] ^= 1;
    let reads = |count: u32| (1..=count).flat_map(|number| read(number, readable, 1000, 1)).collect();
    let cases: Vec<(Vec<u8>, Fault, [u8; 2])> = vec![
        (spoiled, Fault::Checksum, [0x20, 2]),
        (altered, Fault::Checksum, [0x20, 2]),
        (vec![0, 5, 1, 0x43, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Fault::Length, [0x20, 3]),
        (send(2, 0, b"x", true), Fault::Number, [0x12, 3]),
        (send(0, 0, b"x", true), Fault::Number, [0x12, 3]),
        (send(1, 1, b"x", true), Fault::Offset, [0x12, 4]),
        (send(1, 0, b"0123456789A", true), Fault::TooLong, [0x12, 5]),
        ([send(1, 0, b"012345678", false), send(1, 9, b"9A", true)].concat(), Fault::TooLong, [0x12, 5]),
        ([send(1, 0, b"", true), send(2, 0, b"", true)].concat(), Fault::NoBuffer, [0x12, 2]),
        (segment(invalidates, untagged(0, 1), b"x", true), Fault::Invalidate, [0x01, 9]),
        (write(4711, 1000, b"x"), Fault::Write(Denied::Tag), [0x11, 0]),
        (write(writable, 999, b"x"), Fault::Write(Denied::Bounds), [0x11, 1]),
        (write(writable, 1099, b"xy"), Fault::Write(Denied::Bounds), [0x11, 1]),
        (write(writable, u64::MAX, b"xy"), Fault::Write(Denied::Bounds), [0x11, 1]),
        (write(readable, 1000, b"x"), Fault::Write(Denied::Access), [0x01, 2]),
        (write(sink, 0, b"x"), Fault::Write(Denied::Access), [0x01, 2]),
        (read(1, 4711, 1000, 1), Fault::Read(Denied::Tag), [0x01, 0]),
        (read(1, readable, 1000, 101), Fault::Read(Denied::Bounds), [0x01, 1]),
        (read(1, readable, u64::MAX, u32::MAX), Fault::Read(Denied::Bounds), [0x01, 1]),
        (read(1, writable, 1000, 1), Fault::Read(Denied::Access), [0x01, 2]),
        (read(2, readable, 1000, 1), Fault::Number, [0x12, 3]),
        (reads(3), Fault::TooManyReads, [0x12, 3]),
        (segment(Operation::ReadRequest, untagged(1, 1), b"short", true), Fault::TooLong, [0x12, 5]),
        (segment(Operation::ReadRequest, untagged(1, 1), &[0; 28], false), Fault::Offset, [0x12, 4]),
        (response(sink, 1, b"1234567", true), Fault::Response, [0x02, 6]),
        (response(sink ^ 1, 0, b"12345678", true), Fault::Response, [0x02, 6]),
        (response(sink, 0, b"12345678", false), Fault::Response, [0x02, 6]),
        (response(sink, 0, b"1234", true), Fault::Response, [0x02, 6]),
        (response(sink, 0, b"123456789", true), Fault::Response, [0x02, 6]),
        (
            [response(sink, 0, b"12345678", true), response(sink, 0, b"", true)].concat(),
            Fault::Response,
            [0x02, 6],
        ),
        (segment(Operation::Fetched, untagged(3, 1), b"", true), Fault::Operation, [0x02, 6]),
        (segment(Operation::Terminate, untagged(2, 1), &[0; 53], true), Fault::TooLong, [0x12, 5]),
        (segment(Operation::Terminate, untagged(2, 2), &[0; 4], true), Fault::Number, [0x12, 3]),
    ];
    for (bytes, fault, told) in cases {
        let (mut end, ..) = end();
        end.post_send(9, 100, None);
        assert_eq!(events(&mut end, &bytes), Err(fault), "{bytes:x?}");
        assert!(!end.is_over());
        end.fail(fault);
        end.fail(Fault::NoBuffer);
        let terminate = end.next_segment().unwrap();
        assert_eq!(terminate.head()[..4], [0, 22, 0x41, 0x47], "{fault:?}");
        assert_eq!(
            (&terminate.head()[20..], terminate.data),
            (&[told[0], told[1], 0, 0][..], 0),
            "{fault:?}"
        );
        assert!(end.is_over() && end.next_segment().is_none());
        assert_eq!(events(&mut end, &send(1, 0, b"x", true)), Ok(vec![]), "nothing is looked at any more");
    }
}

/// A peer that terminates is believed; nothing is sent to it any more.
#[test]
fn a_peer_that_terminates() {
    for (body, expected) in [(&[0x12, 2, 0, 0][..], (1, 2, 2)), (&[1][..], (0, 0, 0)), (&[][..], (0, 0, 0))] {
        let (mut end, ..) = end();
        end.post_send(9, 100, None);
        let target = Target::Untagged { queue: 2, number: 1, offset: 0, invalidated: 0 };
        let seen = events(&mut end, &segment(Operation::Terminate, target, body, true)).unwrap();
        let (layer, kind, code) = expected;
        let terminated = Completion::Terminated(Terminate { layer, kind, code });
        assert_eq!(seen.last(), Some(&Event::Completed(terminated)));
        assert!(end.is_over() && end.next_segment().is_none());
    }
}

/// Memory that is withdrawn while a segment arrives, or while an answer leaves, is not touched any more.
#[test]
fn memory_that_is_withdrawn() {
    let (mut end, readable, writable, sink) = end();
    let bytes = write(writable, 1000, b"0123456789");
    let (first, second) = bytes.split_at(HEADER_BYTES);
    assert_eq!(events(&mut end, first).unwrap().len(), 1);
    assert_eq!(end.direct().unwrap().1, 6);
    assert!(end.regions.invalidate(writable));
    assert_eq!(end.direct(), None);
    assert_eq!(events(&mut end, second), Err(Fault::Write(Denied::Tag)));
    let (mut end, ..) = self::end();
    assert_eq!(events(&mut end, &response(sink, 0, b"1234", false)).unwrap().len(), 1);
    assert!(end.regions.invalidate(sink));
    assert_eq!(events(&mut end, &response(sink, 4, b"5678", true)), Err(Fault::Write(Denied::Tag)));
    let (mut end, ..) = self::end();
    events(&mut end, &read(1, readable, 1000, 100)).unwrap();
    assert!(end.regions.invalidate(readable));
    assert_eq!(end.next_segment().unwrap().head()[20..22], [0x01, 0]);
    assert!(end.is_over());
}

/// Where data are sent by reference: an RDMA WRITE is over when the peer says so, once and in turn.
#[test]
fn what_was_fetched() {
    let end = || {
        let limits = Limits { by_reference: true, checks: false, ..LIMITS };
        let mut end = Endpoint::new(limits);
        end.post_write(5, 10, Place { memory: 1, offset: 0 }, (1, 0));
        let segment = end.next_segment().unwrap();
        assert_eq!((segment.by_reference, segment.data, segment.done), (true, 10, None));
        end
    };
    let fetched = |number, data| {
        let target = Target::Untagged { queue: 3, number, offset: 0, invalidated: 0 };
        segment(Operation::Fetched, target, data, true)
    };
    let mut good = end();
    assert_eq!(events(&mut good, &fetched(1, b"")), Ok(vec![Event::Completed(Completion::Fetched(5))]));
    assert_eq!(events(&mut good, &fetched(2, b"")), Err(Fault::Number), "nothing was sent");
    assert_eq!(events(&mut end(), &fetched(2, b"")), Err(Fault::Number));
    assert_eq!(events(&mut end(), &fetched(1, b"x")), Err(Fault::Operation));
}

/// A reference to memory that is not for it is not followed.
#[test]
fn references_to_other_memory() {
    let limits = Limits { by_reference: true, checks: false, ..LIMITS };
    let mut end = Endpoint::new(limits);
    let tag = end.regions.register(1, 0, 10, Access::READ).unwrap();
    let refer = |bytes: usize| {
        let header = Header {
            operation: Operation::Write,
            last: true,
            data: bytes,
            target: Target::Tagged { tag, offset: 0 },
        };
        let made = Made::new(header, Local::Message, &[], None, false);
        let (trailer, length) = made.trailer(std::iter::empty());
        [made.head(), &4711_u64.to_ne_bytes(), &trailer[..length]].concat()
    };
    assert_eq!(events(&mut end, &refer(10)), Err(Fault::Write(Denied::Access)));
    let mut end = Endpoint::new(limits);
    end.regions.register(1, 0, 10, Access::WRITE).unwrap();
    assert_eq!(events(&mut end, &refer(11)), Err(Fault::Write(Denied::Bounds)));
    let mut end = Endpoint::new(limits);
    end.regions.register(1, 0, 10, Access::WRITE).unwrap();
    let to = Placement::Memory(Place { memory: 1, offset: 0 });
    assert_eq!(events(&mut end, &refer(10)), Ok(vec![Event::Fetch(to, 10, 4711)]));
    let said = end.next_segment().unwrap();
    assert_eq!(said.head()[..4], [0, 18, 0x41, 0x4F]);
}
