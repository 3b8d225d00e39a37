"""Which descriptors this process has open, for tests that look for leaks.

Not how many: what other tests left for the garbage collector may be closed at any time.
"""

from __future__ import annotations

import os
from pathlib import Path


def descriptors() -> set[tuple[int, str]]:
    """The number of each open descriptor and what it refers to. `descriptors() - before` has been opened since."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.add((int(link.name), os.readlink(link)))  # noqa: PTH115 (a socket is no path)
        except FileNotFoundError:  # that of this listing, or closed by another thread
            continue
    return found
