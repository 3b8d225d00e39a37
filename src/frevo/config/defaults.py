"""Defaults that depend on the machine and on who runs frevo: host name, state folder."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def host_name() -> str:
    """The short name of this host."""
    return socket.gethostname().partition(".")[0] or "localhost"


def default_netbios_name() -> str:
    """The host's name as NetBIOS has it: upper case, at most 15 bytes."""
    return host_name().encode("ascii", "ignore").decode()[:15].upper() or "FREVO"


def default_private_dir() -> str:
    """Where accounts and the control socket live: a system folder for root, else the user's own."""
    if os.geteuid() == 0:
        return "/var/lib/frevo/private"
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return str(base / "frevo" / "private")
