//! READs whose data nobody has to look at: neither signed nor encrypted, and for a file. It goes there from the socket in
//! pipes, and is copied once.

use std::time::Instant;

use super::pumping::Flight;
use super::Client;
use crate::conn::common::Common;
use crate::conn::Host;
use crate::fast::READ_RESPONSE_BYTES;
use crate::file_job::{FileJob, Purpose, Target, Work};
use crate::pipe::PipeRun;
use crate::pump::{Class, Pump};
use crate::rest::Rest;
use crate::wire::{command, flags, Body, Header, ReadResponse, FRAME_BYTES};

impl Client {
    /// True if one of the next messages may be such an answer, so that their heads are worth to be received alone.
    pub(in crate::conn) fn expects_landing(&self) -> bool {
        let lands = |pump: &Pump| pump.in_flight > 0 && pump.is_plain_download();
        self.pumps.as_ref().is_some_and(|pumps| pumps.list.iter().any(lands))
    }

    /// Whether a message of `size` bytes that begins like this is such an answer. Padding would be data, too: there must be
    /// none.
    pub(in crate::conn) fn would_land(&self, head: &[u8], size: usize) -> bool {
        let (Some(pumps), Some(header)) = (&self.pumps, Header::parse(head)) else { return false };
        let plain = header.next_command == 0
            && header.status == 0
            && header.command == command::READ
            && header.has(flags::SERVER_TO_REDIR)
            && !header.has(flags::SIGNED);
        let flight = pumps.flights.get(&header.message_id.get()).filter(|flight| plain && lands(flight));
        let (Some(flight), Some(body)) = (flight, ReadResponse::of(head)) else { return false };
        let length = body.data_length.get();
        usize::from(body.data_offset) == READ_RESPONSE_BYTES
            && length as usize == size - READ_RESPONSE_BYTES
            && length <= flight.operation.size
            && pumps
                .list
                .iter()
                .any(|pump| pump.settings.id == flight.pump && pump.target(&flight.operation, 0).is_some())
    }

    /// Takes such an answer, a frame whose end is in pipes. What is to be done for it, None if nobody wants it any more.
    pub(in crate::conn) fn landed(
        &mut self,
        common: &mut Common,
        head: Vec<u8>,
        data: PipeRun,
        host: &mut Host,
    ) -> Option<FileJob> {
        let header = Header::parse(&head[FRAME_BYTES..])?;
        self.granted(common, header.credits.get(), host);
        let job = self.storing(common.id, header.message_id.get(), head, host.now);
        if job.is_none() {
            self.feed_pumps(common, host);
        }
        Some(job?.with_rest(Rest::piped(data)))
    }

    /// The job that stores the data of an answer, as far as that has come with its head.
    fn storing(&mut self, connection: u64, message_id: u64, head: Vec<u8>, now: Instant) -> Option<FileJob> {
        let flight = self.settled(message_id)?;
        let Flight { operation, pump: id, .. } = flight;
        let pump = self.pumps.as_mut()?.find(id)?;
        let Some((file, offset)) = pump.target(&operation, 0) else {
            pump.in_flight -= 1; // it was abandoned, and waits for a worker
            return None;
        };
        pump.storing += 1;
        let (series, ns, size) = (pump.stores.clone(), flight.latency(now), head.len() - FRAME_BYTES);
        Some(FileJob {
            connection,
            work: Work::Write { offset, data: READ_RESPONSE_BYTES..size, done: 0 },
            file: Target::Local(file),
            packet: head,
            size,
            purpose: Purpose::Pump { pump: id, operation, ns, series },
            outcome: None,
            _waits: None,
        })
    }
}

/// Nothing is to be computed from its answer.
fn lands(flight: &Flight) -> bool {
    flight.operation.class == Class::Read && !flight.signed && !flight.encrypted
}
