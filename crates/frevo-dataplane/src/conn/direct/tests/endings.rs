//! What peers do wrong, and how it ends.

use super::*;

fn refused(settings: &Settings, role: Role, bytes: &[u8]) -> String {
    let mut end = End::new(role, settings, Instant::now());
    end.connection.set_settings(Agreements::default());
    end.feed(bytes, usize::MAX).unwrap_err().to_string()
}

#[test]
fn who_speaks_something_else_is_refused() {
    let iwarp = Settings::new(Provider::Iwarp);
    let emulated = Settings::new(Provider::Emulated);
    let smb = b"\0\0\0\x40\xfeSMB";
    assert_eq!(refused(&iwarp, Role::Server, smb), "MPA: the peer does not speak iWARP");
    assert_eq!(refused(&iwarp, Role::Client, smb), "MPA: the peer does not speak iWARP");
    assert_eq!(refused(&emulated, Role::Server, smb), "emulated: the peer does not speak to a neighbour");
    let markers = b"MPA ID Req Frame\x80\x01\0\0";
    let why = "MPA: the peer wants markers, which frevo does not send";
    assert_eq!(refused(&iwarp, Role::Server, markers), why);
    let rejected = b"MPA ID Rep Frame\x20\x01\0\0";
    assert_eq!(refused(&iwarp, Role::Client, rejected), "MPA: the peer refuses the connection");
    let revision = b"MPA ID Req Frame\0\x03\0\0";
    assert_eq!(refused(&iwarp, Role::Server, revision), "MPA: revision 3 is neither 1 nor 2");
}

/// How many messages of 16,000 bytes a client can send to a server that it does not read from.
fn kept(authenticated: bool) -> usize {
    let mut pair = Pair::established(&Settings::new(Provider::Iwarp));
    pair.client.submit(&message(0, 100, false));
    pair.run();
    pair.server.connection.set_settings(Agreements { authenticated, ..Default::default() });
    pair.server.submit(&message(0, if authenticated { 5_000_000 } else { 20_000 }, true));
    for index in 1..60 {
        pair.client.submit(&message(index, 16_000, false));
        let up = pair.client.output();
        if let Err(reason) = pair.server.feed(&up, usize::MAX) {
            assert_eq!(reason.to_string(), "SMB Direct: the peer sends and does not read");
            return index as usize - 1;
        }
    }
    59
}

#[test]
fn little_is_kept_for_those_that_nobody_knows() {
    assert_eq!((kept(false), kept(true)), (8, 59));
}

/// What the other end says last, and why this one ends.
fn after(pair: &mut Pair, bytes: &[u8]) -> String {
    let error = pair.server.feed(bytes, usize::MAX).unwrap_err().to_string();
    pair.server.connection.say_goodbye(&mut pair.server.host);
    let last = pair.server.output();
    match pair.client.feed(&last, usize::MAX) {
        Ok(()) => error,
        Err(end) => format!("{error} / {end}"),
    }
}

/// An FPDU without a checksum.
fn fpdu(ulpdu: &[u8]) -> Vec<u8> {
    let mut bytes = (ulpdu.len() as u16).to_be_bytes().to_vec();
    bytes.extend(ulpdu);
    bytes.resize(bytes.len().next_multiple_of(4) + 4, 0);
    bytes
}

/// The header of the only segment of a message.
fn untagged(operation: u8, queue: u32, number: u32) -> Vec<u8> {
    [&[0x41, operation, 0, 0, 0, 0][..], &queue.to_be_bytes(), &number.to_be_bytes(), &[0; 4]].concat()
}

/// A Send of this number with these bytes.
fn send(number: u32, data: &[u8]) -> Vec<u8> {
    fpdu(&[&untagged(0x43, 0, number)[..], data].concat())
}

/// A message of SMB Direct with data, of which `rest` bytes are to follow.
fn transfer(granted: u16, data: &[u8], rest: u32) -> Vec<u8> {
    let mut message = [255u16.to_le_bytes(), granted.to_le_bytes(), [0; 2], [0; 2]].concat();
    for word in [rest, if data.is_empty() { 0 } else { 24 }, data.len() as u32, 0] {
        message.extend(word.to_le_bytes());
    }
    message.extend(data);
    message
}

/// The number of the client's next Send, after the Negotiate Request and the first grant.
const NEXT: u32 = 3;

fn established() -> Pair {
    Pair::established(&Settings::new(Provider::Iwarp))
}

#[test]
fn faults_of_iwarp_are_told_to_the_peer() {
    let tag = 0x909u32.to_be_bytes();
    let write = [&[0xC1, 0x40][..], &tag, &[0; 8], b"data"].concat();
    let sink_and_bytes = [[0, 0, 0, 1], [0; 4], [0; 4], [0, 0, 0, 10]].concat();
    let read = [&untagged(0x41, 1, 1)[..], &sink_and_bytes, &tag, &[0; 8]].concat();
    let cases = [
        (write, "the peer writes where it may not: DDP: invalid steering tag"),
        (read, "the peer reads where it may not: RDMAP: invalid steering tag"),
        // The answer to a READ that nobody has asked for.
        (
            [&[0xC1, 0x42][..], &tag, &[0; 8], b"data"].concat(),
            "the peer breaks the protocol: RDMAP: unexpected operation",
        ),
        // An operation that is none.
        (untagged(0x4D, 0, NEXT), "the peer breaks the protocol: RDMAP: unexpected operation"),
        (untagged(0x43, 5, NEXT), "the peer breaks the protocol: DDP: invalid queue"),
        (untagged(0x43, 0, NEXT + 1), "the peer breaks the protocol: DDP: invalid message number"),
        (vec![0x41, 0x43, 0], "the peer breaks the protocol: MPA: wrong length"),
    ];
    for (ulpdu, why) in cases {
        let text = after(&mut established(), &fpdu(&ulpdu));
        let (own, theirs) = text.split_once(" / ").unwrap();
        assert_eq!(own, format!("iwarp: {why}"));
        let what = why.split_once(": ").unwrap().1;
        assert_eq!(theirs, format!("iwarp: the peer ends it: {what}"));
    }
}

#[test]
fn a_terminate_ends_it_with_its_reason() {
    let mut pair = established();
    let terminate = [0x41, 0x47, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0x01, 0x02, 0, 0];
    let error = pair.server.feed(&fpdu(&terminate), 1).unwrap_err();
    assert_eq!(&*error, "iwarp: the peer ends it: RDMAP: the memory is not for this");
    assert!(!pair.server.connection.say_goodbye(&mut pair.server.host), "nothing is answered");
}

#[test]
fn wrong_checksums_end_it() {
    let settings = Settings { checksums: true, ..Settings::new(Provider::Iwarp) };
    let mut pair = Pair::established(&settings);
    let text = after(&mut pair, &send(NEXT, &transfer(0, b"", 0)));
    assert!(text.starts_with("iwarp: the peer breaks the protocol: MPA: wrong checksum / "), "{text}");
}

/// Whatever breaks [MS-SMBD] ends the connection.
#[test]
fn faults_of_smb_direct_end_it() {
    let mut wrong_offset = transfer(0, b"data", 0);
    wrong_offset[12] = 22;
    let mut outside = transfer(0, b"data", 0);
    outside[16] = 200;
    for (message, why) in [
        (vec![1, 0, 0], "the message is too short"),
        (wrong_offset, "the data cannot begin at 22"),
        (outside, "the data end behind the message"),
        (transfer(0, b"data", 1 << 30), "a message of 1073741828 bytes is too large"),
    ] {
        let error = established().server.feed(&send(NEXT, &message), usize::MAX).unwrap_err();
        assert_eq!(&*error, format!("SMB Direct: {why}"));
    }
    // Fragments that do not fit: the next one begins where none is.
    let mut pair = established();
    pair.server.feed(&send(NEXT, &transfer(0, b"data", 100)), usize::MAX).unwrap();
    assert!(pair.server.connection.has_partial());
    let error = pair.server.feed(&send(NEXT + 1, &transfer(0, b"data", 100)), usize::MAX).unwrap_err();
    assert_eq!(&*error, "SMB Direct: the fragments do not fit together");
}

/// A peer has so many credits as it was granted, and no more.
#[test]
fn credits_that_are_overdrawn_end_it() {
    let settings = Settings { credits: 5, ..Settings::new(Provider::Iwarp) };
    let mut pair = Pair::established(&settings);
    let mut sent = 0;
    let error = loop {
        sent += 1;
        assert!(sent < 20);
        // It answers nothing, so grants nothing.
        if let Err(error) = pair.server.feed(&send(NEXT - 1 + sent, &transfer(0, b"", 0)), usize::MAX) {
            break error;
        }
    };
    assert_eq!((sent, &*error), (5, "SMB Direct: the peer sends without a credit"));
}

/// Before log-on, messages may be as large as elsewhere, whatever was agreed upon.
#[test]
fn messages_before_log_on_are_small() {
    let mut pair = established();
    pair.server.connection.set_settings(Agreements::default());
    let limit = pair.server.host.limits.max_preauth_frame;
    let first = transfer(0, &[1; 1000], (limit + 53 - 1000) as u32);
    let error = pair.server.feed(&send(NEXT, &first), usize::MAX).unwrap_err();
    assert_eq!(&*error, format!("message of {} bytes is larger than the limit {limit}", limit + 53));
}

/// Whose messages nobody takes is held up: it gets no more credits than it needs to grant some, and its messages wait.
#[test]
fn a_paused_connection_holds_what_was_granted() {
    let mut pair = established();
    pair.client.submit(&message(0, 100, false));
    pair.run();
    let mut first = message(0, 100, true);
    put(&mut first, at::CREDITS, 500u16.to_le_bytes());
    pair.server.submit(&first);
    pair.run();
    pair.server.messages.clear();
    pair.server.host.limits = Arc::new(Limits { max_requests_in_flight: 3, ..Limits::default() });
    let mut kept = Vec::new();
    for id in 1..401 {
        pair.client.submit(&message(id, 8000, false));
    }
    pair.run();
    kept.append(&mut pair.server.messages);
    let held = pair.server.direct().held_bytes;
    assert_eq!(kept.len(), 3);
    assert!(held > 1 << 20 && held < (1 << 20) + 256 * 8192, "{held}");
    assert!(pair.client.connection.output_bytes() > 0 && pair.server.connection.holds_messages());
    let mut seen = 1;
    while !kept.is_empty() {
        for payload in kept.drain(..) {
            assert_eq!(payload[..], message(seen, 8000, false));
            seen += 1;
        }
        pair.server.feed(&[], 1).unwrap();
        pair.run();
        kept.append(&mut pair.server.messages);
    }
    assert_eq!((seen, pair.client.connection.output_bytes()), (401, 0));
}

/// A client that may not be asked in version 1.0 is refused by a message of its own.
#[test]
fn another_version_is_refused() {
    let settings = Settings::new(Provider::Iwarp);
    let mut server = End::new(Role::Server, &settings, Instant::now());
    server.feed(b"MPA ID Req Frame\0\x01\0\0", usize::MAX).unwrap();
    assert!(server.output().starts_with(b"MPA ID Rep Frame"));
    let request = [2u16, 2, 0, 255].map(u16::to_le_bytes).concat();
    let sizes = [1364u32, 1364, 131_072].map(u32::to_le_bytes).concat();
    let error = server.feed(&send(1, &[request, sizes].concat()), usize::MAX).unwrap_err();
    assert_eq!(&*error, "SMB Direct: the peer does not support version 1.0");
    assert!(server.connection.say_goodbye(&mut server.host));
    let refusal = server.output();
    assert_eq!(refusal[refusal.len() - 4 - 20..][..4], 0xC000_00BBu32.to_le_bytes());
}
