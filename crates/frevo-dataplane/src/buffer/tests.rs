//! Segments, loans, shared pieces and pools.

use super::pool::{POOL_BYTES, RETURNED};
use super::ranges::AHEAD_BYTES;
use super::*;
use crate::fast::OpenFile;
use crate::file_job::Work;
use crate::gate::{Level, Levels};

#[test]
fn a_shared_piece_stays_with_whoever_has_it_and_comes_back() {
    let (mut pool, mut output) = (Pool::default(), Output::default());
    let mut buffer = pool.take(100_000);
    buffer.resize(100_000, 7);
    let address = buffer.as_ptr();
    output.push(buffer, 4);
    output.push_small(b"end", &mut pool);
    assert!(output.share_front(200_000).is_none());
    let kept = output.share_front(1000).unwrap();
    assert_eq!((kept.len(), kept.as_ptr()), (99_996, address.wrapping_add(4)));
    assert_eq!(output.held(), 100_003, "the buffer counts once, whether it is sent or not");
    output.advance(50_000, &mut pool);
    assert_eq!(output.share_front(1000).unwrap().len(), 49_996);
    output.advance(49_996, &mut pool);
    assert_eq!((output.share_front(100), output.take_all(&mut pool)), (None, b"end".to_vec()));
    let other = pool.take(100_000);
    assert_ne!(other.as_ptr(), address, "it is still held");
    assert_eq!((kept[0], output.held()), (7, 100_000));
    drop(kept);
    assert_eq!(output.held(), 0);
    let again = pool.take(100_000);
    assert_eq!(again.as_ptr(), address);
}

#[test]
fn what_comes_back_and_is_not_used_again_is_freed() {
    let (mut pool, mut output) = (Pool::default(), Output::default());
    for size in [100_000, 20_000].into_iter().cycle().take(1000) {
        output.push(vec![1; size], 0);
        let shared = output.share_front(1000).unwrap();
        output.advance(size, &mut pool);
        drop(shared);
    }
    let bytes = RETURNED.with(|returned| returned.borrow().bytes);
    let held: usize = RETURNED.with(|returned| returned.borrow().buffers.iter().map(Vec::capacity).sum());
    assert!(bytes == held && held <= POOL_BYTES && held > POOL_BYTES / 2, "{held}");
    assert!(pool.take(100_000).capacity() >= 100_000);
    assert_eq!(RETURNED.with(|returned| returned.borrow().bytes), 0);
}

/// Takes what is to be sent next, up to `limit` bytes.
fn sent(output: &mut Output, pool: &mut Pool, limit: usize) -> Vec<u8> {
    let mut all = Vec::new();
    output.slices(usize::MAX).for_each(|slice| all.extend_from_slice(&slice));
    all.truncate(limit);
    output.advance(all.len(), pool);
    all
}

#[test]
fn a_range_of_a_file_is_read_piece_by_piece_when_its_turn_comes() {
    let content: Vec<u8> = (0..700_000u32).map(|i| (i >> 3) as u8).collect();
    let (gate, mut pool, mut output) = (Arc::default(), Pool::default(), Output::default());
    let open = crate::attached::open_of(&content, &gate);
    output.push_small(b"head", &mut pool);
    output.push_file(open.clone().enter(Level::Read).unwrap(), 100, 600_000);
    output.push_small(b"tail", &mut pool);
    assert!(output.lend(usize::MAX).is_none() && output.is_waiting());
    let mut all = Vec::new();
    let mut pieces = std::collections::BTreeSet::new();
    while !output.is_empty() {
        assert!(output.load(&mut pool, false).unwrap().is_none());
        pieces.extend(output.slices(9).filter(|piece| piece.len() > 100_000).map(|piece| piece.as_ptr()));
        assert!(output.slices(9).map(|piece| piece.len()).sum::<usize>() <= PIECE_BYTES + AHEAD_BYTES);
        all.extend(sent(&mut output, &mut pool, 100_000));
        assert_eq!(gate.hold(Levels::READ).is_drained(), !output.has_files());
    }
    assert!(all == [b"head", &content[100..600_100], b"tail"].concat());
    assert!(pieces.len() <= 6 && pool.large.len() <= 2, "buffers are used again");
}

#[test]
fn what_a_file_has_lost_is_sent_as_zeros() {
    let (gate, mut pool, mut output) = (Arc::default(), Pool::default(), Output::default());
    let open = crate::attached::open_of(&[7; 400_000], &gate);
    output.push_file(open.clone().enter(Level::Read).unwrap(), 0, 400_000);
    output.load(&mut pool, false).unwrap();
    // SAFETY: no pointers.
    assert_eq!(unsafe { libc::ftruncate(open.file.descriptor(), 300_000) }, 0);
    let all = output.take_all(&mut pool);
    assert!(all[..300_000] == [7; 300_000] && all[300_000..] == [0; 100_000]);
}

#[test]
fn what_is_not_in_memory_is_brought_and_what_is_held_is_read_at_once() {
    let (gate, mut pool, mut output) = (Arc::default(), Pool::default(), Output::default());
    let (open, flow) = (crate::attached::open_of(&[7; 700_000], &gate), Arc::default());
    output.push_file(open.clone().enter(Level::Read).unwrap(), 0, 300_000);
    output.push_file(open.clone().enter(Level::Read).unwrap(), 0, 400_000);
    output.load(&mut pool, false).unwrap();
    assert!(output.park(1, &flow, &mut pool).unwrap().is_empty() && output.has_files(), "nobody holds it");
    let hold = gate.hold(Levels::ALL);
    open.file.forget_that_it_tells();
    let mut missing = output.park(1, &flow, &mut pool).unwrap();
    assert_eq!(missing.iter().map(|one| one.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(sent(&mut output, &mut pool, usize::MAX).len(), PIECE_BYTES);
    assert!(output.is_missing() && !output.is_waiting() && !output.is_empty() && !hold.is_drained());
    for (number, count, rest) in [(2, 390_000, 400_000), (1, 300_000 - PIECE_BYTES, 300_000 - PIECE_BYTES)] {
        let Missing { work, running, .. } = missing.pop().unwrap();
        let Work::Read { length, room: (mut buffer, 0), .. } = work else { panic!("{work:?}") };
        assert_eq!(length, rest);
        buffer.spare_capacity_mut()[..count].fill(std::mem::MaybeUninit::new(number as u8));
        output.bring(number, buffer, count);
        drop(running);
    }
    assert!(hold.is_drained() && output.is_waiting() && !output.has_files());
    let all = sent(&mut output, &mut pool, usize::MAX);
    let (one, two) = all.split_at(300_000 - PIECE_BYTES);
    assert!(one.iter().all(|byte| *byte == 1));
    assert!(two[..390_000].iter().all(|byte| *byte == 2) && two[390_000..] == [0; 10_000]);
    output.bring(2, Vec::new(), 0); // of nobody any more
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let (gate, mut pool, mut output) = (Arc::default(), Pool::default(), Output::default());
    let mut open = Arc::into_inner(crate::attached::open_of(b"", &gate)).unwrap();
    open.file = OpenFile::new(std::fs::File::open("/").unwrap().into());
    output.push_file(Arc::new(open).enter(Level::Read).unwrap(), 0, 400_000);
    assert_eq!(output.load(&mut pool, true).unwrap_err().raw_os_error(), Some(libc::EISDIR));
}

#[test]
fn bytes_and_pipes_leave_in_order() {
    use std::os::fd::AsRawFd;
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    let content = std::fs::read("/proc/self/exe").unwrap();
    let (mut pool, mut output) = (Pool::default(), Output::default());
    let piped = |pool: &mut Pool, offset: usize, length: usize| {
        let mut pipe = pool.pipes.take(offset as u64, length).unwrap();
        assert_eq!(pipe.fill(file.as_raw_fd(), offset as u64, length).unwrap(), length);
        pipe
    };
    output.tail(1, &mut pool);
    output.push_small(b"head", &mut pool);
    let pipe = piped(&mut pool, 100, 5000);
    output.push_pipes(pipe, &mut pool);
    output.push_small(b"tail", &mut pool);
    let pipe = piped(&mut pool, 0, 7);
    output.push_pipes(pipe, &mut pool);
    assert!(
        output.front_pipe().is_none() && output.lend(10_000).is_none() && output.single(10_000).is_none()
    );
    assert_eq!((output.len(), output.slices(64).count()), (5015, 1));
    output.advance(4, &mut pool);
    assert_eq!(output.front_pipe().map(|(pipe, more)| (pipe.len(), more)), Some((5000, true)));
    assert!(output.slices(64).next().is_none() && output.share_front(0).is_none());
    output.copy_front_pipe().unwrap();
    assert!(output.front_pipe().is_none());
    let expected = [&content[100..5100], b"tail", &content[..7]].concat();
    assert_eq!(output.take_all(&mut pool), expected);
    assert!(!output.has_pipes() && output.is_empty());
}

#[test]
fn output_keeps_order_and_reuses_buffers() {
    let (mut pool, mut output) = (Pool::default(), Output::default());
    output.push_small(b"ab", &mut pool);
    output.push_small(b"cd", &mut pool);
    output.push(b"..efg".to_vec(), 2);
    assert_eq!((output.len(), output.slices(64).count()), (7, 2));
    output.advance(3, &mut pool);
    assert_eq!(output.slices(64).next().unwrap().as_ref(), b"d");
    assert_eq!(output.take_all(&mut pool), b"defg");
    assert!(output.is_empty());
    assert_eq!(pool.small.len(), 1);
    assert_eq!(pool.take(10).capacity(), SMALL_BYTES);
    assert!(pool.small.is_empty() && pool.bytes == 0);
    assert!(pool.take(100_000).capacity() >= 100_000);
}
