//! The frames that begin an MPA connection (RFC 5044, 7.1; RFC 6581, 4).

use std::fmt;

/// Key, flags, revision and length of the private data.
const FIXED_BYTES: usize = 20;

/// PD_Length is at most 512 (RFC 5044, 7.1).
const MAX_PRIVATE_BYTES: usize = 512;

/// The largest frame.
pub const MAX_STARTUP_BYTES: usize = FIXED_BYTES + MAX_PRIVATE_BYTES;

const MARKERS: u8 = 0x80;
const CRC: u8 = 0x40;
const REJECTED: u8 = 0x20;
const ENHANCED: u8 = 0x10;

/// Who sends the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who has connected: a request.
    Initiator,
    /// Who was connected to: a reply.
    Responder,
}

impl Side {
    fn key(self) -> &'static [u8; 16] {
        match self {
            Side::Initiator => b"MPA ID Req Frame",
            Side::Responder => b"MPA ID Rep Frame",
        }
    }
}

/// How many RDMA READs may be outstanding, and how an initiator begins (RFC 6581, 9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depths {
    /// IRD: READs of the other side that the sender answers at a time. 14 bits.
    pub incoming: u16,
    /// ORD: READs that the sender has outstanding at a time. 14 bits.
    pub outgoing: u16,
    /// Flag A: a peer-to-peer connection, in which the initiator has to send first.
    pub peer_to_peer: bool,
    /// Flag B: it may begin with an empty FPDU (or Send).
    pub begins_with_send: bool,
    /// Flag C: it may begin with an empty RDMA WRITE.
    pub begins_with_write: bool,
    /// Flag D: it may begin with an empty RDMA READ.
    pub begins_with_read: bool,
}

impl Depths {
    const FLAG_HIGH: u16 = 0x8000;
    const FLAG_LOW: u16 = 0x4000;
    const DEPTH: u16 = 0x3FFF;

    fn pack(self) -> [u8; 4] {
        let word = |depth: u16, high: bool, low: bool| {
            let flags = if high { Self::FLAG_HIGH } else { 0 } | if low { Self::FLAG_LOW } else { 0 };
            (depth & Self::DEPTH | flags).to_be_bytes()
        };
        let incoming = word(self.incoming, self.peer_to_peer, self.begins_with_send);
        let outgoing = word(self.outgoing, self.begins_with_write, self.begins_with_read);
        [incoming[0], incoming[1], outgoing[0], outgoing[1]]
    }

    fn parse(bytes: [u8; 4]) -> Depths {
        let [incoming, outgoing] = [[bytes[0], bytes[1]], [bytes[2], bytes[3]]].map(u16::from_be_bytes);
        Depths {
            incoming: incoming & Self::DEPTH,
            outgoing: outgoing & Self::DEPTH,
            peer_to_peer: incoming & Self::FLAG_HIGH != 0,
            begins_with_send: incoming & Self::FLAG_LOW != 0,
            begins_with_write: outgoing & Self::FLAG_HIGH != 0,
            begins_with_read: outgoing & Self::FLAG_LOW != 0,
        }
    }
}

/// A request or a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// M: the sender wants markers in what it receives.
    pub markers: bool,
    /// C: the sender wants checksums.
    pub crc: bool,
    /// R: the connection is refused. Only in replies.
    pub rejected: bool,
    /// Rev: 1, or 2 for what RFC 6581 adds.
    pub revision: u8,
    /// S: the depths, which revision 2 has.
    pub depths: Option<Depths>,
    /// What the layer above says; at most 512 bytes with the depths.
    pub private_data: Vec<u8>,
}

/// Why a connection does not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartupError {
    /// The frame begins with something else than its key.
    Key,
    /// A revision that is neither 1 nor 2.
    Revision(u8),
    /// More private data than MPA allows.
    PrivateData(u16),
    /// The depths are announced, but missing.
    Depths,
}

impl fmt::Display for StartupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartupError::Key => f.write_str("MPA: the peer does not speak iWARP"),
            StartupError::Revision(revision) => write!(f, "MPA: revision {revision} is neither 1 nor 2"),
            StartupError::PrivateData(bytes) => {
                write!(f, "MPA: {bytes} bytes of private data are more than 512")
            }
            StartupError::Depths => f.write_str("MPA: the depths of RFC 6581 are missing"),
        }
    }
}

impl std::error::Error for StartupError {}

impl Frame {
    /// The frame as it is sent. Private data beyond the limit of MPA are a fault of the caller.
    pub fn pack(&self, side: Side) -> Vec<u8> {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let flags = flag(self.markers, MARKERS)
            | flag(self.crc, CRC)
            | flag(self.rejected, REJECTED)
            | flag(self.depths.is_some(), ENHANCED);
        let depths = self.depths.map(Depths::pack);
        let depths = depths.as_ref().map_or(&[][..], |bytes| &bytes[..]);
        let length = depths.len() + self.private_data.len();
        assert!(length <= MAX_PRIVATE_BYTES, "{length} bytes of private data");
        let mut bytes = Vec::with_capacity(FIXED_BYTES + length);
        bytes.extend(side.key());
        bytes.extend([flags, self.revision]);
        bytes.extend((length as u16).to_be_bytes());
        bytes.extend(depths);
        bytes.extend(&self.private_data);
        bytes
    }

    /// Reads a frame that `side` has sent from the beginning of `bytes`, and how long it is; None: it is not whole yet.
    pub fn parse(side: Side, bytes: &[u8]) -> Result<Option<(Frame, usize)>, StartupError> {
        let key = side.key();
        if !bytes.starts_with(&key[..key.len().min(bytes.len())]) {
            return Err(StartupError::Key);
        }
        let Some(fixed) = bytes.get(key.len()..FIXED_BYTES) else { return Ok(None) };
        let (flags, revision) = (fixed[0], fixed[1]);
        let length = u16::from_be_bytes([fixed[2], fixed[3]]);
        if !(1..=2).contains(&revision) {
            return Err(StartupError::Revision(revision));
        }
        if usize::from(length) > MAX_PRIVATE_BYTES {
            return Err(StartupError::PrivateData(length));
        }
        let end = FIXED_BYTES + usize::from(length);
        let Some(mut private) = bytes.get(FIXED_BYTES..end) else { return Ok(None) };
        let mut depths = None;
        // In revision 1, the bit is reserved and ignored.
        if revision == 2 && flags & ENHANCED != 0 {
            let (first, rest) = private.split_first_chunk::<4>().ok_or(StartupError::Depths)?;
            (depths, private) = (Some(Depths::parse(*first)), rest);
        }
        let frame = Frame {
            markers: flags & MARKERS != 0,
            crc: flags & CRC != 0,
            rejected: side == Side::Responder && flags & REJECTED != 0,
            revision,
            depths,
            private_data: private.to_vec(),
        };
        Ok(Some((frame, end)))
    }
}
