//! The header of a segment: DDP (RFC 5041, 4) with RDMAP's control byte (RFC 5040, 4.1).

/// ULPDU_Length and the longest header of DDP.
pub(super) const HEADER_BYTES: usize = LENGTH_BYTES + UNTAGGED_BYTES;

/// ULPDU_Length of MPA.
pub(super) const LENGTH_BYTES: usize = 2;
/// ULPDU_Length and the header of a segment that says where in memory it belongs.
pub(super) const TAGGED_HEADER_BYTES: usize = LENGTH_BYTES + TAGGED_BYTES;
const TAGGED_BYTES: usize = 14;
const UNTAGGED_BYTES: usize = 18;

const TAGGED: u8 = 0x80;
const LAST: u8 = 0x40;
const DDP_VERSION: u8 = 1;
const RDMAP_VERSION: u8 = 1 << 6;

/// An operation that no RFC has.
const FETCHED: u8 = 15;

/// RDMAP's operation of a message (RFC 5040, 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// RDMA Write.
    Write,
    /// RDMA Read Request.
    ReadRequest,
    /// RDMA Read Response.
    ReadResponse,
    /// One of the four kinds of Send.
    Send {
        /// Invalidates a steering tag of the receiver.
        invalidates: bool,
        /// Asks the receiver for an event.
        solicited: bool,
    },
    /// Terminate.
    Terminate,
    /// The data of a message were fetched; only where they are sent by reference.
    Fetched,
}

impl Operation {
    fn code(self) -> u8 {
        match self {
            Operation::Write => 0,
            Operation::ReadRequest => 1,
            Operation::ReadResponse => 2,
            Operation::Send { invalidates, solicited } => 3 + u8::from(invalidates) + 2 * u8::from(solicited),
            Operation::Terminate => 7,
            Operation::Fetched => FETCHED,
        }
    }

    fn of(code: u8) -> Option<Operation> {
        Some(match code {
            0 => Operation::Write,
            1 => Operation::ReadRequest,
            2 => Operation::ReadResponse,
            3..=6 => Operation::Send { invalidates: (code - 3) & 1 != 0, solicited: (code - 3) & 2 != 0 },
            7 => Operation::Terminate,
            FETCHED => Operation::Fetched,
            _ => return None,
        })
    }

    /// Whether its segments say where in memory they belong.
    pub(super) fn is_tagged(self) -> bool {
        matches!(self, Operation::Write | Operation::ReadResponse)
    }

    /// The queue of an untagged message (RFC 5040, 4.3).
    fn queue(self) -> u32 {
        match self {
            Operation::ReadRequest => 1,
            Operation::Terminate => 2,
            Operation::Fetched => 3,
            _ => 0,
        }
    }
}

/// Where a segment belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// In memory: steering tag and tagged offset.
    Tagged { tag: u32, offset: u64 },
    /// In a message of a queue: its number, and the offset in it. `invalidated`: the tag that a Send invalidates.
    Untagged { queue: u32, number: u32, offset: u32, invalidated: u32 },
}

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// What the message is.
    pub(super) operation: Operation,
    /// It is the last segment of its message.
    pub(super) last: bool,
    /// How many bytes of data follow.
    pub(super) data: usize,
    pub(super) target: Target,
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadHeader {
    /// ULPDU_Length is less than the header needs.
    Length,
    /// Another version of DDP.
    DdpVersion { tagged: bool },
    /// Another version of RDMAP.
    RdmapVersion,
    /// An operation that is none, or of the other kind of segment.
    Operation,
    /// A queue that the operation does not belong to.
    Queue,
}

impl Header {
    /// How many bytes a header has whose first three are these, ULPDU_Length included.
    pub(super) fn bytes_of(first: [u8; 3]) -> usize {
        LENGTH_BYTES + if first[2] & TAGGED != 0 { TAGGED_BYTES } else { UNTAGGED_BYTES }
    }

    /// Writes the header with ULPDU_Length, and says how long it is.
    pub(super) fn pack(&self, bytes: &mut [u8; HEADER_BYTES]) -> usize {
        let tagged = self.operation.is_tagged();
        let own = if tagged { TAGGED_BYTES } else { UNTAGGED_BYTES };
        let length = u16::try_from(own + self.data).expect("a segment of less than 64 KiB");
        bytes[..2].copy_from_slice(&length.to_be_bytes());
        bytes[2] = if tagged { TAGGED } else { 0 } | if self.last { LAST } else { 0 } | DDP_VERSION;
        bytes[3] = RDMAP_VERSION | self.operation.code();
        match self.target {
            Target::Tagged { tag, offset } => {
                bytes[4..8].copy_from_slice(&tag.to_be_bytes());
                bytes[8..16].copy_from_slice(&offset.to_be_bytes());
            }
            Target::Untagged { queue, number, offset, invalidated } => {
                for (place, value) in bytes[4..].chunks_exact_mut(4).zip([invalidated, queue, number, offset])
                {
                    place.copy_from_slice(&value.to_be_bytes());
                }
            }
        }
        LENGTH_BYTES + own
    }

    /// Reads a whole header, ULPDU_Length first.
    pub(super) fn parse(bytes: &[u8]) -> Result<Header, BadHeader> {
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let (control, code) = (bytes[2], bytes[3]);
        let tagged = control & TAGGED != 0;
        let length = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
        let own = bytes.len() - LENGTH_BYTES;
        let data = length.checked_sub(own).ok_or(BadHeader::Length)?;
        if control & 3 != DDP_VERSION {
            return Err(BadHeader::DdpVersion { tagged });
        }
        if code & 0xC0 != RDMAP_VERSION {
            return Err(BadHeader::RdmapVersion);
        }
        let operation = Operation::of(code & 0x0F).ok_or(BadHeader::Operation)?;
        if operation.is_tagged() != tagged {
            return Err(BadHeader::Operation);
        }
        let target = if tagged {
            Target::Tagged { tag: word(4), offset: u64::from(word(8)) << 32 | u64::from(word(12)) }
        } else {
            let (invalidated, queue, number, offset) = (word(4), word(8), word(12), word(16));
            if queue != operation.queue() {
                return Err(BadHeader::Queue);
            }
            Target::Untagged { queue, number, offset, invalidated }
        };
        Ok(Header { operation, last: control & LAST != 0, data, target })
    }
}

/// The body of an RDMA Read Request (RFC 5040, 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReadRequest {
    /// Where the reader wants the data.
    pub(super) sink: (u32, u64),
    /// How many bytes.
    pub(super) bytes: u32,
    /// Where they are.
    pub(super) source: (u32, u64),
}

impl ReadRequest {
    pub(super) const BYTES: usize = 28;

    pub(super) fn pack(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.sink.0.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.sink.1.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.bytes.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.source.0.to_be_bytes());
        bytes[20..28].copy_from_slice(&self.source.1.to_be_bytes());
        bytes
    }

    pub(super) fn parse(bytes: &[u8; Self::BYTES]) -> ReadRequest {
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
        ReadRequest { sink: (word(0), long(4)), bytes: word(12), source: (word(16), long(20)) }
    }
}
