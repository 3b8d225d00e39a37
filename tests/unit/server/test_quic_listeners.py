"""frevo.server.quic_listeners: certificates that are followed, and what people are told about them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from peers import pki

from frevo.config import GlobalConfig
from frevo.server.quic_listeners import QuicListeners
from frevo.tls import server as tls_server


class Loop:
    """Calls what is due when the test says so."""

    def __init__(self) -> None:
        self.due: Any = None

    def call_later(self, _seconds: float, call: Any) -> Any:
        self.due = call
        return SimpleNamespace(cancel=lambda: None)


class Transport:
    """Remembers what each listener presents."""

    def __init__(self) -> None:
        self.presented: dict[int, Any] = {}

    def listen_quic(self, _sockets: Any, tls: Any) -> int:
        number = len(self.presented)
        self.presented[number] = tls
        return number

    def set_quic_tls(self, number: int, tls: Any) -> None:
        self.presented[number] = tls


def test_broken_files_are_in_the_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: the status says that changed files cannot be used, until they can. Method: break one, then renew it."""
    monkeypatch.setattr(tls_server, "CHECK_SECONDS", 0.0)
    root = pki.authority("root")
    certfile, keyfile = pki.leaf("nas.example", root).write(tmp_path, "nas")
    settings = GlobalConfig(private_dir=str(tmp_path), tls_certfile=str(certfile), tls_keyfile=str(keyfile))
    loop, transport = Loop(), Transport()
    listeners: Any = QuicListeners(SimpleNamespace(globals=settings), transport, loop)  # type: ignore[arg-type]
    listeners.listen([], "user")
    listeners.listen([], "user")
    first = transport.presented[0]
    assert [one.warning for one in listeners.certificates] == [""]
    certfile.write_bytes(b"")
    for _ in range(2):
        loop.due()
    [broken] = listeners.certificates
    assert (
        "contains no certificate" in broken.warning and "the old certificates stay in force" in broken.warning
    )
    assert transport.presented == {0: first, 1: first}
    pki.leaf("nas.example", root).write(tmp_path, "nas")
    loop.due()
    assert [one.warning for one in listeners.certificates] == [""]
    assert transport.presented[0] is transport.presented[1] is not first
    listeners.close()
