//! The structures against the vectors that Python's tests use, too: `tests/vectors/smb2.txt`.

use std::fmt::Debug;

use zerocopy::{Immutable, IntoBytes};

use super::*;

const VECTORS: &str = include_str!("../../../../tests/vectors/smb2.txt");

/// The bytes of a section: hex, and comments after '#'.
fn vector(name: &str) -> Vec<u8> {
    let heading = format!("[{name}]");
    let lines = VECTORS.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let section = lines.skip_while(|line| *line != heading).skip(1).take_while(|line| !line.starts_with('['));
    let bytes: Vec<u8> =
        section.flat_map(str::split_whitespace).map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    assert!(!bytes.is_empty(), "no vector {name}");
    bytes
}

/// Reads a body from its vector, and checks that `expected` has the same bytes. Gives what follows the fixed part.
fn check<T: Body + IntoBytes + Immutable + Debug>(name: &str, expected: T) -> Vec<u8> {
    let mut message = vec![0; HEADER_BYTES];
    message.extend(vector(name));
    let body = T::of(&message).unwrap_or_else(|| panic!("{name} is not read"));
    assert_eq!(body.as_bytes(), expected.as_bytes(), "{name}: {body:x?} instead of {expected:x?}");
    message[HEADER_BYTES + 1] ^= 1;
    assert!(T::of(&message).is_none(), "{name} of another StructureSize");
    message[HEADER_BYTES + 1] ^= 1;
    assert!(T::of(&message[..HEADER_BYTES + size_of::<T>() - 1]).is_none(), "half of {name}");
    assert!(T::of(&message[..HEADER_BYTES + size_of::<T>()]).is_some());
    message.split_off(HEADER_BYTES + size_of::<T>())
}

const FILE: (u64, u64) = (11, 0x8000_0000_0000_000C);

#[test]
fn headers() {
    let bytes = vector("header_sync");
    let expected = Header {
        credit_charge: 1.into(),
        status: 2.into(),
        credits: 31.into(),
        flags: flags::SIGNED.into(),
        process_id: 0xFEFF.into(),
        tree_id: 3.into(),
        session_id: 0x8000_0000_0000_0009.into(),
        signature: *b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff",
        ..Header::request(command::CREATE, 7)
    };
    assert_eq!(expected.as_bytes(), bytes);
    assert_eq!(Header::parse(&bytes).unwrap().as_bytes(), bytes);
    assert!(!Header::of(&bytes).is_interim());
    assert!(Header::parse(&vector("header_async")).unwrap().is_interim());
    for (length, position) in [(63, 0), (64, 0), (64, 3), (64, 5)] {
        let mut bad = bytes.clone();
        bad[position] ^= 1;
        assert!(Header::parse(&bad[..length]).is_none());
    }
    assert!(Header::parse(&bytes[..63]).is_none());
}

#[test]
fn the_header_of_a_response() {
    let request = Header::parse(&vector("header_sync")).unwrap();
    let asked = Header { flags: (flags::SIGNED | 0x30).into(), ..request };
    let expected = Header {
        status: 0xC000_0011.into(),
        credits: 5.into(),
        flags: (flags::SERVER_TO_REDIR | 0x30).into(),
        signature: [0; 16],
        ..request
    };
    assert_eq!(asked.response(0xC000_0011, 5).as_bytes(), expected.as_bytes());
}

#[test]
fn transform_header() {
    let bytes = vector("transform_header");
    let mut expected = TransformHeader::new(0x8000_0000_0000_0009, 112, &[1, 0, 0]);
    expected.signature = *b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff";
    assert_eq!(expected.as_bytes(), bytes);
    assert_eq!(expected.authenticated(), &bytes[20..]);
    let mut packet = bytes;
    packet.resize(TRANSFORM_BYTES + 112, 0);
    assert!(TransformHeader::parse(&packet).is_some());
    assert!(TransformHeader::parse(&packet[..163]).is_none(), "another size");
    for position in [0, 37, 42] {
        packet[position] ^= 1;
        assert!(TransformHeader::parse(&packet).is_none(), "byte {position}");
        packet[position] ^= 1;
    }
    assert_eq!(TransformHeader::of(&packet).session_id, 0x8000_0000_0000_0009);
}

#[test]
fn requests() {
    let create = CreateRequest {
        requested_oplock_level: 9,
        impersonation_level: 2.into(),
        desired_access: 0x0012_0089.into(),
        file_attributes: 0x80.into(),
        share_access: 7.into(),
        create_disposition: 1.into(),
        create_options: 0x0020_0040.into(),
        name_offset: 120.into(),
        name_length: 6.into(),
        create_contexts_offset: 128.into(),
        create_contexts_length: 52.into(),
        ..CreateRequest::new()
    };
    assert_eq!(check("create_request", create).len(), 8 + 52);
    let close = CloseRequest { flags: 1.into(), file_id: FILE.into(), ..CloseRequest::new() };
    check("close_request", close);
    check("flush_request", FlushRequest { file_id: FILE.into(), ..FlushRequest::new() });
    let read = ReadRequest {
        padding: 0x50,
        flags: 1,
        length: 0x1_0000.into(),
        offset: 0x1_0000_0000.into(),
        file_id: FILE.into(),
        minimum_count: 1.into(),
        channel: 1.into(),
        channel_info_offset: 112.into(),
        channel_info_length: 4.into(),
        ..ReadRequest::new()
    };
    assert_eq!(check("read_request", read), [1, 2, 3, 4]);
    let write = WriteRequest {
        data_offset: 112.into(),
        length: 5.into(),
        offset: 0x1_0000_0000.into(),
        file_id: FILE.into(),
        flags: 1.into(),
        ..WriteRequest::new()
    };
    assert_eq!(check("write_request", write), b"hello");
    check("logoff", Empty::new()); // ECHO looks the same
}

#[test]
fn responses() {
    let create = CreateResponse {
        flags: 1,
        create_action: 2.into(),
        times: [1, 2, 3, 4].map(|low| (0x01DA_0000_0000_0000 + low).into()),
        allocation_size: 4096.into(),
        end_of_file: 5.into(),
        file_attributes: 32.into(),
        file_id: FILE.into(),
        create_contexts_offset: 152.into(),
        create_contexts_length: 32.into(),
        ..CreateResponse::new()
    };
    assert_eq!(check("create_response", create).len(), 32);
    let read = ReadResponse { data_offset: 80, data_length: 5.into(), ..ReadResponse::new() };
    assert_eq!(check("read_response", read), b"hello");
    check("write_response", WriteResponse { count: 5.into(), ..WriteResponse::new() });
    check("error_response_empty", ErrorResponse::new());
}
