//! READ and ECHO that the data plane answers by itself.

use super::*;
use crate::file_job::{Purpose, Target, Work};

#[test]
fn reads_are_answered_here() {
    let content: Vec<u8> = (0..3_000_000u32).map(|i| ((i * 7) >> 3) as u8).collect();
    let (mut pair, _gate) = Pair::ready(&content, false, false);
    let mut id = 1;
    for (offset, length) in [(0, 1), (1, 4096), (65_000, 65_536), (100, 2 << 20), (2_999_990, 4096)] {
        pair.read(id, offset, length).unwrap();
        id += u64::from(length.div_ceil(65536));
        let answer = pair.answer();
        let end = (offset as usize + length as usize).min(content.len());
        assert_eq!(answer[80..], content[offset as usize..end]);
        let header = Header::parse(&answer).unwrap();
        assert_eq!(
            (header.command.get(), header.tree_id.get(), header.session_id.get()),
            (command::READ, 5, SESSION)
        );
        assert_eq!((header.flags.get(), header.status.get()), (flags::SERVER_TO_REDIR, 0));
        assert_eq!(u32::from(header.credits), length.div_ceil(65536));
        assert_eq!((answer[64], answer[66], u32_at(&answer, 68) as usize), (17, 80, answer.len() - 80));
    }
    pair.read(id, 3_000_000, 10).unwrap();
    let answer = pair.answer();
    assert_eq!((u32_at(&answer, at::STATUS), answer.len()), (crate::wire::STATUS_END_OF_FILE, 73));
    assert!(pair.messages().is_empty());
}

#[test]
fn unusual_reads_go_up() {
    let (mut pair, gate) = Pair::ready(b"0123456789", false, false);
    let changes: [(usize, u8); 9] =
        [(36, 6), (40, 78), (80, 1), (88, 1), (96, 11), (100, 1), (67, 2), (19, 0x20), (68, 0)];
    for (index, (offset, value)) in changes.into_iter().enumerate() {
        let mut message = read_request(1 + index as u64, 0, 10);
        message[offset] = value;
        pair.feed(&message).unwrap();
        assert_eq!(pair.messages()[0].2, message, "byte {offset}");
    }
    let held = gate.hold(Levels::READ);
    pair.read(10, 0, 10).unwrap();
    assert_eq!(pair.messages().len(), 1, "the gate is held");
    drop(held);
    pair.read(11, 0, 10).unwrap();
    assert_eq!(pair.answer().len(), 90);
    let mut greedy = read_request(12, 0, 70_000);
    put(&mut greedy, at::CREDIT_CHARGE, 1u16.to_le_bytes());
    pair.feed(&greedy).unwrap();
    assert_eq!(pair.messages().len(), 1, "not paid for");
    assert!(pair.opens.detach(12).unwrap().is_drained());
    pair.read(13, 0, 10).unwrap();
    assert_eq!(pair.messages().len(), 1, "detached");
    assert!(pair.output().is_empty());
}

#[test]
fn a_worker_finishes_a_read() {
    let (mut pair, gate) = Pair::ready(b"0123456789", true, false);
    let open = pair.opens.find(12).unwrap();
    let request = signed(read_request(1, 3, 5), &pair.client);
    let right = pair.right(1);
    let job = |right| FileJob {
        connection: 1,
        work: Work::Read { offset: 3, length: 5, room: (Vec::new(), 84) },
        file: Target::Open(open.clone().enter(Level::Read).unwrap()),
        packet: request.clone(),
        size: request.len(),
        purpose: Purpose::Answer { encrypted: None, right },
        outcome: None,
        _waits: None,
    };
    let mut done = job(Some(right));
    done.run();
    pair.connection.finish_job(done, &mut pair.host).unwrap();
    let mut answer = pair.answer();
    assert!(pair.client.verify(&mut answer));
    assert_eq!(answer[80..], *b"34567");
    assert_eq!(open.position.load(Ordering::Relaxed), 8);
    pair.server().window.grant(1, true);
    let right = pair.right(2);
    let mut failed = job(Some(right));
    failed.outcome = Some(Err(libc::EIO));
    pair.connection.finish_job(failed, &mut pair.host).unwrap();
    assert_eq!(pair.messages()[0].2, request);
    assert!(pair.server().nonces.answer(2).is_some(), "the control plane may sign its answer");
    assert!(gate.hold(Levels::ALL).is_drained());
}

#[test]
fn a_hold_waits_for_a_read_that_a_worker_does() {
    let (mut pair, gate) = Pair::ready(&[7; 100_000], false, false);
    pair.opens.find(12).unwrap().file.forget_that_it_tells();
    pair.host.can_defer = true;
    pair.read(1, 0, 70_000).unwrap();
    let mut job = pair.host.jobs.pop().unwrap();
    let (file, open) = (gate.hold(Levels::ALL), pair.opens.detach(12).unwrap());
    assert!(!file.is_drained() && !open.is_drained());
    job.run();
    pair.connection.finish_job(job, &mut pair.host).unwrap();
    assert_eq!(pair.answer().len(), 80 + 70_000);
    assert!(file.is_drained() && open.is_drained());
}

#[test]
fn connections_of_one_session_share_its_opens() {
    let (mut pair, _gate) = Pair::ready(b"0123456789", false, false);
    let mut other = Pair::ready(b"", false, false).0;
    let keys = Arc::new(keys(1, 2, false, false));
    other.connection.set_session(SESSION, keys, pair.opens.clone()).unwrap();
    for one in [&mut pair, &mut other] {
        one.read(1, 4, 3).unwrap();
        assert_eq!(one.answer()[80..], *b"456");
    }
    pair.opens.detach(12);
    other.read(2, 4, 3).unwrap();
    assert_eq!(other.messages().len(), 1, "detached for all of them");
}

#[test]
fn echoes_are_answered_here() {
    let (mut pair, _gate) = Pair::ready(b"", true, false);
    let mut echo = request(command::ECHO, 1);
    put(&mut echo, 64, [4, 0, 0, 0]);
    pair.feed(&echo).unwrap();
    assert_eq!(pair.answer()[64..], [4, 0, 0, 0]);
    put(&mut echo, at::MESSAGE_ID, 2u64.to_le_bytes());
    put(&mut echo, at::SESSION_ID, SESSION.to_le_bytes());
    pair.feed(&signed(echo.clone(), &pair.client)).unwrap();
    let mut answer = pair.answer();
    assert!(pair.client.verify(&mut answer));
    put(&mut echo, at::MESSAGE_ID, 3u64.to_le_bytes());
    pair.feed(&echo).unwrap();
    assert_eq!(pair.messages().len(), 1, "unsigned although signing is required");
    pair.host.fast_echo.store(false, Ordering::Relaxed);
    put(&mut echo, at::MESSAGE_ID, 4u64.to_le_bytes());
    pair.feed(&signed(echo, &pair.client)).unwrap();
    assert_eq!(pair.messages().len(), 1, "turned off");
}
