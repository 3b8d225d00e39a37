"""Output of `frevo serve` about SMB Direct: how each client connects, and what to do if it cannot be served."""

from __future__ import annotations

import errno
import shlex
from collections.abc import Sequence
from urllib.parse import quote

from frevo.cli.connect_address import Address, bracketed, reachable
from frevo.transport.smbdirect import CARD_PORT
from frevo.transport.traits import SMBDIRECT, TRANSPORTS

#: What the file names of errors of SMB Direct begin with.
WHERE = "SMB Direct "


def over_rdma(addresses: Sequence[Address]) -> list[Address]:
    """The addresses with RDMA."""
    return [one for one in addresses if TRANSPORTS[one[0]].rdma]


def how_to_connect_over_rdma(share: str, user: str, addresses: Sequence[Address]) -> list[str]:
    """A line for each client; nothing if the server does not listen for SMB Direct."""
    listening = over_rdma(addresses)
    if not listening:
        return []
    host, port = reachable(listening)
    where = bracketed(host) + ("" if port == SMBDIRECT.port else f":{port}")
    url = shlex.quote(f"{SMBDIRECT.scheme}://{quote(user)}@{where}/{quote(share)}")
    lines = [f"  RDMA        frevo ls {url}"]
    if port in (SMBDIRECT.port, CARD_PORT) and host != "localhost":  # Linux' client tries these two only
        mount = f"{shlex.quote(f'//{host}/{share}')} /mnt -o {shlex.quote(f'rdma,username={user}')}"
        lines.append(f"              sudo mount -t cifs {mount}")
    return lines


def explain_rdma_error(error: OSError, where: str) -> str:
    """An explanation of why SMB Direct cannot listen on *where*: an address, or the path of a socket."""
    if error.errno == errno.EADDRINUSE:
        port = where.rpartition(":")[2]
        shown = f"; `ss -ltnp sport = :{port}` shows it" if port.isdigit() else ""
        other = f"choose another port with --rdma=N or as {SMBDIRECT.name}:N"
        return f"{where} is in use, perhaps by ksmbd or another frevo{shown}: stop it, or {other}"
    text = f"cannot serve SMB Direct on {where}: {error.strerror or error}"
    return f"{text} (`frevo:smbdirect directory` names another folder)" if where.startswith("/") else text
