//! The TLS handshake of a kernel's QUIC connection: messages go through the socket, keys to the kernel.
//!
//! Nothing waits: whoever runs a handshake calls `advance` when the socket is ready for what it wants.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use quinn_proto::crypto::Session as _;
use rustls::CipherSuite;

use super::interface::{crypto_secret, Cipher, Close, Level, PARAMETERS_MAX};
use super::parameters::announced;
use super::secrets::Secrets;
use crate::quic::client::ClientTls;
use crate::quic::refusal;
use crate::quic::server::ServerTls;
use crate::quic::session::{End, Secured, Session};

/// Messages of the peer in one turn, so that others get theirs.
const MESSAGES: usize = 32;
/// Bytes of a message that are taken at once; the kernel gives the rest in the next call.
const PIECE: usize = 16 * 1024;
/// RFC 9000 20.1
const PROTOCOL_VIOLATION: u32 = 0x0a;

/// What a handshake needs of its socket. Nothing waits; an error of the kind `WouldBlock` is a matter of time.
pub trait Kernel {
    /// The encoded parameters of this end.
    fn parameters(&self) -> io::Result<Vec<u8>>;
    /// Gives the kernel those of the peer.
    fn set_peer_parameters(&self, encoded: &[u8]) -> io::Result<()>;
    /// Gives the kernel a key.
    fn set_secret(&self, record: &[u8; 56]) -> io::Result<()>;
    /// Sends from a TLS message; `more`: others follow at once. How many bytes were taken.
    fn send(&self, level: Level, data: &[u8], more: bool) -> io::Result<usize>;
    /// Receives from a TLS message of the peer: how many bytes, and their level; None: they belong to no message.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<(Option<Level>, usize)>;
    /// Opens the stream of the client.
    fn open_stream(&self) -> io::Result<()>;
    /// Why the connection has ended, as far as the kernel knows.
    fn closed(&self) -> Close;
}

/// How far a handshake is.
#[derive(Debug)]
pub enum Progress {
    /// It goes on when the socket can be read.
    WaitsForPeer,
    /// It goes on when the socket takes more.
    WaitsForRoom,
    /// The socket carries the stream now.
    Done(Box<Secured>),
}

/// Why a handshake has failed.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// For people.
    pub sentence: String,
    /// What the peer is to be told.
    pub close: Option<Close>,
}

impl Failure {
    fn of(what: &str, error: &io::Error) -> Failure {
        Failure { sentence: format!("{what}: {error}"), close: None }
    }
}

/// Which end we are, and what it presents and demands.
#[derive(Clone)]
pub enum Whose {
    /// A server's connection.
    Server(Arc<ServerTls>),
    /// A client's.
    Client(Arc<ClientTls>),
}

/// TLS as a handshake uses it, whichever end it is.
trait Tls: Send {
    /// Takes the bytes of a message. An error: the code of QUIC, what the peer is told, and what we say.
    fn read(&mut self, data: &[u8]) -> Result<(), (u64, String, String)>;
    /// What is to be sent next; true: with new keys from then on.
    fn write(&mut self, message: &mut Vec<u8>) -> bool;
    fn peer_parameters(&self) -> Option<&[u8]>;
    fn cipher(&self) -> Option<Cipher>;
    fn secured(&self) -> Option<Secured>;
}

impl<E: End> Tls for Session<E> {
    fn read(&mut self, data: &[u8]) -> Result<(), (u64, String, String)> {
        self.read_handshake(data).map(drop).map_err(|error| {
            let sentence = self.failure().unwrap_or(&error.reason).to_owned();
            (error.code.into(), error.reason, sentence)
        })
    }

    fn write(&mut self, message: &mut Vec<u8>) -> bool {
        self.write_handshake(message).is_some()
    }

    fn peer_parameters(&self) -> Option<&[u8]> {
        self.connection().quic_transport_parameters()
    }

    fn cipher(&self) -> Option<Cipher> {
        match self.connection().negotiated_cipher_suite()?.suite() {
            CipherSuite::TLS13_AES_128_GCM_SHA256 => Some(Cipher::Aes128Gcm),
            CipherSuite::TLS13_AES_256_GCM_SHA384 => Some(Cipher::Aes256Gcm),
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => Some(Cipher::ChaCha20Poly1305),
            _ => None,
        }
    }

    fn secured(&self) -> Option<Secured> {
        Session::secured(self)
    }
}

/// One handshake.
pub struct Handshake {
    tls: Box<dyn Tls>,
    secrets: Arc<Secrets>,
    is_client: bool,
    /// The level of what is sent and received now.
    level: Level,
    outgoing: VecDeque<(Level, Vec<u8>)>,
    knows_peer: bool,
    /// A failure after that can be told under the connection's own keys.
    has_answered: bool,
}

impl Handshake {
    /// Begins one on a socket that is connected.
    pub fn new(whose: &Whose, kernel: &impl Kernel) -> Result<Handshake, Failure> {
        let is_client = matches!(whose, Whose::Client(_));
        let parameters = kernel.parameters().map_err(|error| Failure::of("the QUIC parameters", &error))?;
        let parameters = announced(&parameters, is_client).ok_or_else(|| Failure {
            sentence: "the QUIC parameters of the kernel are not encoded as they should be".into(),
            close: None,
        })?;
        let (tls, secrets): (Box<dyn Tls>, _) = match whose {
            Whose::Server(tls) => {
                let secrets = Arc::new(Secrets::new(tls.key_log()));
                (Box::new(tls.session(parameters, Some(secrets.clone()))), secrets)
            }
            Whose::Client(tls) => {
                let secrets = Arc::new(Secrets::new(tls.key_log()));
                let session = tls.session(parameters, Some(secrets.clone())).map_err(|error| Failure {
                    sentence: format!("the TLS handshake cannot begin: {error}"),
                    close: None,
                })?;
                (Box::new(session), secrets)
            }
        };
        Ok(Handshake {
            tls,
            secrets,
            is_client,
            level: Level::Initial,
            outgoing: VecDeque::new(),
            knows_peer: false,
            has_answered: false,
        })
    }

    /// Goes on as far as it can without waiting. After a failure it is over.
    pub fn advance(&mut self, kernel: &impl Kernel) -> Result<Progress, Failure> {
        let mut piece = [0; PIECE];
        for _ in 0..MESSAGES {
            self.collect(kernel)?;
            if !self.flush(kernel)? {
                return Ok(Progress::WaitsForRoom);
            }
            if let Some(secured) = self.tls.secured() {
                self.install(kernel, Level::Application)?;
                if self.is_client {
                    kernel
                        .open_stream()
                        .map_err(|error| Failure::of("the server allows no stream", &error))?;
                }
                return Ok(Progress::Done(Box::new(Secured { driver: "kernel", ..secured })));
            }
            match kernel.receive(&mut piece) {
                Ok((level, count @ 1..)) if level == Some(self.level) => {
                    self.read(kernel, &piece[..count])?
                }
                Ok((_, 0)) => return Err(self.ended(kernel)),
                Ok(_) => return Err(self.out_of_place()),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(Progress::WaitsForPeer),
                    io::ErrorKind::Interrupted => (),
                    io::ErrorKind::NotConnected => return Err(self.ended(kernel)),
                    _ => return Err(Failure::of("the connection was lost in its handshake", &error)),
                },
            }
        }
        Ok(Progress::WaitsForPeer)
    }

    /// Takes what TLS has to say, and gives the kernel the keys that it is to be said with.
    fn collect(&mut self, kernel: &impl Kernel) -> Result<(), Failure> {
        loop {
            let mut message = Vec::new();
            let changes = self.tls.write(&mut message);
            let is_empty = message.is_empty();
            if !is_empty {
                self.outgoing.push_back((self.level, message));
            }
            match changes {
                true if self.level == Level::Initial => {
                    self.level = Level::Handshake;
                    self.install(kernel, Level::Handshake)?;
                }
                true => self.has_answered = true, // The 1-RTT keys are installed when all is done.
                false if is_empty => return Ok(()),
                false => (),
            }
        }
    }

    /// Sends what waits. False: the kernel takes no more now.
    fn flush(&mut self, kernel: &impl Kernel) -> Result<bool, Failure> {
        while let Some((level, mut message)) = self.outgoing.pop_front() {
            let sent = kernel.send(level, &message, !self.outgoing.is_empty());
            message.drain(..sent.as_ref().map_or(0, |sent| (*sent).min(message.len())));
            if !message.is_empty() {
                self.outgoing.push_front((level, message));
            }
            match sent {
                Ok(_) => (),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(false),
                    io::ErrorKind::Interrupted => (),
                    io::ErrorKind::BrokenPipe | io::ErrorKind::NotConnected => return Err(self.ended(kernel)),
                    _ => return Err(Failure::of("a TLS message cannot be sent", &error)),
                },
            }
        }
        Ok(true)
    }

    fn read(&mut self, kernel: &impl Kernel, data: &[u8]) -> Result<(), Failure> {
        if let Err((code, told, sentence)) = self.tls.read(data) {
            self.make_heard(kernel);
            let close = Close { code: u32::try_from(code).unwrap_or(u32::MAX), phrase: told };
            return Err(Failure { sentence, close: Some(close) });
        }
        if let Some(parameters) = self.tls.peer_parameters().filter(|_| !self.knows_peer) {
            // What is wrong with them the kernel tells the peer itself.
            if parameters.len() > PARAMETERS_MAX {
                return Err(Failure {
                    sentence: "the peer's QUIC parameters are too long".into(),
                    close: None,
                });
            }
            kernel
                .set_peer_parameters(parameters)
                .map_err(|error| Failure::of("the peer's QUIC parameters are refused", &error))?;
            self.knows_peer = true;
        }
        Ok(())
    }

    /// Until all keys are there, the kernel ends a connection with a code of its own in an Initial packet. A client
    /// that a server has answered no longer reads those: it hears of its refusal only under the last keys.
    fn make_heard(&self, kernel: &impl Kernel) {
        if !self.is_client && self.has_answered {
            let _ = self.install(kernel, Level::Application);
        }
    }

    /// Gives the kernel the keys of a level.
    fn install(&self, kernel: &impl Kernel, level: Level) -> Result<(), Failure> {
        let cipher = self.tls.cipher();
        for send in [true, false] {
            let secret = self.secrets.of(send == self.is_client, level);
            let (Some(cipher), Some(secret)) = (cipher, secret) else {
                return Err(Failure { sentence: "TLS has not told its keys".into(), close: None });
            };
            let mut record = crypto_secret(send, level, cipher, &secret);
            let result = kernel.set_secret(&record);
            record.fill(0);
            result.map_err(|error| Failure::of("the kernel does not take the keys", &error))?;
        }
        Ok(())
    }

    fn ended(&self, kernel: &impl Kernel) -> Failure {
        let close = kernel.closed();
        Failure { sentence: refusal::of_close(close.code, &close.phrase, self.is_client), close: None }
    }

    fn out_of_place(&self) -> Failure {
        let sentence = "the peer sent something in its handshake that is no part of it".to_owned();
        Failure { close: Some(Close { code: PROTOCOL_VIOLATION, phrase: sentence.clone() }), sentence }
    }
}
