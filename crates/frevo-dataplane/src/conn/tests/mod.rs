//! Connections fed by hand: every rule of the way in, the way out and the fast path.

mod bounds;
mod fast_path;
mod messages;
mod protection;
mod rdma;
mod writes;

use super::*;
use crate::attached::open_of;
use crate::crypto::{Cipher, Encryption, Signer, SigningAlgorithm};
use crate::gate::{Gate, Level, Levels};
use crate::wire::raw::{at, put, u16_at, u32_at};
use crate::wire::{command, flags, Header, TRANSFORM_BYTES};

const SESSION: u64 = 77;
const LOGGED_ON: Settings = Settings {
    authenticated: true,
    max_read: 0,
    max_write: 0,
    multi_credit: true,
    user: 1,
    rdma: 0,
    rdma_threshold: 0,
};

/// A server's connection with a client that speaks raw bytes.
struct Pair {
    connection: Connection,
    host: Host,
    keys: Arc<SessionKeys>,
    client: SessionKeys,
    opens: Arc<SessionOpens>,
}

fn keys(own: u8, peer: u8, signing: bool, encryption: bool) -> SessionKeys {
    let signer = Signer::new(SigningAlgorithm::AesGmac, &[9; 16]).unwrap();
    let both_ways = Encryption::new(Cipher::Aes128Gcm, &[own; 16], &[peer; 16]).unwrap();
    SessionKeys::new(signer, Some(both_ways), signing, encryption)
}

impl Pair {
    fn new(framing: Framing) -> Pair {
        let limits = Arc::new(Limits { max_bytes_in_flight: 1 << 30, ..Limits::default() });
        let flow = Arc::new(Flow::new(None));
        let connection = Connection::new(1, framing, Role::Server, flow, &limits);
        let host =
            Host::new(limits, Arc::default(), Arc::new(AtomicBool::new(true)), std::time::Instant::now());
        let (ours, client) = (Arc::new(keys(1, 2, false, false)), keys(2, 1, false, false));
        Pair { connection, host, keys: ours, client, opens: Arc::default() }
    }

    /// A connection with a session, `credits` to spend from message id 1 on, and a file attached as (11, 12).
    fn ready(content: &[u8], signing: bool, encryption: bool) -> (Pair, Arc<Gate>) {
        let mut pair = Pair::new(Framing::Tcp);
        pair.keys = Arc::new(keys(1, 2, signing, encryption));
        pair.feed(&request(0, 0)).unwrap();
        let settings = Settings { max_read: 8 << 20, max_write: 8 << 20, ..LOGGED_ON };
        pair.connection.set_settings(settings);
        pair.connection.set_session(SESSION, pair.keys.clone(), pair.opens.clone()).unwrap();
        let mut response = request(0, 0);
        put(&mut response, at::CREDITS, 512u16.to_le_bytes());
        pair.submit(0, 0, &response).unwrap();
        pair.output();
        pair.host.events.clear();
        let gate = Arc::new(Gate::new());
        pair.opens.attach(open_of(content, &gate));
        (pair, gate)
    }

    fn server(&mut self) -> &mut Server {
        match &mut self.connection.side {
            Side::Server(server) => server,
            Side::Client(_) => unreachable!(),
        }
    }

    /// Uses a message ID.
    fn right(&mut self, id: u64) -> crate::crypto::SignOnce {
        let server = self.server();
        server.nonces.right(server.window.consume(id, 1).unwrap())
    }

    fn feed(&mut self, message: &[u8]) -> Result<(), Reason> {
        let mut bytes = self.connection.common.framing.header(message.len()).unwrap().to_vec();
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
        self.connection.common.output.take_all(&mut self.host.pool)
    }

    /// The one message in the output.
    fn answer(&mut self) -> Vec<u8> {
        let output = self.output();
        assert_eq!(output[..4], self.connection.common.framing.header(output.len() - 4).unwrap());
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
