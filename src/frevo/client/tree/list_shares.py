"""The list of shares: NetrShareEnum of srvsvc over its named pipe ([MS-SRVS] 3.1.4.8)."""

from __future__ import annotations

from typing import Any

from frevo.client.connection.messages import Element, FileId
from frevo.client.errors import remote_error
from frevo.client.tree import requests
from frevo.client.tree.stat import ShareEntry
from frevo.client.tree.tree import Tree
from frevo.dcerpc import pdu
from frevo.dcerpc.ndr import read_arguments, write_arguments
from frevo.dcerpc.srvsvc import SRVSVC
from frevo.errors import WireError
from frevo.wire.dtyp.access import FILE_GENERIC_READ, FILE_GENERIC_WRITE
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FsctlCode
from frevo.wire.smb2 import Command, ReadRequest, ReadResponse

_SHARE_ENUM = 15
_KINDS = {0: "disk", 1: "printer", 2: "device", 3: "pipe"}
_SPECIAL = 0x80000000
_MESSAGE_BYTES_MAX = 16 << 20


async def list_shares(tree: Tree) -> list[ShareEntry]:
    """The shares that the server of the IPC$ *tree* lists."""
    request = requests.opening("srvsvc", FILE_GENERIC_READ | FILE_GENERIC_WRITE)
    opened = await tree.create(request, "srvsvc")
    try:
        await _bind(tree, opened.file_id)
        values = {
            "server": f"\\\\{tree.connection.server}",
            "info": {"level": 1, "content": (1, {"count": 0, "entries": None})},
            "max_length": 0xFFFFFFFF,
            "resume": 0,
        }
        found = await _call(tree, opened.file_id, _SHARE_ENUM, values)
        if found["status"]:
            raise remote_error(NTStatus.ACCESS_DENIED, None, f"listing shares, Win32 error {found['status']}")
        level, content = found["info"]["content"]
        if level != 1 or content is None:
            raise WireError(f"a list of shares of level {level}")
        entries = content["entries"] or []
        return [_entry(one) for one in entries]
    finally:
        tree.close_later(opened.file_id)


def _entry(one: dict[str, Any]) -> ShareEntry:
    kind = int(one["type"])
    name, comment = one["name"] or "", one["remark"] or ""
    return ShareEntry(name, _KINDS.get(kind & 0xFF, "other"), comment, bool(kind & _SPECIAL))


async def _bind(tree: Tree, file_id: FileId) -> None:
    context = pdu.PresentationContext(0, SRVSVC.syntax, (pdu.NDR32,))
    bind = pdu.Bind(pdu.FRAGMENT_MAX, pdu.FRAGMENT_MAX, 0, (context,))
    packet = pdu.Packet(pdu.PacketType.BIND, pdu.WHOLE, 1, bind.pack())
    (answer,) = await _transact(tree, file_id, packet.pack())
    if answer.type != pdu.PacketType.BIND_ACK:
        raise remote_error(NTStatus.NOT_SUPPORTED, None, "the server does not provide its list of shares")


async def _call(tree: Tree, file_id: FileId, operation: int, values: dict[str, Any]) -> dict[str, Any]:
    known = SRVSVC.operations[operation]
    stub = write_arguments(known.arguments_in, values)
    answers = await _transact(tree, file_id, pdu.Request(0, operation, stub).pack(2))
    if any(answer.type != pdu.PacketType.RESPONSE for answer in answers):
        raise remote_error(NTStatus.UNSUCCESSFUL, None, f"the server failed {known.name}")
    return read_arguments(known.arguments_out, b"".join(answer.body[8:] for answer in answers))


async def _transact(tree: Tree, file_id: FileId, message: bytes) -> list[pdu.Packet]:
    """Sends one PDU and collects the fragments of its response."""
    first = await tree.ioctl(FsctlCode.PIPE_TRANSCEIVE, message, pdu.FRAGMENT_MAX, file_id, "srvsvc")
    data = bytearray(first.output_buffer)
    packets: list[pdu.Packet] = []
    total = 0
    while True:
        size = pdu.fragment_length(data)
        while size is None or len(data) < size:
            data += await _read(tree, file_id)
            size = pdu.fragment_length(data)
        packet = pdu.Packet.parse(bytes(data[:size]))
        del data[:size]
        packets.append(packet)
        total += size
        if packet.flags & pdu.PacketFlags.LAST_FRAGMENT:
            return packets
        if total > _MESSAGE_BYTES_MAX:
            raise WireError("a srvsvc response has no end")


async def _read(tree: Tree, file_id: FileId) -> bytes:
    body = ReadRequest(file_id, 0, pdu.FRAGMENT_MAX).pack()
    reply = await tree.one(Element(Command.READ, body), "srvsvc", allow=(NTStatus.BUFFER_OVERFLOW,))
    data = bytes(ReadResponse.parse(reply.message).data)
    if not data:
        raise WireError("a srvsvc response ends early")
    return data
