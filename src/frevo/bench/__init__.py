"""The bench: puts the load of smbtorture's smb2.bench on any SMB server, and measures both ends."""

from __future__ import annotations
