//! `Credits` and `Pump`: the account of a client connection, and the request loops that use it.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use frevo_dataplane::event::Event;
use frevo_dataplane::pump::{Kind, Measured, Memory, Place, PumpId, Settings, Shared};
use frevo_dataplane::{credits, pump};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::plane::duplicate;

/// The message ids and credits of one client connection.
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

/// A pump as Python sees it: its number and what it has measured.
#[pyclass(frozen, module = "frevo._native")]
pub(crate) struct Pump {
    pub(crate) id: PumpId,
    pub(crate) shared: Arc<Shared>,
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

    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let values = PyDict::new(py);
        for (class, measured) in self.shared.snapshot() {
            values.set_item(class.name(), numbers(measured))?;
        }
        Ok(values)
    }
}

/// The callers' buffers, exported to us as long as a pump may touch them.
#[derive(Default)]
pub(crate) struct Lent {
    buffers: Mutex<HashMap<PumpId, PyBuffer<u8>>>,
}

impl Lent {
    pub(crate) fn lend(&self, id: PumpId, buffer: Option<PyBuffer<u8>>) {
        if let Some(buffer) = buffer {
            self.buffers.lock().unwrap_or_else(PoisonError::into_inner).insert(id, buffer);
        }
    }

    /// Lets go of the buffers of the pumps that have ended.
    pub(crate) fn release(&self, events: &[Event]) {
        for event in events {
            if let Event::Pump { pump, .. } = event {
                let buffer = self.buffers.lock().unwrap_or_else(PoisonError::into_inner).remove(pump);
                drop(buffer);
            }
        }
    }

    /// After the threads have ended.
    pub(crate) fn release_all(&self) {
        let buffers = std::mem::take(&mut *self.buffers.lock().unwrap_or_else(PoisonError::into_inner));
        drop(buffers);
    }
}

/// Reads keys of a dict.
struct Keys<'a, 'py>(&'a Bound<'py, PyDict>);

impl<'py> Keys<'_, 'py> {
    fn get<T>(&self, key: &str) -> PyResult<T>
    where
        T: FromPyObjectOwned<'py>,
    {
        let value = self.0.get_item(key)?.ok_or_else(|| PyKeyError::new_err(key.to_owned()))?;
        value.extract().map_err(Into::into)
    }
}

/// Settings from a dict with all the keys, and the buffer that they refer to.
pub(crate) fn settings(id: PumpId, values: &Bound<'_, PyDict>) -> PyResult<(Settings, Option<PyBuffer<u8>>)> {
    let keys = Keys(values);
    let name: String = keys.get("kind")?;
    let kind = Kind::by_name(&name).ok_or_else(|| PyValueError::new_err(format!("unknown kind {name:?}")))?;
    let (place, buffer) = place(&keys, kind)?;
    let settings = Settings {
        id,
        session_id: keys.get("session_id")?,
        tree_id: keys.get("tree_id")?,
        encrypt: keys.get("encrypt")?,
        sign: keys.get("sign")?,
        kind,
        files: keys.get("files")?,
        bodies: keys.get("bodies")?,
        io_size: keys.get("io_size")?,
        window: keys.get("window")?,
        offset: keys.get("offset")?,
        length: keys.get("length")?,
        random: keys.get("random")?,
        seed: keys.get("seed")?,
        looped: keys.get("loop")?,
        operations: keys.get("operations")?,
        keep_going: keys.get("keep_going")?,
        place,
        shared: Arc::new(pump::Shared::new(kind)),
    };
    match settings.problem() {
        Some(problem) => Err(PyValueError::new_err(problem)),
        None => Ok((settings, buffer)),
    }
}

fn place(keys: &Keys<'_, '_>, kind: Kind) -> PyResult<(Place, Option<PyBuffer<u8>>)> {
    let (fd, verify): (Option<i32>, bool) = (keys.get("fd")?, keys.get("verify")?);
    if let Some(fd) = fd {
        return Ok((Place::File(Arc::new(duplicate(fd)?), keys.get("local_offset")?), None));
    }
    let object: Option<Py<PyAny>> = keys.get("buffer")?;
    let Some(object) = object else {
        return Ok((if verify { Place::Verify } else { Place::Nowhere }, None));
    };
    let buffer = PyBuffer::<u8>::get(object.bind(keys.0.py()))?;
    if !buffer.is_c_contiguous() || kind == Kind::Read && buffer.readonly() {
        return Err(PyValueError::new_err("the buffer must be contiguous and for reads writable"));
    }
    // SAFETY: `Lent` keeps the export of the buffer until the end of the pump was taken from the queue of events, or
    // until the threads have ended; an exported buffer is neither moved nor freed.
    let memory = unsafe { Memory::new(buffer.buf_ptr().cast(), buffer.len_bytes()) };
    Ok((Place::Memory(memory), Some(buffer)))
}
