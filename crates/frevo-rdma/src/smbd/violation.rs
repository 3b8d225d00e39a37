//! What ends a connection.

use std::fmt;

/// Why a connection has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A message is shorter than its kind.
    Short,
    /// The peer's range of versions does not include 1.0.
    Version,
    /// The server has refused, with this status.
    Refused(u32),
    /// CreditsRequested is zero.
    NoCreditsRequested,
    /// CreditsGranted of the Negotiate Response is zero.
    NoCreditsGranted,
    /// MaxReceiveSize is below 128.
    SmallReceives(u32),
    /// MaxFragmentedSize is below 131,072.
    SmallMessages(u32),
    /// PreferredSendSize of the server is more than this side receives.
    LargeSends(u32),
    /// A message came for which no credit had been granted.
    Overdrawn,
    /// DataOffset is not aligned to 8 bytes, or within the header.
    DataOffset(u32),
    /// DataOffset and DataLength point past the end of the message.
    Bounds,
    /// DataLength and RemainingDataLength are more than this side receives.
    TooLarge(u64),
    /// RemainingDataLength does not fit the fragments before.
    Fragments,
    /// Nothing was negotiated in time.
    NegotiationTime,
    /// The peer has not answered for too long.
    Silent,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Short => f.write_str("SMB Direct: the message is too short"),
            Violation::Version => f.write_str("SMB Direct: the peer does not support version 1.0"),
            Violation::Refused(status) => {
                write!(f, "SMB Direct: the server has refused: status {status:#010x}")
            }
            Violation::NoCreditsRequested => f.write_str("SMB Direct: the peer requests no credits"),
            Violation::NoCreditsGranted => f.write_str("SMB Direct: the server grants no credits"),
            Violation::SmallReceives(size) => {
                write!(f, "SMB Direct: the peer receives {size} bytes at once, less than 128")
            }
            Violation::SmallMessages(size) => {
                write!(f, "SMB Direct: the peer receives messages of {size} bytes, less than 131072")
            }
            Violation::LargeSends(size) => {
                write!(f, "SMB Direct: the server wants to send {size} bytes at once")
            }
            Violation::Overdrawn => f.write_str("SMB Direct: the peer sends without a credit"),
            Violation::DataOffset(offset) => write!(f, "SMB Direct: the data cannot begin at {offset}"),
            Violation::Bounds => f.write_str("SMB Direct: the data end behind the message"),
            Violation::TooLarge(size) => write!(f, "SMB Direct: a message of {size} bytes is too large"),
            Violation::Fragments => f.write_str("SMB Direct: the fragments do not fit together"),
            Violation::NegotiationTime => f.write_str("SMB Direct: not negotiated in time"),
            Violation::Silent => f.write_str("SMB Direct: the peer does not answer"),
        }
    }
}

impl std::error::Error for Violation {}
