"""Servers for tests that want a real one: `server` and `frevo` (ours), `samba_server` (Debian's smbd).

Servers of one configuration are started once and shared; each is stopped, and its log and end are checked, when
the tests are over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from peers import programs
from peers.frevo_server import FrevoServer, frevo_server
from peers.samba_server import samba_server as run_samba
from peers.target import Target

#: What the data plane can be: name to its lines in [global].
PLANES: dict[str, dict[str, str]] = {
    "uring": {"frevo:engine": "uring", "frevo:fast path": "yes"},
    "epoll": {"frevo:engine": "epoll", "frevo:fast path": "yes"},
    "slow-path": {"frevo:engine": "epoll", "frevo:fast path": "no"},
}


def pytest_configure(config: pytest.Config) -> None:
    if programs.in_ci():
        config.option.tbstyle = "short"


@pytest.fixture(scope="session")
def frevo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., FrevoServer]]:
    """frevo({"key": "value"}) gives a running server with these lines in [global]; equal ones are shared."""
    running: dict[tuple[tuple[str, str], ...], FrevoServer] = {}
    with ExitStack() as stack:

        def start(options: dict[str, str] | None = None) -> FrevoServer:
            key = tuple(sorted((options or {}).items()))
            if key not in running:
                base: Path = tmp_path_factory.mktemp("frevo")
                running[key] = stack.enter_context(frevo_server(base, options))
            server = running[key]
            assert server.alive(), f"the server is gone:\n{server.tail()}"
            return server

        yield start


@pytest.fixture
def server(frevo: Callable[..., FrevoServer]) -> FrevoServer:
    """A server as the defaults make it."""
    return frevo()


@pytest.fixture(params=sorted(PLANES))
def any_plane(request: pytest.FixtureRequest, frevo: Callable[..., FrevoServer]) -> FrevoServer:
    """The same server with each engine, and without the fast path: every answer must be the same."""
    return frevo(PLANES[request.param])


@pytest.fixture(scope="session")
def samba_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Debian's smbd with the same shares and user."""
    with run_samba(tmp_path_factory.mktemp("samba")) as target:
        yield target
