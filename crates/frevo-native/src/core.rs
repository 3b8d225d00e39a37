//! `Core`: one connection of the data plane without a socket, for the memory transport.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use frevo_dataplane::conn::{Connection, Host};
use frevo_dataplane::event::{Event, Flow};
use frevo_dataplane::framing::Framing;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::attached::SessionOpens;
use crate::convert;
use crate::direct;
use crate::keys::{copy_of, SessionKeys};
use crate::plane::role;
use crate::records::ConnectionSettings;

struct State {
    connection: Connection,
    host: Host,
    closed: bool,
}

impl State {
    /// Reports the end of the connection once.
    fn end(&mut self, reason: frevo_dataplane::event::Reason) {
        if !std::mem::replace(&mut self.closed, true) {
            self.connection.close_after_output();
            self.host.events.push(Event::Closed { connection: self.connection.id(), reason });
        }
    }
}

/// The code that runs behind every socket, fed by hand.
#[pyclass(frozen, module = "frevo._native")]
pub(crate) struct Core {
    state: Mutex<State>,
}

impl Core {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Core {
    #[new]
    #[pyo3(signature = (*, connection = 1, framing = None, role = "server", limits = None))]
    fn new(
        connection: u64,
        framing: Option<&Bound<'_, PyAny>>,
        role: &str,
        limits: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Core> {
        let limits = Arc::new(convert::limits(limits)?);
        let (transport, role) =
            (framing.map_or(Ok(Framing::Tcp.into()), direct::transport)?, self::role(role)?);
        let flow = Arc::new(Flow::new(None));
        let connection = direct::connection(connection, transport, role, flow, &limits);
        let host = Host::new(limits, Arc::default(), Arc::new(AtomicBool::new(true)), Instant::now());
        Ok(Core { state: Mutex::new(State { connection, host, closed: false }) })
    }

    fn feed<'py>(&self, py: Python<'py>, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        let mut bytes = copy_of(data)?;
        let mut state = self.state();
        let State { connection, host, closed } = &mut *state;
        host.now = Instant::now();
        if !*closed {
            if let Err(reason) = connection.feed(&mut bytes, host) {
                state.end(reason);
            }
        }
        let batch = std::mem::take(&mut state.host.events);
        drop(state);
        convert::events(py, batch)
    }

    /// Continues with input that waited for output to be taken or messages to be released.
    fn resume<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let mut state = self.state();
        let State { connection, host, closed } = &mut *state;
        if !*closed {
            if let Err(reason) = connection.resume(host) {
                state.end(reason);
            }
        }
        let batch = std::mem::take(&mut state.host.events);
        drop(state);
        convert::events(py, batch)
    }

    fn submit(&self, batch: &Bound<'_, PyAny>) -> PyResult<()> {
        let batch = convert::submissions(batch)?;
        let mut state = self.state();
        for (_, submission) in batch {
            let State { connection, host, .. } = &mut *state;
            if let Err(reason) = connection.submit(submission, &host.stats) {
                state.end(reason);
            }
        }
        Ok(())
    }

    fn take_output<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let mut state = self.state();
        let State { connection, host, .. } = &mut *state;
        host.now = Instant::now();
        let mut all = Vec::new();
        loop {
            // What cannot be read any more was never there: the frame is incomplete, and the connection of no use.
            let loaded = connection.load(host);
            let some = connection.output().take_all(&mut host.pool);
            match (loaded, all.is_empty()) {
                (Ok(()), _) if some.is_empty() => break,
                (Ok(()), true) => all = some,
                (Ok(()), false) => all.extend(some),
                (Err(reason), _) => {
                    all.extend(some);
                    state.end(reason);
                    break;
                }
            }
        }
        PyBytes::new(py, &all)
    }

    /// True if the connection is to be closed once its output is taken.
    #[getter]
    fn closing(&self) -> bool {
        let state = self.state();
        state.closed || state.connection.is_closing()
    }

    #[pyo3(signature = (session_id, keys, opens = None))]
    fn set_session(&self, session_id: u64, keys: &SessionKeys, opens: Option<&SessionOpens>) {
        let opens = opens.map(|opens| opens.inner.clone()).unwrap_or_default();
        let mut state = self.state();
        if let Err(reason) = state.connection.set_session(session_id, keys.inner.clone(), opens) {
            state.end(reason);
        }
    }

    fn drop_session(&self, session_id: u64) {
        self.state().connection.drop_session(session_id);
    }

    fn set_connection(&self, settings: &ConnectionSettings) {
        self.state().connection.set_settings(settings.inner);
    }

    fn fast_echo(&self, on: bool) {
        self.state().host.fast_echo.store(on, std::sync::atomic::Ordering::Relaxed);
    }

    fn close(&self) {
        self.state().end("closed by the server".into());
    }

    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let values = PyDict::new(py);
        for (name, value) in self.state().host.stats.snapshot() {
            values.set_item(name, value)?;
        }
        Ok(values)
    }
}
