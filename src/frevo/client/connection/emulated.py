"""An emulated RDMA connection: a Unix socket of this machine."""

from __future__ import annotations

import asyncio
import errno
import socket

from frevo.client.connection.plane import ConnectedSocket
from frevo.transport import emulated
from frevo.transport.listeners import addresses_here
from frevo.transport.smbdirect import SmbDirectSettings


async def connect_emulated(
    settings: SmbDirectSettings, host: str, port: int, transport: str
) -> ConnectedSocket:
    """A connection to the server on *port* of this machine. OSError with the reason when there is none."""
    if host != "localhost" and not await asyncio.to_thread(addresses_here, host):
        text = f"emulated RDMA does not leave this machine, and {host} is another one"
        raise OSError(errno.EHOSTUNREACH, text)
    path = emulated.find_port(settings.directory, port)
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
    return ConnectedSocket(connected, transport, settings.native("emulated"))
