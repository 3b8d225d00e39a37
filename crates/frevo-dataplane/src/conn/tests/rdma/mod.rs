//! READ and WRITE over RDMA: a client's connection and a server's, each with its SMB Direct, back to back in memory.

mod hostile;
mod pumps;
mod random;

use std::time::Duration;

use super::*;
use crate::conn::direct::{self, Direct, Process, Provider};
use crate::pump::{End, Kind, Memory, Place, Shared};
use crate::wire::{Body, ReadRequest, WriteRequest};

const ALL_WAYS: u8 = may::CHANNEL | may::INVALIDATE | may::ENCRYPTION | may::SIGNING;
const BOTH: [Provider; 2] = [Provider::Emulated, Provider::Iwarp];

/// How a session is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Session {
    Plain,
    Signed,
    Encrypted,
}

const SESSIONS: [Session; 3] = [Session::Plain, Session::Signed, Session::Encrypted];

/// Two connections, and what the control planes would have.
struct Both {
    server: Connection,
    server_host: Host,
    client: Connection,
    client_host: Host,
    credits: Arc<crate::credits::Credits>,
    opens: Arc<SessionOpens>,
    gate: Arc<Gate>,
    session: Session,
    /// Bytes that went from the client to the server, and back.
    carried: (usize, usize),
}

fn over(settings: &direct::Settings, role: Role) -> (Connection, Host) {
    let limits = Arc::new(Limits { max_bytes_in_flight: 1 << 30, ..Limits::default() });
    let now = std::time::Instant::now();
    let mut connection = Connection::new(1, Framing::Tcp, role, Arc::new(Flow::new(None)), &limits);
    let host = Host::new(limits, Arc::default(), Arc::new(AtomicBool::new(true)), now);
    let emulated = settings.provider == Provider::Emulated;
    let neighbour = emulated.then(|| Box::new(Process::myself()) as Box<_>);
    connection.run_over(Direct::new(settings, role, now, neighbour));
    (connection, host)
}

impl Both {
    /// Over a provider, with messages as large as Windows takes.
    fn new(provider: Provider, session: Session, ways: u8, content: Option<&[u8]>) -> Both {
        let settings = direct::Settings { fragmented_bytes: 1 << 20, ..direct::Settings::new(provider) };
        Both::with(settings, session, ways, content)
    }

    /// Connected and logged on; the file (11, 12) is attached if it has content.
    fn with(settings: direct::Settings, session: Session, ways: u8, content: Option<&[u8]>) -> Both {
        let (server, server_host) = over(&settings, Role::Server);
        let (client, client_host) = over(&settings, Role::Client);
        let (credits, opens, gate) = (Arc::default(), Arc::default(), Arc::new(Gate::new()));
        let mut both =
            Both { server, server_host, client, client_host, credits, opens, gate, session, carried: (0, 0) };
        both.client.set_credits(both.credits.clone());
        both.run();
        both.log_on(ways);
        if let Some(content) = content {
            both.opens.attach(open_of(content, &both.gate));
        }
        both
    }

    /// The first request, with whose answer credits come, and the session.
    fn log_on(&mut self, ways: u8) {
        assert!(self.credits.reserve(1));
        let mut first = request(0, self.credits.take(1).unwrap());
        put(&mut first, at::CREDITS, 512u16.to_le_bytes());
        self.client.submit(Submission::new(0, 0, &[&first]), &self.client_host.stats).unwrap();
        self.run();
        assert_eq!(self.server_host.events.len(), 1);
        self.server_host.events.clear();
        put(&mut first, at::FLAGS, flags::SERVER_TO_REDIR.to_le_bytes());
        self.server.submit(Submission::new(0, 0, &[&first]), &self.server_host.stats).unwrap();
        self.run();
        self.credits.settle(1);
        self.client_host.events.clear();
        let (max_read, max_write) = (8 << 20, 8 << 20);
        self.server.set_settings(Settings { max_read, max_write, rdma: ways, ..LOGGED_ON });
        self.client.set_settings(Settings { rdma: ways, rdma_threshold: 4096, ..LOGGED_ON });
        let required = self.session == Session::Signed;
        let server_keys = Arc::new(keys(1, 2, required, self.session == Session::Encrypted));
        self.server.set_session(SESSION, server_keys, self.opens.clone()).unwrap();
        let client_keys = Arc::new(keys(2, 1, required, false));
        self.client.set_session(SESSION, client_keys, Arc::default()).unwrap();
    }

    /// Moves bytes both ways; whether there were any.
    fn turn(&mut self) -> Result<bool, Reason> {
        self.client.load(&mut self.client_host)?;
        let mut there = self.client.output().take_all(&mut self.client_host.pool);
        self.carried.0 += there.len();
        self.server.feed(&mut there, &mut self.server_host)?;
        self.server.resume(&mut self.server_host)?;
        self.server.load(&mut self.server_host)?;
        let mut back = self.server.output().take_all(&mut self.server_host.pool);
        self.carried.1 += back.len();
        self.client.feed(&mut back, &mut self.client_host)?;
        self.client.resume(&mut self.client_host)?;
        self.client.feed_pumps(&mut self.client_host);
        Ok(!there.is_empty() || !back.is_empty())
    }

    /// Until nothing more is said, not even after a while.
    fn try_run(&mut self) -> Result<(), Reason> {
        for _ in 0..3 {
            while self.turn()? {}
            for (connection, host) in
                [(&mut self.client, &mut self.client_host), (&mut self.server, &mut self.server_host)]
            {
                host.now += Duration::from_millis(30);
                connection.on_time(host)?;
            }
        }
        Ok(())
    }

    fn run(&mut self) {
        self.try_run().unwrap();
    }

    fn settings(&self, kind: Kind, io_size: u32, length: u64, place: Place) -> pump::Settings {
        pump::Settings {
            id: 5,
            session_id: SESSION,
            tree_id: 5,
            encrypt: self.session == Session::Encrypted,
            sign: self.session == Session::Signed,
            kind,
            files: vec![(11, 12)],
            bodies: vec![],
            io_size,
            window: 4,
            offset: 0,
            length,
            read_percent: 50,
            random: false,
            seed: 1,
            looped: false,
            operations: 0,
            keep_going: false,
            place,
            shared: Arc::new(Shared::new(kind)),
        }
    }

    fn end(&mut self) -> End {
        match std::mem::take(&mut self.client_host.events)[..] {
            [Event::Pump { pump: 5, end, .. }] => end,
            ref other => panic!("{other:?}"),
        }
    }

    /// What the peer of each side may still use.
    fn registered(&self) -> (usize, usize) {
        let of = |connection: &Connection| connection.direct().unwrap().registered();
        (of(&self.client), of(&self.server))
    }

    /// How many READs and WRITEs the fast path has answered, and bytes that RDMA has carried to and from the client.
    fn counts(&self) -> (u64, u64, u64) {
        let stats = &self.server_host.stats;
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        (
            count(&stats.fast_reads) + count(&stats.fast_writes),
            count(&stats.rdma_bytes_sent),
            count(&stats.rdma_bytes_received),
        )
    }

    /// Answers as the control plane does, from content: it sees no RDMA.
    fn control(&mut self, content: &mut Vec<u8>) -> usize {
        let events = std::mem::take(&mut self.server_host.events);
        for event in &events {
            let Event::Message { session_id, flags, payload, .. } = event else { panic!("{event:?}") };
            let header = Header::parse(payload).unwrap();
            let mut answer = header.response(0, header.credits.get());
            answer.flags |= header.flags & flags::SIGNED;
            let body = match header.command.get() {
                command::READ => {
                    let read = ReadRequest::of(payload).unwrap();
                    assert_eq!((read.channel.get(), read.channel_info_length.get()), (0, 0));
                    let start = (read.offset.get() as usize).min(content.len());
                    let data = &content[start..(start + read.length.get() as usize).min(content.len())];
                    let mut body = vec![17, 0, 80, 0];
                    body.extend((data.len() as u32).to_le_bytes());
                    body.extend([0; 8]);
                    body.extend(data);
                    body
                }
                _ => {
                    let write = WriteRequest::of(payload).unwrap();
                    assert_eq!((write.channel.get(), write.remaining_bytes.get()), (0, 0));
                    let (offset, length) = (write.offset.get() as usize, write.length.get() as usize);
                    let data = &payload[usize::from(write.data_offset.get())..][..length];
                    content.resize(content.len().max(offset + length), 0);
                    content[offset..offset + length].copy_from_slice(data);
                    let mut body = vec![17, 0, 0, 0];
                    body.extend((length as u32).to_le_bytes());
                    body.resize(16, 0);
                    body
                }
            };
            let message = [zerocopy::IntoBytes::as_bytes(&answer), &body].concat();
            let encrypt = if flags & Event::ENCRYPTED != 0 { ENCRYPT } else { 0 };
            let session = if encrypt != 0 { *session_id } else { SESSION };
            let submission = Submission::new(session, encrypt, &[&message]);
            self.server.submit(submission, &self.server_host.stats).unwrap();
        }
        events.len()
    }

    /// All of a file, as it is now.
    fn file(&self) -> Vec<u8> {
        let open = self.opens.find(12).unwrap();
        let mut room = vec![std::mem::MaybeUninit::uninit(); 16 << 20];
        let count = open.file.read_blocking(&mut room, 0).unwrap();
        // SAFETY: so many bytes were read into it.
        room[..count].iter().map(|byte| unsafe { byte.assume_init() }).collect()
    }
}

fn place(buffer: &mut [u8]) -> Place {
    // SAFETY: the tests keep the buffer longer than the connection.
    Place::Memory(unsafe { Memory::new(buffer.as_mut_ptr(), buffer.len()) })
}

fn content(size: usize) -> Vec<u8> {
    (0..size as u64).map(|at| (at * 7 / 5) as u8 ^ (at >> 13) as u8).collect()
}
