//! The structures of SMB2 that the data plane reads and writes ([MS-SMB2] 2.2), each declared once: bytes of a message are
//! looked at in place. Servers and clients use the same ones.

mod bodies;
mod header;
mod rdma;
#[cfg(test)]
mod rdma_tests;
#[cfg(test)]
mod vectors;

pub use bodies::*;
pub use header::{Header, TransformHeader};
pub use rdma::*;

/// Size of the SMB2 packet header ([MS-SMB2] 2.2.1).
pub const HEADER_BYTES: usize = size_of::<Header>();
/// Size of the SMB2 TRANSFORM_HEADER ([MS-SMB2] 2.2.41).
pub const TRANSFORM_BYTES: usize = size_of::<TransformHeader>();
/// Size of the transport header in front of every message, the same for both framings.
pub const FRAME_BYTES: usize = 4;
/// Room for the frame and the transform header before a message in an output buffer.
pub const HEADROOM_BYTES: usize = FRAME_BYTES + TRANSFORM_BYTES;

/// Bytes of a request or of its response that one credit covers ([MS-SMB2] 3.1.5.2).
pub const CREDIT_BYTES: u32 = 65536;

/// ProtocolId of a plain SMB2 packet.
pub const PROTOCOL_SMB2: [u8; 4] = [0xFE, b'S', b'M', b'B'];
/// ProtocolId of SMB1, used only for a NEGOTIATE that leads to SMB2.
pub const PROTOCOL_SMB1: [u8; 4] = [0xFF, b'S', b'M', b'B'];
/// ProtocolId of an encrypted packet.
pub const PROTOCOL_TRANSFORM: [u8; 4] = [0xFD, b'S', b'M', b'B'];
/// ProtocolId of a compressed packet.
pub const PROTOCOL_COMPRESSION: [u8; 4] = [0xFC, b'S', b'M', b'B'];

/// Command codes ([MS-SMB2] 2.2.1.2).
pub mod command {
    /// SMB2 CREATE
    pub const CREATE: u16 = 0x0005;
    /// SMB2 CLOSE
    pub const CLOSE: u16 = 0x0006;
    /// SMB2 FLUSH
    pub const FLUSH: u16 = 0x0007;
    /// SMB2 READ
    pub const READ: u16 = 0x0008;
    /// SMB2 WRITE
    pub const WRITE: u16 = 0x0009;
    /// SMB2 IOCTL
    pub const IOCTL: u16 = 0x000B;
    /// SMB2 CANCEL
    pub const CANCEL: u16 = 0x000C;
    /// SMB2 ECHO
    pub const ECHO: u16 = 0x000D;
    /// SMB2 QUERY_DIRECTORY
    pub const QUERY_DIRECTORY: u16 = 0x000E;
    /// SMB2 QUERY_INFO
    pub const QUERY_INFO: u16 = 0x0010;
}

/// Header flags ([MS-SMB2] 2.2.1.2).
pub mod flags {
    /// The message is a response.
    pub const SERVER_TO_REDIR: u32 = 0x1;
    /// The header has an AsyncId.
    pub const ASYNC_COMMAND: u32 = 0x2;
    /// The request is related to the one before it in the compound.
    pub const RELATED_OPERATIONS: u32 = 0x4;
    /// The message is signed.
    pub const SIGNED: u32 = 0x8;
    /// The bits of the priority (3.1.1).
    pub const PRIORITY_MASK: u32 = 0x70;
    /// The request is about a path of DFS.
    pub const DFS_OPERATIONS: u32 = 0x1000_0000;
    /// A retransmission after a lost channel.
    pub const REPLAY_OPERATION: u32 = 0x2000_0000;
}

/// STATUS_PENDING: the interim response of an asynchronous request.
pub const STATUS_PENDING: u32 = 0x0000_0103;
/// STATUS_INSUFFICIENT_RESOURCES
pub const STATUS_INSUFFICIENT_RESOURCES: u32 = 0xC000_009A;
/// STATUS_IO_DEVICE_ERROR
pub const STATUS_IO_DEVICE_ERROR: u32 = 0xC000_0185;
/// STATUS_DISK_FULL
pub const STATUS_DISK_FULL: u32 = 0xC000_007F;
/// STATUS_INVALID_PARAMETER
pub const STATUS_INVALID_PARAMETER: u32 = 0xC000_000D;
/// STATUS_INVALID_SIGNATURE
pub const STATUS_INVALID_SIGNATURE: u32 = 0xC000_A000;
/// STATUS_AUTH_TAG_MISMATCH
pub const STATUS_AUTH_TAG_MISMATCH: u32 = 0xC000_A002;
/// STATUS_END_OF_FILE
pub const STATUS_END_OF_FILE: u32 = 0xC000_0011;

/// For tests: the fields of messages by their place, as the peer of a connection writes them.
#[cfg(test)]
pub(crate) mod raw {
    /// Offsets of header fields.
    pub(crate) mod at {
        use crate::wire::Header;
        use std::mem::offset_of;

        pub(crate) const CREDIT_CHARGE: usize = offset_of!(Header, credit_charge);
        pub(crate) const STATUS: usize = offset_of!(Header, status);
        pub(crate) const COMMAND: usize = offset_of!(Header, command);
        pub(crate) const CREDITS: usize = offset_of!(Header, credits);
        pub(crate) const FLAGS: usize = offset_of!(Header, flags);
        pub(crate) const NEXT_COMMAND: usize = offset_of!(Header, next_command);
        pub(crate) const MESSAGE_ID: usize = offset_of!(Header, message_id);
        pub(crate) const TREE_ID: usize = offset_of!(Header, tree_id);
        pub(crate) const SESSION_ID: usize = offset_of!(Header, session_id);
        pub(crate) const SIGNATURE: usize = offset_of!(Header, signature);
    }

    /// Little-endian 16 bits at `offset`.
    pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> u16 {
        u16::from_le_bytes([bytes[offset], bytes[offset + 1]])
    }

    /// Little-endian 32 bits at `offset`.
    pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
        u32::from_le_bytes(bytes[offset..offset + 4].try_into().unwrap())
    }

    /// Little-endian 64 bits at `offset`.
    pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
        u64::from_le_bytes(bytes[offset..offset + 8].try_into().unwrap())
    }

    /// Writes `value` little-endian at `offset`.
    pub(crate) fn put<const N: usize>(bytes: &mut [u8], offset: usize, value: [u8; N]) {
        bytes[offset..offset + N].copy_from_slice(&value);
    }
}

/// Where the element that starts at `start` ends: at its NextCommand or at the end of the message. None if NextCommand
/// is not a multiple of 8, too small or outside ([MS-SMB2] 3.3.5.2.7).
pub fn element_end(message: &[u8], start: usize, next_command: u32) -> Option<usize> {
    if next_command == 0 {
        return Some(message.len());
    }
    let next = next_command as usize;
    let end = start.checked_add(next)?;
    let fits = next >= HEADER_BYTES && next.is_multiple_of(8) && end + HEADER_BYTES <= message.len();
    fits.then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compound_bounds_are_checked() {
        let message = vec![0u8; 256];
        assert_eq!(element_end(&message, 0, 0), Some(256));
        assert_eq!(element_end(&message, 0, 72), Some(72));
        assert_eq!(element_end(&message, 0, 73), None);
        assert_eq!(element_end(&message, 0, 56), None);
        assert_eq!(element_end(&message, 0, 200), None);
        assert_eq!(element_end(&message, 64, u32::MAX - 7), None);
    }
}
