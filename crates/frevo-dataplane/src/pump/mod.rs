//! Pumps: request loops of a client that run on a connection's thread, without the control plane for each operation.
//!
//! A pump keeps a number of requests in flight: each response triggers the next request. `task` decides what to request
//! and handles responses, `place` is the source or destination of the data, `conn/client/pumping.rs` builds the requests and
//! routes the responses. The control plane reads `Shared` at any time and gets one event when the pump ends.

mod measured;
mod pattern;
mod place;
mod task;

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use measured::{bucket_floor, bucket_of, Measured};
pub(crate) use place::write_all;
pub use place::{Memory, Place, Stored};
pub use task::Operation;
pub(crate) use task::{read_data, Pump};

use crate::wire::{command, CreateRequest};

/// A pump's number; never used twice in one data plane.
pub type PumpId = u64;

/// Pseudo-status: the data is not the pattern.
pub const WRONG_DATA: u32 = 0xE000_F001;
/// Pseudo-status: fewer bytes than requested.
pub const SHORT_READ: u32 = 0xE000_F002;

/// What a pump does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// READ.
    Read,
    /// WRITE.
    Write,
    /// ECHO.
    Echo,
    /// FLUSH.
    Flush,
    /// CREATE, then CLOSE of what it has opened.
    Open,
    /// READ and WRITE by turns, `read_percent` of them READs.
    Mixed,
}

impl Kind {
    /// Its name in Python.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Read => "read",
            Kind::Write => "write",
            Kind::Echo => "echo",
            Kind::Flush => "flush",
            Kind::Open => "open",
            Kind::Mixed => "mixed",
        }
    }

    /// The kind of that name.
    pub fn by_name(name: &str) -> Option<Kind> {
        let all = [Kind::Read, Kind::Write, Kind::Echo, Kind::Flush, Kind::Open, Kind::Mixed];
        all.into_iter().find(|kind| kind.name() == name)
    }

    /// The classes of operations, which are measured separately.
    pub fn classes(self) -> &'static [Class] {
        match self {
            Kind::Read => &[Class::Read],
            Kind::Write => &[Class::Write],
            Kind::Echo => &[Class::Echo],
            Kind::Flush => &[Class::Flush],
            Kind::Open => &[Class::Create, Class::Close],
            Kind::Mixed => &[Class::Read, Class::Write],
        }
    }
}

/// One sort of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Class {
    Read,
    Write,
    Echo,
    Flush,
    Create,
    Close,
}

impl Class {
    /// Its name in statistics.
    pub fn name(self) -> &'static str {
        match self {
            Class::Read => "read",
            Class::Write => "write",
            Class::Echo => "echo",
            Class::Flush => "flush",
            Class::Create => "create",
            Class::Close => "close",
        }
    }

    /// Its command code.
    pub(crate) fn command(self) -> u16 {
        match self {
            Class::Read => command::READ,
            Class::Write => command::WRITE,
            Class::Echo => command::ECHO,
            Class::Flush => command::FLUSH,
            Class::Create => command::CREATE,
            Class::Close => command::CLOSE,
        }
    }
}

/// The settings of a pump; `PumpSettings` in _native.pyi explains them.
#[derive(Debug)]
pub struct Settings {
    /// Its number.
    pub id: PumpId,
    /// Session of the requests.
    pub session_id: u64,
    /// Tree of the requests.
    pub tree_id: u32,
    /// Requests are encrypted, and responses must be.
    pub encrypt: bool,
    /// Requests are signed, and responses must be.
    pub sign: bool,
    /// What it does.
    pub kind: Kind,
    /// (persistent, volatile) FileIds, used in turn.
    pub files: Vec<(u64, u64)>,
    /// CREATE bodies, used in turn.
    pub bodies: Vec<Vec<u8>>,
    /// Bytes per READ or WRITE.
    pub io_size: u32,
    /// Requests in flight.
    pub window: u32,
    /// Start of the range.
    pub offset: u64,
    /// Length of the range.
    pub length: u64,
    /// The share of READs of `Kind::Mixed`.
    pub read_percent: u8,
    /// Offsets are random multiples of `io_size`.
    pub random: bool,
    /// Seed of the random numbers and of the pattern.
    pub seed: u64,
    /// Begins again at the end of the range.
    pub looped: bool,
    /// Requests to make, 0 for any number.
    pub operations: u64,
    /// Failures are counted and do not end it.
    pub keep_going: bool,
    /// Source or destination of the data.
    pub place: Place,
    /// The state that others can read.
    pub shared: std::sync::Arc<Shared>,
}

impl Settings {
    /// What is wrong with the settings, if anything.
    pub fn problem(&self) -> Option<&'static str> {
        let moves = matches!(self.kind, Kind::Read | Kind::Write | Kind::Mixed);
        if self.window == 0 {
            return Some("window must be at least 1");
        }
        if moves && (self.io_size == 0 || self.io_size > 8 << 20) {
            return Some("io_size must be between 1 and 8 MiB");
        }
        if self.read_percent > 100 {
            return Some("read_percent must be at most 100");
        }
        if moves && self.random && self.length < u64::from(self.io_size) {
            return Some("the range must have room for one operation");
        }
        if moves && self.looped && self.length == 0 {
            return Some("an empty range cannot be repeated");
        }
        if (moves || self.kind == Kind::Flush) && self.files.is_empty() {
            return Some("there must be a file");
        }
        if self.kind == Kind::Open
            && (self.bodies.is_empty()
                || self.bodies.iter().any(|body| body.len() < size_of::<CreateRequest>()))
        {
            return Some("there must be CREATE requests");
        }
        if self.offset.checked_add(self.length).is_none_or(|end| end > i64::MAX as u64) {
            return Some("the range ends beyond the largest file");
        }
        None
    }
}

/// The state of a pump that others can read while it runs and afterwards.
#[derive(Debug)]
pub struct Shared {
    kind: Kind,
    measured: Mutex<[Measured; 2]>,
    /// Bytes from the start of the range that are done without a gap.
    pub contiguous: AtomicU64,
}

impl Shared {
    /// Nothing measured yet.
    pub fn new(kind: Kind) -> Shared {
        Shared { kind, measured: Mutex::default(), contiguous: AtomicU64::new(0) }
    }

    pub(crate) fn measured(&self) -> MutexGuard<'_, [Measured; 2]> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Successful operations so far, of all classes.
    pub fn operations(&self) -> u64 {
        self.measured().iter().map(|one| one.operations).sum()
    }

    /// Adds what was measured so far to `sums`, by class.
    pub fn add_to(&self, sums: &mut Vec<(Class, Measured)>) {
        let measured = self.measured();
        for (class, one) in self.kind.classes().iter().zip(measured.iter()) {
            match sums.iter_mut().find(|(known, _)| known == class) {
                Some((_, sum)) => sum.take(one),
                None => sums.push((*class, one.clone())),
            }
        }
    }

    /// A copy of what was measured so far, by class.
    pub fn snapshot(&self) -> Vec<(Class, Measured)> {
        let measured = self.measured();
        self.kind.classes().iter().zip(measured.iter()).map(|(class, one)| (*class, one.clone())).collect()
    }
}

/// How a pump ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything is done, or it was stopped.
    Done,
    /// The file ended there, or the local source of a WRITE.
    Eof(u64),
    /// The server answered with this status at this offset.
    Status(u32, u64),
    /// A local file failed with this errno at this offset.
    Local(i32, u64),
    /// Other data than expected at this offset.
    Data(u64),
    /// It was abandoned before its requests were answered.
    Abandoned,
    /// The connection has ended.
    Lost,
}

impl End {
    /// (name, status or errno, offset)
    pub fn parts(self) -> (&'static str, u32, u64) {
        match self {
            End::Done => ("done", 0, 0),
            End::Eof(offset) => ("eof", 0, offset),
            End::Status(status, offset) => ("status", status, offset),
            End::Local(errno, offset) => ("local", errno.unsigned_abs(), offset),
            End::Data(offset) => ("data", 0, offset),
            End::Abandoned => ("abandoned", 0, 0),
            End::Lost => ("lost", 0, 0),
        }
    }
}
