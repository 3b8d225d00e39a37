"""Every way to send large responses: clients get the same bytes by each, and `frevo status` says which was used and why
not another."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from peers.frevo_server import frevo_server, run_frevo, status_of

import frevo
from frevo.aio.features import choose_data_plane

#: Larger than a pipe, and not a whole number of pages.
SIZE = 5 * 1024 * 1024 + 4321
#: The counters of `frevo status` for what was sent in that way.
COUNTERS = {"async": "sent_async", "zerocopy": "sent_zero_copy", "splice": "sent_spliced"}
NEEDS_URING = ("async", "zerocopy")


def counted(status: dict[str, Any]) -> dict[str, int]:
    """Bytes by way, without those of which nothing was sent."""
    sent = {name: status["statistics"][counter] for name, counter in COUNTERS.items()}
    return {name: count for name, count in sent.items() if count}


async def read_through(base: Path, options: dict[str, str], *, signed: bool) -> tuple[dict[str, Any], str]:
    """What a server with these keys says of itself, as data and as text, when a file was read through it.
    The first READ of an open is Python's."""
    content = os.urandom(SIZE)
    with frevo_server(base, options) as server:
        account = {"user": server.user, "password": server.password}
        async with frevo.connect(f"{server.url}/share", signing=signed, ciphers=(), **account) as share:
            await share.write_bytes("large", content)
            async with share.open("large") as file:
                assert await file.read(1) == content[:1]
                assert await file.read() == content[1:]
        config = base / "smb.conf"
        text = run_frevo("status", "-c", str(config)).ok()
        return status_of(config)["frevo"], " ".join(text.split())


@pytest.mark.tcp_only("QUIC sends datagrams; these are ways to write to a TCP socket")
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("path", ["auto", "plain", "async", "zerocopy", "splice"])
@pytest.mark.parametrize("engine", ["uring", "epoll"])
async def test_a_forced_read_path(engine: str, path: str, signed: bool, tmp_path: Path) -> None:
    """Goal: what a client reads is right in each way, and the way is used, or it is said why not.
    Method: a server with the way forced; read a file, ask its status."""
    if engine == "uring" and choose_data_plane("auto")[0] != "uring":
        pytest.skip("io_uring cannot be used here")
    policy = "mandatory" if signed else "disabled"
    options = {"frevo:engine": engine, "frevo:read path": path, "server signing": policy}
    options["frevo:splice"] = "always"  # the client is on this host
    status, text = await read_through(tmp_path, options, signed=signed)
    possible = engine == "uring" or path not in NEEDS_URING
    used = path if possible and path != "auto" else "plain"
    if used == "zerocopy" and status["read_path"] == "plain":
        assert status["unused_read_paths"]["zerocopy"] == "the kernel has no send_zc"
        used = "plain"
    assert status["read_path"] == used
    assert set(status["unused_read_paths"]) == {"plain", *COUNTERS} - {used}
    if not possible:
        assert status["unused_read_paths"][path] == "the engine is not io_uring"
    sent = counted(status)
    if used == "plain" or (used, signed) == ("splice", True):
        assert sent == {}
    else:
        assert set(sent) == {used}
        assert sent[used] >= 5 * 1024 * 1024  # the rest is small
    assert f"large responses: {used}" in text


@pytest.mark.tcp_only("QUIC sends datagrams; these are ways to write to a TCP socket")
@pytest.mark.parametrize("splice", ["auto", "never"])
async def test_pages_are_not_sent_to_clients_on_this_host(splice: str, tmp_path: Path) -> None:
    """Goal: a client on the loopback would get the pages themselves, so READs are copied, and it is said why; the same
    where splice is forbidden. Method: ask the status after READs."""
    options = {"frevo:read path": "splice", "frevo:splice": splice, "server signing": "disabled"}
    status, text = await read_through(tmp_path, options, signed=False)
    assert counted(status) == {}
    if splice == "auto":
        assert status["read_path"] == "splice" and status["statistics"]["unspliced_near"] > 0
        assert "READs copied for clients that may be on this host" in text
    else:
        assert status["read_path"] == "plain"
        assert status["unused_read_paths"]["splice"] == "`frevo:splice = never`"
