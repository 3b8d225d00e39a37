"""frevo: an SMB 3.1.1 file server for Linux. Python decides, a small Rust data plane moves the bytes."""

from __future__ import annotations

__version__ = "0.1.0"
