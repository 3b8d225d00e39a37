//! Measures the engines side by side: the same load on each in turn, several rounds, best values and ratios.
//!
//! Best of the rounds: disturbance only makes things slower.
//! `cargo run --release --example engines [ROUNDS [SECONDS]]`. The load generator is one thread with epoll of its own;
//! server CPU is that of the threads named frevo-io-*, so that the client's cost does not blur the comparison.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use frevo_dataplane::attached::{AttachedOpen, SessionOpens};
use frevo_dataplane::conn::{Role, Settings, Submission};
use frevo_dataplane::crypto::{SessionKeys, Signer, SigningAlgorithm};
use frevo_dataplane::engine::{choose, Config, DataPlane};
use frevo_dataplane::event::Event;
use frevo_dataplane::fast::OpenFile;
use frevo_dataplane::framing::Framing;
use frevo_dataplane::gate::Gate;
use frevo_dataplane::limits::Limits;

/// One kind of load.
struct Load {
    name: &'static str,
    connections: usize,
    depth: usize,
    /// 0: ECHO; positive: READ of so many bytes; negative: a message of so many bytes for the control plane.
    bytes: i64,
}

const LOADS: [Load; 13] = [
    Load { name: "echo, 1 connection, depth 1", connections: 1, depth: 1, bytes: 0 },
    Load { name: "echo, 4 connections, depth 1", connections: 4, depth: 1, bytes: 0 },
    Load { name: "echo, 64 connections, depth 1", connections: 64, depth: 1, bytes: 0 },
    Load { name: "echo, 4 connections, depth 16", connections: 4, depth: 16, bytes: 0 },
    Load { name: "read 4 KiB, 1 connection, depth 1", connections: 1, depth: 1, bytes: 4096 },
    Load { name: "read 4 KiB, 16 connections, depth 1", connections: 16, depth: 1, bytes: 4096 },
    Load { name: "read 4 KiB, 4 connections, depth 16", connections: 4, depth: 16, bytes: 4096 },
    Load { name: "read 64 KiB, 4 connections, depth 4", connections: 4, depth: 4, bytes: 65536 },
    Load { name: "read 1 MiB, 1 connection, depth 4", connections: 1, depth: 4, bytes: 1 << 20 },
    Load { name: "read 1 MiB, 4 connections, depth 2", connections: 4, depth: 2, bytes: 1 << 20 },
    Load { name: "up 200 B, 4 connections, depth 1", connections: 4, depth: 1, bytes: -200 },
    Load { name: "up 64 KiB, 4 connections, depth 2", connections: 4, depth: 2, bytes: -65536 },
    Load { name: "up 1 MiB, 2 connections, depth 2", connections: 2, depth: 2, bytes: -(1 << 20) },
];

const SESSION: u64 = 1;

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|text| text.parse::<f64>().ok());
    let rounds = arguments.next().unwrap_or(3.0) as usize;
    let seconds = Duration::from_secs_f64(arguments.next().unwrap_or(0.7));
    let only = std::env::args().nth(3).unwrap_or_default();
    if let Err(error) = choose("uring") {
        println!("{error}");
        return;
    }
    println!(
        "{:38} {:>10} {:>10} {:>6}   {:>9} {:>9} {:>6}",
        "load", "epoll/s", "uring/s", "ratio", "epoll us", "uring us", "ratio"
    );
    for load in LOADS.iter().filter(|load| load.name.starts_with(&only)) {
        let mut results: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
        for _ in 0..rounds {
            for engine in ["epoll", "uring"] {
                results.entry(engine).or_default().push(run(engine, load, seconds));
            }
        }
        let least = |engine: &str, pick: fn(&(f64, f64)) -> f64| {
            let mut values: Vec<f64> = results[engine].iter().map(pick).collect();
            values.sort_by(f64::total_cmp);
            values[0]
        };
        let rates = (-least("epoll", |r| -r.0), -least("uring", |r| -r.0));
        let costs = (least("epoll", |r| r.1), least("uring", |r| r.1));
        println!(
            "{:38} {:>10.0} {:>10.0} {:>6.2}   {:>9.2} {:>9.2} {:>6.2}",
            load.name,
            rates.0,
            rates.1,
            rates.1 / rates.0,
            costs.0,
            costs.1,
            costs.1 / costs.0
        );
    }
}

/// Operations per second and server microseconds per operation.
fn run(engine: &str, load: &Load, time: Duration) -> (f64, f64) {
    let limits = Limits::default();
    let config = Config { engine: engine.into(), ..Config::with(Role::Server, limits) };
    let plane = Arc::new(DataPlane::start(config).expect("the engine was chosen before"));
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    plane.listen(OwnedFd::from(socket), Framing::Tcp);
    let stop = Arc::new(AtomicBool::new(false));
    let control = std::thread::spawn({
        let (plane, stop) = (plane.clone(), stop.clone());
        move || control_plane(&plane, &stop)
    });
    let mut clients: Vec<Client> = (0..load.connections).map(|_| Client::new(address, load)).collect();
    drive(&mut clients, Instant::now() + time / 5);
    let (begun, before) = (Instant::now(), server_seconds());
    let done = drive(&mut clients, begun + time);
    let (elapsed, used) = (begun.elapsed().as_secs_f64(), server_seconds() - before);
    stop.store(true, Ordering::SeqCst);
    drop(clients);
    control.join().unwrap();
    (done as f64 / elapsed, used / done as f64 * 1e6)
}

/// Logs every connection on, attaches a file, answers what comes up with an empty response.
fn control_plane(plane: &DataPlane, stop: &AtomicBool) {
    let path = format!("/dev/shm/frevo-engines-{}", std::process::id());
    std::fs::write(&path, vec![7u8; 1 << 20]).unwrap();
    while !stop.load(Ordering::SeqCst) {
        let mut poll = libc::pollfd { fd: plane.event_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&raw mut poll, 1, 20) };
        let mut answers = Vec::new();
        for event in plane.poll(1024) {
            let Event::Message { connection, payload, .. } = event else { continue };
            if payload[12] == 0 {
                let signer = Signer::new(SigningAlgorithm::by_id(2).unwrap(), &[0; 16]).unwrap();
                let opens = Arc::new(SessionOpens::default());
                plane.set_session(
                    connection,
                    SESSION,
                    Arc::new(SessionKeys::new(signer, None, false, false)),
                    opens.clone(),
                );
                let settings = Settings {
                    authenticated: true,
                    max_read: 8 << 20,
                    max_write: 0,
                    multi_credit: true,
                    ..Settings::default()
                };
                plane.set_connection(connection, settings);
                let file = OwnedFd::from(std::fs::File::open(&path).unwrap());
                opens.attach(Arc::new(AttachedOpen {
                    tree_id: 0,
                    persistent_id: 1,
                    volatile_id: 1,
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
            let mut answer = payload[..68].to_vec();
            answer[14..16].copy_from_slice(&2048u16.to_le_bytes());
            answers.push((connection, Submission::new(0, 0, &[&answer])));
        }
        plane.submit(answers);
    }
    let _ = std::fs::remove_file(&path);
}

/// One connection of the load generator, non-blocking.
struct Client {
    socket: TcpStream,
    template: Vec<u8>,
    charge: u64,
    next_id: u64,
    /// Bytes of the message being sent and how many are gone.
    sending: Option<usize>,
    owed: usize,
    /// Bytes still to come of the response being received, and of its header.
    missing: usize,
    header: Vec<u8>,
    buffer: Vec<u8>,
}

impl Client {
    fn new(address: std::net::SocketAddr, load: &Load) -> Client {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.write_all(&message(0, 0, 1, &[0; 36])).unwrap();
        let mut answer = [0; 72];
        socket.read_exact(&mut answer).unwrap();
        socket.set_nonblocking(true).unwrap();
        let size = load.bytes.unsigned_abs();
        let charge = size.div_ceil(65536).max(1);
        let template = match load.bytes {
            0 => message(13, 0, 1, &[4, 0, 0, 0]),
            1.. => {
                let mut body = [0u8; 49];
                body[0] = 49;
                body[4..8].copy_from_slice(&(size as u32).to_le_bytes());
                body[16] = 1;
                body[24] = 1;
                message(8, 0, charge as u16, &body)
            }
            _ => message(9, 0, charge as u16, &vec![3; size as usize]),
        };
        let (owed, missing) = (load.depth, 0);
        let (header, buffer) = (Vec::new(), vec![0; 256 << 10]);
        Client { socket, template, charge, next_id: 1, sending: None, owed, missing, header, buffer }
    }

    /// Sends what is owed, as far as the socket takes it.
    fn send(&mut self) {
        // Small requests go out together, as a client with many of them would send them.
        if self.template.len() < 1024 {
            let mut all = Vec::with_capacity(self.owed * self.template.len());
            for _ in 0..std::mem::take(&mut self.owed) {
                self.number();
                all.extend_from_slice(&self.template);
            }
            if !all.is_empty() {
                self.socket.write_all(&all).expect("small requests fit into the socket");
            }
            return;
        }
        while self.owed > 0 {
            if self.sending.is_none() {
                self.number();
            }
            let sent = self.sending.unwrap_or(0);
            match self.socket.write(&self.template[sent..]) {
                Ok(count) if sent + count == self.template.len() => {
                    self.sending = None;
                    self.owed -= 1;
                }
                Ok(count) => self.sending = Some(sent + count),
                Err(_) => return,
            }
        }
    }

    fn number(&mut self) {
        self.template[28..36].copy_from_slice(&self.next_id.to_le_bytes());
        self.next_id += self.charge;
    }

    /// Receives; how many responses were completed.
    fn receive(&mut self) -> usize {
        let Ok(count) = self.socket.read(&mut self.buffer) else { return 0 };
        assert!(count > 0, "the server has closed the connection");
        let (mut rest, mut done) = (&self.buffer[..count], 0);
        while !rest.is_empty() {
            if self.missing == 0 {
                let take = (4 - self.header.len()).min(rest.len());
                self.header.extend_from_slice(&rest[..take]);
                rest = &rest[take..];
                if let Ok(header) = <[u8; 4]>::try_from(&self.header[..]) {
                    self.missing = u32::from_be_bytes(header) as usize;
                    self.header.clear();
                }
                continue;
            }
            let take = self.missing.min(rest.len());
            self.missing -= take;
            rest = &rest[take..];
            done += usize::from(self.missing == 0);
        }
        done
    }
}

/// Keeps every connection busy until `end`; responses received.
fn drive(clients: &mut [Client], end: Instant) -> usize {
    // SAFETY: no pointers.
    let epoll = unsafe { libc::epoll_create1(0) };
    for (index, client) in clients.iter().enumerate() {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: index as u64 };
        // SAFETY: the event is read during the call only.
        unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, client.socket.as_raw_fd(), &raw mut event) };
    }
    let mut done = 0;
    // SAFETY: all-zero events are valid.
    let mut events: [libc::epoll_event; 64] = unsafe { std::mem::zeroed() };
    clients.iter_mut().for_each(Client::send);
    while Instant::now() < end {
        // SAFETY: the kernel writes at most 64 events.
        let count = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), 64, 1) };
        for event in &events[..count.max(0) as usize] {
            let client = &mut clients[event.u64 as usize];
            let received = client.receive();
            done += received;
            client.owed += received;
        }
        clients.iter_mut().filter(|client| client.owed > 0).for_each(Client::send);
    }
    // SAFETY: our own descriptor.
    unsafe { libc::close(epoll) };
    done
}

/// A framed request.
fn message(command: u16, id: u64, charge: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = ((64 + body.len()) as u32).to_be_bytes().to_vec();
    frame.extend([0xfe, b'S', b'M', b'B', 64, 0]);
    frame.extend(charge.to_le_bytes());
    frame.extend([0; 4]);
    frame.extend(command.to_le_bytes());
    frame.extend(charge.max(1).to_le_bytes());
    frame.extend([0; 8]);
    frame.extend(id.to_le_bytes());
    frame.extend([0; 8]);
    frame.extend(SESSION.to_le_bytes());
    frame.extend([0; 16]);
    frame.extend(body);
    frame
}

/// Processor time of the data plane's threads so far.
fn server_seconds() -> f64 {
    let mut nanoseconds = 0u64;
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if name.starts_with("frevo-io") || name.starts_with("iou-") {
            let schedstat = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            nanoseconds += schedstat.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    nanoseconds as f64 / 1e9
}
