//! The way in: what has come over RDMA, put together to messages.

use std::mem::{self, MaybeUninit};
use std::ops::Range;

use frevo_rdma::memory::Memory;
use frevo_rdma::provider::Completion;
use frevo_rdma::smbd::Part;

use super::Direct;
use crate::conn::{Connection, Host, Side};
use crate::event::Reason;
use crate::wire::{FRAME_BYTES, TRANSFORM_BYTES};

/// So many bytes of data are worth to be received where they belong.
const DIRECT_BYTES: usize = 16 * 1024;
/// Bytes of messages that a paused connection holds before its peer is slowed down.
const HELD_BYTES: usize = 1 << 20;
/// Bytes that it holds at most: only a peer that takes nothing and sends on gets so far.
const HELD_BYTES_MAX: usize = 16 << 20;

/// What has arrived for the layer above.
#[derive(Debug)]
pub(in crate::conn) enum Arrived {
    /// A message, there in the received bytes.
    Here(Range<usize>),
    /// A message behind room for its transport header.
    Message(Vec<u8>),
    /// The data of an RDMA READ.
    Read { work: u64, memory: Memory },
}

impl Direct {
    /// The next thing that has arrived with `chunk[*at..]`; None: all bytes were used. `limit`: bytes of the largest message.
    pub(super) fn next(
        &mut self,
        chunk: &mut [u8],
        at: &mut usize,
        limit: usize,
        host: &Host,
    ) -> Result<Option<Arrived>, Reason> {
        let chunk_start = chunk.as_ptr() as usize;
        let chunk_end = chunk_start + chunk.len();
        loop {
            let completion = self.stream.next(chunk, at, host.now);
            let completion = completion.map_err(|ended| Reason::Owned(ended.to_string()))?;
            let (message, invalidated) = match completion {
                None => return Ok(None),
                Some(Completion::Read { work, memory }) => return Ok(Some(Arrived::Read { work, memory })),
                Some(Completion::Received { message, invalidated }) => (message, invalidated),
            };
            let part = self.machine.received(message, invalidated, host.now);
            let Part { data, begins, ends, .. } =
                part.map_err(|violation| Reason::Owned(violation.to_string()))?;
            if data.is_empty() {
                continue;
            }
            if let Some(bytes) = begins.filter(|bytes| *bytes > limit + TRANSFORM_BYTES) {
                return Err(too_large(bytes, limit));
            }
            let start = message.as_ptr() as usize;
            if begins.is_some() && ends && (chunk_start..chunk_end).contains(&start) {
                let start = start - chunk_start;
                return Ok(Some(Arrived::Here(start + data.start..start + data.end)));
            }
            if let Some(bytes) = begins {
                self.expected = FRAME_BYTES + bytes;
                self.message.reserve_exact(self.expected);
                self.message.extend_from_slice(&[0; FRAME_BYTES]);
            }
            self.message.extend_from_slice(&message[data]);
            if ends {
                return Ok(Some(Arrived::Message(mem::take(&mut self.message))));
            }
        }
    }

    /// Keeps a whole message for later, unless those that are kept have more than `most` bytes then.
    fn hold(&mut self, message: Vec<u8>, most: usize) -> Result<(), Reason> {
        self.held_bytes += message.len();
        self.held.push_back(message);
        match self.held_bytes > most {
            true => Err(Reason::Borrowed("SMB Direct: the peer sends and does not read")),
            false => Ok(()),
        }
    }

    /// Whether the next bytes belong in memory that the peer fills.
    pub(in crate::conn) fn receives_in_place(&self) -> bool {
        self.stream.placed() >= DIRECT_BYTES
    }

    /// Whether no more receives are posted than the peer needs to grant credits.
    pub(super) fn is_congested(&self) -> bool {
        self.held_bytes >= HELD_BYTES
    }
}

fn too_large(bytes: usize, limit: usize) -> Reason {
    Reason::Owned(format!("message of {bytes} bytes is larger than the limit {limit}"))
}

impl Connection {
    /// Takes what has arrived at the device. An error ends the connection.
    pub(crate) fn poll_device(&mut self, host: &mut Host) -> Result<(), Reason> {
        self.feed_direct(&mut [], host)
    }

    /// Takes received bytes of an SMB Direct connection.
    pub(in crate::conn) fn feed_direct(&mut self, chunk: &mut [u8], host: &mut Host) -> Result<(), Reason> {
        let mut at = 0;
        loop {
            let limit = self.message_limit(host);
            let Some(direct) = &mut self.common.direct else { return Ok(()) };
            match direct.next(chunk, &mut at, limit, host)? {
                None => return Ok(()),
                Some(Arrived::Read { work, memory }) => self.fetched(work, memory, host)?,
                Some(Arrived::Here(range)) => {
                    if self.may_handle(host) {
                        self.common.expects_large = false;
                        self.common.frames += 1;
                        self.message_in(&mut chunk[range], host)?;
                    } else {
                        let message = [&[0; FRAME_BYTES], &chunk[range]].concat();
                        self.hold_or_drop(message, host)?;
                    }
                }
                Some(Arrived::Message(message)) => {
                    if self.may_handle(host) {
                        self.whole_message(message, host)?;
                    } else {
                        self.hold_or_drop(message, host)?;
                    }
                }
            }
        }
    }

    /// Whether a message that has come can be handled at once.
    fn may_handle(&self, host: &Host) -> bool {
        let waits = self.common.direct.as_ref().is_some_and(|direct| !direct.held.is_empty());
        !waits && !self.common.closing && !self.is_paused(&host.limits)
    }

    /// Of clients that nobody knows, it is no more than one message that may be kept.
    fn hold_or_drop(&mut self, message: Vec<u8>, host: &Host) -> Result<(), Reason> {
        let known = self.common.settings.authenticated || matches!(self.side, Side::Client(_));
        let most = if known { HELD_BYTES_MAX } else { host.limits.max_preauth_frame };
        match &mut self.common.direct {
            Some(direct) if !self.common.closing => direct.hold(message, most),
            _ => Ok(()),
        }
    }

    /// Goes on with messages that waited.
    pub(in crate::conn) fn resume_direct(&mut self, host: &mut Host) -> Result<(), Reason> {
        while !self.common.closing && !self.is_paused(&host.limits) {
            let Some(direct) = &mut self.common.direct else { break };
            let Some(message) = direct.held.pop_front() else { break };
            direct.held_bytes -= message.len();
            self.whole_message(message, host)?;
        }
        Ok(())
    }

    /// Where the next bytes belong, if that is not the connection's own buffer.
    pub(in crate::conn) fn direct_room(&mut self) -> Option<&mut [MaybeUninit<u8>]> {
        self.common.direct.as_mut()?.stream.room(DIRECT_BYTES)
    }

    /// Whether messages wait because the connection is paused.
    pub(crate) fn holds_messages(&self) -> bool {
        self.common.direct.as_ref().is_some_and(|direct| !direct.held.is_empty())
    }

    /// Counts bytes that were received there.
    ///
    /// # Safety
    /// They were, and nothing has happened to this connection since.
    pub(in crate::conn) unsafe fn direct_room_filled(&mut self, count: usize) {
        if let Some(direct) = &mut self.common.direct {
            // SAFETY: the caller says so.
            unsafe { direct.stream.filled(count) };
        }
    }
}
