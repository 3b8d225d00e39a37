"""Fixtures of the pair tests: `pair`, a server with the defaults, and `make_pair` for another one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from peers.target import SHARES

from frevo.vfs import watch
from pair.machine import Pair

MakePair = Callable[..., Pair]


@pytest.fixture
def make_pair(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[MakePair]:
    """make_pair({"key": "value"}, shares) gives a server with these lines in [global]. At the end nothing may be left
    over and the log may contain nothing that looks like a fault of the server."""
    caplog.set_level(logging.DEBUG, "frevo")
    with ExitStack() as stack:

        def make(
            options: Mapping[str, str] | None = None,
            shares: Mapping[str, dict[str, str]] = SHARES,
            **of_transport: Any,
        ) -> Pair:
            return stack.enter_context(Pair(tmp_path, options, shares, **of_transport))

        yield make
    faults = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert not faults, faults[0].getMessage() + str(faults[0].exc_info)


@pytest.fixture
def pair(make_pair: MakePair) -> Pair:
    """A server with the defaults."""
    return make_pair()


@pytest.fixture
def reached_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recursive watches reach all folders in their first slice, on a busy machine too."""
    monkeypatch.setattr(watch, "SLICE_S", 60.0)
