//! What Python attaches to the data plane and holds there: `AttachedOpen`, `SessionOpens`, `Gate`, `Hold`, `Drains`,
//! `Position`, `ChannelSequence`.

use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use frevo_dataplane::attached;
use frevo_dataplane::fast::OpenFile;
use frevo_dataplane::gate::{self, Level, Levels};
use frevo_dataplane::leases::Pages;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::acting::UnixIdentity;
use crate::plane::duplicate;

/// An open whose requests the data plane may answer by itself.
#[pyclass(frozen, module = "frevo._native")]
pub(crate) struct AttachedOpen {
    inner: Arc<attached::AttachedOpen>,
}

#[pymethods]
impl AttachedOpen {
    #[new]
    #[pyo3(signature = (*, tree_id, file_id, fd, gate, readable = true, writable = false, encrypted_only = false,
                        position = None, sequence = None, acting = None))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        tree_id: u32,
        file_id: (u64, u64),
        fd: RawFd,
        gate: &Gate,
        readable: bool,
        writable: bool,
        encrypted_only: bool,
        position: Option<&Position>,
        sequence: Option<&ChannelSequence>,
        acting: Option<&UnixIdentity>,
    ) -> PyResult<AttachedOpen> {
        let (persistent_id, volatile_id) = file_id;
        let inner = attached::AttachedOpen {
            tree_id,
            persistent_id,
            volatile_id,
            encrypted_only,
            position: position.map(|position| position.inner.clone()).unwrap_or_default(),
            sequence: sequence.map(|sequence| sequence.inner.clone()),
            gate: gate.inner.beneath(),
            pages: gate.pages.clone(),
            readable,
            writable,
            acting: acting.map(|user| user.credentials.clone()),
            file: OpenFile::new(duplicate(fd)?),
        };
        Ok(AttachedOpen { inner: Arc::new(inner) })
    }
}

/// The attached opens of one session, for all of its connections.
#[pyclass(frozen, module = "frevo._native")]
#[derive(Default)]
pub(crate) struct SessionOpens {
    pub(crate) inner: Arc<attached::SessionOpens>,
}

#[pymethods]
impl SessionOpens {
    #[new]
    fn new() -> SessionOpens {
        SessionOpens::default()
    }

    fn attach(&self, opened: &AttachedOpen) {
        self.inner.attach(opened.inner.clone());
    }

    fn detach(&self, file_id_volatile: u64) -> Option<Hold> {
        let hold = self.inner.detach(file_id_volatile)?;
        Some(Hold { inner: Mutex::new(hold), said: Mutex::default() })
    }

    /// Begins an operation as a request does, for tests; None if it has to go up.
    fn begin(&self, file_id_volatile: u64, level: &str) -> PyResult<Option<Running>> {
        let level = self::level(level)?;
        let running = self.inner.find(file_id_volatile).and_then(|open| open.enter(level));
        Ok(running.map(|running| Running { inner: Mutex::new(Some(running)) }))
    }
}

/// An operation that runs until it is ended.
#[pyclass(frozen, module = "frevo._native")]
pub(crate) struct Running {
    inner: Mutex<Option<attached::Running>>,
}

#[pymethods]
impl Running {
    fn end(&self) {
        drop(self.inner.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// One per file identity: fast operations run unless somebody holds it.
#[pyclass(frozen, module = "frevo._native")]
pub(crate) struct Gate {
    inner: Arc<gate::Gate>,
    /// Of the same file.
    pages: Arc<Pages>,
    said: Arc<Said>,
}

/// Why a gate is held: levels and reason by the number of the hold.
type Reasons = BTreeMap<u64, (u8, String)>;

/// The same, shared by the gate and its holds.
#[derive(Default)]
struct Said(Mutex<Reasons>);

impl Said {
    fn add(&self, levels: u8, reason: String) -> u64 {
        let mut said = self.lock();
        let number = said.last_key_value().map_or(0, |(last, _)| last + 1);
        said.insert(number, (levels, reason));
        number
    }

    fn lock(&self) -> MutexGuard<'_, Reasons> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// "read" or "write".
fn level(name: &str) -> PyResult<Level> {
    match name {
        "read" => Ok(Level::Read),
        "write" => Ok(Level::Write),
        _ => Err(PyValueError::new_err(format!("unknown level {name:?}"))),
    }
}

#[pymethods]
impl Gate {
    #[new]
    fn new() -> Gate {
        Gate { inner: Arc::default(), pages: Arc::default(), said: Arc::default() }
    }

    fn hold(&self, levels: u8, reason: String) -> PyResult<Hold> {
        let wanted =
            Levels::from_bits(levels).ok_or_else(|| PyValueError::new_err("READ, WRITE or their sum"))?;
        let inner = Mutex::new(self.inner.hold(wanted));
        let said = (self.said.clone(), self.said.add(levels, reason));
        Ok(Hold { inner, said: Mutex::new(Some(said)) })
    }

    fn reasons(&self) -> Vec<(u8, String)> {
        self.said.lock().values().cloned().collect()
    }

    fn is_open(&self, level: &str) -> PyResult<bool> {
        Ok(self.inner.is_open(self::level(level)?))
    }
}

/// Keeps operations out of a gate until it is released.
#[pyclass(frozen, module = "frevo._native")]
pub(crate) struct Hold {
    inner: Mutex<gate::Hold>,
    /// Where it is said why, and its number there, until it is released; None for that of an open that ends.
    said: Mutex<Option<(Arc<Said>, u64)>>,
}

impl Hold {
    fn inner(&self) -> MutexGuard<'_, gate::Hold> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn let_go(&self) {
        if let Some((said, number)) = self.said.lock().unwrap_or_else(PoisonError::into_inner).take() {
            said.lock().remove(&number);
        }
        self.inner().release();
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.let_go();
    }
}

#[pymethods]
impl Hold {
    #[getter]
    fn drained(&self) -> bool {
        self.inner().is_drained()
    }

    fn tell(&self, drains: &Drains, number: u64) {
        let drains = drains.inner.clone();
        self.inner().when_drained(Box::new(move || drains.push(number)));
    }

    fn release(&self) {
        self.let_go();
    }
}

/// The holds that have drained, for the event loop.
#[pyclass(frozen, module = "frevo._native")]
pub(crate) struct Drains {
    inner: Arc<gate::Drains>,
}

#[pymethods]
impl Drains {
    #[new]
    fn new() -> PyResult<Drains> {
        Ok(Drains { inner: Arc::new(gate::Drains::new()?) })
    }

    #[getter]
    fn eventfd(&self) -> RawFd {
        self.inner.fd()
    }

    fn take(&self) -> Vec<u64> {
        self.inner.take()
    }
}

/// Where the last read of one open ended, kept by whichever plane answered it.
#[pyclass(frozen, module = "frevo._native")]
#[derive(Default)]
pub(crate) struct Position {
    inner: Arc<AtomicU64>,
}

#[pymethods]
impl Position {
    #[new]
    fn new() -> Position {
        Position::default()
    }

    #[getter]
    fn value(&self) -> u64 {
        self.inner.load(Ordering::Relaxed)
    }

    #[setter]
    fn set_value(&self, value: u64) {
        self.inner.store(value, Ordering::Relaxed);
    }
}

/// Open.ChannelSequence, verified by whichever plane gets a request.
#[pyclass(frozen, module = "frevo._native")]
pub(crate) struct ChannelSequence {
    inner: Arc<attached::ChannelSequence>,
}

#[pymethods]
impl ChannelSequence {
    #[new]
    fn new(value: u16) -> ChannelSequence {
        ChannelSequence { inner: Arc::new(attached::ChannelSequence::new(value)) }
    }

    fn accept(&self, sequence: u16) -> bool {
        self.inner.accept(sequence)
    }
}

/// Adds the classes of this file to the module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<AttachedOpen>()?;
    module.add_class::<SessionOpens>()?;
    module.add_class::<Running>()?;
    module.add_class::<Gate>()?;
    module.add_class::<Hold>()?;
    module.add_class::<Drains>()?;
    module.add_class::<Position>()?;
    module.add_class::<ChannelSequence>()
}
