"""Server time of one log-on in microseconds: frevo's acceptor and, for comparison, pyspnego's.

Run: python benchmarks/micro_auth.py [count]
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import spnego

from frevo.auth.accounts import AccountStore
from frevo.auth.authenticator import Authenticator
from frevo.auth.identity import AuthSettings
from frevo.auth.md4 import nt_hash


def _ours(private_dir: Path) -> Callable[[], Callable[[bytes], bytes | None]]:
    store = AccountStore(private_dir)
    store.add("alice", "Secret1")
    authenticator = Authenticator(store, AuthSettings())

    def begin() -> Callable[[bytes], bytes | None]:
        acceptor = authenticator.begin()
        return lambda token: acceptor.step(token).token

    return begin


def _pyspnego(directory: Path, protocol: str) -> Callable[[], Callable[[bytes], bytes | None]]:
    users = directory / "users"
    users.write_text(f"alice:1000:{'0' * 32}:{nt_hash('Secret1').hex().upper()}:[U]:LCT-1589398321\n")
    os.environ["NTLM_USER_FILE"] = str(users)
    return lambda: spnego.server(protocol=protocol).step


def measure(begin: Callable[[], Callable[[bytes], bytes | None]], protocol: str, count: int) -> float:
    """Median microseconds of the server side of a log-on."""
    samples = []
    for _ in range(count):
        client: Any = spnego.client("alice", "Secret1", protocol=protocol)
        token = client.step()
        spent_ns = -time.perf_counter_ns()
        step = begin()
        spent_ns += time.perf_counter_ns()
        while token:
            started_ns = time.perf_counter_ns()
            answer = step(token)
            spent_ns += time.perf_counter_ns() - started_ns
            token = client.step(answer) if answer and not client.complete else None
        samples.append(spent_ns / 1000)
    return sorted(samples)[count // 2]


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    with tempfile.TemporaryDirectory() as name:
        for protocol in ("ntlm", "negotiate"):
            ours = measure(_ours(Path(name) / protocol), protocol, count)
            theirs = measure(_pyspnego(Path(name), protocol), protocol, count)
            print(f"{protocol}: frevo {ours:.0f} us, pyspnego {theirs:.0f} us")


if __name__ == "__main__":
    main()
