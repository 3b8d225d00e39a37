//! `DataPlane`: the threads, the sockets, the commands.

use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use frevo_dataplane::conn::Role;
use frevo_dataplane::engine::{self, Config};
use frevo_dataplane::ladder::{Rung, Splicing, WriteRung};
use frevo_dataplane::pipe::without_idle;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::attached::SessionOpens;
use crate::convert;
use crate::direct::{self, SmbDirect};
use crate::keys::SessionKeys;
use crate::pump::{Credits, Lent, Pump};
use crate::rdma::{RdmaConnection, RdmaListener};
use crate::records::{ConnectionSettings, PumpOwner, PumpSettings};
use crate::tls::{QuicClientTls, QuicServerTls};

/// Threads that own connections and answer requests that need no decision.
#[pyclass(frozen, module = "frevo._native")]
pub(crate) struct DataPlane {
    inner: engine::DataPlane,
    /// Memory of callers that pumps use, released once their end is seen.
    lent: Lent,
}

/// Our own descriptor of the same open file.
pub(crate) fn duplicate(fd: RawFd) -> PyResult<OwnedFd> {
    if fd < 0 {
        return Err(PyValueError::new_err("negative file descriptor"));
    }
    // SAFETY: borrowed for the dup call only; a descriptor that is not open makes it fail with EBADF.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    Ok(without_idle(|| fd.try_clone_to_owned())?)
}

/// A numeric address; of one link with the number of its interface: fe80::1%2.
pub(crate) fn address(host: &str, port: u16) -> PyResult<SocketAddr> {
    let text = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    text.parse().map_err(|_| PyValueError::new_err(format!("{host:?} is not a numeric address")))
}

/// "server" or "client".
pub(crate) fn role(name: &str) -> PyResult<Role> {
    match name {
        "server" => Ok(Role::Server),
        "client" => Ok(Role::Client),
        "relay" => Ok(Role::Relay),
        _ => Err(PyValueError::new_err(format!("unknown role {name:?}"))),
    }
}

/// Why each of some rungs is not used, by name.
fn reasons<'py, R: Copy>(
    py: Python<'py>,
    reasons: &[(R, String)],
    name: impl Fn(R) -> &'static str,
) -> PyResult<Bound<'py, PyDict>> {
    let found = PyDict::new(py);
    reasons.iter().try_for_each(|(rung, why)| found.set_item(name(*rung), why))?;
    Ok(found)
}

#[pymethods]
impl DataPlane {
    #[new]
    #[pyo3(signature = (
        *, threads, engine = "auto", role = "server", read_path = "auto", write_path = "auto", splice = "auto",
        limits = None
    ))]
    fn new(
        threads: usize,
        engine: &str,
        role: &str,
        read_path: &str,
        write_path: &str,
        splice: &str,
        limits: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<DataPlane> {
        let role = self::role(role)?;
        let limits = convert::limits(limits)?;
        let splicing = Splicing::named(splice)
            .ok_or_else(|| PyValueError::new_err(format!("splice cannot be {splice:?}")))?;
        let (engine, read_path, write_path) =
            (engine.to_owned(), read_path.to_owned(), write_path.to_owned());
        let config = Config { threads, engine, role, read_path, write_path, splicing, limits };
        Ok(DataPlane { inner: engine::DataPlane::start(config)?, lent: Lent::default() })
    }

    #[getter]
    fn engine(&self) -> &'static str {
        self.inner.engine()
    }

    /// Why that engine runs, in one sentence.
    #[getter]
    fn engine_reason(&self) -> &str {
        self.inner.engine_reason()
    }

    /// How large answers leave.
    #[getter]
    fn read_path(&self) -> &'static str {
        self.inner.ladder().rung.name()
    }

    /// Why they do not leave in another way, by its name.
    #[getter]
    fn unused_read_paths<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        reasons(py, &self.inner.ladder().reasons, Rung::name)
    }

    /// How the data of large WRITEs come.
    #[getter]
    fn write_path(&self) -> &'static str {
        self.inner.write_ladder().rung.name()
    }

    /// Why they do not come in another way, by its name.
    #[getter]
    fn unused_write_paths<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        reasons(py, &self.inner.write_ladder().reasons, WriteRung::name)
    }

    #[getter]
    fn eventfd(&self) -> RawFd {
        self.inner.event_fd()
    }

    fn listen(&self, fd: RawFd, framing: &Bound<'_, PyAny>) -> PyResult<u64> {
        Ok(self.inner.listen(duplicate(fd)?, direct::transport(framing)?))
    }

    fn close_listener(&self, listener: u64) {
        self.inner.close_listener(listener);
    }

    fn adopt(&self, fd: RawFd, framing: &Bound<'_, PyAny>) -> PyResult<u64> {
        Ok(self.inner.adopt(duplicate(fd)?, direct::transport(framing)?))
    }

    /// Takes a listener at RDMA devices.
    fn listen_rdma(&self, listener: &RdmaListener, direct: &SmbDirect) -> PyResult<u64> {
        Ok(self.inner.listen_device(listener.take()?, direct.settings()))
    }

    /// Takes a connection over an RDMA device.
    fn adopt_rdma(&self, connection: &RdmaConnection) -> PyResult<u64> {
        Ok(self.inner.adopt_device(connection.take()?))
    }

    /// Takes bound UDP sockets of one address, one for each I/O thread.
    fn listen_quic(&self, fds: Vec<RawFd>, tls: &QuicServerTls) -> PyResult<u64> {
        let sockets = fds.into_iter().map(duplicate).collect::<PyResult<Vec<_>>>()?;
        Ok(self.inner.listen_quic(sockets, tls.inner.clone())?)
    }

    fn set_quic_tls(&self, listener: u64, tls: &QuicServerTls) {
        self.inner.set_quic_tls(listener, tls.inner.clone());
    }

    /// Takes a UDP socket and connects to a numeric address.
    fn connect_quic(&self, fd: RawFd, host: &str, port: u16, tls: &QuicClientTls) -> PyResult<u64> {
        Ok(self.inner.connect_quic(duplicate(fd)?, address(host, port)?, tls.inner.clone()))
    }

    /// Takes a bound QUIC socket of the kernel.
    fn listen_quic_kernel(&self, fd: RawFd, tls: &QuicServerTls) -> PyResult<u64> {
        Ok(self.inner.listen_quic_kernel(duplicate(fd)?, tls.inner.clone())?)
    }

    /// Takes a QUIC socket of the kernel and connects to a numeric address.
    fn connect_quic_kernel(&self, fd: RawFd, host: &str, port: u16, tls: &QuicClientTls) -> PyResult<u64> {
        Ok(self.inner.connect_quic_kernel(duplicate(fd)?, address(host, port)?, tls.inner.clone())?)
    }

    #[pyo3(signature = (max_events = 1024, *, attended = false))]
    fn poll<'py>(&self, py: Python<'py>, max_events: usize, attended: bool) -> PyResult<Bound<'py, PyList>> {
        let events = if attended { self.inner.poll_on(max_events) } else { self.inner.poll(max_events) };
        self.lent.release(&events);
        convert::events(py, events)
    }

    fn rest(&self) {
        self.inner.rest();
    }

    fn submit(&self, batch: &Bound<'_, PyAny>) -> PyResult<()> {
        self.inner.submit(convert::submissions(batch)?);
        Ok(())
    }

    #[pyo3(signature = (connection, session_id, keys, opens = None))]
    fn set_session(
        &self,
        connection: u64,
        session_id: u64,
        keys: &SessionKeys,
        opens: Option<&SessionOpens>,
    ) {
        let opens = opens.map(|opens| opens.inner.clone()).unwrap_or_default();
        self.inner.set_session(connection, session_id, keys.inner.clone(), opens);
    }

    fn drop_session(&self, connection: u64, session_id: u64) {
        self.inner.drop_session(connection, session_id);
    }

    fn set_connection(&self, connection: u64, settings: &ConnectionSettings) {
        self.inner.set_connection(connection, settings.inner);
    }

    /// Whether some user may have too many unread responses.
    #[getter]
    fn pressed(&self) -> bool {
        self.inner.limits().max_unread_bytes.is_pressed()
    }

    /// Whether this user has too many unread responses.
    fn is_over(&self, user: u64) -> bool {
        let unread = &self.inner.limits().max_unread_bytes;
        unread.is_over(&unread.share(user))
    }

    fn fast_echo(&self, on: bool) {
        self.inner.fast_echo(on);
    }

    fn set_credits(&self, connection: u64, credits: &Credits) {
        self.inner.set_credits(connection, credits.inner.clone());
    }

    /// A pump that does not begin yet.
    #[pyo3(signature = (connection, settings, *, session_id, tree_id, encrypt, sign))]
    #[allow(clippy::too_many_arguments)]
    fn pump(
        &self,
        py: Python<'_>,
        connection: u64,
        settings: &PumpSettings,
        session_id: u64,
        tree_id: u32,
        encrypt: bool,
        sign: bool,
    ) -> PyResult<Pump> {
        let id = self.inner.new_pump();
        let owner = PumpOwner { session_id, tree_id, encrypt, sign };
        let (settings, buffer) = settings.begin(py, id, &owner)?;
        self.lent.lend(id, buffer);
        Ok(Pump::new(connection, settings))
    }

    /// Starts pumps of this plane, each once.
    fn begin_pumps(&self, py: Python<'_>, pumps: Vec<PyRef<'_, Pump>>) {
        let begun: Vec<_> = pumps.iter().filter_map(|pump| pump.begin()).collect();
        py.detach(|| {
            begun.into_iter().for_each(|(connection, settings)| self.inner.pump(connection, settings))
        });
    }

    #[pyo3(signature = (connection, pump, now = false))]
    fn stop_pump(&self, connection: u64, pump: u64, now: bool) {
        self.inner.stop_pump(connection, pump, now);
    }

    #[pyo3(signature = (connection, abort = false))]
    fn close(&self, connection: u64, abort: bool) {
        self.inner.close(connection, abort);
    }

    /// How the SMB Direct of a connection is.
    fn smb_direct<'py>(&self, py: Python<'py>, connection: u64) -> PyResult<Option<Bound<'py, PyDict>>> {
        self.inner.smb_direct(connection).map(|status| direct::status(py, &status)).transpose()
    }

    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let values = PyDict::new(py);
        for (name, value) in self.inner.statistics() {
            values.set_item(name, value)?;
        }
        Ok(values)
    }

    fn shutdown(&self, py: Python<'_>) {
        py.detach(|| self.inner.shutdown());
        self.lent.release_all();
    }
}
