"""Folders that the program makes for itself."""

from __future__ import annotations

import os
from pathlib import Path


def default_private_dir() -> str:
    """Where accounts and the control socket live: a system folder for root, else the user's own."""
    if os.geteuid() == 0:
        return "/var/lib/frevo/private"
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return str(base / "frevo" / "private")


#: Where sockets of root's servers are that programs of every user may use.
SYSTEM_RUNTIME_DIR = "/run/frevo"


def runtime_dir() -> str:
    """Where sockets live that end with their server: a system folder for root, else the user's own."""
    if os.geteuid() == 0:
        return SYSTEM_RUNTIME_DIR
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    return str(Path(runtime) / "frevo") if runtime.startswith("/") else str(Path(default_private_dir()).parent / "run")


def make_folder(folder: Path, mode: int) -> None:
    """Creates *folder* with *mode*, and its missing parents so that no one else may write there.

    A running server has no umask. OSError; FileExistsError if it is something else.
    """
    for above in reversed(folder.parents):
        if not above.exists():
            above.mkdir(mode=0o755, exist_ok=True)
    folder.mkdir(mode=mode, exist_ok=True)
