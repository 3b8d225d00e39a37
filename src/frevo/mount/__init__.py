"""A share as a Linux directory: FUSE requests become operations of `frevo.client`, cached as a kernel client would."""

from __future__ import annotations

from frevo.mount.serve import Settings, serve_mount

__all__ = ["Settings", "serve_mount"]
