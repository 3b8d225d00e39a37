"""Many datagrams in one system call: UDP's generic receive and segmentation offload (GRO and GSO).

Python has no recvmmsg and no sendmmsg. A sender that uses GSO, as QUIC stacks do, hands over a run of datagrams as one;
with GRO it stays one until it is here, and what of it goes on leaves as one again.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import Any, TypeAlias

from frevo.lab.conditions import Counts

Address: TypeAlias = tuple[Any, ...]
Datagram: TypeAlias = bytes | memoryview

#: From linux/udp.h and asm-generic/socket.h; `socket` does not have them in all versions.
_SOL_UDP, _UDP_SEGMENT, _UDP_GRO = 17, 103, 104
_SO_RXQ_OVFL = 40
_SO_RCVBUFFORCE, _SO_SNDBUFFORCE = 33, 32
_BUFFER_BYTES = 8 << 20
#: The kernel's limits of one run: datagrams (Linux before 6.9), and bytes with headers.
_RUN_MAX, _RUN_BYTES_MAX = 64, 65000
_RECEIVE_BYTES, _ANCILLARY_BYTES = 65536, 128


def open_socket(family: int) -> socket.socket:
    """A UDP socket that does not block, with large buffers, GRO, and a count of what its buffer had no room for."""
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.setblocking(False)
    for force, plain in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:  # root may exceed the system's limit
            made.setsockopt(socket.SOL_SOCKET, force, _BUFFER_BYTES)
        except OSError:
            made.setsockopt(socket.SOL_SOCKET, plain, _BUFFER_BYTES)
    with contextlib.suppress(OSError):  # each datagram comes alone then
        made.setsockopt(_SOL_UDP, _UDP_GRO, 1)
    with contextlib.suppress(OSError):
        made.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
    return made


class Received:
    """What one call received: datagrams of one sender."""

    __slots__ = ("datagrams", "missed", "sender")

    def __init__(self, datagrams: list[Datagram], sender: Address, missed: int) -> None:
        self.datagrams = datagrams
        self.sender = sender
        self.missed = missed  # runs that its buffer had no room for, since the socket was opened


def receive(source: socket.socket) -> Received:
    """Receives once. BlockingIOError if nothing is there, other OSErrors as the network reported them."""
    data, ancillary, _, sender = source.recvmsg(_RECEIVE_BYTES, _ANCILLARY_BYTES)
    size, missed = len(data), 0
    for level, kind, value in ancillary:
        if (level, kind) == (_SOL_UDP, _UDP_GRO):
            size = int.from_bytes(value[:4], "little")
        elif (level, kind) == (socket.SOL_SOCKET, _SO_RXQ_OVFL):
            missed = int.from_bytes(value[:4], "little")
    if size >= len(data):
        return Received([data], sender, missed)
    view = memoryview(data)
    return Received([view[at : at + size] for at in range(0, len(data), size)], sender, missed)


class Sender:
    """Sends datagrams in runs: all of one size, to one address, by one socket; the last may be smaller.

    Datagrams wait here until `flush`, or until one comes that does not fit into their run.
    """

    def __init__(self, counts: Counts) -> None:
        """*counts*: those whose `passed` has every datagram that comes here."""
        self._counts = counts
        self._segmenting = True
        self._socket: socket.socket | None = None
        self._address: Address | None = None
        self._run: list[Datagram] = []
        self._size = 0
        self._bytes = 0

    def send(self, through: socket.socket, address: Address | None, datagram: Datagram) -> None:
        """Sends *datagram*, now or with the next ones; *address* is None if the socket is connected."""
        size = len(datagram)
        if self._run and not (
            through is self._socket
            and address == self._address
            and 0 < size <= self._size == len(self._run[-1])
            and len(self._run) < _RUN_MAX
            and self._bytes + size <= _RUN_BYTES_MAX
        ):
            self.flush()
        if not self._run:
            self._socket, self._address, self._size, self._bytes = through, address, size, 0
        self._run.append(datagram)
        self._bytes += size

    def flush(self) -> None:
        """Sends what is waiting."""
        run, self._run = self._run, []
        if not run or self._socket is None:
            return
        if len(run) > 1 and self._segmenting:
            try:
                segments = [(_SOL_UDP, _UDP_SEGMENT, self._size.to_bytes(2, "little"))]
                self._send(self._socket, run, segments)
                return
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EIO, errno.ENOPROTOOPT, errno.EOPNOTSUPP):
                    self._refused(error, len(run))
                    return
                self._segmenting = False  # this system cannot
        for datagram in run:
            try:
                self._send(self._socket, [datagram], [])
            except OSError as error:
                self._refused(error, 1)

    def _refused(self, error: OSError, datagrams: int) -> None:
        if error.errno == errno.ECONNREFUSED:  # about an earlier datagram; these are gone all the same
            return
        self._counts.passed -= datagrams
        self._counts.overflowed += datagrams

    def _send(
        self, through: socket.socket, run: list[Datagram], ancillary: list[tuple[int, int, bytes]]
    ) -> None:
        through.sendmsg(run, ancillary, 0, *([] if self._address is None else [self._address]))


def waiting(source: socket.socket, most: int) -> Iterator[Received]:
    """Everything that *source* has, in at most so many calls."""
    for _ in range(most):
        try:
            yield receive(source)
        except BlockingIOError:
            return
        except OSError:  # an ICMP message about an earlier datagram; the next ones are behind it
            continue
