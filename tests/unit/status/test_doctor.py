"""`frevo doctor`: every check gives a result, explains itself, and leaves nothing behind."""

from __future__ import annotations

import argparse
import errno
import json
import os
import socket
import time
from pathlib import Path

import pytest

from frevo.aio import features
from frevo.cli import doctor
from frevo.status.doctor import Check, State, examine
from frevo.status.doctor import network as network_checks
from frevo.status.doctor import system as system_checks
from frevo.status.doctor import udp as udp_checks
from frevo.status.doctor.base import guarded
from frevo.status.doctor.certificate import check_certificates
from frevo.status.doctor.folder import check_folder
from frevo.tls.generate import ensure_certificate
from frevo.tls.settings import TlsSettings
from frevo.tls.store import TlsStore
from frevo.transport import quic


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_everything_is_answered(tmp_path: Path) -> None:
    """Goal: no check raises and each one reports something. Method: examine this machine and an empty folder."""
    checks = by_name(examine(str(tmp_path), TlsSettings(private_dir="/nonexistent")))
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
        "port 5445/tcp",
        "rdma",
        "rdma verbs",
        "rdma memory",
        "rdma emulated",
        "smb direct in the kernel",
        "quic in the kernel",
        "udp gso",
        "udp gro",
        "udp port sharing",
        "udp steering",
        "udp buffers",
        "certificate",
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


def test_an_engine_that_the_environment_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check names FREVO_ENGINE where it decides, instead of the kernel, and what is wrong with its value."""
    monkeypatch.setenv("FREVO_ENGINE", "epoll")
    [check] = system_checks.check_data_plane()
    assert (check.state, check.fix) == (State.LIMITED, "unset FREVO_ENGINE")
    monkeypatch.setenv("FREVO_ENGINE", "bogus")
    [check] = system_checks.check_data_plane()
    assert (check.state, check.fix) == (State.FAILED, "unset FREVO_ENGINE")
    assert check.text == 'FREVO_ENGINE: unknown engine "bogus": use auto, uring or epoll'


def test_what_quic_is_fast_with() -> None:
    """Goal: what this kernel (4.18 and newer) has is found. Method: the checks of UDP."""
    found = [*udp_checks.check_segmentation(), *udp_checks.check_shared_port()]
    assert [check.state for check in found] == [State.OK] * 4, found


def test_a_missing_feature_says_what_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: the reason and the consequence. Method: option numbers that no kernel has."""
    monkeypatch.setattr(udp_checks, "_UDP_SEGMENT", 9999)
    monkeypatch.setattr(udp_checks, "_SO_ATTACH_REUSEPORT_CBPF", 9999)
    gso, gro = udp_checks.check_segmentation()
    sharing, steering = udp_checks.check_shared_port()
    assert (gso.state, gro.state, sharing.state, steering.state) == (
        State.LIMITED, State.OK, State.OK, State.LIMITED
    )  # fmt: skip
    assert gso.text == "not available (Protocol not available): each datagram costs a call"


def test_small_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: the sysctl that helps is named. Method: more than the kernel gives anybody; then what it gives."""
    monkeypatch.setattr(quic, "BUFFER_BYTES", 1 << 30)
    [check] = udp_checks.check_buffers()
    assert check.state is State.LIMITED
    assert check.fix == "sudo sysctl net.core.rmem_max=1073741824 net.core.wmem_max=1073741824"
    monkeypatch.setattr(quic, "BUFFER_BYTES", 64 << 10)
    [check] = udp_checks.check_buffers()
    assert (check.state, check.text) == (State.OK, "64 KiB for receiving, 64 KiB for sending")


def test_certificates(tmp_path: Path) -> None:
    """Goal: whether there is a certificate, whose and until when; what is wrong with one. Method: none yet, frevo's
    own, one that expires, a key that others can read."""
    settings = TlsSettings(private_dir=str(tmp_path))
    [check] = check_certificates(settings)
    assert (check.state, check.fix) == (State.OK, "")
    assert check.text == f"none in {tmp_path}/tls yet: made when frevo first serves QUIC"
    pair = ensure_certificate(TlsStore(tmp_path))
    [check] = check_certificates(settings)
    assert check.state is State.OK
    assert pair.facts.fingerprint in check.text and pair.facts.subject in check.text
    assert check.data["sha256"] == pair.facts.fingerprint
    expired = ensure_certificate(TlsStore(tmp_path / "old"), now=time.time() - 3600 * 86400)
    assert expired.facts.not_after_s < time.time()
    [check] = check_certificates(TlsSettings(private_dir=str(tmp_path / "old")))
    assert (check.state, check.fix) == (State.LIMITED, "frevo tls renew")
    assert "expired on" in check.text
    further = (f"{tmp_path}/tls/cert.pem:{tmp_path}/tls/key.pem",)
    (tmp_path / "tls" / "key.pem").chmod(0o644)
    both = check_certificates(TlsSettings(private_dir=str(tmp_path / "old"), certificates=further))
    assert both[1].state is State.LIMITED and "chmod 600" in both[1].text


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
    code = doctor.run(argparse.Namespace(config=None, path=str(tmp_path), json=True))
    answer = json.loads(capsys.readouterr().out)
    assert (code, answer["ok"]) == (0, True)
    assert {"group", "name", "state", "text", "fix", "data"} == set(answer["checks"][0])
    assert doctor.run(argparse.Namespace(config=None, path=str(tmp_path / "missing"), json=False)) == 1
    assert "FAIL folder" in capsys.readouterr().out
