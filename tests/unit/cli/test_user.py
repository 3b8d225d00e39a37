"""`frevo user`: every action as a person types it, exit statuses and messages."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import pytest

from frevo.auth.accounts import AccountStore
from frevo.auth.md4 import nt_hash
from frevo.cli import user


class Terminal(io.StringIO):
    """Standard input of a person."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def private(tmp_path: Path) -> Path:
    return tmp_path / "private"


def frevo_user(private: Path, *words: str) -> int:
    parser = argparse.ArgumentParser(prog="frevo")
    user.add_parser(parser.add_subparsers(required=True))
    args = parser.parse_args(["user", *words, "--private-dir", str(private)])
    return int(args.run(args))


def add(private: Path, name: str, password: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\nsecond line\n"))
    return frevo_user(private, "add", name, "--password-stdin")


def test_life_of_an_account(
    private: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Goal: add, list, passwd, disable, enable, remove. Method: one after the other; look at the store."""
    assert add(private, "alice", "Secret1", monkeypatch) == 0
    store = AccountStore(private)
    account = store.lookup("alice")
    assert account is not None
    assert account.nt_hash == nt_hash("Secret1")
    monkeypatch.setattr("sys.stdin", io.StringIO("Other\n"))
    assert frevo_user(private, "passwd", "ALICE", "--password-stdin") == 0
    assert frevo_user(private, "disable", "alice") == 0
    account = store.lookup("alice")
    assert account is not None
    assert (account.nt_hash, account.disabled) == (nt_hash("Other"), True)
    assert frevo_user(private, "enable", "alice") == 0
    capsys.readouterr()
    assert frevo_user(private, "list", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [(entry["name"], entry["flags"]) for entry in shown] == [("alice", [])]
    assert frevo_user(private, "list") == 0
    table = capsys.readouterr().out
    assert "alice" in table
    assert nt_hash("Other").hex() not in table
    assert frevo_user(private, "remove", "alice") == 0
    assert store.all() == []


def test_refusals(private: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Goal: exit status 1 and a clear message. Method: each kind of refusal."""
    assert add(private, "alice", "x", monkeypatch) == 0
    assert add(private, "Alice", "x", monkeypatch) == 1
    assert "already exists" in capsys.readouterr().err
    assert add(private, "a/b", "x", monkeypatch) == 1
    assert add(private, "bob", "", monkeypatch) == 1
    assert "password must not be empty" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO("x\n"))
    assert frevo_user(private, "add", "bob") == 1
    assert "--password-stdin" in capsys.readouterr().err
    for action in ("passwd", "remove", "enable", "disable"):
        assert frevo_user(private, action, "nobody") == 1
        assert "no account" in capsys.readouterr().err


@pytest.mark.parametrize(("answers", "status"), [(["one", "one"], 0), (["one", "two"], 1)])
def test_asked_twice(private: Path, monkeypatch: pytest.MonkeyPatch, answers: list[str], status: int) -> None:
    """Goal: on a terminal the password is entered twice. Method: equal and different input."""
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", lambda prompt: answers.pop(0))
    assert frevo_user(private, "add", "alice") == status
    assert answers == []


def test_import(
    private: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Goal: smbpasswd import reports what it does. Method: a file with a user and a machine, a broken one."""
    file = tmp_path / "smbpasswd"
    file.write_text(f"alice:1:X:{nt_hash('pw').hex()}:[U]:LCT-5EBBC7B1:\nbox$:2:X:{'0' * 32}:[W]:LCT-0:\n")
    assert frevo_user(private, "import", str(file)) == 0
    output = capsys.readouterr()
    assert "1 new" in output.out
    assert "machine account" in output.err
    monkeypatch.setattr(
        "sys.stdin",
        io.TextIOWrapper(
            io.BytesIO(
                f"bob:1:X:{nt_hash('pw').hex()}:[DU]:LCT-5EBBC7B1:\na/b:1:X:{nt_hash('pw').hex()}:[U]:LCT-5EBBC7B1:\n".encode()
            )
        ),
    )
    assert frevo_user(private, "import", "-") == 0
    output = capsys.readouterr()
    assert "1 new" in output.out and "bob is disabled" in output.out
    assert "skipped" in output.err and "a/b" in output.err
    file.write_text("what\n")
    assert frevo_user(private, "import", str(file)) == 1
    assert "line 1" in capsys.readouterr().err
    assert frevo_user(private, "import", str(tmp_path / "none")) == 1


def test_configuration_gives_the_private_dir(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Goal: -c finds `private dir`; a bad configuration is exit status 1. Method: two files."""
    config = tmp_path / "smb.conf"
    config.write_text(f"[global]\nprivate dir = {tmp_path}/here\n")
    AccountStore(tmp_path / "here").add("carol", "x")
    parser = argparse.ArgumentParser()
    user.add_parser(parser.add_subparsers())
    args = parser.parse_args(["user", "list", "-c", str(config)])
    assert args.run(args) == 0
    assert "carol" in capsys.readouterr().out
    args = parser.parse_args(["user", "list", "-c", str(tmp_path / "none")])
    assert args.run(args) == 1
