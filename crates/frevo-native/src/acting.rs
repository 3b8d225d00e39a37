//! Acting as a Unix user in the calling thread, for `frevo.aio.acting`.

use std::cell::RefCell;
use std::sync::Arc;

use frevo_dataplane::acting::{self, Credentials};
use pyo3::prelude::*;

use crate::syscalls::os_error;

thread_local! {
    /// The user that this thread acts as; None: as the process does.
    static ACTING: RefCell<Option<Py<UnixIdentity>>> = const { RefCell::new(None) };
}

/// A Unix user for file access; create one object per user and keep it, as a switch to the same object is free.
#[pyclass(frozen, module = "frevo._native")]
pub(crate) struct UnixIdentity {
    pub(crate) credentials: Arc<Credentials>,
}

#[pymethods]
impl UnixIdentity {
    #[new]
    fn new(uid: u32, gid: u32, groups: Vec<u32>) -> Self {
        UnixIdentity { credentials: Arc::new(Credentials::new(uid, gid, groups)) }
    }

    #[getter]
    fn uid(&self) -> u32 {
        self.credentials.uid
    }

    #[getter]
    fn gid(&self) -> u32 {
        self.credentials.gid
    }

    #[getter]
    fn groups(&self) -> Vec<u32> {
        self.credentials.groups.clone()
    }

    fn __repr__(&self) -> String {
        format!("<UnixIdentity uid={} gid={}>", self.credentials.uid, self.credentials.gid)
    }
}

/// Makes this thread act as `who`; None: as the process. OSError if the kernel refuses; then it acts as the process.
#[pyfunction]
#[pyo3(signature = (who, /))]
fn act_as(py: Python<'_>, who: Option<Bound<'_, UnixIdentity>>) -> PyResult<()> {
    let result = match &who {
        Some(identity) => identity.get().credentials.enter(),
        None => acting::leave(),
    };
    let done = result.is_ok();
    // Replaced first and dropped afterwards: dropping may run code that asks who is acting.
    let before = ACTING.with(|acting| acting.replace(if done { who.map(Bound::unbind) } else { None }));
    drop(before);
    result.map_err(|error| os_error(py, error.raw_os_error().unwrap_or(libc::EPERM), None))
}

/// The user that this thread acts as; None: as the process does.
#[pyfunction]
fn acting_as(py: Python<'_>) -> Option<Py<UnixIdentity>> {
    ACTING.with(|acting| acting.borrow().as_ref().map(|who| who.clone_ref(py)))
}

/// Removes a capability (by number) from the effective set of this thread and of those that it creates from now on.
#[pyfunction]
fn drop_capability(py: Python<'_>, capability: u32) -> PyResult<()> {
    acting::drop_capability(capability)
        .map_err(|error| os_error(py, error.raw_os_error().unwrap_or(libc::EPERM), None))
}

/// Adds the class and functions of this file to the module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<UnixIdentity>()?;
    module.add_function(wrap_pyfunction!(act_as, module)?)?;
    module.add_function(wrap_pyfunction!(acting_as, module)?)?;
    module.add_function(wrap_pyfunction!(drop_capability, module)?)
}
