"""The settings of a bench run: workload, connections, sizes, duration."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import asdict

WORKLOADS = ("read", "write", "mixed", "echo", "open", "session", "notify")
IO_SIZE_MAX = 16 << 20
CONNECTIONS_MAX = 10_000
QDEPTH_MAX = 1024


class Settings(msgspec.Struct, frozen=True):
    """The settings of smb2.bench with its defaults, and frevo's additions.

    urls: the shares, used by the connections in turn. operations: stop after this number; None: no limit. file_size:
    bytes of each loop's file; None: io_size, as in smbtorture. verify: check the data read, or read back the data
    written. reads: percent of the operations of the mixed workload.
    """

    workload: str
    urls: tuple[str, ...]
    connections: int = 4
    qdepth: int = 1
    io_size: int = 4096
    seconds: float = 10.0
    operations: int | None = None
    protect: str = "sign"
    random: bool = True
    file_size: int | None = None
    verify: bool = False
    reads: int = 70
    client_guid: str | None = None
    transports: str | None = None

    @property
    def loops(self) -> int:
        """Requests in flight on all connections together."""
        return self.connections * self.qdepth

    @property
    def moves_data(self) -> bool:
        """Whether the workload moves data."""
        return self.workload in ("read", "write", "mixed")

    def as_json(self) -> dict[str, Any]:
        """For a report, without the settings that this workload does not use."""
        found = asdict(self)
        found.pop("workload")
        found["urls"] = list(self.urls)
        if self.workload != "mixed":
            del found["reads"]
        if not self.moves_data:
            for name in ("io_size", "random", "file_size", "verify"):
                del found[name]
        else:
            found["file_size"] = self.file_size or self.io_size
        return found
