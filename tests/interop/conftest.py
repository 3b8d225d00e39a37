"""What the tests of the client share: each server in turn, a link to it that can be cut, a folder on its disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from peers.relay import Relay
from peers.target import Serve, Target


@pytest.fixture(params=["frevo", "samba"])
def target(request: pytest.FixtureRequest, serve: Serve) -> Target:
    """frevo, then Samba."""
    if request.param == "samba":
        return request.getfixturevalue("samba_server")
    return serve()


@pytest.fixture
def relay(target: Target) -> Iterator[Relay]:
    """The way to the target that a test can cut, freeze or close."""
    with Relay(target.host, target.port) as made:
        yield made


@pytest.fixture
def folder(target: Target, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder of the share for this test, as the server's disk has it."""
    made = target.folder() / f"{request.module.__name__}-{request.node.originalname}"
    made.mkdir()
    yield made
    shutil.rmtree(made)
