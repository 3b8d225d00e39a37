"""The keys `tls ...` and `frevo:quic ...`: Samba's spellings, values and defaults, and what contradicts itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from frevo.config import ConfigErrors, load_text
from frevo.tls.settings import TlsSettings, settings_of


def settings(*lines: str) -> TlsSettings:
    return settings_of(load_text("\n".join(["[global]", "private dir = /srv/private", *lines])).globals)


def messages(*lines: str) -> str:
    """Errors and warnings of these lines."""
    text = "\n".join(["[global]", *lines])
    try:
        return "\n".join(map(str, load_text(text).problems))
    except ConfigErrors as errors:
        return str(errors)


def test_defaults() -> None:
    """Goal: Samba's file names, and nobody is asked for a certificate. Method: an empty [global]."""
    values = settings()
    assert values == TlsSettings(private_dir="/srv/private")
    assert values.pairs() == [(Path("/srv/private/tls/cert.pem"), Path("/srv/private/tls/key.pem"))]
    assert values.path(values.cafile) == Path("/srv/private/tls/ca.pem")
    assert values.makes_certificate
    assert (values.enabled, values.client_access, values.verify_peer) == (True, "no", "as_strict_as_possible")


def test_values() -> None:
    """Goal: every key arrives, relative paths are below `private dir`. Method: set all."""
    values = settings(
        "tls certfile = /etc/ssl/nas.pem",
        "tls keyfile = own/nas.key",
        "tls cafile = /etc/ssl/clients.pem",
        "tls crlfile = crl.pem",
        "tls ca directories = /etc/ssl/a, /etc/ssl/b",
        "tls trust system cas = yes",
        "TLS Verify Peer = Ca_And_Name",
        "frevo:quic client access = required",
        "frevo:quic certificates = a.pem:a.key /b.pem:/b.key",
    )
    assert values.pairs() == [
        (Path("/etc/ssl/nas.pem"), Path("/srv/private/own/nas.key")),
        (Path("/srv/private/a.pem"), Path("/srv/private/a.key")),
        (Path("/b.pem"), Path("/b.key")),
    ]
    assert not values.makes_certificate
    assert values.path(values.crlfile) == Path("/srv/private/crl.pem")
    assert values.ca_directories == ("/etc/ssl/a", "/etc/ssl/b")
    assert (values.trust_system_cas, values.verify_peer) == ("yes", "ca_and_name")
    assert values.client_access == "require"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("tls certfile =", "`tls certfile`: expected the path of a file"),
        ("tls keyfile = %U.key", "cannot contain macros"),
        ("tls enabled = maybe", "expected yes or no"),
        ("tls verify peer = strictly", "expected one of no_check, ca_only, ca_and_name_if_available"),
        ("frevo:quic client access = ask", "expected one of no, allow, require"),
        ("frevo:quic certificates = a.pem", "expected certfile:keyfile, not 'a.pem'"),
        ("frevo:quic certificates = :a.key", "expected certfile:keyfile"),
        ("frevo:quic client acces = require", "did you mean `frevo:quic client access`?"),
        ("tls priority = NORMAL", ""),
    ],
)
def test_messages(line: str, words: str) -> None:
    """Goal: what is wrong has its sentence. Method: one line each; `tls priority` is Samba's own."""
    found = messages(line)
    assert words in found
    assert bool(words) == bool(found)


def test_misspelt_protection() -> None:
    """Goal: a misspelt key that keeps clients out is an error, not a warning. Method: require, and no."""
    with pytest.raises(ConfigErrors, match="ignoring it would give clients more access"):
        load_text("[global]\nfrevo:quic client acces = require\n")
    assert load_text("[global]\nfrevo:quic client acces = no\n").warnings


def test_quic_needs_tls() -> None:
    """Goal: quic without TLS is an error, as nothing would be served. Method: both keys."""
    found = messages("server smb transports = +quic", "tls enabled = no")
    assert "quic needs `tls enabled = yes`" in found
    assert "quic needs" not in messages("tls enabled = no")
