//! Channel information: what is taken, and everything that is not.

use super::*;
use crate::crypto::{Seal, SealKind};
use frevo_rdma::provider::Remote;
use frevo_rdma::smbd::BufferDescriptor;
use zerocopy::IntoBytes;

fn place(tag: u32, offset: u64, bytes: u32) -> Remote {
    Remote { tag, offset, bytes }
}

/// A message of a body.
fn message(body: &[u8]) -> Vec<u8> {
    [&[0; HEADER_BYTES][..], body].concat()
}

fn read_of(length: u32, channel: u32, places: &[Remote]) -> Vec<u8> {
    let info: Vec<u8> =
        places.iter().flat_map(|one| BufferDescriptor::from(*one).as_bytes().to_vec()).collect();
    let read = ReadRequest {
        length: length.into(),
        channel: channel.into(),
        channel_info_offset: 112.into(),
        channel_info_length: (info.len() as u16).into(),
        ..ReadRequest::new()
    };
    message(&[read.as_bytes(), &info].concat())
}

fn parse_read(message: &[u8]) -> Result<ChannelInfo, Wrong> {
    ChannelInfo::of_read(ReadRequest::of(message).unwrap(), message)
}

fn parse_write(message: &[u8]) -> Result<ChannelInfo, Wrong> {
    ChannelInfo::of_write(WriteRequest::of(message).unwrap(), message)
}

fn seal(kind: SealKind, signature: usize, nonce: usize) -> Seal {
    Seal { kind, signature: vec![0xA1; signature], nonce: vec![0xB2; nonce] }
}

#[test]
fn as_much_of_the_descriptors_as_is_needed() {
    let three = [place(1, 100, 10), place(2, 200, 0), place(3, 300, 10)];
    for (length, places) in [
        (1, vec![place(1, 100, 1)]),
        (10, vec![place(1, 100, 10)]),
        (11, vec![place(1, 100, 10), place(3, 300, 1)]),
        (20, vec![place(1, 100, 10), place(3, 300, 10)]),
    ] {
        for (channel, invalidate) in [(channel::RDMA_V1, None), (channel::RDMA_V1_INVALIDATE, Some(1))] {
            let found = parse_read(&read_of(length, channel, &three)).unwrap();
            let expected = ChannelInfo { places: places.clone(), invalidate, seal: None, bytes: length };
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn descriptors_that_cannot_be_right() {
    let wrong = |length, channel, places: &[Remote]| parse_read(&read_of(length, channel, places)).is_err();
    assert!(wrong(21, 1, &[place(1, 0, 10), place(2, 0, 10)]), "too short together");
    assert!(wrong(10, 1, &[place(1, 0, 0), place(2, 0, 10)]), "the first is empty");
    assert!(wrong(0, 1, &[place(1, 0, 10)]), "nothing is asked for");
    assert!(wrong(10, 1, &[]), "none");
    assert!(wrong(10, 3, &[place(1, 0, 10)]), "a transform of a READ");
    assert!(wrong(10, 4, &[place(1, 0, 10)]));
    assert!(wrong(10, 1, &[place(1, u64::MAX - 8, 10)]), "wraps around");
    assert!(wrong(10, 1, &[place(1, 0, 10), place(2, u64::MAX, 1)]), "wraps around, and is not needed");
    assert!(!wrong(10, 1, &[place(1, u64::MAX - 10, 10)]));
    let good = read_of(10, 1, &[place(1, 0, 10)]);
    for (at, value) in
        [(64 + 44, 111u16), (64 + 44, 113), (64 + 44, 0), (64 + 46, 15), (64 + 46, 17), (64 + 46, 0)]
    {
        let mut bad = good.clone();
        raw::put(&mut bad, at, value.to_le_bytes());
        assert!(parse_read(&bad).is_err(), "{at}: {value}");
    }
    assert!(parse_read(&good[..good.len() - 1]).is_err());
    assert!(parse_read(&good).is_ok());
}

#[test]
fn what_the_client_makes_the_server_understands() {
    let read = ReadRequest { length: 5000.into(), offset: 7.into(), ..ReadRequest::new() };
    let made = message(&remote_read(read, channel::RDMA_V1_INVALIDATE, place(9, 77, 5000)));
    let found = parse_read(&made).unwrap();
    assert_eq!((found.places, found.invalidate, found.bytes), (vec![place(9, 77, 5000)], Some(9), 5000));
    let write = WriteRequest { length: 3.into(), data_offset: 112.into(), ..WriteRequest::new() };
    for seal in [
        None,
        Some(seal(SealKind::Encrypted, 16, 12)),
        Some(seal(SealKind::Encrypted, 16, 11)),
        Some(seal(SealKind::Signed, 16, 0)),
    ] {
        for (channel, invalidate) in [(channel::RDMA_V1, None), (channel::RDMA_V1_INVALIDATE, Some(4))] {
            let made = message(&remote_write(write, channel, place(4, 5, 6000), seal.as_ref()));
            let expected =
                ChannelInfo { places: vec![place(4, 5, 6000)], invalidate, seal: seal.clone(), bytes: 6000 };
            assert_eq!(parse_write(&made), Ok(expected));
        }
    }
}

/// The bytes of a WRITE with a transform, as [MS-SMB2] 2.2.21 and 2.2.43 lay them out.
#[test]
fn the_layout_of_a_transform() {
    let made = remote_write(
        WriteRequest::new(),
        channel::RDMA_V1_INVALIDATE,
        place(0x0102_0304, 0x1112, 0x4000),
        Some(&seal(SealKind::Encrypted, 16, 11)),
    );
    let mut expected = vec![0x31, 0, 0, 0, 0, 0, 0, 0];
    expected.extend([0; 24]); // Offset, FileId
    expected.extend([3, 0, 0, 0, 0, 0x40, 0, 0, 112, 0, 72, 0, 0, 0, 0, 0]); // Channel, RemainingBytes, info, Flags
    expected.extend([56, 0, 16, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]); // SMB2_RDMA_TRANSFORM
    expected.extend([1, 0, 16, 0, 11, 0, 0, 0]); // SMB2_RDMA_CRYPTO_TRANSFORM
    expected.extend([0xA1; 16]);
    expected.extend([0xB2; 11]);
    expected.extend([0; 5]); // Padding
    expected.extend([0x12, 0x11, 0, 0, 0, 0, 0, 0, 4, 3, 2, 1, 0, 0x40, 0, 0]);
    assert_eq!(made, expected);
    let response = response_seal(&seal(SealKind::Signed, 16, 12));
    assert_eq!(response[..16], [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!((response[16], response.len()), (2, 52));
    assert_eq!(seal_of_response(&response), Ok(seal(SealKind::Signed, 16, 12)));
}

#[test]
fn transforms_that_cannot_be_right() {
    let good = message(&remote_write(
        WriteRequest::new(),
        1,
        place(1, 0, 10),
        Some(&seal(SealKind::Signed, 16, 12)),
    ));
    assert!(parse_write(&good).is_ok());
    let info = 112;
    for (at, value, why) in [
        (info, 57u16, "descriptors not aligned"),
        (info, 64, "descriptors not at the first aligned place"),
        (info + 2, 17, "not whole descriptors"),
        (info + 2, 0, "no descriptors"),
        (info + 2, 32, "descriptors beyond the end"),
        (info + 4, 3, "another transform's channel"),
        (info + 4, 0, "no channel"),
        (info + 8, 0, "no transform"),
        (info + 8, 2, "two transforms"),
        (info + 16, 0, "an unknown transform"),
        (info + 16, 3, "an unknown transform"),
        (info + 18, 40, "a signature beyond the end"),
        (info + 20, 0xFFFF, "a nonce beyond the end"),
        (64 + 2, 112, "DataOffset"),
        (64 + 4, 10, "Length"),
        (64 + 36, 0, "RemainingBytes"),
        (64 + 36, 11, "more than the descriptors"),
        (64 + 42, 15, "shorter than a transform"),
        (64 + 42, 23, "shorter than a crypto transform"),
        (64 + 42, 0, "no information"),
    ] {
        let mut bad = good.clone();
        raw::put(&mut bad, at, value.to_le_bytes());
        assert_eq!(parse_write(&bad), Err(Wrong), "{why}");
    }
    for cut in 1..good.len() - 112 {
        assert_eq!(parse_write(&good[..good.len() - cut]), Err(Wrong));
    }
    let mut response = response_seal(&seal(SealKind::Signed, 16, 12));
    for cut in 1..response.len() {
        assert_eq!(seal_of_response(&response[..response.len() - cut]), Err(Wrong));
    }
    response[4] = 1;
    assert_eq!(seal_of_response(&response), Err(Wrong), "descriptors in a response");
}

/// Any bytes as channel information: no panic, and what is taken is what was asked for.
#[test]
fn any_bytes() {
    let mut state = 88_172_645_463_325_252u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let good = message(&remote_write(
        WriteRequest::new(),
        2,
        place(1, 0, 10),
        Some(&seal(SealKind::Encrypted, 16, 12)),
    ));
    let mut taken = 0;
    for _ in 0..200_000 {
        let mut any = good.clone();
        for _ in 0..1 + random() % 3 {
            let at = 66 + (random() as usize) % (any.len() - 66);
            any[at] = [0, 1, 2, 3, 8, 16, 255, random() as u8][random() as usize % 8];
        }
        any.truncate(112 + random() as usize % (any.len() - 111));
        for found in [parse_read(&any), parse_write(&any)].into_iter().flatten() {
            taken += 1;
            assert_eq!(
                found.places.iter().map(|one| u64::from(one.bytes)).sum::<u64>(),
                u64::from(found.bytes)
            );
            assert!(found.bytes > 0 && found.places.iter().all(|one| one.bytes > 0));
        }
    }
    assert!(taken > 100, "{taken}");
}
