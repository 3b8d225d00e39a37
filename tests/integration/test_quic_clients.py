"""Client certificates over QUIC, from `frevo tls` to the connection that is let in, refused or ended."""

from __future__ import annotations

import argparse
import asyncio
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peers import pki
from peers.in_process import InProcess, in_process

import frevo
from frevo.cli import tls
from frevo.client.errors import RemoteError
from frevo.status.collect import collect
from frevo.status.slices import in_slices
from frevo.tls.load import load_certificates
from frevo.tls.store import TlsStore

REQUIRE = {"frevo:quic client access": "require"}


class Bench:
    """A server's folder, and who wants to connect."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.store = TlsStore(folder / "private")
        self._monkeypatch = monkeypatch

    def tls(self, *words: str) -> None:
        """`frevo tls words` for the server's private folder."""
        self._monkeypatch.setattr("sys.stdin", io.StringIO("password\n"))
        parser = argparse.ArgumentParser()
        tls.add_parser(parser.add_subparsers(required=True))
        args = parser.parse_args(["tls", *words, "--private-dir", str(self.store.private_dir)])
        assert args.run(args) == 0

    def issue(self, name: str, *more: str) -> dict[str, Any]:
        """Options of a client with a certificate of the server's own CA."""
        self.tls("issue-client", name, "--password-stdin", "--out", str(self.folder), *more)
        return self.with_certificate(self.folder / f"{name}.pem", self.folder / f"{name}.key")

    def with_certificate(self, certfile: Path, keyfile: Path) -> dict[str, Any]:
        return {"tls_ca": self.store.ca, "tls_cert": certfile, "tls_key": keyfile}

    def without(self) -> dict[str, Any]:
        """Options of a client without a certificate."""
        return {"tls_ca": self.store.ca}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench(tmp_path, monkeypatch)
    bench.tls("renew")
    yield bench


def url(server: InProcess, host: str = "127.0.0.1") -> str:
    return f"smb+quic://user1@{host}:{server.port}/share"


async def let_in(server: InProcess, options: dict[str, Any]) -> bool:
    """Whether a client with these options can connect; the sentence that it is given otherwise is no trace."""
    try:
        async with frevo.connect(url(server), reconnect=0, **options) as share:
            await share.stat("")
        return True
    except (RemoteError, OSError) as error:
        assert "Traceback" not in str(error)
        return False


async def refusal(server: InProcess, options: dict[str, Any]) -> str:
    """What a client with these options is told."""
    with pytest.raises((RemoteError, OSError)) as error:
        await frevo.connect(url(server), reconnect=0, **options)
    return str(error.value)


async def until(condition: Any) -> None:
    """Waits until *condition()* holds (an awaitable one, too)."""
    async with asyncio.timeout(15):
        while True:
            holds = condition()
            if await holds if asyncio.iscoroutine(holds) else holds:
                return
            await asyncio.sleep(0.05)


async def test_required(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Goal: without a certificate nobody gets to the log-on; with one that was issued here, everything works. Method:
    none, one of another CA, one of this CA that is not allowed, an allowed one.
    """
    stranger = pki.leaf("eve", pki.authority("other"), usage=pki.CLIENT)
    allowed, other = bench.issue("alice"), bench.issue("bob", "--no-allow")
    async with in_process(bench.folder, REQUIRE, transport="quic") as server:
        said = await refusal(server, bench.without())
        assert "the server demands a certificate of its clients" in said and "too many clients" not in said
        certfile, keyfile = stranger.write(bench.folder, "eve")
        assert "certificate" in await refusal(server, bench.with_certificate(certfile, keyfile))
        assert "denied this client access" in await refusal(server, other)
        async with frevo.connect(url(server), **allowed) as share:
            await share.write_bytes("file", b"hello")
            assert await share.read_bytes("file") == b"hello"
    assert "refused: the client sent no certificate, and one is required" in caplog.text
    assert "no entry allows it" in caplog.text
    assert "Traceback" not in caplog.text


async def test_status_shows_who_came(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Goal: status and log name the certificate of a client, the name that it called and the cipher. Method: a client
    with a certificate, by the name localhost.
    """
    caplog.set_level(logging.INFO, "frevo")
    allowed = bench.issue("alice")
    [facts] = load_certificates(bench.folder / "alice.pem")[:1]
    async with (
        in_process(bench.folder, REQUIRE, transport="quic") as server,
        frevo.connect(url(server, "localhost"), address="127.0.0.1", **allowed) as share,
    ):
        await share.stat("")
        found = await in_slices((await in_slices(collect(server.running))).json_steps())
    [session] = found["sessions"].values()
    [channel] = session["channels"].values()
    assert channel["transport"] == "quic"
    assert channel["tls"] == {
        "cipher": channel["tls"]["cipher"],
        "server_name": "localhost",
        "driver": "user",
        "client_certificate": {"subject": "CN=alice", "sha256": facts.fingerprint},
        "replaces_encryption": False,
    }
    assert channel["tls"]["cipher"].startswith(("AES", "CHACHA20"))
    assert found["frevo"]["transports"] == {"quic": 1}
    said = f"{channel['tls']['cipher']} for localhost, certificate CN=alice (SHA-256 {facts.fingerprint})"
    assert said in caplog.text


async def test_allowed_but_not_required(bench: Bench) -> None:
    """Goal: with `allow`, a client without a certificate is let in, one with a denied one is not. Method: both."""
    denied = bench.issue("bob", "--no-allow")
    allowed = bench.issue("alice")
    bench.tls("deny", str(bench.folder / "bob.pem"))
    options = {"frevo:quic client access": "allow"}
    async with in_process(bench.folder, options, transport="quic") as server:
        assert await let_in(server, bench.without())
        assert await let_in(server, allowed)
        assert not await let_in(server, denied)


async def test_denied_while_connected(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Goal: `deny` ends the connections of that client and no other, keeps it out, and `remove` with `allow` lets it in
    again, all without a restart. Method: two clients; look at both.
    """
    caplog.set_level(logging.WARNING)
    alice, bob = bench.issue("alice"), bench.issue("bob")
    async with in_process(bench.folder, REQUIRE, transport="quic") as server:
        sessions = server.running.server.sessions
        async with frevo.connect(url(server), reconnect=0, **bob) as kept:
            lost = await frevo.connect(url(server), reconnect=0, **alice)
            await lost.stat("")
            assert len(sessions) == 2
            bench.tls("deny", str(bench.folder / "alice.pem"))
            await until(lambda: len(sessions) == 1)
            with pytest.raises((RemoteError, OSError)):
                await lost.stat("")
            await lost.close()
            await kept.stat("")
            assert not await let_in(server, alice)
            bench.tls("allow", str(bench.folder / "alice.pem"))
            await until(lambda: let_in(server, alice))
            await kept.stat("")
    assert "client access: deny sha256:" in caplog.text


async def test_revoked(bench: Bench) -> None:
    """Goal: a certificate in `tls crlfile` is refused. Method: an own CA, one of its two clients revoked."""
    root = pki.authority("Example CA")
    good, bad = (pki.leaf(name, root, usage=pki.CLIENT) for name in ("good", "bad"))
    (bench.folder / "root.pem").write_bytes(root.pem)
    (bench.folder / "crl.pem").write_bytes(pki.revocation_list(root, bad))
    bench.tls("allow", str(bench.folder / "root.pem"))
    options = {
        **REQUIRE,
        "tls cafile": str(bench.folder / "root.pem"),
        "tls crlfile": str(bench.folder / "crl.pem"),
    }
    async with in_process(bench.folder, options, transport="quic") as server:
        assert await let_in(server, bench.with_certificate(*good.write(bench.folder, "good")))
        assert "revoked" in await refusal(server, bench.with_certificate(*bad.write(bench.folder, "bad")))


async def test_several_certificates(bench: Bench) -> None:
    """Goal: the name that a client asks for chooses the certificate; a name that none has ends the connection. Method:
    two names with CAs of their own, and a third name.
    """
    roots = {name: pki.authority(f"CA of {name}") for name in ("one.example", "two.example")}
    for name, root in roots.items():
        pki.leaf(name, root).write(bench.folder, name)
        (bench.folder / f"{name}.ca").write_bytes(root.pem)
    options = {
        "tls certfile": str(bench.folder / "one.example.pem"),
        "tls keyfile": str(bench.folder / "one.example.key"),
        "frevo:quic certificates": f"{bench.folder}/two.example.pem:{bench.folder}/two.example.key",
    }
    async with in_process(bench.folder, options, transport="quic") as server:

        async def calls(name: str, ca: str) -> bool:
            return await let_in(server, {"tls_ca": bench.folder / f"{ca}.ca", "tls_server_name": name})

        assert await calls("one.example", "one.example")
        assert await calls("two.example", "two.example")
        assert not await calls("one.example", "two.example")
        said = await refusal(
            server, {"tls_ca": bench.folder / "one.example.ca", "tls_server_name": "three.example"}
        )
        assert "has no certificate for the name" in said
        replaced = pki.leaf("two.example", roots["one.example"])
        replaced.write(bench.folder, "two.example")
        await until(lambda: calls("two.example", "one.example"))
