"""frevo.tls.store: the folder of certificates: modes, lines of JSON, names, who changed what."""

from __future__ import annotations

import json
import os
import pwd
import stat
from pathlib import Path

import pytest

from frevo.auth.private_files import PrivateFileError
from frevo.tls.errors import TlsError
from frevo.tls.store import NAMES_MAX, TlsStore, json_lines, who


@pytest.fixture
def store(tmp_path: Path) -> TlsStore:
    return TlsStore(tmp_path / "private")


def test_audit(store: TlsStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: who, when and what, one line each, that nobody else reads. Method: two changes."""
    monkeypatch.setattr("frevo.tls.store.who", lambda: "root (eve)")
    with store.changing():
        store.audit("allow", entry="sha256:00")
        store.audit("deny", entry="line\nbreak \x1b[31m")
    lines = store.audit_log.read_text().splitlines()
    assert [json.loads(line)["what"] for line in lines] == ["allow", "deny"]
    assert json.loads(lines[0]) == {
        "time": json.loads(lines[0])["time"],
        "by": "root (eve)",
        "what": "allow",
        "entry": "sha256:00",
    }
    assert json.loads(lines[0])["time"].endswith("+00:00")
    assert "\x1b" not in lines[1]
    assert stat.S_IMODE(store.audit_log.stat().st_mode) == 0o600


def test_who(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: the person behind sudo is named, but only root may say so. Method: both users."""
    monkeypatch.setenv("SUDO_USER", "eve")
    monkeypatch.setattr("os.getuid", lambda: 0)
    assert who() == f"{pwd.getpwuid(0).pw_name} (eve)"
    monkeypatch.setattr("os.getuid", lambda: 4_000_000)
    assert who() == "uid 4000000"


def test_names(store: TlsStore) -> None:
    """Goal: names are kept once, comments are none, and there is a limit. Method: add, edit, add too many."""
    assert store.extra_names() == []
    with store.changing():
        store.add_names(["a.example", "b.example", "a.example"])
    assert store.extra_names() == ["a.example", "b.example"]
    store.names.write_text("# mine\n\n  c.example \n")
    assert store.extra_names() == ["c.example"]
    with store.changing(), pytest.raises(TlsError, match="can have 100 further names"):
        store.add_names([f"n{number}.example" for number in range(NAMES_MAX)])
    store.names.write_text("\n".join(f"n{number}" for number in range(NAMES_MAX + 5)))
    assert len(store.extra_names()) == NAMES_MAX


def test_json_lines(tmp_path: Path) -> None:
    """Goal: line numbers and values; damage is an error with its line. Method: such files."""
    path = tmp_path / "lines"
    assert json_lines(path) == []
    path.write_bytes(b'{"a": 1}\n\n[2]\n')
    assert json_lines(path) == [(1, {"a": 1}), (3, [2])]
    for bad in (b'{"a": 1}\n{"a"\n', b"[1]\n" + b"[" * 100_000, b"1\n\xff\xfe\n"):
        path.write_bytes(bad)
        with pytest.raises(TlsError, match="lines is damaged: line 2 is not JSON"):
            json_lines(path)


def test_replaced_as_a_whole(store: TlsStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: a disk that is full leaves the old file. Method: fsync fails."""
    with store.changing():
        store.write(store.access, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("os.fsync", full)
    with (
        pytest.raises(TlsError, match=r"cannot write to .*private/tls: No space left on device"),
        store.changing(),
    ):
        store.write(store.access, b"new")
    assert store.access.read_bytes() == b"old"
    assert {path.name for path in store.directory.iterdir()} == {"access.jsonl", "lock"}


def test_open_folder(store: TlsStore) -> None:
    """Goal: nothing is written into a folder that others can read. Method: tls/ with mode 0750."""
    store.private_dir.mkdir(mode=0o700)
    store.directory.mkdir(mode=0o750)
    with (
        pytest.raises(PrivateFileError, match=r"tls is accessible to other users \(mode 0750\)"),
        store.changing(),
    ):
        raise AssertionError("not reached")
