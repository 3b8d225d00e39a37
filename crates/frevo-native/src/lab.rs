//! `RdmaEnd`: one end of an RDMA connection without a socket, for tests.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use frevo_dataplane::conn::direct::Process;
use frevo_rdma::iwarp::Side;
use frevo_rdma::memory::Memory;
use frevo_rdma::provider::{Access, Completion, Piece, Provider, Remote};
use frevo_rdma::stream::{Leaving, Settings, Stream};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::keys::copy_of;

/// Receives that may be posted at a time, and bytes of one; bytes of one transfer.
const RECEIVES_MAX: u32 = 1024;
const RECEIVE_BYTES_MAX: usize = 1 << 20;
const TRANSFER_BYTES_MAX: usize = 1 << 30;

/// A tag, where in what it stands for, and how many bytes.
type Place = (u32, u64, u32);

#[derive(Debug)]
struct State {
    stream: Stream,
    works: u64,
    ended: bool,
}

/// One end of an RDMA connection over a stream of bytes that the caller carries.
#[pyclass(frozen, module = "frevo._native")]
pub(crate) struct RdmaEnd {
    state: Mutex<State>,
    /// Time zero of the caller.
    origin: Instant,
}

impl RdmaEnd {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at(&self, seconds: f64) -> PyResult<Instant> {
        let since = Duration::try_from_secs_f64(seconds).ok();
        let at = since.and_then(|since| self.origin.checked_add(since));
        at.ok_or_else(|| PyValueError::new_err("not a time"))
    }
}

fn remotes(places: &[Place]) -> (Vec<Remote>, usize) {
    let remotes = places.iter().map(|&(tag, offset, bytes)| Remote { tag, offset, bytes });
    (remotes.collect(), places.iter().map(|place| place.2 as usize).sum())
}

fn check_size(bytes: usize) -> PyResult<()> {
    match bytes <= TRANSFER_BYTES_MAX {
        true => Ok(()),
        false => Err(PyValueError::new_err(format!("{bytes} bytes are more than {TRANSFER_BYTES_MAX}"))),
    }
}

#[pymethods]
impl RdmaEnd {
    #[new]
    #[pyo3(signature = (provider, role, *, checksums = false, segment_size = 65_472, reads = 16))]
    fn new(
        provider: &str,
        role: &str,
        checksums: bool,
        segment_size: usize,
        reads: u16,
    ) -> PyResult<RdmaEnd> {
        let side = match role {
            "client" => Side::Initiator,
            "server" => Side::Responder,
            _ => return Err(PyValueError::new_err(format!("unknown role {role:?}"))),
        };
        let neighbour = match provider {
            "iwarp" => None,
            "emulated" => Some(Box::new(Process::myself()) as _),
            _ => return Err(PyValueError::new_err(format!("unknown provider {provider:?}"))),
        };
        if !(64..=65_500).contains(&segment_size) || reads == 0 {
            return Err(PyValueError::new_err("segments have 64 to 65500 bytes, and one READ is the least"));
        }
        let settings = Settings {
            checks: checksums,
            segment_bytes: segment_size,
            incoming_reads: reads,
            outgoing_reads: reads,
            ..Settings::new(side)
        };
        let state = State { stream: Stream::new(settings, neighbour), works: 0, ended: false };
        Ok(RdmaEnd { state: Mutex::new(state), origin: Instant::now() })
    }

    /// Takes received bytes; what is over by them.
    #[pyo3(signature = (data, now = 0.0))]
    fn feed<'py>(&self, py: Python<'py>, data: &Bound<'py, PyAny>, now: f64) -> PyResult<Bound<'py, PyList>> {
        let now = self.at(now)?;
        let (mut bytes, mut used) = (copy_of(data)?, 0);
        let events = PyList::empty(py);
        let mut state = self.state();
        while !state.ended {
            match state.stream.next(&mut bytes, &mut used, now) {
                Ok(None) => break,
                Ok(Some(Completion::Received { message, invalidated })) => {
                    events.append(("received", PyBytes::new(py, message), invalidated))?;
                }
                Ok(Some(Completion::Read { work, memory })) => {
                    events.append(("read", work, PyBytes::new(py, memory.as_slice())))?;
                }
                Err(why) => {
                    state.ended = true;
                    events.append(("ended", why.to_string()))?;
                }
            }
        }
        Ok(events)
    }

    /// The bytes that are to be sent now.
    #[pyo3(signature = (now = 0.0))]
    fn take<'py>(&self, py: Python<'py>, now: f64) -> PyResult<Bound<'py, PyBytes>> {
        let now = self.at(now)?;
        let (mut state, mut all) = (self.state(), Vec::new());
        loop {
            state.stream.flush(now);
            let before = all.len();
            while let Some(leaving) = state.stream.take() {
                match leaving {
                    Leaving::Small(bytes) => all.extend_from_slice(&bytes),
                    Leaving::Shared(bytes) => all.extend_from_slice(&bytes),
                }
            }
            if all.len() == before {
                return Ok(PyBytes::new(py, &all));
            }
        }
    }

    fn post_receives(&self, count: u32, size: usize) -> PyResult<()> {
        if count > RECEIVES_MAX || size > RECEIVE_BYTES_MAX {
            return Err(PyValueError::new_err("at most 1024 receives of 1 MiB"));
        }
        self.state().stream.post_receives(count, size);
        Ok(())
    }

    #[pyo3(signature = (message, invalidate = None))]
    fn send(&self, message: &Bound<'_, PyAny>, invalidate: Option<u32>) -> PyResult<()> {
        let bytes = copy_of(message)?;
        check_size(bytes.len())?;
        self.state().stream.send(&bytes, &mut std::iter::empty::<Piece<'_>>(), invalidate);
        Ok(())
    }

    fn write(&self, data: &Bound<'_, PyAny>, targets: Vec<Place>) -> PyResult<()> {
        let bytes = copy_of(data)?;
        check_size(bytes.len())?;
        let (targets, room) = remotes(&targets);
        if room < bytes.len() {
            return Err(PyValueError::new_err(format!("{} bytes into room for {room}", bytes.len())));
        }
        let length = bytes.len();
        self.state().stream.write(Memory::from(bytes), 0, length, &targets);
        Ok(())
    }

    fn read(&self, sources: Vec<Place>) -> PyResult<u64> {
        let (sources, bytes) = remotes(&sources);
        check_size(bytes)?;
        let mut state = self.state();
        state.works += 1;
        let work = state.works;
        state.stream.read(work, Memory::new(Vec::with_capacity(bytes), bytes, drop), 0, &sources);
        Ok(work)
    }

    fn register(&self, data: &Bound<'_, PyAny>, access: &str) -> PyResult<Place> {
        let bytes = copy_of(data)?;
        check_size(bytes.len())?;
        let access = match access {
            "read" => Access::READ,
            "write" => Access::WRITE,
            _ => return Err(PyValueError::new_err(format!("unknown access {access:?}"))),
        };
        match self.state().stream.register(Memory::from(bytes), access) {
            Ok(remote) => Ok((remote.tag, remote.offset, remote.bytes)),
            Err((refused, _)) => Err(PyOSError::new_err(refused.to_string())),
        }
    }

    fn release<'py>(&self, py: Python<'py>, tag: u32) -> Option<Bound<'py, PyBytes>> {
        let memory = self.state().stream.release(tag)?;
        Some(PyBytes::new(py, memory.as_slice()))
    }

    #[getter]
    fn has_begun(&self) -> bool {
        self.state().stream.has_begun()
    }

    #[getter]
    fn registered(&self) -> usize {
        self.state().stream.registered()
    }

    #[getter]
    fn moved(&self) -> (u64, u64) {
        self.state().stream.moved()
    }
}
