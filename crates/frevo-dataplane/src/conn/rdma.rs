//! What both sides of a connection use of the RDMA provider beneath it, if there is one.

use frevo_rdma::provider::Memory;

use super::common::Common;
use super::{Connection, Host, Side};
use crate::buffer::give_back;
use crate::crypto::{SealKind, SessionKeys};
use crate::event::Reason;

/// What READ and WRITE may leave to RDMA on a connection, as a set.
pub mod may {
    /// SMB2_CHANNEL_RDMA_V1: the 3.x dialects.
    pub const CHANNEL: u8 = 1;
    /// SMB2_CHANNEL_RDMA_V1_INVALIDATE: 3.0.2 and later.
    pub const INVALIDATE: u8 = 2;
    /// SMB2_RDMA_TRANSFORM_ENCRYPTION was negotiated.
    pub const ENCRYPTION: u8 = 4;
    /// SMB2_RDMA_TRANSFORM_SIGNING was negotiated.
    pub const SIGNING: u8 = 8;
}

impl Common {
    /// Whether RDMA carries data on this connection in the ways of this set.
    pub(super) fn may(&self, ways: u8) -> bool {
        self.settings.rdma & ways == ways
    }

    /// The largest READ whose data may come with its response.
    pub(super) fn max_inline_read(&self) -> u32 {
        let max = self.settings.max_read;
        self.direct.as_ref().map_or(max, |direct| max.min(direct.inline_bytes(true)))
    }

    /// With the message that was queued last, a token of the peer ends.
    pub(super) fn invalidate_with_last(&mut self, token: u32) {
        let end = self.output.end();
        if let Some(direct) = &mut self.direct {
            direct.invalidate_with(end, token);
        }
    }

    /// Memory for data that RDMA carries: what the device knows already, or a buffer of the pool.
    pub(super) fn remote_memory(&mut self, bytes: usize, host: &mut Host) -> Memory {
        let known = self.direct.as_mut().and_then(|direct| direct.memory(bytes));
        known.unwrap_or_else(|| Memory::new(host.pool.take(bytes), bytes, give_back))
    }
}

impl Connection {
    /// The data of an RDMA READ are here.
    pub(super) fn fetched(&mut self, work: u64, memory: Memory, host: &mut Host) -> Result<(), Reason> {
        match &mut self.side {
            Side::Server(server) => server.fetched(&mut self.common, work, memory, host),
            Side::Client(_) => Ok(()),
        }
    }
}

/// How data beside a message are protected, as the message is: None when nothing does it, and it must not leave so.
///
/// What was asked for under encryption never leaves without it, and what has to be signed not without a signature
/// ([MS-SMB2] 3.2.4.6: a client asks for nothing else).
pub(super) fn protection_of_data(
    common: &Common,
    keys: &SessionKeys,
    encrypted: bool,
    signed: bool,
) -> Option<Option<SealKind>> {
    if encrypted || keys.encryption_required {
        return common.may(may::ENCRYPTION).then_some(Some(SealKind::Encrypted));
    }
    if signed && common.may(may::SIGNING) {
        return Some(Some(SealKind::Signed));
    }
    (!keys.signing_required).then_some(None)
}
