"""Linux' FUSE without a C library: the kernel's messages, mounting, and a session that answers them from asyncio.

Generic: nothing here knows SMB. docs/decisions/0005-fuse.md explains why this does not use libfuse.
"""

from __future__ import annotations
