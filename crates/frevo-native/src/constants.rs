//! The numbers that both planes use: each is defined once, in Rust, and Python reads it from here.

use frevo_dataplane::conn::{CLOSE_AFTER, ENCRYPT};
use frevo_dataplane::event::Event;
use frevo_dataplane::limits;
use frevo_dataplane::pump::{self, SHORT_READ, WRONG_DATA};
use pyo3::prelude::*;

use crate::convert;

/// How many descriptors are for (connections, files).
#[pyfunction]
fn descriptor_shares() -> (usize, usize) {
    limits::descriptor_shares()
}

/// The histogram's bucket for a latency.
#[pyfunction]
fn bucket_of(ns: u64) -> usize {
    pump::bucket_of(ns)
}

/// The shortest latency of a bucket.
#[pyfunction]
fn bucket_floor(bucket: usize) -> u128 {
    pump::bucket_floor(bucket)
}

/// Adds them to the module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("ACCEPTED", Event::ACCEPTED)?;
    module.add("MESSAGE", Event::MESSAGE)?;
    module.add("CLOSED", Event::CLOSED)?;
    module.add("REJECTED", Event::REJECTED)?;
    module.add("IDLE", Event::IDLE)?;
    module.add("PUMP", Event::PUMP)?;
    module.add("CREDITS", Event::CREDITS)?;
    module.add("SECURED", Event::SECURED)?;
    module.add("MOVED", Event::MOVED)?;
    module.add("ENCRYPTED", Event::ENCRYPTED)?;
    module.add("ENCRYPT", ENCRYPT)?;
    module.add("CLOSE_AFTER", CLOSE_AFTER)?;
    module.add("WRONG_DATA", WRONG_DATA)?;
    module.add("SHORT_READ", SHORT_READ)?;
    module.add("FRAME_OVERHEAD", limits::FRAME_OVERHEAD)?;
    module.add("DEFAULT_LIMITS", convert::default_limits(module.py())?)?;
    module.add_function(wrap_pyfunction!(descriptor_shares, module)?)?;
    module.add_function(wrap_pyfunction!(bucket_of, module)?)?;
    module.add_function(wrap_pyfunction!(bucket_floor, module)?)
}
