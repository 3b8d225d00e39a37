//! The same behaviour from both engines, over real sockets: what goes in comes out, whole, in order, and it ends well.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use frevo_dataplane::attached::{AttachedOpen, SessionOpens};
use frevo_dataplane::conn::{Role, Settings, Submission, CLOSE_AFTER};
use frevo_dataplane::crypto::{SessionKeys, Signer, SigningAlgorithm};
use frevo_dataplane::engine::{choose, Config, DataPlane};
use frevo_dataplane::event::Event;
use frevo_dataplane::fast::OpenFile;
use frevo_dataplane::framing::Framing;
use frevo_dataplane::gate::Gate;
use frevo_dataplane::limits::Limits;

const SESSION: u64 = 0x5e55;
const TREE: u32 = 7;
const FILE: (u64, u64) = (11, 12);

/// Runs a test with every engine of this machine.
fn each(test: impl Fn(&'static str)) {
    test("epoll");
    match choose("uring") {
        Ok(_) => test("uring"),
        Err(error) => println!("skipped for io_uring: {error}"),
    }
}

struct Bench {
    plane: Arc<DataPlane>,
    address: std::net::SocketAddr,
    listener: u64,
    events: Vec<Event>,
}

impl Bench {
    fn new(engine: &str, limits: Limits) -> Bench {
        let plane = DataPlane::start(Config {
            threads: 2,
            engine: engine.into(),
            ..Config::with(Role::Server, limits)
        })
        .unwrap();
        assert_eq!(plane.engine(), engine);
        let plane = Arc::new(plane);
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let listener = plane.listen(OwnedFd::from(socket), Framing::Tcp);
        Bench { plane, address, listener, events: Vec::new() }
    }

    /// A client and the number of its connection.
    fn connect(&mut self) -> (TcpStream, u64) {
        let client = TcpStream::connect(self.address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let id = self.wait(|event| match event {
            Event::Accepted { connection, .. } => Some(*connection),
            _ => None,
        });
        (client, id)
    }

    /// A client with a session that may use the fast path. Message id 0 is used up.
    fn log_on(&mut self, file: Option<OwnedFd>) -> (TcpStream, u64) {
        let (mut client, id) = self.connect();
        let signer = Signer::new(SigningAlgorithm::by_id(2).unwrap(), &[9; 16]).unwrap();
        let opens = Arc::new(SessionOpens::default());
        let keys = Arc::new(SessionKeys::new(signer, None, false, false));
        self.plane.set_session(id, SESSION, keys, opens.clone());
        let (max_read, max_write) = (8 << 20, 8 << 20);
        let settings =
            Settings { authenticated: true, max_read, max_write, multi_credit: true, ..Settings::default() };
        self.plane.set_connection(id, settings);
        if let Some(file) = file {
            let (persistent_id, volatile_id) = FILE;
            opens.attach(Arc::new(AttachedOpen {
                tree_id: TREE,
                persistent_id,
                volatile_id,
                encrypted_only: false,
                position: Arc::default(),
                sequence: None,
                gate: Arc::new(Gate::new()).beneath(),
                pages: Arc::default(),
                readable: true,
                writable: true,
                acting: None,
                file: OpenFile::new(file),
            }));
        }
        // The answer to this comes after the commands above have been carried out.
        client.write_all(&request(0, 0, 1, &[36; 36])).unwrap();
        let mut answer = self.message(id)[..64].to_vec();
        answer[14..16].copy_from_slice(&8000u16.to_le_bytes());
        self.plane.submit(vec![(id, Submission::new(0, 0, &[&answer]))]);
        response(&mut client);
        (client, id)
    }

    /// The next event that `choose` wants; others stay for later.
    fn wait<T>(&mut self, choose: impl Fn(&Event) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            for index in 0..self.events.len() {
                if let Some(found) = choose(&self.events[index]) {
                    self.events.remove(index);
                    return found;
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no such event within 10 s; there are {:?}", self.events.len());
            let mut poll = libc::pollfd { fd: self.plane.event_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one valid pollfd.
            unsafe { libc::poll(&raw mut poll, 1, left.as_millis() as i32) };
            self.events.extend(self.plane.poll(1000));
        }
    }

    fn message(&mut self, id: u64) -> Vec<u8> {
        self.wait(|event| match event {
            Event::Message { connection, payload, .. } if *connection == id => Some(payload.to_vec()),
            _ => None,
        })
    }

    fn closed(&mut self, id: u64) -> String {
        self.wait(|event| match event {
            Event::Closed { connection, reason } if *connection == id => Some(reason.to_string()),
            _ => None,
        })
    }
}

/// A framed SMB2 request with a body of `size` bytes after the header.
fn request(command: u16, message_id: u64, charge: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = ((64 + body.len()) as u32).to_be_bytes().to_vec();
    frame.extend([0xfe, b'S', b'M', b'B', 64, 0]);
    frame.extend(charge.to_le_bytes());
    frame.extend([0; 4]);
    frame.extend(command.to_le_bytes());
    frame.extend(64u16.to_le_bytes()); // credits asked for
    frame.extend([0; 8]);
    frame.extend(message_id.to_le_bytes());
    frame.extend([0; 4]);
    frame.extend(TREE.to_le_bytes());
    frame.extend(SESSION.to_le_bytes());
    frame.extend([0; 16]);
    frame.extend(body);
    frame
}

fn read_request(message_id: u64, length: u32, offset: u64) -> Vec<u8> {
    let mut body = vec![49, 0, 80, 0];
    body.extend(length.to_le_bytes());
    body.extend(offset.to_le_bytes());
    body.extend(FILE.0.to_le_bytes());
    body.extend(FILE.1.to_le_bytes());
    body.extend([0; 17]);
    request(8, message_id, length.div_ceil(65536).max(1) as u16, &body)
}

fn response(client: &mut TcpStream) -> Vec<u8> {
    let mut header = [0; 4];
    client.read_exact(&mut header).unwrap();
    let mut message = vec![0; u32::from_be_bytes(header) as usize];
    client.read_exact(&mut message).unwrap();
    message
}

/// A nameless file with that content.
fn file_with(content: &[u8], name: &str) -> OwnedFd {
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, content).unwrap();
    let file = OwnedFd::from(std::fs::File::open(&path).unwrap());
    std::fs::remove_file(&path).unwrap();
    file
}

fn pattern(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..size).map(|_| next()).collect()
}

#[test]
fn messages_of_every_size_arrive_whole() {
    // Goal: small and large messages mixed, split and joined by TCP, arrive in order and unchanged. Method: sizes
    // around every threshold, written in odd pieces.
    each(|engine| {
        let mut bench = Bench::new(engine, Limits::default());
        let (mut client, id) = bench.log_on(None);
        let sizes =
            [0, 1, 100, 8 << 10, 16 << 10, 70_000, 5, 1 << 20, 8, 1 << 20, 1 << 20, 4, 300_000, 64 << 10, 9];
        let mut sent = Vec::new();
        let mut number = 1u64;
        for size in sizes {
            let charge = ((size as u32).div_ceil(65536)).max(1);
            let frame = request(9, number, charge as u16, &pattern(size, number));
            number += u64::from(charge);
            for piece in frame.chunks(77_777) {
                client.write_all(piece).unwrap();
            }
            sent.push(frame[4..].to_vec());
            let message = bench.message(id);
            assert!(message == sent[sent.len() - 1], "{engine}: a message of {size} bytes changed");
            let mut answer = message[..64].to_vec();
            answer[16] |= 1;
            answer[14] = 128;
            bench.plane.submit(vec![(id, Submission::new(0, 0, &[&answer]))]);
            assert_eq!(response(&mut client)[24..32], message[24..32]);
        }
        client.shutdown(std::net::Shutdown::Both).unwrap();
        assert_eq!(bench.closed(id), "closed by the peer");
    });
}

#[test]
fn fast_reads_and_echoes_in_a_row() {
    // Goal: pipelined READ and ECHO are answered in order with the right bytes. Method: a sparse file with a pattern.
    each(|engine| {
        let mut bench = Bench::new(engine, Limits::default());
        let content = pattern(3 << 20, 1);
        let file = file_with(&content, &format!("frevo-engines-{}-{engine}", std::process::id()));
        // Out of the page cache: the first reads have to wait for the disk.
        // SAFETY: plain calls on an open descriptor.
        unsafe {
            libc::fsync(file.as_raw_fd());
            libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED);
        }
        let (mut client, _) = bench.log_on(Some(file));
        client.write_all(&request(13, 1, 1, &[4, 0, 0, 0])).unwrap();
        assert_eq!(response(&mut client)[12], 13);
        let mut number = 2;
        for (length, offset) in
            [(4096u32, 0u64), (4096, 8192), (1 << 20, 1 << 20), (65536, 3), (1 << 20, (3 << 20) - 5)]
        {
            client.write_all(&read_request(number, length, offset)).unwrap();
            number += u64::from(length.div_ceil(65536));
            let answer = response(&mut client);
            let end = content.len().min(offset as usize + length as usize);
            assert_eq!(answer[8..12], [0; 4]);
            assert!(answer[80..] == content[offset as usize..end], "{engine}: {length} bytes at {offset}");
        }
        // One after the other without waiting, more than the socket holds.
        let mut wanted = Vec::new();
        for round in 0..24u64 {
            client.write_all(&read_request(number, 128 << 10, round * 4096)).unwrap();
            number += 2;
            wanted.push(round as usize * 4096);
        }
        for offset in wanted {
            let answer = response(&mut client);
            assert!(answer[80..] == content[offset..offset + (128 << 10)]);
        }
        client.write_all(&read_request(number, 10, 4 << 20)).unwrap();
        assert_eq!(response(&mut client)[8..12], 0xC000_0011u32.to_le_bytes()); // END_OF_FILE
    });
}

#[test]
fn a_client_that_does_not_read_is_held_up_alone() {
    // Goal: output is bounded and the connection goes on when the client reads. Method: reads of 1 MiB unread.
    each(|engine| {
        let mut bench = Bench::new(engine, Limits { output_high_water: 1 << 20, ..Limits::default() });
        let content = pattern(1 << 20, 2);
        let file = file_with(&content, &format!("frevo-slow-{}-{engine}", std::process::id()));
        let (mut client, _) = bench.log_on(Some(file));
        for round in 0..24 {
            client.write_all(&read_request(1 + 16 * round, 1 << 20, 0)).unwrap();
        }
        let (mut other, _) = bench.log_on(None);
        for number in 1..50 {
            other.write_all(&request(13, number, 1, &[4, 0, 0, 0])).unwrap();
            assert_eq!(response(&mut other)[12], 13);
        }
        for _ in 0..24 {
            assert!(response(&mut client)[80..] == content[..]);
        }
    });
}

#[test]
fn connections_end_well() {
    // Goal: CLOSE_AFTER sends the last answer, close with abort ends at once, a malformed frame closes that
    // connection alone, a closed listener refuses. Method: one connection each; then shut down with one open.
    each(|engine| {
        let mut bench = Bench::new(engine, Limits::default());
        let (mut last, id) = bench.connect();
        last.write_all(&request(0, 0, 1, &[36; 36])).unwrap();
        let message = bench.message(id);
        bench.plane.submit(vec![(id, Submission::new(0, CLOSE_AFTER, &[&message[..64]]))]);
        response(&mut last);
        assert_eq!(last.read(&mut [0; 10]).unwrap(), 0);
        bench.closed(id);

        let (mut cut, id) = bench.connect();
        bench.plane.close(id, true);
        bench.closed(id);
        assert!(matches!(cut.read(&mut [0; 10]), Ok(0)) || cut.read(&mut [0; 10]).is_err());

        let (mut wrong, id) = bench.connect();
        let (mut good, good_id) = bench.connect();
        wrong.write_all(&[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        bench.closed(id);
        good.write_all(&request(0, 0, 1, &[36; 36])).unwrap();
        assert_eq!(bench.message(good_id).len(), 100);

        bench.plane.close_listener(bench.listener);
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match TcpStream::connect(bench.address) {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => break,
                _ => assert!(Instant::now() < deadline, "{engine}: the listener is still there"),
            }
        }
        let begun = Instant::now();
        bench.plane.shutdown();
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "{engine}: shutting down took {:?}",
            begun.elapsed()
        );
        assert_eq!(good.read(&mut [0; 10]).unwrap(), 0);
    });
}

#[test]
fn many_connections_at_once() {
    // Goal: more connections than provided buffers, all speaking at the same time. Method: 600 clients, 5 rounds.
    each(|engine| {
        let mut bench = Bench::new(engine, Limits::default());
        let mut clients: Vec<(TcpStream, u64)> = (0..600).map(|_| bench.log_on(None)).collect();
        for round in 1..6 {
            for (client, _) in &mut clients {
                client.write_all(&request(13, round, 1, &[4, 0, 0, 0])).unwrap();
            }
            for (client, _) in &mut clients {
                assert_eq!(response(client)[12], 13);
            }
        }
        let ids: Vec<u64> = clients.drain(..).map(|(_, id)| id).collect();
        for id in ids {
            bench.closed(id);
        }
        let open = bench.plane.statistics().into_iter().find(|(name, _)| *name == "connections");
        assert_eq!(open, Some(("connections", 0)));
    });
}

/// An ECHO answer that says who sent it as which: the message id and the process id field hold the two numbers.
fn numbered(sender: u64, number: u64, size: usize) -> Vec<u8> {
    let mut answer = request(13, number, 1, &pattern(size, number))[4..].to_vec();
    answer[16] |= 1;
    answer[32..36].copy_from_slice(&(sender as u32 + 1).to_le_bytes());
    answer
}

#[test]
fn answers_of_several_threads_keep_their_order() {
    // Goal: what is sent by the submitting thread, what the I/O thread sends for it and the fast path's answers never
    // mix within a message, and each sender's messages stay in order. Method: three threads with small and large
    // messages, a client that sends ECHO meanwhile and reads late, so that the socket is full at times.
    const ROUNDS: u64 = 300;
    each(|engine| {
        let mut bench = Bench::new(engine, Limits::default());
        let (mut client, id) = bench.log_on(None);
        let mut echoes = client.try_clone().unwrap();
        std::thread::scope(|scope| {
            for sender in 0..3u64 {
                let plane = &bench.plane;
                scope.spawn(move || {
                    for number in 0..ROUNDS {
                        let size = [8, 300, 20_000, 1, 9000, 200_000][(number * 7 % 6) as usize];
                        let answer = numbered(sender, number, size);
                        plane.submit(vec![(id, Submission::new(0, 0, &[&answer]))]);
                    }
                });
            }
            scope.spawn(move || {
                for number in 1..=ROUNDS {
                    echoes.write_all(&request(13, number, 1, &[4, 0, 0, 0])).unwrap();
                }
            });
            let mut next = [0u64; 4];
            next[0] = 1; // the first ECHO has the message id 1
            while next != [ROUNDS + 1, ROUNDS, ROUNDS, ROUNDS] {
                let answer = response(&mut client);
                let sender = u32::from_le_bytes(answer[32..36].try_into().unwrap()) as usize;
                let number = u64::from_le_bytes(answer[24..32].try_into().unwrap());
                assert_eq!(number, next[sender], "{engine}: sender {sender}");
                assert!(sender == 0 || answer[64..] == pattern(answer.len() - 64, number)[..]);
                next[sender] += 1;
            }
        });
    });
}

#[test]
fn keys_given_before_an_answer_sign_it() {
    // Goal: a change and the answer after it take effect in that order, whichever thread carries them out. Method: new
    // keys before every one of 300 answers, the client keeps the I/O thread busy with ECHO; every signature is checked.
    each(|engine| {
        let mut bench = Bench::new(engine, Limits::default());
        let (mut client, id) = bench.log_on(None);
        let signer = |number: u8| Signer::new(SigningAlgorithm::by_id(2).unwrap(), &[number; 16]).unwrap();
        for number in 1..=300 {
            client.write_all(&request(5, number, 1, &[0; 4])).unwrap();
            bench.message(id);
        }
        let mut sent = 0;
        for number in 1..=300u64 {
            client.write_all(&request(13, number + 300, 1, &[4, 0, 0, 0])).unwrap();
            let keys = Arc::new(SessionKeys::new(signer(number as u8), None, false, false));
            bench.plane.set_session(id, SESSION, keys, Arc::default());
            let mut answer = numbered(0, number, 10 + (number as usize % 3) * 10_000);
            answer[16] |= 8; // SIGNED
            bench.plane.submit(vec![(id, Submission::new(SESSION, 0, &[&answer]))]);
            while sent < number {
                let mut got = response(&mut client);
                if got[16] & 8 != 0 {
                    let keys = SessionKeys::new(signer(number as u8), None, false, false);
                    assert!(keys.verify(&mut got), "{engine}: answer {number}");
                    sent += 1;
                }
            }
        }
    });
}

#[test]
fn connections_that_end_while_answers_are_sent() {
    // Goal: a connection that ends on either side during a submit is reported once and leaves nothing behind. Method:
    // submit in a thread without pause while the client leaves, the server cuts, closes, or is asked to close after an
    // answer; then shut down in the middle of it.
    each(|engine| {
        let mut bench = Bench::new(engine, Limits::default());
        let (plane, going) = (bench.plane.clone(), Arc::new(AtomicBool::new(true)));
        for round in 0..40u64 {
            let (mut client, id) = bench.log_on(None);
            going.store(true, Ordering::SeqCst);
            let sender = std::thread::spawn({
                let (plane, going) = (plane.clone(), going.clone());
                move || {
                    for number in 0.. {
                        if !going.load(Ordering::SeqCst) {
                            return;
                        }
                        let answer = numbered(0, number, if number % 16 == 0 { 20_000 } else { 50 });
                        plane.submit(vec![(id, Submission::new(0, 0, &[&answer]))]);
                    }
                }
            });
            response(&mut client);
            match round % 4 {
                0 => client.shutdown(std::net::Shutdown::Both).unwrap(),
                1 => plane.close(id, true),
                2 => plane.close(id, false),
                _ => plane.submit(vec![(id, Submission::new(0, CLOSE_AFTER, &[&numbered(0, 9, 9)]))]),
            }
            let _ = client.read_to_end(&mut Vec::new());
            bench.closed(id);
            going.store(false, Ordering::SeqCst);
            sender.join().unwrap();
        }
        assert!(!bench.events.iter().any(|event| matches!(event, Event::Closed { .. })), "{engine}");
        let (mut client, id) = bench.log_on(None);
        let sender = std::thread::spawn(move || {
            (0..200_000).for_each(|n| plane.submit(vec![(id, Submission::new(0, 0, &[&numbered(0, n, 9)]))]));
        });
        response(&mut client);
        bench.plane.shutdown();
        drop(client);
        sender.join().unwrap();
    });
}
