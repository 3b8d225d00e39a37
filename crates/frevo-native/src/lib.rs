//! The Python module `frevo._native`: PyO3 only; `frevo-dataplane` does the work.
#![deny(clippy::undocumented_unsafe_blocks)]

mod acting;
mod attached;
mod constants;
mod convert;
mod core;
mod descriptor;
mod direct;
mod keys;
mod lab;
mod plane;
mod pump;
mod rdma;
mod records;
mod ring;
mod syscalls;
mod tls;

use frevo_dataplane::memory::Blocks;
use pyo3::prelude::*;

#[global_allocator]
static ALLOCATOR: Blocks = Blocks;

/// The data plane of frevo: connections, packet protection and the fast path.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    constants::register(module)?;
    ring::register(module)?;
    syscalls::register(module)?;
    acting::register(module)?;
    attached::register(module)?;
    module.add_function(wrap_pyfunction!(keys::rc4, module)?)?;
    module.add_class::<descriptor::Descriptor>()?;
    module.add_class::<keys::SessionKeys>()?;
    module.add_class::<records::ConnectionSettings>()?;
    module.add_class::<records::PumpSettings>()?;
    module.add_class::<direct::SmbDirect>()?;
    module.add_class::<lab::RdmaEnd>()?;
    module.add_class::<rdma::RdmaListener>()?;
    module.add_class::<rdma::RdmaConnection>()?;
    module.add_class::<plane::DataPlane>()?;
    pump::register(module)?;
    module.add_class::<core::Core>()?;
    module.add_class::<tls::QuicServerTls>()?;
    module.add_class::<tls::QuicClientTls>()?;
    Ok(())
}
