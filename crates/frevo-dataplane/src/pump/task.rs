//! One pump: decides the next request and handles responses. It does not build requests.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::RawFd;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use super::{Class, End, Kind, Place, Settings, Stored, SHORT_READ, WRONG_DATA};
use crate::crypto::SessionKeys;
use crate::fast::{OpenFile, READ_RESPONSE_BYTES};
use crate::file_job::Series;
use crate::wire::{Body, CreateResponse, ReadResponse, WriteResponse, STATUS_END_OF_FILE};

/// STATUS_DISK_FULL: the meaning of a short WRITE.
const STATUS_DISK_FULL: u32 = 0xC000_007F;

/// One request to send.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    pub(crate) class: Class,
    pub(crate) offset: u64,
    pub(crate) size: u32,
    pub(crate) file: (u64, u64),
    /// Which of the CREATE bodies.
    pub(crate) body: usize,
}

/// A response that violates the specification; the connection ends.
pub(crate) struct Malformed;

/// A running pump.
#[derive(Debug)]
pub(crate) struct Pump {
    pub(crate) settings: Settings,
    pub(crate) keys: Option<Arc<SessionKeys>>,
    pub(crate) in_flight: u32,
    /// Responses whose data a worker is writing; their requests count as in flight.
    pub(crate) storing: u32,
    pub(crate) stores: Arc<Series>,
    abandoned: bool,
    /// It has a request to send, but no credits for it.
    pub(crate) needs_credits: bool,
    /// To be sent first: closes, the rest of short reads, requests that had no credits.
    again: VecDeque<Operation>,
    next_offset: u64,
    made: u64,
    random: u64,
    end: Option<End>,
    /// Completed ranges after the contiguous end.
    ahead: BTreeMap<u64, u64>,
    contiguous: u64,
}

impl Pump {
    pub(crate) fn new(settings: Settings, keys: Option<Arc<SessionKeys>>) -> Pump {
        Pump {
            keys,
            in_flight: 0,
            storing: 0,
            stores: Arc::default(),
            abandoned: false,
            needs_credits: false,
            again: VecDeque::new(),
            next_offset: settings.offset,
            made: 0,
            random: settings.seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            end: None,
            ahead: BTreeMap::new(),
            contiguous: settings.offset,
            settings,
        }
    }

    /// Size of the largest response, if responses are large enough for their own buffer.
    pub(crate) fn bulk_bytes(&self) -> usize {
        match self.settings.kind {
            Kind::Read | Kind::Mixed => self.settings.io_size as usize,
            _ => 0,
        }
    }

    /// Makes it send no more requests.
    pub(crate) fn stop(&mut self, end: End) {
        self.end.get_or_insert(end);
    }

    /// Makes it end as soon as no worker uses its file; responses are discarded.
    pub(crate) fn abandon(&mut self) {
        self.abandoned = true;
        self.stop(End::Abandoned);
    }

    /// How it has ended; None while responses are missing or there is more to request.
    pub(crate) fn ended(&self) -> Option<End> {
        if self.abandoned {
            return (self.storing == 0).then_some(End::Abandoned);
        }
        if self.in_flight > 0 || self.has_next() {
            return None;
        }
        Some(self.end.unwrap_or(End::Done))
    }

    fn has_next(&self) -> bool {
        self.again.iter().any(|operation| self.still_wanted(operation))
            || self.end.is_none() && self.has_fresh()
    }

    /// Requests still to be sent once it is ending: closes, and gaps before the end of the file.
    fn still_wanted(&self, operation: &Operation) -> bool {
        match (self.end, operation.class) {
            (None, _) | (_, Class::Close) => true,
            (Some(End::Eof(end)), _) => operation.offset < end,
            _ => false,
        }
    }

    /// It sends requests when an eighth of its window is free, not after each response: the server has enough to do,
    /// and several requests cost hardly more to send than one.
    pub(crate) fn should_ask(&self) -> bool {
        let free = self.settings.window.saturating_sub(self.in_flight);
        free >= (self.settings.window / 8).max(1) || !self.again.is_empty()
    }

    /// The next request, within what the window allows.
    pub(crate) fn next(&mut self) -> Option<Operation> {
        if self.abandoned || self.in_flight >= self.settings.window {
            return None;
        }
        while let Some(operation) = self.again.pop_front() {
            if self.still_wanted(&operation) {
                return Some(operation);
            }
        }
        if self.end.is_some() || !self.has_fresh() {
            return None;
        }
        Some(self.fresh())
    }

    /// Puts back an operation that could not be sent now.
    pub(crate) fn put_back(&mut self, operation: Operation) {
        self.again.push_front(operation);
    }

    /// Shortens `operation`; the rest comes next.
    pub(crate) fn split(&mut self, operation: &mut Operation, size: u32) {
        if size < operation.size && self.in_order() {
            let rest = Operation {
                offset: operation.offset + u64::from(size),
                size: operation.size - size,
                ..*operation
            };
            self.again.push_front(rest);
        }
        operation.size = operation.size.min(size);
    }

    /// It moves a range once, from its start to its end.
    fn in_order(&self) -> bool {
        let settings = &self.settings;
        !settings.random && !settings.looped && matches!(settings.kind, Kind::Read | Kind::Write)
    }

    fn has_fresh(&self) -> bool {
        let settings = &self.settings;
        if settings.operations > 0 && self.made >= settings.operations {
            return false;
        }
        if !self.in_order() {
            return true;
        }
        // Responses may only be out of order within a window, so that an interrupted transfer can be resumed.
        let ahead = u64::from(settings.window) * u64::from(settings.io_size);
        let end = self.contiguous.saturating_add(ahead).min(settings.offset + settings.length);
        self.next_offset < end
    }

    fn fresh(&mut self) -> Operation {
        let turn = self.made as usize;
        self.made += 1;
        let settings = &self.settings;
        let class = match settings.kind {
            Kind::Mixed if !is_read(turn as u64, settings.read_percent) => Class::Write,
            kind => kind.classes()[0],
        };
        let file = match settings.files.len() {
            0 => (0, 0),
            count => settings.files[turn % count],
        };
        let body = turn % settings.bodies.len().max(1);
        let (offset, size) = match class {
            Class::Read | Class::Write => self.range(),
            _ => (0, 0),
        };
        Operation { class, offset, size, file, body }
    }

    fn range(&mut self) -> (u64, u32) {
        let Settings { io_size, offset, length, random, .. } = self.settings;
        let size = u64::from(io_size);
        if random {
            // xorshift64: fast, and uniform enough.
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            let place = (u128::from(self.random) * u128::from(length / size)) >> 64;
            return (offset + place as u64 * size, io_size);
        }
        if self.next_offset >= offset + length {
            self.next_offset = offset;
        }
        let place = self.next_offset;
        let size = size.min(offset + length - place);
        self.next_offset += size;
        (place, size as u32)
    }

    /// Handles the final response to `operation`: its status and the whole message.
    pub(crate) fn answered(
        &mut self,
        operation: Operation,
        status: u32,
        message: &[u8],
        ns: u64,
    ) -> Result<(), Malformed> {
        if self.abandoned {
            return Ok(());
        }
        if status != 0 {
            self.refused(operation, status);
            return Ok(());
        }
        match operation.class {
            Class::Read => {
                let data = read_data(message).ok_or(Malformed)?;
                if data.len() > operation.size as usize {
                    return Err(Malformed);
                }
                self.arrived(operation, data, ns);
            }
            Class::Write => {
                let count = write_count(message).ok_or(Malformed)?;
                if count != operation.size {
                    self.failed(operation, STATUS_DISK_FULL);
                } else {
                    self.done(operation, u64::from(count));
                    self.count(operation.class, u64::from(count), ns);
                }
            }
            Class::Create => {
                let file = created(message).ok_or(Malformed)?;
                self.again.push_back(Operation { class: Class::Close, file, ..operation });
                self.count(operation.class, 0, ns);
            }
            Class::Echo | Class::Flush | Class::Close => self.count(operation.class, 0, ns),
        }
        Ok(())
    }

    fn refused(&mut self, operation: Operation, status: u32) {
        if status == STATUS_END_OF_FILE && operation.class == Class::Read && !self.settings.keep_going {
            self.ended_at(operation.offset);
        } else {
            self.failed(operation, status);
        }
    }

    /// Handles the data of a READ.
    pub(crate) fn arrived(&mut self, operation: Operation, data: &[u8], ns: u64) {
        let position = operation.offset - self.settings.offset;
        let stored = self.settings.place.store(data, operation.offset, position, self.settings.seed);
        self.stored(operation, data.len() as u32, stored, ns);
    }

    /// It reads to a file what need not be looked at.
    pub(crate) fn is_plain_download(&self) -> bool {
        let Settings { kind, place, encrypt, sign, .. } = &self.settings;
        let signs = *sign && self.keys.is_some();
        *kind == Kind::Read && matches!(place, Place::File(..)) && !self.abandoned && !encrypt && !signs
    }

    /// The file that the data of `operation` is for, and the offset in it.
    pub(crate) fn target(&self, operation: &Operation, status: u32) -> Option<(Arc<OpenFile>, u64)> {
        match &self.settings.place {
            Place::File(file, start) if operation.class == Class::Read && status == 0 && !self.abandoned => {
                Some((file.clone(), start.saturating_add(operation.offset - self.settings.offset)))
            }
            _ => None,
        }
    }

    /// The `count` bytes of a READ have been stored, or not.
    pub(crate) fn stored(&mut self, operation: Operation, count: u32, stored: Stored, ns: u64) {
        match stored {
            Stored::Done => (),
            Stored::Failed(errno) => return self.stop(End::Local(errno, operation.offset)),
            Stored::Wrong => {
                self.settings.shared.measured()[0].failed(WRONG_DATA);
                if !self.settings.keep_going {
                    self.stop(End::Data(operation.offset));
                }
                return;
            }
        }
        if count < operation.size {
            return self.short(operation, count, ns);
        }
        self.done(operation, u64::from(count));
        self.count(operation.class, u64::from(count), ns);
    }

    /// Handles fewer bytes than requested, at the end of the file or for lack of resources: requests the rest.
    fn short(&mut self, operation: Operation, count: u32, ns: u64) {
        if self.settings.keep_going {
            return self.settings.shared.measured()[0].failed(SHORT_READ);
        }
        if count == 0 {
            return self.ended_at(operation.offset);
        }
        self.done(operation, u64::from(count));
        self.count(operation.class, u64::from(count), ns);
        let rest = Operation {
            offset: operation.offset + u64::from(count),
            size: operation.size - count,
            ..operation
        };
        self.again.push_front(rest);
    }

    /// The file ends at `offset` or before.
    fn ended_at(&mut self, offset: u64) {
        self.end = match self.end {
            None => Some(End::Eof(offset)),
            Some(End::Eof(known)) => Some(End::Eof(known.min(offset))),
            other => other,
        };
    }

    /// A local source ended: nothing from `offset` on is sent.
    pub(crate) fn source_ended(&mut self, offset: u64) {
        self.ended_at(offset);
    }

    fn failed(&mut self, operation: Operation, status: u32) {
        let class = self.class_index(operation.class);
        self.settings.shared.measured()[class].failed(status);
        if !self.settings.keep_going {
            self.stop(End::Status(status, operation.offset));
        }
    }

    fn class_index(&self, class: Class) -> usize {
        usize::from(class != self.settings.kind.classes()[0])
    }

    fn count(&self, class: Class, bytes: u64, ns: u64) {
        let index = self.class_index(class);
        self.settings.shared.measured()[index].succeeded(bytes, ns);
    }

    /// `count` bytes from the operation's offset on are done.
    fn done(&mut self, operation: Operation, count: u64) {
        if !self.in_order() {
            return;
        }
        let end = operation.offset + count;
        if operation.offset != self.contiguous {
            return self.done_ahead(operation.offset, end);
        }
        self.contiguous = end;
        while let Some(end) = self.ahead.remove(&self.contiguous) {
            self.contiguous = end;
        }
        let bytes = self.contiguous - self.settings.offset;
        self.settings.shared.contiguous.store(bytes, Ordering::Relaxed);
    }

    /// Stores a range after a gap, merged with an adjacent one before it, as responses may be as short as a byte.
    fn done_ahead(&mut self, start: u64, end: u64) {
        match self.ahead.range_mut(..start).next_back() {
            Some((_, known)) if *known == start => *known = end,
            _ => {
                self.ahead.insert(start, end);
            }
        }
    }

    /// The file that the data of a WRITE comes from, and the offset in it.
    pub(crate) fn source(&self, operation: &Operation) -> Option<(RawFd, u64)> {
        match &self.settings.place {
            Place::File(file, start) if operation.class == Class::Write => {
                Some((file.descriptor(), start.saturating_add(operation.offset - self.settings.offset)))
            }
            _ => None,
        }
    }

    /// Appends the data of a WRITE and returns its size, or errno.
    pub(crate) fn load(&self, out: &mut Vec<u8>, operation: &Operation) -> Result<usize, i32> {
        let Settings { place, offset, seed, .. } = &self.settings;
        place.load(out, operation.size as usize, operation.offset, operation.offset - offset, *seed)
    }
}

/// Whether request `number` of a mix is a READ: these are spread evenly.
fn is_read(number: u64, percent: u8) -> bool {
    let reads = |requests: u64| (u128::from(requests) * u128::from(percent) / 100) as u64;
    reads(number.wrapping_add(1)) != reads(number)
}

/// The data of a READ response ([MS-SMB2] 2.2.20).
pub(crate) fn read_data(message: &[u8]) -> Option<&[u8]> {
    let body = ReadResponse::of(message)?;
    let (start, length) = (usize::from(body.data_offset), body.data_length.get() as usize);
    if length == 0 {
        return Some(&[]);
    }
    if start < READ_RESPONSE_BYTES {
        return None;
    }
    message.get(start..start.checked_add(length)?)
}

/// Count of a WRITE response ([MS-SMB2] 2.2.22).
fn write_count(message: &[u8]) -> Option<u32> {
    Some(WriteResponse::of(message)?.count.get())
}

/// FileId of a CREATE response ([MS-SMB2] 2.2.14).
fn created(message: &[u8]) -> Option<(u64, u64)> {
    Some(CreateResponse::of(message)?.file_id.into())
}
