//! The records that Python passes as one object, so that each signature exists once.

use std::os::fd::RawFd;
use std::sync::Arc;

use frevo_dataplane::conn;
use frevo_dataplane::fast::OpenFile;
use frevo_dataplane::pump::{self, Kind, Memory, Place, PumpId, Shared};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::plane::duplicate;
use crate::pump::LentBuffer;

/// What was agreed on a connection.
#[pyclass(frozen, module = "frevo._native")]
pub(crate) struct ConnectionSettings {
    pub(crate) inner: conn::Settings,
}

#[pymethods]
impl ConnectionSettings {
    #[new]
    #[pyo3(signature = (*, authenticated, max_read, multi_credit, max_write = 0, user = 0, rdma = 0,
                        rdma_threshold = 0))]
    fn new(
        authenticated: bool,
        max_read: u32,
        multi_credit: bool,
        max_write: u32,
        user: u64,
        rdma: u8,
        rdma_threshold: u32,
    ) -> ConnectionSettings {
        let inner =
            conn::Settings { authenticated, max_read, max_write, multi_credit, user, rdma, rdma_threshold };
        ConnectionSettings { inner }
    }
}

/// What a pump moves, and how.
#[pyclass(frozen, module = "frevo._native")]
pub(crate) struct PumpSettings {
    kind: Kind,
    files: Vec<(u64, u64)>,
    bodies: Vec<Vec<u8>>,
    io_size: u32,
    window: u32,
    offset: u64,
    length: u64,
    read_percent: u8,
    random: bool,
    seed: u64,
    looped: bool,
    operations: u64,
    keep_going: bool,
    verify: bool,
    /// Our own descriptor of the local file, and the offset in it.
    file: Option<(Arc<OpenFile>, u64)>,
    buffer: Option<Py<PyAny>>,
}

#[pymethods]
impl PumpSettings {
    #[new]
    #[pyo3(signature = (kind, *, files = vec![], bodies = vec![], io_size = 0, window = 1, offset = 0, length = 0,
                        read_percent = 70, random = false, seed = 0, r#loop = false, operations = 0, keep_going = false,
                        verify = false, fd = None, local_offset = 0, buffer = None))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        kind: &str,
        files: Vec<(u64, u64)>,
        bodies: Vec<Vec<u8>>,
        io_size: u32,
        window: u32,
        offset: u64,
        length: u64,
        read_percent: u8,
        random: bool,
        seed: u64,
        r#loop: bool,
        operations: u64,
        keep_going: bool,
        verify: bool,
        fd: Option<RawFd>,
        local_offset: u64,
        buffer: Option<Py<PyAny>>,
    ) -> PyResult<PumpSettings> {
        let kind =
            Kind::by_name(kind).ok_or_else(|| PyValueError::new_err(format!("unknown kind {kind:?}")))?;
        let file = match fd {
            Some(fd) => Some((Arc::new(OpenFile::new(duplicate(fd)?)), local_offset)),
            None => None,
        };
        Ok(PumpSettings {
            kind,
            files,
            bodies,
            io_size,
            window,
            offset,
            length,
            read_percent,
            random,
            seed,
            looped: r#loop,
            operations,
            keep_going,
            verify,
            file,
            buffer,
        })
    }

    #[getter]
    fn kind(&self) -> &'static str {
        self.kind.name()
    }

    #[getter]
    fn io_size(&self) -> u32 {
        self.io_size
    }
}

/// On whose behalf a pump sends its requests.
pub(crate) struct PumpOwner {
    pub(crate) session_id: u64,
    pub(crate) tree_id: u32,
    pub(crate) encrypt: bool,
    pub(crate) sign: bool,
}

impl PumpSettings {
    /// The settings of a new pump, and the export of the caller's buffer that it uses.
    pub(crate) fn begin(
        &self,
        py: Python<'_>,
        id: PumpId,
        owner: &PumpOwner,
    ) -> PyResult<(pump::Settings, Option<LentBuffer>)> {
        let (place, buffer) = self.place(py)?;
        let settings = pump::Settings {
            id,
            session_id: owner.session_id,
            tree_id: owner.tree_id,
            encrypt: owner.encrypt,
            sign: owner.sign,
            kind: self.kind,
            files: self.files.clone(),
            bodies: self.bodies.clone(),
            io_size: self.io_size,
            window: self.window,
            offset: self.offset,
            length: self.length,
            read_percent: self.read_percent,
            random: self.random,
            seed: self.seed,
            looped: self.looped,
            operations: self.operations,
            keep_going: self.keep_going,
            place,
            shared: Arc::new(Shared::new(self.kind)),
        };
        match settings.problem() {
            Some(problem) => Err(PyValueError::new_err(problem)),
            None => Ok((settings, buffer)),
        }
    }

    fn place(&self, py: Python<'_>) -> PyResult<(Place, Option<LentBuffer>)> {
        if let Some((file, offset)) = &self.file {
            return Ok((Place::File(file.clone(), *offset), None));
        }
        let Some(object) = &self.buffer else {
            return Ok((if self.verify { Place::Verify } else { Place::Nowhere }, None));
        };
        let buffer = PyBuffer::<u8>::get(object.bind(py))?;
        if !buffer.is_c_contiguous() || self.kind == Kind::Read && buffer.readonly() {
            return Err(PyValueError::new_err("the buffer must be contiguous, and writable for reads"));
        }
        // SAFETY: `Lent` keeps the export of the buffer until the pump's end was taken from the queue of events and nobody has
        // its users any more, or until the threads have ended; an exported buffer is neither moved nor freed.
        let memory = unsafe { Memory::new(buffer.buf_ptr().cast(), buffer.len_bytes()) };
        let users = memory.users();
        Ok((Place::Memory(memory), Some((buffer, users))))
    }
}
