//! Every rung of the ladder over real sockets: what is read comes out whole and in order, however slowly it is taken, and
//! whatever is under way when the client goes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::attached::{AttachedOpen, SessionOpens};
use crate::crypto::{Signer, SigningAlgorithm};
use crate::fast::{temporary_file, OpenFile};
use crate::gate::{Gate, Levels};
use crate::ladder::{Rung, Splicing};
use crate::wire::{command, Header, ReadRequest, HEADER_BYTES};
use zerocopy::IntoBytes;

pub(super) const SESSION: u64 = 77;
const SIZE: u32 = 1 << 20;

fn content() -> Vec<u8> {
    (0..3 * SIZE + 12_345).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

pub(super) struct Server {
    pub(super) plane: DataPlane,
    address: std::net::SocketAddr,
    pub(super) gate: Arc<Gate>,
}

impl Server {
    fn new(engine: &str, rung: Rung) -> Server {
        Server::with(engine, rung, WriteRung::Plain)
    }

    pub(super) fn with(engine: &str, rung: Rung, write_rung: WriteRung) -> Server {
        let config = Config {
            threads: 1,
            engine: engine.into(),
            role: Role::Server,
            read_path: rung.name().into(),
            write_path: write_rung.name().into(),
            splicing: Splicing::Always, // the clients are on the loopback
            limits: Limits { output_high_water: 8 << 20, ..Limits::default() },
        };
        let plane = DataPlane::start(config).unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        plane.listen(socket.into(), Framing::Tcp);
        Server { plane, address, gate: Arc::default() }
    }

    pub(super) fn event<T>(&self, choose: impl Fn(&Event) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(found) = self.plane.poll(1).iter().find_map(&choose) {
                return found;
            }
            let mut poll = libc::pollfd { fd: self.plane.event_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one valid pollfd.
            unsafe { libc::poll(&raw mut poll, 1, 1000) };
            assert!(Instant::now() < deadline, "no such event within 10 s");
        }
    }

    /// A client with credits and an attached file.
    fn client(&self, content: &[u8]) -> TcpStream {
        self.client_of(temporary_file(content)).0
    }

    /// The same with its open, which it may read and write.
    pub(super) fn client_of(&self, file: OwnedFd) -> (TcpStream, Arc<AttachedOpen>) {
        let mut client = TcpStream::connect(self.address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let id = self.event(|event| match event {
            Event::Accepted { connection, .. } => Some(*connection),
            _ => None,
        });
        let signer = Signer::new(SigningAlgorithm::AesGmac, &[9; 16]).unwrap();
        let keys = Arc::new(SessionKeys::new(signer, None, false, false));
        let opens = Arc::new(SessionOpens::default());
        let open = Arc::new(AttachedOpen {
            tree_id: 7,
            persistent_id: 11,
            volatile_id: 12,
            encrypted_only: false,
            position: Arc::default(),
            sequence: None,
            gate: self.gate.beneath(),
            pages: Arc::default(),
            readable: true,
            writable: true,
            acting: None,
            file: OpenFile::new(file),
        });
        opens.attach(open.clone());
        self.plane.set_session(id, SESSION, keys, opens);
        let settings = Settings {
            authenticated: true,
            max_read: 8 << 20,
            max_write: 8 << 20,
            multi_credit: true,
            ..Settings::default()
        };
        self.plane.set_connection(id, settings);
        let negotiate = [Header::request(0, 0).as_bytes(), &[36; 36]].concat();
        client.write_all(&framed(&negotiate)).unwrap();
        self.event(|event| matches!(event, Event::Message { .. }).then_some(()));
        let mut answer = Header::request(0, 0).response(0, 0);
        answer.credits = 8000.into();
        self.plane.submit(vec![(id, Submission::new(0, 0, &[answer.as_bytes()]))]);
        assert_eq!(message(&mut client).len(), HEADER_BYTES);
        (client, open)
    }

    pub(super) fn count(&self, name: &str) -> u64 {
        self.plane.statistics().into_iter().find(|(known, _)| *known == name).unwrap().1
    }
}

pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_be_bytes(), message].concat()
}

fn read(id: u64, offset: u64, length: u32) -> Vec<u8> {
    let charge = length.div_ceil(65536) as u16;
    let header = Header {
        credit_charge: charge.into(),
        credits: charge.into(),
        tree_id: 7.into(),
        session_id: SESSION.into(),
        ..Header::request(command::READ, id)
    };
    let body = ReadRequest {
        length: length.into(),
        offset: offset.into(),
        file_id: (11, 12).into(),
        ..ReadRequest::new()
    };
    framed(&[header.as_bytes(), body.as_bytes(), &[0]].concat())
}

/// Asks for everything at once, small reads between large ones, and says where each one is.
fn ask(client: &mut TcpStream, first: u64) -> (u64, Vec<std::ops::Range<usize>>) {
    let (mut id, mut ranges, mut requests) = (first, Vec::new(), Vec::new());
    for (offset, length) in [(5, SIZE), (0, 100), (4096, 65536), (SIZE, SIZE), (3, 65_535), (3 * SIZE, SIZE)]
    {
        requests.extend(read(id, u64::from(offset), length));
        id += u64::from(length.div_ceil(65536));
        ranges.push(offset as usize..(offset + length) as usize);
    }
    client.write_all(&requests).unwrap();
    (id, ranges)
}

pub(super) fn message(client: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    client.read_exact(&mut length).unwrap();
    let mut message = vec![0; u32::from_be_bytes(length) as usize];
    client.read_exact(&mut message).unwrap();
    message
}

/// Runs a test with each rung that an engine has.
fn each(test: impl Fn(&Server, Rung)) {
    for engine in ["epoll", "uring"] {
        if choose(engine).is_err() {
            println!("skipped: there is no io_uring");
            continue;
        }
        for rung in Rung::ALL {
            let server = Server::new(engine, rung);
            if server.plane.ladder().rung == rung {
                test(&server, rung);
            } else {
                assert!(engine == "epoll" || rung == Rung::ZeroCopy, "{rung:?}");
            }
        }
    }
}

#[test]
fn reads_are_whole_and_in_order_on_every_rung() {
    let content = content();
    each(|server, rung| {
        let (mut client, mut id) = (server.client(&content), 1);
        for pause in [0, 20, 0] {
            let ranges;
            (id, ranges) = ask(&mut client, id);
            for range in ranges {
                std::thread::sleep(Duration::from_millis(pause)); // the socket gets full
                let answer = message(&mut client);
                let end = range.end.min(content.len());
                assert_eq!(Header::of(&answer).status, 0);
                assert!(answer[80..] == content[range.start..end], "{rung:?}, {range:?}");
            }
        }
        let sent = |name| server.count(name);
        let large = 3 * (2 * u64::from(SIZE) + 65_536 + 12_345);
        let used = match rung {
            Rung::Plain => sent("sent_async") + sent("sent_zero_copy") + sent("sent_spliced") + large,
            Rung::Async => sent("sent_async"),
            Rung::ZeroCopy => sent("sent_zero_copy"),
            Rung::Splice => sent("sent_spliced"),
        };
        let fits = used.abs_diff(large) < 300_000; // headers, the end of the file, the rest of what was cut
        assert!(fits, "{rung:?}: {used} of {large} bytes");
        assert_eq!(server.count("fast_reads"), 18);
    });
}

#[test]
fn clients_that_go_leave_nothing_behind_on_any_rung() {
    let content = content();
    each(|server, rung| {
        for taken in [0, 1, 100_000, 1_500_000] {
            let mut client = server.client(&content);
            ask(&mut client, 1);
            let mut some = vec![0; taken];
            client.read_exact(&mut some).unwrap();
            drop(client); // with most of the answers unread: a reset
            server.event(|event| matches!(event, Event::Closed { .. }).then_some(()));
        }
        // The engine goes on.
        let mut client = server.client(&content);
        let (_, ranges) = ask(&mut client, 1);
        assert!(message(&mut client)[80..] == content[ranges[0].clone()], "{rung:?}");
        drop(client);
        server.event(|event| matches!(event, Event::Closed { .. }).then_some(()));
        assert_eq!(server.count("connections"), 0);
        assert!(server.gate.hold(Levels::ALL).is_drained(), "no read is left");
        server.plane.shutdown();
    });
}

/// Whoever holds a file waits for no client: what one has not taken yet is read at once, and is what the file held then.
#[test]
fn a_hold_waits_for_no_client_that_reads_slowly() {
    let content = content();
    each(|server, rung| {
        if rung == Rung::Splice {
            return; // its pages are the file's
        }
        let fd = temporary_file(&content);
        let file = std::fs::File::from(fd.try_clone().unwrap());
        let (mut client, _open) = server.client_of(fd);
        let requests: Vec<_> = (0..6).flat_map(|i| read(1 + 16 * i, 0, SIZE)).collect();
        client.write_all(&requests).unwrap();
        let mut first = message(&mut client);
        // More than the sockets hold is under way.
        let deadline = Instant::now() + Duration::from_secs(10);
        while server.count("fast_reads") < 6 {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(1));
        }
        let hold = server.gate.hold(Levels::ALL);
        let (told, drained) = std::sync::mpsc::channel();
        hold.when_drained(Box::new(move || told.send(()).unwrap()));
        drained.recv_timeout(Duration::from_secs(10)).expect("nobody reads");
        std::os::unix::fs::FileExt::write_all_at(&file, &vec![0xee; SIZE as usize], 0).unwrap();
        for number in 0..6 {
            assert!(first[80..] == content[..SIZE as usize], "{rung:?}, {number}");
            if number < 5 {
                first = message(&mut client);
            }
        }
        assert_eq!(server.count("messages"), 1, "only NEGOTIATE went up");
    });
}

#[test]
fn a_plane_ends_while_large_answers_are_under_way() {
    let content = content();
    each(|server, _| {
        let mut client = server.client(&content);
        ask(&mut client, 1);
        let mut some = [0; 100];
        client.read_exact(&mut some).unwrap();
        let begun = Instant::now();
        server.plane.shutdown();
        assert!(begun.elapsed() < Duration::from_secs(4), "it waits for nobody");
        drop(client);
    });
}
