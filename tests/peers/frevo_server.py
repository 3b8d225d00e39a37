"""A real frevo server as a subprocess: generated smb.conf, readiness line, log, and the checks at its end.

`frevo serve -c smb.conf --ready-fd N` writes one JSON line to descriptor N when every listener accepts, and
closes it: {"pid": 1, "listeners": [{"transport": "tcp", "address": "127.0.0.1", "port": 4450}, ...]}.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from frevo._native import QuicClientTls
from frevo.tls.pem import certificates_in
from frevo.transport.smbdirect import SmbDirectSettings
from peers import planes, programs, transports
from peers.frevo_relay import FrevoRelay
from peers.target import DOMAIN, PASSWORD, SHARES, USER, Target, section, share_sections

START_TIMEOUT_S = 60.0
#: The promise of the README: Ctrl-C drains and stops within this time.
STOP_TIMEOUT_S = 2.0
#: Time for a process to exit on a busy test machine before it is called stuck.
STOP_GRACE_S = 15.0

FREVO = [sys.executable, "-X", "faulthandler", "-m", "frevo"]


class FrevoServer(Target):
    """A running `frevo serve`. stop() ends it and checks that it ended well."""

    process: subprocess.Popen[bytes]
    ports: contextlib.ExitStack  # no other program gets them while the server runs
    stopped_after_s: float = 0.0

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")

    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self, signal_number: int = signal.SIGINT) -> int:
        """Sends *signal_number* to the server's process and waits; returns the exit code."""
        started = time.monotonic()
        if self.alive():
            self.process.send_signal(signal_number)
        try:
            code = self.process.wait(STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            programs.end_group(self.process)
            self.process.wait()
            raise AssertionError(f"frevo did not stop within {STOP_GRACE_S} s:\n{self.tail()}") from None
        finally:
            self.stopped_after_s = time.monotonic() - started
            self.ports.close()
        return code

    def tail(self, lines: int = 60) -> str:
        return "\n".join(self.log_text().splitlines()[-lines:])

    def check_end(self) -> None:
        """Exit code 0, in time, ports free again, and nothing in the log that looks like a bug."""
        code = self.stop()
        text = self.log_text()
        assert "Traceback" not in text, f"a traceback in the server's log:\n{text[-6000:]}"
        assert "panicked at" not in text, f"a panic in the server's log:\n{text[-6000:]}"
        assert code == 0, f"frevo ended with {code}:\n{self.tail()}"
        assert self.stopped_after_s < STOP_TIMEOUT_S, f"frevo needed {self.stopped_after_s:.1f} s to stop"
        for port in (self.port, self.nbt_port):
            assert not port or not programs.accepts(self.host, port), f"port {port} is still open"


def configuration(
    base: Path, root: Path, host: str, options: Mapping[str, str], shares: Mapping[str, dict[str, str]]
) -> str:
    """smb.conf of a test server; *options* win over what is here."""
    settings = {
        "workgroup": DOMAIN,
        "netbios name": "FREVOTEST",
        "server string": "frevo under test",
        "interfaces": host,
        "bind interfaces only": "yes",
        "private dir": str(base / "private"),
        "map to guest": "never",
        "frevo:unix users": "no",  # the tests' users do not exist on this machine
        **planes.server_options(),
        **options,
    }
    return section("global", settings) + "\n" + share_sections(root, {k: dict(v) for k, v in shares.items()})


def run_frevo(
    *arguments: str, text_in: str = "", timeout_s: float = 60, command: Sequence[str] = FREVO
) -> programs.Run:
    """Runs a `frevo` command to its end."""
    return programs.run([*command, *arguments], text_in=text_in, timeout_s=timeout_s)


def status_of(config: Path) -> dict[str, Any]:
    """What `frevo status --json` says of the running server with this configuration; frevo's own is in `frevo`."""
    said = run_frevo("status", "--json", "-c", str(config)).ok()
    found: dict[str, Any] = json.loads(said[said.index("{") :])
    return found


def add_user(
    config: Path, user: str = USER, password: str = PASSWORD, command: Sequence[str] = FREVO
) -> None:
    arguments = ("user", "add", user, "--password-stdin", "-c", str(config))
    run_frevo(*arguments, text_in=f"{password}\n", command=command).ok()


def without_unknown_keys(text: str, base: Path, command: Sequence[str]) -> str:
    """The configuration *text* for an older frevo, *command*: without the keys that it does not know."""
    config = base / "probe.conf"
    config.write_text(text)
    told = run_frevo("testparm", "-c", str(config), command=command).output
    unknown = set(re.findall(r"`(frevo:[^`]+)`: unknown key", told))
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if line.partition("=")[0].strip() not in unknown)


def start(
    base: Path,
    options: Mapping[str, str] | None = None,
    shares: Mapping[str, dict[str, str]] = SHARES,
    host: str = "127.0.0.1",
    arguments: tuple[str, ...] = (),
    command: Sequence[str] = FREVO,
    *,
    quic: bool = False,
    direct: str = "",
    password: str = PASSWORD,
) -> FrevoServer:
    """Starts `frevo serve` with its state in *base* and returns when it accepts connections; with *quic* it has that
    transport, too, and makes its certificates; *direct*: what carries SMB Direct, which it has then."""
    base.mkdir(parents=True, exist_ok=True)
    server = FrevoServer("frevo", base / "shares", host=host, password=password, log=base / "frevo.log")
    server.ports = contextlib.ExitStack()
    tcp, nbt = (server.ports.enter_context(programs.reserved_port(host)) for _ in range(2))
    settings = {
        "server smb transports": f"tcp:{tcp}, nbt:{nbt}",
        **transports.server_options(),
        **(options or {}),
    }
    direct = direct or transports.over_direct()
    if direct:
        port = server.ports.enter_context(programs.reserved_port(host))
        settings["server smb transports"] += f", smbdirect:{port}"
        settings |= transports.direct_options(direct)
    if quic or "tls certfile" in settings:
        udp = server.ports.enter_context(programs.reserved_udp_port(host))
        if "quic" not in settings["server smb transports"]:
            settings["server smb transports"] += f", quic:{udp}"
        own = "tls certfile" not in settings
        server.authority = base / "private" / "tls" / "ca.pem" if own else transports.authority().file
    config = base / "smb.conf"
    text = configuration(base, server.root, host, settings, shares)
    config.write_text(text if command is FREVO else without_unknown_keys(text, base, command))
    if not (base / "private").exists():  # else it was started here before
        add_user(config, password=password, command=command)
    reader, writer = os.pipe()
    with server.log.open("ab") as log:
        server.process = subprocess.Popen(
            [*command, "serve", "-c", str(config), "--ready-fd", str(writer), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(writer,),
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
    os.close(writer)
    try:
        ready = _readiness(reader, server)
    finally:
        os.close(reader)
    server.pid = int(ready["pid"])
    for listener in ready["listeners"]:
        if listener["transport"] == "nbt":
            server.nbt_port = int(listener["port"])
        elif listener["transport"] == "quic":
            server.quic_port = int(listener["port"])
        elif listener["transport"] == "smbdirect":
            server.direct_port = int(listener["port"])
        elif listener["transport"] == "tcp":
            server.port = server.tcp_port = int(listener["port"])
    if transports.chosen() != "tcp":
        away = server.quic_port if transports.over_quic() else server.direct_port
        server.port = server.ports.enter_context(relay(host, away)).port
    return server


def relay(host: str, port: int, source: str = "") -> FrevoRelay:
    """TCP in, what `transports` says out to a server of its options; *source*: the address to come from."""
    if transports.over_direct():
        settings = SmbDirectSettings(transports.over_direct(), str(transports.sockets()))  # type: ignore[arg-type]
        return FrevoRelay(host, port, settings, source)
    cas = certificates_in(transports.authority().file.read_bytes(), "the tests' CA")
    return FrevoRelay(host, port, QuicClientTls("localhost", cas=cas), source)


def _readiness(reader: int, server: FrevoServer) -> dict[str, Any]:
    """The JSON line; fails with the log when the server ends or stays silent."""
    data = b""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not data.endswith(b"\n"):
        readable, _, _ = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(reader, 65536) if readable else b""
        if not chunk:
            programs.end_group(server.process)
            server.process.wait()
            server.ports.close()
            raise AssertionError(f"frevo did not get ready:\n{server.tail()}")
        data += chunk
    ready: dict[str, Any] = json.loads(data)
    return ready


@contextmanager
def frevo_server(
    base: Path,
    options: Mapping[str, str] | None = None,
    shares: Mapping[str, dict[str, str]] = SHARES,
    host: str = "127.0.0.1",
    arguments: tuple[str, ...] = (),
    command: Sequence[str] = FREVO,
    *,
    quic: bool = False,
    direct: str = "",
    password: str = PASSWORD,
) -> Iterator[FrevoServer]:
    """A server for the length of the block, with all checks at its end."""
    server = start(
        base, options, shares, host, arguments, command, quic=quic, direct=direct, password=password
    )
    try:
        yield server
    except BaseException:
        with contextlib.suppress(AssertionError):
            server.stop()
        print(f"--- end of the server's log ---\n{server.tail()}")
        raise
    server.check_end()
