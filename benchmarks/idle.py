"""The memory of connections that only exist: idle ones with a session each."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from peers.target import Target

from benchmarks.network import Network
from benchmarks.sample import ToolError
from benchmarks.servers import memory_bytes

_CLIENT = """
import asyncio, sys, frevo
from frevo.cli.runner import raise_file_limit

async def main(url, count, **options):
    shares, gate = [], asyncio.Semaphore(16)

    async def one():
        async with gate:
            shares.append(await frevo.connect(url, **options))

    await asyncio.gather(*(one() for _ in range(count)))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await asyncio.gather(*(share.close() for share in shares))

url, count, user, password, address, ca = sys.argv[1:]
raise_file_limit()
asyncio.run(main(url, int(count), user=user, password=password, address=address, **({"tls_ca": ca} if ca else {})))
"""


@contextmanager
def idle_connections(
    target: Target, url: str, count: int, *, authority: str = "", prefix: Sequence[str] = ()
) -> Iterator[None]:
    """So many connections to the share at *url* for the length of the block."""
    words = [url, str(count), target.user, target.password, target.host, authority]
    with subprocess.Popen(
        [*prefix, sys.executable, "-c", _CLIENT, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        if process.stdout.readline() != "ready\n":
            raise ToolError(f"{count} idle connections to {url}: the client ended with {process.wait()}")
        yield
        process.stdin.close()  # it ends its connections


def memory_of_idle_sessions(servers: Mapping[str, Target], network: Network, sessions: int) -> list[str]:
    """A line for frevo and for its rival. smbd forks for each connection, so it gets a tenth of them."""
    lines = []
    for name, count in (("frevo", sessions), ("smbd", max(sessions // 10, 1))):
        if name not in servers:
            continue
        target = servers[name]
        _, before = memory_bytes(target)
        with idle_connections(target, f"{target.url}/share", count, prefix=network.prefix):
            resident, proportional = memory_bytes(target)
        lines.append(
            f"{name}: {count} idle sessions on a connection each: RSS {resident / 1e6:.0f} MB, PSS "
            f"{proportional / 1e6:.0f} MB ({before / 1e6:.0f} MB before), "
            f"{(proportional - before) / count / 1024:.0f} KiB a session"
        )
    return lines
