//! The headers in front of every message ([MS-SMB2] 2.2.1, 2.2.41).

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{command, flags, HEADER_BYTES, PROTOCOL_SMB2, PROTOCOL_TRANSFORM, STATUS_PENDING};

/// Flags of a request that its response has, too, when it stands alone.
const KEPT_FLAGS: u32 = flags::PRIORITY_MASK | flags::DFS_OPERATIONS;

/// The SMB2 packet header ([MS-SMB2] 2.2.1.2). The asynchronous form (2.2.1.1) has an AsyncId instead of Reserved and TreeId,
/// which the data plane leaves to the control plane.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// [`PROTOCOL_SMB2`]
    pub protocol_id: [u8; 4],
    /// 64
    pub structure_size: U16,
    /// CreditCharge, 0 counts as 1.
    pub credit_charge: U16,
    /// Status of a response; ChannelSequence of a request.
    pub status: U32,
    /// Command code.
    pub command: U16,
    /// CreditRequest or CreditResponse.
    pub credits: U16,
    /// Flags, see [`flags`].
    pub flags: U32,
    /// NextCommand, 0 in the last element.
    pub next_command: U32,
    /// MessageId.
    pub message_id: U64,
    /// Reserved field, which clients fill with a process ID; copied to the response.
    pub process_id: U32,
    /// TreeId of a synchronous request.
    pub tree_id: U32,
    /// SessionId.
    pub session_id: U64,
    /// Signature.
    pub signature: [u8; 16],
}

impl Header {
    /// Reads the header at the start of `bytes`; None if it is too short or not an SMB2 header.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Option<Header> {
        let (header, _) = Header::read_from_prefix(bytes).ok()?;
        let known = header.protocol_id == PROTOCOL_SMB2 && header.structure_size == HEADER_BYTES as u16;
        known.then_some(header)
    }

    /// The header of a message of at least 64 bytes, in place.
    #[inline]
    pub fn of(message: &[u8]) -> &Header {
        Header::ref_from_prefix(message).expect("the length was checked").0
    }

    /// As [`Header::of`], to be changed.
    #[inline]
    pub fn of_mut(message: &mut [u8]) -> &mut Header {
        Header::mut_from_prefix(message).expect("the length was checked").0
    }

    /// A request without flags, and without credits.
    pub fn request(command: u16, message_id: u64) -> Header {
        Header {
            protocol_id: PROTOCOL_SMB2,
            structure_size: U16::new(HEADER_BYTES as u16),
            command: command.into(),
            message_id: message_id.into(),
            ..Header::default()
        }
    }

    /// The header of the response to `self`.
    #[inline]
    pub fn response(&self, status: u32, credits: u16) -> Header {
        Header {
            protocol_id: PROTOCOL_SMB2,
            structure_size: U16::new(HEADER_BYTES as u16),
            credit_charge: self.credit_charge,
            status: status.into(),
            command: self.command,
            credits: credits.into(),
            flags: (flags::SERVER_TO_REDIR | self.flags.get() & KEPT_FLAGS).into(),
            next_command: U32::ZERO,
            message_id: self.message_id,
            process_id: self.process_id,
            tree_id: self.tree_id,
            session_id: self.session_id,
            signature: [0; 16],
        }
    }

    /// True if the message is an interim response ([MS-SMB2] 3.3.4.2).
    pub fn is_interim(&self) -> bool {
        self.has(flags::ASYNC_COMMAND) && self.status == STATUS_PENDING
    }

    /// True if the message asks to cancel another one.
    #[inline]
    pub fn is_cancel(&self) -> bool {
        self.command == command::CANCEL
    }

    /// True if all bits of `flag` are set.
    #[inline]
    pub fn has(&self, flag: u32) -> bool {
        self.flags.get() & flag == flag
    }
}

/// The header of an encrypted message ([MS-SMB2] 2.2.41).
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct TransformHeader {
    /// [`PROTOCOL_TRANSFORM`]
    pub protocol_id: [u8; 4],
    /// The authentication tag.
    pub signature: [u8; 16],
    /// The nonce, and zeros behind it.
    pub nonce: [u8; 16],
    /// Bytes of the message behind this header.
    pub original_message_size: U32,
    /// 0
    pub reserved: U16,
    /// 1: encrypted.
    pub flags: U16,
    /// Whose keys encrypt it.
    pub session_id: U64,
}

/// Flags of a transform header: encrypted.
const ENCRYPTED: u16 = 1;
/// Where the authenticated part of the header starts: at the nonce.
const AUTHENTICATED_FROM: usize = std::mem::offset_of!(TransformHeader, nonce);

impl TransformHeader {
    /// A header for a message of `size` bytes, without its tag.
    pub fn new(session_id: u64, size: u32, nonce: &[u8]) -> TransformHeader {
        let mut header = TransformHeader {
            protocol_id: PROTOCOL_TRANSFORM,
            original_message_size: size.into(),
            flags: ENCRYPTED.into(),
            session_id: session_id.into(),
            ..TransformHeader::default()
        };
        header.nonce[..nonce.len()].copy_from_slice(nonce);
        header
    }

    /// The header at the start of `packet`; None if it is not one, or for another size than that of the rest.
    pub fn parse(packet: &[u8]) -> Option<TransformHeader> {
        let (header, message) = TransformHeader::read_from_prefix(packet).ok()?;
        let fits = header.protocol_id == PROTOCOL_TRANSFORM
            && header.flags == ENCRYPTED
            && header.original_message_size.get() as usize == message.len();
        fits.then_some(header)
    }

    /// The header of a packet of at least 52 bytes, in place.
    pub fn of(packet: &[u8]) -> &TransformHeader {
        TransformHeader::ref_from_prefix(packet).expect("the length was checked").0
    }

    /// The part of the header that the tag protects.
    pub fn authenticated(&self) -> &[u8] {
        &self.as_bytes()[AUTHENTICATED_FROM..]
    }
}
