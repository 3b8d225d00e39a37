"""Finds the processes that listen on a port of this machine, as far as /proc shows them to this user."""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from frevo.transport.interfaces import local_addresses
from frevo.transport.traits import IPProtocol

_LISTENING = "0A"


def listening_processes(
    port: int, protocol: IPProtocol = IPProtocol.TCP, host: str | None = None
) -> list[int]:
    """PIDs of the processes that listen on *port*, in no order; with *host*, only if they serve that address.

    Empty if none listens, or if the processes belong to another user.
    """
    inodes = {f"socket:[{inode}]" for inode in _inodes(port, protocol, host)}
    if not inodes:
        return []
    return [int(entry.name) for entry in Path("/proc").iterdir() if _has_open(entry, inodes)]


def listening_on(path: Path) -> list[int]:
    """PIDs of the processes that listen on the Unix socket *path*, in no order, as `listening_processes`."""
    try:
        lines = Path("/proc/net/unix").read_text(errors="surrogateescape").splitlines()[1:]
    except OSError:
        return []
    found = (line.split(maxsplit=7) for line in lines)
    inodes = {f"socket:[{one[6]}]" for one in found if len(one) == 8 and one[7] == str(path)}
    return [int(entry.name) for entry in Path("/proc").iterdir() if _has_open(entry, inodes)] if inodes else []


def addresses_here(host: str, port: int = 0) -> list[str]:
    """Those addresses of *host* that are this machine's. OSError if the kernel does not tell its addresses."""
    own = {item.host.partition("%")[0] for item in local_addresses()}
    return [one for one in addresses_of(host, port) if one in own or one.startswith("127.")]


def _inodes(port: int, protocol: IPProtocol, host: str | None) -> Iterator[str]:
    for table in (protocol, f"{protocol}6"):
        try:
            lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            address, _, number = fields[1].rpartition(":")
            listening = protocol is IPProtocol.UDP or fields[3] == _LISTENING
            if listening and int(number, 16) == port and (host is None or _serves(address, host)):
                yield fields[9]


def _serves(encoded: str, host: str) -> bool:
    """Whether a local address of /proc/net (words of four bytes in the machine's order) accepts connections to
    *host*."""
    words = (bytes.fromhex(encoded[start : start + 8]) for start in range(0, len(encoded), 8))
    own = ipaddress.ip_address(b"".join(int.from_bytes(word, sys.byteorder).to_bytes(4) for word in words))
    try:
        asked = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if own.version == 6 and (mapped := ipaddress.IPv6Address(int(own)).ipv4_mapped) is not None:
        own = mapped
    return own == asked or (own.is_unspecified and own.version >= asked.version)


def _has_open(process: Path, links: set[str]) -> bool:
    if not process.name.isdigit():
        return False
    try:
        return any(str(entry.readlink()) in links for entry in (process / "fd").iterdir())
    except OSError:  # another user's, or it has ended
        return False


def addresses_of(host: str, port: int) -> list[str]:
    """The addresses of *host*; empty when the name has none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
