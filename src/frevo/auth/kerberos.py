"""The Kerberos acceptor over python-gssapi, used when a keytab is configured (RFC 4121, [MS-KILE]).

`gssapi` is an optional dependency (`pip install frevo[kerberos]`, which needs libkrb5-dev to build); it is
imported when the first acceptor is made.
"""

from __future__ import annotations

import importlib
import logging
import time
from pathlib import Path
from typing import Any

import msgspec

from frevo.errors import FrevoError, SMBError
from frevo.records import Redacted
from frevo.wire.erref import NTStatus

log = logging.getLogger(__name__)

#: GSS_C_INQ_SSPI_SESSION_KEY: gives the context's subkey, as Windows' SSPI would.
_SESSION_KEY_OID = "1.2.840.113554.1.2.2.5.5"
_MECHANISM_OIDS = ("1.2.840.113554.1.2.2",)


class KerberosError(FrevoError):
    """Kerberos cannot be offered; the message says what is missing."""


class KerberosResult(Redacted, msgspec.Struct, frozen=True):
    """An accepted ticket: the client's principal, the key of 16 or 32 bytes, and the ticket's end."""

    HIDDEN = ("session_key",)

    principal: str
    #: The realm of our own service principal.
    realm: str
    session_key: bytes
    #: Seconds since 1970, None when the library does not know.
    expires_s: float | None


class KerberosCredential:
    """The keytab as a GSS-API credential, created once and used for every log-on."""

    def __init__(self, keytab: str) -> None:
        """Raises KerberosError if the module or the keytab is missing or unreadable."""
        try:
            gssapi: Any = importlib.import_module("gssapi")
            importlib.import_module("gssapi.raw")
        except ImportError as error:
            raise KerberosError(
                "a keytab is configured, but Python's gssapi module is missing: apt-get install libkrb5-dev, "
                f"then pip install 'frevo[kerberos]' ({error})"
            ) from None
        self.gssapi: Any = gssapi
        path = keytab.removeprefix("FILE:")
        if path:
            _check_readable(path)
        try:
            self.credentials: Any = gssapi.Credentials(
                usage="accept",
                mechs=[gssapi.OID.from_int_seq(oid) for oid in _MECHANISM_OIDS],
                store={"keytab": f"FILE:{path}"} if path else None,
            )
        except gssapi.exceptions.GSSError as error:
            raise KerberosError(f"keytab {path or '(default)'}: {words(error)}") from None


def _check_readable(path: str) -> None:
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as error:
        raise KerberosError(f"keytab {path}: {error.strerror}") from None


class KerberosAcceptor:
    """One exchange: call `step` until `result` is not None. Calls are local and take about a millisecond."""

    def __init__(self, credential: KerberosCredential) -> None:
        self._gssapi = credential.gssapi
        self._context: Any = credential.gssapi.SecurityContext(creds=credential.credentials, usage="accept")
        self._complete = False

    def step(self, token: bytes) -> bytes:
        """The response (AP-REP) to the client's *token*; SMBError if the ticket is not accepted."""
        try:
            answer: bytes = self._context.step(token) or b""
            # An error that came with a token for the peer is raised by the next access only.
            self._complete = bool(self._context.complete)
            return answer
        except self._gssapi.exceptions.GSSError as error:
            log.info("Kerberos: %s", words(error))
            raise SMBError(_status(error), f"Kerberos: {words(error)}") from None

    def result(self) -> KerberosResult | None:
        """The result, once the exchange is complete."""
        if not self._complete:
            return None
        try:
            key = context_key(self._gssapi, self._context)
            lifetime_s = self._context.lifetime
            principal = str(self._context.initiator_name)
            realm = str(self._context.target_name).rpartition("@")[2]
        except self._gssapi.exceptions.GSSError as error:
            raise SMBError(NTStatus.LOGON_FAILURE, f"Kerberos: {words(error)}") from None
        known = lifetime_s is not None and lifetime_s < 2**32 - 1
        return KerberosResult(principal, realm, key, time.time() + lifetime_s if known else None)

    def make_mic(self, message: bytes) -> bytes:
        """GSS_GetMIC for SPNEGO's mechListMIC."""
        signature: bytes = self._context.get_signature(message)
        return signature

    def verify_mic(self, message: bytes, mic: bytes) -> None:
        """Raise LOGON_FAILURE unless *mic* is the client's."""
        try:
            self._context.verify_signature(message, mic)
        except self._gssapi.exceptions.GSSError as error:
            raise SMBError(NTStatus.LOGON_FAILURE, f"SPNEGO mechListMIC: {words(error)}") from None


def context_key(gssapi: Any, context: Any) -> bytes:
    """The key of an established context."""
    oid = gssapi.OID.from_int_seq(_SESSION_KEY_OID)
    key: bytes = gssapi.raw.inquire_sec_context_by_oid(context, oid)[0]
    return key


def words(error: Any) -> str:
    """GSS-API's own text on one line."""
    return " ".join(str(error).split())


def _status(error: Any) -> NTStatus:
    """The NTSTATUS for a refused ticket; Windows clients act on a clock difference."""
    if "skew" in str(error).lower():
        return NTStatus.TIME_DIFFERENCE_AT_DC
    return NTStatus.LOGON_FAILURE


def account_of(principal: str, realm: str) -> str | None:
    """The account name for *principal* (`user@REALM`): one component, of *realm*; else None."""
    name, _, its_realm = principal.rpartition("@")
    if not name or "/" in name or its_realm.upper() != realm.upper():
        return None
    return name.replace("\\@", "@")
