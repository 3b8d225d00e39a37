"""The Kerberos initiator over python-gssapi: a client that logs on with its ticket cache (RFC 4178, [MS-KILE])."""

from __future__ import annotations

import importlib
from typing import Any

from frevo.auth.kerberos import KerberosError, context_key, words

_SPNEGO_OID = "1.3.6.1.5.5.2"
_KERBEROS_OID = "1.2.840.113554.1.2.2"


class KerberosInitiator:
    """One exchange: `step` with the acceptor's tokens until `complete`; KerberosError says what is missing.

    *principal* chooses a ticket; the default is the cache's own.
    """

    def __init__(self, service: str, host: str, principal: str = "") -> None:
        try:
            self._gssapi: Any = importlib.import_module("gssapi")
            importlib.import_module("gssapi.raw")
        except ImportError as error:
            raise KerberosError(
                f"Python's gssapi module is missing: pip install 'frevo[kerberos]' ({error})"
            ) from None
        gssapi = self._gssapi
        try:
            name = gssapi.Name(f"{service}@{host}", gssapi.NameType.hostbased_service)
            user = gssapi.Name(principal, gssapi.NameType.user) if principal else None
            mechanisms = [gssapi.OID.from_int_seq(_KERBEROS_OID), gssapi.OID.from_int_seq(_SPNEGO_OID)]
            credentials = gssapi.Credentials(name=user, usage="initiate", mechs=mechanisms)
            self._context: Any = gssapi.SecurityContext(
                name=name, creds=credentials, usage="initiate", mech=gssapi.OID.from_int_seq(_SPNEGO_OID)
            )
        except gssapi.exceptions.GSSError as error:
            raise KerberosError(words(error)) from None

    @property
    def complete(self) -> bool:
        """Whether the exchange is complete."""
        return bool(self._context.complete)

    def step(self, token: bytes | None) -> bytes:
        """The next token for the acceptor."""
        try:
            return self._context.step(token) or b""
        except self._gssapi.exceptions.GSSError as error:
            raise KerberosError(words(error)) from None

    @property
    def session_key(self) -> bytes:
        """The context's key; empty before there is one."""
        try:
            return context_key(self._gssapi, self._context)
        except self._gssapi.exceptions.GSSError:
            return b""
