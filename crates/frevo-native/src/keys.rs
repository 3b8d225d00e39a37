//! `SessionKeys`, which Python makes and the data plane uses; NTLM's RC4.

use std::sync::Arc;

use frevo_dataplane::crypto::{self, Cipher, Encryption, Signer, SigningAlgorithm};
use frevo_dataplane::wire::{HEADER_BYTES, TRANSFORM_BYTES};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// The protection of the messages of one session on one channel.
#[pyclass(frozen, module = "frevo._native")]
pub(crate) struct SessionKeys {
    pub(crate) inner: Arc<crypto::SessionKeys>,
}

/// RC4 from the start of its key stream, for NTLM. ValueError for an empty key.
#[pyfunction]
pub(crate) fn rc4<'py>(py: Python<'py>, key: &[u8], data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    if key.is_empty() {
        return Err(PyValueError::new_err("an RC4 key has at least one byte"));
    }
    PyBytes::new_with(py, data.len(), |out| {
        out.copy_from_slice(data);
        crypto::rc4(key, out);
        Ok(())
    })
}

fn signer(algorithm: u16, key: &[u8]) -> PyResult<Signer> {
    let algorithm = SigningAlgorithm::by_id(algorithm)
        .ok_or_else(|| PyValueError::new_err("unknown signing algorithm"))?;
    Signer::new(algorithm, key).map_err(|error| PyValueError::new_err(error.0))
}

/// A copy of any bytes-like object.
pub(crate) fn copy_of(object: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(bytes.as_bytes().to_vec());
    }
    PyBuffer::<u8>::get(object)?.to_vec(object.py())
}

#[pymethods]
impl SessionKeys {
    #[new]
    #[pyo3(signature = (*, signing_algorithm, signing_key, cipher, encryption_key, decryption_key,
                        signing_required, encryption_required))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        signing_algorithm: u16,
        signing_key: &[u8],
        cipher: u16,
        encryption_key: &[u8],
        decryption_key: &[u8],
        signing_required: bool,
        encryption_required: bool,
    ) -> PyResult<SessionKeys> {
        let encryption = match (Cipher::by_id(cipher), cipher) {
            (Some(cipher), _) => Some(
                Encryption::new(cipher, encryption_key, decryption_key)
                    .map_err(|error| PyValueError::new_err(error.0))?,
            ),
            (None, 0) => None,
            _ => return Err(PyValueError::new_err("unknown cipher")),
        };
        let signer = signer(signing_algorithm, signing_key)?;
        let inner = crypto::SessionKeys::new(signer, encryption, signing_required, encryption_required);
        Ok(SessionKeys { inner: Arc::new(inner) })
    }

    /// Keys for another channel: its own signing key, the same encryption keys and nonce counter.
    #[pyo3(signature = (*, signing_algorithm, signing_key))]
    fn for_channel(&self, signing_algorithm: u16, signing_key: &[u8]) -> PyResult<SessionKeys> {
        let inner = self.inner.for_channel(signer(signing_algorithm, signing_key)?);
        Ok(SessionKeys { inner: Arc::new(inner) })
    }

    #[getter]
    fn signing_required(&self) -> bool {
        self.inner.signing_required
    }

    #[getter]
    fn encryption_required(&self) -> bool {
        self.inner.encryption_required
    }

    /// Signs any number of times, for peers in tests and load generators; server and client sign in the data plane.
    fn sign<'py>(&self, py: Python<'py>, message: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let mut copy = copy_of(message)?;
        if copy.len() < HEADER_BYTES {
            return Err(PyValueError::new_err("the message is shorter than its header"));
        }
        self.inner.sign_unchecked(&mut copy);
        Ok(PyBytes::new(py, &copy))
    }

    fn verify(&self, message: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.inner.verify(&mut copy_of(message)?))
    }

    fn encrypt<'py>(
        &self,
        py: Python<'py>,
        session_id: u64,
        message: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let mut packet = vec![0; TRANSFORM_BYTES];
        packet.extend(copy_of(message)?);
        if !self.inner.encrypt(session_id, &mut packet) {
            return Err(PyValueError::new_err("the session has no cipher, or has used up its nonces"));
        }
        Ok(PyBytes::new(py, &packet))
    }

    fn decrypt<'py>(&self, py: Python<'py>, message: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let mut packet = copy_of(message)?;
        if !self.inner.decrypt(&mut packet) {
            return Err(PyValueError::new_err("the message is not encrypted with this key"));
        }
        Ok(PyBytes::new(py, &packet[TRANSFORM_BYTES..]))
    }
}
