//! Requests of pumps whose data RDMA carries: memory that is lent to the server for one request, and taken back with its answer ([MS-SMB2]
//! 3.2.4.6, 3.2.4.7, 3.2.5.11, 3.2.5.12).

use frevo_rdma::provider::{Access, Memory, Remote};

use super::body::Body;
use super::outlet::{header, protection, signing_keys, source, Outlet, Sent};
use super::pumping::{store, Arrival, Flight, Pumps, BULK_BYTES};
use super::Client;
use crate::buffer::give_back;
use crate::conn::common::Common;
use crate::conn::direct::Direct;
use crate::conn::rdma::may;
use crate::conn::violation;
use crate::crypto::{Seal, SealKind, SignOnce};
use crate::event::Reason;
use crate::fast::READ_RESPONSE_BYTES;
use crate::file_job::{Purpose, Target, Work};
use crate::pump::{Class, End, Operation, Place, Pump, PumpId, Stored};
use crate::stats::add;
use crate::wire::{
    channel, remote_read, remote_write, seal_of_response, Body as _, Header, ReadRequest, ReadResponse,
    WriteRequest, HEADER_BYTES, RESPONSE_RDMA_TRANSFORM,
};

/// After memory could not be lent, so many requests are sent without trying, unless some comes back before.
const REFUSED: u32 = 16;

/// Memory that the server may use for a request.
#[derive(Debug)]
pub(super) struct Lent {
    /// The steering tag.
    pub(super) tag: u32,
    /// How the data of a READ have to be protected.
    seal: Option<SealKind>,
    /// It is memory of the pump's caller.
    callers: bool,
}

impl Pumps {
    /// Takes back memory of the caller that requests of a pump have lent: he gets it now. If the server uses it after
    /// all, that ends the connection.
    pub(super) fn take_back(&mut self, pump: PumpId, direct: Option<&mut Direct>) {
        let Some(direct) = direct else { return };
        for flight in self.flights.values_mut().filter(|flight| flight.pump == pump) {
            if let Some(lent) = flight.remote.take_if(|lent| lent.callers) {
                drop(direct.release(lent.tag));
            }
        }
    }
}

impl Outlet<'_> {
    /// Whether RDMA carries the data of a request, and how they are protected then. Not when they would be less protected than the
    /// request.
    pub(super) fn channel(&mut self, pump: &Pump, operation: &Operation) -> Option<Option<SealKind>> {
        let (ways, threshold) = (self.settings.rdma, self.settings.rdma_threshold);
        let moves = matches!(operation.class, Class::Read | Class::Write);
        let large = threshold > 0 && operation.size >= threshold && self.most_by_rdma() >= threshold;
        if self.direct.is_none() || ways & may::CHANNEL == 0 || !moves || !large {
            return None;
        }
        if *self.refused > 0 {
            *self.refused -= 1;
            return None;
        }
        if pump.settings.encrypt {
            return (ways & may::ENCRYPTION != 0).then_some(Some(SealKind::Encrypted));
        }
        if signing_keys(pump).is_some() {
            return (ways & may::SIGNING != 0).then_some(Some(SealKind::Signed));
        }
        Some(None)
    }

    /// Bytes that the server moves by RDMA for one request ([MS-SMBD] 3.1.4.7: MaxReadWriteSize).
    pub(super) fn most_by_rdma(&self) -> u32 {
        let agreed = self.direct.as_ref().and_then(|direct| direct.agreed());
        agreed.map_or(0, |agreed| agreed.read_write_bytes)
    }

    /// Makes a request no larger than what fits into a message with its data.
    pub(super) fn keep_inline(&mut self, pump: &mut Pump, operation: &mut Operation) {
        if let (Some(direct), Class::Read | Class::Write) = (&self.direct, operation.class) {
            pump.split(operation, direct.inline_bytes(operation.class == Class::Write));
        }
    }

    /// Builds, protects and queues a READ or WRITE whose data RDMA carries.
    pub(super) fn send_remote(
        &mut self,
        pump: &mut Pump,
        operation: &mut Operation,
        alone: bool,
        seal: Option<SealKind>,
    ) -> Sent {
        let (mut memory, callers) = match self.memory(pump, operation, seal) {
            Ok(found) => found,
            Err(sent) => return sent,
        };
        let writes = operation.class == Class::Write;
        let mut made = None;
        if writes && seal == Some(SealKind::Encrypted) {
            made = pump.keys.as_ref().and_then(|keys| keys.encrypt_data(memory.as_mut_slice()));
            if made.is_none() {
                pump.stop(End::Lost);
                return Sent::Ended;
            }
        }
        let mut taken = None;
        if writes && seal == Some(SealKind::Signed) {
            let Some((id, charge, mut right)) = self.take_id(operation, alone) else {
                return Sent::NoCredits;
            };
            let for_data = right.as_mut().and_then(SignOnce::for_data);
            made = signing_keys(pump).and_then(|keys| keys.sign_data(memory.as_slice(), for_data?));
            taken = Some((id, charge, right));
        }
        let access = if writes { Access::READ } else { Access::WRITE };
        let Some(direct) = &mut self.direct else { return Sent::Ended };
        let place = match direct.register(memory, access) {
            Ok(place) => place,
            Err((_, memory)) => {
                *self.refused = REFUSED;
                return self.send_after_all(pump, operation, &memory, taken);
            }
        };
        let taken = taken.or_else(|| self.take_id(operation, alone));
        let Some((id, charge, right)) = taken else {
            self.direct.as_mut().and_then(|direct| direct.release(place.tag));
            return Sent::NoCredits;
        };
        add(&self.stats.rdma_registrations, 1);
        let body = self.body(operation, place, made.as_ref());
        let lent = Lent { tag: place.tag, seal: seal.filter(|_| !writes), callers };
        self.queue(pump, operation, &[&body], (id, charge, right), Some(lent))
    }

    /// The next message ID for a request, its charge, and the right to sign it.
    fn take_id(&mut self, operation: &Operation, alone: bool) -> Option<(u64, u16, Option<SignOnce>)> {
        let charge = self.charge(operation.size);
        let id = self.credits.take_for_pump(u64::from(charge), alone)?;
        Some((id, charge, self.window.send(id, charge).ok().map(|first| self.nonces.right(first))))
    }

    /// Memory cannot be lent, for example because no more may be locked: the data go with their request, and so do the next
    /// ones.
    fn send_after_all(
        &mut self,
        pump: &mut Pump,
        operation: &mut Operation,
        memory: &Memory,
        taken: Option<(u64, u16, Option<SignOnce>)>,
    ) -> Sent {
        let Some(taken) = taken else {
            pump.put_back(*operation);
            return Sent::Again;
        };
        // A WRITE whose data were only signed: an ID that was taken is used, if for fewer of them.
        self.keep_inline(pump, operation);
        let write = Body::of(pump, operation).bytes().to_vec();
        let data = &memory.as_slice()[..operation.size as usize];
        self.queue(pump, operation, &[&write, data], taken, None)
    }

    /// Memory for the data of a READ, or with those of a WRITE, and whether it is the caller's own.
    fn memory(
        &mut self,
        pump: &mut Pump,
        operation: &mut Operation,
        seal: Option<SealKind>,
    ) -> Result<(Memory, bool), Sent> {
        let (size, position) = (operation.size as usize, operation.offset - pump.settings.offset);
        let encrypts = operation.class == Class::Write && seal == Some(SealKind::Encrypted);
        if let Place::Memory(memory) = &pump.settings.place {
            if !encrypts {
                return match memory.lend(position, size) {
                    Ok(memory) => Ok((memory, true)),
                    Err(_) => {
                        pump.stop(End::Local(libc::EFAULT, operation.offset));
                        Err(Sent::Ended)
                    }
                };
            }
        }
        if operation.class == Class::Read {
            let known = self.direct.as_mut().and_then(|direct| direct.memory(size));
            return Ok((known.unwrap_or_else(|| Memory::new(self.pool.take(size), size, give_back)), false));
        }
        let mut buffer = self.pool.take(size);
        match pump.load(&mut buffer, operation) {
            Ok(count) if source(pump, operation, count) => Ok((Memory::new(buffer, count, give_back), false)),
            Ok(_) => Err(Sent::Ended),
            Err(errno) => {
                pump.stop(End::Local(errno, operation.offset));
                Err(Sent::Ended)
            }
        }
    }

    fn body(&self, operation: &Operation, place: Remote, seal: Option<&Seal>) -> Vec<u8> {
        let can = self.direct.as_ref().is_some_and(|direct| direct.can_be_invalidated());
        let channel = match can && self.settings.rdma & may::INVALIDATE != 0 {
            true => channel::RDMA_V1_INVALIDATE,
            false => channel::RDMA_V1,
        };
        let (file_id, offset) = (operation.file.into(), operation.offset.into());
        if operation.class == Class::Write {
            let write = WriteRequest { offset, file_id, ..WriteRequest::new() };
            return remote_write(write, channel, place, seal);
        }
        let (padding, length) = (READ_RESPONSE_BYTES as u8, operation.size.into());
        remote_read(ReadRequest { padding, length, offset, file_id, ..ReadRequest::new() }, channel, place)
    }

    /// Protects and queues a request.
    fn queue(
        &mut self,
        pump: &mut Pump,
        operation: &Operation,
        body: &[&[u8]],
        (id, charge, right): (u64, u16, Option<SignOnce>),
        lent: Option<Lent>,
    ) -> Sent {
        let protection = match protection(pump) {
            Ok(protection) => protection,
            Err(_) => {
                pump.stop(End::Lost);
                return Sent::Ended;
            }
        };
        let room = protection.room();
        let size = room + HEADER_BYTES + body.iter().map(|part| part.len()).sum::<usize>();
        let head = header(self.credits, self.settings.multi_credit, pump, operation, charge, id);
        let tail = self.output.tail(size, self.pool);
        let start = tail.len();
        tail.resize(start + room + HEADER_BYTES, 0);
        body.iter().for_each(|part| tail.extend_from_slice(part));
        let frame = &mut tail[start..];
        *Header::of_mut(&mut frame[room..]) = head;
        if protection.finish(frame, self.framing, right).is_err() {
            tail.truncate(start);
            pump.stop(End::Lost);
            return Sent::Ended;
        }
        self.output.committed(size);
        Sent::Yes(id, charge, lent)
    }
}

impl Client {
    /// Handles the final answer to a request that has lent memory, which is back.
    pub(super) fn pumped_remotely(
        &mut self,
        common: &Common,
        flight: Flight,
        message: &[u8],
        memory: Option<Memory>,
        arrival: &Arrival,
    ) -> Result<(), Reason> {
        let Some(pumps) = &mut self.pumps else { return Ok(()) };
        pumps.refused = 0;
        let Some(pump) = pumps.find(flight.pump) else { return Ok(()) }; // abandoned
        let (operation, ns) = (flight.operation, flight.latency(arrival.now));
        let status = Header::of(message).status.get();
        pump.in_flight -= 1;
        pump.needs_credits = true;
        if operation.class != Class::Read || status != 0 {
            return pump.answered(operation, status, message, ns).or_else(|_| malformed());
        }
        let lent = flight.remote.as_ref();
        let (Some(lent), Some(mut memory)) = (lent, memory) else { return malformed() };
        let Some(count) = placed(pump, lent, operation.size, message, &mut memory) else {
            return malformed();
        };
        if lent.callers {
            pump.stored(operation, count as u32, Stored::Done, ns);
            return Ok(());
        }
        let Some((file, place)) = pump.target(&operation, status).filter(|_| count >= BULK_BYTES) else {
            pump.arrived(operation, &memory.as_slice()[..count], ns);
            return Ok(());
        };
        let done = match pump.storing == 0 || !arrival.can_defer {
            true => file.write_soon(&memory.as_slice()[..count], place),
            false => 0,
        };
        if done == count {
            pump.stored(operation, count as u32, Stored::Done, ns);
            return Ok(());
        }
        if !arrival.can_defer {
            pump.arrived(operation, &memory.as_slice()[..count], ns);
            return Ok(());
        }
        pump.in_flight += 1; // until it is written
        pump.storing += 1;
        let purpose = Purpose::Pump { pump: flight.pump, operation, ns, series: pump.stores.clone() };
        let work = Work::Write { offset: place, data: 0..count, done };
        let packet = memory.into_vec();
        let job = store(common, work, Target::Local(file), packet.len(), purpose);
        pumps.ready.push(job.with(packet));
        Ok(())
    }
}

/// How many bytes of a READ's data are in memory, opened if they were protected ([MS-SMB2] 3.2.5.11).
fn placed(pump: &Pump, lent: &Lent, size: u32, message: &[u8], memory: &mut Memory) -> Option<usize> {
    let response = ReadResponse::of(message)?;
    let count = response.data_remaining.get();
    let has_seal = response.reserved2.get() & RESPONSE_RDMA_TRANSFORM != 0;
    let data = memory.as_mut_slice().get_mut(..count as usize).filter(|_| count <= size)?;
    match lent.seal {
        None if has_seal || response.data_length != 0 => return None,
        None => (),
        Some(_) if !has_seal => return None,
        Some(kind) => {
            let start = usize::from(response.data_offset);
            let buffer = message.get(start..)?.get(..response.data_length.get() as usize)?;
            let seal = seal_of_response(buffer).ok().filter(|seal| seal.kind == kind)?;
            pump.keys.as_ref()?.unseal(&seal, data).ok()?;
        }
    }
    Some(count as usize)
}

fn malformed() -> Result<(), Reason> {
    violation("the server sent a malformed response, or data that are not protected as they have to be")
}
