//! Tags that are over, connections that end, and what is counted.

use super::{pattern, Conversation, Make, Seen, RECEIVE_BYTES};
use crate::provider::{Access, Memory};

/// A tag of one connection is none of another one.
pub fn tags_open_nothing_to_others(make: Make<'_>) {
    let mut own = Conversation::begun(make(), 4);
    let mut other = Conversation::begun(make(), 4);
    // So that the other connection has registrations as well.
    let theirs = other.register(1, Memory::from(vec![0xCC; 100]), Access::READ);
    let sink = own.register(1, Memory::from(vec![0xEE; 100]), Access::WRITE);
    other.write_and_say(0, &[1; 100], &[sink]);
    other.ends();
    assert_eq!(other.release(1, theirs), [0xCC; 100]);
    // The first one does not notice.
    own.write_and_say(0, &[2; 100], &[sink]);
    assert_eq!(own.message(1), b"written");
    assert_eq!(own.release(1, sink), [2; 100]);
}

/// A message can end what a tag of its receiver allows, where the receiver's provider can do that: nobody gets to the memory
/// afterwards. Where it cannot, nobody is told to.
pub fn invalidated_tags_open_nothing(make: Make<'_>) {
    let mut talk = Conversation::begun(make(), 4);
    // A device that does it unasked need not say so: siw's library does not.
    let says = talk.end(1).can_be_invalidated();
    if !says && !talk.bench.lets_invalidate() {
        return;
    }
    let sink = talk.register(1, Memory::from(vec![0; 100]), Access::WRITE);
    let other = talk.register(1, Memory::from(vec![0; 100]), Access::WRITE);
    talk.end(0).write(Memory::from(vec![1; 100]), 0, 100, &[sink]);
    talk.end(0).send(b"done", &mut std::iter::empty(), Some(sink.tag));
    match talk.next(1) {
        Seen::Message(message, invalidated) => {
            assert_eq!(message, b"done");
            assert!(invalidated == Some(sink.tag) || !says && invalidated.is_none());
        }
        Seen::Read(..) => panic!("nothing was read"),
    }
    assert!(talk.end(1).registered() == 1 || !says);
    talk.write_and_say(0, &[2; 100], &[sink]);
    talk.ends();
    assert_eq!(talk.release(1, sink), [1; 100]);
    assert_eq!(talk.release(1, other), [0; 100]);
}

/// What was posted before a connection is closed arrives; then both ends know.
pub fn closing_lets_everything_leave(make: Make<'_>) {
    let mut talk = Conversation::begun(make(), 100);
    let data = pattern(1 << 20, 4);
    let sink = talk.register(1, Memory::from(vec![0; 1 << 20]), Access::WRITE);
    talk.write_and_say(0, &data, &[sink]);
    for _ in 0..50 {
        talk.say(0, b"more");
    }
    talk.end(0).close();
    assert_eq!(talk.message(1), b"written");
    for _ in 0..50 {
        assert_eq!(talk.message(1), b"more");
    }
    talk.ends();
    assert!(talk.release(1, sink) == data);
}

/// When a process dies, the other side ends, and gets its memory back untouched by whatever was on its way.
pub fn who_dies_ends_the_other(make: Make<'_>) {
    for dies in [0, 1] {
        let mut talk = Conversation::begun(make(), 4);
        let lives = 1 - dies;
        let sink = talk.register(lives, Memory::from(vec![0; 1 << 20]), Access::WRITE);
        let source = talk.register(dies, Memory::from(vec![5; 1 << 20]), Access::READ);
        talk.end(dies).write(Memory::from(vec![3; 1 << 20]), 0, 1 << 20, &[sink]);
        talk.end(lives).read(1, Memory::from(vec![0; 1 << 20]), 0, &[source]);
        talk.bench.drop_end(dies);
        talk.ends();
        let memory = talk.end(lives).release(sink.tag).unwrap();
        let before = memory.as_slice().to_vec();
        talk.settle();
        assert!(memory.as_slice() == before, "a page was written late");
        assert_eq!(talk.end(lives).registered(), 0);
    }
}

/// Registrations, bytes moved, and bytes that wait.
pub fn counts_say_what_is_there(make: Make<'_>) {
    let mut talk = Conversation::begun(make(), 20);
    let sink = talk.register(1, Memory::from(vec![0; 5000]), Access::WRITE);
    let source = talk.register(1, Memory::from(vec![0; 3000]), Access::READ);
    assert_eq!((talk.end(0).registered(), talk.end(1).registered()), (0, 2));
    talk.write_and_say(0, &[1; 5000], &[sink]);
    talk.end(0).read(1, Memory::from(vec![0; 3000]), 0, &[source]);
    talk.read(0);
    assert_eq!(talk.message(1), b"written");
    talk.until("quiet", |talk| talk.end(0).held() == 0);
    assert_eq!(talk.end(0).moved(), (5000, 3000));
    talk.release(1, source);
    assert_eq!(talk.end(1).registered(), 1);
    talk.end(1).post_receives(1, RECEIVE_BYTES);
    assert_eq!(talk.ended, [None, None]);
}
