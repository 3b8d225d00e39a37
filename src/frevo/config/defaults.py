"""Defaults that depend on the machine: its names."""

from __future__ import annotations

import socket


def host_name() -> str:
    """The short name of this host."""
    return socket.gethostname().partition(".")[0] or "localhost"


def default_netbios_name() -> str:
    """The host's name as NetBIOS has it: upper case, at most 15 bytes."""
    return host_name().encode("ascii", "ignore").decode()[:15].upper() or "FREVO"
