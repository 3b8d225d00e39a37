"""Checks of what makes SMB over QUIC fast: many datagrams in one call, one port for several threads, buffers."""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Callable

from frevo.status.doctor.base import Check, State
from frevo.transport import quic

GROUP = "network"

_SOL_UDP, _UDP_SEGMENT, _UDP_GRO = 17, 103, 104
_SO_ATTACH_REUSEPORT_CBPF = 51
_SEGMENT_BYTES = 1200
#: A classic BPF program of one instruction: return the constant after it.
_BPF_RETURN = struct.Struct("=HBBI")
_BPF_RET_K = 0x06
#: Seconds until a datagram on the loopback interface must have come.
_WAIT_S = 2.0


def check_segmentation() -> list[Check]:
    """Whether the kernel takes (GSO) and gives (GRO) several datagrams in one call."""
    return [
        _tried(
            "udp gso", _send_segments, "several datagrams are sent in one call", "each datagram costs a call"
        ),
        _tried(
            "udp gro", _receive_merged, "several datagrams are received at once", "datagrams come one by one"
        ),
    ]


def check_shared_port() -> list[Check]:
    """Whether several threads can share one port, and whether the kernel can hand each its own connections."""
    return [
        _tried(
            "udp port sharing", _share, "all threads receive on one port", "one thread receives everything"
        ),
        _tried(
            "udp steering",
            _steer,
            "a BPF program gives each thread its own connections",
            "threads hand each other datagrams of clients whose address has changed",
        ),
    ]


def check_buffers() -> list[Check]:
    """Whether a socket gets the buffers that it wants."""
    with quic.client_socket(socket.AF_INET) as probe:
        # The kernel says double: it counts its own overhead.
        receive, send = (
            probe.getsockopt(socket.SOL_SOCKET, option) // 2
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF)
        )
    data = {"receive_bytes": receive, "send_bytes": send, "wanted_bytes": quic.BUFFER_BYTES}
    text = f"{_kib(receive)} for receiving, {_kib(send)} for sending"
    if min(receive, send) >= quic.BUFFER_BYTES:
        return [Check(GROUP, "udp buffers", State.OK, text, "", data)]
    keys = [f"net.core.{name}={quic.BUFFER_BYTES}" for name in ("rmem_max", "wmem_max")]
    text += f" of {_kib(quic.BUFFER_BYTES)}: QUIC loses datagrams when much comes at once"
    return [Check(GROUP, "udp buffers", State.LIMITED, text, f"sudo sysctl {' '.join(keys)}", data)]


def _kib(size: int) -> str:
    return f"{size >> 10} KiB"


def _tried(name: str, attempt: Callable[[], None], good: str, bad: str) -> Check:
    try:
        attempt()
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        return Check(GROUP, name, State.LIMITED, f"not available ({reason}): {bad}", "", {"reason": reason})
    return Check(GROUP, name, State.OK, good)


def _pair() -> tuple[socket.socket, socket.socket]:
    """A socket on the loopback interface, and one that is connected to it."""
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(_WAIT_S)
        sender.connect(receiver.getsockname())
    except BaseException:
        receiver.close()
        sender.close()
        raise
    return receiver, sender


def _send_segments() -> None:
    receiver, sender = _pair()
    with receiver, sender:
        sender.setsockopt(_SOL_UDP, _UDP_SEGMENT, _SEGMENT_BYTES)
        sender.send(bytes(2 * _SEGMENT_BYTES))
        for _ in range(2):
            if len(receiver.recv(65536)) != _SEGMENT_BYTES:
                raise OSError("the kernel does not split what is sent")


def _receive_merged() -> None:
    receiver, sender = _pair()
    with receiver, sender:
        receiver.setsockopt(_SOL_UDP, _UDP_GRO, 1)
        sender.send(bytes(_SEGMENT_BYTES))
        if len(receiver.recv(65536)) != _SEGMENT_BYTES:
            raise OSError("a datagram has another length than was sent")


def _share() -> None:
    for siblings in quic.bind_sockets(["127.0.0.1"], 0, 2):
        for one in siblings:
            one.close()


def _steer() -> None:
    [siblings] = quic.bind_sockets(["127.0.0.1"], 0, 2)
    program = ctypes.create_string_buffer(_BPF_RETURN.pack(_BPF_RET_K, 0, 0, 1))
    with siblings[0], siblings[1]:
        filter_program = struct.pack("@HP", 1, ctypes.addressof(program))
        siblings[0].setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, filter_program)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", siblings[0].getsockname())
        siblings[1].settimeout(_WAIT_S)
        siblings[1].recv(1)


UDP_CHECKS = (check_segmentation, check_shared_port, check_buffers)
