//! The message that says why a connection ends (RFC 5040, 4.8; RFC 5041, 7.2; RFC 5044, 8).

use std::fmt;

use super::decoder::Broken;
use super::header::BadHeader;
use crate::regions::Denied;

/// What a peer has done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The checksum of a segment is wrong.
    Checksum,
    /// A segment is shorter than its header.
    Length,
    /// Another version of DDP.
    DdpVersion {
        /// In a segment that says where in memory it belongs.
        tagged: bool,
    },
    /// Another version of RDMAP.
    RdmapVersion,
    /// An operation that is none, or cannot be here.
    Operation,
    /// An untagged message in the wrong queue.
    Queue,
    /// A message is not the next one of its queue.
    Number,
    /// No receive was posted for a message.
    NoBuffer,
    /// A segment does not follow the one before.
    Offset,
    /// A message is longer than the posted receive.
    TooLong,
    /// More RDMA READs at a time than agreed upon.
    TooManyReads,
    /// RDMA WRITE to memory that is not for it.
    Write(Denied),
    /// RDMA READ of memory that is not for it.
    Read(Denied),
    /// An answer to no RDMA READ of ours.
    Response,
    /// A Send invalidates a tag that is none.
    Invalidate,
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Fault {
        match broken {
            Broken::Checksum => Fault::Checksum,
            Broken::Header(BadHeader::Length) => Fault::Length,
            Broken::Header(BadHeader::DdpVersion { tagged }) => Fault::DdpVersion { tagged },
            Broken::Header(BadHeader::RdmapVersion) => Fault::RdmapVersion,
            Broken::Header(BadHeader::Operation) => Fault::Operation,
            Broken::Header(BadHeader::Queue) => Fault::Queue,
        }
    }
}

/// Why a side ends the connection, as it stands in a Terminate message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminate {
    /// 0: RDMAP, 1: DDP, 2: MPA.
    pub layer: u8,
    /// The type of error, each layer has its own.
    pub kind: u8,
    /// The code, each type has its own.
    pub code: u8,
}

impl Terminate {
    pub(super) const BYTES: usize = 4;

    /// The longest message: control, length and headers of the segment at fault.
    pub(super) const MAX_BYTES: usize = 4 + 2 + 18 + 28;

    /// Control without the headers of the segment at fault, which may be left out.
    pub(super) fn pack(self) -> [u8; Self::BYTES] {
        [self.layer << 4 | self.kind & 0x0F, self.code, 0, 0]
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Terminate> {
        let [first, code, ..] = *bytes else { return None };
        (bytes.len() >= Self::BYTES).then_some(Terminate { layer: first >> 4, kind: first & 0x0F, code })
    }
}

impl From<Fault> for Terminate {
    fn from(fault: Fault) -> Terminate {
        let (layer, kind, code) = match fault {
            Fault::Checksum => (2, 0, 2),
            Fault::Length => (2, 0, 3),
            Fault::DdpVersion { tagged: true } => (1, 1, 4),
            Fault::DdpVersion { tagged: false } => (1, 2, 6),
            Fault::RdmapVersion => (0, 2, 5),
            Fault::Operation | Fault::Response => (0, 2, 6),
            Fault::Queue => (1, 2, 1),
            Fault::NoBuffer => (1, 2, 2),
            Fault::Number | Fault::TooManyReads => (1, 2, 3),
            Fault::Offset => (1, 2, 4),
            Fault::TooLong => (1, 2, 5),
            Fault::Write(Denied::Tag) => (1, 1, 0),
            Fault::Write(Denied::Bounds) => (1, 1, 1),
            Fault::Write(Denied::Access) => (0, 1, 2),
            Fault::Read(Denied::Tag) => (0, 1, 0),
            Fault::Read(Denied::Bounds) => (0, 1, 1),
            Fault::Read(Denied::Access) => (0, 1, 2),
            Fault::Invalidate => (0, 1, 9),
        };
        Terminate { layer, kind, code }
    }
}

impl Terminate {
    /// What was wrong.
    pub fn text(self) -> &'static str {
        match (self.layer, self.kind, self.code) {
            (0, 0, _) => "RDMAP: a fault of the sender",
            (0, 1, 0) => "RDMAP: invalid steering tag",
            (0, 1, 1) | (1, 1, 1) => "outside of the memory",
            (0, 1, 2) => "RDMAP: the memory is not for this",
            (0, 1, 3) | (1, 1, 2) => "the steering tag is not of this connection",
            (0, 1, 4) | (1, 1, 3) => "the offset wraps around",
            (0, 1, 9) | (0, 2, 9) => "RDMAP: the steering tag cannot be invalidated",
            (0, 2, 5) => "RDMAP: invalid version",
            (0, 2, 6) => "RDMAP: unexpected operation",
            (1, 1, 0) => "DDP: invalid steering tag",
            (1, 1, 4) | (1, 2, 6) => "DDP: invalid version",
            (1, 2, 1) => "DDP: invalid queue",
            (1, 2, 2) => "DDP: no receive is posted",
            (1, 2, 3) => "DDP: invalid message number",
            (1, 2, 4) => "DDP: invalid message offset",
            (1, 2, 5) => "DDP: the message is too long for the receive",
            (2, 0, 2) => "MPA: wrong checksum",
            (2, 0, 3) => "MPA: wrong length",
            _ => "an error",
        }
    }
}

impl fmt::Display for Terminate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Terminate { layer, kind, code } = self;
        write!(f, "iWARP: terminated: {} (layer {layer}, type {kind}, code {code})", self.text())
    }
}
