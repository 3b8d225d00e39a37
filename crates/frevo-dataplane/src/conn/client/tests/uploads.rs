//! WRITEs whose data comes from a local file: without a copy where nothing is computed from it.

use super::*;

/// Starts an upload of 3 bytes behind the start of `content` on, and says whether its data is in pipes, and what it sends.
fn upload(lab: &mut Lab, content: &[u8], io_size: u32) -> (bool, Vec<Request>) {
    let local = open_file(tempfile(content));
    lab.start(lab.settings(Kind::Write, io_size, 8, 1 << 20, Place::File(local, 3)));
    (lab.client.output().has_pipes(), lab.requests())
}

/// What the requests of an upload carry.
fn carried(requests: &[Request]) -> Vec<u8> {
    let mut all = Vec::new();
    for request in requests {
        assert_eq!((request.command, request.offset()), (command::WRITE, 100 + all.len() as u64));
        assert_eq!(request.size() as usize, request.body.len() - 48);
        all.extend(&request.body[48..]);
    }
    all
}

fn lab(sign: bool, encrypt: bool, takes_pipes: bool) -> Lab {
    let mut lab = Lab { sign, encrypt, ..Lab::new(1000) };
    lab.client.set_takes_pipes(takes_pipes);
    lab
}

#[test]
fn a_large_upload_that_is_not_protected_is_not_copied() {
    let content = data(0, 300_003);
    let (piped, requests) = upload(&mut lab(false, false, true), &content, 80_000);
    assert!(piped);
    assert_eq!(requests.iter().map(Request::size).collect::<Vec<_>>(), [80_000, 80_000, 80_000, 60_000]);
    assert_eq!(requests.iter().map(|request| request.charge).collect::<Vec<_>>(), [2, 2, 2, 1]);
    assert!(carried(&requests) == content[3..]);
}

#[test]
fn an_upload_is_copied_where_it_must_be() {
    let content = data(0, 300_003);
    for (sign, encrypt, takes_pipes, io_size) in [
        (true, false, true, 80_000),
        (false, true, true, 80_000),
        (false, false, false, 80_000),
        (false, false, true, 60_000),
    ] {
        let (piped, requests) = upload(&mut lab(sign, encrypt, takes_pipes), &content, io_size);
        assert!(!piped, "{sign} {encrypt} {takes_pipes} {io_size}");
        assert!(carried(&requests) == content[3..], "{sign} {encrypt} {takes_pipes} {io_size}");
    }
}

#[test]
fn an_upload_without_a_copy_ends_where_its_file_does() {
    let content = data(0, 80_003);
    let mut lab = lab(false, false, true);
    let (piped, requests) = upload(&mut lab, &content, 80_000);
    assert!(piped && carried(&requests) == content[3..]);
    let mut body = vec![17, 0, 0, 0];
    body.extend(80_000u32.to_le_bytes());
    body.resize(16, 0);
    lab.answer(&requests[0], 0, &body).unwrap();
    assert_eq!(lab.end(), End::Eof(80_100));
}

#[test]
fn what_is_wrong_with_the_file_of_an_upload_is_said() {
    let mut lab = lab(false, false, true);
    let writable = std::fs::OpenOptions::new().write(true).open("/dev/null").unwrap();
    let place = Place::File(open_file(writable), 0);
    lab.start(lab.settings(Kind::Write, 80_000, 8, 1 << 20, place));
    assert_eq!(lab.end(), End::Local(libc::EBADF, 100));
}
