//! A client that says something wrong about its memory.

use super::*;
use crate::crypto::{Seal, SealKind};
use crate::wire::{remote_read, remote_write, STATUS_AUTH_TAG_MISMATCH, STATUS_INVALID_SIGNATURE};
use frevo_rdma::provider::{Access, Remote};
use zerocopy::IntoBytes;

impl Both {
    /// Lets the server use memory, as a pump does.
    fn lend(&mut self, bytes: Vec<u8>, access: Access) -> Remote {
        self.client.common.direct.as_mut().unwrap().register(bytes.into(), access).unwrap()
    }

    fn take_back(&mut self, tag: u32) -> Vec<u8> {
        self.client.common.direct.as_mut().unwrap().release(tag).unwrap().into_vec()
    }

    /// Sends a request with that body.
    fn ask(&mut self, command: u16, charge: u16, body: &[u8]) -> u64 {
        assert!(self.credits.reserve(u64::from(charge)));
        let id = self.credits.take(u64::from(charge)).unwrap();
        let signed = if self.session == Session::Signed { flags::SIGNED } else { 0 };
        let header = Header {
            credit_charge: charge.into(),
            credits: charge.into(),
            tree_id: 5.into(),
            session_id: SESSION.into(),
            flags: signed.into(),
            ..Header::request(command, id)
        };
        let encrypt = if self.session == Session::Encrypted { ENCRYPT } else { 0 };
        let submission = Submission::new(SESSION, encrypt, &[header.as_bytes(), body]);
        self.client.submit(submission, &self.client_host.stats).unwrap();
        id
    }

    /// Sends requests in one message; related: each to the one before it.
    fn ask_together(&mut self, bodies: &[(u16, Vec<u8>)], related: bool) {
        let mut message = Vec::new();
        for (index, (command, body)) in bodies.iter().enumerate() {
            assert!(self.credits.reserve(1));
            let mut header = Header::request(*command, self.credits.take(1).unwrap());
            (header.credits, header.credit_charge) = (1.into(), 1.into());
            (header.tree_id, header.session_id) = (5.into(), SESSION.into());
            let signed = if self.session == Session::Signed { flags::SIGNED } else { 0 };
            header.flags = signed.into();
            if related && index > 0 {
                (header.tree_id, header.session_id) = (u32::MAX.into(), u64::MAX.into());
                header.flags |= flags::RELATED_OPERATIONS;
            }
            let start = message.len();
            message.extend_from_slice(header.as_bytes());
            message.extend_from_slice(body);
            if index + 1 < bodies.len() {
                message.resize(message.len().next_multiple_of(8), 0);
                let next = (message.len() - start) as u32;
                put(&mut message, start + at::NEXT_COMMAND, next.to_le_bytes());
            }
        }
        self.client.submit(Submission::new(SESSION, 0, &[&message]), &self.client_host.stats).unwrap();
    }

    /// The one answer.
    fn answered(&mut self) -> Vec<u8> {
        let mut events = std::mem::take(&mut self.client_host.events);
        match (events.pop(), events.len()) {
            (Some(Event::Message { payload, .. }), 0) => payload.to_vec(),
            other => panic!("{other:?}"),
        }
    }
}

fn read(length: u32) -> ReadRequest {
    ReadRequest { length: length.into(), file_id: (11, 12).into(), padding: 80, ..ReadRequest::new() }
}

fn write() -> WriteRequest {
    WriteRequest { file_id: (11, 12).into(), ..WriteRequest::new() }
}

#[test]
fn what_is_wrong_goes_up_as_it_is() {
    let mut both = Both::new(Provider::Emulated, Session::Plain, may::CHANNEL, Some(&content(9000)));
    let mine = both.lend(vec![0; 8192], Access::WRITE);
    for body in [
        remote_read(read(8193), 1, mine),
        remote_read(read(8192), 2, mine), // no dialect with remote invalidation
        remote_read(read(8192), 3, mine),
        remote_read(read(0), 1, mine),
        remote_read(read(8192), 1, Remote { bytes: 0, ..mine }),
        remote_read(read(9 << 20), 1, Remote { bytes: 9 << 20, ..mine }), // more than a READ may be
    ] {
        both.ask(command::READ, u32_at(&body, 4).div_ceil(65536).max(1) as u16, &body);
        both.run();
        let events = std::mem::take(&mut both.server_host.events);
        let [Event::Message { payload, .. }] = &events[..] else { panic!("{events:?}") };
        assert!(payload[64..] == body[..]);
    }
    for body in [
        remote_write(write(), 1, Remote { bytes: 0, ..mine }, None),
        remote_write(write(), 2, mine, None),
        remote_write(write(), 1, Remote { bytes: 9 << 20, ..mine }, None),
        // No transforms were negotiated.
        remote_write(
            write(),
            1,
            mine,
            Some(&Seal { kind: SealKind::Signed, signature: vec![0; 16], nonce: vec![] }),
        ),
    ] {
        both.ask(command::WRITE, 1, &body);
        both.run();
        let events = std::mem::take(&mut both.server_host.events);
        let [Event::Message { payload, .. }] = &events[..] else { panic!("{events:?}") };
        assert!(payload[64..] == body[..]);
        assert!(!both.server().is_fetching());
    }
    assert_eq!(both.counts(), (0, 0, 0));
}

/// Data that the session demands to be protected never leave in the clear, and none that are not protected come in.
#[test]
fn nothing_leaves_or_comes_less_protected_than_its_message() {
    for (session, ways) in [
        (Session::Signed, may::CHANNEL),
        (Session::Encrypted, may::CHANNEL),
        (Session::Encrypted, may::CHANNEL | may::SIGNING),
        (Session::Encrypted, ALL_WAYS),
        (Session::Signed, ALL_WAYS),
    ] {
        let mut both = Both::new(Provider::Emulated, session, ways, Some(&content(9000)));
        let (sink, source) =
            (both.lend(vec![0; 8192], Access::WRITE), both.lend(vec![1; 8192], Access::READ));
        if ways != ALL_WAYS {
            both.ask(command::READ, 1, &remote_read(read(8192), 1, sink));
        }
        both.ask(command::WRITE, 1, &remote_write(write(), 1, source, None));
        both.run();
        let expected = if ways == ALL_WAYS { 1 } else { 2 };
        assert_eq!(
            (both.server_host.events.len(), both.counts()),
            (expected, (0, 0, 0)),
            "{session:?} {ways}"
        );
        assert!(!both.server().is_fetching());
    }
}

#[test]
fn a_seal_that_is_wrong_is_answered_and_nothing_is_written() {
    for session in [Session::Signed, Session::Encrypted] {
        let mut both = Both::new(Provider::Iwarp, session, ALL_WAYS, Some(b"before"));
        let (kind, status) = match session {
            Session::Encrypted => (SealKind::Encrypted, STATUS_AUTH_TAG_MISMATCH),
            _ => (SealKind::Signed, STATUS_INVALID_SIGNATURE),
        };
        for (signature, nonce) in [(16, 12), (15, 12), (16, 11), (0, 0), (17, 12)] {
            let source = both.lend(vec![1; 8192], Access::READ);
            let seal = Seal { kind, signature: vec![7; signature], nonce: vec![7; nonce] };
            both.ask(command::WRITE, 1, &remote_write(write(), 2, source, Some(&seal)));
            both.run();
            let answer = both.answered();
            assert_eq!(u32_at(&answer, at::STATUS), status, "{session:?} {signature} {nonce}");
            assert_eq!(both.registered(), (0, 0), "the token was invalidated with the answer");
        }
        assert_eq!((both.file(), both.server_host.events.len()), (b"before".to_vec(), 0));
    }
}

/// A WRITE is charged for what is in its message, which is nothing ([MS-SMB2] 3.3.5.13).
#[test]
fn a_write_of_one_credit_may_be_large() {
    let mut both = Both::new(Provider::Iwarp, Session::Plain, ALL_WAYS, Some(b""));
    let data = content(1 << 20);
    let source = both.lend(data.clone(), Access::READ);
    both.ask(command::WRITE, 1, &remote_write(write(), 2, source, None));
    both.run();
    assert_eq!(u32_at(&both.answered(), at::STATUS), 0);
    assert!(both.file() == data);
    assert_eq!(both.registered(), (0, 0));
}

#[test]
fn a_read_gets_what_a_message_holds() {
    let mut both = Both::new(Provider::Iwarp, Session::Signed, ALL_WAYS, Some(&content(3 << 20)));
    let most = both.server.direct().unwrap().inline_bytes(true);
    for (length, got) in [(most - 1, most - 1), (most, most), (most + 1, most)] {
        let id = both.ask(command::READ, 17, zerocopy::IntoBytes::as_bytes(&read(length)));
        both.run();
        let answer = both.answered();
        assert_eq!((Header::of(&answer).message_id.get(), u32_at(&answer, at::STATUS)), (id, 0));
        assert_eq!(u32_at(&answer, crate::wire::HEADER_BYTES + 4), got);
        assert!(answer[80..] == content(3 << 20)[..got as usize]);
    }
    assert!(both.server_host.events.is_empty());
}

/// A WRITE that is related to the request before it is of the same session.
#[test]
fn data_of_a_related_write_are_checked_with_the_keys_of_its_session() {
    let mut both = Both::new(Provider::Iwarp, Session::Signed, ALL_WAYS, None);
    let data = content(6001);
    let source = both.lend(data.clone(), Access::READ);
    let (signing, nonces) = (keys(2, 1, true, false), crate::crypto::AnswerNonces::new());
    assert!(signing.claim(nonces.owner()));
    let mut right = nonces.right(crate::window::Window::new(8).consume(0, 1).unwrap());
    let seal = signing.sign_data(&data, right.for_data().unwrap()).unwrap();
    let write = remote_write(write(), 2, source, Some(&seal));
    both.ask_together(&[(command::ECHO, vec![4, 0, 0, 0]), (command::WRITE, write)], true);
    both.run();
    let [Event::Message { payload, .. }] = &both.server_host.events[..] else { panic!() };
    assert_eq!(WriteRequest::of(&payload[72..]).unwrap().channel, 0);
    assert!(payload[72 + 112..] == data);
}

/// Requests of which some bytes are others: whatever comes of it, nothing panics, and memory that was not lent is not touched.
#[test]
fn requests_with_other_bytes() {
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    let mut random = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % limit as u64) as usize
    };
    let mut ended = 0;
    for round in 0..300 {
        let session = SESSIONS[random(3)];
        let mut both = Both::new(BOTH[round % 2], session, ALL_WAYS, Some(&content(9000)));
        let sink = both.lend(vec![0; 8192], Access::WRITE);
        let source = both.lend(vec![1; 8192], Access::READ);
        let private = both.lend(vec![2; 8192], Access::READ);
        let seal = Seal { kind: SealKind::Signed, signature: vec![7; 16], nonce: vec![7; 12] };
        let seal = (session != Session::Plain).then_some(&seal);
        let (command, mut body) = match random(2) {
            0 => (command::READ, remote_read(read(8192), 2, sink)),
            _ => (command::WRITE, remote_write(write(), 2, source, seal)),
        };
        for _ in 0..1 + random(3) {
            let at = 2 + random(body.len() - 2);
            body[at] = [0, 1, 2, 3, 8, 16, 32, 255, random(256) as u8][random(9)];
        }
        body.truncate(body.len() - random(2) * random(body.len() - 48));
        both.ask(command, 1, &body);
        ended += usize::from(both.try_run().is_err());
        assert!(both.take_back(private.tag) == [2; 8192]);
    }
    assert!(ended > 10 && ended < 290, "{ended}");
}

/// Tags, bounds and rights: the client's side refuses what the server does with them, and the connection ends.
#[test]
fn memory_that_the_client_does_not_have_ends_the_connection() {
    for provider in BOTH {
        for wrong in 0..4 {
            for is_read in [true, false] {
                let mut both = Both::new(provider, Session::Plain, ALL_WAYS, Some(&content(9000)));
                let access = if is_read == (wrong != 3) { Access::WRITE } else { Access::READ };
                let mine = both.lend(vec![0; 8192], access);
                let place = match wrong {
                    0 => Remote { tag: mine.tag ^ 0x100, ..mine },
                    1 => Remote { offset: mine.offset + 1, ..mine },
                    2 => Remote { offset: mine.offset + 100_000, ..mine },
                    _ => mine, // the other right
                };
                match is_read {
                    true => both.ask(command::READ, 1, &remote_read(read(8192), 1, place)),
                    false => both.ask(command::WRITE, 1, &remote_write(write(), 1, place, None)),
                };
                assert!(both.try_run().is_err(), "{provider:?} {wrong} {is_read}");
                assert_eq!(both.file(), content(9000));
            }
        }
    }
}

/// In a compound, data are fetched and placed for each element, and its other elements stay as they are.
#[test]
fn compounds() {
    let mut both = Both::new(Provider::Iwarp, Session::Plain, ALL_WAYS, None);
    let (sink, source) = (both.lend(vec![0; 5000], Access::WRITE), both.lend(content(6001), Access::READ));
    let bodies = [
        (command::WRITE, remote_write(write(), 2, source, None)),
        (command::READ, remote_read(read(5000), 1, sink)),
        (command::ECHO, vec![4, 0, 0, 0]),
    ];
    both.ask_together(&bodies, false);
    both.run();
    let events = std::mem::take(&mut both.server_host.events);
    let [Event::Message { payload, .. }] = &events[..] else { panic!("{events:?}") };
    let (mut start, mut answers) = (0, Vec::new());
    for (index, (command, _)) in bodies.iter().enumerate() {
        let header = *Header::of(&payload[start..]);
        assert_eq!(header.command, *command);
        let mut answer = header.response(0, 1).as_bytes().to_vec();
        match *command {
            command::WRITE => {
                let write = WriteRequest::of(&payload[start..]).unwrap();
                assert_eq!(
                    (write.channel.get(), write.length.get(), write.data_offset.get()),
                    (0, 6001, 112)
                );
                assert!(payload[start + 112..][..6001] == content(6001));
                answer.extend([17, 0, 0, 0, 0x71, 0x17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            }
            command::READ => {
                assert_eq!(ReadRequest::of(&payload[start..]).unwrap().channel, 0);
                answer.extend([17, 0, 80, 0, 0x88, 0x13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
                answer.extend(content(5000));
            }
            _ => answer.extend([4, 0, 0, 0]),
        }
        if index < 2 {
            answer.resize(answer.len().next_multiple_of(8), 0);
            let next = (answer.len() as u32).to_le_bytes();
            put(&mut answer, at::NEXT_COMMAND, next);
        }
        answers.extend(answer);
        start += header.next_command.get() as usize;
    }
    both.server.submit(Submission::new(SESSION, 0, &[&answers]), &both.server_host.stats).unwrap();
    both.run();
    let answer = both.answered();
    assert_eq!(answer.len(), 80 + 80 + 68, "the data are not in it");
    assert_eq!((u32_at(&answer, 80 + 68), u32_at(&answer, 80 + 72)), (0, 5000));
    assert!(both.take_back(sink.tag) == content(5000));
    assert_eq!(both.registered(), (0, 0));
}
