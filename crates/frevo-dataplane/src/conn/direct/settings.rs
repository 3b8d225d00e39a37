//! What an SMB Direct connection is to be.

use std::time::Duration;

use frevo_rdma::iwarp::Side;
use frevo_rdma::{smbd, stream};

use crate::conn::Role;

/// How long a client waits between the answer of MPA and its first message. ksmbd loses a message that comes at once.
const PATIENCE: Duration = Duration::from_millis(20);

/// The largest message: what frevo itself sends at most, encrypted.
const FRAGMENTED_BYTES: u32 = (8 << 20) + (128 << 10);

/// What carries the messages of SMB Direct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// iWARP over TCP: RFC 5044, 5041 and 5040.
    Iwarp,
    /// The same between two processes of one machine, over a Unix socket: data of RDMA are fetched out of the other's memory.
    Emulated,
    /// RDMA cards, and not a stream socket.
    Verbs,
}

impl Provider {
    /// The provider that a configuration names.
    pub fn by_name(name: &str) -> Option<Provider> {
        match name {
            "iwarp" => Some(Provider::Iwarp),
            "emulated" => Some(Provider::Emulated),
            "verbs" => Some(Provider::Verbs),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Provider::Iwarp => "iwarp",
            Provider::Emulated => "emulated",
            Provider::Verbs => "verbs",
        }
    }
}

/// What one end offers. What counts is the lesser of both sides.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What carries it.
    pub provider: Provider,
    /// Bytes of a message of SMB Direct that is sent, at least 128.
    pub send_bytes: u32,
    /// The same of those that are received.
    pub receive_bytes: u32,
    /// Bytes of a message of SMB2 that is put together, at least 131,072.
    pub fragmented_bytes: u32,
    /// Messages of SMB Direct that the peer may send ahead, at least 2.
    pub credits: u16,
    /// Bytes of a transfer by RDMA.
    pub read_write_bytes: u32,
    /// How long a peer may be silent before it is asked whether it is there.
    pub keepalive: Duration,
    /// iWARP: checksums, also if the peer does without.
    pub checksums: bool,
    /// iWARP: data of one segment, from 64 to 65,500 bytes.
    pub segment_bytes: usize,
    /// RDMA READs that each side may have outstanding.
    pub reads: u16,
    /// How long a client waits before its first message.
    pub patience: Duration,
}

impl Settings {
    /// The usual ones.
    pub fn new(provider: Provider) -> Settings {
        let smbd = smbd::Settings::default();
        let stream = stream::Settings::new(Side::Initiator);
        Settings {
            provider,
            // As much as Windows receives: Linux takes 1364 and says so.
            send_bytes: smbd.receive_bytes,
            receive_bytes: smbd.receive_bytes,
            fragmented_bytes: FRAGMENTED_BYTES,
            credits: smbd.receive_credits,
            read_write_bytes: smbd.read_write_bytes,
            keepalive: smbd.keepalive,
            checksums: stream.checks,
            segment_bytes: stream.segment_bytes,
            reads: stream.incoming_reads,
            patience: if provider == Provider::Iwarp { PATIENCE } else { Duration::ZERO },
        }
    }

    /// How large receives are.
    pub(crate) fn receives(&self) -> usize {
        self.receive_bytes.max(smbd::FIRST_RECEIVE_BYTES) as usize
    }

    pub(super) fn machine(&self) -> smbd::Settings {
        smbd::Settings {
            receive_credits: self.credits,
            send_credits: self.credits,
            send_bytes: self.send_bytes,
            receive_bytes: self.receive_bytes,
            fragmented_bytes: self.fragmented_bytes,
            read_write_bytes: self.read_write_bytes,
            keepalive: self.keepalive,
            ..Default::default()
        }
    }

    pub(super) fn stream(&self, role: Role) -> stream::Settings {
        let side = if role == Role::Server { Side::Responder } else { Side::Initiator };
        stream::Settings {
            checks: self.checksums,
            segment_bytes: self.segment_bytes,
            incoming_reads: self.reads,
            outgoing_reads: self.reads,
            patience: self.patience,
            ..stream::Settings::new(side)
        }
    }
}
