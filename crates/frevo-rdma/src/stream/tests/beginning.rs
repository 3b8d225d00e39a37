//! How connections begin.

use std::time::Duration;

use super::bench::{End, Kind, Pair};
use crate::conformance::Bench;
use crate::iwarp::{Depths, Frame, Side};
use crate::provider::Provider;
use crate::stream::Settings;

fn request(frame: Frame) -> Vec<u8> {
    frame.pack(Side::Initiator)
}

const PLAIN: Frame = Frame {
    markers: false,
    crc: false,
    rejected: false,
    revision: 1,
    depths: None,
    private_data: Vec::new(),
};

/// What a responder answers to a request, and whether it goes on.
fn answer(settings: Settings, bytes: &[u8]) -> (Frame, Option<String>) {
    let mut end = End::new(settings, None);
    let outcome = end.give(bytes);
    let reply = Frame::parse(Side::Responder, &end.output()).unwrap().unwrap().0;
    (reply, outcome.err().map(|ended| ended.to_string()))
}

/// The request of Linux's cifs.ko, as it was seen on the wire, is answered with what its siw takes.
#[test]
fn linux_is_answered() {
    let depths = Depths { incoming: 32, ..Depths::default() };
    let private_data = [32u32.to_le_bytes(), 1u32.to_le_bytes()].concat();
    let frame = Frame { revision: 2, depths: Some(depths), private_data, ..PLAIN };
    let (reply, ended) = answer(Settings::new(Side::Responder), &request(frame));
    assert_eq!(ended, None);
    assert_eq!((reply.revision, reply.crc, reply.markers, reply.rejected), (2, false, false, false));
    let depths = reply.depths.unwrap();
    assert_eq!((depths.incoming, depths.outgoing), (16, 16));
}

#[test]
fn a_responder_answers_in_the_revision_of_the_request() {
    let (reply, ended) = answer(Settings::new(Side::Responder), &request(PLAIN));
    assert_eq!((reply.revision, reply.depths, ended), (1, None, None));
    assert_eq!(reply.private_data, [0, 0, 0, 16, 0, 0, 0, 16]);
}

/// Checksums are there if either wants them, markers never.
#[test]
fn checksums_and_markers() {
    let usual = Settings::new(Side::Responder);
    for (ours, theirs) in [(false, false), (true, false), (false, true), (true, true)] {
        let settings = Settings { checks: ours, ..usual };
        let (reply, ended) = answer(settings, &request(Frame { crc: theirs, ..PLAIN }));
        assert_eq!((reply.crc, ended), (ours || theirs, None));
    }
    let (reply, ended) = answer(usual, &request(Frame { markers: true, ..PLAIN }));
    assert!(reply.rejected);
    assert_eq!(ended.as_deref(), Some("MPA: the peer wants markers, which frevo does not send"));
    let mut client = End::new(Settings::new(Side::Initiator), None);
    client.output();
    let why = client.give(&Frame { markers: true, ..PLAIN }.pack(Side::Responder)).unwrap_err();
    assert_eq!(why.to_string(), "MPA: the peer wants markers, which frevo does not send");
}

/// As many READs at a time as the peer answers, however it says so.
#[test]
fn reads_are_bounded_by_what_the_peer_answers() {
    let depths = |incoming| Some(Depths { incoming, ..Depths::default() });
    for (revision, depths, private_data, reads) in [
        (2, depths(4), vec![], 4),
        (2, depths(0), vec![], 1),
        (2, depths(100), vec![], 16),
        (2, depths(3), 9u32.to_be_bytes().to_vec(), 3),
        (1, None, [5u32.to_be_bytes(), 0u32.to_be_bytes()].concat(), 5),
        (1, None, [6u32.to_le_bytes(), 0u32.to_le_bytes()].concat(), 6),
        (1, None, vec![], 1),
        (1, None, vec![1, 2], 1),
    ] {
        let mut end = End::new(Settings::new(Side::Responder), None);
        end.give(&request(Frame { revision, depths, private_data: private_data.clone(), ..PLAIN })).unwrap();
        let reply = end.output().len();
        let place = crate::provider::Remote { tag: 1, offset: 0, bytes: 10 };
        for work in 0..20 {
            end.read(work, vec![0; 10].into(), 0, &[place]);
        }
        // MPA, DDP and the request of RDMAP: 52 bytes each.
        assert_eq!(end.output().len(), reads * 52, "{revision} {depths:?} {private_data:?} {reply}");
    }
}

/// A patient initiator says nothing until its time has come, and then what was posted.
#[test]
fn an_initiator_may_wait() {
    let settings = Settings { patience: Duration::from_millis(20), ..Settings::new(Side::Initiator) };
    let mut end = End::new(settings, None);
    end.send(b"first", &mut std::iter::empty(), None);
    assert!(end.output().starts_with(b"MPA ID Req Frame\x10\x02"));
    end.give(&PLAIN.pack(Side::Responder)).unwrap();
    end.send(b"second", &mut std::iter::empty(), None);
    let due = end.stream.due().unwrap();
    assert!(end.output().is_empty());
    end.wait(due);
    let length = end.output().len();
    assert_eq!((end.stream.due(), length), (None, 2 * 32));
}

/// Whoever cannot read the other's memory says so, and data are sent.
#[test]
fn neighbours_fall_back_on_sending() {
    for can_fetch in [true, false] {
        let mut pair = Pair::new(Kind::Emulated { can_fetch });
        while pair.turn() {
            for side in [0, 1] {
                assert!(pair.end(side).unwrap().poll().unwrap().is_none());
            }
        }
        for side in [0, 1] {
            let stream = pair.stream(side);
            assert_eq!((stream.has_begun(), stream.is_by_reference()), (true, can_fetch));
        }
    }
}

/// A frame that never ends is cut off, and one that comes byte by byte is not.
#[test]
fn frames_in_pieces() {
    let mut end = End::new(Settings::new(Side::Responder), None);
    let frame = request(Frame { revision: 2, private_data: vec![7; 512], ..PLAIN });
    for byte in &frame {
        assert!(!end.stream.has_begun());
        end.give(&[*byte]).unwrap();
    }
    assert!(end.stream.has_begun());
    let mut end = End::new(Settings::new(Side::Responder), None);
    let mut endless = request(PLAIN);
    endless[18..20].copy_from_slice(&600u16.to_be_bytes());
    let why = end.give(&endless).unwrap_err();
    assert_eq!(why.to_string(), "MPA: 600 bytes of private data are more than 512");
}
