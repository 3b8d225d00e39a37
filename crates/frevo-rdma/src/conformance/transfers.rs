//! RDMA WRITE and READ.

use super::{part, pattern, Conversation, Make, RECEIVE_BYTES};
use crate::provider::{Access, Memory, Provider, Remote};

/// Bytes of a large transfer.
const LARGE: usize = 8 << 20;

/// Data fill one target after the other, at any offset and of any size, and nothing beside them. They are there when a message
/// that was posted later arrives.
pub fn writes_go_to_all_targets_before_the_message(make: Make<'_>) {
    let mut talk = Conversation::begun(make(), 20);
    for bytes in [0, 1, 7, 4096, 4097, 70_000, 300_001] {
        let sink = talk.register(1, Memory::from(vec![0xEE; bytes + 100]), Access::WRITE);
        let other = talk.register(1, Memory::from(vec![0xEE; 50]), Access::WRITE);
        let first = (bytes / 2) as u32;
        // The last one has more room than is needed.
        let targets = [
            part(sink, 3, first),
            part(other, 10, 0),
            part(sink, 3 + u64::from(first), bytes as u32 - first + 20),
        ];
        let data = pattern(bytes, 5);
        talk.write_and_say(0, &data, &targets);
        assert_eq!(talk.message(1), b"written");
        let got = talk.release(1, sink);
        assert_eq!(got[3..3 + bytes], data);
        assert!(got[..3].iter().chain(&got[3 + bytes..]).all(|byte| *byte == 0xEE));
        assert_eq!(talk.release(1, other), [0xEE; 50]);
        talk.end(1).post_receives(1, RECEIVE_BYTES);
    }
    // From the middle of memory.
    let sink = talk.register(0, Memory::from(vec![0; 8]), Access::WRITE);
    talk.end(1).write(Memory::from((0..100).collect::<Vec<u8>>()), 40, 8, &[sink]);
    talk.say(1, b"written");
    assert_eq!(talk.message(0), b"written");
    assert_eq!(talk.release(0, sink), [40, 41, 42, 43, 44, 45, 46, 47]);
    assert_eq!(talk.ended, [None, None]);
}

/// A READ fills its sink from where it was told with one source after the other.
pub fn reads_fill_their_sink(make: Make<'_>) {
    let mut talk = Conversation::begun(make(), 20);
    let data = pattern(400_000, 9);
    let source = talk.register(1, Memory::from(data.clone()), Access::READ);
    for (work, pieces) in [
        vec![],
        vec![(5, 0)],
        vec![(0, 1)],
        vec![(399_999, 1)],
        vec![(1, 4096)],
        vec![(100_000, 65_537), (3, 5), (0, 0), (200_001, 130_000)],
    ]
    .into_iter()
    .enumerate()
    {
        let sources: Vec<Remote> =
            pieces.iter().map(|&(at, bytes)| part(source, at as u64, bytes as u32)).collect();
        let expected: Vec<u8> =
            pieces.iter().flat_map(|&(at, bytes): &(usize, usize)| &data[at..at + bytes]).copied().collect();
        let mut sink = Memory::from(vec![0xEE; expected.len() + 20]);
        sink.fill(0, b"0123456789");
        talk.end(0).read(work as u64, sink, 10, &sources);
        let (done, memory) = talk.read(0);
        assert_eq!(done, work as u64);
        let memory = memory.into_vec();
        assert_eq!(memory[..10], *b"0123456789");
        assert_eq!(memory[10..10 + expected.len()], expected);
        assert!(memory[10 + expected.len()..].iter().all(|byte| *byte == 0xEE));
    }
    assert_eq!(talk.release(1, source), data);
    assert_eq!(talk.ended, [None, None]);
}

/// However many READs are posted, all are done; each says which it was.
pub fn more_reads_than_agreed_wait(make: Make<'_>) {
    const READS: u64 = 300;
    let mut talk = Conversation::begun(make(), 4);
    let data = pattern(READS as usize * 100, 1);
    let source = talk.register(1, Memory::from(data.clone()), Access::READ);
    for work in 0..READS {
        talk.end(0).read(work, Memory::from(vec![0; 100]), 0, &[part(source, work * 100, 100)]);
    }
    for _ in 0..READS {
        let (work, memory) = talk.read(0);
        let at = work as usize * 100;
        assert_eq!(memory.into_vec(), data[at..at + 100]);
    }
    talk.say(0, b"done");
    assert_eq!(talk.message(1), b"done");
}

/// Large data out of and into memory that the provider has chosen.
pub fn large_transfers_of_known_memory(make: Make<'_>) {
    let mut talk = Conversation::begun(make(), 20);
    let data = pattern(LARGE, 3);
    let known = |end: &mut dyn Provider| end.memory(LARGE).unwrap_or_else(|| Memory::from(vec![0; LARGE]));
    for round in 0..3 {
        let target = known(talk.end(1));
        assert_eq!(target.len(), LARGE);
        let target = talk.register(1, target, Access::WRITE);
        let mut source = known(talk.end(0));
        source.fill(0, &data);
        talk.end(0).write(source, 0, LARGE, &[target]);
        talk.say(0, b"written");
        assert_eq!(talk.message(1), b"written");
        let target = talk.end(1).release(target.tag).unwrap();
        assert!(target.as_slice() == data, "round {round}");
        // The same memory goes back by a READ.
        let source = talk.register(1, target, Access::READ);
        let sink = known(talk.end(0));
        talk.end(0).read(7, sink, 0, &[source]);
        let (_, sink) = talk.read(0);
        assert!(sink.as_slice() == data, "round {round}");
        drop(talk.end(1).release(source.tag).unwrap());
        talk.end(1).post_receives(1, RECEIVE_BYTES);
    }
    assert_eq!(talk.ended, [None, None]);
}

/// WRITEs, READs and messages of both sides at the same time.
pub fn both_sides_at_once(make: Make<'_>) {
    const BYTES: usize = 500_000;
    let mut talk = Conversation::begun(make(), 20);
    let data = [pattern(BYTES, 1), pattern(BYTES, 2)];
    let sinks = [0, 1].map(|side| talk.register(side, Memory::from(vec![0; BYTES]), Access::WRITE));
    let sources = [0, 1].map(|side| talk.register(side, Memory::from(data[side].clone()), Access::READ));
    for side in [0, 1] {
        talk.end(side).read(side as u64, Memory::from(vec![0; BYTES]), 0, &[sources[1 - side]]);
        talk.write_and_say(side, &data[side], &[sinks[1 - side]]);
    }
    talk.until("everything", |talk| talk.seen.iter().all(|seen| seen.len() == 2));
    for side in [0, 1] {
        for seen in std::mem::take(&mut talk.seen[side]) {
            match seen {
                super::Seen::Read(work, memory) => {
                    assert_eq!(work, side as u64);
                    assert!(memory.into_vec() == data[1 - side]);
                }
                super::Seen::Message(message, invalidated) => {
                    assert_eq!((message.as_slice(), invalidated), (&b"written"[..], None));
                }
            }
        }
        assert!(talk.release(side, sinks[side]) == data[1 - side]);
    }
}

/// Of the peer's doings, those that it may not do: (what is asked of 100 bytes at its tag, whether it is a WRITE's).
fn wrongs(sink: Remote, source: Remote) -> [Remote; 7] {
    [
        part(sink, 0, 101),
        part(sink, 100, 1),
        part(sink, u64::MAX, 2),
        Remote { tag: sink.tag ^ 1, ..sink },
        Remote { tag: sink.tag ^ 0x4000, ..sink },
        Remote { offset: u64::MAX - 3, ..sink },
        // Memory for the other direction.
        part(source, 0, 10),
    ]
}

/// A WRITE that is wrong in anything ends the connection, and not one byte of the target changes.
pub fn wrong_writes_touch_nothing(make: Make<'_>) {
    for number in 0..7 {
        let mut talk = Conversation::begun(make(), 4);
        let sink = talk.register(1, Memory::from(vec![0xEE; 100]), Access::WRITE);
        let source = talk.register(1, Memory::from(vec![0xDD; 100]), Access::READ);
        let wrong = wrongs(sink, source)[number];
        talk.write_and_say(0, &pattern(wrong.bytes as usize, 0), &[wrong]);
        talk.ends();
        assert!(talk.seen[1].is_empty(), "{number}");
        assert_eq!(talk.release(1, sink), [0xEE; 100], "{number}");
        assert_eq!(talk.release(1, source), [0xDD; 100], "{number}");
    }
}

/// The same for READs: nothing is read.
pub fn wrong_reads_touch_nothing(make: Make<'_>) {
    for number in 0..7 {
        let mut talk = Conversation::begun(make(), 4);
        if number == 6 && talk.bench.is_lenient() {
            continue;
        }
        let source = talk.register(1, Memory::from(vec![0xDD; 100]), Access::READ);
        let sink = talk.register(1, Memory::from(vec![0xEE; 100]), Access::WRITE);
        let wrong = wrongs(source, sink)[number];
        talk.end(0).read(1, Memory::from(vec![0; wrong.bytes as usize]), 0, &[wrong]);
        talk.ends();
        assert!(talk.seen[0].is_empty(), "{number}");
    }
}

/// Released memory comes back as it is, once, and the peer does not get to it any more.
pub fn what_was_released_is_closed(make: Make<'_>) {
    for write in [false, true] {
        let mut talk = Conversation::begun(make(), 4);
        let access = if write { Access::WRITE } else { Access::READ };
        let remote = talk.register(1, Memory::from(vec![7; 100]), access);
        let memory = talk.end(1).release(remote.tag).unwrap();
        assert_eq!((memory.as_slice(), talk.end(1).registered()), (&[7; 100][..], 0));
        assert!(talk.end(1).release(remote.tag).is_none());
        match write {
            true => talk.write_and_say(0, &[1; 100], &[remote]),
            false => talk.end(0).read(1, Memory::from(vec![0; 100]), 0, &[remote]),
        }
        talk.ends();
        assert_eq!(memory.as_slice(), [7; 100]);
        assert!(talk.seen.iter().all(|seen| seen.is_empty()));
    }
}
