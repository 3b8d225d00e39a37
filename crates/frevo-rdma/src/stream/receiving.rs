//! How received bytes become completions.

use std::mem::MaybeUninit;
use std::time::Instant;

use super::{Stream, Work};
use crate::iwarp::{Completion as Over, Event, Fault, Placement, Side, Terminate};
use crate::provider::{Completion, Ended, Provider};
use crate::regions::{Denied, Place};

/// So much data in one piece is much.
const BULK_BYTES: usize = 16 * 1024;

impl Stream {
    /// The next thing that is over by `chunk[*at..]`; `at` moves on. None: all bytes were used. Until then, the same chunk has to be
    /// given again. The outcome is what `Provider::poll` says of providers with a device.
    pub fn next<'a>(
        &'a mut self,
        chunk: &'a mut [u8],
        at: &mut usize,
        now: Instant,
    ) -> Result<Option<Completion<'a>>, Ended> {
        self.look_between(now)?;
        if let Some((work, memory)) = self.over.pop_front() {
            return Ok(Some(Completion::Read { work, memory }));
        }
        self.step(chunk, at, now)
    }

    /// Takes what was received between data: a READ may be over with it, a message not.
    fn look_between(&mut self, now: Instant) -> Result<(), Ended> {
        if self.between.is_empty() {
            return Ok(());
        }
        let (mut between, mut at) = (std::mem::take(&mut self.between), 0);
        while let Some(completion) = self.step(&mut between, &mut at, now)? {
            if let Completion::Read { work, memory } = completion {
                self.over.push_back((work, memory));
            }
        }
        between.clear();
        self.between = between;
        Ok(())
    }

    fn step<'a>(
        &'a mut self,
        chunk: &'a mut [u8],
        at: &mut usize,
        now: Instant,
    ) -> Result<Option<Completion<'a>>, Ended> {
        if let Some(ended) = &self.ended {
            return Err(ended.clone());
        }
        if self.startup.is_some() && !self.begin(chunk, at, now)? {
            return Ok(None);
        }
        loop {
            let mut rest = &chunk[*at..];
            let event = self.endpoint.feed(&mut rest);
            *at = chunk.len() - rest.len();
            let event = match event {
                Ok(event) => event,
                Err(fault) => return Err(self.fail(fault, now)),
            };
            match event {
                None => {
                    // The bytes go; what has come of a message stays.
                    if let Some(place) = self.in_place.take() {
                        self.message.extend_from_slice(&chunk[place]);
                    }
                    return Ok(None);
                }
                Some(Event::Data(placement, count)) => self.data(placement, chunk, *at - count..*at),
                Some(Event::Fetch(placement, bytes, address)) => self.fetch(placement, bytes, address)?,
                Some(Event::Completed(Over::Received { bytes, invalidated })) => {
                    self.bulk = false;
                    if bytes == 0 {
                        self.forget_message();
                    }
                    let message = match self.in_place.take() {
                        Some(place) => &mut chunk[place],
                        None => {
                            self.complete = true;
                            &mut self.message[..]
                        }
                    };
                    return Ok(Some(Completion::Received { message, invalidated }));
                }
                Some(Event::Completed(Over::Read(number))) => {
                    if let Work::Read { work, memory, tag } = self.works.take(number) {
                        self.endpoint.regions.release(tag);
                        if let Some(memory) = self.memories.take(memory) {
                            return Ok(Some(Completion::Read { work, memory }));
                        }
                    }
                }
                Some(Event::Completed(Over::Fetched(number))) => self.written(number),
                Some(Event::Completed(Over::Terminated(terminate))) => {
                    let name = self.name();
                    return Err(self.end(format!("{name}: the peer ends it: {}", terminate.text())));
                }
            }
        }
    }

    /// Takes what belongs to the beginning. False: more has to come.
    fn begin(&mut self, chunk: &[u8], at: &mut usize, now: Instant) -> Result<bool, Ended> {
        let Some(startup) = &mut self.startup else { return Ok(true) };
        let mut rest = &chunk[*at..];
        let outcome = startup.feed(&mut rest, &self.settings, self.neighbour.as_mut());
        *at = chunk.len() - rest.len();
        let (answer, limits) = outcome.map_err(|why| self.end(why))?;
        if !answer.is_empty() {
            self.wire.copy(&answer);
        }
        match limits {
            None if self.settings.side == Side::Responder
                && !answer.is_empty()
                && self.neighbour.is_none() =>
            {
                Err(self.end("MPA: the peer wants markers, which frevo does not send".to_owned()))
            }
            None => Ok(false),
            Some(limits) => {
                self.startup = None;
                self.by_reference = limits.by_reference;
                self.endpoint.agree(limits);
                if self.settings.side == Side::Initiator && !self.settings.patience.is_zero() {
                    self.silent_until = Some(now + self.settings.patience);
                }
                Ok(true)
            }
        }
    }

    /// Puts data where they belong.
    fn data(&mut self, placement: Placement, chunk: &[u8], range: std::ops::Range<usize>) {
        match placement {
            Placement::Own => (),
            Placement::Receive(offset) => {
                if offset == 0 {
                    self.forget_message();
                    self.in_place = Some(range);
                    return;
                }
                match &mut self.in_place {
                    // The next bytes of the same segment.
                    Some(place) if place.end == range.start => place.end = range.end,
                    place => {
                        if let Some(place) = place.take() {
                            self.message.extend_from_slice(&chunk[place]);
                        }
                        self.message.extend_from_slice(&chunk[range]);
                    }
                }
            }
            Placement::Memory(Place { memory, offset }) => {
                self.moved.1 += range.len() as u64;
                self.bulk |= range.len() >= BULK_BYTES;
                if let Some(memory) = self.memories.sink(memory) {
                    memory.fill(offset as usize, &chunk[range]);
                }
            }
        }
    }

    /// Gets data out of the peer's memory.
    fn fetch(&mut self, placement: Placement, bytes: usize, address: u64) -> Result<(), Ended> {
        let Placement::Memory(Place { memory, offset }) = placement else { return Ok(()) };
        let (Some(neighbour), Some(place)) = (&self.neighbour, self.memories.place(memory, offset, bytes))
        else {
            return Ok(());
        };
        // SAFETY: there is room for `bytes` at the place.
        let fetched = unsafe { neighbour.fetch(address, place, bytes) };
        fetched.map_err(|why| self.end(format!("emulated: {why}")))?;
        self.moved.1 += bytes as u64;
        if let Some(memory) = self.memories.sink(memory) {
            // SAFETY: they were fetched just now.
            unsafe { memory.filled(offset as usize..offset as usize + bytes) };
        }
        Ok(())
    }

    /// How many of the next bytes belong in memory that the peer fills.
    pub fn placed(&self) -> usize {
        match self.endpoint.direct() {
            Some((Placement::Memory(_), bytes)) => bytes,
            _ => 0,
        }
    }

    /// How many bytes are to be received alone; 0 when data are next, or little.
    fn until_data(&self) -> usize {
        if self.bulk && self.between.is_empty() {
            self.endpoint.until_data()
        } else {
            0
        }
    }

    /// Where the next bytes of the stream can be received at once, if it is worth it to the caller: at least `minimum` of them.
    pub fn room(&mut self, minimum: usize) -> Option<&mut [MaybeUninit<u8>]> {
        let between = self.until_data();
        if between > 0 {
            self.between.reserve_exact(between);
            return Some(&mut self.between.spare_capacity_mut()[..between]);
        }
        let (placement, bytes) = self.endpoint.direct().filter(|(_, bytes)| *bytes >= minimum)?;
        let Placement::Memory(Place { memory, offset }) = placement else { return None };
        let place = self.memories.place(memory, offset, bytes)?;
        // SAFETY: so many bytes are there, nobody else has them, and no value is asked of them.
        Some(unsafe { std::slice::from_raw_parts_mut(place.as_ptr().cast(), bytes) })
    }

    /// Counts `count` bytes that were received into [`Stream::room`].
    ///
    /// # Safety
    /// They were, and nothing has happened to this stream since. `next` is to follow, with nothing if nothing else has come.
    pub unsafe fn filled(&mut self, count: usize) {
        if self.until_data() > 0 {
            // SAFETY: they have just been received there.
            unsafe { self.between.set_len(count) };
            return;
        }
        let Some((Placement::Memory(Place { memory, offset }), _)) = self.endpoint.direct() else { return };
        let Some(place) = self.memories.place(memory, offset, count) else { return };
        // SAFETY: they have just been received there, and are within the memory.
        self.endpoint.received(unsafe { std::slice::from_raw_parts(place.as_ptr(), count) });
        self.moved.1 += count as u64;
        self.bulk |= count >= BULK_BYTES;
        if let Some(memory) = self.memories.sink(memory) {
            // SAFETY: the same.
            unsafe { memory.filled(offset as usize..offset as usize + count) };
        }
    }

    /// The message before was read.
    fn forget_message(&mut self) {
        self.message.clear();
        self.complete = false;
        if self.message.capacity() > 64 * 1024 {
            self.message = Vec::new();
        }
    }

    /// The peer has done something wrong: it is told what, and the connection ends.
    fn fail(&mut self, fault: Fault, now: Instant) -> Ended {
        self.endpoint.fail(fault);
        self.flush(now);
        let (name, what) = (self.name(), Terminate::from(fault).text());
        // What it may not touch is worth to be told apart.
        let whose = match fault {
            Fault::Write(Denied::Tag | Denied::Bounds | Denied::Access) => "the peer writes where it may not",
            Fault::Read(_) => "the peer reads where it may not",
            _ => "the peer breaks the protocol",
        };
        self.end(format!("{name}: {whose}: {what}"))
    }
}
