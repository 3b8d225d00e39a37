//! What READ and WRITE say about data that RDMA carries ([MS-SMB2] 2.2.19, 2.2.21, 2.2.43): where they are, and how they are
//! protected.

use frevo_rdma::provider::Remote;
use frevo_rdma::smbd::BufferDescriptor;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Body, ReadRequest, WriteRequest, HEADER_BYTES};
use crate::crypto::{Seal, SealKind};

/// Values of Channel.
pub mod channel {
    /// SMB2_CHANNEL_NONE
    pub const NONE: u32 = 0;
    /// SMB2_CHANNEL_RDMA_V1
    pub const RDMA_V1: u32 = 1;
    /// SMB2_CHANNEL_RDMA_V1_INVALIDATE
    pub const RDMA_V1_INVALIDATE: u32 = 2;
    /// SMB2_CHANNEL_RDMA_TRANSFORM
    pub const RDMA_TRANSFORM: u32 = 3;
}

/// Flag of a READ response: SMB2_READFLAG_RESPONSE_RDMA_TRANSFORM.
pub const RESPONSE_RDMA_TRANSFORM: u32 = 1;

/// Where the Buffer of a READ or WRITE request begins.
const BUFFER_START: usize = HEADER_BYTES + size_of::<ReadRequest>();
const _: () = assert!(size_of::<ReadRequest>() == size_of::<WriteRequest>());

/// SMB2_RDMA_TRANSFORM ([MS-SMB2] 2.2.43).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RdmaTransform {
    /// RdmaDescriptorOffset, from the beginning of this structure.
    pub descriptor_offset: U16,
    /// RdmaDescriptorLength
    pub descriptor_length: U16,
    /// Channel, see [`channel`].
    pub channel: U32,
    /// TransformCount
    pub count: U16,
    /// Reserved.
    pub reserved1: U16,
    /// Reserved.
    pub reserved2: U32,
}

/// SMB2_RDMA_CRYPTO_TRANSFORM ([MS-SMB2] 2.2.43.1) up to Signature.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct CryptoTransform {
    /// TransformType
    pub kind: U16,
    /// SignatureLength
    pub signature_length: U16,
    /// NonceLength
    pub nonce_length: U16,
    /// Reserved.
    pub reserved: U16,
}

/// The types of transforms.
const ENCRYPTION: u16 = 1;
const SIGNING: u16 = 2;

/// Where data is that RDMA carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelInfo {
    /// As much of the peer's memory as is needed, in order.
    pub places: Vec<Remote>,
    /// The token to invalidate with the response.
    pub invalidate: Option<u32>,
    /// How the data of a WRITE is protected.
    pub seal: Option<Seal>,
    /// Bytes of data.
    pub bytes: u32,
}

/// What a request says about RDMA cannot be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong;

impl ChannelInfo {
    /// Of a READ request with a channel ([MS-SMB2] 3.3.5.12).
    pub fn of_read(read: &ReadRequest, message: &[u8]) -> Result<ChannelInfo, Wrong> {
        let bytes = read.length.get();
        let info = part(message, read.channel_info_offset.get(), read.channel_info_length.get())?;
        ChannelInfo::new(read.channel.get(), info, bytes, None)
    }

    /// Of a WRITE request with a channel ([MS-SMB2] 3.3.5.13).
    pub fn of_write(write: &WriteRequest, message: &[u8]) -> Result<ChannelInfo, Wrong> {
        let bytes = write.remaining_bytes.get();
        let offset = write.channel_info_offset.get();
        let info = part(message, offset, write.channel_info_length.get())?;
        if write.length != 0 || write.data_offset != 0 {
            return Err(Wrong);
        }
        if write.channel != channel::RDMA_TRANSFORM {
            return ChannelInfo::new(write.channel.get(), info, bytes, None);
        }
        let (transform, seal, end) = transformed(info)?;
        // The descriptors begin at the first aligned place behind it, counted from the beginning of Buffer.
        let before = usize::from(offset) - BUFFER_START;
        let begin = (before + end).next_multiple_of(8) - before;
        if usize::from(transform.descriptor_offset) != begin {
            return Err(Wrong);
        }
        let end = begin + usize::from(transform.descriptor_length);
        let descriptors = info.get(begin..end).ok_or(Wrong)?;
        ChannelInfo::new(transform.channel.get(), descriptors, bytes, Some(seal))
    }

    /// Descriptors for `bytes`: the first is not empty, and together they have room.
    fn new(kind: u32, info: &[u8], bytes: u32, seal: Option<Seal>) -> Result<ChannelInfo, Wrong> {
        let descriptors = <[BufferDescriptor]>::ref_from_bytes(info).map_err(|_| Wrong)?;
        let first = descriptors.first().filter(|first| first.length != 0).ok_or(Wrong)?;
        let invalidate = match kind {
            channel::RDMA_V1 => None,
            channel::RDMA_V1_INVALIDATE => Some(first.token.get()),
            _ => return Err(Wrong),
        };
        if bytes == 0 {
            return Err(Wrong);
        }
        let (mut places, mut rest) = (Vec::new(), bytes);
        for descriptor in descriptors {
            let place = Remote::from(*descriptor);
            // One that wraps around is wrong wherever it stands.
            place.offset.checked_add(u64::from(place.bytes)).ok_or(Wrong)?;
            let count = place.bytes.min(rest);
            if count > 0 {
                places.push(Remote { bytes: count, ..place });
            }
            rest -= count;
        }
        if rest > 0 {
            return Err(Wrong);
        }
        Ok(ChannelInfo { places, invalidate, seal, bytes })
    }
}

/// The channel information of a message; there has to be some.
fn part(message: &[u8], offset: u16, length: u16) -> Result<&[u8], Wrong> {
    let (start, length) = (usize::from(offset), usize::from(length));
    if start < BUFFER_START || length == 0 {
        return Err(Wrong);
    }
    message.get(start..start + length).ok_or(Wrong)
}

/// A transform with the one crypto transform that it has to have, and where that ends.
fn transformed(bytes: &[u8]) -> Result<(RdmaTransform, Seal, usize), Wrong> {
    let (transform, rest) = RdmaTransform::read_from_prefix(bytes).map_err(|_| Wrong)?;
    let (crypto, rest) = CryptoTransform::read_from_prefix(rest).map_err(|_| Wrong)?;
    let kind = match crypto.kind.get() {
        ENCRYPTION => SealKind::Encrypted,
        SIGNING => SealKind::Signed,
        _ => return Err(Wrong),
    };
    if transform.count != 1 {
        return Err(Wrong);
    }
    let (signature, nonce) =
        (usize::from(crypto.signature_length.get()), usize::from(crypto.nonce_length.get()));
    let all = rest.get(..signature + nonce).ok_or(Wrong)?;
    let seal = Seal { kind, signature: all[..signature].to_vec(), nonce: all[signature..].to_vec() };
    Ok((transform, seal, bytes.len() - rest.len() + all.len()))
}

/// The seal in a READ response whose data is protected: what DataOffset and DataLength are about ([MS-SMB2] 3.2.5.11).
pub fn seal_of_response(buffer: &[u8]) -> Result<Seal, Wrong> {
    let (transform, seal, _) = transformed(buffer)?;
    if transform.channel != channel::NONE {
        return Err(Wrong);
    }
    Ok(seal)
}

/// Appends a seal for `descriptors` bytes of descriptors behind it, which are aligned; none: a READ response's.
fn append_seal(out: &mut Vec<u8>, seal: &Seal, channel: u32, descriptors: usize) {
    let start = out.len();
    let kind = match seal.kind {
        SealKind::Encrypted => ENCRYPTION,
        SealKind::Signed => SIGNING,
    };
    let crypto = CryptoTransform {
        kind: kind.into(),
        signature_length: (seal.signature.len() as u16).into(),
        nonce_length: (seal.nonce.len() as u16).into(),
        ..CryptoTransform::default()
    };
    let heads = size_of::<RdmaTransform>() + size_of::<CryptoTransform>();
    let end = heads + seal.signature.len() + seal.nonce.len();
    let offset = if descriptors > 0 { end.next_multiple_of(8) } else { 0 };
    let transform = RdmaTransform {
        descriptor_offset: (offset as u16).into(),
        descriptor_length: (descriptors as u16).into(),
        channel: channel.into(),
        count: 1.into(),
        ..RdmaTransform::default()
    };
    out.extend_from_slice(transform.as_bytes());
    out.extend_from_slice(crypto.as_bytes());
    out.extend_from_slice(&seal.signature);
    out.extend_from_slice(&seal.nonce);
    out.resize(start + end.max(offset), 0);
}

/// What stands in the Buffer of a READ response whose data is protected by `seal`.
pub fn response_seal(seal: &Seal) -> Vec<u8> {
    let mut out = Vec::new();
    append_seal(&mut out, seal, channel::NONE, 0);
    out
}

/// A READ request for data that RDMA carries to `place`: its body, with the descriptor.
pub fn remote_read(read: ReadRequest, channel: u32, place: Remote) -> Vec<u8> {
    let descriptor = BufferDescriptor::from(place);
    let read = ReadRequest {
        channel: channel.into(),
        remaining_bytes: read.length,
        channel_info_offset: (BUFFER_START as u16).into(),
        channel_info_length: (size_of::<BufferDescriptor>() as u16).into(),
        ..read
    };
    [read.as_bytes(), descriptor.as_bytes()].concat()
}

/// A WRITE request for data that RDMA fetches from `place`, protected by `seal` if there is one: its body, with the descriptor.
pub fn remote_write(write: WriteRequest, channel: u32, place: Remote, seal: Option<&Seal>) -> Vec<u8> {
    let descriptor = BufferDescriptor::from(place);
    let mut info = Vec::new();
    if let Some(seal) = seal {
        append_seal(&mut info, seal, channel, size_of::<BufferDescriptor>());
    }
    info.extend_from_slice(descriptor.as_bytes());
    let write = WriteRequest {
        data_offset: 0.into(),
        length: 0.into(),
        channel: if seal.is_some() { channel::RDMA_TRANSFORM } else { channel }.into(),
        remaining_bytes: place.bytes.into(),
        channel_info_offset: (BUFFER_START as u16).into(),
        channel_info_length: (info.len() as u16).into(),
        ..write
    };
    [write.as_bytes(), &info].concat()
}

/// Whether a request says that RDMA carries its data.
pub fn has_channel(message: &[u8], command: u16) -> bool {
    match command {
        super::command::READ => ReadRequest::of(message).is_some_and(|read| read.channel != channel::NONE),
        super::command::WRITE => {
            WriteRequest::of(message).is_some_and(|write| write.channel != channel::NONE)
        }
        _ => false,
    }
}
