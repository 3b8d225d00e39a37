//! Two streams whose bytes go from one to the other.

use std::os::fd::RawFd;
use std::ptr::NonNull;
use std::time::Instant;

use crate::conformance::Bench;
use crate::iwarp::Side;
use crate::memory::Memory;
use crate::provider::{Access, Completion, Ended, Piece, Provider, Refused, Remote};
use crate::random::Random;
use crate::stream::{Leaving, Neighbour, Settings, Stream, NONCE_BYTES};

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Iwarp { checks: bool, segment_bytes: usize },
    Emulated { can_fetch: bool },
}

/// Another end in this very process.
#[derive(Debug)]
struct Myself {
    nonce: Box<[u8; NONCE_BYTES]>,
    can_fetch: bool,
}

impl Neighbour for Myself {
    fn hello(&self) -> (u64, [u8; NONCE_BYTES]) {
        (self.nonce.as_ptr() as u64, *self.nonce)
    }

    fn meet(&mut self, address: u64, nonce: [u8; NONCE_BYTES]) -> bool {
        // SAFETY: the other end has its nonce there.
        let there = unsafe { *(address as *const [u8; NONCE_BYTES]) };
        self.can_fetch && there == nonce
    }

    /// # Safety
    /// The other end keeps the bytes there until they were fetched, and there is room for them.
    unsafe fn fetch(&self, address: u64, to: NonNull<u8>, bytes: usize) -> Result<(), String> {
        // SAFETY: the caller says so.
        unsafe { std::ptr::copy_nonoverlapping(address as *const u8, to.as_ptr(), bytes) };
        Ok(())
    }
}

/// A stream with what has come for it.
#[derive(Debug)]
pub(super) struct End {
    pub(super) stream: Stream,
    input: Vec<u8>,
    at: usize,
    /// All of the input was used.
    spent: bool,
    now: Instant,
    /// The other one is gone, after the input.
    orphaned: bool,
    closing: bool,
}

impl End {
    pub(super) fn new(settings: Settings, neighbour: Option<Box<dyn Neighbour>>) -> End {
        let stream = Stream::new(settings, neighbour);
        let now = Instant::now();
        End { stream, input: Vec::new(), at: 0, spent: false, now, orphaned: false, closing: false }
    }

    /// Bytes that it sends.
    pub(super) fn output(&mut self) -> Vec<u8> {
        self.stream.flush(self.now);
        let mut all = Vec::new();
        while let Some(leaving) = self.stream.take() {
            match leaving {
                Leaving::Small(bytes) => all.extend(bytes),
                Leaving::Shared(bytes) => all.extend_from_slice(&bytes),
            }
        }
        all
    }

    /// Bytes have come.
    fn feed(&mut self, bytes: &[u8]) {
        self.forget_spent();
        self.input.extend_from_slice(bytes);
    }

    /// Bytes have come in which nothing is whole.
    pub(super) fn give(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        self.feed(bytes);
        assert!(self.poll()?.is_none());
        Ok(())
    }

    pub(super) fn wait(&mut self, until: Instant) {
        self.now = until;
    }

    /// The same, where they belong if that is in memory and everything before was looked at.
    fn take(&mut self, mut bytes: &[u8]) {
        self.forget_spent();
        while !bytes.is_empty() && self.input.is_empty() {
            let Some(room) = self.stream.room(1) else { break };
            let count = room.len().min(bytes.len());
            for (to, from) in room.iter_mut().zip(bytes).take(count) {
                to.write(*from);
            }
            // SAFETY: they were written just now.
            unsafe { self.stream.filled(count) };
            bytes = &bytes[count..];
        }
        self.feed(bytes);
    }

    fn forget_spent(&mut self) {
        if std::mem::take(&mut self.spent) {
            self.input.clear();
            self.at = 0;
        }
    }
}

impl Provider for End {
    fn name(&self) -> &'static str {
        self.stream.name()
    }

    fn memory(&mut self, bytes: usize) -> Option<Memory> {
        self.stream.memory(bytes)
    }

    fn post_receives(&mut self, count: u32, bytes: usize) {
        self.stream.post_receives(count, bytes);
    }

    fn send(&mut self, head: &[u8], data: &mut dyn Iterator<Item = Piece<'_>>, invalidate: Option<u32>) {
        self.stream.send(head, data, invalidate);
    }

    fn write(&mut self, memory: Memory, start: usize, bytes: usize, targets: &[Remote]) {
        self.stream.write(memory, start, bytes, targets);
    }

    fn read(&mut self, work: u64, memory: Memory, start: usize, sources: &[Remote]) {
        self.stream.read(work, memory, start, sources);
    }

    fn register(&mut self, memory: Memory, access: Access) -> Result<Remote, (Refused, Memory)> {
        self.stream.register(memory, access)
    }

    fn release(&mut self, tag: u32) -> Option<Memory> {
        self.stream.release(tag)
    }

    fn poll(&mut self) -> Result<Option<Completion<'_>>, Ended> {
        self.forget_spent();
        let left = self.stream.leaving() + self.stream.held();
        let completion = self.stream.next(&mut self.input, &mut self.at, self.now)?;
        self.spent = completion.is_none();
        if completion.is_none() && (self.orphaned || self.closing && left == 0) {
            return Err(Ended("closed".to_owned()));
        }
        Ok(completion)
    }

    fn descriptor(&self) -> Option<RawFd> {
        None
    }

    fn held(&self) -> usize {
        self.stream.held() + self.stream.leaving()
    }

    fn registered(&self) -> usize {
        self.stream.registered()
    }

    fn moved(&self) -> (u64, u64) {
        self.stream.moved()
    }

    fn close(&mut self) {
        self.stream.close();
        self.closing = true;
    }
}

/// Both of them.
pub(super) struct Pair {
    ends: [Option<End>; 2],
    random: Random,
}

impl Pair {
    pub(super) fn new(kind: Kind) -> Pair {
        let ends = [Side::Initiator, Side::Responder].map(|side| {
            let usual = Settings::new(side);
            Some(match kind {
                Kind::Iwarp { checks, segment_bytes } => {
                    End::new(Settings { checks, segment_bytes, ..usual }, None)
                }
                Kind::Emulated { can_fetch } => {
                    let nonce = Box::new([side as u8 + 1; NONCE_BYTES]);
                    // One of them alone that cannot fetch is enough.
                    let can_fetch = can_fetch || side == Side::Responder;
                    End::new(usual, Some(Box::new(Myself { nonce, can_fetch })))
                }
            })
        });
        Pair { ends, random: Random::of_run(1) }
    }

    pub(super) fn stream(&self, side: usize) -> &Stream {
        &self.ends[side].as_ref().unwrap().stream
    }
}

impl Bench for Pair {
    fn end(&mut self, side: usize) -> Option<&mut dyn Provider> {
        self.ends[side].as_mut().map(|end| end as &mut dyn Provider)
    }

    fn drop_end(&mut self, side: usize) {
        self.ends[side] = None;
        if let Some(other) = &mut self.ends[1 - side] {
            other.orphaned = true;
        }
    }

    fn turn(&mut self) -> bool {
        let mut moved = false;
        for side in [0, 1] {
            let Some(mut bytes) = self.ends[side].as_mut().map(End::output) else { continue };
            moved |= !bytes.is_empty();
            let closes = self.ends[side].as_ref().is_some_and(|end| end.closing && end.held() == 0);
            let Some(other) = &mut self.ends[1 - side] else { continue };
            other.orphaned |= closes;
            while !bytes.is_empty() {
                let count = 1 + self.random.below(2 * bytes.len() as u64) as usize;
                let rest = bytes.split_off(count.min(bytes.len()));
                other.take(&bytes);
                bytes = rest;
            }
        }
        moved
    }
}
