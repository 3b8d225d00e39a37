//! Segments, loans, shared pieces and pools.

use super::*;

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
