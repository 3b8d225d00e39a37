//! What a side offers, and what both agree upon.

use std::time::Duration;

/// The least that a peer has to receive at once ([MS-SMBD] 3.1.5.6).
pub const MIN_RECEIVE_BYTES: u32 = 128;

/// The least that a peer has to put together ([MS-SMBD] 3.1.5.6).
pub const MIN_FRAGMENTED_BYTES: u32 = 131_072;

/// How long a client waits for the negotiation ([MS-SMBD] 3.1.4.1).
const CONNECT_TIME: Duration = Duration::from_secs(120);

/// How long a server waits for it ([MS-SMBD] 3.1.7.2).
const ACCEPT_TIME: Duration = Duration::from_secs(5);

/// What this side offers. The defaults are those of Windows ([MS-SMBD] 7, notes 2 to 8).
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// ReceiveCreditMax: how many receives are posted at most. At least 2.
    pub receive_credits: u16,
    /// SendCreditTarget: how many credits are asked of the peer. At least 2.
    pub send_credits: u16,
    /// MaxSendSize: bytes sent at once. At least 128.
    pub send_bytes: u32,
    /// MaxReceiveSize: bytes received at once. At least 128.
    pub receive_bytes: u32,
    /// MaxFragmentedRecvSize: the largest message. At least 131,072.
    pub fragmented_bytes: u32,
    /// MaxReadWriteSize: the largest transfer by RDMA.
    pub read_write_bytes: u32,
    /// KeepaliveInterval: how long a peer may be silent before it is asked.
    pub keepalive: Duration,
    /// How long it may take to answer then.
    pub keepalive_answer: Duration,
    /// How long a client waits for the negotiation.
    pub connect_time: Duration,
    /// How long a server waits for it.
    pub accept_time: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            receive_credits: 255,
            send_credits: 255,
            send_bytes: 1364,
            receive_bytes: 8192,
            fragmented_bytes: 1_048_576,
            read_write_bytes: 8_388_608,
            keepalive: Duration::from_secs(120),
            keepalive_answer: Duration::from_secs(5),
            connect_time: CONNECT_TIME,
            accept_time: ACCEPT_TIME,
        }
    }
}

impl Settings {
    /// With each value at least what the protocol demands.
    pub(super) fn bounded(self) -> Settings {
        Settings {
            receive_credits: self.receive_credits.max(2),
            send_credits: self.send_credits.max(2),
            send_bytes: self.send_bytes.max(MIN_RECEIVE_BYTES),
            receive_bytes: self.receive_bytes.max(MIN_RECEIVE_BYTES),
            fragmented_bytes: self.fragmented_bytes.max(MIN_FRAGMENTED_BYTES),
            ..self
        }
    }
}

/// What both sides agreed upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// MaxSendSize: bytes sent at once.
    pub send_bytes: u32,
    /// MaxReceiveSize: bytes received at once, the size of each posted receive.
    pub receive_bytes: u32,
    /// MaxFragmentedSendSize: the largest message the peer takes.
    pub fragmented_bytes: u32,
    /// MaxReadWriteSize: the largest transfer by RDMA.
    pub read_write_bytes: u32,
}
