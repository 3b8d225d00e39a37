//! Every message flow at random, on both ends: no key and nonce ever protect two different messages.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::crypto::{Cipher, Encryption, Signer, SigningAlgorithm};
use crate::wire::raw::{at, put, u16_at, u32_at, u64_at};
use crate::wire::{command, element_end, flags, Header, TransformHeader, STATUS_PENDING, TRANSFORM_BYTES};

const SESSIONS: [u64; 2] = [71, 72];

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn one_in(&mut self, limit: u64) -> bool {
        self.below(limit) == 0
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> Option<T> {
        (!list.is_empty()).then(|| list[self.below(list.len() as u64) as usize])
    }
}

fn keys(session: u64, own: u8) -> SessionKeys {
    let signer = Signer::new(SigningAlgorithm::AesGmac, &[session as u8; 16]).unwrap();
    let encryption = Encryption::new(Cipher::Aes128Gcm, &[own; 16], &[3 - own; 16]).unwrap();
    SessionKeys::new(signer, Some(encryption), false, false)
}

fn message(command: u16, id: u64, session: u64, flags: u32, body: u8) -> Vec<u8> {
    let mut message = vec![body; 80];
    message[..64].fill(0);
    message[..4].copy_from_slice(b"\xfeSMB");
    put(&mut message, 4, 64u16.to_le_bytes());
    put(&mut message, at::CREDIT_CHARGE, 1u16.to_le_bytes());
    put(&mut message, at::COMMAND, command.to_le_bytes());
    put(&mut message, at::CREDITS, 3u16.to_le_bytes());
    put(&mut message, at::FLAGS, flags.to_le_bytes());
    put(&mut message, at::MESSAGE_ID, id.to_le_bytes());
    put(&mut message, at::SESSION_ID, session.to_le_bytes());
    message
}

/// Several messages as one.
fn compound(parts: Vec<Vec<u8>>) -> Vec<u8> {
    let last = parts.len() - 1;
    let mut whole = Vec::new();
    for (index, mut part) in parts.into_iter().enumerate() {
        let next = if index == last { 0 } else { part.len() as u32 };
        put(&mut part, at::NEXT_COMMAND, next.to_le_bytes());
        whole.extend(part);
    }
    whole
}

/// A connection, and everything that it has protected.
struct Watched {
    connection: Connection,
    host: Host,
    seen: HashMap<(u64, Vec<u8>), Vec<u8>>,
    signed: usize,
    encrypted: usize,
    ended: bool,
}

impl Watched {
    fn new(role: Role) -> Watched {
        let limits = Arc::new(Limits { max_bytes_in_flight: 1 << 30, ..Limits::default() });
        let mut connection = Connection::new(1, Framing::Tcp, role, Arc::new(Flow::new(None)), &limits);
        let mut host =
            Host::new(limits, Arc::default(), Arc::new(AtomicBool::new(true)), std::time::Instant::now());
        host.can_defer = false;
        connection.set_settings(Settings {
            authenticated: true,
            max_read: 1 << 20,
            max_write: 1 << 20,
            multi_credit: true,
            ..Settings::default()
        });
        for session in SESSIONS {
            let own = if role == Role::Server { 1 } else { 2 };
            connection.set_session(session, Arc::new(keys(session, own)), Arc::default()).unwrap();
        }
        Watched { connection, host, seen: HashMap::new(), signed: 0, encrypted: 0, ended: false }
    }

    fn feed(&mut self, message: &[u8]) {
        let mut bytes = (message.len() as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(message);
        self.ended |= self.connection.feed(&mut bytes, &mut self.host).is_err();
        self.look();
    }

    /// Like the control plane; whether it was taken.
    fn submit(&mut self, session: u64, encrypt: bool, message: &[u8]) -> bool {
        let submission = Submission::new(session, if encrypt { ENCRYPT } else { 0 }, &[message]);
        let taken = self.connection.submit(submission, &self.host.stats).is_ok();
        self.look();
        taken
    }

    /// Remembers what comes out and compares it with what came before.
    fn look(&mut self) {
        let output = self.connection.common.output.take_all(&mut self.host.pool);
        let mut frames = &output[..];
        while !frames.is_empty() {
            let size = u32::from_be_bytes(frames[..4].try_into().unwrap()) as usize;
            let (frame, rest) = frames[4..].split_at(size);
            frames = rest;
            if frame[0] == 0xFD {
                self.encrypted += 1;
                self.note(TransformHeader::of(frame).session_id.get(), &frame[20..36], frame);
                continue;
            }
            let mut start = 0;
            loop {
                let header = Header::parse(&frame[start..]).unwrap();
                let end = element_end(frame, start, header.next_command.get()).unwrap();
                let element = &frame[start..end];
                if header.has(flags::SIGNED) {
                    assert!(!header.is_interim(), "an interim response is signed");
                    assert_ne!(header.message_id, u64::MAX, "a notification is signed");
                    self.signed += 1;
                    let cancel = u8::from(u16_at(element, at::COMMAND) == command::CANCEL);
                    let nonce = [&header.message_id.to_bytes()[..], &[cancel]].concat();
                    self.note(header.session_id.get(), &nonce, element);
                }
                if header.next_command == 0 {
                    break;
                }
                start = end;
            }
        }
    }

    fn note(&mut self, session: u64, nonce: &[u8], message: &[u8]) {
        let before = self.seen.insert((session, nonce.to_vec()), message.to_vec());
        assert!(before.is_none(), "nonce {nonce:?} of session {session} once more: {before:?}, {message:?}");
    }
}

fn seeds() -> impl Iterator<Item = u64> {
    let first = std::env::var("FREVO_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0x5EED_0001u64);
    (0..400).map(move |round| first.wrapping_add(round * 0x9E37_79B9) | 1)
}

/// A request as clients send them: single or compound, signed, encrypted or plain, of either session, with a CANCEL at times.
fn request(random: &mut Random, clients: &[SessionKeys; 2], next: &mut u64) -> Vec<u8> {
    let which = random.below(2) as usize;
    let session = SESSIONS[which];
    let encrypted = random.one_in(4);
    let signed = !encrypted && !random.one_in(4);
    let elements = if random.one_in(4) { 1 + random.below(3) } else { 1 };
    let mut parts = Vec::new();
    for _ in 0..elements {
        let what = [5, 8, command::ECHO, 15, 9][random.below(5) as usize];
        let mut part = message(what, *next, session, 0, random.below(256) as u8);
        if what == command::ECHO {
            put(&mut part, 64, [4, 0, 0, 0]);
        }
        let charge = 1 + random.below(2) as u16;
        put(&mut part, at::CREDIT_CHARGE, charge.to_le_bytes());
        *next += u64::from(charge);
        parts.push(part);
    }
    if random.one_in(8) {
        parts = vec![message(command::CANCEL, random.below(*next), session, 0, 4)];
    }
    let mut whole = compound(parts);
    if encrypted {
        let mut packet = vec![0; TRANSFORM_BYTES];
        packet.extend(whole);
        assert!(clients[which].encrypt(session, &mut packet));
        return packet;
    }
    if !signed {
        return whole;
    }
    let mut start = 0;
    loop {
        let next_command = u32_at(&whole, start + at::NEXT_COMMAND);
        let end = element_end(&whole, start, next_command).unwrap();
        clients[which].sign_unchecked(&mut whole[start..end]);
        if next_command == 0 {
            return whole;
        }
        start = end;
    }
}

#[test]
fn a_server_protects_one_message_with_one_nonce() {
    // Goal: whatever clients send and whatever the control plane answers, twice, late, to what was not asked. Method:
    // random requests and answers; every protected message that comes out is compared with all before.
    let (mut signed, mut encrypted, mut refused) = (0, 0, 0);
    for seed in seeds() {
        let mut random = Random(seed);
        let clients = [keys(SESSIONS[0], 2), keys(SESSIONS[1], 2)];
        let mut server = Watched::new(Role::Server);
        server.feed(&message(0, 0, 0, 0, 0));
        let mut answer = message(0, 0, 0, flags::SERVER_TO_REDIR, 0);
        put(&mut answer, at::CREDITS, 900u16.to_le_bytes());
        assert!(server.submit(0, false, &answer));
        let (mut next, mut asked) = (1, vec![(0, SESSIONS[0])]);
        for _ in 0..60 {
            if random.one_in(2) {
                server.feed(&request(&mut random, &clients, &mut next));
                for event in std::mem::take(&mut server.host.events) {
                    if let Event::Message { payload, .. } = event {
                        asked.push((u64_at(&payload, at::MESSAGE_ID), u64_at(&payload, at::SESSION_ID)));
                    }
                }
            } else if !answer_somehow(&mut server, &mut random, &asked, next) {
                refused += 1; // the engine would end the connection; here it has to stand more
            }
            if server.ended {
                break;
            }
        }
        (signed, encrypted) = (signed + server.signed, encrypted + server.encrypted);
    }
    assert!(signed > 1000 && encrypted > 500 && refused > 50, "{signed} {encrypted} {refused}");
}

/// An answer of a control plane that may be out of its mind; false: it was not sent.
fn answer_somehow(server: &mut Watched, random: &mut Random, asked: &[(u64, u64)], next: u64) -> bool {
    let (mut id, session) = random.of(asked).unwrap();
    let mut bits = flags::SERVER_TO_REDIR | if random.one_in(5) { 0 } else { flags::SIGNED };
    let mut status = 0u32;
    match random.below(12) {
        0..=2 => {
            status = STATUS_PENDING;
            bits |= flags::ASYNC_COMMAND;
        }
        3..=5 => bits |= flags::ASYNC_COMMAND,
        6 if random.one_in(10) => id = u64::MAX,
        7 if random.one_in(10) => id = random.below(next + 5),
        _ => (),
    }
    let mut answer = message(5, id, session, bits, random.below(256) as u8);
    put(&mut answer, at::STATUS, status.to_le_bytes());
    let session = if session == 0 { SESSIONS[0] } else { session };
    if random.one_in(6) {
        let (other, _) = random.of(asked).unwrap();
        answer = compound(vec![answer, message(5, other, session, bits, 7)]);
    }
    server.submit(session, random.one_in(4), &answer)
}

#[test]
fn a_client_protects_one_message_with_one_nonce() {
    // Goal: whatever the control plane sends, twice or late, and however often and when it cancels. Method: random
    // requests, cancels and answers; every protected message that goes out is compared with all before.
    let (mut signed, mut encrypted, mut cancels, mut refused) = (0, 0, 0, 0);
    for seed in seeds() {
        let mut random = Random(seed);
        let mut client = Watched::new(Role::Client);
        let (mut next, mut sent) = (0, Vec::new());
        for _ in 0..80 {
            let session = SESSIONS[random.below(2) as usize];
            let bits = if random.one_in(5) { 0 } else { flags::SIGNED };
            let encrypt = random.one_in(4);
            match random.below(8) {
                0..=2 => {
                    let again = random.one_in(40);
                    let id = if again { random.of(&sent).unwrap_or(next) } else { next };
                    if !client.submit(
                        session,
                        encrypt,
                        &message(5, id, session, bits, random.below(256) as u8),
                    ) {
                        refused += 1; // as above
                        continue;
                    }
                    if id == next {
                        sent.push(id);
                        next += 1 + random.below(3);
                    }
                }
                3..=5 => {
                    let Some(id) = random.of(&sent) else { continue };
                    let mut cancel = message(command::CANCEL, id, session, bits, 4);
                    if random.one_in(2) {
                        put(&mut cancel, at::FLAGS, (bits | flags::ASYNC_COMMAND).to_le_bytes());
                        put(&mut cancel, at::TREE_ID, (1 + random.below(9) as u32).to_le_bytes());
                    }
                    let before = client.signed + client.encrypted;
                    assert!(client.submit(session, encrypt, &cancel), "what is not sent is no error");
                    cancels += client.signed + client.encrypted - before;
                }
                _ => {
                    let Some(id) = random.of(&sent) else { continue };
                    let mut answer = message(5, id, session, flags::SERVER_TO_REDIR, 9);
                    if random.one_in(2) {
                        put(&mut answer, at::FLAGS, 3u32.to_le_bytes());
                        put(&mut answer, at::STATUS, STATUS_PENDING.to_le_bytes());
                    }
                    client.feed(&answer);
                }
            }
        }
        (signed, encrypted) = (signed + client.signed, encrypted + client.encrypted);
    }
    assert!(
        signed > 1000 && encrypted > 500 && cancels > 500 && refused > 50,
        "{signed} {encrypted} {cancels} {refused}"
    );
}

#[test]
fn keys_of_another_connection_are_not_taken() {
    let (mut first, mut second) = (Watched::new(Role::Server), Watched::new(Role::Server));
    let shared = Arc::new(keys(9, 1));
    assert!(first.connection.set_session(9, shared.clone(), Arc::default()).is_ok());
    assert!(first.connection.set_session(9, shared.clone(), Arc::default()).is_ok(), "its own");
    assert!(second.connection.set_session(9, shared, Arc::default()).is_err());
}
