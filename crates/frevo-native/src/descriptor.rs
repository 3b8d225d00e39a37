//! `frevo._native.Descriptor`: the owner of a file descriptor, and when it may be closed. See `frevo.aio.descriptor`.

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;

use crate::syscalls::os_error;

/// `close` was called; the bits below count the holders of the descriptor.
const CLOSED: u64 = 1 << 63;

/// Owns a file descriptor. Every method may be called from any thread.
#[pyclass(frozen, module = "frevo._native")]
pub(crate) struct Descriptor {
    number: RawFd,
    state: AtomicU64,
}

impl Descriptor {
    /// Called once, when it is closed and no one holds it or ever can again.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        if self.number < 0 {
            return Ok(());
        }
        let closed = py.detach(|| {
            // SAFETY: this object owns the number, and nothing uses it any more.
            match unsafe { libc::close(self.number) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        });
        // Linux has closed it, also where it says EINTR.
        match closed.map_err(|error| error.raw_os_error().unwrap_or(libc::EIO)) {
            Err(errno) if errno != libc::EINTR => Err(os_error(py, errno, None)),
            _ => Ok(()),
        }
    }
}

#[pymethods]
impl Descriptor {
    #[new]
    fn new(number: RawFd) -> Self {
        Descriptor { number, state: AtomicU64::new(0) }
    }

    #[getter]
    fn closed(&self) -> bool {
        self.state.load(Ordering::Acquire) & CLOSED != 0
    }

    fn fileno(&self, py: Python<'_>) -> PyResult<RawFd> {
        if self.closed() {
            return Err(os_error(py, libc::EBADF, None));
        }
        Ok(self.number)
    }

    fn hold(&self, py: Python<'_>) -> PyResult<RawFd> {
        let more = |state| (state != CLOSED).then_some(state + 1);
        match self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, more) {
            Ok(_) => Ok(self.number),
            Err(_) => Err(os_error(py, libc::EBADF, None)),
        }
    }

    fn release(&self, py: Python<'_>) -> PyResult<()> {
        let before = self.state.fetch_sub(1, Ordering::AcqRel);
        if before == CLOSED + 1 {
            return self.end(py);
        }
        Ok(())
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let before = self.state.fetch_or(CLOSED, Ordering::AcqRel);
        if before == 0 {
            return self.end(py);
        }
        Ok(())
    }

    fn __repr__(&self) -> String {
        format!("<Descriptor {}{}>", self.number, if self.closed() { " closed" } else { "" })
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // Holders have a reference, so there are none here.
        if self.number >= 0 && *self.state.get_mut() & CLOSED == 0 {
            // SAFETY: this object owns the number, and nothing uses it any more.
            unsafe { libc::close(self.number) };
        }
    }
}
