"""TlsError: a certificate, a key or an access entry cannot be used."""

from __future__ import annotations

from frevo.errors import FrevoError


class TlsError(FrevoError):
    """A certificate, a key or an access entry cannot be used; the message is for the user."""
