"""`frevo serve --quic` as a process, and what frevo's server and client agree on over QUIC."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from peers.in_process import in_process
from peers.target import PASSWORD

import frevo
from frevo.auth.accounts import AccountStore
from frevo.client.errors import RemoteError
from frevo.tls.client import ClientTrust
from frevo.tls.generate import ensure_certificate, renew
from frevo.tls.settings import VerifyPeer
from frevo.tls.store import TlsStore
from integration.test_serve import FREVO, folder_arguments, serving, stop, without_low_ports

pytestmark = pytest.mark.once("certificates, processes, policies")

#: Seconds until the server has certainly looked at its files again.
LOOKED_S = 10.0


@dataclass(slots=True)
class Served:
    """A server of a folder with the file hello.txt, for user eve with PASSWORD."""

    process: subprocess.Popen[str]
    port: int
    private: Path

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the certificate on disk."""
        from frevo.tls.load import load_certificates

        return load_certificates(TlsStore(self.private).certificate)[0].fingerprint

    def banner(self) -> str:
        """What it has printed; whole."""
        assert self.process.stdout is not None
        lines: list[str] = []
        while not lines or not lines[-1].startswith("Stop with"):
            lines.append(self.process.stdout.readline())
        return "".join(lines)

    def frevo(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of frevo's client."""
        environment = {**os.environ, "FREVO_PASSWORD": PASSWORD}
        command = [sys.executable, "-m", "frevo", *words]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, env=environment
        )

    def list(self, fingerprint: str, *more: str) -> subprocess.CompletedProcess[str]:
        """`frevo ls` of the share, on a server that has this certificate."""
        url = f"smb+quic://eve@127.0.0.1:{self.port}/data"
        return self.frevo("ls", url, "--tls-fingerprint", fingerprint, *more)

    def status(self) -> dict[str, Any]:
        """`frevo status --json`."""
        command = [*FREVO, "status", "--private-dir", str(self.private), "--json"]
        found: dict[str, Any] = json.loads(subprocess.check_output(command, text=True, timeout=30))
        return found


@contextmanager
def served(tmp_path: Path, *more: str) -> Iterator[Served]:
    """`frevo serve DIR --quic=0`, stopped at the end."""
    arguments = folder_arguments(tmp_path, "--port", "0", "--quic=0", *more)
    private = tmp_path / "p"
    if not private.exists():
        AccountStore(private).add("eve", PASSWORD)
    (tmp_path / "data" / "hello.txt").write_text("hello")
    with serving(*arguments) as (process, ready):
        yield Served(process, int(ready["quic"]), private)
        _, _, err = stop(process)
        assert process.returncode == 0 and "Traceback" not in err, err


def configured(tmp_path: Path, *lines: str) -> Path:
    """smb.conf for a server of the same folder, with *lines* in [global]."""
    first = (
        "[global]",
        f"private dir = {tmp_path}/p",
        "interfaces = 127.0.0.1",
        "bind interfaces only = yes",
    )
    more = ("frevo:unix users = no", *lines, "[data]", f"path = {tmp_path}/data")
    path = tmp_path / "smb.conf"
    path.write_text("\n".join((*first, *more)) + "\n")
    return path


def test_the_line_that_is_printed_works(tmp_path: Path) -> None:
    """Goal: one command serves, its output has the client's line, and status knows the connection. Method: run the
    line as it stands; hold a connection and ask."""
    with served(tmp_path) as server:
        banner = server.banner()
        assert f"quic 127.0.0.1:{server.port}" in banner
        [line] = [line for line in banner.splitlines() if "smb+quic://" in line]
        _, command, *words = shlex.split(line)
        assert command == "frevo"
        done = server.frevo(*words)
        assert (done.returncode, done.stdout.split()[-1]) == (0, "hello.txt"), done.stderr
        own = server.status()["frevo"]
        assert own["statistics"]["quic_datagrams_received"] > 10 < own["statistics"]["quic_datagrams_sent"]
        [certificate] = own["certificates"]
        assert certificate["sha256"] == server.fingerprint
        assert "DNS:localhost" in certificate["names"] and certificate["warning"] == ""


def test_a_certificate_is_made_once(tmp_path: Path) -> None:
    """Goal: a second start presents the same certificate; its key and folder are the server's alone. Method: twice."""
    with served(tmp_path) as server:
        first = server.fingerprint
        assert server.list(first).returncode == 0
    with served(tmp_path) as server:
        assert server.fingerprint == first
        assert server.list(first).returncode == 0
    folder = TlsStore(tmp_path / "p")
    assert folder.key.stat().st_mode & 0o777 == 0o600 and folder.directory.stat().st_mode & 0o777 == 0o700


def test_a_renewal_needs_no_restart(tmp_path: Path) -> None:
    """Goal: new connections get the new certificate, the log says so, and the old fingerprint is refused. Method:
    renew while it runs."""
    with served(tmp_path) as server:
        old = server.fingerprint
        assert server.list(old).returncode == 0
        store = TlsStore(server.private)
        with store.changing():
            renew(store)
        new = server.fingerprint
        assert new != old
        ends = time.monotonic() + LOOKED_S
        while server.list(new).returncode and time.monotonic() < ends:
            pass
        assert server.list(new).returncode == 0
        refused = server.list(old)
        assert refused.returncode == 1 and "Traceback" not in refused.stderr
        assert server.status()["frevo"]["certificates"][0]["sha256"] == new


def test_a_server_that_is_not_trusted(tmp_path: Path) -> None:
    """Goal: without the CA or the fingerprint nobody connects, and with the CA everybody. Method: both."""
    with served(tmp_path) as server:
        url = f"smb+quic://eve@127.0.0.1:{server.port}/data"
        refused = server.frevo("ls", url)
        assert refused.returncode == 1 and "hello" not in refused.stdout
        assert "certificate" in refused.stderr
        assert server.status()["frevo"]["statistics"]["quic_handshakes_failed"] == 1
        assert server.frevo("ls", url, "--tls-ca", str(TlsStore(server.private).ca)).returncode == 0
        assert server.status()["frevo"]["statistics"]["quic_handshakes_failed"] == 1


def test_shares_says_why_there_is_no_list(tmp_path: Path) -> None:
    """Goal: `frevo shares` over QUIC names the reason and the remedies, and with the key it lists. Method: both."""
    with served(tmp_path) as server:
        url = f"smb+quic://eve@127.0.0.1:{server.port}"
        refused = server.frevo("shares", url, "--tls-fingerprint", server.fingerprint)
        assert refused.returncode == 1
        assert "over QUIC this server does not open named pipes" in refused.stderr
        assert "frevo:quic named pipes = yes" in refused.stderr
    path = configured(tmp_path, "frevo:quic named pipes = yes")
    with serving("-c", str(path), "-p", "0", "--quic=0") as (process, ready):
        server = Served(process, int(ready["quic"]), tmp_path / "p")
        url = f"smb+quic://eve@127.0.0.1:{server.port}"
        listed = server.frevo("shares", url, "--tls-fingerprint", server.fingerprint)
        assert listed.stdout.split()[:2] == ["data", "disk"], listed.stderr
        stop(process)


def test_reload_changes_the_certificate(tmp_path: Path) -> None:
    """Goal: SIGHUP takes other certificates; a file that cannot be used changes nothing. Method: another pair, then
    none."""
    path = configured(tmp_path)
    (tmp_path / "data").mkdir()
    AccountStore(tmp_path / "p").add("eve", PASSWORD)
    ensure_certificate(TlsStore(tmp_path / "other"))
    other = [f"tls {kind}file = {tmp_path}/other/tls/{kind}.pem" for kind in ("cert", "key")]
    with serving("-c", str(path), "-p", "0", "--quic=0", "-q") as (process, ready):
        assert process.stderr is not None
        own = Served(process, int(ready["quic"]), tmp_path / "p")
        others = Served(process, int(ready["quic"]), tmp_path / "other")
        assert own.list(own.fingerprint).returncode == 0
        configured(tmp_path, *other)
        process.send_signal(signal.SIGHUP)
        while "tls keyfile" not in process.stderr.readline():
            pass
        assert others.list(others.fingerprint).returncode == 0
        configured(tmp_path, "tls certfile = none", "tls keyfile = none")
        process.send_signal(signal.SIGHUP)
        while "the old certificates stay in force" not in process.stderr.readline():
            pass
        assert others.list(others.fingerprint).returncode == 0
        stop(process)
        assert process.returncode == 0


# -- starts that must fail with a sentence


def failing(*arguments: str, **options: Any) -> str:
    """What `frevo serve` says when it does not start."""
    command = [*FREVO, "serve", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, **options)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr and "bug" not in done.stderr
    return done.stderr


def test_a_port_in_use(tmp_path: Path) -> None:
    """Goal: a second server on a UDP port is an error, not half of the datagrams. Method: two servers."""
    with served(tmp_path) as server:
        said = failing(*folder_arguments(tmp_path, "--port", "0", f"--quic={server.port}"))
        assert f"UDP 127.0.0.1:{server.port} is in use" in said and "--quic=4433" in said


def test_a_forbidden_port(tmp_path: Path) -> None:
    """Goal: who may not listen on 443 hears what to do, and without a port gets another. Method: drop the right."""
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 443:
        pytest.skip("this machine lets everybody listen on 443")
    arguments = folder_arguments(tmp_path, "--port", "0", "--quic=443")
    said = failing(*arguments, preexec_fn=without_low_ports)
    assert "no permission to listen on UDP 127.0.0.1:443" in said and "--quic=4433" in said
    program = "from frevo.cli.serve_folder import usual_quic_port; print(usual_quic_port())"
    usual = subprocess.check_output([sys.executable, "-c", program], text=True, preexec_fn=without_low_ports)
    assert usual == "4433\n"


def test_no_certificate(tmp_path: Path) -> None:
    """Goal: a certificate that is configured and not there is named. Method: a folder's and a file's server."""
    path = configured(tmp_path, "tls certfile = none.pem", "tls keyfile = none.key")
    assert f"{tmp_path}/p/none.pem" in failing("-c", str(path), "-p", "0", "--quic=0")
    (tmp_path / "p" / "tls").mkdir(parents=True, mode=0o700)
    (tmp_path / "p").chmod(0o700)
    (tmp_path / "p" / "tls" / "cert.pem").write_text("no certificate")
    said = failing(*folder_arguments(tmp_path, "--port", "0", "--quic=0"))
    assert f"{tmp_path}/p/tls/" in said


# -- what both sides agree on

REQUIRED = {"server smb encrypt": "required"}
RELYING = {"server smb encryption over quic": "no"}


@pytest.mark.parametrize("theirs", [False, True])
@pytest.mark.parametrize("mine", [False, True])
@pytest.mark.parametrize("verified", [False, True])
async def test_encryption_once(tmp_path: Path, mine: bool, theirs: bool, verified: bool) -> None:
    """Goal: SMB does not encrypt again when both sides say so and the client knows the server; otherwise it does as
    both require. Method: every combination; what the server's session and the client's say."""
    options = {**REQUIRED, **(RELYING if theirs else {})}
    async with in_process(tmp_path, options, transport="quic") as server:
        verify: VerifyPeer = "ca_and_name" if verified else "no_check"
        trust = ClientTrust(verify=verify, ca_files=(str(TlsStore(tmp_path / "private").ca),))
        url = f"smb+quic://user1@127.0.0.1:{server.port}"
        async with frevo.connect_server(
            url, encryption=True, encryption_over_quic=not mine, tls=trust
        ) as connected:
            share = await connected.share("share")
            await share.write_bytes("file", b"data")
            assert await share.read_bytes("file") == b"data"
            [session] = server.running.server.sessions.values()
            relied = mine and theirs and verified
            assert session.connection.transport_security == relied
            assert session.encrypt != relied
            assert connected.encrypted and connected.session.protection.encrypt != relied
            assert connected.connection.transport_security == relied
            assert session.signing_required


async def test_a_fingerprint_counts_as_verified(tmp_path: Path) -> None:
    """Goal: who trusts one certificate knows the server. Method: rely on QUIC with a fingerprint and without a CA."""
    async with in_process(tmp_path, {**REQUIRED, **RELYING}, transport="quic") as server:
        [certificate] = server.running.certificates
        url = f"smb+quic://user1@127.0.0.1:{server.port}"
        async with frevo.connect_server(
            url, encryption=True, encryption_over_quic=False, tls_fingerprint=certificate.sha256
        ) as connected:
            assert connected.encrypted and connected.connection.transport_security


async def test_the_library_says_why_there_is_no_list(tmp_path: Path) -> None:
    """Goal: the same from the library, and the session lives on. Method: list, then a share of the same server."""
    async with in_process(tmp_path, transport="quic") as server:
        [certificate] = server.running.certificates
        url = f"smb+quic://user1@127.0.0.1:{server.port}"
        async with frevo.connect_server(url, tls_fingerprint=certificate.sha256) as found:
            with pytest.raises(RemoteError, match="does not open named pipes"):
                await found.shares()
            share = await found.share("share")
            assert [entry.name async for entry in share.scandir("")] == []


async def test_old_dialects_do_not_go_over_quic(tmp_path: Path) -> None:
    """Goal: a client that may not speak 3.1.1 says so before it connects. Method: 3.0.2 at most."""
    async with in_process(tmp_path, transport="quic") as server:
        with pytest.raises(RemoteError, match=r"quic.* carries no dialect from SMB2_02 to SMB3_02"):
            await frevo.connect(f"smb+quic://user1@127.0.0.1:{server.port}/share", maximum="SMB3_02")
