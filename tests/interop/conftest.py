"""Fixtures of the client's tests: each server in turn, a link to it that can be cut, a folder on its disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from peers.certificates import Authority
from peers.mounted import need_fuse
from peers.relay import Relay
from peers.target import Serve, Target

import frevo
from frevo.client import Share
from frevo.client.connect import Connecting


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Only modules marked `over_quic` have frevo over QUIC as their third server."""
    items[:] = [item for item in items if not _over_quic(item) or item.get_closest_marker("over_quic")]


def _over_quic(item: pytest.Item) -> bool:
    parameters = getattr(item, "callspec", None)
    return parameters is not None and "quic" in (
        parameters.params.get(name) for name in ("target", "server_of")
    )


@pytest.fixture(scope="session")
def quic_server(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """frevo over QUIC, whose CA is one of the system's for the test and what it starts."""
    authority = Authority(tmp_path_factory.mktemp("ca"))
    identity = authority.server()
    served = serve(
        {
            "tls certfile": str(identity.certificate_file),
            "tls keyfile": str(identity.key_file),
            "frevo:quic named pipes": "yes",
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(authority.file))
        yield served.over_quic()


@pytest.fixture(params=["frevo", "samba", "quic"])
def target(request: pytest.FixtureRequest, serve: Serve) -> Target:
    """frevo, then Samba; "unsigned" is frevo with signing left to clients, as in Samba."""
    if request.param in ("samba", "quic"):
        return request.getfixturevalue(f"{request.param}_server")
    return serve({"server signing": "auto"} if request.param == "unsigned" else {})


@pytest.fixture
def relay(target: Target) -> Iterator[Relay]:
    """A link to the target that a test can cut, freeze or close."""
    with Relay(target.host, target.port) as made:
        yield made


@pytest.fixture
def folder(target: Target, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder of the share for this test, as the server's disk has it."""
    made = target.folder() / f"{request.module.__name__}-{request.node.originalname}"
    made.mkdir()
    yield made
    shutil.rmtree(made)


@pytest.fixture
def connect(target: Target, relay: Relay, folder: Path) -> Callable[..., Connecting[Share]]:
    """connect(**options) opens that folder through the relay."""

    def with_options(**options: Any) -> Connecting[Share]:
        url = f"smb://{target.host}:{relay.port}/share/{folder.name}"
        return frevo.connect(url, user=target.user, password=target.password, **options)

    return with_options


@pytest.fixture(scope="module", params=["frevo", "samba", "quic"])
def server_of(request: pytest.FixtureRequest, serve: Serve) -> Target:
    """frevo, then Samba, for mounts that several tests share."""
    need_fuse()
    if request.param in ("samba", "quic"):
        return request.getfixturevalue(f"{request.param}_server")
    return serve()
