//! Between Rust and Python objects: events as tuples, submissions from tuples, limits from a dict.

use std::os::raw::c_int;
use std::sync::Arc;
use std::time::Duration;

use frevo_dataplane::budget::Budget;
use frevo_dataplane::conn::Submission;
use frevo_dataplane::event::{Event, Payload};
use frevo_dataplane::limits::Limits;
use frevo_dataplane::quic::session::Secured;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyMemoryView, PyTuple};

/// Messages up to this size become bytes, larger ones a view of the received buffer.
const COPY_BYTES: usize = 16 * 1024;

/// A received message that stays in the buffer it was received into. Python sees it through a memoryview.
#[pyclass(frozen, module = "frevo._native")]
pub(crate) struct Message {
    payload: Payload,
}

#[pymethods]
impl Message {
    fn __len__(&self) -> usize {
        self.payload.len()
    }

    /// # Safety
    /// Called by Python's buffer protocol with a view to fill.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let payload = &slf.get().payload;
        let (pointer, length) = (payload.as_ptr().cast_mut().cast(), payload.len() as ffi::Py_ssize_t);
        // SAFETY: the object is frozen, so the bytes stay where they are and unchanged while the view, which holds a
        // reference to the object, lives. The view is marked read-only.
        let result = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), pointer, length, 1, flags) };
        if result < 0 {
            return Err(PyErr::fetch(slf.py()));
        }
        Ok(())
    }
}

fn message<'py>(py: Python<'py>, payload: Payload) -> PyResult<Bound<'py, PyAny>> {
    if payload.len() <= COPY_BYTES {
        return Ok(PyBytes::new(py, &payload).into_any());
    }
    let message = Bound::new(py, Message { payload })?;
    Ok(PyMemoryView::from(message.as_any())?.into_any())
}

fn event<'py>(py: Python<'py>, event: Event) -> PyResult<Bound<'py, PyTuple>> {
    match event {
        Event::Accepted { connection, listener, peer, local } => {
            (Event::ACCEPTED, connection, listener, peer, local).into_pyobject(py)
        }
        Event::Message { connection, session_id, flags, payload, bad_signatures, unverified } => {
            let payload = message(py, payload)?;
            (Event::MESSAGE, connection, session_id, flags, payload, bad_signatures, unverified)
                .into_pyobject(py)
        }
        Event::Closed { connection, reason } => (Event::CLOSED, connection, reason).into_pyobject(py),
        Event::Rejected { listener, peer, reason } => {
            (Event::REJECTED, listener, peer, reason).into_pyobject(py)
        }
        Event::Idle { connection } => (Event::IDLE, connection).into_pyobject(py),
        Event::Pump { connection, pump, end } => {
            let (reason, code, offset) = end.parts();
            (Event::PUMP, connection, pump, reason, code, offset).into_pyobject(py)
        }
        Event::Secured { connection, secured } => {
            let Secured { cipher, server_name, peer_chain, verified, driver } = *secured;
            let chain = PyList::new(py, peer_chain.iter().map(|der| PyBytes::new(py, der)))?;
            (Event::SECURED, connection, cipher, server_name, chain, verified, driver).into_pyobject(py)
        }
        Event::Moved { connection, peer } => (Event::MOVED, connection, peer).into_pyobject(py),
        Event::Credits { connection } => (Event::CREDITS, connection).into_pyobject(py),
    }
}

/// A list of event tuples.
pub(crate) fn events<'py>(py: Python<'py>, batch: Vec<Event>) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for one in batch {
        list.append(event(py, one)?)?;
    }
    Ok(list)
}

/// Submissions from tuples (connection, session_id, flags, message); the message may be a tuple of parts.
pub(crate) fn submissions(batch: &Bound<'_, PyAny>) -> PyResult<Vec<(u64, Submission)>> {
    let mut out = Vec::with_capacity(batch.len().unwrap_or(0));
    for item in batch.try_iter()? {
        let (connection, session_id, flags, message): (u64, u64, u32, Bound<'_, PyAny>) = item?.extract()?;
        out.push((connection, submission(session_id, flags, &message)?));
    }
    Ok(out)
}

fn submission(session_id: u64, flags: u32, message: &Bound<'_, PyAny>) -> PyResult<Submission> {
    if let Ok(bytes) = message.cast::<PyBytes>() {
        return Ok(Submission::new(session_id, flags, &[bytes.as_bytes()]));
    }
    let parts = match message.cast::<PyTuple>().is_ok() || message.cast::<PyList>().is_ok() {
        true => message.try_iter()?.map(|part| Part::of(&part?)).collect::<PyResult<Vec<_>>>()?,
        false => vec![Part::of(message)?],
    };
    let mut submission = Submission::with_room(session_id, flags, parts.iter().map(Part::len).sum());
    for part in &parts {
        part.append_to(&mut submission.packet, message.py())?;
    }
    Ok(submission)
}

/// A part of a message.
enum Part<'py> {
    Bytes(Bound<'py, PyBytes>),
    Buffer(PyBuffer<u8>),
}

impl<'py> Part<'py> {
    fn of(part: &Bound<'py, PyAny>) -> PyResult<Part<'py>> {
        match part.cast::<PyBytes>() {
            Ok(bytes) => Ok(Part::Bytes(bytes.clone())),
            Err(_) => PyBuffer::get(part).map(Part::Buffer),
        }
    }

    fn len(&self) -> usize {
        match self {
            Part::Bytes(bytes) => bytes.as_bytes().len(),
            Part::Buffer(buffer) => buffer.item_count(),
        }
    }

    fn append_to(&self, packet: &mut Vec<u8>, py: Python<'_>) -> PyResult<()> {
        let buffer = match self {
            Part::Bytes(bytes) => {
                packet.extend_from_slice(bytes.as_bytes());
                return Ok(());
            }
            Part::Buffer(buffer) => buffer,
        };
        if buffer.is_c_contiguous() {
            // SAFETY: a contiguous buffer has that many bytes there, which stay while `buffer` lives; the caller holds the
            // GIL and has promised that they do not change before `submit` returns.
            packet.extend_from_slice(unsafe {
                std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), buffer.item_count())
            });
            return Ok(());
        }
        let start = packet.len();
        packet.resize(start + buffer.item_count(), 0);
        buffer.copy_to_slice(py, &mut packet[start..])
    }
}

/// A limit as Python writes it.
trait Limit: Sized {
    fn read(value: &Bound<'_, PyAny>) -> PyResult<Self>;
    fn write<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>>;
}

impl Limit for usize {
    fn read(value: &Bound<'_, PyAny>) -> PyResult<usize> {
        value.extract()
    }
    fn write<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.into_pyobject(py)?.into_any())
    }
}

impl Limit for u32 {
    fn read(value: &Bound<'_, PyAny>) -> PyResult<u32> {
        value.extract()
    }
    fn write<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.into_pyobject(py)?.into_any())
    }
}

/// Seconds.
impl Limit for Duration {
    fn read(value: &Bound<'_, PyAny>) -> PyResult<Duration> {
        Duration::try_from_secs_f64(value.extract()?)
            .map_err(|error| PyValueError::new_err(error.to_string()))
    }
    fn write<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.as_secs_f64().into_pyobject(py)?.into_any())
    }
}

/// Bytes.
impl Limit for Arc<Budget> {
    fn read(value: &Bound<'_, PyAny>) -> PyResult<Arc<Budget>> {
        Ok(Arc::new(Budget::new(value.extract()?)))
    }
    fn write<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.limit().write(py)
    }
}

/// Converts the limits that Python may set, in both directions, by the names of their fields.
macro_rules! limits {
    ($($name:ident),* $(,)?) => {
        /// Limits from a dict; what is not in it keeps its default.
        pub(crate) fn limits(values: Option<&Bound<'_, PyDict>>) -> PyResult<Limits> {
            let mut limits = Limits::default();
            let Some(values) = values else { return Ok(limits) };
            for (key, value) in values {
                let key: String = key.extract()?;
                match key.as_str() {
                    $(stringify!($name) => limits.$name = Limit::read(&value)?,)*
                    _ => return Err(PyTypeError::new_err(format!("unknown limit {key:?}"))),
                }
            }
            Ok(limits)
        }

        /// Every default by its name.
        pub(crate) fn default_limits(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
            let (limits, values) = (Limits::default(), PyDict::new(py));
            $(values.set_item(stringify!($name), limits.$name.write(py)?)?;)*
            Ok(values)
        }
    };
}

limits! {
    max_connections,
    max_unauthenticated,
    max_preauth_frame,
    max_frame,
    max_credits,
    max_compound,
    preauth_timeout,
    idle_timeout,
    frame_timeout,
    send_timeout,
    output_high_water,
    max_requests_in_flight,
    max_bytes_in_flight,
    max_unread_bytes,
    workers,
}
