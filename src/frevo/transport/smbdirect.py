"""What carries SMB Direct: the provider that a configuration names or that this machine has, and why not another."""

from __future__ import annotations

import errno
import os
import socket
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import msgspec

from frevo._native import SmbDirect
from frevo.transport.rdma_devices import RdmaDevice, RdmaKind, rdma_devices

#: verbs: RDMA cards. iwarp: RDMA over TCP, by this process. emulated: programs of this machine, by reading each other's
#: memory. kernel: SMB Direct sockets of Linux.
Provider = Literal["verbs", "iwarp", "emulated", "kernel"]
#: What a configuration may say about it; auto: verbs where there is a card, else iwarp.
WantedProvider = Literal["auto", "verbs", "iwarp", "emulated", "kernel"]
PROVIDERS: tuple[Provider, ...] = get_args(Provider)
#: Which RDMA transforms a configuration wants ([MS-SMB2] 2.2.3.1.6).
WantedTransforms = Literal["both", "encryption", "signing", "none"]

#: Bytes of the largest threshold from which data moves by RDMA: of the largest READ and WRITE.
RDMA_THRESHOLD_MAX = 8 << 20
#: Bounds of the settings below: messages that a peer may send ahead, bytes of one, bytes of what they are parts of.
CREDIT_COUNTS = (2, 255)
RECEIVE_SIZES = (1024, 64 << 10)
MESSAGE_SIZES = (128 << 10, 16 << 20)
#: Room for the largest WRITE with its headers.
MESSAGE_SIZE = 9 << 20
#: The proposed number of SMB Direct sockets (patches of 2026-04; no released Linux has them).
IPPROTO_SMBDIRECT = 257
#: The libraries of rdma-core, and the device files that they open.
LIBRARIES = ("libibverbs.so.1", "librdmacm.so.1")
DEVICE_FILES = Path("/dev/infiniband")
#: Where SMB listens on InfiniBand and RoCE; iWARP has the port of the table of transports.
CARD_PORT = 445


class SmbDirectSettings(msgspec.Struct, frozen=True):
    """What one end of SMB Direct offers ([MS-SMBD] 3.1.1.1); what counts is the lesser of both ends.

    directory: of the sockets of emulated RDMA, if not the usual. credits: messages of SMB Direct that the peer may send
    ahead. receive_size: bytes of one of them, each way. message_size: bytes of the largest message of SMB. crc: iWARP
    has checksums also if the peer does not ask for them.
    """

    provider: WantedProvider = "auto"
    directory: str = ""
    credits: int = 255
    receive_size: int = 8192
    message_size: int = MESSAGE_SIZE
    crc: bool = False

    def native(self, provider: Provider) -> SmbDirect:
        """For the data plane."""
        return SmbDirect(
            provider,
            send_size=self.receive_size,
            receive_size=self.receive_size,
            fragmented_size=self.message_size,
            credits=self.credits,
            checksums=self.crc,
        )


def choose(wanted: WantedProvider) -> Provider:
    """The provider to use. OSError if the one that is demanded cannot be used."""
    if wanted == "auto":
        return "iwarp" if missing("verbs") else "verbs"
    if reason := missing(wanted):
        text = f"frevo:smbdirect provider = {wanted}, but {reason}: use auto or iwarp"
        raise OSError(errno.EPROTONOSUPPORT, text)
    return wanted


def missing(provider: Provider) -> str:
    """Why this machine cannot use a provider; empty if it can."""
    if provider == "verbs":
        reasons = [*verbs_missing(), *_device_missing(rdma_devices())]
        return reasons[0] if reasons else ""
    return sockets_missing() if provider == "kernel" else ""


def _device_missing(devices: list[RdmaDevice]) -> list[str]:
    if not devices:
        return ["there is no RDMA device"]
    return [] if any(one.active for one in devices) else ["no RDMA device is active"]


@cache
def sockets_missing() -> str:
    """Why the kernel's SMB Direct sockets cannot be used; empty if they can. Asked once in a process."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_SMBDIRECT):
            return ""
    except OSError as error:
        return f"this kernel has no SMB Direct sockets ({error.strerror or error})"


def verbs_missing() -> list[str]:
    """What a program lacks to use a card, each a sentence; empty if nothing."""
    if reasons := [reason for name in LIBRARIES if (reason := _unloadable(name))]:
        return reasons
    files = [DEVICE_FILES / "rdma_cm", *sorted(DEVICE_FILES.glob("uverbs*"))]
    reasons = [f"{one} cannot be opened ({reason})" for one in files if (reason := _unopenable(one))]
    return reasons + ([f"{DEVICE_FILES}/uverbs* does not exist"] if len(files) == 1 else [])


@cache
def _unloadable(library: str) -> str:
    import ctypes  # few need it

    try:
        ctypes.CDLL(library)
    except OSError as error:
        return f"{library} cannot be loaded ({str(error).partition(': ')[2] or error})"
    return ""


def _unopenable(path: Path) -> str:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return error.strerror or str(error)
    return ""


def card_ports(port: int, usual: int, devices: list[RdmaDevice]) -> list[int]:
    """Where to listen with cards for a transport on *port*: the *usual* one stands for 445 on InfiniBand and RoCE."""
    if port != usual:
        return [port]
    kinds = {one.kind for one in devices if one.active}
    found = [usual] if RdmaKind.IWARP in kinds else []
    return found + ([CARD_PORT] if kinds - {RdmaKind.IWARP} else [])
