"""How tests reach their servers: over TCP, or over another transport with `pytest --transport=NAME` and in tests marked
`each_transport`. SMB Direct goes by the names of what carries it, iwarp and emulated.

Over another transport every frevo server listens there too, and its `port` is that of a relay: a program connects to it
by TCP, and frevo's own client carrier takes the messages to the server. frevo's client speaks all transports itself.
For QUIC all certificates are of one CA, which clients of frevo take for one of the system's.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from frevo.client.connection import dial
from frevo.transport import emulated, smbdirect
from peers.certificates import Authority, Identity
from peers.quic_to_tcp import QuicToTCP

#: What carries SMB Direct.
PROVIDERS = ("iwarp", "emulated")
TRANSPORTS = ("tcp", "quic", *PROVIDERS)
_chosen = ["tcp"]


def chosen() -> str:
    """How servers are to be reached now."""
    return _chosen[-1]


def over_quic() -> bool:
    """Whether servers are to be reached over QUIC now."""
    return _chosen[-1] == "quic"


def over_direct() -> str:
    """What carries SMB Direct, if servers are to be reached over it now; empty if not."""
    return _chosen[-1] if _chosen[-1] in PROVIDERS else ""


@contextmanager
def using(name: str) -> Iterator[None]:
    """Servers that start in the block are reached over *name*."""
    with pytest.MonkeyPatch.context() as patch:
        if name == "quic":
            patch.setenv("SSL_CERT_FILE", str(authority().file))
        if name in PROVIDERS:  # what frevo's client in this process has
            for module in (smbdirect, dial):
                patch.setattr(module, "choose", lambda wanted: name if wanted == "auto" else wanted)
            patch.setattr(emulated, "folders_of_client", lambda configured: [Path(configured or sockets())])
        _chosen.append(name)
        try:
            yield
        finally:
            _chosen.pop()


@functools.cache
def authority() -> Authority:
    """The CA of all servers of this run."""
    folder = Path(tempfile.mkdtemp(prefix="frevo-test-ca-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Authority(folder)


@functools.cache
def identity() -> Identity:
    """The certificate of all servers of this run."""
    return authority().server()


@functools.cache
def sockets() -> Path:
    """The folder of the sockets of all servers of this run that have emulated RDMA."""
    folder = Path(tempfile.mkdtemp(prefix="frevo-test-rdma-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def direct_options(provider: str) -> dict[str, str]:
    """What a frevo server with SMB Direct needs in [global]."""
    return {"frevo:smbdirect provider": provider, "frevo:smbdirect directory": str(sockets())}


def server_options() -> dict[str, str]:
    """What a frevo server needs in [global] to be reached so, and to do what it does over TCP; nothing for TCP."""
    if over_direct():
        return direct_options(over_direct())
    if not over_quic():
        return {}
    return {
        "tls certfile": str(identity().certificate_file),
        "tls keyfile": str(identity().key_file),
        "frevo:quic named pipes": "yes",
    }


@contextmanager
def reaching(port: int, quic: bool | None = None) -> Iterator[str]:
    """scheme://host:port for frevo's client to reach what listens on TCP *port* here; over QUIC by a foreign server.
    *quic*: as chosen by default. What has SMB Direct is reached by TCP."""
    if not (over_quic() if quic is None else quic):
        yield f"smb://127.0.0.1:{port}"
        return
    with QuicToTCP("aioquic", identity(), "127.0.0.1", port) as front:
        yield f"smb+quic://127.0.0.1:{front.port}"
