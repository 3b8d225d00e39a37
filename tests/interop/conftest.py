"""Fixtures of the client's tests: each server in turn, a link to it that can be cut, a folder on its disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from peers.mounted import need_fuse
from peers.relay import Relay
from peers.target import Serve, Target

import frevo
from frevo.client import Share
from frevo.client.connect import Connecting


@pytest.fixture(params=["frevo", "samba"])
def target(request: pytest.FixtureRequest, serve: Serve) -> Target:
    """frevo, then Samba; "unsigned" is frevo with signing left to clients, as in Samba."""
    if request.param == "samba":
        return request.getfixturevalue("samba_server")
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


@pytest.fixture(scope="module", params=["frevo", "samba"])
def server_of(request: pytest.FixtureRequest, serve: Serve) -> Target:
    """frevo, then Samba, for mounts that several tests share."""
    need_fuse()
    if request.param == "samba":
        return request.getfixturevalue("samba_server")
    return serve()
