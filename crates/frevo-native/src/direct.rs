//! `SmbDirect`: that a connection is carried by SMB Direct, and how.

use std::sync::Arc;
use std::time::{Duration, Instant};

use frevo_dataplane::conn::direct::{Direct, Process, Provider, Settings, Status};
use frevo_dataplane::conn::{Connection, Role};
use frevo_dataplane::engine::Transport;
use frevo_dataplane::event::Flow;
use frevo_dataplane::framing::Framing;
use frevo_dataplane::limits::Limits;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// What one end of SMB Direct offers.
#[pyclass(frozen, module = "frevo._native")]
pub(crate) struct SmbDirect {
    inner: Settings,
}

#[pymethods]
impl SmbDirect {
    #[new]
    #[pyo3(signature = (
        provider, *, send_size = None, receive_size = None, fragmented_size = None, credits = None,
        read_write_size = None, keepalive = None, checksums = false, segment_size = None, reads = None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        provider: &str,
        send_size: Option<u32>,
        receive_size: Option<u32>,
        fragmented_size: Option<u32>,
        credits: Option<u16>,
        read_write_size: Option<u32>,
        keepalive: Option<f64>,
        checksums: bool,
        segment_size: Option<usize>,
        reads: Option<u16>,
    ) -> PyResult<SmbDirect> {
        let refused = || PyValueError::new_err(format!("unknown provider {provider:?}"));
        let usual = Settings::new(Provider::by_name(provider).ok_or_else(refused)?);
        let keepalive = match keepalive {
            None => usual.keepalive,
            Some(seconds) => Duration::try_from_secs_f64(seconds)
                .map_err(|_| PyValueError::new_err("keepalive is no time"))?,
        };
        let inner = Settings {
            send_bytes: send_size.unwrap_or(usual.send_bytes),
            receive_bytes: receive_size.unwrap_or(usual.receive_bytes),
            fragmented_bytes: fragmented_size.unwrap_or(usual.fragmented_bytes),
            credits: credits.unwrap_or(usual.credits),
            read_write_bytes: read_write_size.unwrap_or(usual.read_write_bytes),
            keepalive,
            checksums,
            segment_bytes: segment_size.unwrap_or(usual.segment_bytes),
            reads: reads.unwrap_or(usual.reads),
            ..usual
        };
        Ok(SmbDirect { inner })
    }

    /// What carries it.
    #[getter]
    fn provider(&self) -> &'static str {
        self.inner.provider.name()
    }
}

impl SmbDirect {
    pub(crate) fn settings(&self) -> Settings {
        self.inner
    }
}

/// The name of a framing or a provider, or `SmbDirect`: of what goes over a stream socket.
pub(crate) fn transport(framing: &Bound<'_, PyAny>) -> PyResult<Transport> {
    let settings = if let Ok(direct) = framing.cast::<SmbDirect>() {
        direct.get().inner
    } else {
        let name: String = framing.extract()?;
        match (Framing::by_name(&name), Provider::by_name(&name)) {
            (Some(framing), _) => return Ok(framing.into()),
            (None, Some(provider)) => Settings::new(provider),
            (None, None) => return Err(PyValueError::new_err(format!("unknown framing {name:?}"))),
        }
    };
    match settings.provider {
        Provider::Verbs => Err(PyValueError::new_err("RDMA devices have no sockets")),
        Provider::Iwarp | Provider::Emulated => Ok(settings.into()),
    }
}

/// A connection without a socket; both ends are in this process.
pub(crate) fn connection(
    id: u64,
    transport: Transport,
    role: Role,
    flow: Arc<Flow>,
    limits: &Limits,
) -> Connection {
    let settings = match transport {
        Transport::Framed(framing) => return Connection::new(id, framing, role, flow, limits),
        // Nobody here loses what comes at once.
        Transport::Direct(settings) => Settings { patience: Duration::ZERO, ..settings },
    };
    let mut connection = Connection::new(id, Framing::Tcp, role, flow, limits);
    let emulated = settings.provider == Provider::Emulated;
    let process = emulated.then(|| Box::new(Process::myself()) as _);
    connection.run_over(Direct::new(&settings, role, Instant::now(), process));
    connection
}

/// The state of a connection, by name.
pub(crate) fn status<'py>(py: Python<'py>, status: &Status) -> PyResult<Bound<'py, PyDict>> {
    let found = PyDict::new(py);
    found.set_item("provider", status.provider)?;
    found.set_item("direct", status.direct)?;
    found.set_item("send_size", status.send_size)?;
    found.set_item("receive_size", status.receive_size)?;
    found.set_item("message_size", status.message_size)?;
    found.set_item("send_credits", status.send_credits)?;
    found.set_item("receive_credits", status.receive_credits)?;
    found.set_item("bytes_sent", status.bytes_sent)?;
    found.set_item("bytes_received", status.bytes_received)?;
    found.set_item("registrations", status.registrations)?;
    Ok(found)
}
