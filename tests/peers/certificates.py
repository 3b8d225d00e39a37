"""A private CA whose files are in a folder, for tests and benchmarks of QUIC: certificates of servers and clients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from peers import pki

SERVER_NAMES = ("localhost", "frevotest", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key as PEM files. The chain ends before the CA."""

    certificate_file: Path
    key_file: Path


class Authority:
    """A CA whose files are in *folder*."""

    def __init__(self, folder: Path, name: str = "frevo test CA") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._made = pki.authority(name)
        self.file = folder / "ca.pem"
        self.file.write_bytes(self._made.pem)

    def issue(
        self,
        name: str,
        names: Sequence[str] = (),
        *,
        server: bool = False,
        days: float = 10,
        age_days: float = 1,
    ) -> Identity:
        """A certificate for *name*, and the DNS names and addresses *names*; its dates are as in `pki.make`."""
        usage = pki.SERVER if server else pki.CLIENT
        made = pki.leaf(name, self._made, usage=usage, names=names, days=days, age_days=age_days)
        return Identity(*made.write(self.folder, name))

    def server(self, names: Sequence[str] = SERVER_NAMES) -> Identity:
        """A certificate for the tests' server."""
        return self.issue("server", names, server=True)
