//! `QuicServerTls` and `QuicClientTls`: what the ends of SMB over QUIC present and demand of each other.

use std::path::PathBuf;
use std::sync::Arc;

use frevo_dataplane::quic::access::{unknown, Entry, Property};
use frevo_dataplane::quic::client::{ClientParts, ClientTls, Verify};
use frevo_dataplane::quic::server::{ClientAccess, ServerParts, ServerTls};
use frevo_dataplane::quic::{BuildError, Unusable};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

type Chain = Vec<Vec<u8>>;

/// What a listener of SMB over QUIC presents and demands; unchangeable.
#[pyclass(frozen, module = "frevo._native")]
pub(crate) struct QuicServerTls {
    pub(crate) inner: Arc<ServerTls>,
}

/// What a client of SMB over QUIC demands of a server, and presents; unchangeable.
#[pyclass(frozen, module = "frevo._native")]
pub(crate) struct QuicClientTls {
    pub(crate) inner: Arc<ClientTls>,
}

fn unusable(error: Unusable) -> PyErr {
    PyValueError::new_err(error.0)
}

fn failed(error: BuildError) -> PyErr {
    match error {
        BuildError::Unusable(error) => unusable(error),
        BuildError::KeyLog(error) => error.into(),
    }
}

fn entry((allow, kind, value): (bool, String, Bound<'_, PyAny>)) -> PyResult<Entry> {
    let property = match kind.as_str() {
        "sha256" => Property::of_sha256(&value.extract::<Vec<u8>>()?),
        "issuer" | "subject" => Property::of_name(&kind, value.extract()?),
        "san" => Property::of_alternative(&value.extract::<String>()?),
        _ => Err(unknown(&kind)),
    };
    Ok(Entry { allow, property: property.map_err(unusable)? })
}

/// The machine, as far as it tells: containers may share the first of these, and have names of their own.
fn machine() -> Vec<u8> {
    ["/etc/machine-id", "/proc/sys/kernel/hostname"]
        .iter()
        .flat_map(|path| std::fs::read(path).unwrap_or_default())
        .collect()
}

#[pymethods]
impl QuicServerTls {
    #[new]
    #[pyo3(signature = (certificates, *, client_access = "no", client_cas = vec![], crls = vec![],
                        entries = vec![], key_log = None))]
    fn new(
        certificates: Vec<(Chain, Vec<u8>)>,
        client_access: &str,
        client_cas: Vec<Vec<u8>>,
        crls: Vec<Vec<u8>>,
        entries: Vec<(bool, String, Bound<'_, PyAny>)>,
        key_log: Option<PathBuf>,
    ) -> PyResult<QuicServerTls> {
        let parts = ServerParts {
            certificates: &certificates,
            client_access: ClientAccess::by_name(client_access).map_err(unusable)?,
            client_cas: &client_cas,
            crls: &crls,
            entries: entries.into_iter().map(entry).collect::<PyResult<_>>()?,
            key_log: key_log.as_deref(),
            machine: &machine(),
        };
        Ok(QuicServerTls { inner: ServerTls::new(parts).map_err(failed)? })
    }

    /// Why a client with this chain would not be let in now; None if it would.
    fn denies(&self, chain: Chain) -> Option<String> {
        self.inner.recheck(&chain).err()
    }
}

#[pymethods]
impl QuicClientTls {
    #[new]
    #[pyo3(signature = (server_name, *, verify = "as_strict_as_possible", cas = vec![], crls = vec![],
                        fingerprint = None, certificate = None, key_log = None))]
    fn new(
        server_name: &str,
        verify: &str,
        cas: Vec<Vec<u8>>,
        crls: Vec<Vec<u8>>,
        fingerprint: Option<Vec<u8>>,
        certificate: Option<(Chain, Vec<u8>)>,
        key_log: Option<PathBuf>,
    ) -> PyResult<QuicClientTls> {
        let parts = ClientParts {
            server_name,
            verify: Verify::by_name(verify).map_err(unusable)?,
            cas: &cas,
            crls: &crls,
            fingerprint: fingerprint.as_deref(),
            certificate: certificate.as_ref().map(|(chain, key)| (chain.as_slice(), key.as_slice())),
            key_log: key_log.as_deref(),
        };
        Ok(QuicClientTls { inner: ClientTls::new(parts).map_err(failed)? })
    }

    /// The name or address that the server's certificate must be for.
    #[getter]
    fn server_name(&self) -> String {
        self.inner.server_name()
    }
}
