"""An emulated network for tests: a UDP path with loss, reordering, delay and the like, without privileges.

`DatagramPath` stands between a client and a server, and treats their datagrams as its `Conditions` say. What happens to
the n-th datagram depends only on the seed, so a failure can be repeated. `frevo lab path` is the same as a command,
`frevo.lab.pytest` as a pytest fixture (docs/guide/lab.md).
"""

from __future__ import annotations

from frevo.lab.conditions import Conditions, Counts
from frevo.lab.path import DatagramPath

__all__ = ["Conditions", "Counts", "DatagramPath"]
