//! Pumps on a client's connection in memory; the test is the server and answers as it likes.

use std::io::{Read, Seek, Write};

use crate::conn::*;
use crate::credits::Credits;
use crate::crypto::{Cipher, Encryption, Signer, SigningAlgorithm};
use crate::fast::{temporary_file, OpenFile};
use crate::pump::{self, End, Kind, Memory, Place, Shared, Stored};
use crate::wire::raw::{at, put, u16_at, u32_at, u64_at};
use crate::wire::{command, flags, PROTOCOL_SMB2, TRANSFORM_BYTES};
mod downloads;
mod uploads;

const SESSION: u64 = 9;
const PENDING: u32 = 0x103;
const END_OF_FILE: u32 = 0xC000_0011;

fn keys(own: u8, peer: u8) -> SessionKeys {
    let signer = Signer::new(SigningAlgorithm::AesGmac, &[7; 16]).unwrap();
    let encryption = Encryption::new(Cipher::Aes128Gcm, &[own; 16], &[peer; 16]).unwrap();
    SessionKeys::new(signer, Some(encryption), true, false)
}

/// What the server sees of a request.
#[derive(Clone, Debug)]
struct Request {
    command: u16,
    id: u64,
    charge: u16,
    credits: u16,
    body: Vec<u8>,
}

impl Request {
    fn size(&self) -> u32 {
        u32_at(&self.body, 4)
    }

    fn offset(&self) -> u64 {
        u64_at(&self.body, 8)
    }
}

struct Lab {
    client: Connection,
    host: Host,
    credits: Arc<Credits>,
    server: SessionKeys,
    sign: bool,
    encrypt: bool,
}

impl Lab {
    /// What a worker does.
    fn work(&mut self) {
        for mut job in std::mem::take(&mut self.host.jobs) {
            job.run();
            self.client.finish_job(job, &mut self.host).unwrap();
        }
    }

    fn new(credits: u16) -> Lab {
        let limits = Arc::new(Limits { max_frame: 9 << 20, ..Limits::default() });
        let mut client = Connection::new(1, Framing::Tcp, Role::Client, Arc::new(Flow::new(None)), &limits);
        client.set_settings(Settings { authenticated: true, multi_credit: true, ..Settings::default() });
        client.set_session(SESSION, Arc::new(keys(1, 2)), Arc::default()).unwrap();
        let account = Arc::new(Credits::new());
        account.grant(credits - 1);
        client.set_credits(account.clone());
        let host = Host::new(limits, Arc::default(), Arc::default(), std::time::Instant::now());
        Lab { client, host, credits: account, server: keys(2, 1), sign: true, encrypt: false }
    }

    fn settings(&self, kind: Kind, io_size: u32, window: u32, length: u64, place: Place) -> pump::Settings {
        pump::Settings {
            id: 5,
            session_id: SESSION,
            tree_id: 3,
            encrypt: self.encrypt,
            sign: self.sign,
            kind,
            files: vec![(11, 12)],
            bodies: vec![vec![57; 60]],
            io_size,
            window,
            offset: 100,
            length,
            read_percent: 70,
            random: false,
            seed: 1,
            looped: false,
            operations: 0,
            keep_going: false,
            place,
            shared: Arc::new(Shared::new(kind)),
        }
    }

    fn start(&mut self, settings: pump::Settings) -> Arc<Shared> {
        assert_eq!(settings.problem(), None);
        let shared = settings.shared.clone();
        self.client.add_pump(settings, &mut self.host);
        shared
    }

    /// What the client has sent, with every signature or encrypt checked.
    fn requests(&mut self) -> Vec<Request> {
        let mut output = self.client.output().take_all(&mut self.host.pool);
        let (mut rest, mut found) = (&mut output[..], Vec::new());
        while !rest.is_empty() {
            let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
            let (frame, more) = rest.split_at_mut(4 + length);
            let mut message = &mut frame[4..];
            if self.encrypt {
                assert!(self.server.decrypt(message));
                message = &mut message[TRANSFORM_BYTES..];
            } else if self.sign {
                assert!(u32_at(message, at::FLAGS) & flags::SIGNED != 0 && self.server.verify(message));
            }
            assert_eq!((u32_at(message, at::TREE_ID), u64_at(message, at::SESSION_ID)), (3, SESSION));
            found.push(Request {
                command: u16_at(message, at::COMMAND),
                id: u64_at(message, at::MESSAGE_ID),
                charge: u16_at(message, at::CREDIT_CHARGE),
                credits: u16_at(message, at::CREDITS),
                body: message[64..].to_vec(),
            });
            rest = more;
        }
        found
    }

    /// An answer without protection.
    fn message(&self, request: &Request, status: u32, credits: u16, body: &[u8]) -> Vec<u8> {
        let mut message = vec![0; 64];
        message[..4].copy_from_slice(&PROTOCOL_SMB2);
        put(&mut message, 4, 64u16.to_le_bytes());
        put(&mut message, at::STATUS, status.to_le_bytes());
        put(&mut message, at::COMMAND, request.command.to_le_bytes());
        put(&mut message, at::CREDITS, credits.to_le_bytes());
        let asynchronous = if status == PENDING { flags::ASYNC_COMMAND } else { 0 };
        put(&mut message, at::FLAGS, (flags::SERVER_TO_REDIR | asynchronous).to_le_bytes());
        put(&mut message, at::MESSAGE_ID, request.id.to_le_bytes());
        put(&mut message, at::SESSION_ID, SESSION.to_le_bytes());
        message.extend_from_slice(body);
        message
    }

    fn deliver(&mut self, message: &[u8]) -> Result<(), Reason> {
        let mut frame = (message.len() as u32).to_be_bytes().to_vec();
        frame.extend_from_slice(message);
        // In two pieces, as sockets do.
        let (first, second) = frame.split_at_mut(70);
        self.client.feed(first, &mut self.host)?;
        self.client.feed(second, &mut self.host)
    }

    fn answer(&mut self, request: &Request, status: u32, body: &[u8]) -> Result<(), Reason> {
        let mut message = self.message(request, status, request.charge, body);
        if self.encrypt {
            message.splice(..0, [0; TRANSFORM_BYTES]);
            assert!(self.server.encrypt(SESSION, &mut message));
        } else if self.sign && status != PENDING {
            self.server.sign_unchecked(&mut message);
        }
        self.deliver(&message)
    }

    fn answer_read(&mut self, request: &Request, data: &[u8]) {
        let mut body = vec![17, 0, 80, 0];
        body.extend((data.len() as u32).to_le_bytes());
        body.extend([0; 8]);
        body.extend(data);
        self.answer(request, 0, &body).unwrap();
    }

    /// The one event there is.
    fn end(&mut self) -> End {
        let mut events = std::mem::take(&mut self.host.events);
        match (events.pop(), events.pop()) {
            (Some(Event::Pump { connection: 1, pump: 5, end }), None) => end,
            other => panic!("{other:?}"),
        }
    }

    fn is_quiet(&self) -> bool {
        self.host.events.is_empty() && self.credits.free() == self.credits.total()
    }
}

fn place(buffer: &mut [u8]) -> Place {
    // SAFETY: the tests keep the buffer longer than the connection.
    Place::Memory(unsafe { Memory::new(buffer.as_mut_ptr(), buffer.len()) })
}

fn data(offset: u64, size: u32) -> Vec<u8> {
    (offset..offset + u64::from(size)).map(|place| (place * 7 / 5) as u8).collect()
}

fn error_body() -> [u8; 9] {
    let mut body = [0; 9];
    body[0] = 9;
    body
}

#[test]
fn answers_in_any_order_and_interim_ones() {
    for encrypt in [false, true] {
        let mut buffer = vec![0u8; 1000];
        let mut lab = Lab::new(64);
        lab.encrypt = encrypt;
        let shared = lab.start(lab.settings(Kind::Read, 300, 3, 1000, place(&mut buffer)));
        let mut waiting = lab.requests();
        assert_eq!(waiting.iter().map(Request::offset).collect::<Vec<_>>(), [100, 400, 700]);
        lab.answer(&waiting[1], PENDING, &error_body()).unwrap();
        while let Some(last) = waiting.pop() {
            lab.answer_read(&last, &data(last.offset(), last.size()));
            waiting.splice(..0, lab.requests());
        }
        assert_eq!(lab.end(), End::Done);
        assert_eq!(buffer, data(100, 1000));
        let (_, measured) = shared.snapshot().remove(0);
        assert_eq!((measured.operations, measured.bytes), (4, 1000));
        assert_eq!(shared.contiguous.load(Ordering::Relaxed), 1000);
        assert!(lab.is_quiet());
    }
}

#[test]
fn what_is_done_stays_near_what_is_done_in_order() {
    let mut lab = Lab::new(64);
    lab.start(lab.settings(Kind::Read, 10, 2, 1000, Place::Nowhere));
    let first = lab.requests();
    lab.answer_read(&first[1], &data(110, 10));
    assert!(lab.requests().is_empty()); // 100..110 is missing
    lab.answer_read(&first[0], &data(100, 10));
    assert_eq!(lab.requests().len(), 2);
}

#[test]
fn short_reads_and_the_end_of_the_file() {
    let mut buffer = vec![0u8; 1000];
    let mut lab = Lab::new(64);
    lab.start(lab.settings(Kind::Read, 250, 4, 1000, place(&mut buffer)));
    let requests = lab.requests();
    lab.answer(&requests[3], END_OF_FILE, &error_body()).unwrap();
    lab.answer_read(&requests[0], &data(100, 200)); // for no reason
    lab.answer_read(&requests[2], &data(600, 30));
    lab.answer_read(&requests[1], &data(350, 250));
    let rest = lab.requests();
    assert_eq!(
        rest.iter().map(|one| (one.offset(), one.size())).collect::<Vec<_>>(),
        [(300, 50), (630, 220)]
    );
    lab.answer(&rest[1], END_OF_FILE, &error_body()).unwrap();
    lab.answer_read(&rest[0], &data(300, 50));
    assert_eq!(lab.end(), End::Eof(630));
    assert_eq!(buffer[..530], data(100, 530));
    assert!(lab.is_quiet());
}

#[test]
fn answers_without_the_right_protection_end_the_connection() {
    for (encrypt, signed, flip) in [(false, false, false), (false, true, true), (true, true, false)] {
        let mut lab = Lab::new(64);
        lab.encrypt = encrypt;
        lab.start(lab.settings(Kind::Echo, 0, 1, 0, Place::Nowhere));
        let request = lab.requests().remove(0);
        let mut message = lab.message(&request, 0, 1, &[4, 0, 0, 0]);
        if signed {
            lab.server.sign_unchecked(&mut message);
        }
        if flip {
            *message.last_mut().unwrap() ^= 1;
        }
        assert!(lab.deliver(&message).is_err(), "{encrypt} {signed} {flip}");
        lab.client.end_pumps(&mut lab.host);
        assert_eq!(lab.end(), End::Lost);
    }
}

#[test]
fn malformed_answers_end_the_connection() {
    let mut lab = Lab::new(64);
    lab.start(lab.settings(Kind::Read, 100, 4, 1000, Place::Nowhere));
    let requests = lab.requests();
    let mut body = [0u8; 200];
    body[..8].copy_from_slice(&[17, 0, 80, 0, 101, 0, 0, 0]); // more than was requests
    assert!(lab.answer(&requests[0], 0, &body).is_err());
    body[4] = 100;
    assert!(lab.answer(&requests[1], 0, &body[..100]).is_err()); // less than it says
    body[2] = 70;
    assert!(lab.answer(&requests[2], 0, &body).is_err()); // data in the header
    let other = Request { command: command::ECHO, ..requests[3].clone() };
    assert!(lab.answer(&other, 0, &[4, 0, 0, 0]).is_err());
}

#[test]
fn a_failure_ends_it_when_the_others_are_answered() {
    let mut lab = Lab::new(64);
    let shared = lab.start(lab.settings(Kind::Read, 100, 3, 1000, Place::Nowhere));
    let requests = lab.requests();
    lab.answer(&requests[1], 0xC000_0022, &error_body()).unwrap();
    lab.answer_read(&requests[0], &data(100, 100));
    assert!(lab.host.events.is_empty() && lab.requests().is_empty());
    lab.answer_read(&requests[2], &data(300, 100));
    assert_eq!(lab.end(), End::Status(0xC000_0022, 200));
    assert_eq!(shared.contiguous.load(Ordering::Relaxed), 100);
    assert_eq!(shared.snapshot()[0].1.statuses, [(0xC000_0022, 1)]);
    assert!(lab.is_quiet());
}

#[test]
fn failures_are_only_counted_when_it_keeps_going() {
    let mut lab = Lab::new(64);
    let mut settings = lab.settings(Kind::Read, 100, 1, 200, Place::Verify);
    (settings.keep_going, settings.looped, settings.operations) = (true, true, 4);
    let shared = lab.start(settings);
    for body in [&error_body()[..], &[17, 0, 80, 0, 9], &[17, 0, 80, 0, 100]] {
        let request = lab.requests().remove(0);
        let mut body = body.to_vec();
        let status = if body[0] == 9 { END_OF_FILE } else { 0 };
        body.resize(116, 0);
        lab.answer(&request, status, &body).unwrap();
    }
    lab.client.stop_pump(5, false, &mut lab.host);
    let request = lab.requests().remove(0);
    let mut right = Vec::new();
    Place::Nowhere.load(&mut right, 100, request.offset(), 0, 1).unwrap();
    lab.answer_read(&request, &right);
    assert_eq!(lab.end(), End::Done);
    let measured = shared.snapshot().remove(0).1;
    assert_eq!((measured.operations, measured.statuses.len()), (1, 2)); // wrong data twice: 9 bytes, 100 bytes
}

#[test]
fn credits_bound_what_is_in_flight() {
    let mut lab = Lab::new(4);
    lab.start(lab.settings(Kind::Read, 128 * 1024, 8, 10 << 20, Place::Nowhere));
    let mut requests = lab.requests();
    assert_eq!(requests.iter().map(|one| (one.id, one.charge)).collect::<Vec<_>>(), [(0, 2), (2, 2)]);
    assert!(requests[0].credits > 2); // it asks for more
    assert!(!lab.credits.reserve(1));
    lab.credits.want(1);
    lab.answer_read(&requests.remove(0), &vec![0; 128 * 1024]);
    assert!(matches!(lab.host.events[..], [Event::Credits { connection: 1 }]));
    assert!(lab.requests().is_empty()); // the control plane comes first
    assert!(lab.credits.reserve(1));
    lab.credits.want(0);
    assert_eq!(lab.credits.take(1), Some(4));
    lab.answer_read(&requests.remove(0), &vec![0; 128 * 1024]);
    assert_eq!(lab.requests().iter().map(|one| one.id).collect::<Vec<_>>(), [5]);
}

#[test]
fn a_request_that_costs_more_than_there_is_becomes_smaller() {
    let mut lab = Lab::new(1);
    lab.start(lab.settings(Kind::Read, 200_000, 2, 300_000, Place::Nowhere));
    let mut sizes = Vec::new();
    while let Some(request) = lab.requests().pop() {
        sizes.push(request.size());
        let mut message = lab.message(&request, 0, request.charge + 1, &[17, 0, 80, 0]);
        message.extend(request.size().to_le_bytes());
        message.resize(80 + request.size() as usize, 0);
        lab.server.sign_unchecked(&mut message);
        lab.deliver(&message).unwrap();
    }
    assert_eq!((sizes[0], sizes.iter().sum::<u32>()), (65536, 300_000));
    assert_eq!(lab.end(), End::Done);
}

#[test]
fn an_abandoned_pump_lets_go_and_its_answers_are_thrown_away() {
    let mut buffer = vec![0u8; 1000];
    let mut lab = Lab::new(64);
    lab.start(lab.settings(Kind::Read, 100, 4, 1000, place(&mut buffer)));
    let requests = lab.requests();
    lab.client.stop_pump(5, true, &mut lab.host);
    assert_eq!(lab.end(), End::Abandoned);
    for request in &requests {
        lab.answer_read(request, &data(request.offset(), 100));
    }
    assert!(lab.requests().is_empty() && buffer.iter().all(|byte| *byte == 0));
    assert!(lab.is_quiet());
    lab.client.stop_pump(5, false, &mut lab.host); // it has ended: nothing happens
    assert!(lab.is_quiet());
}

#[test]
fn what_was_opened_is_closed_even_when_it_is_stopped() {
    let mut lab = Lab::new(64);
    let shared = lab.start(lab.settings(Kind::Open, 0, 1, 0, Place::Nowhere));
    let create = lab.requests().remove(0);
    assert_eq!((create.command, create.body.len()), (command::CREATE, 60));
    lab.client.stop_pump(5, false, &mut lab.host);
    let mut body = [0u8; 88];
    (body[0], body[64], body[72]) = (89, 1, 2);
    lab.answer(&create, 0, &body).unwrap();
    let close = lab.requests().remove(0);
    assert_eq!((close.command, close.body[8], close.body[16]), (command::CLOSE, 1, 2));
    lab.answer(&close, 0, &[60; 60]).unwrap();
    assert_eq!(lab.end(), End::Done);
    let counts: Vec<_> =
        shared.snapshot().iter().map(|(class, one)| (class.name(), one.operations)).collect();
    assert_eq!(counts, [("create", 1), ("close", 1)]);
}

#[test]
fn a_mix_spreads_its_reads_and_counts_both_kinds() {
    let mut lab = Lab::new(512);
    let mut settings = lab.settings(Kind::Mixed, 100, 10, 1000, Place::Verify);
    (settings.looped, settings.operations) = (true, 20);
    let shared = lab.start(settings);
    let mut order = Vec::new();
    for _ in 0..20 {
        for request in lab.requests() {
            order.push(request.command);
            if request.command == command::READ {
                let mut pattern = Vec::new();
                Place::Nowhere.load(&mut pattern, 100, request.offset(), 0, 1).unwrap();
                lab.answer_read(&request, &pattern);
            } else {
                assert_eq!(Place::Verify.store(&request.body[48..], request.offset(), 0, 1), Stored::Done);
                lab.answer(&request, 0, &[17, 0, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
            }
        }
    }
    let turn = |read| if read { command::READ } else { command::WRITE };
    let ten = [false, true, true, false, true, true, false, true, true, true].map(turn);
    order.truncate(10);
    assert_eq!(order, ten);
    assert_eq!(lab.end(), End::Done);
    let counts: Vec<_> =
        shared.snapshot().iter().map(|(class, one)| (class.name(), one.operations, one.bytes)).collect();
    assert_eq!(counts, [("read", 14, 1400), ("write", 6, 600)]);
}

#[test]
fn writes_from_a_file_end_where_it_ends() {
    let mut file = tempfile(&data(0, 250));
    file.seek(std::io::SeekFrom::Start(0)).unwrap();
    let mut lab = Lab::new(64);
    lab.start(lab.settings(Kind::Write, 100, 8, 1000, Place::File(open_file(file), 20)));
    let requests = lab.requests();
    let sent: Vec<_> = requests.iter().map(|one| (one.offset(), one.size())).collect();
    assert_eq!(sent, [(100, 100), (200, 100), (300, 30)]);
    let bytes: Vec<u8> = requests.iter().flat_map(|one| one.body[48..].to_vec()).collect();
    assert_eq!(bytes, data(20, 230));
    let body = |count: u32| {
        let mut body = vec![17, 0, 0, 0];
        body.extend(count.to_le_bytes());
        body.resize(16, 0);
        body
    };
    lab.answer(&requests[0], 0, &body(100)).unwrap();
    lab.answer(&requests[1], 0, &body(100)).unwrap();
    lab.answer(&requests[2], 0, &body(30)).unwrap();
    assert_eq!(lab.end(), End::Eof(330));
    let mut lab = Lab::new(64);
    lab.start(lab.settings(Kind::Write, 100, 1, 1000, Place::Nowhere));
    let request = lab.requests().remove(0);
    assert_eq!(Place::Verify.store(&request.body[48..], 100, 0, 1), Stored::Done);
    lab.answer(&request, 0, &body(99)).unwrap(); // the disk is full
    assert_eq!(lab.end(), End::Status(0xC000_007F, 100));
}

#[test]
fn other_answers_go_up() {
    let mut lab = Lab::new(64);
    lab.start(lab.settings(Kind::Echo, 0, 1, 0, Place::Nowhere));
    let mut request = lab.requests().remove(0);
    request.id = 1;
    lab.answer(&request, 0, &[4, 0, 0, 0]).unwrap();
    assert!(matches!(lab.host.events[..], [Event::Message { bad_signatures: 0, unverified: 0, .. }]));
}

fn open_file(file: std::fs::File) -> Arc<OpenFile> {
    Arc::new(OpenFile::new(file.into()))
}

fn tempfile(content: &[u8]) -> std::fs::File {
    temporary_file(content).into()
}
