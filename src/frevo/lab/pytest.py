"""A pytest fixture for the emulated network. `pytest_plugins = ["frevo.lab.pytest"]` in a conftest.py brings it.

def test_download_survives_loss(server, datagram_path):
    path = datagram_path(("127.0.0.1", server.port), Conditions(loss=0.05), seed=7)
    download(path.host, path.port)
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Protocol

import pytest

from frevo.lab import Conditions, DatagramPath


class MakePath(Protocol):
    """The type of the fixture `datagram_path`: the arguments of `DatagramPath` that tests need."""

    def __call__(
        self,
        server: tuple[str, int],
        up: Conditions | None = None,
        down: Conditions | None = None,
        *,
        seed: int = 0,
        rebind_every_s: float = 0.0,
    ) -> DatagramPath:
        """A path to *server* that runs until the end of the test."""
        ...


@pytest.fixture
def datagram_path() -> Iterator[MakePath]:
    """Makes running paths, and closes them after the test. If the test fails, its output names their seeds."""
    with ExitStack() as stack:

        def make(
            server: tuple[str, int],
            up: Conditions | None = None,
            down: Conditions | None = None,
            *,
            seed: int = 0,
            rebind_every_s: float = 0.0,
        ) -> DatagramPath:
            path = DatagramPath(server, up, down, seed=seed, rebind_every_s=rebind_every_s)
            stack.callback(_report, path)  # called after the path is closed
            return stack.enter_context(path)

        yield make


def _report(path: DatagramPath) -> None:
    sys.stdout.write(f"{path!r}\n  up   {path.up}\n  down {path.down}\n")
