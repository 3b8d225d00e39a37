"""`frevo serve` as a process: start, signals, reload, status, and starts that must fail with a clear message."""

from __future__ import annotations

import ctypes
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from frevo.aio.features import choose_data_plane

pytestmark = pytest.mark.once("processes and signals")

FREVO = [sys.executable, "-m", "frevo"]


@contextmanager
def serving(
    *arguments: str, descriptors_max: int = 0
) -> Iterator[tuple[subprocess.Popen[str], dict[str, int | str]]]:
    """A running `frevo serve` and its output when it was ready; killed at the end if it still runs. It may have
    *descriptors_max* descriptors; 0: as many as this process."""
    limited = ["sh", "-c", f'ulimit -n {descriptors_max} && exec "$@"', "sh"] if descriptors_max else []
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [*limited, *FREVO, "serve", *arguments, "--ready-fd", str(writer)],
        pass_fds=[writer],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    try:
        with os.fdopen(reader) as pipe:
            line = pipe.readline()
        assert line, process.communicate(timeout=20)[1]
        ready = json.loads(line)
        ports = {listener["transport"]: listener["port"] for listener in ready["listeners"]}
        yield process, {"pid": ready["pid"], "port": ready["listeners"][0]["port"], **ports}
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=20)


def stop(process: subprocess.Popen[str], number: int = signal.SIGINT) -> tuple[float, str, str]:
    """Signals *process*; how long it took to end, its output and its errors."""
    started = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    return time.monotonic() - started, out, err


def folder_arguments(tmp_path: Path, *more: str) -> list[str]:
    """Arguments that serve a new folder to user eve on a free port of loopback."""
    folder = tmp_path / "data"
    folder.mkdir(exist_ok=True)
    return [
        str(folder),
        "--listen",
        "127.0.0.1",
        "--user",
        "eve",
        "--private-dir",
        str(tmp_path / "p"),
        *more,
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stop_and_start_again(tmp_path: Path, number: int) -> None:
    """Goal: a signal stops within 2 s with a client connected; the port is free at once. Method: do it."""
    arguments = folder_arguments(tmp_path, "--port", "0")
    with serving(*arguments) as (process, ready):
        port = int(ready["port"])
        with socket.create_connection(("127.0.0.1", port)):
            seconds, out, err = stop(process, number)
    assert process.returncode == 0, err
    assert seconds < 2
    password = re.search(r"password  ([a-z2-9-]{19})", out)
    assert password, out
    assert f"smbclient //127.0.0.1/data -p {port} -U eve" in out
    assert password[1] not in err
    arguments[-1] = str(port)
    with serving(*arguments) as (process, _):
        _, out, err = stop(process)
    assert "--new-password sets a new one" in out
    assert "Traceback" not in err


def test_a_port_in_use_is_explained_and_changes_nothing(tmp_path: Path) -> None:
    """Goal: the second server names the port, and the password stays. Method: two servers on one port."""
    with serving(*folder_arguments(tmp_path, "--port", "0")) as (process, ready):
        accounts = (tmp_path / "p" / "accounts.json").read_bytes()
        command = [
            *FREVO,
            "serve",
            *folder_arguments(tmp_path, "--port", str(ready["port"]), "--new-password"),
        ]
        second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert second.returncode == 1
        assert f"127.0.0.1:{ready['port']} is in use" in second.stderr
        assert "--port" in second.stderr and "Traceback" not in second.stderr
        assert (tmp_path / "p" / "accounts.json").read_bytes() == accounts
        stop(process)


def test_status_and_reload(tmp_path: Path) -> None:
    """Goal: status finds the server, SIGHUP takes a new file, not a broken one. Method: change it."""
    path = tmp_path / "smb.conf"
    text = f"[global]\nprivate dir = {tmp_path}/p\ninterfaces = 127.0.0.1\nbind interfaces only = yes\n"
    path.write_text(f"{text}[data]\npath = {tmp_path}\n")
    with serving("-c", str(path), "-p", "0", "-q") as (process, ready):
        command = [*FREVO, "status", "-c", str(path), "--json"]
        asked = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        snapshot = json.loads(asked.stdout)
        assert snapshot["smb_conf"] == str(path)
        assert snapshot["frevo"]["pid"] == ready["pid"]
        assert snapshot["frevo"]["listening"] == f"tcp 127.0.0.1:{ready['port']}"
        assert process.stderr is not None
        path.write_text(f"{text}[data]\npath = {tmp_path}\nread only = no\n")
        process.send_signal(signal.SIGHUP)
        assert "[data] read only: yes -> no" in process.stderr.readline()
        path.write_text(f"{text}frevo:fast path = perhaps\n[data]\npath = {tmp_path}\n")
        process.send_signal(signal.SIGHUP)
        assert f"{path}:5: error" in process.stderr.readline()
        assert "stays in force" in process.stderr.readline()
        with socket.create_connection(("127.0.0.1", int(ready["port"]))):
            pass
        stop(process)
        assert process.returncode == 0


PR_CAPBSET_DROP, CAP_NET_BIND_SERVICE, CAP_IPC_LOCK = 24, 10, 14


def without_low_ports() -> None:
    """In the child: even root loses the right to listen below the unprivileged ports."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_NET_BIND_SERVICE, 0, 0, 0)


def with_little_locked_memory() -> None:
    """In the child: there is room for the ring that probes the kernel, and for no larger one, not even for root."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (64 << 10, 64 << 10))


def test_too_little_memory_for_a_ring_is_explained(tmp_path: Path) -> None:
    """Goal: who asks for io_uring and may lock too little memory is told so, also when only a large ring finds no
    room. Method: a limit that leaves room for the first, small one."""
    if choose_data_plane("auto")[0] != "uring":
        pytest.skip("io_uring cannot be used here")
    config = tmp_path / "smb.conf"
    config.write_text(
        f"[global]\nfrevo:engine = uring\nprivate dir = {tmp_path}/p\n[data]\npath = {tmp_path}\n"
    )
    done = subprocess.run(
        [*FREVO, "serve", "-c", str(config), "-p", "0"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        preexec_fn=with_little_locked_memory,
    )
    assert done.returncode == 1
    assert "io_uring was asked for but is not available: ENOMEM: RLIMIT_MEMLOCK" in done.stderr
    assert "bug" not in done.stderr


def test_a_forbidden_port_is_explained(tmp_path: Path) -> None:
    """Goal: without permission to listen on 445 the message says what to do; 4450 is the default. Method: drop the
    right."""
    allowed = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if allowed <= 445:
        pytest.skip("this machine lets everybody listen on 445")
    command = [*FREVO, "serve", *folder_arguments(tmp_path, "--port", "445")]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=False, preexec_fn=without_low_ports
    )
    assert done.returncode == 1
    assert (
        "no permission to listen" in done.stderr
        and "setcap" in done.stderr
        and "Traceback" not in done.stderr
    )
    program = "from frevo.cli.serve_folder import usual_port; print(usual_port())"
    usual = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=without_low_ports,
    )
    assert usual.stdout == "4450\n"
