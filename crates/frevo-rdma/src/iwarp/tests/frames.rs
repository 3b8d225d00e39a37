//! MPA's frames and the headers of segments, byte by byte.

use super::super::header::{BadHeader, Header, Operation, ReadRequest, Target, HEADER_BYTES};
use super::*;

/// What the kernel's cifs.ko sends by siw: revision 2, depths 32 and 0, and the depths again as [MS-SMBD] 6 says.
#[test]
fn a_request_of_linux() {
    let mut bytes = b"MPA ID Req Frame".to_vec();
    bytes.extend([0x10, 2, 0, 12, 0, 32, 0, 0, 32, 0, 0, 0, 1, 0, 0, 0]);
    let (frame, used) = Frame::parse(Side::Initiator, &bytes).unwrap().unwrap();
    let expected = Frame {
        markers: false,
        crc: false,
        rejected: false,
        revision: 2,
        depths: Some(Depths { incoming: 32, ..Depths::default() }),
        private_data: vec![32, 0, 0, 0, 1, 0, 0, 0],
    };
    assert_eq!((&frame, used), (&expected, bytes.len()));
    assert_eq!(frame.pack(Side::Initiator), bytes);
    for end in 0..bytes.len() {
        assert_eq!(Frame::parse(Side::Initiator, &bytes[..end]), Ok(None), "{end}");
    }
    bytes.extend(b"more");
    assert_eq!(Frame::parse(Side::Initiator, &bytes).unwrap().unwrap().1, 32);
}

/// Each flag has its bit, also those of the depths.
#[test]
fn flags() {
    let plain = Frame {
        markers: false,
        crc: false,
        rejected: false,
        revision: 1,
        depths: None,
        private_data: vec![],
    };
    let flags = [
        (Frame { markers: true, ..plain.clone() }, 0x80),
        (Frame { crc: true, ..plain.clone() }, 0x40),
        (Frame { rejected: true, ..plain.clone() }, 0x20),
        (plain.clone(), 0),
    ];
    for (frame, flag) in flags {
        let bytes = frame.pack(Side::Responder);
        assert_eq!((&bytes[..16], bytes[16]), (&b"MPA ID Rep Frame"[..], flag));
        assert_eq!(Frame::parse(Side::Responder, &bytes), Ok(Some((frame, 20))));
    }
    let words = [[0x80, 1, 0, 2], [0x40, 1, 0, 2], [0, 1, 0x80, 2], [0, 1, 0x40, 2]];
    for (index, word) in words.into_iter().enumerate() {
        let depths = Depths {
            incoming: 1,
            outgoing: 2,
            peer_to_peer: index == 0,
            begins_with_send: index == 1,
            begins_with_write: index == 2,
            begins_with_read: index == 3,
        };
        let frame = Frame { depths: Some(depths), revision: 2, ..plain.clone() };
        let bytes = frame.pack(Side::Responder);
        assert_eq!((&bytes[16..20], &bytes[20..]), (&[0x10, 2, 0, 4][..], &word[..]));
        assert_eq!(Frame::parse(Side::Responder, &bytes), Ok(Some((frame, 24))));
    }
}

/// What is no frame, or not one that anybody understands.
#[test]
fn wrong_frames() {
    let frame = |flags: u8, revision: u8, length: u16| {
        let mut bytes = b"MPA ID Rep Frame".to_vec();
        bytes.extend([flags, revision]);
        bytes.extend(length.to_be_bytes());
        bytes.resize(20 + usize::from(length), 0);
        Frame::parse(Side::Responder, &bytes)
    };
    for text in [&b"GET / HTTP/1.1"[..], b"\0\0\0\x44\xFESMB", b"MPA ID Req Frame", b"X"] {
        assert_eq!(Frame::parse(Side::Responder, text), Err(StartupError::Key));
    }
    assert_eq!(Frame::parse(Side::Responder, b""), Ok(None));
    assert_eq!(frame(0, 0, 0), Err(StartupError::Revision(0)));
    assert_eq!(frame(0, 3, 0), Err(StartupError::Revision(3)));
    assert_eq!(frame(0, 1, 513), Err(StartupError::PrivateData(513)));
    assert_eq!(frame(0x10, 2, 3), Err(StartupError::Depths));
    assert_eq!(frame(0x10, 1, 3).unwrap().unwrap().0.depths, None, "revision 1 has no such bit");
    assert_eq!(frame(0, 1, 512).unwrap().unwrap().1, MAX_STARTUP_BYTES);
}

/// One header of each operation.
#[test]
fn headers() {
    let tagged = Target::Tagged { tag: 0x0102_0304, offset: 0x0506_0708_090A_0B0C };
    let untagged = |queue| Target::Untagged { queue, number: 7, offset: 8, invalidated: 9 };
    let send = |invalidates, solicited| Operation::Send { invalidates, solicited };
    let cases = [
        (Operation::Write, true, tagged, [0xC1, 0x40]),
        (Operation::ReadResponse, false, tagged, [0x81, 0x42]),
        (Operation::ReadRequest, true, untagged(1), [0x41, 0x41]),
        (send(false, false), false, untagged(0), [0x01, 0x43]),
        (send(true, false), true, untagged(0), [0x41, 0x44]),
        (send(false, true), true, untagged(0), [0x41, 0x45]),
        (send(true, true), true, untagged(0), [0x41, 0x46]),
        (Operation::Terminate, true, untagged(2), [0x41, 0x47]),
    ];
    for (operation, last, target, control) in cases {
        let header = Header { operation, last, data: 300, target };
        let mut bytes = [0; HEADER_BYTES];
        let length = header.pack(&mut bytes);
        let own = length as u16 - 2;
        assert_eq!(bytes[..2], (own + 300).to_be_bytes());
        assert_eq!(bytes[2..4], control);
        assert_eq!(length, if operation.is_tagged() { 16 } else { 20 });
        if operation.is_tagged() {
            assert_eq!(bytes[4..16], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        } else {
            assert_eq!(bytes[4..8], [0, 0, 0, 9]);
            assert_eq!(bytes[12..20], [0, 0, 0, 7, 0, 0, 0, 8]);
        }
        assert_eq!(Header::bytes_of([bytes[0], bytes[1], bytes[2]]), length);
        assert_eq!(Header::parse(&bytes[..length]), Ok(header));
    }
}

/// Headers that nobody may send.
#[test]
fn wrong_headers() {
    let header = |bytes: &[(usize, u8)]| {
        let mut good = [0; 20];
        good[..4].copy_from_slice(&[0, 18, 0x41, 0x43]);
        for (at, byte) in bytes {
            good[*at] = *byte;
        }
        let length = Header::bytes_of([0, 0, good[2]]);
        Header::parse(&good[..length]).map(|_| ())
    };
    assert_eq!(header(&[]), Ok(()));
    assert_eq!(header(&[(1, 17)]), Err(BadHeader::Length));
    assert_eq!(header(&[(2, 0x42)]), Err(BadHeader::DdpVersion { tagged: false }));
    assert_eq!(header(&[(2, 0xC0)]), Err(BadHeader::DdpVersion { tagged: true }));
    assert_eq!(header(&[(3, 0x83)]), Err(BadHeader::RdmapVersion));
    assert_eq!(header(&[(3, 0x48)]), Err(BadHeader::Operation));
    assert_eq!(header(&[(3, 0x40)]), Err(BadHeader::Operation));
    assert_eq!(header(&[(2, 0xC1)]), Err(BadHeader::Operation));
    assert_eq!(header(&[(11, 1)]), Err(BadHeader::Queue));
}

/// The body of an RDMA Read Request.
#[test]
fn read_requests() {
    let request =
        ReadRequest { sink: (0x0102_0304, 0x0506_0708_090A_0B0C), bytes: 0x0D0E_0F10, source: (1, 2) };
    let bytes = request.pack();
    assert_eq!(bytes[..16], std::array::from_fn::<u8, 16, _>(|index| index as u8 + 1));
    assert_eq!(bytes[16..], [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]);
    assert_eq!(ReadRequest::parse(&bytes), request);
}

/// The checksum of a Negotiate Request of SMB Direct, which tshark has called good.
#[test]
fn a_checksum() {
    let request =
        [&[0, 1, 0, 1, 0, 0, 10, 0][..], &[0x54, 5, 0, 0], &[0, 0x20, 0, 0], &[0, 0, 16, 0]].concat();
    let mut endpoint = Endpoint::new(LIMITS);
    endpoint.post_send(1, 20, None);
    let segment = endpoint.next_segment().unwrap();
    let (trailer, length) = segment.trailer([&request[..]].into_iter());
    assert_eq!(trailer[..length], [0xEA, 0xA0, 0x84, 0xD5]);
}
