"""What this machine supports, what it lacks and why, and the command that fixes it.

`examine(path)` runs all checks. Each check is a function that returns `Check`s; they are grouped by file: `system`
(kernel, io_uring, limits), `network` (ports, QUIC in the kernel), `udp` (what makes QUIC fast), `rdma` (SMB Direct),
`certificate` and `folder` (file system features).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frevo.status.doctor.base import Check, State, guarded
from frevo.status.doctor.certificate import check_certificates
from frevo.status.doctor.folder import check_folder
from frevo.status.doctor.network import NETWORK_CHECKS
from frevo.status.doctor.rdma import RDMA_CHECKS
from frevo.status.doctor.system import SYSTEM_CHECKS
from frevo.status.doctor.udp import UDP_CHECKS

if TYPE_CHECKING:
    from frevo.tls.settings import TlsSettings

__all__ = ["Check", "State", "examine"]


def examine(path: str, tls: TlsSettings) -> list[Check]:
    """All checks of the machine, of the certificates that *tls* names and of the folder *path*; never raises."""
    found: list[Check] = []
    for check in (*SYSTEM_CHECKS, *NETWORK_CHECKS, *UDP_CHECKS, *RDMA_CHECKS):
        found += guarded(check.__name__.removeprefix("check_"), check)
    found += guarded("certificate", lambda: check_certificates(tls))
    return found + guarded("folder", lambda: check_folder(path))
