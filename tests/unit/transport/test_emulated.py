"""The sockets that stand for ports of emulated RDMA: where they are, who has one, and what a dead server leaves."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from frevo import folders
from frevo.transport import emulated
from frevo.transport.listeners import listening_on


def connected(path: Path) -> bool:
    """Whether somebody listens on *path*."""
    with socket.socket(socket.AF_UNIX) as probe, emulated.address_of(path) as address:
        return probe.connect_ex(address) == 0


def test_a_port_is_a_socket_that_all_may_use(tmp_path: Path) -> None:
    """It is found by its port, also in a folder that is new; closing removes it."""
    port = emulated.bind_port(tmp_path / "new" / "frevo", 5445)
    try:
        assert port.path == tmp_path / "new" / "frevo" / "smbdirect.5445.sock"
        assert stat.S_IMODE(port.path.stat().st_mode) == 0o666
        assert emulated.find_port(str(tmp_path / "new" / "frevo"), 5445) == port.path
        assert connected(port.path)
        assert listening_on(port.path) == [os.getpid()]
    finally:
        port.close()
    assert listening_on(port.path) == []
    assert not port.path.exists()
    with pytest.raises(FileNotFoundError, match="no server listens: there is no smbdirect"):
        emulated.find_port(str(tmp_path / "new" / "frevo"), 5445)


def test_a_port_in_use(tmp_path: Path) -> None:
    """A second server is told so, and the first one goes on; port 0 takes another one."""
    first = emulated.bind_port(tmp_path, 0)
    second = emulated.bind_port(tmp_path, 0)
    try:
        assert first.port != second.port and first.port >= 49152
        with pytest.raises(OSError) as caught:
            emulated.bind_port(tmp_path, first.port)
        assert (caught.value.errno, caught.value.filename) == (errno.EADDRINUSE, str(first.path))
        assert connected(first.path)
    finally:
        first.close()
        second.close()
    emulated.bind_port(tmp_path, first.port).close()


def test_what_a_dead_server_has_left(tmp_path: Path) -> None:
    """Its socket is replaced, as nobody has the lock any more."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(emulated.path_of(tmp_path, 5445)))
    (tmp_path / "smbdirect.5445.lock").touch(0o600)
    port = emulated.bind_port(tmp_path, 5445)
    assert connected(port.path)
    port.close()


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    """The error names the socket; a folder may have a name that is too long for an address."""
    (tmp_path / "file").touch()
    with pytest.raises(OSError) as caught:
        emulated.bind_port(tmp_path / "file", 5445)
    assert caught.value.filename == f"{tmp_path}/file/smbdirect.5445.sock"
    long = tmp_path / ("d" * 150)
    port = emulated.bind_port(long, 5445)
    assert connected(port.path)
    port.close()


def test_where_sockets_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """root has a system folder, others their runtime folder; clients look in both, or where they are told."""
    monkeypatch.setattr(folders.os, "geteuid", lambda: 0)
    assert emulated.folders_of_client("") == [Path("/run/frevo")]
    monkeypatch.setattr(folders.os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert emulated.folder_of_server("") == Path("/run/user/1000/frevo")
    assert emulated.folders_of_client("") == [Path("/run/user/1000/frevo"), Path("/run/frevo")]
    assert emulated.folders_of_client("/srv/x") == [Path("/srv/x")]
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert emulated.folder_of_server("") == Path("/state/frevo/run")
