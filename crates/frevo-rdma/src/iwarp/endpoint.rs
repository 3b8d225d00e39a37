//! One end of an iWARP connection, after MPA's frames have been exchanged.

use std::collections::VecDeque;

use super::decoder::{Decoder, Segment};
use super::header::{Header, Operation, ReadRequest, Target};
use super::outgoing::{Limits, Message, Outgoing, Work};
use super::terminate::{Fault, Terminate};
use crate::regions::{Access, Denied, Place, Regions};

/// Where received data belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// In the oldest posted receive, at this offset.
    Receive(usize),
    /// In memory.
    Memory(Place),
    /// Nowhere: the endpoint has looked at them.
    Own,
}

/// What is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// A message stands in the oldest posted receive, which is used up.
    Received {
        /// How long it is.
        bytes: usize,
        /// A tag of this side that it has invalidated.
        invalidated: Option<u32>,
    },
    /// The data of an RDMA READ are there: the number of the work request.
    Read(u64),
    /// The peer has fetched the data of an RDMA WRITE that were sent by reference.
    Fetched(u64),
    /// The peer has ended the connection.
    Terminated(Terminate),
}

/// What received bytes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// So many bytes, the next ones of what was fed, belong there.
    Data(Placement, usize),
    /// So many bytes at an address of the peer belong there. Fetch them before the next step.
    Fetch(Placement, usize, u64),
    /// Something is over.
    Completed(Completion),
}

/// An RDMA READ of this side whose answer is awaited.
#[derive(Clone, Copy, Debug)]
struct Reading {
    work: u64,
    sink: (u32, u64),
    bytes: u64,
    got: u64,
}

/// The next message of each queue, which begin with 1.
#[derive(Debug)]
struct Numbers {
    sends: u32,
    requests: u32,
    fetched: u32,
}

/// The two directions of a connection. Errors of `feed` end it: see `fail`.
#[derive(Debug)]
pub struct Endpoint {
    /// The memory that the peer may use.
    pub regions: Regions,
    limits: Limits,
    // What leaves.
    work: VecDeque<Work>,
    responses: VecDeque<Work>,
    fetched: VecDeque<Work>,
    /// The message whose segments leave now; true: it is an answer to a READ of the peer.
    leaving: Option<(Work, bool)>,
    response_next: bool,
    outgoing: Numbers,
    reads: VecDeque<Reading>,
    /// What has left by reference and was not fetched yet; None: an answer to a READ of the peer.
    referred: VecDeque<Option<u64>>,
    /// The connection ends; true: Terminate has left, or is not to be sent.
    ending: Option<bool>,
    // What arrives.
    decoder: Decoder,
    segment: Option<Header>,
    /// How much of the data of the segment has come.
    segment_have: u64,
    incoming: Numbers,
    receives: VecDeque<usize>,
    /// How much of the Send in the oldest receive is there, without the current segment.
    receive_have: u64,
    own: [u8; Terminate::MAX_BYTES],
}

impl Endpoint {
    /// A connection on which nothing was sent yet.
    pub fn new(limits: Limits) -> Endpoint {
        let limits = Limits { segment_bytes: limits.segment_bytes.clamp(64, 65_500), ..limits };
        Endpoint {
            regions: Regions::default(),
            limits,
            work: VecDeque::new(),
            responses: VecDeque::new(),
            fetched: VecDeque::new(),
            leaving: None,
            response_next: false,
            outgoing: Numbers { sends: 1, requests: 1, fetched: 1 },
            reads: VecDeque::new(),
            referred: VecDeque::new(),
            ending: None,
            decoder: Decoder::new(limits.checks, limits.by_reference),
            segment: None,
            segment_have: 0,
            incoming: Numbers { sends: 1, requests: 1, fetched: 1 },
            receives: VecDeque::new(),
            receive_have: 0,
            own: [0; Terminate::MAX_BYTES],
        }
    }

    /// What was agreed upon, before anything was sent or fed; receives and work may have been posted.
    pub fn agree(&mut self, limits: Limits) {
        self.limits = Limits { segment_bytes: limits.segment_bytes.clamp(64, 65_500), ..limits };
        self.decoder = Decoder::new(limits.checks, limits.by_reference);
        let done: Vec<_> = self.work.iter().map(|work| self.done_when_sent(work)).collect();
        self.work.iter_mut().zip(done).for_each(|(work, done)| work.done = done);
    }

    /// Whether the next message that is posted leaves at once.
    pub fn has_nothing_to_send(&self) -> bool {
        self.leaving.is_none()
            && self.work.is_empty()
            && self.responses.is_empty()
            && self.fetched.is_empty()
            && self.ending.is_none()
    }

    /// Posts a receive for a message of at most `bytes`.
    pub fn post_receive(&mut self, bytes: usize) {
        self.receives.push_back(bytes);
    }

    /// Sends a message of `bytes`, below 4 GiB; `invalidate`: a tag of the peer.
    pub fn post_send(&mut self, work: u64, bytes: u32, invalidate: Option<u32>) {
        let number = self.outgoing.sends;
        self.outgoing.sends = number.wrapping_add(1);
        self.post(work, u64::from(bytes), Message::Send { number, invalidate });
    }

    /// Writes `bytes` from `memory` to where the peer says.
    pub fn post_write(&mut self, work: u64, bytes: u64, memory: Place, (tag, offset): (u32, u64)) {
        self.post(work, bytes, Message::Write { tag, offset, memory });
    }

    /// Reads `bytes` from where the peer says into registered memory of this side.
    pub fn post_read(&mut self, work: u64, bytes: u32, sink: (u32, u64), source: (u32, u64)) {
        let number = self.outgoing.requests;
        self.outgoing.requests = number.wrapping_add(1);
        let request = ReadRequest { sink, bytes, source };
        self.post(work, ReadRequest::BYTES as u64, Message::ReadRequest { number, request });
    }

    fn post(&mut self, work: u64, bytes: u64, message: Message) {
        let mut posted = Work { message, bytes, sent: 0, work, done: None };
        posted.done = self.done_when_sent(&posted);
        self.work.push_back(posted);
    }

    /// The number of work that is done as soon as it has left. That a READ was asked for says nothing: it is over with its
    /// answer. What is sent by reference has to be fetched.
    fn done_when_sent(&self, work: &Work) -> Option<u64> {
        let waits = matches!(work.message, Message::ReadRequest { .. })
            || self.limits.by_reference && work.bytes > 0 && work.message.is_tagged();
        (!waits).then_some(work.work)
    }

    /// The peer has done something wrong: nothing but Terminate is sent any more.
    pub fn fail(&mut self, fault: Fault) {
        if self.ending.is_some() {
            return;
        }
        let message = Message::Terminate(fault.into());
        self.work.clear();
        self.responses.clear();
        self.fetched.clear();
        // A segment is never cut: the one that leaves was handed out whole.
        self.leaving = None;
        self.work.push_back(Work { message, bytes: Terminate::BYTES as u64, sent: 0, work: 0, done: None });
        self.ending = Some(false);
    }

    /// Whether the connection is to be closed: what had to be sent was handed out.
    pub fn is_over(&self) -> bool {
        self.ending == Some(true)
    }

    /// The next segment to send, if there is one. It counts as sent; segments leave in this order.
    pub fn next_segment(&mut self) -> Option<Outgoing> {
        if self.is_over() {
            return None;
        }
        let (mut work, is_response) = match self.leaving.take() {
            Some(leaving) => leaving,
            None => self.next_message()?,
        };
        if let Message::ReadResponse { source: (tag, offset), .. } = work.message {
            let rest = work.bytes - work.sent;
            if rest > 0 {
                if let Err(denied) = self.regions.find(tag, offset + work.sent, rest, Access::READ) {
                    self.fail(Fault::Read(denied));
                    return self.next_segment();
                }
            }
        }
        let (segment, last) = work.next(&self.limits);
        if last && segment.by_reference {
            self.referred.push_back((!is_response).then_some(work.work));
        }
        if !last {
            self.leaving = Some((work, is_response));
        } else if self.ending.is_some() {
            self.ending = Some(true);
        }
        Some(segment)
    }

    /// Work requests and answers take turns. A READ waits until fewer are outstanding, and what was posted after it, too.
    fn next_message(&mut self) -> Option<(Work, bool)> {
        if let Some(work) = self.fetched.pop_front() {
            return Some((work, false));
        }
        let blocked = self.work.front().is_none_or(|work| {
            let reads = matches!(work.message, Message::ReadRequest { .. });
            reads && self.reads.len() >= usize::from(self.limits.outgoing_reads)
        });
        if !self.responses.is_empty() && (blocked || self.response_next) {
            self.response_next = false;
            return self.responses.pop_front().map(|work| (work, true));
        }
        if blocked {
            return None;
        }
        self.response_next = true;
        let work = self.work.pop_front()?;
        if let Message::ReadRequest { request, .. } = work.message {
            let reading =
                Reading { work: work.work, sink: request.sink, bytes: u64::from(request.bytes), got: 0 };
            self.reads.push_back(reading);
        }
        Some((work, false))
    }

    /// Whether the peer has begun a segment and not ended it.
    pub fn is_inside_segment(&self) -> bool {
        self.decoder.is_inside()
    }

    /// Where the next bytes can be received at once, and how many at most. Say so with `received`.
    pub fn direct(&self) -> Option<(Placement, usize)> {
        let bytes = self.decoder.direct();
        let header = self.segment.filter(|_| bytes > 0)?;
        match self.place(&header) {
            Ok(Placement::Own) | Err(_) => None,
            Ok(place) => Some((place, bytes)),
        }
    }

    /// How many bytes there are before the next data, if those belong in memory; 0 within data.
    pub fn until_data(&self) -> usize {
        self.decoder.until_data()
    }

    /// `data` were received where `direct` says.
    pub fn received(&mut self, data: &[u8]) {
        self.decoder.received(data);
        self.segment_have += data.len() as u64;
    }

    /// Takes the next step with `bytes`, removing from them what it used. None: more has to come.
    pub fn feed(&mut self, bytes: &mut &[u8]) -> Result<Option<Event>, Fault> {
        loop {
            if self.ending.is_some() {
                *bytes = &[];
                return Ok(None);
            }
            let before = *bytes;
            match self.decoder.next(bytes)? {
                None => return Ok(None),
                Some(Segment::Begins(header)) => {
                    self.begin(&header)?;
                    (self.segment, self.segment_have) = (Some(header), 0);
                }
                Some(Segment::Data(count)) => {
                    let header = self.segment.expect("data are in a segment");
                    let place = self.place(&header)?;
                    if place == Placement::Own {
                        let at = self.segment_have as usize;
                        self.own[at..at + count].copy_from_slice(&before[..count]);
                    }
                    self.segment_have += count as u64;
                    return Ok(Some(Event::Data(place, count)));
                }
                Some(Segment::Reference(address)) => {
                    let header = self.segment.expect("an address is in a segment");
                    let place = self.place(&header)?;
                    self.segment_have = header.data as u64;
                    return Ok(Some(Event::Fetch(place, header.data, address)));
                }
                Some(Segment::Ends) => {
                    let header = self.segment.take().expect("a segment has begun");
                    if header.last
                        && self.limits.by_reference
                        && header.operation.is_tagged()
                        && header.data > 0
                    {
                        self.say_fetched();
                    }
                    if let Some(completion) = self.end(&header)? {
                        return Ok(Some(Event::Completed(completion)));
                    }
                }
            }
        }
    }

    /// Tells the peer that a message was fetched, before anything else that waits.
    fn say_fetched(&mut self) {
        let message = Message::Fetched { number: self.outgoing.fetched };
        self.outgoing.fetched = self.outgoing.fetched.wrapping_add(1);
        self.fetched.push_back(Work { message, bytes: 0, sent: 0, work: 0, done: None });
    }

    /// Whether a segment may be here.
    fn begin(&mut self, header: &Header) -> Result<(), Fault> {
        match (header.operation, header.target) {
            (Operation::Send { .. }, Target::Untagged { number, offset, .. }) => {
                if number != self.incoming.sends {
                    return Err(Fault::Number);
                }
                if u64::from(offset) != self.receive_have {
                    return Err(Fault::Offset);
                }
                let room = *self.receives.front().ok_or(Fault::NoBuffer)?;
                if self.receive_have + header.data as u64 > room as u64 {
                    return Err(Fault::TooLong);
                }
            }
            (Operation::ReadRequest, Target::Untagged { number, offset, .. }) => {
                if number != self.incoming.requests {
                    return Err(Fault::Number);
                }
                if offset != 0 || !header.last {
                    return Err(Fault::Offset);
                }
                if header.data != ReadRequest::BYTES {
                    return Err(Fault::TooLong);
                }
            }
            (Operation::Fetched, Target::Untagged { number, .. }) => {
                if !self.limits.by_reference || header.data > 0 {
                    return Err(Fault::Operation);
                }
                if number != self.incoming.fetched || self.referred.is_empty() {
                    return Err(Fault::Number);
                }
            }
            (Operation::Terminate, Target::Untagged { number, offset, .. }) => {
                if number != 1 || offset != 0 || !header.last {
                    return Err(Fault::Number);
                }
                if header.data > Terminate::MAX_BYTES {
                    return Err(Fault::TooLong);
                }
            }
            (Operation::ReadResponse, Target::Tagged { tag, offset }) => {
                let reading = self.reads.front().ok_or(Fault::Response)?;
                let end = reading.got + header.data as u64;
                let follows = (tag, offset) == (reading.sink.0, reading.sink.1.wrapping_add(reading.got));
                if !follows || end > reading.bytes || header.last != (end == reading.bytes) {
                    return Err(Fault::Response);
                }
            }
            _ => (),
        }
        if header.data > 0 {
            self.place_at(header, 0)?;
        }
        Ok(())
    }

    /// Where the next data of a segment belong. Memory may have been withdrawn since the segment began.
    fn place(&self, header: &Header) -> Result<Placement, Fault> {
        self.place_at(header, self.segment_have)
    }

    fn place_at(&self, header: &Header, at: u64) -> Result<Placement, Fault> {
        let rest = header.data as u64 - at;
        Ok(match (header.operation, header.target) {
            (Operation::Write, Target::Tagged { tag, offset }) => {
                let offset = offset.checked_add(at).ok_or(Fault::Write(Denied::Bounds))?;
                Placement::Memory(self.regions.find(tag, offset, rest, Access::WRITE).map_err(Fault::Write)?)
            }
            (Operation::ReadResponse, Target::Tagged { tag, offset }) => {
                let found = self.regions.find(tag, offset.wrapping_add(at), rest, Access::NONE);
                Placement::Memory(found.map_err(Fault::Write)?)
            }
            (Operation::Send { .. }, _) => Placement::Receive((self.receive_have + at) as usize),
            _ => Placement::Own,
        })
    }

    /// A segment is whole, and its checksum fits.
    fn end(&mut self, header: &Header) -> Result<Option<Completion>, Fault> {
        match (header.operation, header.target) {
            (Operation::Send { invalidates, .. }, Target::Untagged { invalidated, .. }) => {
                self.receive_have += header.data as u64;
                if !header.last {
                    return Ok(None);
                }
                let bytes = std::mem::take(&mut self.receive_have) as usize;
                self.incoming.sends = self.incoming.sends.wrapping_add(1);
                self.receives.pop_front();
                if invalidates && !self.regions.invalidate(invalidated) {
                    return Err(Fault::Invalidate);
                }
                let invalidated = invalidates.then_some(invalidated);
                Ok(Some(Completion::Received { bytes, invalidated }))
            }
            (Operation::ReadRequest, _) => {
                self.incoming.requests = self.incoming.requests.wrapping_add(1);
                self.answer()?;
                Ok(None)
            }
            (Operation::ReadResponse, _) => {
                let reading = self.reads.front_mut().ok_or(Fault::Response)?;
                reading.got += header.data as u64;
                let read = Completion::Read(reading.work);
                if header.last {
                    self.reads.pop_front();
                }
                Ok(header.last.then_some(read))
            }
            (Operation::Fetched, _) => {
                self.incoming.fetched = self.incoming.fetched.wrapping_add(1);
                Ok(self.referred.pop_front().flatten().map(Completion::Fetched))
            }
            (Operation::Terminate, _) => {
                self.ending = Some(true);
                let terminate = Terminate::parse(&self.own[..header.data]);
                let unspecified = Terminate { layer: 0, kind: 0, code: 0 };
                Ok(Some(Completion::Terminated(terminate.unwrap_or(unspecified))))
            }
            _ => Ok(None),
        }
    }

    /// Answers the RDMA READ that stands in `own`.
    fn answer(&mut self) -> Result<(), Fault> {
        let leaving = usize::from(matches!(self.leaving, Some((_, true))));
        if self.responses.len() + leaving >= usize::from(self.limits.incoming_reads) {
            return Err(Fault::TooManyReads);
        }
        let request = ReadRequest::parse(self.own.first_chunk().expect("longer than a request"));
        let bytes = u64::from(request.bytes);
        let memory = match bytes {
            // Nothing is touched, so nothing is looked at (RFC 5040, 5.2.1).
            0 => Place { memory: 0, offset: 0 },
            _ => {
                let (tag, offset) = request.source;
                self.regions.find(tag, offset, bytes, Access::READ).map_err(Fault::Read)?
            }
        };
        let message = Message::ReadResponse { sink: request.sink, source: request.source, memory };
        self.responses.push_back(Work { message, bytes, sent: 0, work: 0, done: None });
        Ok(())
    }
}
