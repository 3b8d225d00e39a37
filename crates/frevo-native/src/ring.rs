//! `frevo._native.Ring`: tuples in, results out; the ring itself is `frevo_dataplane::ring`.

use std::collections::HashMap;
use std::os::fd::RawFd;
use std::sync::{Mutex, MutexGuard};

use frevo_dataplane::ring::{self, features, Buffer, Completion, Operation, StableBuffer};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyBufferError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

use crate::syscalls::{c_path, os_error, status_tuple};

/// A Python object whose memory the kernel uses; the reference keeps it, a `PyBuffer` also pins its size.
struct PinnedBuffer {
    pointer: *mut u8,
    length: usize,
    _keep: Keep,
}

enum Keep {
    View { _view: PyBuffer<u8> },
    Bytes { _bytes: Py<PyBytes> },
}

// SAFETY: the pointer is memory of the Python object kept alive beside it; it may be used from any thread.
unsafe impl Send for PinnedBuffer {}

// SAFETY: an exported buffer cannot be resized or freed while the export lives, and bytes objects never move.
unsafe impl StableBuffer for PinnedBuffer {
    fn pointer(&self) -> *mut u8 {
        self.pointer
    }
    fn length(&self) -> usize {
        self.length
    }
}

/// The memory of any object with the buffer protocol.
fn pinned(object: &Bound<'_, PyAny>, writable: bool) -> PyResult<Buffer> {
    let view = PyBuffer::<u8>::get(object)?;
    if !view.is_c_contiguous() || (writable && view.readonly()) {
        return Err(PyBufferError::new_err("the buffer must be contiguous, and writable for reads"));
    }
    let (pointer, length) = (view.buf_ptr().cast(), view.len_bytes());
    Ok(Box::new(PinnedBuffer { pointer, length, _keep: Keep::View { _view: view } }))
}

/// A bytes object of `length` uninitialised bytes, not exposed until the kernel has filled it, and its memory.
fn unfilled(py: Python<'_>, length: usize) -> PyResult<(Py<PyBytes>, Buffer)> {
    let size = isize::try_from(length).map_err(|_| PyValueError::new_err("length too large"))?;
    // SAFETY: a null source asks for uninitialised bytes; the result is a new reference or null with an exception.
    let object = unsafe {
        Bound::from_owned_ptr_or_err(py, pyo3::ffi::PyBytes_FromStringAndSize(std::ptr::null(), size))?
    };
    let bytes = object.cast_into::<PyBytes>().map_err(PyErr::from)?;
    // SAFETY: bytes is a live bytes object.
    let pointer = unsafe { pyo3::ffi::PyBytes_AsString(bytes.as_ptr()) }.cast();
    let keep = Keep::Bytes { _bytes: bytes.clone().unbind() };
    Ok((bytes.unbind(), Box::new(PinnedBuffer { pointer, length, _keep: keep })))
}

/// An io_uring for one event loop.
///
/// `submit` takes tuples (token, personality, code, arguments...) with the codes of `RingOperation`; both `submit` and
/// `complete` return (token, result) pairs, where a result is a value or an OSError to raise.
#[pyclass(name = "Ring", module = "frevo._native", frozen)]
struct PyRing {
    state: Mutex<State>,
}

struct State {
    /// Bytes objects that reads in flight are filling. Declared first: the ring, dropped after it, has its own reference.
    filling: HashMap<u64, Py<PyBytes>>,
    ring: ring::Ring,
}

#[pymethods]
impl PyRing {
    /// Raises OSError if the kernel refuses.
    #[new]
    fn new(py: Python<'_>, entries: u32) -> PyResult<Self> {
        let ring = ring::Ring::new(entries)
            .map_err(|error| os_error(py, error.raw_os_error().unwrap_or(libc::EIO), None))?;
        Ok(PyRing { state: Mutex::new(State { filling: HashMap::new(), ring }) })
    }

    /// The eventfd to watch for reading.
    #[getter]
    fn fd(&self) -> PyResult<RawFd> {
        Ok(self.lock()?.ring.eventfd())
    }

    /// Hands the operations and cancellations over in one kernel call; returns what is complete already.
    fn submit<'py>(
        &self,
        py: Python<'py>,
        operations: &Bound<'py, PyList>,
        cancels: Vec<u64>,
    ) -> PyResult<Bound<'py, PyList>> {
        let mut state = self.lock()?;
        let results = PyList::empty(py);
        for item in operations.iter() {
            let item = item.cast_into::<PyTuple>().map_err(PyErr::from)?;
            let token: u64 = item.get_item(0)?.extract()?;
            if let Err(error) = state.push(token, &item) {
                results.append((token, error.into_value(py)))?;
            }
        }
        for token in cancels {
            // A cancellation that cannot be queued leaves the operation to finish by itself.
            let _ = state.ring.cancel(token);
        }
        let state = &mut *state;
        let ring = &mut state.ring;
        // An error of the whole call (EAGAIN: the kernel is out of memory) leaves the entries queued for the next one.
        let _ = py.detach(|| ring.enter());
        state.deliver(py, &results)?;
        Ok(results)
    }

    /// Resets the eventfd and returns what is complete.
    fn complete<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let mut state = self.lock()?;
        let results = PyList::empty(py);
        state.ring.acknowledge();
        let _ = state.ring.enter();
        state.deliver(py, &results)?;
        Ok(results)
    }

    /// A number for the current credentials of this thread, for operations that use them.
    fn register_personality(&self, py: Python<'_>) -> PyResult<u16> {
        let state = self.lock()?;
        state
            .ring
            .register_personality()
            .map_err(|error| os_error(py, error.raw_os_error().unwrap_or(libc::EIO), None))
    }

    /// Releases such a number.
    fn unregister_personality(&self, py: Python<'_>, personality: u16) -> PyResult<()> {
        let state = self.lock()?;
        state
            .ring
            .unregister_personality(personality)
            .map_err(|error| os_error(py, error.raw_os_error().unwrap_or(libc::EIO), None))
    }

    /// Cancels running operations and waits for them, two seconds at most; returns those that completed. The kernel may
    /// still work on the others, so their buffers are leaked. The ring cannot be used afterwards.
    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let mut state = self.lock()?;
        let results = PyList::empty(py);
        let ring = &mut state.ring;
        let done = py.detach(|| ring.drain());
        state.results(py, done, &results)?;
        Ok(results)
    }

    /// (submitted, completed, kernel entries, in flight) since the ring was made.
    fn counters(&self) -> PyResult<(u64, u64, u64, usize)> {
        let state = self.lock()?;
        let counters = state.ring.counters();
        Ok((counters.submitted, counters.completed, counters.enters, state.ring.in_flight()))
    }
}

impl PyRing {
    /// Never waits: a thread waiting here with the GIL would block the one that needs the GIL to continue.
    fn lock(&self) -> PyResult<MutexGuard<'_, State>> {
        self.state.try_lock().map_err(|_| PyRuntimeError::new_err("this ring is in use by another thread"))
    }
}

impl State {
    fn push(&mut self, token: u64, item: &Bound<'_, PyTuple>) -> PyResult<()> {
        let py = item.py();
        let personality: u16 = item.get_item(1)?.extract()?;
        let (operation, bytes) = parse(item)?;
        let path = operation.path().map(|path| path.to_bytes().to_vec());
        self.ring
            .push(token, operation, personality)
            .map_err(|error| os_error(py, error.raw_os_error().unwrap_or(libc::EIO), path.as_deref()))?;
        if let Some(bytes) = bytes {
            self.filling.insert(token, bytes);
        }
        Ok(())
    }

    fn deliver(&mut self, py: Python<'_>, results: &Bound<'_, PyList>) -> PyResult<()> {
        let done = self.ring.complete();
        self.results(py, done, results)
    }

    fn results(
        &mut self,
        py: Python<'_>,
        completions: Vec<Completion>,
        results: &Bound<'_, PyList>,
    ) -> PyResult<()> {
        for done in completions {
            let bytes = self.filling.remove(&done.token);
            results.append((done.token, value(py, &done, bytes)?))?;
        }
        Ok(())
    }
}

/// The Python value of a completion: OSError, the bytes read, the status or the number.
fn value<'py>(py: Python<'py>, done: &Completion, bytes: Option<Py<PyBytes>>) -> PyResult<Bound<'py, PyAny>> {
    if done.result < 0 {
        let path = done.operation.path().map(|path| path.to_bytes());
        return Ok(os_error(py, -done.result, path).into_value(py).into_bound(py).into_any());
    }
    if let Some(bytes) = bytes {
        let (bytes, count) = (bytes.into_bound(py), done.result as usize);
        let full = bytes.as_bytes().len() == count;
        return Ok(if full { bytes } else { PyBytes::new(py, &bytes.as_bytes()[..count]) }.into_any());
    }
    match done.operation.status() {
        Some(status) => Ok(status_tuple(py, &status)?.into_any()),
        None => Ok(done.result.into_pyobject(py)?.into_any()),
    }
}

/// The codes of operations: those on names, then those on descriptors.
#[pyclass(frozen, name = "RingOperation", module = "frevo._native")]
struct Code;

#[pymethods]
impl Code {
    #[classattr]
    const OPENAT2: u8 = 0;
    #[classattr]
    const STATX: u8 = 1;
    #[classattr]
    const UNLINKAT: u8 = 2;
    #[classattr]
    const RENAMEAT2: u8 = 3;
    #[classattr]
    const MKDIRAT: u8 = 4;
    #[classattr]
    const LINKAT: u8 = 5;
    #[classattr]
    const READ: u8 = 6;
    #[classattr]
    const READINTO: u8 = 7;
    #[classattr]
    const WRITE: u8 = 8;
    #[classattr]
    const FSYNC: u8 = 9;
    #[classattr]
    const FALLOCATE: u8 = 10;
    #[classattr]
    const FGETXATTR: u8 = 11;
    #[classattr]
    const FSETXATTR: u8 = 12;
    #[classattr]
    const SPLICE: u8 = 13;
}

type Parsed = (Operation, Option<Py<PyBytes>>);

/// The operation that a tuple describes.
fn parse(item: &Bound<'_, PyTuple>) -> PyResult<Parsed> {
    let code: u8 = item.get_item(2)?.extract()?;
    let arguments = item.get_slice(3, item.len());
    match code {
        Code::OPENAT2..=Code::LINKAT => Ok((parse_name(code, &arguments)?, None)),
        _ => parse_data(code, &arguments),
    }
}

/// Operations on names: openat2, statx, unlinkat, renameat2, mkdirat, linkat.
fn parse_name(code: u8, arguments: &Bound<'_, PyTuple>) -> PyResult<Operation> {
    Ok(match code {
        Code::OPENAT2 => {
            let (dirfd, path, flags, mode, resolve): (RawFd, PyBackedBytes, u64, u64, u64) =
                arguments.extract()?;
            Operation::openat2(dirfd, c_path(&path)?, flags, mode, resolve)
        }
        Code::STATX => {
            let (dirfd, path, flags): (RawFd, PyBackedBytes, i32) = arguments.extract()?;
            Operation::statx(dirfd, c_path(&path)?, flags)
        }
        Code::UNLINKAT => {
            let (dirfd, path, flags): (RawFd, PyBackedBytes, i32) = arguments.extract()?;
            Operation::Unlinkat { dirfd, path: c_path(&path)?, flags }
        }
        Code::RENAMEAT2 => {
            let (olddirfd, old, newdirfd, new, flags): (RawFd, PyBackedBytes, RawFd, PyBackedBytes, u32) =
                arguments.extract()?;
            Operation::Renameat2 { olddirfd, old: c_path(&old)?, newdirfd, new: c_path(&new)?, flags }
        }
        Code::MKDIRAT => {
            let (dirfd, path, mode): (RawFd, PyBackedBytes, u32) = arguments.extract()?;
            Operation::Mkdirat { dirfd, path: c_path(&path)?, mode }
        }
        _ => {
            let (olddirfd, old, newdirfd, new, flags): (RawFd, PyBackedBytes, RawFd, PyBackedBytes, i32) =
                arguments.extract()?;
            Operation::Linkat { olddirfd, old: c_path(&old)?, newdirfd, new: c_path(&new)?, flags }
        }
    })
}

/// Operations on descriptors: read, readinto, write, fsync, fallocate, fgetxattr, fsetxattr, splice.
fn parse_data(code: u8, arguments: &Bound<'_, PyTuple>) -> PyResult<Parsed> {
    let py = arguments.py();
    let operation = match code {
        Code::READ => {
            let (fd, offset, length): (RawFd, i64, usize) = arguments.extract()?;
            let (bytes, buffer) = unfilled(py, length)?;
            return Ok((Operation::Read { fd, offset: offset as u64, buffer }, Some(bytes)));
        }
        Code::READINTO => {
            let (fd, offset, target): (RawFd, i64, Bound<'_, PyAny>) = arguments.extract()?;
            Operation::Read { fd, offset: offset as u64, buffer: pinned(&target, true)? }
        }
        Code::WRITE => {
            let (fd, offset, data): (RawFd, i64, Bound<'_, PyAny>) = arguments.extract()?;
            Operation::Write { fd, offset: offset as u64, buffer: pinned(&data, false)? }
        }
        Code::FSYNC => {
            let (fd, datasync): (RawFd, bool) = arguments.extract()?;
            Operation::Fsync { fd, datasync }
        }
        Code::FALLOCATE => {
            let (fd, mode, offset, length): (RawFd, i32, u64, u64) = arguments.extract()?;
            Operation::Fallocate { fd, mode, offset, length }
        }
        Code::FGETXATTR => {
            let (fd, name, size): (RawFd, PyBackedBytes, usize) = arguments.extract()?;
            let (bytes, buffer) = unfilled(py, size)?;
            return Ok((Operation::Fgetxattr { fd, name: c_path(&name)?, buffer }, Some(bytes)));
        }
        Code::FSETXATTR => {
            let (fd, name, value, flags): (RawFd, PyBackedBytes, Bound<'_, PyAny>, i32) =
                arguments.extract()?;
            Operation::Fsetxattr { fd, name: c_path(&name)?, buffer: pinned(&value, false)?, flags }
        }
        Code::SPLICE => {
            let (fd_in, offset_in, fd_out, offset_out, length, flags) = arguments.extract()?;
            Operation::Splice { fd_in, offset_in, fd_out, offset_out, length, flags }
        }
        _ => return Err(PyValueError::new_err("unknown operation code")),
    };
    Ok((operation, None))
}

/// What this kernel's io_uring offers: {"reason": str, "operations": [str], "abilities": {str: bool}}.
#[pyfunction]
fn ring_features(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let found = py.detach(features::probe);
    let result = PyDict::new(py);
    result.set_item("reason", &found.reason)?;
    result.set_item("operations", &found.operations)?;
    let abilities = PyDict::new(py);
    for (name, present) in &found.abilities {
        abilities.set_item(name, present)?;
    }
    result.set_item("abilities", abilities)?;
    Ok(result)
}

/// The engine that a data plane would take for "auto", "uring" or "epoll", and why: (engine, reason).
#[pyfunction]
fn choose_engine(wish: &str) -> PyResult<(&'static str, String)> {
    let choice = frevo_dataplane::engine::choose(wish)?;
    Ok((choice.engine, choice.reason))
}

/// Adds the ring to the module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(choose_engine, module)?)?;
    module.add_class::<PyRing>()?;
    module.add_class::<Code>()?;
    module.add_function(wrap_pyfunction!(ring_features, module)?)
}
