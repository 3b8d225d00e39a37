//! Connections fed by hand: every rule of the way in, the way out and the fast path.

use std::io::Write;
use std::os::fd::OwnedFd;

use super::*;
use crate::crypto::{Cipher, Sealing, Signer, SigningAlgorithm};
use crate::fast::OpenFile;
use crate::gate::Gate;
use crate::wire::{at, command, flags, put, u16_at, u32_at, Header, TRANSFORM_BYTES};

const SESSION: u64 = 77;

/// A server's connection with a client that speaks raw bytes.
struct Pair {
    connection: Connection,
    host: Host,
    keys: Arc<SessionKeys>,
    client: SessionKeys,
}

fn keys(own: u8, peer: u8, signing: bool, encryption: bool) -> SessionKeys {
    let signer = Signer::new(SigningAlgorithm::AesGmac, &[9; 16]).unwrap();
    let sealing = Sealing::new(Cipher::Aes128Gcm, &[own; 16], &[peer; 16]).unwrap();
    SessionKeys::new(signer, Some(sealing), signing, encryption)
}

impl Pair {
    fn new(framing: Framing) -> Pair {
        let limits = Arc::new(Limits { max_bytes_in_flight: 1 << 30, ..Limits::default() });
        let flow = Arc::new(Flow::new(None));
        let connection = Connection::new(1, framing, Role::Server, flow, &limits);
        let host = Host::new(limits, Arc::default(), Arc::new(AtomicBool::new(true)));
        Pair { connection, host, keys: Arc::new(keys(1, 2, false, false)), client: keys(2, 1, false, false) }
    }

    /// A connection with a session, `credits` to spend from message id 1 on, and a file attached as (11, 12).
    fn ready(content: &[u8], signing: bool, encryption: bool) -> (Pair, Arc<Gate>) {
        let mut pair = Pair::new(Framing::Tcp);
        pair.keys = Arc::new(keys(1, 2, signing, encryption));
        pair.feed(&request(0, 0)).unwrap();
        let settings = Settings { authenticated: true, max_read: 8 << 20, multi_credit: true, user: 1 };
        pair.connection.set_settings(settings);
        pair.connection.set_session(SESSION, pair.keys.clone()).unwrap();
        let mut response = request(0, 0);
        put(&mut response, at::CREDITS, 512u16.to_le_bytes());
        pair.submit(0, 0, &response).unwrap();
        pair.output();
        pair.host.events.clear();
        let gate = Arc::new(Gate::new());
        let file = Arc::new(OpenFile::new(file(content)));
        let gate2 = gate.clone();
        let open = AttachedOpen {
            session_id: SESSION,
            tree_id: 5,
            persistent_id: 11,
            volatile_id: 12,
            encrypted_only: false,
            position: Arc::default(),
            gate: gate2,
            file,
        };
        pair.connection.attach(open);
        (pair, gate)
    }

    fn feed(&mut self, message: &[u8]) -> Result<(), Reason> {
        let mut bytes = self.connection.framing.header(message.len()).unwrap().to_vec();
        bytes.extend_from_slice(message);
        self.connection.feed(&mut bytes, &mut self.host)
    }

    fn feed_raw(&mut self, bytes: &[u8]) -> Result<(), Reason> {
        self.connection.feed(&mut bytes.to_vec(), &mut self.host)
    }

    fn submit(&mut self, session_id: u64, flags: u32, message: &[u8]) -> Result<(), Reason> {
        self.connection.submit(Submission::new(session_id, flags, &[message]), &self.host.stats)
    }

    fn output(&mut self) -> Vec<u8> {
        self.connection.output.take_all(&mut self.host.pool)
    }

    /// The one message in the output.
    fn answer(&mut self) -> Vec<u8> {
        let output = self.output();
        assert_eq!(output[..4], self.connection.framing.header(output.len() - 4).unwrap());
        output[4..].to_vec()
    }

    fn messages(&mut self) -> Vec<(u64, u32, Vec<u8>, u64, u64)> {
        let events = std::mem::take(&mut self.host.events);
        let message = |event| match event {
            Event::Message { session_id, flags, payload, bad_signatures, unverified, .. } => {
                (session_id, flags, payload.to_vec(), bad_signatures, unverified)
            }
            other => panic!("{other:?}"),
        };
        events.into_iter().map(message).collect()
    }

    fn read(&mut self, id: u64, offset: u64, length: u32) -> Result<(), Reason> {
        let message = read_request(id, offset, length);
        self.feed(&message)
    }
}

fn file(content: &[u8]) -> OwnedFd {
    // SAFETY: the name is a C string; the returned descriptor is checked and then owned by us alone.
    let fd = unsafe { libc::memfd_create(c"frevo-test".as_ptr(), 0) };
    assert!(fd >= 0);
    // SAFETY: see above.
    let mut file = unsafe { <std::fs::File as std::os::fd::FromRawFd>::from_raw_fd(fd) };
    file.write_all(content).unwrap();
    file.into()
}

/// A request with 16 bytes of body.
fn request(command: u16, id: u64) -> Vec<u8> {
    let mut message = vec![0; 80];
    message[..4].copy_from_slice(b"\xfeSMB");
    put(&mut message, 4, 64u16.to_le_bytes());
    put(&mut message, at::CREDIT_CHARGE, 1u16.to_le_bytes());
    put(&mut message, at::COMMAND, command.to_le_bytes());
    put(&mut message, at::CREDITS, 1u16.to_le_bytes());
    put(&mut message, at::MESSAGE_ID, id.to_le_bytes());
    message
}

fn read_request(id: u64, offset: u64, length: u32) -> Vec<u8> {
    let mut message = request(command::READ, id);
    message.resize(113, 0);
    put(&mut message, at::CREDIT_CHARGE, (length.div_ceil(65536) as u16).to_le_bytes());
    put(&mut message, at::CREDITS, (length.div_ceil(65536) as u16).to_le_bytes());
    put(&mut message, at::TREE_ID, 5u32.to_le_bytes());
    put(&mut message, at::SESSION_ID, SESSION.to_le_bytes());
    put(&mut message, 64, 49u16.to_le_bytes());
    put(&mut message, 68, length.to_le_bytes());
    put(&mut message, 72, offset.to_le_bytes());
    put(&mut message, 80, 11u64.to_le_bytes());
    put(&mut message, 88, 12u64.to_le_bytes());
    message
}

fn signed(mut message: Vec<u8>, keys: &SessionKeys) -> Vec<u8> {
    keys.sign_unchecked(&mut message);
    message
}

#[test]
fn messages_arrive_whole_however_they_are_cut() {
    for piece in [1, 3, 64, 1000] {
        let mut pair = Pair::new(Framing::Tcp);
        let mut bytes = Vec::new();
        for message in [request(0, 0), request(command::CANCEL, 0), request(command::CANCEL, 9)] {
            bytes.extend((message.len() as u32).to_be_bytes());
            bytes.extend(message);
        }
        for chunk in bytes.chunks_mut(piece) {
            pair.connection.feed(chunk, &mut pair.host).unwrap();
        }
        let messages = pair.messages();
        assert_eq!(messages.len(), 3, "pieces of {piece}");
        assert_eq!(messages[2].2, request(command::CANCEL, 9));
    }
}

#[test]
fn a_large_message_is_received_in_place() {
    let (mut pair, _gate) = Pair::ready(b"", false, false);
    let mut message = request(9, 1);
    message.resize(1 << 20, 7);
    let mut bytes = pair.connection.framing.header(message.len()).unwrap().to_vec();
    bytes.extend_from_slice(&message);
    pair.connection.feed(&mut bytes[..1000], &mut pair.host).unwrap();
    let mut position = 1000;
    while let Some(room) = pair.connection.direct(&pair.host) {
        let count = room.len().min(300_000);
        for (slot, byte) in room.iter_mut().zip(&bytes[position..position + count]) {
            slot.write(*byte);
        }
        position += count;
        // SAFETY: the loop above has written `count` bytes to the start of `direct`.
        unsafe { pair.connection.direct_filled(count, &mut pair.host).unwrap() };
    }
    pair.connection.feed(&mut bytes[position..], &mut pair.host).unwrap();
    assert_eq!(pair.messages()[0].2, message);
    assert!(!pair.connection.has_partial());
}

#[test]
fn what_cannot_be_a_message_ends_the_connection() {
    let bad: [&[u8]; 6] = [b"", b"\xfe", b"\xfeSMB", b"\xfcSMB0123456789", b"HELLO world", &[0xFD; 200]];
    for message in bad {
        assert!(Pair::new(Framing::Tcp).feed(message).is_err(), "{message:?}");
    }
    // Before authentication 128 KiB and a transform header.
    assert!(Pair::new(Framing::Tcp).feed_raw(&[0, 2, 0, 0x34]).is_ok());
    assert!(Pair::new(Framing::Tcp).feed_raw(&[0, 2, 0, 0x35]).is_err());
    assert!(Pair::new(Framing::Tcp).feed_raw(&[1, 0, 0, 9]).is_err());
}

#[test]
fn compounds_are_walked_and_judged() {
    let mut pair = Pair::new(Framing::Tcp);
    let mut compound = request(0, 0);
    put(&mut compound, at::NEXT_COMMAND, 80u32.to_le_bytes());
    compound.extend(request(command::CANCEL, 0));
    pair.feed(&compound).unwrap();
    assert_eq!(pair.messages().len(), 1);
    for next in [60u32, 81, 160, 1 << 31, 88] {
        let mut bad = compound.clone();
        put(&mut bad, at::NEXT_COMMAND, next.to_le_bytes());
        assert!(Pair::new(Framing::Tcp).feed(&bad).is_err(), "NextCommand {next}");
    }
    let mut long = Vec::new();
    for _ in 0..65 {
        let mut element = request(command::CANCEL, 0);
        put(&mut element, at::NEXT_COMMAND, 80u32.to_le_bytes());
        long.extend(element);
    }
    long.extend(request(command::CANCEL, 0));
    assert!(Pair::new(Framing::Tcp).feed(&long).is_err());
}

#[test]
fn message_ids_and_credits() {
    let mut pair = Pair::new(Framing::Tcp);
    pair.feed(&request(0, 0)).unwrap();
    assert!(pair.feed(&request(1, 0)).is_err());
    let mut pair = Pair::new(Framing::Tcp);
    assert!(pair.feed(&request(1, 1)).is_err());
    let mut pair = Pair::new(Framing::Tcp);
    pair.feed(b"\xffSMBr..........................").unwrap();
    assert!(pair.feed(b"\xffSMBr..........................").is_err());
    let mut response = request(0, 0);
    put(&mut response, at::CREDITS, 0u16.to_le_bytes());
    pair.submit(0, 0, &response).unwrap();
    assert_eq!(u16_at(&pair.answer(), at::CREDITS), 1, "never left without a credit");
    pair.feed(&request(0, 1)).unwrap();
    put(&mut response, at::CREDITS, 60000u16.to_le_bytes());
    pair.submit(0, 0, &response).unwrap();
    assert_eq!(u16_at(&pair.answer(), at::CREDITS), 8192, "no more than the limit");
    put(&mut response, at::MESSAGE_ID, u64::MAX.to_le_bytes());
    pair.submit(0, 0, &response).unwrap();
    assert_eq!(u16_at(&pair.answer(), at::CREDITS), 0, "a break notification grants nothing");
}

#[test]
fn final_asynchronous_responses_grant_nothing_by_themselves() {
    let mut pair = Pair::new(Framing::Tcp);
    pair.feed(&request(0, 0)).unwrap();
    let mut response = request(0, 0);
    put(&mut response, at::CREDITS, 0u16.to_le_bytes());
    put(&mut response, at::FLAGS, (flags::ASYNC_COMMAND | flags::SERVER_TO_REDIR).to_le_bytes());
    pair.submit(0, 0, &response).unwrap();
    assert_eq!(u16_at(&pair.answer(), at::CREDITS), 0);
    put(&mut response, at::STATUS, crate::wire::STATUS_PENDING.to_le_bytes());
    pair.submit(0, 0, &response).unwrap();
    assert_eq!(u16_at(&pair.answer(), at::CREDITS), 1);
}

#[test]
fn signatures_are_checked_by_element() {
    let (mut pair, _gate) = Pair::ready(b"", false, false);
    let mut element = request(3, 1);
    put(&mut element, at::SESSION_ID, SESSION.to_le_bytes());
    put(&mut element, at::NEXT_COMMAND, 80u32.to_le_bytes());
    let mut compound = signed(element, &pair.client);
    let mut second = request(3, 2);
    put(&mut second, at::FLAGS, flags::RELATED_OPERATIONS.to_le_bytes());
    put(&mut second, at::SESSION_ID, u64::MAX.to_le_bytes());
    put(&mut second, at::NEXT_COMMAND, 80u32.to_le_bytes());
    let mut second = signed(second, &pair.client);
    second[70] ^= 1;
    compound.extend(second);
    let mut third = request(3, 3);
    put(&mut third, at::SESSION_ID, 4711u64.to_le_bytes());
    compound.extend(signed(third, &pair.client));
    pair.feed(&compound).unwrap();
    let messages = pair.messages();
    assert_eq!((messages[0].3, messages[0].4), (0b010, 0b100));
    assert_eq!(messages[0].2, compound, "verification leaves no trace");
}

#[test]
fn responses_are_signed_or_sealed() {
    let (mut pair, _gate) = Pair::ready(b"", false, false);
    pair.feed(&request(3, 1)).unwrap();
    pair.feed(&request(3, 2)).unwrap();
    let mut response = request(3, 1);
    put(&mut response, at::FLAGS, (flags::SERVER_TO_REDIR | flags::SIGNED).to_le_bytes());
    put(&mut response, at::NEXT_COMMAND, 80u32.to_le_bytes());
    response.extend(request(3, 2));
    pair.submit(SESSION, 0, &response).unwrap();
    let mut answer = pair.answer();
    assert!(pair.client.verify(&mut answer[..80]));
    assert_eq!(answer[80 + at::SIGNATURE..80 + 64], [0; 16]);
    pair.submit(SESSION, ENCRYPT, &response).unwrap();
    let mut answer = pair.answer();
    assert!(pair.client.unseal(&mut answer));
    assert_eq!(u32_at(&answer, TRANSFORM_BYTES + at::FLAGS), flags::SERVER_TO_REDIR, "sealed is not signed");
    assert!(pair.submit(1, ENCRYPT, &response).is_err(), "no keys");
    assert!(pair.submit(SESSION, 0, &response[..100]).is_err(), "malformed");
}

#[test]
fn sealed_messages() {
    let (mut pair, _gate) = Pair::ready(b"", false, false);
    let seal = |client: &SessionKeys, session: u64, message: &[u8]| {
        let mut packet = vec![0; TRANSFORM_BYTES];
        packet.extend_from_slice(message);
        assert!(client.seal(session, &mut packet));
        packet
    };
    let packet = seal(&pair.client, SESSION, &request(3, 1));
    pair.feed(&packet).unwrap();
    let message = pair.messages().remove(0);
    assert_eq!((message.0, message.1, message.2), (SESSION, Event::ENCRYPTED, request(3, 1)));
    let mut bad = seal(&pair.client, SESSION, &request(3, 2));
    bad[100] ^= 1;
    assert!(pair.feed(&bad).is_err());
    assert!(pair.feed(&seal(&pair.client, 4711, &request(3, 2))).is_err());
    let nested = seal(&pair.client, SESSION, &seal(&pair.client, SESSION, &request(3, 2)));
    assert!(pair.feed(&nested).is_err());
}

#[test]
fn reads_are_answered_here() {
    let content: Vec<u8> = (0..3_000_000u32).map(|i| ((i * 7) >> 3) as u8).collect();
    let (mut pair, _gate) = Pair::ready(&content, false, false);
    let mut id = 1;
    for (offset, length) in [(0, 1), (1, 4096), (65_000, 65_536), (100, 2 << 20), (2_999_990, 4096)] {
        pair.read(id, offset, length).unwrap();
        id += u64::from(length.div_ceil(65536));
        let answer = pair.answer();
        let end = (offset as usize + length as usize).min(content.len());
        assert_eq!(answer[80..], content[offset as usize..end]);
        let header = Header::parse(&answer).unwrap();
        assert_eq!((header.command, header.tree_id, header.session_id), (command::READ, 5, SESSION));
        assert_eq!((header.flags, u32_at(&answer, at::STATUS)), (flags::SERVER_TO_REDIR, 0));
        assert_eq!(u32::from(header.credits), length.div_ceil(65536));
        assert_eq!((answer[64], answer[66], u32_at(&answer, 68) as usize), (17, 80, answer.len() - 80));
    }
    pair.read(id, 3_000_000, 10).unwrap();
    let answer = pair.answer();
    assert_eq!((u32_at(&answer, at::STATUS), answer.len()), (crate::wire::STATUS_END_OF_FILE, 73));
    assert!(pair.messages().is_empty());
}

#[test]
fn reads_are_protected_as_they_were_asked() {
    let (mut pair, _gate) = Pair::ready(b"0123456789", true, false);
    pair.feed(&signed(read_request(1, 2, 4), &pair.client)).unwrap();
    let mut answer = pair.answer();
    assert!(pair.client.verify(&mut answer));
    let mut packet = vec![0; TRANSFORM_BYTES];
    packet.extend(read_request(2, 2, 4));
    assert!(pair.client.seal(SESSION, &mut packet));
    pair.feed(&packet).unwrap();
    let mut answer = pair.answer();
    assert!(pair.client.unseal(&mut answer));
    assert_eq!(answer[TRANSFORM_BYTES + 80..], *b"2345");
    pair.read(3, 2, 4).unwrap();
    assert_eq!(pair.messages().len(), 1, "unsigned although signing is required");
    let mut wrong = signed(read_request(4, 2, 4), &pair.client);
    wrong[60] ^= 1;
    pair.feed(&wrong).unwrap();
    assert_eq!(pair.messages()[0].3, 1);
    let (mut pair, _gate) = Pair::ready(b"0123456789", false, true);
    pair.feed(&signed(read_request(1, 2, 4), &pair.client)).unwrap();
    assert_eq!(pair.messages().len(), 1, "plain although encryption is required");
    assert!(pair.output().is_empty());
}

#[test]
fn unusual_reads_go_up() {
    let (mut pair, gate) = Pair::ready(b"0123456789", false, false);
    let changes: [(usize, u8); 9] =
        [(36, 6), (40, 78), (80, 1), (88, 1), (96, 11), (100, 1), (67, 2), (19, 0x20), (68, 0)];
    for (index, (offset, value)) in changes.into_iter().enumerate() {
        let mut message = read_request(1 + index as u64, 0, 10);
        message[offset] = value;
        pair.feed(&message).unwrap();
        assert_eq!(pair.messages()[0].2, message, "byte {offset}");
    }
    gate.close();
    pair.read(10, 0, 10).unwrap();
    assert_eq!(pair.messages().len(), 1, "the gate is closed");
    gate.open();
    pair.read(11, 0, 10).unwrap();
    assert_eq!(pair.answer().len(), 90);
    let mut greedy = read_request(12, 0, 70_000);
    put(&mut greedy, at::CREDIT_CHARGE, 1u16.to_le_bytes());
    pair.feed(&greedy).unwrap();
    assert_eq!(pair.messages().len(), 1, "not paid for");
    pair.connection.detach(12);
    pair.read(13, 0, 10).unwrap();
    assert_eq!(pair.messages().len(), 1, "detached");
    assert!(pair.output().is_empty());
}

#[test]
fn a_worker_finishes_a_read() {
    let (mut pair, gate) = Pair::ready(b"0123456789", true, false);
    let file = pair.connection.opens[&12].file.clone();
    let request = signed(read_request(1, 3, 5), &pair.client);
    let right = pair.connection.nonces.right(pair.connection.window.consume(1, 1).unwrap());
    let read = crate::fast::ReadRequest::parse(&request).unwrap();
    let job = |pass, right| ReadJob {
        position: Arc::default(),
        connection: 1,
        request: request.clone(),
        sealed: None,
        right,
        file: file.clone(),
        read,
        buffer: Vec::new(),
        data_start: 84,
        outcome: None,
        pass,
    };
    let mut done = job(gate.enter().unwrap(), Some(right));
    done.run();
    pair.connection.finish_read(done, &mut pair.host);
    let mut answer = pair.answer();
    assert!(pair.client.verify(&mut answer));
    assert_eq!(answer[80..], *b"34567");
    pair.connection.window.grant(1, true);
    let right = pair.connection.nonces.right(pair.connection.window.consume(2, 1).unwrap());
    let mut failed = job(gate.enter().unwrap(), Some(right));
    failed.outcome = Some(crate::fast::Attempt::Failed);
    pair.connection.finish_read(failed, &mut pair.host);
    assert_eq!(pair.messages()[0].2, request);
    assert!(pair.connection.nonces.answer(2).is_some(), "the control plane may sign its answer");
    gate.close();
}

#[test]
fn echoes_are_answered_here() {
    let (mut pair, _gate) = Pair::ready(b"", true, false);
    let mut echo = request(command::ECHO, 1);
    put(&mut echo, 64, [4, 0, 0, 0]);
    pair.feed(&echo).unwrap();
    assert_eq!(pair.answer()[64..], [4, 0, 0, 0]);
    put(&mut echo, at::MESSAGE_ID, 2u64.to_le_bytes());
    put(&mut echo, at::SESSION_ID, SESSION.to_le_bytes());
    pair.feed(&signed(echo.clone(), &pair.client)).unwrap();
    let mut answer = pair.answer();
    assert!(pair.client.verify(&mut answer));
    put(&mut echo, at::MESSAGE_ID, 3u64.to_le_bytes());
    pair.feed(&echo).unwrap();
    assert_eq!(pair.messages().len(), 1, "unsigned although signing is required");
    pair.host.fast_echo.store(false, Ordering::Relaxed);
    put(&mut echo, at::MESSAGE_ID, 4u64.to_le_bytes());
    pair.feed(&signed(echo, &pair.client)).unwrap();
    assert_eq!(pair.messages().len(), 1, "turned off");
}

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
    while !pair.connection.output.is_empty() {
        total += pair.output().len();
        pair.connection.resume(&mut pair.host).unwrap();
    }
    assert_eq!(total, 20 * ((1 << 20) + 84));
}

/// Whoever does not read is not read from, on any of its connections; others are, and it is again once it has read.
#[test]
fn unread_answers_of_a_user_stop_all_of_its_connections() {
    let content = vec![7; 1 << 20];
    let budget = Arc::new(crate::budget::Budget::new(3 << 20));
    let ready = |user| {
        let (mut pair, _) = Pair::ready(&content, false, false);
        let limits =
            Limits { max_unread_bytes: budget.clone(), max_bytes_in_flight: 1 << 30, ..Limits::default() };
        let old = pair.connection.settings();
        pair.host.limits = Arc::new(limits);
        pair.connection.unread = budget.clone();
        pair.connection.share = budget.share(0);
        pair.connection.set_settings(Settings { user, ..old });
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

/// A request counts for what its answer may be from when it is let in, until the answer itself does: however many
/// connections ask at once, none gets what there is no room for.
#[test]
fn what_is_promised_counts_as_unread() {
    let budget = Arc::new(crate::budget::Budget::new(3 << 20));
    let ready = |user: u64| {
        let mut pair = Pair::ready(b"", false, false).0;
        let limits =
            Limits { max_unread_bytes: budget.clone(), max_bytes_in_flight: 1 << 30, ..Limits::default() };
        let old = pair.connection.settings();
        pair.host.limits = Arc::new(limits);
        pair.connection.unread = budget.clone();
        pair.connection.share = budget.share(0);
        pair.connection.set_settings(Settings { user: user + 10, ..old });
        pair.connection.detach(12);
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

#[test]
fn netbios_sessions() {
    let mut pair = Pair::new(Framing::Nbt);
    let mut name = vec![32];
    name.extend([b'C'; 32]);
    name.push(0);
    let mut bytes = vec![0x81, 0, 0, 68];
    bytes.extend(name.iter().chain(&name));
    bytes.extend([0x85, 0, 0, 0]);
    pair.connection.feed(&mut bytes, &mut pair.host).unwrap();
    assert_eq!(pair.output(), [0x82, 0, 0, 0]);
    pair.feed(&request(0, 0)).unwrap();
    assert_eq!(pair.messages().len(), 1);
    bytes[10] = b'!';
    pair.connection.feed(&mut bytes, &mut pair.host).unwrap();
    assert_eq!(pair.output(), [0x83, 0, 0, 1, 0x82]);
    assert!(pair.connection.is_closing());
    let mut pair = Pair::new(Framing::Nbt);
    pair.feed(&request(0, 0)).unwrap();
    let mut large = request(0, 0);
    large.resize(0x20000, 0);
    assert!(pair.submit(0, 0, &large).is_err());
}

/// Random and randomly damaged input never panics, and every connection either lives or has ended with a reason.
#[test]
fn random_input_does_no_harm() {
    let seed = std::env::var("FREVO_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0x5EED_1234u64);
    let mut state = seed;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for round in 0..3000 {
        let (mut pair, _gate) = Pair::ready(b"some content", round % 2 == 0, round % 5 == 0);
        let mut bytes = Vec::new();
        for id in 1..1 + random(6) as u64 {
            let mut message = match random(4) {
                0 => read_request(id, random(20) as u64, 1 + random(30) as u32),
                1 => signed(read_request(id, 0, 5), &pair.client),
                2 => {
                    let mut packet = vec![0; TRANSFORM_BYTES];
                    packet.extend(read_request(id, 0, 5));
                    assert!(pair.client.seal(SESSION, &mut packet));
                    packet
                }
                _ => request(command::ECHO, id),
            };
            message.truncate(if random(4) == 0 { random(message.len()) } else { usize::MAX });
            bytes.extend((message.len() as u32).to_be_bytes());
            bytes.extend(message);
        }
        for _ in 0..random(4) {
            if !bytes.is_empty() {
                let position = random(bytes.len());
                bytes[position] = random(256) as u8;
            }
        }
        let piece = 1 + random(300);
        for chunk in bytes.chunks_mut(piece) {
            if let Err(reason) = pair.connection.feed(chunk, &mut pair.host) {
                assert!(!reason.is_empty(), "seed {seed}");
                break;
            }
        }
        pair.output();
    }
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
    assert_eq!(pair.connection.expected_bytes, 2 * 65536, "the final response counts no second time");
}
