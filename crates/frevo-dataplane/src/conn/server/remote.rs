//! READ and WRITE whose data RDMA carries ([MS-SMB2] 3.3.5.12, 3.3.5.13): what is owed to them, and the form in which the control plane
//! sees them, which knows nothing of RDMA. `fetch` gets the data of a WRITE, `placing` brings those of a READ.
//!
//! A request whose descriptors are wrong stays as it is: the control plane refuses whatever has a channel, in its turn among the other
//! checks.

use std::collections::HashMap;

use frevo_rdma::provider::Remote;
use zerocopy::FromBytes;

use super::fetch::Fetch;
use super::Server;
use crate::conn::common::Common;
use crate::conn::rdma::{may, protection_of_data};
use crate::crypto::{DataOnce, SealKind};
use crate::window::Ids;
use crate::wire::{
    channel, command, element_end, flags, has_channel, Body, ChannelInfo, Header, ReadRequest, WriteRequest,
    HEADER_BYTES,
};

/// What the answer to a request has to bring beside itself.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// Where the data of a READ are to go.
    pub(super) places: Vec<Remote>,
    /// How they are to be protected.
    pub(super) seal: Option<SealKind>,
    /// The right to sign them.
    pub(super) right: Option<DataOnce>,
    /// The token of the peer that ends with the answer.
    pub(super) invalidate: Option<u32>,
}

/// The requests of a connection whose data RDMA carries.
#[derive(Debug, Default)]
pub(super) struct Remotes {
    /// By message ID: those that are not answered.
    pub(super) owed: HashMap<u64, Owed, Ids>,
    /// WRITEs whose data are on their way, by the number of their first RDMA READ.
    pub(super) fetches: HashMap<u64, Fetch, Ids>,
    /// Messages that were fetched for.
    pub(super) fetched: u64,
}

/// A READ or WRITE in a message whose channel information is right.
pub(super) struct RemoteElement {
    /// Where it is in the message.
    pub(super) range: std::ops::Range<usize>,
    pub(super) header: Header,
    /// Of the request before it, if it is related to that.
    pub(super) session_id: u64,
    pub(super) info: ChannelInfo,
    /// How the data of a READ are to be protected.
    pub(super) seal: Option<SealKind>,
}

/// Those of a message.
pub(super) fn remote_elements(common: &Common, message: &[u8], encrypted: Option<u64>) -> Vec<RemoteElement> {
    let (mut found, mut start, mut session_id) = (Vec::new(), 0, 0);
    while let Some(header) = Header::parse(&message[start..]) {
        let Some(end) = element_end(message, start, header.next_command.get()) else { break };
        if start == 0 || !header.has(flags::RELATED_OPERATIONS) {
            session_id = header.session_id.get();
        }
        let element = &message[start..end];
        if let Some((info, seal)) = accepted(common, &header, session_id, element, encrypted) {
            found.push(RemoteElement { range: start..end, header, session_id, info, seal });
        }
        if header.next_command == 0 {
            break;
        }
        start = end;
    }
    found
}

/// What a READ or WRITE says about RDMA, and how the data of a READ are to be protected. None: it says nothing, or something wrong.
pub(super) fn accepted(
    common: &Common,
    header: &Header,
    session_id: u64,
    message: &[u8],
    encrypted: Option<u64>,
) -> Option<(ChannelInfo, Option<SealKind>)> {
    let command = header.command.get();
    if !has_channel(message, command) || !common.may(may::CHANNEL) {
        return None;
    }
    let (signed, encrypted) = (header.has(flags::SIGNED), encrypted.is_some());
    let needed = protection_of_data(common, common.keys(session_id)?, encrypted, signed)?;
    let (info, max) = match command {
        command::READ => (ChannelInfo::of_read(ReadRequest::of(message)?, message), common.settings.max_read),
        _ => (ChannelInfo::of_write(WriteRequest::of(message)?, message), common.settings.max_write),
    };
    let info = info.ok().filter(|info| info.bytes <= max)?;
    if info.invalidate.is_some() && !common.may(may::INVALIDATE) {
        return None;
    }
    if command == command::READ {
        return Some((info, needed));
    }
    let (kind, keys) = (info.seal.as_ref().map(|seal| seal.kind), common.keys(session_id)?);
    let fits = match kind {
        // A client that may sign its data need not, unless the session demands it.
        None => needed.is_none() || needed == Some(SealKind::Signed) && !keys.signing_required,
        kind => needed == kind,
    };
    fits.then_some((info, None))
}

/// Makes a READ in a message one that has no channel.
pub(super) fn make_plain(element: &mut [u8]) {
    if let Ok((read, _)) = ReadRequest::mut_from_prefix(&mut element[HEADER_BYTES..]) {
        read.channel = channel::NONE.into();
        read.remaining_bytes = 0.into();
        read.channel_info_offset = 0.into();
        read.channel_info_length = 0.into();
    }
}

/// A READ that wants more data with its response than a message to this peer holds ([MS-SMBD] 3.1.4.2) gets as much as fits, and
/// asks for the rest. Linux wants as much as by RDMA also where it encrypts and RDMA does not.
pub(super) fn shorten_read(common: &Common, message: &mut [u8]) {
    let (Some(direct), Some(body)) = (&common.direct, message.get_mut(HEADER_BYTES..)) else { return };
    let Ok((read, _)) = ReadRequest::mut_from_prefix(body) else { return };
    let most = direct.inline_bytes(true);
    if read.channel == channel::NONE && (most..=common.settings.max_read).contains(&read.length.get()) {
        read.length = most.into();
        read.minimum_count = read.minimum_count.get().min(most).into();
    }
}

impl Server {
    /// Keeps in mind what is owed to a request, unless that is done already.
    pub(super) fn owe(&mut self, message_id: u64, owed: impl FnOnce() -> Owed) {
        self.remotes.owed.entry(message_id).or_insert_with(owed);
    }

    /// The response to this request was queued as the last message: with it, the token ends that its sender wants to end.
    pub(super) fn settle(&mut self, common: &mut Common, message_id: u64) {
        if self.remotes.owed.is_empty() {
            return;
        }
        let owed = self.remotes.owed.remove(&message_id);
        if let Some(token) = owed.and_then(|owed| owed.invalidate) {
            common.invalidate_with_last(token);
        }
    }
}
