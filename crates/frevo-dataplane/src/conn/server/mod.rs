//! The server's side of a connection: message IDs and the credits for them, what clients may leave unread, and the fast
//! path, which answers for attached opens.

mod answer;
mod fetch;
mod placing;
mod remote;
mod write;

use answer::{protection, Context, Done, Request};
use remote::{make_plain, shorten_read, Remotes};
use write::flush_failed;

use super::arriving::Shown;
use super::common::Common;
use super::compound::Element;
use super::input::{Up, Verdict};
use super::submit::Leave;
use super::{violation, Host};
use crate::conn::rdma::may;
use crate::crypto::{AnswerNonces, DataOnce, Owner, SignOnce};
use crate::event::Reason;
use crate::file_job::{FileJob, Purpose, Target, Work};
use crate::framing::check_session_request;
use crate::limits::Limits;
use crate::stats::add;
use crate::window::Window;
use crate::wire::{command, flags, Body, Header, ReadRequest, STATUS_PENDING};

/// Answers that a connection may leave unread before log-on.
const PREAUTH_OUTPUT_BYTES: usize = 16 * 1024;
/// What the answer to most requests takes.
const SMALL_ANSWER_BYTES: usize = 1024;

/// What only a server has of a connection.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) window: Window,
    /// What may still be signed.
    pub(super) nonces: AnswerNonces,
    /// Bytes that workers read or write: of answers, and of requests that are held for so long.
    deferred_bytes: usize,
    /// Bytes that the requests paid for which the control plane has not answered yet: bounds its answers, too.
    pub(super) expected_bytes: usize,
    /// What the answers may be that the control plane still owes, also of requests that it has said to be pending:
    /// it counts as unread from the moment that a request is let in.
    promised_bytes: usize,
    /// The requests whose data RDMA carries.
    remotes: Remotes,
}

/// What the requests of a message ask for together.
#[derive(Default)]
struct Asked {
    /// Bytes that they have paid for, and those that their answers may have.
    paid: usize,
    promised: usize,
    /// The request that stands alone, and the right to sign its answer.
    alone: Option<Header>,
    right: Option<SignOnce>,
    /// Of the READs in a compound: the rights to sign data that RDMA carries.
    for_data: Vec<(u64, DataOnce)>,
}

impl Asked {
    /// The right to sign the data of the READ with that message ID, if it was not taken before.
    fn right_for_data(&mut self, message_id: u64) -> Option<DataOnce> {
        if self.alone.is_some() {
            return self.right.as_mut()?.for_data();
        }
        let index = self.for_data.iter().position(|(id, _)| *id == message_id)?;
        Some(self.for_data.swap_remove(index).1)
    }
}

impl Server {
    pub(super) fn new(max_credits: u32) -> Server {
        Server {
            window: Window::new(max_credits),
            nonces: AnswerNonces::new(),
            deferred_bytes: 0,
            expected_bytes: 0,
            promised_bytes: 0,
            remotes: Remotes::default(),
        }
    }

    /// The owner that a signing key must have.
    pub(super) fn owner(&self) -> Owner {
        self.nonces.owner()
    }

    /// What will have to be sent, beside what waits already.
    pub(super) fn due_bytes(&self) -> usize {
        self.deferred_bytes + self.promised_bytes
    }

    /// True while the client has so much to come that no more of its requests are read.
    ///
    /// Before log-on a connection has a little for itself, whoever else reads nothing: nobody can keep others from
    /// logging on. Afterwards its user has a share of the budget.
    pub(super) fn is_full(&self, common: &Common, limits: &Limits) -> bool {
        let answers_suffice = match common.settings.authenticated {
            // What was let in comes to its end: that makes room.
            true => !common.let_in && common.unread.is_over(),
            false => common.queued() >= PREAUTH_OUTPUT_BYTES,
        };
        answers_suffice
            || common.queued() + self.deferred_bytes >= limits.output_high_water
            || self.expected_bytes >= limits.max_bytes_in_flight
    }

    /// What the answer to a request may be: nearly all are small, whatever was paid.
    fn answer_bytes(&self, common: &Common, header: &Header) -> usize {
        match header.command.get() {
            command::CANCEL => 0,
            command::READ | command::IOCTL | command::QUERY_DIRECTORY | command::QUERY_INFO => {
                common.paid_bytes(header.credit_charge.get())
            }
            _ => SMALL_ANSWER_BYTES,
        }
    }

    /// [RFC 1002] 4.3.2: answers with 0x82, or with 0x83 and ends the connection.
    pub(super) fn session_request(&self, common: &mut Common, names: &[u8], host: &mut Host) {
        match check_session_request(names) {
            Ok(()) => common.output.push_small(&[0x82, 0, 0, 0], &mut host.pool),
            Err(code) => {
                common.output.push_small(&[0x83, 0, 0, 1, code], &mut host.pool);
                common.close_after_output();
            }
        }
    }

    /// An SMB1 NEGOTIATE may open the connection; it takes the message id 0 ([MS-SMB2] 3.3.5.3).
    pub(super) fn smb1(&mut self) -> Result<(), Reason> {
        let Ok(first) = self.window.consume(0, 1) else {
            return violation("SMB1 message after the first");
        };
        let right = self.nonces.right(first);
        self.nonces.keep(right);
        Ok(())
    }

    /// Lets in the requests of a message, and answers one that stands alone if it can. Of a WRITE that stands alone the rest
    /// may be elsewhere.
    pub(super) fn packet(
        &mut self,
        common: &mut Common,
        message: &mut [u8],
        shown: Shown,
        encrypted: Option<u64>,
        host: &mut Host,
    ) -> Result<Verdict, Reason> {
        let mut asked = Asked::default();
        let (max, most) = (host.limits.max_compound, host.limits.max_bytes_in_flight);
        let found = common.walk(message, encrypted.is_some(), max, |element| {
            let header = &element.header;
            check_session(element, encrypted)?;
            let mut right = self.take_message_id(common, header)?;
            // Of what stands alone and may be answered here it need not be kept before.
            if element.is_alone() {
                (asked.alone, asked.right) = (Some(*header), right);
            } else if let Some(mut right) = right.take() {
                if header.command == command::READ && common.may(may::SIGNING) {
                    let id = header.message_id.get();
                    asked.for_data.extend(right.for_data().map(|for_data| (id, for_data)));
                }
                self.nonces.keep(right);
            }
            if !header.is_cancel() {
                asked.paid += common.paid_bytes(header.credit_charge.get());
            }
            asked.promised += self.answer_bytes(common, header);
            if element.index > 0 && asked.promised > most {
                return violation("compound asks for more than one message holds");
            }
            Ok(())
        })?;
        if found.bad_signatures != 0 {
            add(&host.stats.bad_signatures, 1);
        } else if let Some(header) = asked.alone.filter(|_| found.unverified == 0) {
            if header.command == command::READ {
                shorten_read(common, message);
            }
            let request = Request { header, message, shown, encrypted };
            let context = &mut Context { common, request: &request, right: &mut asked.right, host };
            if let Some(done) = self.answer(context) {
                return done;
            }
        }
        let proven = found.bad_signatures == 0 && found.unverified == 0;
        if proven && self.without_channels(common, message, encrypted, &mut asked, host) {
            return Ok(Verdict::Answered);
        }
        if let Some(right) = asked.right {
            self.nonces.keep(right);
        }
        self.expected_bytes += asked.paid;
        self.promised_bytes += asked.promised;
        Ok(Verdict::Up(Up::new(encrypted, &found)))
    }

    /// [MS-SMB2] 3.3.5.2.3. CANCEL has the id of the request that it is about. Gives the right to sign one answer.
    fn take_message_id(&mut self, common: &Common, header: &Header) -> Result<Option<SignOnce>, Reason> {
        if header.is_cancel() {
            return Ok(None);
        }
        let (id, charge) = (header.message_id.get(), common.charge(header.credit_charge.get()));
        match self.window.consume(id, charge) {
            Ok(first) => Ok(Some(self.nonces.right(first))),
            Err(refusal) => Err(Reason::Owned(format!("message id {id} with charge {charge}: {refusal:?}"))),
        }
    }

    /// Queues the answer to what a worker or the ring has done. If that was nothing, hands the request up: so nothing is done
    /// twice.
    pub(super) fn finish_job(
        &mut self,
        common: &mut Common,
        job: FileJob,
        host: &mut Host,
    ) -> Result<(), Reason> {
        self.deferred_bytes = self.deferred_bytes.saturating_sub(job.length());
        let Some(header) = Header::parse(job.message()).filter(|_| !common.closing) else { return Ok(()) };
        let start = job.start();
        let FileJob { work, file: Target::Open(running), packet, purpose, outcome, .. } = job else {
            return Ok(());
        };
        let Purpose::Answer { encrypted, right } = purpose else { return Ok(()) };
        let reads = matches!(work, Work::Read { .. } | Work::ReadTo { .. } | Work::Splice { .. });
        let minimum = ReadRequest::of(&packet[start..]).filter(|_| reads);
        let minimum = minimum.map_or(0, |read| read.minimum_count.get() as usize);
        // The share was asked before.
        let protection = protection(common, &header, encrypted, false);
        if let (Work::Flush, Some(status)) = (&work, outcome.and_then(flush_failed)) {
            return self.refuse_flush(common, &header, status, protection, right, host);
        }
        let count = outcome.and_then(Result::ok).filter(|count| *count >= minimum);
        let result = match (count, protection) {
            (Some(count), Some(protection)) => {
                let done = Done { header, work, running, protection, right };
                match reads {
                    true => self.finish_read(common, done, count, host),
                    false => self.finish_write(common, done, count, host),
                }
            }
            // It is written, and without the session's keys nobody can be told.
            (Some(_), None) if !reads => Ok(()),
            _ => {
                let packet = work.whole(packet).map_err(|error| Reason::Owned(error.to_string()))?;
                self.report_request(common, (packet, start), encrypted, right, host);
                return Ok(());
            }
        };
        host.pool.put(packet);
        result
    }

    /// Hands up a request that a worker could not answer, with the right to sign its answer. It starts at `start` of the
    /// buffer.
    fn report_request(
        &mut self,
        common: &Common,
        (mut buffer, start): (Vec<u8>, usize),
        encrypted: Option<u64>,
        right: Option<SignOnce>,
        host: &mut Host,
    ) {
        if let Some(right) = right {
            self.nonces.keep(right);
        }
        if let Some(header) = Header::parse(&buffer[start..]) {
            self.expected_bytes += common.paid_bytes(header.credit_charge.get());
            self.promised_bytes += self.answer_bytes(common, &header);
            if header.command == command::READ && self.remotes.owed.contains_key(&header.message_id.get()) {
                make_plain(&mut buffer[start..]);
            }
        }
        common.report(buffer, start, Up::new(encrypted, &Default::default()), host);
    }

    /// Grants the credits of an answer of the control plane.
    ///
    /// An interim response is not signed: the answer after it will be, under the same id ([MS-SMB2] 3.3.4.2).
    pub(super) fn leave(&mut self, common: &Common, header: &Header, element: &mut [u8]) -> Leave {
        Header::of_mut(element).credits = self.credits_for(common, header).into();
        match header.is_interim() {
            true => Leave::Unsigned,
            false => Leave::SignedWith(self.nonces.answer(header.message_id.get())),
        }
    }

    /// [MS-SMB2] 3.3.1.2: what is asked within the limits; a client is never left without any.
    fn credits_for(&mut self, common: &Common, header: &Header) -> u16 {
        if header.message_id == u64::MAX {
            return 0; // a break notification answers nothing
        }
        // The credits of an asynchronous request came with its interim response.
        let final_async = header.has(flags::ASYNC_COMMAND) && header.status != STATUS_PENDING;
        if !final_async {
            let paid = common.paid_bytes(header.credit_charge.get());
            self.expected_bytes = self.expected_bytes.saturating_sub(paid);
        }
        if header.status != STATUS_PENDING {
            self.promised_bytes = self.promised_bytes.saturating_sub(self.answer_bytes(common, header));
        }
        self.window.grant(header.credits.get(), !final_async)
    }
}

/// What is encrypted with a session's keys is of this session; a related request is of the one before it, whatever its own
/// SessionId says ([MS-SMB2] 3.3.5.2.1.1).
fn check_session(element: &Element, encrypted: Option<u64>) -> Result<(), Reason> {
    let header = &element.header;
    let names_it = element.index == 0 || !header.has(flags::RELATED_OPERATIONS);
    match encrypted {
        Some(session_id) if names_it && header.session_id != session_id => {
            violation("request encrypted with the keys of another session")
        }
        _ => Ok(()),
    }
}
