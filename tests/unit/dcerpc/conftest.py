"""A foreign DCE/RPC client (impacket's), connected in memory to our pipe endpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from impacket.dcerpc.v5 import transport
from msgspec.structs import replace

from frevo.dcerpc import PipeEndpoint, RpcContext, ShareInfo, open_pipe


class PipeTransport(transport.DCERPCTransport):  # type: ignore[misc]
    """impacket over a PipeEndpoint: sends in pieces of `piece_size`, reads what is asked for."""

    def __init__(self, endpoint: PipeEndpoint, piece_size: int = 1 << 16) -> None:
        super().__init__("PEER", 0)
        self.endpoint = endpoint
        self.piece_size = piece_size

    def connect(self) -> None:
        pass

    def send(self, data: bytes, forceWriteAndx: int = 0, forceRecv: int = 0) -> None:
        for start in range(0, len(data), self.piece_size):
            self.endpoint.write(data[start : start + self.piece_size])

    def recv(self, forceRecv: int = 0, count: int = 0) -> bytes:
        assert self.endpoint.readable, "the client reads an answer that is not there"
        return self.endpoint.read(count or 1 << 16)


SHARES = (
    ShareInfo(
        "share",
        comment="A folder",
        path="/srv/share",
        max_uses=7,
        current_uses=2,
        security_descriptor=b"\1SD",
    ),
    ShareInfo("Grüße 世界", comment="", path="/srv/x"),
    ShareInfo("hidden$", comment="not listed", browseable=False),
    ShareInfo("IPC$", type=0x80000003, comment="IPC Service"),
)
CONTEXT = RpcContext(
    "FREVO", "GROUP", "frevo file server", SHARES, is_admin=True, now=133_500_000_000_000_000
)


@pytest.fixture
def context() -> RpcContext:
    """A server with four shares, seen by an administrator."""
    return CONTEXT


@pytest.fixture
def connect() -> Callable[..., Any]:
    """connect(pipe name, interface UUID, piece_size=..., RpcContext fields) gives a bound impacket client."""

    def bound(name: str, interface: bytes, piece_size: int = 1 << 16, **changes: Any) -> Any:
        endpoint = open_pipe(name, replace(CONTEXT, **changes))
        assert endpoint is not None
        client = PipeTransport(endpoint, piece_size).get_dce_rpc()
        client.bind(interface)
        return client

    return bound
