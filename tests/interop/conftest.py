"""Fixtures of the client's tests: each server in turn, a link to it that can be cut, a folder on its disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from peers import transports
from peers.mounted import need_fuse
from peers.quic_to_tcp import QuicToTCP
from peers.relay import Relay
from peers.target import Serve, Target

import frevo
from frevo.client import Share
from frevo.client.connect import Connecting


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked `over_quic` have frevo over QUIC as the third server; with --transport=quic it is the first."""
    everywhere = config.getoption("--transport") == "quic"
    items[:] = [
        item
        for item in items
        if not _over_quic(item) or (item.get_closest_marker("over_quic") and not everywhere)
    ]


def _over_quic(item: pytest.Item) -> bool:
    parameters = getattr(item, "callspec", None)
    return parameters is not None and "quic" in (
        parameters.params.get(name) for name in ("target", "server_of")
    )


@pytest.fixture(scope="session")
def quic_server(serve: Serve) -> Iterator[Target]:
    """frevo over QUIC, whose CA is one of the system's for the test and what it starts."""
    with transports.using("quic"):
        served = serve()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(transports.authority().file))
        yield served.over_quic()


@pytest.fixture(scope="session")
def samba_over_quic(samba_server: Target) -> Iterator[Target]:
    """Samba behind a foreign QUIC server."""
    with QuicToTCP("aioquic", transports.identity(), samba_server.host, samba_server.port) as front:
        yield samba_server.over_quic(front.port)


def _server(request: pytest.FixtureRequest, serve: Serve, kind: str) -> Target:
    """A server of this kind, for frevo's client over the transport of the run."""
    quic = transports.over_quic()
    if kind in ("samba", "quic"):
        name = "samba_over_quic" if quic else f"{kind}_server"
        return request.getfixturevalue(name)
    served = serve({"server signing": "auto"} if kind == "unsigned" else {})
    return served.over_quic() if quic else served


@pytest.fixture(params=["frevo", "samba", "quic"])
def target(request: pytest.FixtureRequest, serve: Serve) -> Target:
    """frevo, then Samba; "unsigned" is frevo with signing left to clients, as in Samba."""
    return _server(request, serve, request.param)


@pytest.fixture
def relay(target: Target) -> Iterator[Relay]:
    """A link to the target that a test can cut, freeze or close."""
    with Relay(target.host, target.tcp_port) as made:
        yield made


@pytest.fixture
def through(target: Target, relay: Relay) -> Iterator[str]:
    """scheme://host:port that leads frevo's client to the target through the relay; over QUIC by a foreign server."""
    with transports.reaching(relay.port, target.transport == "quic") as place:
        yield place


@pytest.fixture
def folder(target: Target, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder of the share for this test, as the server's disk has it."""
    made = target.folder() / f"{request.module.__name__}-{request.node.originalname}"
    made.mkdir()
    yield made
    shutil.rmtree(made)


@pytest.fixture
def connect(target: Target, through: str, folder: Path) -> Callable[..., Connecting[Share]]:
    """connect(**options) opens that folder through the relay."""

    def with_options(**options: Any) -> Connecting[Share]:
        url = f"{through}/share/{folder.name}"
        return frevo.connect(url, user=target.user, password=target.password, **options)

    return with_options


@pytest.fixture(scope="module", params=["frevo", "samba", "quic"])
def server_of(request: pytest.FixtureRequest, serve: Serve) -> Target:
    """frevo, then Samba, for mounts that several tests share."""
    need_fuse()
    return _server(request, serve, request.param)
