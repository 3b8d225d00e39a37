//! `RdmaListener`, `RdmaConnection`: what listening and connected sockets are for TCP, for RDMA devices.

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::{Mutex, PoisonError};

use frevo_dataplane::conn::direct::Settings;
use frevo_dataplane::engine::device::{door, Dial};
use pyo3::exceptions::{PyConnectionError, PyValueError};
use pyo3::prelude::*;

use crate::direct::SmbDirect;
use crate::plane::address;

/// What is there until it is taken or closed.
#[derive(Debug)]
struct Held<T>(Mutex<Option<T>>);

impl<T> Held<T> {
    fn new(value: T) -> Held<T> {
        Held(Mutex::new(Some(value)))
    }

    fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn with<R>(&self, use_it: impl FnOnce(&mut T) -> R) -> PyResult<R> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_mut().map(use_it).ok_or_else(closed)
    }
}

fn closed() -> PyErr {
    PyValueError::new_err("it is closed, or the data plane has it")
}

/// Listens at RDMA devices.
#[pyclass(frozen, module = "frevo._native")]
pub(crate) struct RdmaListener {
    inner: Held<frevo_dataplane::engine::device::Listener>,
    local: SocketAddr,
}

#[pymethods]
impl RdmaListener {
    #[new]
    fn new(host: &str, port: u16) -> PyResult<RdmaListener> {
        let wanted = address(host, port)?;
        let inner = door(wanted)?;
        let local = inner.local().unwrap_or(wanted);
        Ok(RdmaListener { inner: Held::new(inner), local })
    }

    /// (host, port).
    fn getsockname(&self) -> (String, u16) {
        (self.local.ip().to_string(), self.local.port())
    }

    fn close(&self) {
        drop(self.inner.take());
    }
}

impl RdmaListener {
    pub(crate) fn take(&self) -> PyResult<frevo_dataplane::engine::device::Listener> {
        self.inner.take().ok_or_else(closed)
    }
}

/// A connection over an RDMA device that nobody has yet.
#[pyclass(frozen, module = "frevo._native")]
pub(crate) struct RdmaConnection {
    inner: Held<Dial>,
}

#[pymethods]
impl RdmaConnection {
    #[new]
    fn new(host: &str, port: u16, direct: &SmbDirect) -> PyResult<RdmaConnection> {
        let settings: Settings = direct.settings();
        Ok(RdmaConnection { inner: Held::new(Dial::new(address(host, port)?, settings)?) })
    }

    fn fileno(&self) -> PyResult<RawFd> {
        self.inner.with(|dial| dial.descriptor())
    }

    fn advance(&self) -> PyResult<bool> {
        let advanced = self.inner.with(Dial::advance)?;
        advanced.map_err(|ended| PyConnectionError::new_err(ended.to_string()))
    }

    fn close(&self) {
        drop(self.inner.take());
    }
}

impl RdmaConnection {
    pub(crate) fn take(&self) -> PyResult<Dial> {
        self.inner.take().ok_or_else(closed)
    }
}
