//! The Python module `frevo._native`: PyO3 only, everything that works lives in `frevo-dataplane`.
#![deny(clippy::undocumented_unsafe_blocks)]

mod ring;
mod syscalls;

use pyo3::prelude::*;

/// The data plane of frevo: connections, packet protection and the fast path.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    ring::register(module)?;
    syscalls::register(module)?;
    Ok(())
}
