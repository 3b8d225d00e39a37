//! The client's side of a connection: the credits that it was granted, and the pumps.

mod body;
mod landing;
mod outlet;
mod pumping;
mod remote;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use pumping::{Arrival, Pumps};

use super::common::Common;
use super::input::{Up, Verdict};
use super::submit::Leave;
use super::{violation, Host};
use crate::credits::Credits;
use crate::crypto::{Owner, RequestNonces, SignOnce};
use crate::event::Reason;
use crate::stats::add;
use crate::window::Window;
use crate::wire::Header;

/// What only a client has of a connection.
#[derive(Debug)]
pub(super) struct Client {
    /// Which message IDs were sent.
    window: Window,
    /// What may still be signed.
    nonces: RequestNonces,
    /// What responses grant goes here.
    pub(super) credits: Option<Arc<Credits>>,
    /// The request loops that run on this connection.
    pumps: Option<Box<Pumps>>,
}

impl Client {
    pub(super) fn new(max_credits: u32) -> Client {
        Client { window: Window::new(max_credits), nonces: RequestNonces::new(), credits: None, pumps: None }
    }

    /// The owner that a signing key must have.
    pub(super) fn owner(&self) -> Owner {
        self.nonces.owner()
    }

    /// Hands the responses of a message to the pumps that have asked.
    pub(super) fn packet(
        &mut self,
        common: &mut Common,
        message: &mut [u8],
        encrypted: Option<u64>,
        host: &mut Host,
    ) -> Result<Verdict, Reason> {
        let arrival = Arrival { encrypted, can_defer: host.can_defer, now: host.now };
        let (max, mut pumped) = (host.limits.max_compound, 0);
        // Beside the walk, which has the rest of it.
        let mut direct = common.direct.take();
        let found = common.walk(message, encrypted.is_some(), max, |element| {
            let header = &element.header;
            self.granted(common, header.credits.get(), host);
            if self.is_pumped(header.message_id.get()) {
                self.pumped(common, direct.as_deref_mut(), element, &arrival)?;
                pumped += 1;
            } else if !header.is_interim() {
                self.nonces.answered(header.message_id.get());
            }
            Ok(())
        });
        common.direct = direct;
        let found = found?;
        if let Some(pumps) = &mut self.pumps {
            host.jobs.append(&mut pumps.ready);
        }
        self.feed_pumps(common, host);
        if pumped == found.count {
            return Ok(Verdict::Answered);
        }
        if pumped > 0 {
            return violation("one message with responses to requests that were not sent together");
        }
        if found.bad_signatures != 0 {
            add(&host.stats.bad_signatures, 1);
        }
        Ok(Verdict::Up(Up::new(encrypted, &found)))
    }

    /// A CANCEL is sent once, and not for what has been answered meanwhile.
    pub(super) fn can_send(&self, message: &[u8]) -> bool {
        let header = Header::parse(message).filter(Header::is_cancel);
        header.is_none_or(|header| self.nonces.can_cancel(header.message_id.get()))
    }

    /// Takes a request of the control plane into account.
    pub(super) fn leave(&mut self, header: &Header) -> Leave {
        Leave::SignedWith(self.right(header))
    }

    /// The right to sign a request; None when it was used, or there never was one.
    fn right(&mut self, header: &Header) -> Option<SignOnce> {
        let id = header.message_id.get();
        if header.is_cancel() {
            return self.nonces.cancel(id);
        }
        let first = self.window.send(id, header.credit_charge.get().max(1)).ok()?;
        let right = self.nonces.right(first);
        self.nonces.allow_cancel(&right);
        Some(right)
    }
}
