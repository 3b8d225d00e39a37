//! `Credits` and `Pump`: the account of a client connection, and the request loops that use it.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use frevo_dataplane::credits;
use frevo_dataplane::event::{ConnectionId, Event};
use frevo_dataplane::pump::{Class, Measured, PumpId, Settings, Shared};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The message IDs and credits of one client connection.
#[pyclass(frozen, module = "frevo._native")]
pub(crate) struct Credits {
    pub(crate) inner: Arc<credits::Credits>,
}

#[pymethods]
impl Credits {
    #[new]
    fn new() -> Credits {
        Credits { inner: Arc::default() }
    }

    #[getter]
    fn free(&self) -> u64 {
        self.inner.free()
    }

    #[getter]
    fn total(&self) -> u64 {
        self.inner.total()
    }

    fn reserve(&self, charge: u64) -> bool {
        self.inner.reserve(charge)
    }

    fn take(&self, charge: u64) -> PyResult<u64> {
        self.inner.take(charge).ok_or_else(|| PyValueError::new_err("these credits were not reserved"))
    }

    fn settle(&self, charge: u64) {
        self.inner.settle(charge);
    }

    fn want(&self, charge: u64) {
        self.inner.want(charge);
    }
}

/// A pump for Python: its number and measurements.
#[pyclass(frozen, module = "frevo._native")]
pub(crate) struct Pump {
    id: PumpId,
    shared: Arc<Shared>,
    /// Its connection and settings until it begins.
    waiting: Mutex<Option<(ConnectionId, Settings)>>,
}

impl Pump {
    /// One that has not begun.
    pub(crate) fn new(connection: ConnectionId, settings: Settings) -> Pump {
        let (id, shared) = (settings.id, settings.shared.clone());
        Pump { id, shared, waiting: Mutex::new(Some((connection, settings))) }
    }

    /// What it begins with, once.
    pub(crate) fn begin(&self) -> Option<(ConnectionId, Settings)> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

type Numbers = (u64, u64, u64, u64, u64, Vec<(usize, u64)>, Vec<(u32, u64)>);

fn numbers(measured: Measured) -> Numbers {
    let histogram = measured.histogram();
    let Measured { operations, bytes, sum_ns, min_ns, max_ns, statuses, .. } = measured;
    (operations, bytes, sum_ns, min_ns, max_ns, histogram, statuses)
}

#[pymethods]
impl Pump {
    #[getter]
    fn id(&self) -> PumpId {
        self.id
    }

    /// Bytes from the start of the range that are done without a gap.
    #[getter]
    fn contiguous(&self) -> u64 {
        self.shared.contiguous.load(Ordering::Relaxed)
    }

    /// Successful operations so far.
    #[getter]
    fn operations(&self) -> u64 {
        self.shared.operations()
    }

    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        by_class(py, self.shared.snapshot())
    }
}

/// The sums of what many pumps have measured so far.
#[pyfunction]
fn statistics_of<'py>(py: Python<'py>, pumps: Vec<PyRef<'py, Pump>>) -> PyResult<Bound<'py, PyDict>> {
    let shared: Vec<_> = pumps.iter().map(|pump| pump.shared.clone()).collect();
    let sums = py.detach(|| {
        let mut sums = Vec::new();
        shared.iter().for_each(|one| one.add_to(&mut sums));
        sums
    });
    by_class(py, sums)
}

fn by_class(py: Python<'_>, measured: Vec<(Class, Measured)>) -> PyResult<Bound<'_, PyDict>> {
    let values = PyDict::new(py);
    for (class, one) in measured {
        values.set_item(class.name(), numbers(one))?;
    }
    Ok(values)
}

/// Adds the classes and functions of this file to the module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Credits>()?;
    module.add_class::<Pump>()?;
    module.add_function(wrap_pyfunction!(statistics_of, module)?)
}

/// A buffer of a caller, and who may use it.
pub(crate) type LentBuffer = (PyBuffer<u8>, Arc<()>);

/// Buffers of callers, exported to us as long as a pump may use them.
#[derive(Default)]
pub(crate) struct Lent {
    state: Mutex<LentState>,
}

#[derive(Default)]
struct LentState {
    buffers: HashMap<PumpId, LentBuffer>,
    /// Of pumps that have ended, while a device still sends from them.
    lingering: Vec<LentBuffer>,
}

/// Whether a device has it, too.
fn is_used((_, users): &LentBuffer) -> bool {
    Arc::strong_count(users) > 1
}

impl Lent {
    fn state(&self) -> MutexGuard<'_, LentState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lend(&self, id: PumpId, buffer: Option<LentBuffer>) {
        if let Some(buffer) = buffer {
            self.state().buffers.insert(id, buffer);
        }
    }

    /// Releases the buffers of pumps that have ended.
    pub(crate) fn release(&self, events: &[Event]) {
        for event in events {
            if let Event::Pump { pump, .. } = event {
                let mut state = self.state();
                let buffer = state.buffers.remove(pump);
                // Outside of the lock: to release a buffer may run code of Python.
                let free = match buffer {
                    Some(buffer) if is_used(&buffer) => {
                        state.lingering.push(buffer);
                        Vec::new()
                    }
                    buffer => {
                        let (used, free) =
                            std::mem::take(&mut state.lingering).into_iter().partition(is_used);
                        state.lingering = used;
                        buffer.into_iter().chain::<Vec<_>>(free).collect()
                    }
                };
                drop(state);
                drop(free);
            }
        }
    }

    /// After the threads have ended.
    pub(crate) fn release_all(&self) {
        let all = std::mem::take(&mut *self.state());
        drop(all);
    }
}
