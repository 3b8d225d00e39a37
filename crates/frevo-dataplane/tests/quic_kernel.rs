//! Handshakes over the kernel's QUIC sockets, with what a socket does in memory: messages, keys, refusals.

mod handshake;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use frevo_dataplane::quic::client::{ClientParts, ClientTls};
use frevo_dataplane::quic::kernel::interface::{Close, Level};
use frevo_dataplane::quic::kernel::{Failure, Handshake, Kernel, Progress, Whose};
use frevo_dataplane::quic::server::{ClientAccess, ServerTls};
use frevo_dataplane::quic::session::Secured;
use handshake::{ca, client, client_parts, server, server_parts};

const UNRECOGNIZED_NAME: u32 = 112;
const CERTIFICATE_REQUIRED: u32 = 116;

type Messages = Rc<RefCell<VecDeque<(Level, Vec<u8>)>>>;

/// One socket: what it has been told.
#[derive(Default)]
struct Socket {
    parameters: Vec<u8>,
    peer_parameters: RefCell<Vec<u8>>,
    /// In order.
    keys: RefCell<Vec<[u8; 56]>>,
    outbox: Messages,
    inbox: Messages,
    /// Bytes that one call takes and gives at most, every other time.
    pieces: Option<usize>,
    turn: Cell<bool>,
    has_stream: Cell<bool>,
    closed: RefCell<Option<Close>>,
}

impl Socket {
    /// Every other call with pieces finds no room, or nothing.
    fn waits(&self) -> bool {
        self.turn.set(!self.turn.get());
        self.pieces.is_some() && self.turn.get()
    }

    fn key(&self, send: bool, level: Level) -> Option<[u8; 56]> {
        self.keys.borrow().iter().find(|key| key[..2] == [send.into(), level as u8]).copied()
    }
}

impl Kernel for Socket {
    fn parameters(&self) -> io::Result<Vec<u8>> {
        Ok(self.parameters.clone())
    }

    fn set_peer_parameters(&self, encoded: &[u8]) -> io::Result<()> {
        assert!(self.peer_parameters.borrow().is_empty(), "once");
        *self.peer_parameters.borrow_mut() = encoded.to_vec();
        Ok(())
    }

    fn set_secret(&self, record: &[u8; 56]) -> io::Result<()> {
        let is_last = record[1] == Level::Application as u8;
        assert!(
            !is_last || !self.peer_parameters.borrow().is_empty(),
            "the kernel needs the parameters first"
        );
        self.keys.borrow_mut().push(*record);
        Ok(())
    }

    fn send(&self, level: Level, data: &[u8], _more: bool) -> io::Result<usize> {
        if self.waits() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        assert!(level == Level::Initial || self.key(true, level).is_some(), "no key to send with");
        let count = data.len().min(self.pieces.unwrap_or(usize::MAX));
        self.outbox.borrow_mut().push_back((level, data[..count].to_vec()));
        Ok(count)
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<(Option<Level>, usize)> {
        let mut inbox = self.inbox.borrow_mut();
        let Some((level, message)) = inbox.front_mut().filter(|_| !self.waits()) else {
            let over = self.closed.borrow().is_some() && inbox.is_empty();
            let kind = if over { io::ErrorKind::NotConnected } else { io::ErrorKind::WouldBlock };
            return Err(kind.into());
        };
        let count = message.len().min(buffer.len()).min(self.pieces.unwrap_or(usize::MAX));
        let level = *level;
        buffer[..count].copy_from_slice(&message[..count]);
        message.drain(..count);
        if message.is_empty() {
            inbox.pop_front();
        }
        Ok((Some(level), count))
    }

    fn open_stream(&self) -> io::Result<()> {
        self.has_stream.set(true);
        Ok(())
    }

    fn closed(&self) -> Close {
        self.closed.borrow().clone().unwrap_or_default()
    }
}

/// Two sockets that are connected; each call moves so many bytes at most.
fn connected(pieces: Option<usize>) -> (Socket, Socket) {
    let (one, other) = (Messages::default(), Messages::default());
    // The own connection id, one bidirectional stream, a hundred unidirectional ones.
    let parameters = vec![0x0f, 2, 7, 7, 0x08, 1, 1, 0x09, 2, 0x40, 0x64];
    let of = |outbox: &Messages, inbox: &Messages| Socket {
        parameters: parameters.clone(),
        outbox: outbox.clone(),
        inbox: inbox.clone(),
        pieces,
        ..Socket::default()
    };
    (of(&one, &other), of(&other, &one))
}

/// Moves both ends on until neither waits for the other any more.
fn shake(
    (here, mine): (&Socket, Arc<ClientTls>),
    (there, theirs): (&Socket, Arc<ServerTls>),
) -> (Result<Secured, Failure>, Result<Secured, Failure>) {
    let mut client = Handshake::new(&Whose::Client(mine), here).unwrap();
    let mut server = Handshake::new(&Whose::Server(theirs), there).unwrap();
    let (mut left, mut right) = (None, None);
    for _ in 0..10_000 {
        step(&mut client, here, &mut left);
        step(&mut server, there, &mut right);
        for (one, other) in [(&left, there), (&right, here)] {
            if let Some(Err(Failure { close, .. })) = one {
                other.closed.borrow_mut().get_or_insert(close.clone().unwrap_or_default());
            }
        }
        if let (Some(_), Some(_)) = (&left, &right) {
            return (left.unwrap(), right.unwrap());
        }
    }
    panic!("the handshake stands still: {left:?}, {right:?}");
}

fn step(handshake: &mut Handshake, socket: &Socket, outcome: &mut Option<Result<Secured, Failure>>) {
    if outcome.is_none() {
        match handshake.advance(socket) {
            Ok(Progress::Done(secured)) => *outcome = Some(Ok(*secured)),
            Ok(_) => (),
            Err(failure) => *outcome = Some(Err(failure)),
        }
    }
}

/// A server for files.example, and a client for a name.
fn ends(name: &str, access: ClientAccess, key_log: Option<&Path>) -> (Arc<ClientTls>, Arc<ServerTls>) {
    let root = ca("root", None);
    let leaf = server(&["files.example"], &root);
    let certificates = [leaf.with(&[])];
    let mut parts = server_parts(&certificates);
    parts.client_access = access;
    parts.client_cas = root.alone();
    let mine = ClientParts { key_log, ..client_parts(name, root.alone()) };
    (ClientTls::new(mine).unwrap(), ServerTls::new(parts).unwrap())
}

fn check_done(pieces: Option<usize>) {
    let (here, there) = connected(pieces);
    let (mine, theirs) = ends("files.example", ClientAccess::No, None);
    let (client, server) = shake((&here, mine), (&there, theirs));
    let (client, server) = (client.unwrap(), server.unwrap());
    assert_eq!((client.cipher, client.verified, client.peer_chain.len()), ("AES-128-GCM", true, 1));
    assert_eq!((client.driver, server.driver), ("kernel", "kernel"));
    assert_eq!((server.server_name.as_str(), server.peer_chain.len()), ("files.example", 0));
    for level in [Level::Handshake, Level::Application] {
        for send in [true, false] {
            let (own, other) = (here.key(send, level).unwrap(), there.key(!send, level).unwrap());
            assert_eq!(own[4..], other[4..], "one end's key to send is the other's to receive");
            assert_eq!((&own[4..8], own[40]), (&51u32.to_ne_bytes()[..], 0), "AES-128-GCM, 32 bytes");
        }
        assert_ne!(here.key(true, level).unwrap()[8..], here.key(false, level).unwrap()[8..]);
    }
    let levels: Vec<u8> = there.keys.borrow().iter().map(|key| key[1]).collect();
    assert_eq!(levels, [2, 2, 0, 0], "the handshake's first");
    assert_eq!(
        *here.peer_parameters.borrow(),
        [0x0f, 2, 7, 7, 0x08, 1, 1],
        "one stream, none unidirectional"
    );
    assert_eq!(*there.peer_parameters.borrow(), [0x0f, 2, 7, 7], "the server opens none");
    assert_eq!((here.has_stream.get(), there.has_stream.get()), (true, false));
}

#[test]
fn both_kernels_get_the_same_keys() {
    check_done(None);
}

#[test]
fn a_socket_with_little_room_is_enough() {
    check_done(Some(7));
}

#[test]
fn a_name_that_no_certificate_is_for() {
    let (here, there) = connected(None);
    let (mine, theirs) = ends("other.example", ClientAccess::No, None);
    let (client, server) = shake((&here, mine), (&there, theirs));
    let failure = server.unwrap_err();
    assert!(failure.sentence.contains("no certificate is for other.example"), "{failure:?}");
    assert_eq!(failure.close.unwrap().code, 0x100 + UNRECOGNIZED_NAME);
    assert!(there.keys.borrow().is_empty(), "nothing was agreed on");
    assert_eq!(client.unwrap_err().sentence, "the server has no certificate for the name it was asked for");
}

#[test]
fn a_client_without_the_certificate_that_is_required() {
    let (here, there) = connected(None);
    let (mine, theirs) = ends("files.example", ClientAccess::Require, None);
    let (client, server) = shake((&here, mine), (&there, theirs));
    assert!(client.is_ok(), "a client hears of it after its handshake");
    let failure = server.unwrap_err();
    assert_eq!(failure.sentence, "the client sent no certificate, and one is required");
    assert_eq!(failure.close.unwrap().code, 0x100 + CERTIFICATE_REQUIRED);
    assert!(there.key(true, Level::Application).is_some(), "which needs the last keys");
}

#[test]
fn a_client_with_a_certificate() {
    let root = ca("clients", None);
    let alice = client("alice", &root);
    let leaf = server(&["files.example"], &root);
    let certificates = [leaf.with(&[])];
    let mut parts = server_parts(&certificates);
    parts.client_access = ClientAccess::Require;
    parts.client_cas = root.alone();
    let sha256 = frevo_dataplane::quic::access::Property::of_sha256(&alice.sha256()).unwrap();
    parts.entries = vec![frevo_dataplane::quic::access::Entry { allow: true, property: sha256 }];
    let theirs = ServerTls::new(parts).unwrap();
    let (chain, key) = alice.with(&[]);
    let mut parts = client_parts("files.example", root.alone());
    parts.certificate = Some((&chain, &key));
    let (here, there) = connected(Some(50));
    let (client, server) = shake((&here, ClientTls::new(parts).unwrap()), (&there, theirs));
    assert!(client.is_ok());
    let server = server.unwrap();
    assert_eq!((server.peer_chain, server.verified), (vec![alice.der.clone()], true));
}

#[test]
fn a_message_of_the_wrong_level_ends_the_handshake() {
    let (here, there) = connected(None);
    let (mine, theirs) = ends("files.example", ClientAccess::No, None);
    let mut client = Handshake::new(&Whose::Client(mine), &here).unwrap();
    assert!(matches!(client.advance(&here), Ok(Progress::WaitsForPeer)));
    there.inbox.borrow_mut().iter_mut().for_each(|(level, _)| *level = Level::Handshake);
    let failure = Handshake::new(&Whose::Server(theirs), &there).unwrap().advance(&there).unwrap_err();
    assert_eq!(failure.close.unwrap().code, 0x0a, "PROTOCOL_VIOLATION");
}

#[test]
fn what_is_no_tls_is_refused() {
    let (_, there) = connected(None);
    let (_, theirs) = ends("files.example", ClientAccess::No, None);
    there.inbox.borrow_mut().push_back((Level::Initial, vec![0xff; 200]));
    let failure = Handshake::new(&Whose::Server(theirs), &there).unwrap().advance(&there).unwrap_err();
    assert!(failure.sentence.starts_with("the TLS handshake failed"), "{failure:?}");
    assert_eq!(failure.close.unwrap().code, 0x0a, "PROTOCOL_VIOLATION");
}

#[test]
fn what_the_peer_said_at_its_end_is_told() {
    for (code, phrase, said) in [
        (0x100 + 49, "", "the server denied this client access"),
        (0x0c, "no certificate is for nas\n", "the server ended the connection: no certificate is for nas?"),
        (0x08, "", "the server ended the connection (QUIC error 0x8)"),
        (0, "", "closed by the peer"),
    ] {
        let (here, _) = connected(None);
        let (mine, _) = ends("files.example", ClientAccess::No, None);
        let mut client = Handshake::new(&Whose::Client(mine), &here).unwrap();
        *here.closed.borrow_mut() = Some(Close { code, phrase: phrase.into() });
        assert_eq!(client.advance(&here).unwrap_err().sentence, said);
    }
}

#[test]
fn the_users_key_log_gets_its_lines() {
    let path = std::env::temp_dir().join(format!("frevo-keys-{}", std::process::id()));
    let (here, there) = connected(None);
    let (mine, theirs) = ends("files.example", ClientAccess::No, Some(&path));
    assert!(shake((&here, mine), (&there, theirs)).0.is_ok());
    let lines = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let hex: String =
        here.key(true, Level::Application).unwrap()[8..40].iter().map(|b| format!("{b:02x}")).collect();
    assert!(lines.lines().any(|line| line.starts_with("CLIENT_TRAFFIC_SECRET_0 ") && line.ends_with(&hex)));
}
