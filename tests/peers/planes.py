"""Which data plane the tests' servers and clients have: `pytest --engine=epoll` and `pytest --fast-path=no`.

An engine that is asked for is that of every server and client of the run, of programs that it starts, too; without
io_uring files are read and written in threads, as on a machine that forbids it. Without the fast path the servers have
`frevo:fast path = no`. What such a run repeats, and what not, is decided here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from frevo.aio.features import DATA_PLANE_VARIABLE, ENGINE_VARIABLE

ENGINES = ("auto", "uring", "epoll")
#: For tests that compare them: what the data plane can be, by name, with its lines in [global].
PLANES: dict[str, dict[str, str]] = {
    "uring": {"frevo:engine": "uring", "frevo:fast path": "yes"},
    "epoll": {"frevo:engine": "epoll", "frevo:fast path": "yes"},
    "slow-path": {"frevo:engine": "epoll", "frevo:fast path": "no"},
}
#: The parameters with which tests choose an engine themselves.
_OWN_CHOICE = {"any_plane", "plane", "engine"}
#: The values of parameters that name a server which is not frevo's. What is said to it is the same from each engine.
_FOREIGN = {"samba"}
_fast_path = [True]


@contextmanager
def using(engine: str, *, fast_path: bool) -> Iterator[None]:
    """What starts in the block has this engine, and servers this fast path."""
    with pytest.MonkeyPatch.context() as patch:
        if engine != "auto":
            patch.setenv(DATA_PLANE_VARIABLE, engine)
            patch.setenv(ENGINE_VARIABLE, "uring" if engine == "uring" else "threads")
        _fast_path.append(fast_path)
        try:
            yield
        finally:
            _fast_path.pop()


def server_options() -> dict[str, str]:
    """The lines in [global] of a server of this run."""
    return {} if _fast_path[-1] else {"frevo:fast path": "no"}


def is_repeated(item: pytest.Item, *, fast_path: bool) -> bool:
    """Whether a run with another engine, or without the fast path, repeats this test."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    if item.get_closest_marker("once") or not _OWN_CHOICE.isdisjoint(params):
        return False
    if not _FOREIGN.isdisjoint(value for value in params.values() if isinstance(value, str)):
        return False
    if fast_path:
        return True
    # The fast path is the same over each transport.
    over_quic = "quic" in params.values() or "quic" in item.path.name
    return not over_quic and not item.get_closest_marker("fast_path")
