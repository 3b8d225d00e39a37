//! What SMB Direct needs of what carries it: the contract of RDMA providers.
//!
//! A provider is one end of one reliable connection, as RDMA verbs know it: it sends messages into receives that the peer has
//! posted, and moves data between registered memory of both sides. There are two kinds. One frames all of that into a byte
//! stream (`stream`): bytes go in and out by hand, and the carrier of the stream is somebody else's. The other has a device,
//! and a descriptor to wait for (verbs).
//!
//! The rules, for whoever implements it and whoever uses it:
//!
//! - *Nothing waits.* Every call returns at once; what it began ends later, and [`Provider::poll`] says so. Work posted before the
//!   connection is established, or beyond what the device takes at a time, is kept and begun when that is possible.
//! - *Order.* Messages, RDMA WRITEs and RDMA READs begin in the order in which they were posted. So a WRITE that is posted before a
//!   message has placed its data when the peer receives the message. The data of a READ are here only when
//!   [`Completion::Read`] says so; messages posted after it may overtake it.
//! - *Memory* that is given to a provider ([`Memory`]) belongs to it until it gives it back, or drops it: the source of a WRITE when
//!   the device has read it, the sink of a READ with its completion, registered memory with [`Provider::release`]. It is
//!   never touched afterwards, whatever the peer does. When the connection ends, or the provider is dropped, it first sees to it
//!   that the device is done (verbs: the queue pair is destroyed before any memory).
//! - *Data of messages* are small and were not registered: the provider copies them into memory of its own
//!   (verbs: slabs that it registered once), or keeps the pieces that are shared.
//! - *Large data* should be in memory that [`Provider::memory`] gives, which a device knows already. Other memory is
//!   registered for the time of its use.
//! - *Receives* are the provider's own memory, too. Who posts one has room for one message more; a message is read where it stands,
//!   before the next poll, and its receive is free then.
//! - *Tags and offsets* are what the peer gave ([MS-SMBD] 2.2.3.1), and hostile. What is wrong with them the peer finds out, and ends
//!   the connection. What the peer does wrong here, the provider finds out, and ends the connection: [`Ended`] from the
//!   next poll, for good. It sends the peer why (Terminate), where the protocol has that.

use std::fmt;
use std::os::fd::RawFd;

use bytes::Bytes;

pub use crate::memory::Memory;
pub use crate::regions::Access;
use crate::smbd::BufferDescriptor;

/// Registered memory, as the side that registered it tells the other one ([MS-SMBD] 2.2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// The steering tag: R_Key of InfiniBand, STag of iWARP.
    pub tag: u32,
    /// The first byte, as the registering side counts.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u32,
}

impl From<BufferDescriptor> for Remote {
    fn from(descriptor: BufferDescriptor) -> Remote {
        Remote {
            tag: descriptor.token.get(),
            offset: descriptor.offset.get(),
            bytes: descriptor.length.get(),
        }
    }
}

impl From<Remote> for BufferDescriptor {
    fn from(remote: Remote) -> BufferDescriptor {
        BufferDescriptor {
            offset: remote.offset.into(),
            token: remote.tag.into(),
            length: remote.bytes.into(),
        }
    }
}

/// A piece of the data of a message.
#[derive(Debug)]
pub enum Piece<'a> {
    /// To be copied before the call returns.
    Lent(&'a [u8]),
    /// May be kept as it is until it has left.
    Kept(Bytes),
}

impl AsRef<[u8]> for Piece<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Piece::Lent(bytes) => bytes,
            Piece::Kept(bytes) => bytes,
        }
    }
}

/// What is over.
#[derive(Debug)]
pub enum Completion<'a> {
    /// A message has come, into the receive that was posted first.
    Received {
        /// It may be changed in place (decrypted).
        message: &'a mut [u8],
        /// A tag of this side that the peer has invalidated with it: it opens nothing any more. The memory comes back by
        /// [`Provider::release`].
        invalidated: Option<u32>,
    },
    /// All data of a READ are here.
    Read {
        /// The number that [`Provider::read`] was given.
        work: u64,
        /// The sink, filled.
        memory: Memory,
    },
}

/// Why memory cannot be registered. The connection goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub String);

/// Why a connection has ended, in plain words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended(pub String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}
impl std::error::Error for Ended {}

/// One end of an RDMA connection. The rules stand at the top of this module.
pub trait Provider: fmt::Debug + Send {
    /// What it is called in configurations and messages: iwarp, emulated, verbs.
    fn name(&self) -> &'static str;

    /// Memory of `bytes` that this provider uses without registering it each time. None: any memory is as good.
    fn memory(&mut self, bytes: usize) -> Option<Memory>;

    /// Posts `count` more receives, each for a message of at most `bytes`, which is the same in all calls. At most 255 and a few
    /// are posted at a time.
    fn post_receives(&mut self, count: u32, bytes: usize);

    /// Sends a message: `head`, then `data` one after the other, together no longer than the peer's receives. `invalidate`:
    /// a tag of the peer that opens nothing any more once it has the message. Providers without that ignore it.
    fn send(&mut self, head: &[u8], data: &mut dyn Iterator<Item = Piece<'_>>, invalidate: Option<u32>);

    /// RDMA WRITE: puts `bytes` of `memory` from `start` on to where the peer says, which has room for at least as many: into
    /// the first of `targets` as much as it takes, then into the next. Nothing is reported; a message that is posted
    /// afterwards follows the data.
    fn write(&mut self, memory: Memory, start: usize, bytes: usize, targets: &[Remote]);

    /// RDMA READ: fills `memory` from `start` on with all bytes of `sources`, one after the other, for which there has to be
    /// room. [`Completion::Read`] with `work` follows, unless the connection ends before. More reads than both sides
    /// agreed upon at a time wait for their turn.
    fn read(&mut self, work: u64, memory: Memory, start: usize, sources: &[Remote]);

    /// Lets the peer read (`Access::READ`, all bytes must have a value) or write (`Access::WRITE`) memory; never both. What
    /// is told to the peer; the memory is the provider's until [`Provider::release`]. When it is refused, the memory comes back.
    fn register(&mut self, memory: Memory, access: Access) -> Result<Remote, (Refused, Memory)>;

    /// Ends what a tag of this side allows, if it still allows anything, and gives the memory back: the peer cannot touch it any more.
    /// None: there is no such tag, or what leaves still needs the memory, which is then dropped later.
    fn release(&mut self, tag: u32) -> Option<Memory>;

    /// Whether messages of the peer can invalidate tags of this side. False: the peer must not be told to, or the connection ends.
    fn can_be_invalidated(&self) -> bool {
        true
    }

    /// The next thing that is over, oldest first. None: nothing now; with a descriptor, it becomes readable when there is
    /// more. An error: the connection has ended; the same one from then on.
    fn poll(&mut self) -> Result<Option<Completion<'_>>, Ended>;

    /// What becomes readable when there is something to poll, until then the engine does not ask. None: bytes are given by hand.
    fn descriptor(&self) -> Option<RawFd>;

    /// Bytes of messages and WRITEs that were posted and have not left.
    fn held(&self) -> usize;

    /// How many of this side's registrations the peer may use now.
    fn registered(&self) -> usize;

    /// Bytes moved by RDMA READ and WRITE of either side so far: to the peer, from the peer.
    fn moved(&self) -> (u64, u64);

    /// Ends the connection in order: what was posted still leaves. Nothing may be posted afterwards.
    fn close(&mut self);
}
