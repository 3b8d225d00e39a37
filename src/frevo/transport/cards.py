"""RDMA cards: where a server listens at them, and how a client connects over one. The data plane moves the data."""

from __future__ import annotations

import asyncio
import errno
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frevo._native import RdmaConnection, RdmaListener, SmbDirect

#: A host of the configuration without a card is no mistake: `lo` is among them.
_NO_CARD = (errno.ENODEV, errno.EADDRNOTAVAIL)


def bind_cards(hosts: Sequence[str], ports: Sequence[int]) -> list[RdmaListener]:
    """Listens on each port at those *hosts* that an RDMA card has, all or none. Port 0: the first one chooses it.

    Raises OSError, with the address in `filename`, also if no host has a card.
    """
    from frevo._native import RdmaListener

    found: list[RdmaListener] = []
    with ExitStack() as undo:
        for wanted in ports:
            port = wanted
            for host in hosts:
                try:
                    one = RdmaListener(host, port)
                except OSError as error:
                    if error.errno in _NO_CARD:
                        continue
                    raise OSError(error.errno, error.strerror or str(error), f"{host}:{port}") from error
                undo.callback(one.close)
                found.append(one)
                port = one.getsockname()[1]
        if not found:
            text = "no RDMA card has one of the addresses"
            raise OSError(errno.ENODEV, text, f"{', '.join(hosts)} port {ports[0] if ports else 0}")
        undo.pop_all()
    return found


async def connect_card(host: str, port: int, direct: SmbDirect) -> RdmaConnection:
    """A connection over an RDMA card to a numeric address. OSError with the reason when there is none."""
    from frevo._native import RdmaConnection

    loop = asyncio.get_running_loop()
    connection = RdmaConnection(host, port, direct)
    woken = asyncio.Event()
    fd = connection.fileno()
    loop.add_reader(fd, woken.set)
    try:
        while not connection.advance():
            woken.clear()
            await woken.wait()
    except BaseException:
        loop.remove_reader(fd)
        connection.close()
        raise
    loop.remove_reader(fd)
    return connection
