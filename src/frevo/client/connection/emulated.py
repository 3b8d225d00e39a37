"""An emulated RDMA connection: a Unix socket of this machine."""

from __future__ import annotations

import asyncio
import errno
import socket

from frevo.client.connection.plane import ConnectedSocket
from frevo.transport import emulated
from frevo.transport.interfaces import local_addresses
from frevo.transport.listeners import addresses_of


async def connect_emulated(folder: str, host: str, port: int, transport: str) -> ConnectedSocket:
    """A connection to the server on *port* of this machine. OSError with the reason when there is none.

    *folder*: where its socket is, or empty for the usual places.
    """
    if not await asyncio.to_thread(_is_here, host):
        text = f"emulated RDMA does not leave this machine, and {host} is another one"
        raise OSError(errno.EHOSTUNREACH, text)
    path = emulated.find_port(folder, port)
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.setblocking(False)
        with emulated.address_of(path) as address:
            await asyncio.get_running_loop().sock_connect(connected, address)
    except BaseException as error:
        connected.close()
        if isinstance(error, PermissionError):
            raise OSError(error.errno, f"{path}: {error.strerror}") from None
        raise
    return ConnectedSocket(connected, transport)


def _is_here(host: str) -> bool:
    """Whether a name or an address is this machine's."""
    if host == "localhost":
        return True
    own = {one.host for one in local_addresses()}
    return any(address in own or address.startswith("127.") for address in addresses_of(host, 0))
