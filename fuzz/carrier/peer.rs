//! The other end: an endpoint of quinn-proto with one connection, which keeps a record of its first stream.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use frevo_dataplane::quic::client::{ClientParts, ClientTls, Verify};
use frevo_dataplane::quic::server::{ClientAccess, ServerParts, ServerTls};
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig, Event,
    ServerConfig, StreamEvent, StreamId, TokenStore, TransportConfig, VarInt,
};

use super::network::Random;

/// Certificates are made once.
pub struct Tls {
    pub client: Arc<ClientTls>,
    pub server: Arc<ServerTls>,
    /// A server that wants a certificate, which our clients do not have.
    pub strict: Arc<ServerTls>,
}

pub fn tls() -> &'static Tls {
    static TLS: OnceLock<Tls> = OnceLock::new();
    TLS.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(["files.example".to_owned()]).unwrap();
        let certificates = [(vec![made.cert.der().to_vec()], made.signing_key.serialize_der())];
        let server = |client_access| {
            let parts = ServerParts {
                certificates: &certificates,
                client_access,
                client_cas: &certificates[0].0,
                crls: &[],
                entries: vec![],
                key_log: None,
                machine: b"here",
            };
            ServerTls::new(parts).unwrap()
        };
        let parts = ClientParts {
            server_name: "files.example",
            verify: Verify::NoCheck,
            cas: &[],
            crls: &[],
            fingerprint: None,
            certificate: None,
            key_log: None,
        };
        Tls {
            client: ClientTls::new(parts).unwrap(),
            server: server(ClientAccess::No),
            strict: server(ClientAccess::Require),
        }
    })
}

/// Gives every Initial the same token.
struct Token(Vec<u8>);

impl TokenStore for Token {
    fn insert(&self, _server_name: &str, _token: Bytes) {}

    fn take(&self, _server_name: &str) -> Option<Bytes> {
        (!self.0.is_empty()).then(|| self.0.clone().into())
    }
}

/// The other end of one connection.
pub struct Peer {
    endpoint: Endpoint,
    connection: Option<(ConnectionHandle, Connection)>,
    pub address: SocketAddr,
    pub server: SocketAddr,
    /// Servers ask for a Retry first.
    pub retries: bool,
    /// It neither sends nor receives any more.
    pub is_gone: bool,
    /// It reads nothing of what comes on the stream.
    pub is_deaf: bool,
    stream: Option<StreamId>,
    others: Vec<StreamId>,
    waiting: Vec<u8>,
    /// All that the first stream has taken, and given.
    pub sent: Vec<u8>,
    pub received: Vec<u8>,
    /// The MessageId of the next message.
    pub next_id: u64,
}

impl Peer {
    fn new(endpoint: Endpoint, address: SocketAddr, server: SocketAddr) -> Peer {
        Peer {
            endpoint,
            connection: None,
            address,
            server,
            retries: false,
            is_gone: false,
            is_deaf: false,
            stream: None,
            others: Vec::new(),
            waiting: Vec::new(),
            sent: Vec::new(),
            received: Vec::new(),
            next_id: 0,
        }
    }

    /// A client, which sends a token that it was not given unless that is empty.
    pub fn client(
        now: Instant,
        address: SocketAddr,
        server: SocketAddr,
        token: Vec<u8>,
        random: &mut Random,
    ) -> Peer {
        let seed = std::array::from_fn(|_| random.next() as u8);
        let endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), None, true, Some(seed));
        let mut peer = Peer::new(endpoint, address, server);
        let mut config = ClientConfig::new(tls().client.clone());
        config.token_store(Arc::new(Token(token)));
        config.transport_config(transport(random));
        peer.connection = Some(peer.endpoint.connect(now, config, server, "files.example").unwrap());
        peer
    }

    /// A server for one client.
    pub fn server(address: SocketAddr, client: SocketAddr, random: &mut Random) -> Peer {
        let seed = std::array::from_fn(|_| random.next() as u8);
        let mut config = ServerConfig::with_crypto(tls().server.clone());
        config.transport_config(transport(random));
        let config = Some(Arc::new(config));
        let endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), config, true, Some(seed));
        Peer::new(endpoint, address, client)
    }

    /// Writes to the first stream as soon as it takes it.
    pub fn write(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// Messages that the server lets it send, by its answers.
    pub fn granted(&self) -> u64 {
        let (mut rest, mut credits) = (&self.received[..], 1);
        while let Some((header, after)) = rest.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*header) as usize;
            let Some((message, next)) = after.split_at_checked(length).filter(|_| length >= 64) else {
                break;
            };
            credits += u64::from(u16::from_le_bytes([message[14], message[15]]));
            rest = next;
        }
        credits
    }

    /// Has the connection do something.
    pub fn with(&mut self, act: impl FnOnce(&mut Connection)) {
        if let Some((_, connection)) = self.connection.as_mut().filter(|(_, it)| !it.is_closed()) {
            act(connection);
        }
    }

    /// Has the connection do something with its first stream, if it takes it.
    pub fn with_stream<T>(&mut self, act: impl FnOnce(&mut Connection, StreamId) -> T) {
        let stream = self.stream;
        self.with(|connection| {
            let _ = stream.map(|id| act(connection, id));
        });
    }

    /// Opens one more stream, if it may, and writes to it.
    pub fn open_another(&mut self, dir: Dir, bytes: &[u8]) {
        if self.stream.is_none() {
            return;
        }
        let Some((_, connection)) = &mut self.connection else { return };
        self.others.extend(connection.streams().open(dir));
        for id in &self.others {
            let _ = connection.send_stream(*id).write(bytes);
        }
    }

    /// A datagram has come; what is answered at once.
    pub fn receive(&mut self, now: Instant, from: SocketAddr, data: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        match self.endpoint.handle(now, from, None, None, BytesMut::from(data), &mut out) {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some((_, connection)) = self.connection.as_mut().filter(|(own, _)| *own == handle) {
                    connection.handle_event(event);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => match &self.connection {
                Some(_) => self.endpoint.ignore(incoming),
                None if self.retries && incoming.may_retry() => {
                    drop(self.endpoint.retry(incoming, &mut out));
                }
                None => self.connection = self.endpoint.accept(incoming, now, &mut out, None).ok(),
            },
            Some(DatagramEvent::Response(_)) | None => (),
        }
        (!out.is_empty()).then_some(out)
    }

    /// Goes on with the connection: the datagrams that it sends.
    pub fn turn(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let Some((handle, connection)) = self.connection.as_mut().filter(|_| !self.is_gone) else {
            return vec![];
        };
        if connection.poll_timeout().is_some_and(|at| at <= now) {
            connection.handle_timeout(now);
        }
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                connection.handle_event(event);
            }
        }
        while let Some(event) = connection.poll() {
            match event {
                Event::Connected if connection.side().is_client() => {
                    self.stream = connection.streams().open(Dir::Bi);
                }
                Event::Stream(StreamEvent::Available { dir: Dir::Bi })
                    if self.stream.is_none() && connection.side().is_client() =>
                {
                    self.stream = connection.streams().open(Dir::Bi);
                }
                Event::Stream(StreamEvent::Opened { dir: Dir::Bi }) => {
                    self.stream = self.stream.or_else(|| connection.streams().accept(Dir::Bi));
                }
                _ => (),
            }
        }
        self.exchange();
        let Some((_, connection)) = &mut self.connection else { return vec![] };
        let mut out = vec![];
        let mut datagram = Vec::new();
        while connection.poll_transmit(now, 1, &mut datagram).is_some() {
            out.push(std::mem::take(&mut datagram));
        }
        out
    }

    /// Writes to the first stream, and reads from it.
    fn exchange(&mut self) {
        let (Some((_, connection)), Some(id)) = (&mut self.connection, self.stream) else { return };
        if !self.waiting.is_empty() {
            if let Ok(count) = connection.send_stream(id).write(&self.waiting) {
                self.sent.extend(self.waiting.drain(..count));
            }
        }
        if self.is_deaf {
            return;
        }
        let mut stream = connection.recv_stream(id);
        let Ok(mut chunks) = stream.read(true) else { return };
        while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
            self.received.extend_from_slice(&chunk.bytes);
        }
        let _ = chunks.finalize();
    }

    /// When it wants to go on.
    pub fn next(&mut self) -> Option<Instant> {
        self.connection.as_mut().filter(|_| !self.is_gone)?.1.poll_timeout()
    }
}

fn transport(random: &mut Random) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    let windows = [1200, 16 * 1024, 1 << 20];
    let idle = [1u32, 5_000, 60_000][random.below(3)];
    config
        .max_idle_timeout(Some(VarInt::from_u32(idle.max(200)).into()))
        .max_concurrent_bidi_streams(VarInt::from_u32(random.below(3) as u32))
        .max_concurrent_uni_streams(VarInt::from_u32(random.below(3) as u32))
        .receive_window(VarInt::from_u32(windows[random.below(3)]))
        .stream_receive_window(VarInt::from_u32(windows[random.below(3)]))
        .keep_alive_interval((random.below(2) == 0).then_some(Duration::from_secs(4)));
    Arc::new(config)
}
