//! openat2, statx, utimensat, renameat2 and fallocate for Python, run in the calling thread with the GIL released.

use std::ffi::CString;
use std::io;
use std::os::fd::{IntoRawFd, RawFd};

use frevo_dataplane::memory;
use frevo_dataplane::syscalls::{self, FileStatus};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

/// OSError(errno, text, filename), of the right subclass, as Python's own os functions raise it.
pub(crate) fn os_error(py: Python<'_>, errno: i32, path: Option<&[u8]>) -> PyErr {
    let text = io::Error::from_raw_os_error(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default().to_owned();
    match path {
        Some(path) => PyOSError::new_err((errno, text, PyBytes::new(py, path).unbind())),
        None => PyOSError::new_err((errno, text)),
    }
}

/// The path as a C string; ValueError if it contains a NUL.
pub(crate) fn c_path(path: &[u8]) -> PyResult<CString> {
    CString::new(path).map_err(|_| PyValueError::new_err("embedded null byte in path"))
}

/// Runs `call` without the GIL and again after a signal, whose Python handler runs in between (PEP 475).
fn interruptible<T: Send>(
    py: Python<'_>,
    path: Option<&[u8]>,
    call: impl Fn() -> io::Result<T> + Send + Sync,
) -> PyResult<T> {
    loop {
        match py.detach(&call) {
            Ok(value) => return Ok(value),
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => py.check_signals()?,
            Err(error) => return Err(os_error(py, error.raw_os_error().unwrap_or(libc::EIO), path)),
        }
    }
}

/// A FileStatus as the tuple that `frevo.aio.syscalls.FileStatus` is made of.
pub(crate) fn status_tuple<'py>(py: Python<'py>, s: &FileStatus) -> PyResult<Bound<'py, PyTuple>> {
    let times = [s.atime, s.btime, s.ctime, s.mtime];
    let head = [u64::from(s.dev_major), u64::from(s.dev_minor), s.ino, u64::from(s.mode), u64::from(s.nlink)];
    let sizes = [u64::from(s.uid), u64::from(s.gid), s.size, s.blocks];
    let mut fields = Vec::with_capacity(16);
    for value in head.into_iter().chain(sizes) {
        fields.push(value.into_pyobject(py)?.into_any());
    }
    for value in times {
        fields.push(value.into_pyobject(py)?.into_any());
    }
    fields.push(s.attributes.into_pyobject(py)?.into_any());
    fields.push(s.mnt_id.into_pyobject(py)?.into_any());
    fields.push(s.file_id.into_pyobject(py)?.into_any());
    PyTuple::new(py, fields)
}

/// openat2(2): a new descriptor. Close-on-exec is the caller's choice (O_CLOEXEC in flags).
#[pyfunction]
fn openat2(
    py: Python<'_>,
    dirfd: RawFd,
    path: &[u8],
    flags: u64,
    mode: u64,
    resolve: u64,
) -> PyResult<RawFd> {
    let name = c_path(path)?;
    interruptible(py, Some(path), || syscalls::openat2(dirfd, &name, flags, mode, resolve))
        .map(IntoRawFd::into_raw_fd)
}

/// statx(2) as a tuple of 16 integers.
#[pyfunction]
fn statx<'py>(py: Python<'py>, dirfd: RawFd, path: &[u8], flags: i32) -> PyResult<Bound<'py, PyTuple>> {
    let name = c_path(path)?;
    let status = interruptible(py, Some(path), || syscalls::statx(dirfd, &name, flags))?;
    status_tuple(py, &status)
}

/// utimensat(2) with FILETIME; None leaves a time. Without a path it is the descriptor's file.
#[pyfunction]
#[pyo3(signature = (dirfd, path, accessed, written))]
fn set_times(
    py: Python<'_>,
    dirfd: RawFd,
    path: Option<&[u8]>,
    accessed: Option<i64>,
    written: Option<i64>,
) -> PyResult<()> {
    if accessed.is_some_and(i64::is_negative) || written.is_some_and(i64::is_negative) {
        return Err(PyValueError::new_err("a FILETIME is not negative"));
    }
    let name = path.map(c_path).transpose()?;
    interruptible(py, path, || syscalls::set_times(dirfd, name.as_deref(), accessed, written))
}

/// renameat2(2).
#[pyfunction]
fn renameat2(
    py: Python<'_>,
    olddirfd: RawFd,
    old: &[u8],
    newdirfd: RawFd,
    new: &[u8],
    flags: u32,
) -> PyResult<()> {
    let (from, to) = (c_path(old)?, c_path(new)?);
    interruptible(py, Some(old), || syscalls::renameat2(olddirfd, &from, newdirfd, &to, flags))
}

/// fallocate(2).
#[pyfunction]
fn fallocate(py: Python<'_>, fd: RawFd, mode: i32, offset: i64, length: i64) -> PyResult<()> {
    interruptible(py, None, || syscalls::fallocate(fd, mode, offset, length))
}

/// mallopt(3) for the whole process.
#[pyfunction]
fn return_memory(block: i32, end: i32) -> bool {
    memory::return_memory(block, end)
}

/// Adds the functions of this file to the module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(openat2, module)?)?;
    module.add_function(wrap_pyfunction!(statx, module)?)?;
    module.add_function(wrap_pyfunction!(set_times, module)?)?;
    module.add_function(wrap_pyfunction!(renameat2, module)?)?;
    module.add_function(wrap_pyfunction!(fallocate, module)?)?;
    module.add_function(wrap_pyfunction!(return_memory, module)?)
}
