"""The bench: loads any SMB server as smbtorture's smb2.bench does, and says what it took on both ends."""

from __future__ import annotations
