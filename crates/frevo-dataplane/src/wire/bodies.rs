//! The fixed parts of the hot requests and responses, as they follow the header.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::HEADER_BYTES;

/// What follows the header: its fixed part, read where it lies.
pub trait Body: FromBytes + Immutable + KnownLayout + Unaligned + Sized {
    /// The value of its StructureSize, which counts a byte of what follows the fixed part.
    const STRUCTURE_SIZE: u16;

    /// The body of `message`; None when it is too short or another one.
    #[inline]
    fn of(message: &[u8]) -> Option<&Self> {
        let body = message.get(HEADER_BYTES..)?;
        let (size, _) = U16::ref_from_prefix(body).ok()?;
        let (fixed, _) = Self::ref_from_prefix(body).ok()?;
        (*size == Self::STRUCTURE_SIZE).then_some(fixed)
    }
}

macro_rules! bodies {
    ($($(#[$doc:meta])* $size:literal $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
        #[repr(C)]
        pub struct $name {
            /// StructureSize.
            pub structure_size: U16,
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl Body for $name {
            const STRUCTURE_SIZE: u16 = $size;
        }

        impl $name {
            /// All zero but for StructureSize.
            #[inline]
            pub fn new() -> $name {
                $name { structure_size: U16::new($size), ..$name::default() }
            }
        }
    )* };
}

/// FileId ([MS-SMB2] 2.2.14.1).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct FileId {
    /// Persistent
    pub persistent: U64,
    /// Volatile
    pub volatile: U64,
}

impl From<(u64, u64)> for FileId {
    fn from((persistent, volatile): (u64, u64)) -> FileId {
        FileId { persistent: persistent.into(), volatile: volatile.into() }
    }
}

impl From<FileId> for (u64, u64) {
    fn from(id: FileId) -> (u64, u64) {
        (id.persistent.get(), id.volatile.get())
    }
}

bodies! {
    /// SMB2 CREATE Request ([MS-SMB2] 2.2.13).
    57 CreateRequest {
        /// Reserved.
        security_flags: u8,
        /// RequestedOplockLevel.
        requested_oplock_level: u8,
        /// ImpersonationLevel.
        impersonation_level: U32,
        /// Reserved.
        smb_create_flags: U64,
        /// Reserved.
        reserved: U64,
        /// DesiredAccess.
        desired_access: U32,
        /// FileAttributes.
        file_attributes: U32,
        /// ShareAccess.
        share_access: U32,
        /// CreateDisposition.
        create_disposition: U32,
        /// CreateOptions.
        create_options: U32,
        /// NameOffset, from the header.
        name_offset: U16,
        /// Bytes of the name.
        name_length: U16,
        /// CreateContextsOffset, from the header.
        create_contexts_offset: U32,
        /// Bytes of the contexts.
        create_contexts_length: U32,
    }

    /// SMB2 CREATE Response ([MS-SMB2] 2.2.14).
    89 CreateResponse {
        /// The oplock that was granted.
        oplock_level: u8,
        /// Flags.
        flags: u8,
        /// CreateAction.
        create_action: U32,
        /// CreationTime, LastAccessTime, LastWriteTime, ChangeTime.
        times: [U64; 4],
        /// AllocationSize.
        allocation_size: U64,
        /// EndOfFile.
        end_of_file: U64,
        /// FileAttributes.
        file_attributes: U32,
        /// Reserved.
        reserved: U32,
        /// FileId.
        file_id: FileId,
        /// CreateContextsOffset, from the header.
        create_contexts_offset: U32,
        /// Bytes of the contexts.
        create_contexts_length: U32,
    }

    /// SMB2 CLOSE Request ([MS-SMB2] 2.2.15).
    24 CloseRequest {
        /// Flags.
        flags: U16,
        /// Reserved.
        reserved: U32,
        /// FileId.
        file_id: FileId,
    }

    /// SMB2 FLUSH Request ([MS-SMB2] 2.2.17).
    24 FlushRequest {
        /// Reserved.
        reserved1: U16,
        /// Reserved.
        reserved2: U32,
        /// FileId.
        file_id: FileId,
    }

    /// SMB2 READ Request ([MS-SMB2] 2.2.19).
    49 ReadRequest {
        /// The wanted DataOffset of the response.
        padding: u8,
        /// Flags.
        flags: u8,
        /// Bytes wanted.
        length: U32,
        /// Where in the file.
        offset: U64,
        /// FileId.
        file_id: FileId,
        /// Fewer bytes than this are an error.
        minimum_count: U32,
        /// Channel: 0 unless RDMA is to carry the data.
        channel: U32,
        /// RemainingBytes.
        remaining_bytes: U32,
        /// ReadChannelInfoOffset, from the header.
        channel_info_offset: U16,
        /// Bytes of the channel information.
        channel_info_length: U16,
    }

    /// SMB2 READ Response ([MS-SMB2] 2.2.20).
    17 ReadResponse {
        /// Where the data is, from the header.
        data_offset: u8,
        /// Reserved.
        reserved: u8,
        /// Bytes of data.
        data_length: U32,
        /// DataRemaining.
        data_remaining: U32,
        /// Reserved, or flags of RDMA.
        reserved2: U32,
    }

    /// SMB2 WRITE Request ([MS-SMB2] 2.2.21).
    49 WriteRequest {
        /// Where the data is, from the header.
        data_offset: U16,
        /// Bytes of data.
        length: U32,
        /// Where in the file.
        offset: U64,
        /// FileId.
        file_id: FileId,
        /// Channel: 0 unless RDMA is to carry the data.
        channel: U32,
        /// RemainingBytes.
        remaining_bytes: U32,
        /// WriteChannelInfoOffset, from the header.
        channel_info_offset: U16,
        /// Bytes of the channel information.
        channel_info_length: U16,
        /// Flags.
        flags: U32,
    }

    /// SMB2 WRITE Response ([MS-SMB2] 2.2.22).
    17 WriteResponse {
        /// Reserved.
        reserved: U16,
        /// Bytes written.
        count: U32,
        /// Reserved.
        remaining: U32,
        /// Reserved.
        channel_info_offset: U16,
        /// Reserved.
        channel_info_length: U16,
    }

    /// SMB2 ECHO Request and Response, FLUSH Response ([MS-SMB2] 2.2.28, 2.2.29, 2.2.18): no content.
    4 Empty {
        /// Reserved.
        reserved: U16,
    }

    /// SMB2 ERROR Response ([MS-SMB2] 2.2.2) without data.
    9 ErrorResponse {
        /// ErrorContextCount.
        error_context_count: u8,
        /// Reserved.
        reserved: u8,
        /// ByteCount.
        byte_count: U32,
        /// ErrorData: one byte if there is none.
        error_data: u8,
    }
}
