//! SMB Direct beneath a connection ([MS-SMBD]): received bytes become messages of SMB2, and those that are queued become messages
//! of SMB Direct, as far as the peer's credits go.
//!
//! What is above knows nothing of it: messages come and go as on TCP. `incoming` puts them together, `outgoing` takes them apart;
//! `neighbour` is what two processes of one machine need.

mod carrying;
mod incoming;
mod neighbour;
mod outgoing;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Instant;

use frevo_rdma::memory::Memory;
use frevo_rdma::provider::{Provider as Device, Refused, Remote};
use frevo_rdma::regions::Access;
use frevo_rdma::smbd::{Agreed, Machine};
use frevo_rdma::stream::{Neighbour, Stream};

use carrying::Carrying;

pub use neighbour::Process;
pub use settings::{Provider, Settings};

use super::Role;
use crate::buffer::Output;
use crate::stats::{add, Stats};

/// What a message has beside its data at most: the other parts of a compound, and its protection.
const HEADERS_BYTES: u32 = 4096;

/// How a connection's SMB Direct is. Sizes are bytes, 0 before both ends have agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// What carries it.
    pub provider: &'static str,
    /// Data of RDMA move by themselves; false: among the messages, as neither may read the other's memory.
    pub direct: bool,
    /// Of a message of SMB Direct that is sent.
    pub send_size: u32,
    /// Of one that is received.
    pub receive_size: u32,
    /// Of the largest message of SMB2 that is sent.
    pub message_size: u32,
    /// Messages that may be sent now.
    pub send_credits: u32,
    /// Messages that the peer may send.
    pub receive_credits: u32,
    /// By RDMA, to the peer.
    pub bytes_sent: u64,
    /// By RDMA, from the peer.
    pub bytes_received: u64,
    /// Memory of this side that the peer may use.
    pub registrations: usize,
}

/// A connection's SMB Direct.
#[derive(Debug)]
pub struct Direct {
    machine: Machine,
    stream: Carrying,
    /// What the carrier sends.
    pub(super) wire: Output,
    // What comes in.
    /// A message that is not whole, behind room for its transport header.
    message: Vec<u8>,
    /// How long that will be.
    expected: usize,
    /// Whole messages that wait because the connection is paused, in the same form.
    held: VecDeque<Vec<u8>>,
    held_bytes: usize,
    // What goes out.
    /// Bytes of the message at the front of the output that have not left.
    left: usize,
    /// Its pieces are kept as they are.
    keeps: bool,
    /// Tokens of the peer to invalidate, each with where in the output the message ends that does it.
    invalidations: VecDeque<(u64, u32)>,
    ended: bool,
    /// No memory can be registered.
    #[cfg(test)]
    pub(super) refuses: bool,
    /// The largest message that this side puts together.
    fragmented_bytes: u32,
    /// Bytes moved by RDMA that the statistics have.
    counted: (u64, u64),
}

impl Direct {
    /// Over a stream on which nothing was sent, at `now`. `neighbour`: the process at the other end, where the provider needs it.
    pub fn new(
        settings: &Settings,
        role: Role,
        now: Instant,
        neighbour: Option<Box<dyn Neighbour>>,
    ) -> Direct {
        let stream = Stream::new(settings.stream(role), neighbour);
        Direct::with(settings, role, now, Carrying::Stream(Box::new(stream)))
    }

    /// Over a device, at `now`, which is connected or begins to connect.
    pub fn over(settings: &Settings, role: Role, now: Instant, device: Box<dyn Device>) -> Direct {
        Direct::with(settings, role, now, Carrying::Device(device))
    }

    fn with(settings: &Settings, role: Role, now: Instant, stream: Carrying) -> Direct {
        let machine = match role {
            Role::Server => Machine::accept(settings.machine(), now),
            Role::Client | Role::Relay => Machine::connect(settings.machine(), now),
        };
        let mut direct = Direct {
            machine,
            stream,
            wire: Output::default(),
            message: Vec::new(),
            expected: 0,
            held: VecDeque::new(),
            held_bytes: 0,
            left: 0,
            keeps: false,
            invalidations: VecDeque::new(),
            ended: false,
            #[cfg(test)]
            refuses: false,
            fragmented_bytes: settings.fragmented_bytes,
            counted: (0, 0),
        };
        direct.post();
        direct
    }

    /// How it is, for people.
    pub fn status(&self) -> Status {
        let (send_credits, receive_credits) = self.machine.credits();
        let (bytes_sent, bytes_received) = self.stream.moved();
        let agreed = self.agreed();
        let size = |of: fn(&Agreed) -> u32| agreed.as_ref().map_or(0, of);
        Status {
            provider: self.stream.name(),
            direct: self.stream.is_by_reference() || self.stream.name() != Provider::Emulated.name(),
            send_size: size(|agreed| agreed.send_bytes),
            receive_size: size(|agreed| agreed.receive_bytes),
            message_size: size(|agreed| agreed.fragmented_bytes),
            send_credits,
            receive_credits,
            bytes_sent,
            bytes_received,
            registrations: self.stream.registered(),
        }
    }

    /// Counts what RDMA has moved since this was done last.
    fn count(&mut self, stats: &Stats) {
        let (sent, received) = self.stream.moved();
        add(&stats.rdma_bytes_sent, sent - self.counted.0);
        add(&stats.rdma_bytes_received, received - self.counted.1);
        self.counted = (sent, received);
    }

    /// What both sides agreed upon, once they have.
    pub fn agreed(&self) -> Option<Agreed> {
        self.machine.agreed()
    }

    /// Bytes that were queued and have not been sent.
    pub(super) fn outstanding(&self) -> usize {
        self.wire.len() + self.stream.held()
    }

    /// Whether a device carries it, which has to be asked for what has arrived.
    pub(super) fn is_device(&self) -> bool {
        self.stream.is_device()
    }

    /// Everything is sent: a device ends the connection. A stream is the engine's to end.
    pub(super) fn finish(&mut self) {
        if self.is_device() {
            self.stream.close();
        }
    }

    /// Whether everything that was handed over has left.
    pub(super) fn is_flushed(&self) -> bool {
        self.wire.is_empty() && self.stream.held() == 0 && self.stream.leaving() == 0
    }

    /// Whether the peer has begun a message and not ended it.
    pub(super) fn is_inside(&self) -> bool {
        !self.message.is_empty() || self.stream.is_inside()
    }

    /// Bytes of the message that comes in, when that is known.
    pub(super) fn expected(&self) -> Option<usize> {
        (!self.message.is_empty()).then_some(self.expected)
    }

    /// Bytes that RDMA has brought.
    pub(super) fn brought(&self) -> u64 {
        self.stream.moved().1
    }

    /// When there is something to do that is not the connection's own tick.
    pub(super) fn due(&self) -> Option<Instant> {
        self.stream.due()
    }

    /// The time is `now`: true if something is to be sent because of that. An error ends the connection.
    pub(super) fn on_time(&mut self, now: Instant) -> Result<bool, crate::event::Reason> {
        let was_due = self.machine.due().is_some_and(|due| due <= now);
        let outcome = self.machine.on_time(now);
        outcome.map(|()| was_due).map_err(|violation| violation.to_string().into())
    }

    /// Posts the receives that are due. While too much is held, no more than it takes for the peer to grant credits.
    fn post(&mut self) {
        let bytes = self.machine.receive_bytes();
        let count = self.machine.post();
        self.stream.post_receives(count, bytes);
    }

    // For RDMA READ and WRITE.

    /// How many bytes of data a READ (`writes`: a WRITE) may have that RDMA does not carry: what one message holds.
    pub fn inline_bytes(&self, writes: bool) -> u32 {
        let message = match (writes, self.agreed()) {
            (true, Some(agreed)) => agreed.fragmented_bytes,
            _ => self.fragmented_bytes,
        };
        message.saturating_sub(HEADERS_BYTES)
    }

    /// Memory that the provider knows already. None: any is as good.
    pub fn memory(&mut self, bytes: usize) -> Option<Memory> {
        self.stream.memory(bytes)
    }

    /// Writes `bytes` of `memory` from `start` on to where the peer says, ahead of everything that is queued from now on.
    pub fn write(&mut self, memory: Memory, start: usize, bytes: usize, targets: &[Remote]) {
        self.stream.write(memory, start, bytes, targets);
    }

    /// Reads everything that `sources` name into `memory` from `start` on. [`Arrived::Read`] follows.
    pub fn read(&mut self, work: u64, memory: Memory, start: usize, sources: &[Remote]) {
        self.stream.read(work, memory, start, sources);
    }

    /// Lets the peer read or write memory.
    pub fn register(&mut self, memory: Memory, access: Access) -> Result<Remote, (Refused, Memory)> {
        #[cfg(test)]
        if self.refuses {
            return Err((Refused("no more memory may be locked".to_owned()), memory));
        }
        self.stream.register(memory, access)
    }

    /// Whether peers can end a tag of this side.
    pub fn can_be_invalidated(&self) -> bool {
        self.stream.can_be_invalidated()
    }

    /// How many pieces of memory the peer may use now.
    pub fn registered(&self) -> usize {
        self.stream.registered()
    }

    /// Takes memory back from the peer; None if what leaves still needs it.
    pub fn release(&mut self, tag: u32) -> Option<Memory> {
        self.stream.release(tag)
    }

    /// The message that ends at `end` of the output invalidates a token of the peer.
    pub fn invalidate_with(&mut self, end: u64, token: u32) {
        self.invalidations.push_back((end, token));
    }
}
