//! Every way in which the data of large WRITEs come, over real sockets: what is written is right, however slowly it comes and
//! whatever happens meanwhile, and nothing is left of what did not come whole.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use zerocopy::IntoBytes;

use super::rung_tests::{framed, message, Server, SESSION};
use super::*;
use crate::attached::AttachedOpen;
use crate::crypto::{Signer, SigningAlgorithm};
use crate::fast::temporary_file;
use crate::gate::Levels;
use crate::ladder::{Rung, WriteRung};
use crate::wire::raw::u32_at;
use crate::wire::{command, Body, Header, WriteRequest, HEADER_BYTES};
use crate::writing::WRITE_REQUEST_BYTES;

const MIB: usize = 1 << 20;

fn data(length: usize, seed: u32) -> Vec<u8> {
    (0..length as u32).map(|i| ((i ^ seed).wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// A WRITE as it is sent; signed with the keys that the server has.
fn write(id: u64, offset: u64, data: &[u8], signed: bool) -> Vec<u8> {
    let charge = (data.len().div_ceil(65536) as u16).into();
    let header = Header {
        credit_charge: charge,
        credits: charge,
        tree_id: 7.into(),
        session_id: SESSION.into(),
        ..Header::request(command::WRITE, id)
    };
    let body = WriteRequest {
        data_offset: (WRITE_REQUEST_BYTES as u16).into(),
        length: (data.len() as u32).into(),
        offset: offset.into(),
        file_id: (11, 12).into(),
        ..WriteRequest::new()
    };
    let mut message = [header.as_bytes(), body.as_bytes(), data].concat();
    if signed {
        let signer = Signer::new(SigningAlgorithm::AesGmac, &[9; 16]).unwrap();
        SessionKeys::new(signer, None, false, false).sign_unchecked(&mut message);
    }
    framed(&message)
}

fn duplicate(open: &Arc<AttachedOpen>) -> std::fs::File {
    // SAFETY: the descriptor lives as long as the open.
    let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(open.file.descriptor()) };
    fd.try_clone_to_owned().unwrap().into()
}

fn content(open: &Arc<AttachedOpen>) -> Vec<u8> {
    let file = duplicate(open);
    let mut all = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut all, 0).unwrap();
    all
}

/// Status and count of a response.
fn answer(client: &mut TcpStream) -> (u32, u32) {
    let answer = message(client);
    (Header::of(&answer).status.get(), u32_at(&answer, HEADER_BYTES + 4))
}

/// Runs a test with each rung that an engine has.
fn each(test: impl Fn(&Server, WriteRung)) {
    for engine in ["epoll", "uring"] {
        if choose(engine).is_err() {
            println!("skipped: there is no io_uring");
            continue;
        }
        for rung in WriteRung::ALL {
            let server = Server::with(engine, Rung::Plain, rung);
            let ladder = server.plane.write_ladder();
            if ladder.rung == rung {
                test(&server, rung);
            } else {
                assert!(rung == WriteRung::Fixed, "{ladder:?}");
                let why = &ladder.reasons[0].1;
                assert!(
                    engine == "epoll" || why.contains("no memory") || why.contains("no write_fixed"),
                    "{why}"
                );
            }
        }
    }
}

/// What is left of the data of a request that the control plane got, and its offset.
fn request_of(event: &Event) -> Option<(u64, Vec<u8>)> {
    let Event::Message { payload, .. } = event else { return None };
    let message = payload.to_vec();
    let write = WriteRequest::of(&message)?;
    Some((write.offset.get(), message[WRITE_REQUEST_BYTES..].to_vec()))
}

#[test]
fn writes_are_whole_and_in_order_on_every_rung() {
    let sizes = [100, 65_535, 65_536, MIB, 4096, 3 * MIB + 12_345, 2 * MIB];
    each(|server, rung| {
        let (mut client, open) = server.client_of(temporary_file(b""));
        let (mut id, mut model) = (1, Vec::new());
        // At once; in pieces of different sizes; so that the socket is empty in between; and signed.
        for (seed, piece, pause, signed) in
            [(1, usize::MAX, 0, false), (2, 50_001, 0, false), (3, 777_777, 5, false), (4, MIB, 0, true)]
        {
            let (mut offset, mut requests) = (seed as usize * 1000, Vec::new());
            for size in sizes {
                let data = data(size, seed);
                requests.extend(write(id, offset as u64, &data, signed));
                model.resize(model.len().max(offset + size), 0);
                model[offset..offset + size].copy_from_slice(&data);
                (offset, id) = (offset + size, id + size.div_ceil(65536) as u64);
            }
            for piece in requests.chunks(piece) {
                client.write_all(piece).unwrap();
                std::thread::sleep(Duration::from_millis(pause));
            }
            let mut counts: Vec<_> = sizes.iter().map(|_| answer(&mut client)).collect();
            counts.sort_unstable(); // what the ring does ends in any order
            let mut wanted = sizes.map(|size| (0, size as u32));
            wanted.sort_unstable();
            assert_eq!(counts, wanted, "{rung:?}, {seed}");
            assert!(content(&open) == model, "{rung:?}, {seed}");
            let position = open.position.load(Ordering::Relaxed);
            assert!(position == offset as u64 || rung == WriteRung::Fixed, "the last one that was done");
        }
        assert_eq!(server.count("fast_writes"), 4 * sizes.len() as u64);
        let (spliced, fixed) = (server.count("written_spliced"), server.count("written_fixed"));
        // All that was large, but for what came with the first head; and is not signed, if it is spliced.
        let wanted = match rung {
            WriteRung::Plain => (0, 0),
            WriteRung::Fixed => (0, 20),
            WriteRung::Splice => (15, 0),
        };
        assert!(wanted.0 * MIB as u64 <= spliced && (wanted.0 > 0 || spliced == 0), "{spliced}");
        assert!(wanted.1 * MIB as u64 <= fixed && (wanted.1 > 0 || fixed == 0), "{fixed}");
    });
}

#[test]
fn one_that_dawdles_keeps_nobody_waiting_and_its_message_goes_up_whole_if_it_has_to() {
    each(|server, rung| {
        let (mut client, open) = server.client_of(temporary_file(&[5; 10]));
        let data = data(2 * MIB, 7);
        let request = write(1, 3, &data, false);
        client.write_all(&request[..MIB]).unwrap();
        std::thread::sleep(Duration::from_millis(20)); // it is on its way
        let hold = server.gate.hold(Levels::ALL);
        assert!(hold.is_drained(), "{rung:?}: nothing runs before all of it is there");
        client.write_all(&request[MIB..]).unwrap();
        assert!(server.event(request_of) == (3, data.clone()), "{rung:?}");
        assert_eq!(content(&open), [5; 10]);
        drop(hold);
        // The next one is done here again.
        client.write_all(&write(33, 3, &data, false)).unwrap();
        assert_eq!(answer(&mut client), (0, 2 * MIB as u32));
        assert!(content(&open)[3..] == data);
    });
}

#[test]
fn clients_that_go_in_the_middle_leave_nothing_behind_on_any_rung() {
    each(|server, rung| {
        let open_files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        for sent in [4, 115, 116, 117, 70_000, MIB, 2 * MIB + 115] {
            let (mut client, open) = server.client_of(temporary_file(b"unchanged"));
            client.write_all(&write(1, 0, &data(2 * MIB, 7), false)[..sent]).unwrap();
            std::thread::sleep(Duration::from_millis(5));
            drop(client);
            server.event(|event| matches!(event, Event::Closed { .. }).then_some(()));
            assert_eq!(content(&open), b"unchanged", "{rung:?}, {sent} bytes");
        }
        assert_eq!(server.count("connections"), 0);
        assert!(server.gate.hold(Levels::ALL).is_drained());
        assert!(open_files() < 500, "pipes are closed or used again");
        // One that resets the connection, and the engine goes on.
        let (mut client, open) = server.client_of(temporary_file(b""));
        client.write_all(&write(1, 0, &data(MIB, 7), false)).unwrap();
        assert_eq!(answer(&mut client), (0, MIB as u32));
        assert_eq!(content(&open).len(), MIB);
        client.write_all(&write(17, 0, &data(MIB, 8), false)[..MIB]).unwrap();
        let begun = Instant::now();
        server.plane.shutdown();
        assert!(begun.elapsed() < Duration::from_secs(4), "it waits for nobody");
    });
}

#[test]
fn urgent_data_in_the_middle_is_passed_over_on_every_rung() {
    each(|server, rung| {
        let (mut client, open) = server.client_of(temporary_file(b""));
        let data = data(2 * MIB, 3);
        let request = write(1, 0, &data, false);
        let (first, rest) = request.split_at(MIB);
        client.write_all(first).unwrap();
        // SAFETY: one byte, which lives during the call.
        let urgent = unsafe { libc::send(client.as_raw_fd(), b"!".as_ptr().cast(), 1, libc::MSG_OOB) };
        assert_eq!(urgent, 1);
        client.write_all(rest).unwrap();
        assert_eq!(answer(&mut client), (0, 2 * MIB as u32), "{rung:?}");
        assert!(content(&open) == data, "{rung:?}");
    });
}

#[test]
fn small_pieces_do_not_fill_the_pipes() {
    each(|server, rung| {
        let (mut client, open) = server.client_of(temporary_file(b""));
        client.set_nodelay(true).unwrap();
        let data = data(100_000, 9);
        for piece in write(1, 0, &data, false).chunks(50) {
            client.write_all(piece).unwrap();
        }
        assert_eq!(answer(&mut client), (0, 100_000), "{rung:?}");
        assert!(content(&open) == data);
    });
}

#[test]
fn workers_write_where_it_may_take_time() {
    each(|server, rung| {
        let (mut client, open) = server.client_of(temporary_file(b""));
        open.file.forget_how_it_is_written();
        let (one, other) = (data(2 * MIB, 1), data(MIB, 2));
        let requests = [write(1, 0, &one, false), write(33, 2 * MIB as u64, &other, false)].concat();
        client.write_all(&requests).unwrap();
        let mut counts = [answer(&mut client).1, answer(&mut client).1];
        counts.sort_unstable();
        assert_eq!(counts, [MIB as u32, 2 * MIB as u32], "{rung:?}");
        assert!(content(&open) == [one, other].concat());
        assert_eq!(server.count("fast_writes_deferred"), 2);
    });
}

#[test]
fn a_file_that_takes_less_says_so_and_one_that_takes_nothing_is_left_to_the_control_plane() {
    each(|server, rung| {
        // A full file system, as far as one file can be one.
        let file = temporary_file(&vec![0; MIB + 4096]);
        // SAFETY: no pointers.
        assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_GROW) }, 0);
        let (mut client, open) = server.client_of(file);
        let data = data(2 * MIB, 4);
        client.write_all(&write(1, 4096, &data, false)).unwrap();
        assert_eq!(answer(&mut client), (0, MIB as u32), "{rung:?}");
        assert!(content(&open)[4096..] == data[..MIB]);
        client.write_all(&write(33, (MIB + 4096) as u64, &data, false)).unwrap();
        assert!(server.event(request_of) == ((MIB + 4096) as u64, data.clone()), "{rung:?}");
        // Nor one that may only be read.
        let read_only: OwnedFd = std::fs::File::open("/proc/self/exe").unwrap().into();
        let (mut client, _open) = server.client_of(read_only);
        client.write_all(&write(1, 0, &data, false)).unwrap();
        assert!(server.event(request_of) == (0, data.clone()), "{rung:?}");
    });
}

#[test]
fn a_head_that_promises_more_or_less_than_comes_is_the_control_planes_or_ends_the_connection() {
    each(|server, rung| {
        let (mut client, open) = server.client_of(temporary_file(b"unchanged"));
        let data = data(MIB, 4);
        // Length, and the offset of the data, in the body; the offset in the file. What is left over is padding.
        let changes: [(usize, [u8; 4]); 4] = [
            (68, (MIB as u32 + 1).to_le_bytes()),
            (66, [113, 0, 0, 0]),
            (76, u32::MAX.to_le_bytes()),
            (68, 0u32.to_le_bytes()),
        ];
        for (index, (place, bytes)) in changes.into_iter().enumerate() {
            let mut request = write(1 + 16 * index as u64, 0, &data, false);
            request[4 + place..][..if place == 66 { 2 } else { 4 }]
                .copy_from_slice(&bytes[..if place == 66 { 2 } else { 4 }]);
            client.write_all(&request).unwrap();
            let got = server.event(|event| match event {
                Event::Message { payload, .. } => Some(payload.to_vec()),
                _ => None,
            });
            assert!(got == request[4..], "{rung:?}: change {index}");
        }
        assert_eq!(content(&open), b"unchanged");
        // A message id that was used before.
        client.write_all(&write(1, 0, &data, false)).unwrap();
        server.event(|event| matches!(event, Event::Closed { .. }).then_some(()));
        let ended = client.read(&mut [0; 9]);
        assert!(
            matches!(&ended, Ok(0)) || ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
        );
        assert_eq!(content(&open), b"unchanged");
    });
}
