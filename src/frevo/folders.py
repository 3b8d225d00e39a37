"""Folders that the program makes for itself."""

from __future__ import annotations

from pathlib import Path


def make_folder(folder: Path, mode: int) -> None:
    """Creates *folder* with *mode*, and its missing parents so that no one else may write there.

    A running server has no umask. OSError; FileExistsError if it is something else.
    """
    for above in reversed(folder.parents):
        if not above.exists():
            above.mkdir(mode=0o755, exist_ok=True)
    folder.mkdir(mode=mode, exist_ok=True)
