//! The messages of [MS-SMBD] 2.2, as they stand in memory.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The only version of the protocol ([MS-SMBD] 1.7).
pub(super) const VERSION: u16 = 0x0100;

/// Where the data of a message begins that has some: after the header, aligned to 8 bytes.
pub const DATA_OFFSET: usize = 24;

/// SMB_DIRECT_RESPONSE_REQUESTED.
pub(super) const RESPONSE_REQUESTED: u16 = 0x0001;

macro_rules! structures {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* })*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
        #[repr(C)]
        pub(super) struct $name { $(pub(super) $field: $type,)* }
    )* };
}

structures! {
    /// Negotiate Request ([MS-SMBD] 2.2.1).
    NegotiateRequest {
        min_version: U16,
        max_version: U16,
        reserved: U16,
        credits_requested: U16,
        preferred_send_size: U32,
        max_receive_size: U32,
        max_fragmented_size: U32,
    }
    /// Negotiate Response ([MS-SMBD] 2.2.2).
    NegotiateResponse {
        min_version: U16,
        max_version: U16,
        negotiated_version: U16,
        reserved: U16,
        credits_requested: U16,
        credits_granted: U16,
        status: U32,
        max_read_write_size: U32,
        preferred_send_size: U32,
        max_receive_size: U32,
        max_fragmented_size: U32,
    }
    /// Data Transfer Message ([MS-SMBD] 2.2.3) without padding and data.
    DataTransfer {
        credits_requested: U16,
        credits_granted: U16,
        flags: U16,
        reserved: U16,
        remaining_data_length: U32,
        data_offset: U32,
        data_length: U32,
    }
}

/// SMB_DIRECT_BUFFER_DESCRIPTOR_V1 ([MS-SMBD] 2.2.3.1): a part of registered memory, as the peer names it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct BufferDescriptor {
    /// Offset: the address of the first byte, as the provider counts.
    pub offset: U64,
    /// Token: the steering tag.
    pub token: U32,
    /// Length in bytes.
    pub length: U32,
}
