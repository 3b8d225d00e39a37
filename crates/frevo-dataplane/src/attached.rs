//! The opens whose requests the fast path answers. They belong to a session: all of its connections find them.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::acting::{self, Credentials};
use crate::event::{ConnectionId, Flow};
use crate::fast::OpenFile;
use crate::gate::{Gate, Hold, Level};
use crate::leases::Pages;
use crate::window::Ids;
use crate::wire::Header;

/// An open that the control plane has attached to its session.
#[derive(Debug)]
pub struct AttachedOpen {
    /// Its tree connect.
    pub tree_id: u32,
    /// FileId.Persistent
    pub persistent_id: u64,
    /// FileId.Volatile, by which it is found.
    pub volatile_id: u64,
    /// Only encrypted requests are answered: the share demands encryption, its session does not.
    pub encrypted_only: bool,
    /// Where the last read ended (FilePositionInformation); shared with the control plane.
    pub position: Arc<AtomicU64>,
    /// Its ChannelSequence; None: requests of its dialect have none.
    pub sequence: Option<Arc<ChannelSequence>>,
    /// Its own gate, beneath that of its file: closed once it is detached.
    pub gate: Arc<Gate>,
    /// When pages of its file may be sent as they are.
    pub pages: Arc<Pages>,
    /// It was granted FILE_READ_DATA or FILE_EXECUTE.
    pub readable: bool,
    /// It was granted FILE_WRITE_DATA or FILE_APPEND_DATA.
    pub writable: bool,
    /// The Unix user that writes; None: the process's own. (Nobody is asked who reads from a descriptor.)
    pub acting: Option<Arc<Credentials>>,
    /// The file.
    pub file: OpenFile,
}

impl AttachedOpen {
    /// Makes this thread act as the user of the open. The kernel asks who writes: quotas, blocks reserved for root and
    /// set-user-ID bits depend on it.
    pub fn act(&self) -> io::Result<()> {
        self.acting.as_ref().map_or_else(acting::leave, |user| user.enter())
    }

    /// Verifies the ChannelSequence of a request, where a response has its status ([MS-SMB2] 3.3.5.2.10).
    pub fn in_sequence(&self, header: &Header) -> bool {
        self.sequence.as_ref().is_none_or(|sequence| sequence.accept(header.status.get() as u16))
    }

    /// Begins an operation, unless somebody holds the file at this level or the open was detached.
    pub fn enter(self: Arc<Self>, level: Level) -> Option<Running> {
        if !self.gate.enter(level) {
            return None;
        }
        Some(Running { open: self, level })
    }
}

/// Open.ChannelSequence, which both planes verify and move on ([MS-SMB2] 3.3.5.2.10).
///
/// Outstanding requests are not counted: they matter to a request that is sent again over another channel, and a session has
/// only one.
#[derive(Debug, Default)]
pub struct ChannelSequence(AtomicU16);

impl ChannelSequence {
    /// With the ChannelSequence of the CREATE request or, later, of the newest request.
    pub fn new(value: u16) -> ChannelSequence {
        ChannelSequence(AtomicU16::new(value))
    }

    /// Remembers a newer one. False: it is older, so the request must change nothing.
    pub fn accept(&self, sequence: u16) -> bool {
        let newer = |known: u16| (sequence.wrapping_sub(known) <= 0x7FFF).then_some(sequence);
        self.0.load(Ordering::Relaxed) == sequence
            || self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, newer).is_ok()
    }
}

/// A running fast operation, until it is dropped: its response is queued then.
#[derive(Debug)]
pub struct Running {
    open: Arc<AttachedOpen>,
    level: Level,
}

impl Running {
    /// Of which open.
    pub fn open(&self) -> &AttachedOpen {
        &self.open
    }

    /// Says that its end waits for somebody else: `flow` is woken as soon as the file is held. False: it is held.
    pub(crate) fn park(&self, connection: ConnectionId, flow: &Arc<Flow>) -> bool {
        self.open.gate.park(connection, flow);
        self.open.gate.is_open(self.level)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.open.gate.leave(self.level);
    }
}

/// The attached opens of one session.
#[derive(Debug, Default)]
pub struct SessionOpens {
    /// By FileId.Volatile. Locked for a look-up only.
    opens: RwLock<HashMap<u64, Arc<AttachedOpen>, Ids>>,
}

impl SessionOpens {
    /// Lets the fast path answer for an open.
    pub fn attach(&self, open: Arc<AttachedOpen>) {
        self.opens.write().unwrap_or_else(PoisonError::into_inner).insert(open.volatile_id, open);
    }

    /// Leaves the requests of an open to the control plane again; none begins from now on. The hold tells when those that
    /// are running have ended. None: it is not attached.
    pub fn detach(&self, volatile_id: u64) -> Option<Hold> {
        let open = self.opens.write().unwrap_or_else(PoisonError::into_inner).remove(&volatile_id)?;
        Some(open.gate.close())
    }

    /// An attached open.
    pub fn find(&self, volatile_id: u64) -> Option<Arc<AttachedOpen>> {
        self.opens.read().unwrap_or_else(PoisonError::into_inner).get(&volatile_id).cloned()
    }
}

/// An open of a file with this content, for reading and writing.
#[cfg(test)]
pub(crate) fn open_of(content: &[u8], gate: &Arc<Gate>) -> Arc<AttachedOpen> {
    Arc::new(AttachedOpen {
        tree_id: 5,
        persistent_id: 11,
        volatile_id: 12,
        encrypted_only: false,
        position: Arc::default(),
        sequence: Some(Arc::default()),
        gate: gate.beneath(),
        pages: Arc::default(),
        readable: true,
        writable: true,
        acting: None,
        file: OpenFile::new(crate::fast::temporary_file(content)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Levels;

    #[test]
    fn detaching_tells_when_what_runs_has_ended() {
        let (session, gate) = (SessionOpens::default(), Arc::default());
        session.attach(open_of(b"", &gate));
        let found = session.find(12).unwrap();
        let running = found.clone().enter(Level::Write).unwrap();
        let hold = session.detach(12).unwrap();
        assert!(session.find(12).is_none() && session.detach(12).is_none());
        assert!(!hold.is_drained());
        assert!(found.clone().enter(Level::Read).is_none(), "who found it before gets in no more");
        drop(running);
        assert!(hold.is_drained());
        drop(hold);
        assert!(found.enter(Level::Read).is_none(), "nor later");
        assert!(gate.is_open(Level::Read) && gate.is_open(Level::Write), "the file is open to others");
    }

    #[test]
    fn an_older_sequence_is_refused_and_a_newer_one_remembered() {
        let sequence = ChannelSequence::new(0xFFFE);
        for (next, accepted) in [
            (0xFFFE, true),
            (0xFFFD, false),
            (1, true),
            (0xFFFE, false),
            (1, true),
            (0x8000, true),
            (0x7FFF, false),
            (0, false),
            (0xFFFF, true),
            (0x7FFF, false),
        ] {
            assert_eq!(sequence.accept(next), accepted, "{next:#x}");
        }
    }

    #[test]
    fn an_operation_counts_for_the_file_and_for_the_open() {
        let gate = Arc::default();
        let (one, other) = (open_of(b"", &gate), open_of(b"", &gate));
        let running = one.clone().enter(Level::Read).unwrap();
        assert!(!gate.hold(Levels::READ).is_drained());
        assert!(!one.gate.hold(Levels::READ).is_drained() && other.gate.hold(Levels::READ).is_drained());
        let hold = gate.hold(Levels::WRITE);
        assert!(one.clone().enter(Level::Write).is_none() && other.enter(Level::Read).is_some());
        drop(hold);
        drop(running);
        assert!(one.gate.hold(Levels::ALL).is_drained(), "refused operations are not counted");
    }
}
