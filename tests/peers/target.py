"""Target: a running server that a test can address, whichever it is, and the folders it shares."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path

USER = "user1"
PASSWORD = "Passw0rd!"
DOMAIN = "WORKGROUP"


@dataclass(slots=True)
class Target:
    """Where a server listens, which user it knows and what it shares. Every share is a folder of `root`."""

    name: str
    root: Path
    host: str = "127.0.0.1"
    port: int = 0
    tcp_port: int = 0  # the server's own, whatever `port` is for
    nbt_port: int = 0
    quic_port: int = 0
    direct_port: int = 0  # of SMB Direct
    scheme: str = "smb"
    authority: Path = field(default_factory=Path)  # the CA's certificate, if the server has QUIC
    user: str = USER
    password: str = PASSWORD
    log: Path = field(default_factory=Path)
    pid: int = 0

    @property
    def credentials(self) -> str:
        """user%password, as Samba's tools take it."""
        return f"{self.user}%{self.password}"

    @property
    def url(self) -> str:
        """scheme://host:port, for frevo's client."""
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def transport(self) -> str:
        """The name of the transport that `port` is for."""
        return self.scheme.partition("+")[2] or "tcp"

    def over_quic(self, port: int = 0) -> Target:
        """The same server, for frevo's client over QUIC; *port*: of another's QUIC in front of it."""
        made = copy(self)
        made.scheme, made.port = "smb+quic", port or self.quic_port
        return made

    def unc(self, share: str = "share") -> str:
        return f"//{self.host}/{share}"

    def folder(self, share: str = "share") -> Path:
        """The folder behind *share*, to look at what clients did."""
        return self.root / share


#: The `serve` fixture: gives a server that runs with these lines in [global].
Serve = Callable[..., Target]

#: The shares of every test server: name to the smb.conf lines that differ.
SHARES: dict[str, dict[str, str]] = {
    "share": {"comment": "read and write", "read only": "no"},
    "ro": {"comment": "read only", "read only": "yes"},
    "guest": {"comment": "for everyone", "read only": "no", "guest ok": "yes"},
    "hidden": {"comment": "not listed", "read only": "no", "browseable": "no"},
    "others": {"comment": "user1 may not", "read only": "no", "valid users": "someone-else"},
}


def section(name: str, settings: dict[str, str]) -> str:
    """One section of smb.conf."""
    return "\n".join([f"[{name}]", *(f"    {key} = {value}" for key, value in settings.items()), ""])


def share_sections(root: Path, shares: dict[str, dict[str, str]] = SHARES) -> str:
    """The sections of *shares*, with their folders made below *root*."""
    parts = []
    for name, settings in shares.items():
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        parts.append(section(name, {"path": str(folder), **settings}))
    return "\n".join(parts)
