//! One end of an SMB Direct connection ([MS-SMBD] 3.1).

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Instant;

use zerocopy::{FromBytes, IntoBytes};

use super::credits::Credits;
use super::keepalive::Keepalive;
use super::message::{DataTransfer, NegotiateRequest, NegotiateResponse};
use super::message::{DATA_OFFSET, RESPONSE_REQUESTED, VERSION};
use super::reassembly::Reassembly;
use super::settings::{Agreed, Settings, MIN_FRAGMENTED_BYTES, MIN_RECEIVE_BYTES};
use super::violation::Violation;

/// STATUS_NOT_SUPPORTED.
const NOT_SUPPORTED: u32 = 0xC000_00BB;

/// The least size of the receive for the negotiation ([MS-SMBD] 3.1.4.1).
pub const FIRST_RECEIVE_BYTES: u32 = 512;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A client that has not sent its Negotiate Request.
    Connecting,
    /// A client that waits for the response.
    Requested,
    /// A server that waits for the request.
    Accepting,
    /// A server that has not sent its Negotiate Response.
    Answering,
    /// A server that has not sent its refusal.
    Refusing,
    /// Messages go both ways.
    Established,
    /// Nothing goes any more.
    Ended,
}

/// One message to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    head: [u8; size_of::<NegotiateResponse>()],
    head_bytes: usize,
    /// How many bytes of the queued messages follow the head.
    pub data: usize,
    /// It is the last fragment of its message.
    pub ends: bool,
    /// A token of the peer that the provider should invalidate with it.
    pub invalidate: Option<u32>,
}

impl Outgoing {
    fn new(head: &[u8]) -> Outgoing {
        let mut bytes = [0; size_of::<NegotiateResponse>()];
        bytes[..head.len()].copy_from_slice(head);
        Outgoing { head: bytes, head_bytes: head.len(), data: 0, ends: false, invalidate: None }
    }

    /// What precedes the data: header and padding.
    pub fn head(&self) -> &[u8] {
        &self.head[..self.head_bytes]
    }
}

/// What a received message brings for the layer above.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Where its data stand in it. Empty: it has none.
    pub data: Range<usize>,
    /// With the first fragment, the length of the whole message.
    pub begins: Option<usize>,
    /// The message is whole with these data.
    pub ends: bool,
    /// A token of ours that the peer has invalidated with this message; given with its last fragment.
    pub invalidated: Option<u32>,
}

/// What either kind of negotiation message says of its sender.
struct Offer {
    /// CreditsRequested.
    credits: u16,
    /// PreferredSendSize.
    sends: u32,
    /// MaxReceiveSize.
    receives: u32,
    /// MaxFragmentedSize.
    messages: u32,
}

/// A message that waits, or its rest.
#[derive(Debug)]
struct Waiting {
    bytes: usize,
    invalidate: Option<u32>,
}

/// One end of a connection. It is asked again after each call what to post and what to send.
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
    state: State,
    agreed: Agreed,
    credits: Credits,
    keepalive: Option<Keepalive>,
    negotiation_due: Option<Instant>,
    first_posted: bool,
    queue: VecDeque<Waiting>,
    reassembly: Reassembly,
    invalidated: Option<u32>,
    /// SendImmediate: the peer has asked for an answer.
    immediate: bool,
}

impl Machine {
    /// The end that has connected at `now`.
    pub fn connect(settings: Settings, now: Instant) -> Machine {
        Machine::new(settings, State::Connecting, now + settings.connect_time)
    }

    /// The end that was connected to at `now`.
    pub fn accept(settings: Settings, now: Instant) -> Machine {
        Machine::new(settings, State::Accepting, now + settings.accept_time)
    }

    fn new(settings: Settings, state: State, due: Instant) -> Machine {
        let settings = settings.bounded();
        let agreed = Agreed {
            send_bytes: settings.send_bytes,
            receive_bytes: settings.receive_bytes,
            fragmented_bytes: 0,
            read_write_bytes: settings.read_write_bytes,
        };
        Machine {
            settings,
            state,
            agreed,
            credits: Credits::new(settings.receive_credits),
            keepalive: None,
            negotiation_due: Some(due),
            first_posted: false,
            queue: VecDeque::new(),
            reassembly: Reassembly::default(),
            invalidated: None,
            immediate: false,
        }
    }

    /// How far it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// What was agreed upon, once it is established.
    pub fn agreed(&self) -> Option<Agreed> {
        (self.state == State::Established).then_some(self.agreed)
    }

    /// Messages this side may send now, and messages the peer may send.
    pub fn credits(&self) -> (u32, u32) {
        self.credits.counts()
    }

    /// How large each posted receive has to be.
    pub fn receive_bytes(&self) -> usize {
        self.settings.receive_bytes.max(FIRST_RECEIVE_BYTES) as usize
    }

    /// How many receives have to be posted now; they count as posted. Ask before `next_send`.
    pub fn post(&mut self) -> u32 {
        match self.state {
            State::Connecting | State::Accepting => {
                u32::from(!std::mem::replace(&mut self.first_posted, true))
            }
            State::Answering | State::Established => {
                let waits = !self.queue.is_empty() || self.must_speak();
                self.credits.post(waits)
            }
            State::Requested | State::Refusing | State::Ended => 0,
        }
    }

    /// Appends a message of `bytes` > 0. `invalidate`: a token of the peer that is no longer needed.
    ///
    /// Errors: the message is larger than the peer takes, or nothing is established; nothing is queued then.
    pub fn queue(&mut self, bytes: usize, invalidate: Option<u32>) -> Result<(), Violation> {
        if bytes == 0 || self.state != State::Established || bytes > self.agreed.fragmented_bytes as usize {
            return Err(Violation::TooLarge(bytes as u64));
        }
        self.queue.push_back(Waiting { bytes, invalidate });
        Ok(())
    }

    /// Whether messages wait to be sent.
    pub fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The next message to send now, if there is one; it counts as sent ([MS-SMBD] 3.1.5.1).
    pub fn next_send(&mut self, now: Instant) -> Option<Outgoing> {
        match self.state {
            State::Connecting => {
                self.state = State::Requested;
                Some(Outgoing::new(self.negotiate_request().as_bytes()))
            }
            State::Answering => {
                self.establish(now);
                Some(Outgoing::new(self.negotiate_response().as_bytes()))
            }
            State::Refusing => {
                self.state = State::Ended;
                let refusal = NegotiateResponse {
                    min_version: VERSION.into(),
                    max_version: VERSION.into(),
                    status: NOT_SUPPORTED.into(),
                    ..Default::default()
                };
                Some(Outgoing::new(refusal.as_bytes()))
            }
            State::Established => self.next_transfer(now),
            State::Requested | State::Accepting | State::Ended => None,
        }
    }

    fn negotiate_request(&self) -> NegotiateRequest {
        NegotiateRequest {
            min_version: VERSION.into(),
            max_version: VERSION.into(),
            reserved: 0.into(),
            credits_requested: self.settings.send_credits.into(),
            preferred_send_size: self.settings.send_bytes.into(),
            max_receive_size: self.settings.receive_bytes.into(),
            max_fragmented_size: self.settings.fragmented_bytes.into(),
        }
    }

    fn negotiate_response(&mut self) -> NegotiateResponse {
        NegotiateResponse {
            min_version: VERSION.into(),
            max_version: VERSION.into(),
            negotiated_version: VERSION.into(),
            reserved: 0.into(),
            credits_requested: self.settings.send_credits.into(),
            credits_granted: self.credits.grant().into(),
            status: 0.into(),
            max_read_write_size: self.agreed.read_write_bytes.into(),
            preferred_send_size: self.agreed.send_bytes.into(),
            max_receive_size: self.agreed.receive_bytes.into(),
            max_fragmented_size: self.settings.fragmented_bytes.into(),
        }
    }

    /// Whether something has to be said though no message waits.
    fn must_speak(&self) -> bool {
        self.immediate || self.keepalive.as_ref().is_some_and(Keepalive::is_pending)
    }

    fn next_transfer(&mut self, now: Instant) -> Option<Outgoing> {
        let due = !self.queue.is_empty() || self.must_speak() || self.credits.grant_at_once();
        if !due || !self.credits.can_send() {
            return None;
        }
        let asks = self.keepalive.as_mut().is_some_and(|keepalive| keepalive.ask(now));
        self.immediate = false;
        let mut header = DataTransfer {
            credits_requested: self.settings.send_credits.into(),
            credits_granted: self.credits.spend().into(),
            flags: if asks { RESPONSE_REQUESTED } else { 0 }.into(),
            ..Default::default()
        };
        let Some(message) = self.queue.front_mut() else { return Some(Outgoing::new(header.as_bytes())) };
        let data = message.bytes.min(self.agreed.send_bytes as usize - DATA_OFFSET);
        message.bytes -= data;
        let rest = message.bytes;
        header.data_offset = (DATA_OFFSET as u32).into();
        header.data_length = (data as u32).into();
        header.remaining_data_length = (rest as u32).into();
        let mut padded = [0; DATA_OFFSET];
        padded[..size_of::<DataTransfer>()].copy_from_slice(header.as_bytes());
        let mut send = Outgoing { data, ends: rest == 0, ..Outgoing::new(&padded) };
        if rest == 0 {
            send.invalidate = self.queue.pop_front().and_then(|message| message.invalidate);
        }
        Some(send)
    }

    /// A message has come, and with it perhaps the invalidation of a token of ours.
    ///
    /// Errors end the connection; what `next_send` gives then is still to be sent.
    pub fn received(
        &mut self,
        message: &[u8],
        invalidated: Option<u32>,
        now: Instant,
    ) -> Result<Part, Violation> {
        let result = match self.state {
            State::Accepting => self.on_request(message).map(|()| Part::default()),
            State::Requested => self.on_response(message, now).map(|()| Part::default()),
            State::Established => self.on_transfer(message, invalidated, now),
            State::Ended => Ok(Part::default()),
            State::Connecting | State::Answering | State::Refusing => Err(Violation::Overdrawn),
        };
        if result.is_err() && self.state != State::Refusing {
            self.state = State::Ended;
        }
        result
    }

    /// [MS-SMBD] 3.1.5.6.
    fn on_request(&mut self, message: &[u8]) -> Result<(), Violation> {
        let (request, _) = NegotiateRequest::ref_from_prefix(message).map_err(|_| Violation::Short)?;
        if !(request.min_version.get()..=request.max_version.get()).contains(&VERSION) {
            self.state = State::Refusing;
            return Err(Violation::Version);
        }
        self.agree(&Offer {
            credits: request.credits_requested.get(),
            sends: request.preferred_send_size.get(),
            receives: request.max_receive_size.get(),
            messages: request.max_fragmented_size.get(),
        })?;
        self.state = State::Answering;
        Ok(())
    }

    /// [MS-SMBD] 3.1.5.7.
    fn on_response(&mut self, message: &[u8], now: Instant) -> Result<(), Violation> {
        let (response, _) = NegotiateResponse::ref_from_prefix(message).map_err(|_| Violation::Short)?;
        if response.status.get() != 0 {
            return Err(Violation::Refused(response.status.get()));
        }
        if response.negotiated_version.get() != VERSION {
            return Err(Violation::Version);
        }
        if response.credits_granted.get() == 0 {
            return Err(Violation::NoCreditsGranted);
        }
        let offer = Offer {
            credits: response.credits_requested.get(),
            sends: response.preferred_send_size.get(),
            receives: response.max_receive_size.get(),
            messages: response.max_fragmented_size.get(),
        };
        if offer.sends > self.settings.receive_bytes {
            return Err(Violation::LargeSends(offer.sends));
        }
        self.agree(&offer)?;
        self.agreed.read_write_bytes = self.agreed.read_write_bytes.min(response.max_read_write_size.get());
        self.credits.granted(response.credits_granted.get());
        self.establish(now);
        Ok(())
    }

    /// What both kinds of negotiation have in common.
    fn agree(&mut self, offer: &Offer) -> Result<(), Violation> {
        if offer.credits == 0 {
            return Err(Violation::NoCreditsRequested);
        }
        if offer.receives < MIN_RECEIVE_BYTES {
            return Err(Violation::SmallReceives(offer.receives));
        }
        if offer.messages < MIN_FRAGMENTED_BYTES {
            return Err(Violation::SmallMessages(offer.messages));
        }
        self.credits.request(offer.credits);
        self.agreed.receive_bytes = self.settings.receive_bytes.min(offer.sends).max(MIN_RECEIVE_BYTES);
        self.agreed.send_bytes = self.settings.send_bytes.min(offer.receives);
        self.agreed.fragmented_bytes = offer.messages;
        Ok(())
    }

    fn establish(&mut self, now: Instant) {
        self.state = State::Established;
        self.negotiation_due = None;
        self.keepalive = Some(Keepalive::new(self.settings.keepalive, self.settings.keepalive_answer, now));
    }

    /// [MS-SMBD] 3.1.5.8.
    fn on_transfer(
        &mut self,
        message: &[u8],
        invalidated: Option<u32>,
        now: Instant,
    ) -> Result<Part, Violation> {
        let (header, _) = DataTransfer::ref_from_prefix(message).map_err(|_| Violation::Short)?;
        let length = header.data_length.get() as usize;
        if !self.credits.take(length > 0) {
            return Err(Violation::Overdrawn);
        }
        if header.credits_requested.get() == 0 {
            return Err(Violation::NoCreditsRequested);
        }
        let data = data_of(header, message.len())?;
        if let Some(keepalive) = &mut self.keepalive {
            keepalive.heard(now);
        }
        self.credits.request(header.credits_requested.get());
        self.credits.granted(header.credits_granted.get());
        // The text would have the answer ask for an answer itself, and so on without end.
        self.immediate |= header.flags.get() & RESPONSE_REQUESTED != 0;
        self.invalidated = invalidated.or(self.invalidated);
        if length == 0 {
            // Linux grants credits by an empty message between two fragments, which the text takes for their end.
            return match header.remaining_data_length.get() {
                0 => Ok(Part::default()),
                _ => Err(Violation::Fragments),
            };
        }
        let place = self.reassembly.add(header, self.settings.fragmented_bytes)?;
        let invalidated = if place.ends { self.invalidated.take() } else { None };
        Ok(Part { data, begins: place.begins, ends: place.ends, invalidated })
    }

    /// When `on_time` has to be called.
    pub fn due(&self) -> Option<Instant> {
        match self.state {
            State::Ended => None,
            _ => self.negotiation_due.or(self.keepalive.as_ref().map(Keepalive::due)),
        }
    }

    /// The time is `now`. Errors end the connection ([MS-SMBD] 3.1.6).
    pub fn on_time(&mut self, now: Instant) -> Result<(), Violation> {
        let violation = if self.state == State::Ended {
            return Ok(());
        } else if self.negotiation_due.is_some_and(|due| due <= now) {
            Violation::NegotiationTime
        } else if self.keepalive.as_mut().is_some_and(|keepalive| !keepalive.on_time(now)) {
            Violation::Silent
        } else {
            return Ok(());
        };
        self.state = State::Ended;
        Err(violation)
    }
}

/// Where the data of a message of `bytes` stand.
fn data_of(header: &DataTransfer, bytes: usize) -> Result<Range<usize>, Violation> {
    let (offset, length) = (header.data_offset.get(), header.data_length.get());
    if offset % 8 != 0 || length > 0 && (offset as usize) < size_of::<DataTransfer>() {
        return Err(Violation::DataOffset(offset));
    }
    let end = u64::from(offset) + u64::from(length);
    if end > bytes as u64 {
        return Err(Violation::Bounds);
    }
    if length == 0 {
        return Ok(0..0);
    }
    Ok(offset as usize..end as usize)
}
