"""The transports: one record each, which says all that differs between them ([MS-SMB2] 2.1).

No other module compares a transport's name: it asks the record. `TRANSPORTS` has them in order of preference.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from frevo.wire.nbt import LENGTH_MAX


class IPProtocol(StrEnum):
    """What carries a transport, as /proc/net names it."""

    TCP = "tcp"
    UDP = "udp"


class TransportTraits(msgspec.Struct, frozen=True):
    """What one transport is and does.

    protocol: None when it needs no network. port: the default, 0 when it has no ports. framing: how the data plane
    delimits messages. message_max: the largest message in bytes. multi_credit: whether a request may cost several
    credits. session_request: a client begins with a NetBIOS session request. bare_port: a port alone names this
    transport when it is the default one. secure: it encrypts everything and proves who the server is. rdma: data of
    READ and WRITE can move by RDMA. oldest, newest: dialect revisions. serves, dials: what frevo can do. word: what
    URLs call it, if that is not its name.
    """

    name: str
    protocol: IPProtocol | None
    port: int
    serves: bool
    dials: bool
    framing: str = "tcp"
    message_max: int = 0xFF_FFFF
    multi_credit: bool = True
    session_request: bool = False
    bare_port: bool = False
    secure: bool = False
    rdma: bool = False
    oldest: int = 0x0202
    newest: int = 0x0311
    word: str = ""

    @property
    def scheme(self) -> str:
        """The scheme of URLs that demand this transport; empty when it has no ports."""
        return f"smb+{self.word or self.name}" if self.port else ""


TCP = TransportTraits("tcp", IPProtocol.TCP, 445, serves=True, dials=True)
#: The NetBIOS session service ([RFC 1002] 4.3): the data plane answers SESSION REQUEST and ignores keepalives; a client
#: that starts with a message is served too, as other servers do. No multi-credit requests ([MS-SMB2] 3.3.5.4).
NBT = TransportTraits(
    "nbt", IPProtocol.TCP, 139, serves=True, dials=True,
    framing="nbt", message_max=LENGTH_MAX, multi_credit=False, session_request=True, bare_port=True,
)  # fmt: skip
#: Framing and credits are TCP's; [MS-SMB2] 2.1: 3.1.1 only.
QUIC = TransportTraits("quic", IPProtocol.UDP, 443, serves=True, dials=True, secure=True, oldest=0x0311)
#: SMB Direct ([MS-SMBD]): SMB over RDMA, from 3.0 on ([MS-SMB2] 2.1). The port is that of iWARP; InfiniBand and RoCE
#: have 445. The data plane takes messages apart and puts them together.
SMBDIRECT = TransportTraits(
    "smbdirect", IPProtocol.TCP, 5445, serves=True, dials=True,
    message_max=1 << 20, rdma=True, oldest=0x0300, word="rdma",
)  # fmt: skip
#: Connected sockets of this machine that another program hands over.
UNIX = TransportTraits("unix", None, 0, serves=False, dials=False)
#: Both ends in one process, for tests.
MEMORY = TransportTraits("memory", None, 0, serves=False, dials=False)

TRANSPORTS: dict[str, TransportTraits] = {one.name: one for one in (TCP, NBT, QUIC, SMBDIRECT, UNIX, MEMORY)}
#: Those that can be named in a configuration or a URL, in the order in which messages list them.
CONFIGURABLE: tuple[str, ...] = tuple(one.name for one in TRANSPORTS.values() if one.port)


def preference(name: str) -> int:
    """The position of a transport in the order of preference, for sorting."""
    return list(TRANSPORTS).index(name)


def either(names: list[str]) -> str:
    """`tcp, nbt or quic`, for messages."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
