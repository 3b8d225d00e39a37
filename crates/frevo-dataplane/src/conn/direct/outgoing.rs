//! The way out: messages that are queued, taken apart as far as the peer's credits go.

use bytes::Bytes;
use frevo_rdma::provider::Piece;
use frevo_rdma::smbd::DATA_OFFSET;
use frevo_rdma::stream::Leaving;

use super::Direct;
use crate::buffer::{Output, Pool, SMALL_BYTES};
use crate::conn::Host;
use crate::event::Reason;
use crate::wire::FRAME_BYTES;

/// While so much is ready, no more is taken.
const READY_BYTES: usize = 1 << 20;
/// Messages up to this size are copied: that costs less than to keep their buffers.
const COPIED_BYTES: usize = 16 * 1024;
/// Pieces of fewer bytes are copied in any case.
const SHARED_BYTES: usize = 4096;

impl Direct {
    /// Makes ready what may be sent now, once everything before has left. `output`: framed messages, as for TCP.
    pub(in crate::conn) fn load(&mut self, output: &mut Output, host: &mut Host) -> Result<(), Reason> {
        if !self.wire.is_empty() || self.wire.is_busy() || self.ended {
            return Ok(());
        }
        self.post_due();
        self.stream.lend(host.pool.take(SMALL_BYTES));
        let outcome = self.send(output, host);
        self.make_ready(host);
        outcome
    }

    /// Posts the receives that are due, unless too much is held: then those alone without which nothing can be sent.
    fn post_due(&mut self) {
        if !self.is_congested() || self.machine.credits().0 <= 1 {
            self.post();
        }
    }

    /// What is said last: a refusal, or why it ends. Nothing else is sent afterwards.
    pub(in crate::conn) fn say_goodbye(&mut self, host: &mut Host) {
        if std::mem::replace(&mut self.ended, true) || self.wire.is_busy() {
            return;
        }
        if self.machine.agreed().is_none() {
            if let Some(refusal) = self.machine.next_send(host.now) {
                self.stream.send(refusal.head(), &mut std::iter::empty(), None);
            }
        }
        self.make_ready(host);
    }

    /// Moves what the stream wants to send to where the carrier takes it.
    fn make_ready(&mut self, host: &mut Host) {
        self.stream.flush(host.now);
        self.count(&host.stats);
        while let Some(leaving) = self.stream.take() {
            match leaving {
                Leaving::Small(buffer) => self.wire.push(buffer, 0),
                Leaving::Shared(bytes) => self.wire.push_shared(bytes),
            }
        }
        if let Some(spare) = self.stream.reclaim() {
            host.pool.put(spare);
        }
    }

    /// Moves messages into the stream as far as the peer's credits go.
    fn send(&mut self, output: &mut Output, host: &mut Host) -> Result<(), Reason> {
        while self.stream.leaving() < READY_BYTES {
            if self.left == 0 {
                self.begin_message(output, host)?;
            }
            let largest = self.machine.agreed().map_or(0, |agreed| agreed.send_bytes as usize - DATA_OFFSET);
            // What somebody else still brings comes later.
            if !output.has_in_memory(self.left.min(largest)) {
                break;
            }
            let mut message = self.machine.next_send(host.now);
            if message.is_none() && self.left > 0 {
                self.post_due(); // the last credit may be used once there is something to grant
                message = self.machine.next_send(host.now);
            }
            let Some(message) = message else { break };
            let (head, bytes) = (message.head(), message.data);
            if self.keeps {
                let pieces = take_pieces(output, bytes, &mut host.pool);
                self.stream.send(head, &mut pieces.into_iter().map(Piece::Kept), message.invalidate);
            } else {
                self.stream.send(head, &mut output.front_bytes(bytes).map(Piece::Lent), message.invalidate);
                output.advance(bytes, &mut host.pool);
            }
            self.left -= bytes;
        }
        Ok(())
    }

    /// The next message of the output is to be sent.
    fn begin_message(&mut self, output: &mut Output, host: &mut Host) -> Result<(), Reason> {
        if self.machine.agreed().is_none() || !output.has_in_memory(FRAME_BYTES) || output.is_empty() {
            return Ok(());
        }
        let mut header = [0; FRAME_BYTES];
        let bytes = output.front_bytes(FRAME_BYTES).flatten();
        header.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        let length = u32::from_be_bytes(header) as usize;
        output.advance(FRAME_BYTES, &mut host.pool);
        let end = output.sent() + length as u64;
        let mut token = None;
        if self.invalidations.front().is_some_and(|(of, _)| *of == end) {
            token = self.invalidations.pop_front().map(|(_, token)| token);
        }
        self.machine.queue(length, token).map_err(|violation| Reason::Owned(violation.to_string()))?;
        self.left = length;
        self.keeps = length > COPIED_BYTES;
        Ok(())
    }
}

/// Takes `bytes` from the front of the output, as it is where that saves something.
fn take_pieces(output: &mut Output, bytes: usize, pool: &mut Pool) -> Vec<Bytes> {
    let (mut pieces, mut missing) = (Vec::new(), bytes);
    while missing > 0 {
        let piece = match output.share_front(SHARED_BYTES.min(missing)) {
            Some(piece) => piece.slice(..missing.min(piece.len())),
            None => {
                let Some(front) = output.front_bytes(missing).next() else { break };
                Bytes::copy_from_slice(front)
            }
        };
        missing -= piece.len();
        output.advance(piece.len(), pool);
        pieces.push(piece);
    }
    pieces
}
