//! The records that cross from Python as one object: each signature stands here once, for every kind of plane.

use std::os::fd::RawFd;
use std::sync::Arc;

use frevo_dataplane::conn;
use frevo_dataplane::fast::{self, OpenFile};
use pyo3::prelude::*;

use crate::keys::{Gate, Position};
use crate::plane::duplicate;

/// An open whose READs the data plane may answer by itself.
#[pyclass(frozen, module = "frevo._native")]
pub(crate) struct AttachedOpen {
    pub(crate) inner: fast::AttachedOpen,
}

#[pymethods]
impl AttachedOpen {
    #[new]
    #[pyo3(signature = (*, session_id, tree_id, file_id, fd, gate, encrypted_only = false,
                        position = None))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        session_id: u64,
        tree_id: u32,
        file_id: (u64, u64),
        fd: RawFd,
        gate: &Gate,
        encrypted_only: bool,
        position: Option<&Position>,
    ) -> PyResult<AttachedOpen> {
        let (persistent_id, volatile_id) = file_id;
        let file = Arc::new(OpenFile::new(duplicate(fd)?));
        let (gate, position) = (Arc::clone(&gate.inner), Position::shared(position));
        let inner = fast::AttachedOpen {
            session_id,
            tree_id,
            persistent_id,
            volatile_id,
            encrypted_only,
            position,
            gate,
            file,
        };
        Ok(AttachedOpen { inner })
    }
}

/// What was agreed on a connection.
#[pyclass(frozen, module = "frevo._native")]
pub(crate) struct ConnectionSettings {
    pub(crate) inner: conn::Settings,
}

#[pymethods]
impl ConnectionSettings {
    #[new]
    #[pyo3(signature = (*, authenticated, max_read, multi_credit, user = 0))]
    fn new(authenticated: bool, max_read: u32, multi_credit: bool, user: u64) -> ConnectionSettings {
        ConnectionSettings { inner: conn::Settings { authenticated, max_read, multi_credit, user } }
    }
}
