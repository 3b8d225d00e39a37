//! WRITE and FLUSH that the data plane answers by itself.

use super::*;
use crate::file_job::Work;

pub(super) fn write_request(id: u64, offset: u64, data: &[u8]) -> Vec<u8> {
    let mut message = request(command::WRITE, id);
    message.resize(112, 0);
    let charge = data.len().div_ceil(65536) as u16;
    put(&mut message, at::CREDIT_CHARGE, charge.to_le_bytes());
    put(&mut message, at::CREDITS, charge.to_le_bytes());
    put(&mut message, at::TREE_ID, 5u32.to_le_bytes());
    put(&mut message, at::SESSION_ID, SESSION.to_le_bytes());
    put(&mut message, 64, 49u16.to_le_bytes());
    put(&mut message, 66, 112u16.to_le_bytes());
    put(&mut message, 68, (data.len() as u32).to_le_bytes());
    put(&mut message, 72, offset.to_le_bytes());
    put(&mut message, 80, 11u64.to_le_bytes());
    put(&mut message, 88, 12u64.to_le_bytes());
    message.extend_from_slice(data);
    message
}

fn flush_request(id: u64) -> Vec<u8> {
    let mut message = request(command::FLUSH, id);
    message.resize(88, 0);
    put(&mut message, at::TREE_ID, 5u32.to_le_bytes());
    put(&mut message, at::SESSION_ID, SESSION.to_le_bytes());
    put(&mut message, 64, 24u16.to_le_bytes());
    put(&mut message, 72, 11u64.to_le_bytes());
    put(&mut message, 80, 12u64.to_le_bytes());
    message
}

impl Pair {
    fn content(&self) -> Vec<u8> {
        let mut room = vec![std::mem::MaybeUninit::new(0u8); 1 << 20];
        let open = self.opens.find(12).unwrap();
        let count = open.file.read_blocking(&mut room, 0).unwrap();
        // SAFETY: all of it is initialised.
        room[..count].iter().map(|byte| unsafe { byte.assume_init() }).collect()
    }
}

#[test]
fn writes_are_answered_here() {
    let (mut pair, _gate) = Pair::ready(b"0123456789", true, false);
    let large = vec![7; 200_000];
    let (small, large) = (write_request(1, 2, b"abc"), write_request(2, 5, &large));
    for (message, count) in [(&small, 3), (&large, 200_000)] {
        pair.feed(&signed(message.clone(), &pair.client)).unwrap();
        let mut answer = pair.answer();
        assert!(pair.client.verify(&mut answer));
        assert_eq!((u32_at(&answer, at::STATUS), u16_at(&answer, 64), answer.len()), (0, 17, 80));
        assert_eq!(u32_at(&answer, 68), count);
    }
    assert_eq!(pair.content()[..6], *b"01abc\x07");
    assert_eq!(pair.opens.find(12).unwrap().position.load(Ordering::Relaxed), 200_005);
    pair.feed(&signed(flush_request(6), &pair.client)).unwrap();
    assert_eq!(pair.answer()[64..], [4, 0, 0, 0]);
    assert!(pair.messages().is_empty());
}

#[test]
fn unusual_writes_go_up_and_nothing_is_written() {
    let (mut pair, gate) = Pair::ready(b"0123456789", false, false);
    let changes: [(usize, u8); 10] = [
        (at::TREE_ID, 6),
        (at::FLAGS + 3, 0x20),
        (66, 113),
        (68, 0),
        (68, 4),
        (79, 0x80),
        (88, 1),
        (96, 1),
        (100, 1),
        (108, 1),
    ];
    for (index, (offset, value)) in changes.into_iter().enumerate() {
        let mut message = write_request(1 + index as u64, 0, b"abc");
        message[offset] = value;
        pair.feed(&message).unwrap();
        assert_eq!(pair.messages()[0].2, message, "byte {offset}");
    }
    let hold = gate.hold(Levels::WRITE);
    for message in [write_request(12, 0, b"abc"), flush_request(13)] {
        pair.feed(&message).unwrap();
        assert_eq!(pair.messages()[0].2, message, "the gate is held");
    }
    drop(hold);
    let mut greedy = write_request(14, 0, &[1; 70_000]);
    put(&mut greedy, at::CREDIT_CHARGE, 1u16.to_le_bytes());
    pair.feed(&greedy).unwrap();
    assert_eq!(pair.messages().len(), 1, "not paid for");
    pair.connection.set_settings(Settings { max_write: 2, ..LOGGED_ON });
    pair.feed(&write_request(15, 0, b"abc")).unwrap();
    assert_eq!(pair.messages().len(), 1, "too large");
    assert!(pair.output().is_empty());
    assert_eq!(pair.content(), b"0123456789");
}

#[test]
fn a_worker_finishes_a_write_and_a_hold_waits_for_it() {
    let (mut pair, gate) = Pair::ready(b"0123456789", true, false);
    pair.host.can_defer = true;
    pair.opens.find(12).unwrap().file.forget_how_it_is_written();
    pair.feed(&signed(write_request(1, 8, b"abcd"), &pair.client)).unwrap();
    assert!(pair.output().is_empty() && pair.messages().is_empty());
    let hold = gate.hold(Levels::WRITE);
    let mut job = pair.host.jobs.pop().unwrap();
    assert!(!hold.is_drained());
    job.run();
    pair.connection.finish_job(job, &mut pair.host).unwrap();
    let mut answer = pair.answer();
    assert!(pair.client.verify(&mut answer) && hold.is_drained());
    assert_eq!((u32_at(&answer, 68), pair.content()), (4, b"01234567abcd".to_vec()));
}

#[test]
fn a_flush_that_has_failed_is_not_asked_again() {
    let (mut pair, _gate) = Pair::ready(b"0123456789", true, false);
    pair.host.can_defer = true;
    pair.opens.find(12).unwrap().file.forget_how_it_is_written();
    for (id, errno, status) in
        [(1, libc::EIO, 0xC000_0185), (2, libc::ENOSPC, 0xC000_007F), (3, libc::EDQUOT, 0xC000_007F)]
    {
        pair.feed(&signed(write_request(id, 8, b"abcd"), &pair.client)).unwrap();
        let mut job = pair.host.jobs.pop().unwrap();
        (job.work, job.packet) = (Work::Flush, signed(flush_request(id), &pair.client));
        (job.size, job.outcome) = (job.packet.len(), Some(Err(errno)));
        pair.connection.finish_job(job, &mut pair.host).unwrap();
        let mut answer = pair.answer();
        assert!(pair.client.verify(&mut answer) && pair.messages().is_empty());
        assert_eq!((u32_at(&answer, at::STATUS), answer.len()), (status, 73));
    }
}

#[test]
fn what_a_worker_could_not_do_goes_up_and_what_it_did_does_not() {
    let (mut pair, _gate) = Pair::ready(b"0123456789", true, true);
    pair.host.can_defer = true;
    pair.opens.find(12).unwrap().file.forget_how_it_is_written();
    let message = write_request(1, 8, b"abcd");
    for (id, outcome, up) in [(1, Err(libc::EIO), 1), (2, Ok(2), 0)] {
        let mut request = message.clone();
        put(&mut request, at::MESSAGE_ID, u64::to_le_bytes(id));
        let mut packet = vec![0; TRANSFORM_BYTES];
        packet.extend_from_slice(&request);
        assert!(pair.client.encrypt(SESSION, &mut packet));
        pair.feed(&packet).unwrap();
        let mut job = pair.host.jobs.pop().unwrap();
        let Work::Write { offset: 8, data, done: 0 } = &job.work else { panic!("{:?}", job.work) };
        assert_eq!(job.message()[data.clone()], b"abcd"[..]);
        job.outcome = Some(outcome);
        pair.connection.finish_job(job, &mut pair.host).unwrap();
        let messages = pair.messages();
        assert_eq!(messages.len(), up);
        assert!(messages.iter().all(|one| one.2 == request && one.0 == SESSION));
        assert_eq!(pair.output().is_empty(), up == 1);
    }
}

#[test]
fn what_is_not_protected_as_it_has_to_be_moves_no_sequence_on() {
    let (mut pair, _gate) = Pair::ready(b"0123456789", true, false);
    let sequence = pair.opens.find(12).unwrap().sequence.clone().unwrap();
    let later = |mut message: Vec<u8>| {
        put(&mut message, at::STATUS, 5u32.to_le_bytes());
        message
    };
    for message in [write_request(1, 0, b"abc"), flush_request(2), read_request(3, 0, 4)].map(later) {
        pair.feed(&message).unwrap();
        assert_eq!(pair.messages().len(), 1);
        assert!(sequence.accept(0));
    }
    pair.feed(&signed(later(write_request(4, 0, b"abc")), &pair.client)).unwrap();
    assert!(pair.messages().is_empty() && !sequence.accept(0));
}
