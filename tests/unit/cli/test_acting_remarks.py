"""What testparm and serve say about keys that choose the Unix user for clients' access."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from frevo.cli.config_remarks import remarks
from frevo.config import load_text

SHARE = "[a]\npath = /tmp\n"


def said(text: str, tmp_path: Path) -> list[tuple[str, str, str]]:
    """(severity, key, message) of each remark."""
    found = remarks(load_text(f"[global]\nprivate dir = {tmp_path}\n{text}"))
    return [(problem.severity, problem.key, problem.message) for problem in found]


def test_unix_users_without_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Goal: testparm reports what would stop `frevo serve`. Method: the key for root and for another user."""
    text = "frevo:unix users = yes\n" + SHARE
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert said(text, tmp_path) == []
    monkeypatch.setattr(os, "geteuid", lambda: 71001)
    [(severity, key, message)] = said(text, tmp_path)
    assert (severity, key) == ("error", "frevo:unix users")
    assert "only root" in message


def test_a_missing_map(tmp_path: Path) -> None:
    """Goal: a missing `username map` is reported at start, not at the first log-on. Method: with the file and
    without."""
    names = tmp_path / "map"
    text = f"username map = {names}\n{SHARE}"
    assert said(text, tmp_path) == [("warning", "username map", f"cannot read {names}: no name is mapped")]
    names.write_text("daemon = bob\n")
    assert said(text, tmp_path) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("force user = daemon", "nobody can connect"),
        ("force group = +daemon", "new files get group"),
        ("admin users = %U", "nobody acts as root"),
        ("inherit owner = yes", "new files belong to user 71001"),
    ],
)
def test_one_user_for_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, message: str) -> None:
    """Goal: keys without effect where everybody acts as one user are reported. Method: each, on a server that does not
    run as root."""
    monkeypatch.setattr(os, "geteuid", lambda: 71001)
    monkeypatch.setattr(os, "getegid", lambda: 71001)
    [(severity, key, text)] = said(f"{SHARE}{line}\n", tmp_path)
    assert (severity, key) == ("warning", line.partition(" =")[0])
    assert text.startswith(message)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("force user = no-such-user", "there is no Unix user 'no-such-user': nobody can connect"),
        ("force user = root", "'root' is root, and only `admin users` act as root: nobody can connect"),
        ("force group = no-such-group", "there is no Unix group 'no-such-group': nobody can connect"),
        ("force user = daemon", ""),
        ("force group = +DOMAIN\\\\daemon", ""),
        ("force user = %U", ""),
    ],
)
def test_missing_users(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, message: str
) -> None:
    """Goal: a name that lets nobody in is reported before the first log-on. Method: each key, on a server that runs as
    root."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    expected = [("warning", line.partition(" =")[0], message)] if message else []
    assert said(f"{SHARE}{line}\n", tmp_path) == expected
