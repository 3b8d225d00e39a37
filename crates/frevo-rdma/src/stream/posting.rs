//! The contract of providers, and how what was posted leaves.

use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::time::Instant;

use bytes::Bytes;

use super::{Stream, Waiting, Work, Works};
use crate::iwarp::{Local, Outgoing};
use crate::memory::Memory;
use crate::provider::{Completion, Ended, Piece, Provider, Refused, Remote};
use crate::regions::{Access, Place};

/// While so much is to be taken, no more is made ready.
const READY_BYTES: usize = 1 << 20;

impl Provider for Stream {
    fn name(&self) -> &'static str {
        if self.neighbour.is_some() {
            "emulated"
        } else {
            "iwarp"
        }
    }

    fn memory(&mut self, _bytes: usize) -> Option<Memory> {
        None
    }

    fn post_receives(&mut self, count: u32, bytes: usize) {
        (0..count).for_each(|_| self.endpoint.post_receive(bytes));
    }

    fn send(&mut self, head: &[u8], data: &mut dyn Iterator<Item = Piece<'_>>, invalidate: Option<u32>) {
        let at_once = self.can_speak() && self.endpoint.has_nothing_to_send() && self.waiting.is_empty();
        if at_once {
            return self.send_now(head, data, invalidate);
        }
        let mut pieces = VecDeque::from([Bytes::copy_from_slice(head)]);
        pieces.extend(data.map(|piece| match piece {
            Piece::Lent(bytes) => Bytes::copy_from_slice(bytes),
            Piece::Kept(bytes) => bytes,
        }));
        let bytes = pieces.iter().map(Bytes::len).sum::<usize>();
        self.held += bytes;
        self.endpoint.post_send(Works::NOTHING, bytes as u32, invalidate);
        self.waiting.push_back(Waiting { pieces });
    }

    fn write(&mut self, memory: Memory, start: usize, bytes: usize, targets: &[Remote]) {
        assert!(memory.as_slice().len() - start >= bytes, "only what has a value is sent");
        let parts = parts(bytes as u64, targets);
        if parts.is_empty() {
            return;
        }
        let number = self.memories.keep_source(memory);
        self.held += bytes;
        let mut offset = start as u64;
        for (index, part) in parts.iter().enumerate() {
            let is_last = index + 1 == parts.len();
            let work = match is_last {
                true => self.works.add(Work::Write { memory: number, bytes }),
                false => Works::NOTHING,
            };
            let place = Place { memory: number, offset };
            self.endpoint.post_write(work, u64::from(part.bytes), place, (part.tag, part.offset));
            offset += u64::from(part.bytes);
        }
    }

    fn read(&mut self, work: u64, memory: Memory, start: usize, sources: &[Remote]) {
        let sources: Vec<_> = sources.iter().filter(|source| source.bytes > 0).collect();
        let Some((last, first)) = sources.split_last() else {
            self.over.push_back((work, memory));
            return;
        };
        let bytes = memory.len() as u64;
        let number = self.memories.keep_sink(memory);
        let Some(tag) = self.endpoint.regions.register(number, 0, bytes, Access::NONE) else {
            self.end("too much memory is registered".to_owned());
            return;
        };
        let mut sink = start as u64;
        let done = self.works.add(Work::Read { work, memory: number, tag });
        for (source, work) in first.iter().map(|one| (one, Works::NOTHING)).chain([(last, done)]) {
            self.endpoint.post_read(work, source.bytes, (tag, sink), (source.tag, source.offset));
            sink += u64::from(source.bytes);
        }
    }

    fn register(&mut self, memory: Memory, access: Access) -> Result<Remote, (Refused, Memory)> {
        assert!(access.read != access.write, "memory is for reading or for writing");
        let Ok(bytes) = u32::try_from(memory.len()) else {
            return Err((Refused("more than 4 GiB cannot be registered at once".to_owned()), memory));
        };
        assert!(access.write || memory.as_slice().len() == memory.len(), "only what has a value is read");
        let number = match access.read {
            true => self.memories.keep_source(memory),
            false => self.memories.keep_sink(memory),
        };
        match self.endpoint.regions.register(number, 0, u64::from(bytes), access) {
            Some(tag) => Ok(Remote { tag, offset: 0, bytes }),
            None => {
                let memory = self.memories.take(number).expect("it was kept just now");
                Err((Refused("too much memory is registered".to_owned()), memory))
            }
        }
    }

    fn release(&mut self, tag: u32) -> Option<Memory> {
        let number = self.endpoint.regions.release(tag)?;
        self.memories.take(number)
    }

    fn poll(&mut self) -> Result<Option<Completion<'_>>, Ended> {
        if let Some((work, memory)) = self.over.pop_front() {
            return Ok(Some(Completion::Read { work, memory }));
        }
        self.ended.clone().map_or(Ok(None), Err)
    }

    fn descriptor(&self) -> Option<RawFd> {
        None
    }

    fn held(&self) -> usize {
        self.held
    }

    fn registered(&self) -> usize {
        self.endpoint.regions.count()
    }

    fn moved(&self) -> (u64, u64) {
        self.moved
    }

    fn close(&mut self) {
        self.closing = true;
    }
}

/// How `bytes` are divided among targets.
fn parts(mut bytes: u64, targets: &[Remote]) -> Vec<Remote> {
    let mut parts = Vec::with_capacity(targets.len());
    for target in targets {
        let part = bytes.min(u64::from(target.bytes));
        if part > 0 {
            parts.push(Remote { bytes: part as u32, ..*target });
        }
        bytes -= part;
    }
    debug_assert_eq!(bytes, 0, "there is room for all");
    parts
}

impl Stream {
    fn can_speak(&self) -> bool {
        self.startup.is_none() && self.silent_until.is_none()
    }

    /// Makes ready to be taken what may leave now.
    pub fn flush(&mut self, now: Instant) {
        if self.silent_until.is_some_and(|until| until <= now) {
            self.silent_until = None;
        }
        while self.can_speak() && self.wire.len() < READY_BYTES {
            let Some(segment) = self.endpoint.next_segment() else { break };
            self.leave(&segment);
        }
    }

    /// Sends a message before which nothing waits.
    fn send_now(&mut self, head: &[u8], data: &mut dyn Iterator<Item = Piece<'_>>, invalidate: Option<u32>) {
        let data: Pieces = data.collect();
        let bytes = head.len() + data.iter().map(|piece| piece.as_ref().len()).sum::<usize>();
        self.endpoint.post_send(Works::NOTHING, bytes as u32, invalidate);
        if bytes > self.settings.segment_bytes {
            let pieces = [Piece::Lent(head)].into_iter().chain(data).map(|piece| match piece {
                Piece::Lent(bytes) => Bytes::copy_from_slice(bytes),
                Piece::Kept(bytes) => bytes,
            });
            self.held += bytes;
            self.waiting.push_back(Waiting { pieces: pieces.collect() });
            return;
        }
        let Some(segment) = self.endpoint.next_segment() else { return };
        let slices = || [head].into_iter().chain(data.iter().map(Piece::as_ref));
        let (trailer, length) = segment.trailer(slices());
        self.wire.copy(segment.head());
        self.wire.copy(head);
        for piece in data {
            match piece {
                Piece::Lent(bytes) => self.wire.copy(bytes),
                Piece::Kept(bytes) => self.wire.share(bytes),
            }
        }
        self.wire.copy(&trailer[..length]);
    }

    /// Puts a segment on the wire.
    fn leave(&mut self, segment: &Outgoing) {
        let mut pieces = VecDeque::new();
        match segment.local {
            Local::Own => (),
            Local::Message => pieces = self.next_of_message(segment.data),
            Local::Memory(Place { memory, offset }) => {
                self.moved.0 += segment.data as u64;
                // What is answered to a READ of nothing is nowhere.
                pieces.extend(self.memories.slice(memory, offset, segment.data));
            }
        }
        self.wire.copy(segment.head());
        if segment.by_reference {
            let address = pieces.pop_front().map_or(0, |data: Bytes| data.as_ptr() as u64);
            self.wire.copy(&address.to_ne_bytes());
        }
        let (trailer, length) = segment.trailer(pieces.iter().map(AsRef::as_ref));
        pieces.into_iter().for_each(|piece| self.wire.share(piece));
        self.wire.copy(&trailer[..length]);
        if let Some(done) = segment.done {
            self.written(done);
        }
    }

    /// The next bytes of the messages that wait.
    fn next_of_message(&mut self, mut bytes: usize) -> VecDeque<Bytes> {
        self.held -= bytes;
        let mut taken = VecDeque::new();
        while let Some(message) = self.waiting.front_mut() {
            while let Some(piece) = message.pieces.front_mut().filter(|_| bytes > 0) {
                let part = piece.split_to(piece.len().min(bytes));
                bytes -= part.len();
                if piece.is_empty() {
                    message.pieces.pop_front();
                }
                taken.push_back(part);
            }
            if !message.pieces.is_empty() {
                break;
            }
            self.waiting.pop_front();
            if bytes == 0 {
                break;
            }
        }
        taken
    }

    /// A WRITE needs its memory no more.
    pub(super) fn written(&mut self, work: u64) {
        if let Work::Write { memory, bytes } = self.works.take(work) {
            self.held -= bytes;
            self.memories.take(memory);
        }
    }
}

/// The pieces of one message that leaves.
type Pieces<'a> = Vec<Piece<'a>>;
