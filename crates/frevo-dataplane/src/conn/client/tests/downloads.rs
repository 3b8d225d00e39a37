//! READs whose data goes to a local file: at once where that does not block, by a worker otherwise.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use super::*;

#[test]
fn data_for_a_file_that_may_block_is_written_by_a_worker() {
    let file = tempfile(b"");
    let mut lab = Lab::new(64);
    lab.host.can_defer = true;
    let local = open_file(file.try_clone().unwrap());
    local.forget_how_it_is_written();
    lab.start(lab.settings(Kind::Read, 80_000, 2, 160_000, Place::File(local, 3)));
    let requests = lab.requests();
    lab.answer_read(&requests[1], &data(80_100, 80_000));
    lab.answer_read(&requests[0], &data(100, 80_000));
    assert!(lab.host.events.is_empty());
    lab.client.stop_pump(5, true, &mut lab.host);
    assert!(lab.host.events.is_empty()); // its file is still in use
    lab.work();
    assert_eq!(lab.end(), End::Abandoned);
    assert_eq!(from_third_byte(file), data(100, 160_000));
}

#[test]
fn data_for_a_file_that_never_blocks_is_written_at_once() {
    let file = tempfile(b"");
    let mut lab = Lab::new(64);
    lab.host.can_defer = true;
    let local = open_file(file.try_clone().unwrap());
    let shared = lab.start(lab.settings(Kind::Read, 80_000, 2, 160_000, Place::File(local, 3)));
    let requests = lab.requests();
    lab.answer_read(&requests[0], &data(100, 80_000));
    assert!(lab.host.jobs.is_empty());
    assert_eq!(shared.contiguous.load(std::sync::atomic::Ordering::Relaxed), 80_000);
    lab.answer_read(&requests[1], &data(80_100, 80_000));
    assert_eq!(lab.end(), End::Done);
    assert_eq!(from_third_byte(file), data(100, 160_000));
}

#[test]
fn writes_to_one_file_do_not_overtake_a_worker() {
    let file = tempfile(b"");
    let mut lab = Lab::new(64);
    lab.host.can_defer = true;
    let local = open_file(file.try_clone().unwrap());
    local.forget_how_it_is_written();
    lab.start(lab.settings(Kind::Read, 80_000, 3, 240_000, Place::File(local.clone(), 3)));
    let requests = lab.requests();
    lab.answer_read(&requests[0], &data(100, 80_000));
    local.write_at_once();
    lab.answer_read(&requests[1], &data(80_100, 80_000));
    assert_eq!(lab.host.jobs.len(), 2, "the worker is not done with the first one");
    lab.work();
    lab.answer_read(&requests[2], &data(160_100, 80_000));
    assert!(lab.host.jobs.is_empty());
    assert_eq!(lab.end(), End::Done);
    assert_eq!(from_third_byte(file), data(100, 240_000));
}

#[test]
fn a_file_that_cannot_be_written_is_reported() {
    let mut lab = Lab::new(64);
    lab.host.can_defer = true;
    let local = open_file(std::fs::File::open("/dev/null").unwrap());
    lab.start(lab.settings(Kind::Read, 80_000, 2, 160_000, Place::File(local, 3)));
    let requests = lab.requests();
    lab.answer_read(&requests[0], &data(100, 80_000));
    assert_eq!(lab.host.jobs.len(), 1);
    lab.work();
    lab.answer_read(&requests[1], &data(80_100, 80_000));
    assert_eq!(lab.host.jobs.len(), 1);
    lab.work();
    assert_eq!(lab.end(), End::Local(libc::EBADF, 100));
}

/// What a file has, but for its first three bytes.
fn from_third_byte(mut file: std::fs::File) -> Vec<u8> {
    let mut found = Vec::new();
    file.seek(std::io::SeekFrom::Start(3)).unwrap();
    file.read_to_end(&mut found).unwrap();
    found
}

/// A download of 160,000 bytes in two READs that are neither signed nor encrypted, and the first three bytes of its file.
fn plain_download(file: &std::fs::File) -> (Lab, Arc<OpenFile>, Vec<Request>) {
    let mut lab = Lab { sign: false, ..Lab::new(64) };
    lab.client.set_takes_pipes(true);
    lab.host.can_defer = true;
    let local = open_file(file.try_clone().unwrap());
    lab.start(lab.settings(Kind::Read, 80_000, 2, 160_000, Place::File(local.clone(), 3)));
    let requests = lab.requests();
    (lab, local, requests)
}

/// The answer to a READ as it comes from a socket.
fn frame(lab: &Lab, request: &Request, data: &[u8]) -> Vec<u8> {
    let mut body = vec![17, 0, 80, 0];
    body.extend((data.len() as u32).to_le_bytes());
    body.extend([0; 8]);
    body.extend(data);
    let message = lab.message(request, 0, request.charge, &body);
    [&(message.len() as u32).to_be_bytes()[..], &message].concat()
}

/// Hands over what has come on a socket, and says how much of it went into pipes. No receive gets more than `most` bytes.
fn receive(lab: &mut Lab, mut bytes: &[u8], most: usize) -> usize {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let (mut piped, mut scratch) = (0, vec![0; 64 * 1024]);
    while !bytes.is_empty() {
        let count = match lab.client.room(&mut lab.host) {
            Room::Any => {
                let count = bytes.len().min(scratch.len()).min(most);
                scratch[..count].copy_from_slice(&bytes[..count]);
                lab.client.feed(&mut scratch[..count], &mut lab.host).unwrap();
                count
            }
            Room::Own(room) => {
                let count = bytes.len().min(room.len()).min(most);
                for (to, from) in room.iter_mut().zip(&bytes[..count]) {
                    to.write(*from);
                }
                // SAFETY: so many bytes were written just now, into what `room` has given.
                unsafe { lab.client.direct_filled(count, &mut lab.host) }.unwrap();
                count
            }
            Room::Pipe(pipe, limit) => {
                let count = bytes.len().min(limit).min(most).min(4096);
                theirs.write_all(&bytes[..count]).unwrap();
                assert_eq!(pipe.receive(ours.as_raw_fd(), count).unwrap(), count);
                lab.client.piped(count, &mut lab.host).unwrap();
                piped += count;
                count
            }
        };
        bytes = &bytes[count..];
    }
    piped
}

#[test]
fn what_need_not_be_looked_at_goes_from_the_socket_to_the_file() {
    // A pipe takes 256 pieces, however small: when it is full of little ones, it is given up.
    for (most, piped) in [(usize::MAX, 160_000), (5000, 160_000), (50, 2 * 256 * 50)] {
        let file = tempfile(b"");
        let (mut lab, _, requests) = plain_download(&file);
        let (first, second) = (data(100, 80_000), data(80_100, 80_000));
        let both = [frame(&lab, &requests[1], &second), frame(&lab, &requests[0], &first)].concat();
        assert_eq!(receive(&mut lab, &both, most), piped);
        assert!(lab.host.jobs.is_empty());
        assert_eq!(lab.end(), End::Done);
        assert_eq!(from_third_byte(file), data(100, 160_000));
        assert!(lab.is_quiet());
    }
}

#[test]
fn data_that_comes_with_the_head_of_its_answer_is_not_lost() {
    let file = tempfile(b"");
    let (mut lab, _, requests) = plain_download(&file);
    let (first, second) = (data(100, 80_000), data(80_100, 80_000));
    let mut start = frame(&lab, &requests[0], &first);
    let rest = start.split_off(10_000);
    lab.client.feed(&mut start, &mut lab.host).unwrap();
    assert_eq!(receive(&mut lab, &rest, usize::MAX), 80_084 - 10_000);
    let other = frame(&lab, &requests[1], &second);
    receive(&mut lab, &other, usize::MAX);
    assert_eq!(lab.end(), End::Done);
    assert_eq!(from_third_byte(file), data(100, 160_000));
}

#[test]
fn a_worker_writes_what_is_in_pipes_to_a_file_that_may_block() {
    let file = tempfile(b"");
    let (mut lab, local, requests) = plain_download(&file);
    local.forget_how_it_is_written();
    let both =
        [frame(&lab, &requests[0], &data(100, 80_000)), frame(&lab, &requests[1], &data(80_100, 80_000))];
    assert_eq!(receive(&mut lab, &both.concat(), usize::MAX), 160_000);
    lab.client.stop_pump(5, true, &mut lab.host);
    assert!(lab.host.events.is_empty(), "its file is still in use");
    lab.work();
    assert_eq!(lab.end(), End::Abandoned);
    assert_eq!(from_third_byte(file), data(100, 160_000));
}

#[test]
fn what_has_to_be_looked_at_is_copied() {
    let file = tempfile(b"");
    let (mut lab, _, requests) = plain_download(&file);
    let first = data(100, 80_000);
    let mut padded = frame(&lab, &requests[0], &first);
    padded.extend([0; 5]);
    let length = padded.len() as u32 - 4;
    padded[..4].copy_from_slice(&length.to_be_bytes());
    assert_eq!(receive(&mut lab, &padded, usize::MAX), 0, "there is something behind the data");
    let refused = lab.message(&requests[1], 0xC000_0022, 1, &[9, 0, 0, 0, 0, 0, 0, 0, 0]);
    let refused = [&(refused.len() as u32).to_be_bytes()[..], &refused].concat();
    assert_eq!(receive(&mut lab, &refused, usize::MAX), 0, "it is an error");
    assert_eq!(lab.end(), End::Status(0xC000_0022, 80_100));
    assert_eq!(from_third_byte(file), first);
    for (sign, encrypt, place) in [(true, false, true), (false, true, true), (false, false, false)] {
        let mut lab = Lab { sign, encrypt, ..Lab::new(64) };
        lab.client.set_takes_pipes(true);
        let place = if place { Place::File(open_file(tempfile(b"")), 0) } else { Place::Nowhere };
        lab.start(lab.settings(Kind::Read, 80_000, 1, 80_000, place));
        lab.requests();
        let Room::Own(room) = lab.client.room(&mut lab.host) else { panic!("no room of its own") };
        assert!(room.len() > 80_000, "not for the head alone");
    }
}

#[test]
fn data_for_an_abandoned_pump_goes_nowhere() {
    let file = tempfile(b"");
    let (mut lab, _, requests) = plain_download(&file);
    let whole = frame(&lab, &requests[0], &data(100, 80_000));
    let (start, rest) = whole.split_at(40_000);
    assert!(receive(&mut lab, start, usize::MAX) > 0);
    lab.client.stop_pump(5, true, &mut lab.host);
    assert_eq!(lab.end(), End::Abandoned);
    receive(&mut lab, rest, usize::MAX);
    let other = frame(&lab, &requests[1], &data(80_100, 80_000));
    receive(&mut lab, &other, usize::MAX);
    assert!(lab.is_quiet() && from_third_byte(file).is_empty());
}

#[test]
fn a_file_that_takes_nothing_from_pipes_is_reported() {
    let mut lab = Lab { sign: false, ..Lab::new(64) };
    lab.client.set_takes_pipes(true);
    let local = open_file(std::fs::File::open("/dev/null").unwrap());
    lab.start(lab.settings(Kind::Read, 80_000, 1, 80_000, Place::File(local, 3)));
    let request = lab.requests().remove(0);
    let answer = frame(&lab, &request, &data(100, 80_000));
    receive(&mut lab, &answer, usize::MAX);
    assert_eq!(lab.end(), End::Local(libc::EBADF, 100));
}
