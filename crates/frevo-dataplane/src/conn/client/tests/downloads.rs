//! READs whose data goes to a local file: at once where that does not block, by a worker otherwise.

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
    for mut job in std::mem::take(&mut lab.host.jobs) {
        job.run();
        lab.client.finish_job(job, &mut lab.host).unwrap();
    }
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
    let jobs = std::mem::take(&mut lab.host.jobs);
    assert_eq!(jobs.len(), 2, "the worker is not done with the first one");
    for mut job in jobs {
        job.run();
        lab.client.finish_job(job, &mut lab.host).unwrap();
    }
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
    let mut job = lab.host.jobs.pop().unwrap();
    job.run();
    lab.client.finish_job(job, &mut lab.host).unwrap();
    lab.answer_read(&requests[1], &data(80_100, 80_000));
    let mut job = lab.host.jobs.pop().unwrap();
    job.run();
    lab.client.finish_job(job, &mut lab.host).unwrap();
    assert_eq!(lab.end(), End::Local(libc::EBADF, 100));
}

/// What a file has, but for its first three bytes.
fn from_third_byte(mut file: std::fs::File) -> Vec<u8> {
    let mut found = Vec::new();
    file.seek(std::io::SeekFrom::Start(3)).unwrap();
    file.read_to_end(&mut found).unwrap();
    found
}
