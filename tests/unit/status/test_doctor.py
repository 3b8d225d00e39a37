"""`frevo doctor`: every check gives a result, explains itself, and leaves nothing behind."""

from __future__ import annotations

import argparse
import errno
import json
import os
import socket
from pathlib import Path

import pytest

from frevo.aio import features
from frevo.cli import doctor
from frevo.status.doctor import Check, State, examine
from frevo.status.doctor import network as network_checks
from frevo.status.doctor import system as system_checks
from frevo.status.doctor.base import guarded
from frevo.status.doctor.folder import check_folder


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_everything_is_answered(tmp_path: Path) -> None:
    """Goal: no check raises and each one reports something. Method: examine this machine and an empty folder."""
    checks = by_name(examine(str(tmp_path)))
    wanted = {
        "kernel",
        "python",
        "processor",
        "openat2",
        "io_uring",
        "open files",
        "locked memory",
        "inotify",
    }
    wanted |= {
        "data plane",
        "kerberos",
        "port 445/tcp",
        "port 443/udp",
        "rdma",
        "quic in the kernel",
        "file system",
    }
    wanted |= {
        "user attributes",
        "named streams",
        "case of names",
        "creation time",
        "O_TMPFILE",
        "sparse files",
    }
    assert wanted <= checks.keys()
    assert all(check.text for check in checks.values())
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder() -> None:
    """Goal: a wrong path is a failed check. Method: a name that does not exist."""
    [check] = check_folder("/proc/nonexistent/frevo")
    assert (check.state, check.fix) == (State.FAILED, "choose another folder")


def test_why_io_uring_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: the reason and the remedy are named. Method: the reasons that probing gives, one by one."""
    monkeypatch.delenv(features.ENGINE_VARIABLE, raising=False)
    for reason, remedy in (
        ("EPERM: switched off by sysctl kernel.io_uring_disabled=2", "sysctl kernel.io_uring_disabled=0"),
        ("EPERM: forbidden by a security policy", "seccomp"),
        ("ENOMEM: RLIMIT_MEMLOCK leaves no room", "LimitMEMLOCK"),
    ):
        found = features.Features(reason, frozenset(), {})
        monkeypatch.setattr(features, "probe", lambda found=found: found)
        check = system_checks.check_io_uring()[0]
        assert check.state is State.LIMITED
        assert reason in check.text
        assert remedy in check.fix


def test_a_port_in_use_names_its_holder() -> None:
    """Goal: the program in the way is named. Method: listen here, check that port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        check = network_checks._check_port(server.getsockname()[1], socket.SOCK_STREAM, "a test")
    assert check.state is State.LIMITED
    assert f"process {os.getpid()}" in check.text


def test_a_port_that_needs_a_privilege() -> None:
    """Goal: both remedies are offered. Method: the error that an ordinary user gets."""
    text, fix = network_checks._port_problem(PermissionError(errno.EACCES, "Permission denied"), 445, "tcp")
    assert "ports below" in text
    assert "ip_unprivileged_port_start=139" in fix
    assert "setcap cap_net_bind_service=+ep" in fix


def test_an_error_inside_a_check_is_a_result() -> None:
    """Goal: an unforeseen machine gives a line, not a traceback. Method: a check that raises."""

    def broken() -> list[Check]:
        raise RuntimeError("unheard of")

    [check] = guarded("thing", broken)
    assert "unheard of" in check.text


def test_json_and_exit_code(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Goal: programs can read it, and the exit status says whether frevo can run. Method: a good and a bad folder."""
    code = doctor.run(argparse.Namespace(path=str(tmp_path), json=True))
    answer = json.loads(capsys.readouterr().out)
    assert (code, answer["ok"]) == (0, True)
    assert {"group", "name", "state", "text", "fix", "data"} == set(answer["checks"][0])
    assert doctor.run(argparse.Namespace(path=str(tmp_path / "missing"), json=False)) == 1
    assert "FAIL folder" in capsys.readouterr().out
