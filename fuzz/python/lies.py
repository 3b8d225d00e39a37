"""The lies of a hostile server: each replaces an honest response by other messages.

`LIES` has them by name; `Liar` tells one now and then, or repeatedly, and signs it.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence

from peers.altering import Step, command_of, elements, frame
from peers.lying_server import ServerThread
from run import mutate

from frevo.errors import WireError
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import DirectoryEntry, FileInfoClass, pack_entry, parse_directory
from frevo.wire.smb2 import Command, ErrorResponse, OplockBreakNotification, QueryDirectoryResponse

Message = bytes
#: (offset, width) of the fields to lie about in the responses of each command; offsets from the start of the header.
_HEADER = ((4, 2), (6, 2), (8, 4), (12, 2), (14, 2), (16, 4), (20, 4), (24, 8), (32, 4), (36, 4), (40, 8))
FIELDS: dict[int, tuple[tuple[int, int], ...]] = {
    Command.NEGOTIATE: (
        *((64, 2), (66, 2), (68, 2), (70, 2), (72, 8), (88, 4), (92, 4), (96, 4), (100, 4)),
        *((104, 8), (120, 2), (122, 2), (124, 4)),
    ),
    Command.SESSION_SETUP: ((64, 2), (66, 2), (68, 2), (70, 2)),
    Command.TREE_CONNECT: ((64, 2), (66, 1), (68, 4), (72, 4), (76, 4)),
    Command.CREATE: (
        *((64, 2), (66, 1), (68, 4), (72, 8), (80, 8), (88, 8), (96, 8), (104, 8), (112, 8), (120, 4)),
        *((128, 8), (136, 8), (144, 4), (148, 4), (112, 8), (112, 8)),
    ),
    Command.READ: ((64, 2), (66, 1), (68, 4), (68, 4), (72, 4)),
    Command.WRITE: ((64, 2), (68, 4), (68, 4)),
    Command.IOCTL: ((64, 2), (68, 4), (88, 4), (92, 4), (96, 4), (100, 4), (112, 4), (116, 4), (120, 4)),
    Command.QUERY_DIRECTORY: ((64, 2), (66, 2), (68, 4), (72, 4), (80, 8), (112, 8), (128, 4), (132, 4)),
    Command.CHANGE_NOTIFY: ((64, 2), (66, 2), (68, 4), (72, 4), (80, 4)),
    Command.QUERY_INFO: (
        *((64, 2), (66, 2), (68, 4), (72, 8), (80, 8), (88, 8), (96, 8), (104, 4), (112, 8), (120, 8)),
        *((76, 4), (92, 4), (168, 4)),
    ),
}
_STATUSES = (
    *(NTStatus.SUCCESS, NTStatus.PENDING, NTStatus.BUFFER_OVERFLOW, NTStatus.NO_MORE_FILES),
    *(NTStatus.MORE_PROCESSING_REQUIRED, NTStatus.NOTIFY_CLEANUP, NTStatus.NOTIFY_ENUM_DIR),
    *(
        NTStatus.END_OF_FILE,
        NTStatus.ACCESS_DENIED,
        NTStatus.NETWORK_SESSION_EXPIRED,
        NTStatus.INVALID_PARAMETER,
    ),
    *(NTStatus.USER_SESSION_DELETED, NTStatus.NETWORK_NAME_DELETED, NTStatus.STOPPED_ON_SYMLINK),
    *(NTStatus.PATH_NOT_COVERED, NTStatus.LOGON_FAILURE, NTStatus.OBJECT_NAME_COLLISION),
    *(NTStatus.OBJECT_NAME_NOT_FOUND, NTStatus.FILE_CLOSED, 0xDEADBEEF, 0x80000005, 0xFFFFFFFF),
)
EVIL_NAMES = (
    *(
        "..",
        ".",
        "",
        "/",
        "\\",
        "../../evil",
        "..\\..\\evil",
        "/etc/evil",
        "a/b",
        "a\\b",
        "\0",
        "a\0b",
        "a\0",
    ),
    *(
        "x" * 255,
        "x" * 4000,
        "\ud800",
        "\udcff",
        "\uf020",
        "\uf022\uf02e",
        "CON",
        "a:b",
        "con:$DATA",
        " ",
        "a ",
    ),
    *("\x1b[2J", "\n", "A", "a", "\u202etxt", "\uf001", "~", "-rf", "*", ".frevo-0.part", "é", "e\u0301"),
)
_SERVER_FLAG, _ASYNC, _SIGNED = 1, 2, 8


def put(message: Message, offset: int, width: int, value: int) -> Message:
    """*message* with *value* at *offset*; unchanged if it is too short."""
    if offset + width > len(message):
        return message
    raw = (value & ((1 << 8 * width) - 1)).to_bytes(width, "little")
    return message[:offset] + raw + message[offset + width :]


def a_number(rng: random.Random, width: int, now: int, size: int) -> int:
    """A number that a careless parser may trust."""
    top = 1 << (8 * width)
    near = (now - 1, now + 1, now * 2, now + 8, now // 2, size, size - 64, size + 1, size - 1)
    edges = (0, 1, 2, 7, 8, 64, 72, 255, 4096, 65535, top - 1, top - 8, top // 2, top // 2 - 1)
    return rng.choice((rng.choice(near), rng.choice(edges), rng.randrange(top))) % top


def field(rng: random.Random, message: Message) -> list[Message]:
    """Another value in one field of the response."""
    places = FIELDS.get(command_of(message), ((64, 2), (66, 2)))
    offset, width = rng.choice(places)
    now = int.from_bytes(message[offset : offset + width], "little")
    return [put(message, offset, width, a_number(rng, width, now, len(message)))]


def header(rng: random.Random, message: Message) -> list[Message]:
    """Another value in one field of the header: IDs, flags, status, credits, NextCommand."""
    offset, width = rng.choice(_HEADER)
    now = int.from_bytes(message[offset : offset + width], "little")
    return [put(message, offset, width, a_number(rng, width, now, len(message)))]


def body(rng: random.Random, message: Message) -> list[Message]:
    """Bytes after the header are changed, added or removed."""
    return [message[:64] + mutate(rng, message[64:])] if len(message) < 1 << 14 else field(rng, message)


def buffer(rng: random.Random, message: Message) -> list[Message]:
    """Bytes after the fixed part are changed: listings, tokens, descriptors, PDUs."""
    if not 96 < len(message) < 1 << 14:
        return body(rng, message)
    changed = mutate(rng, message[72:])[: len(message) - 72]
    return [message[:72] + changed.ljust(len(message) - 72, b"\0")]


def number(rng: random.Random, message: Message) -> list[Message]:
    """Another number somewhere after the fixed part."""
    if len(message) < 80:
        return field(rng, message)
    width = rng.choice((2, 4, 4, 8))
    offset = rng.randrange(72, len(message)) & ~(width - 1)
    now = int.from_bytes(message[offset : offset + width], "little")
    return [put(message, offset, width, a_number(rng, width, now, len(message)))]


def status(rng: random.Random, message: Message) -> list[Message]:
    """Another status, with the body of the response or of an error."""
    changed = put(message, 8, 4, int(rng.choice(_STATUSES)))
    if rng.randrange(2):
        return [changed]
    data = rng.randbytes(rng.choice((0, 1, 8, 40, 200)))
    return [changed[:64] + ErrorResponse(data, rng.choice((0, 0, 1, 255))).pack()]


def interim(message: Message, async_id: int) -> Message:
    """STATUS_PENDING for the request that *message* answers."""
    flags = int.from_bytes(message[16:20], "little") | _ASYNC
    first = put(put(put(message[:64], 8, 4, NTStatus.PENDING), 16, 4, flags), 20, 4, 0)
    return put(first, 32, 8, async_id) + ErrorResponse().pack()


def pending(rng: random.Random, message: Message) -> list[Message]:
    """Interim responses: several, without a final response, or after it."""
    first = interim(elements(message)[0], rng.choice((0, 1, 2**64 - 1)))
    return rng.choice(([first], [first, first, message], [first, message], [message, first], [first] * 50))


def silence(_: random.Random, __: Message) -> list[Message]:
    """No response."""
    return []


def twice(_: random.Random, message: Message) -> list[Message]:
    """The response twice."""
    return [message, message]


def length(rng: random.Random, message: Message) -> list[Message]:
    """Too short or too long."""
    if rng.randrange(3):
        return [message[: rng.randrange(len(message))]]
    size = rng.choice((1, 8, 4096, 1 << 20, (1 << 24) - 1 - len(message)))
    return [message + bytes(size)]


def chain(rng: random.Random, message: Message) -> list[Message]:
    """A compound that loops, or that answers the same request many times."""
    part = elements(message)[0]
    part += bytes(-len(part) % 8)
    last = put(part, 20, 4, rng.choice((0, 0, 8, len(part))))
    return [put(part, 20, 4, len(part)) * rng.choice((1, 2, 40, 200)) + last]


def oplock_break(rng: random.Random, message: Message) -> list[Message]:
    """Unexpected oplock breaks before the response."""
    flags, unsolicited = _SERVER_FLAG, 2**64 - 1
    made = put(put(put(message[:64], 12, 2, Command.OPLOCK_BREAK), 16, 4, flags), 24, 8, unsolicited)
    broken = put(made, 8, 4, 0) + OplockBreakNotification(rng.randrange(256), (1, 2)).pack()
    return [broken] * rng.choice((1, 3, 1000)) + [message]


def names(rng: random.Random, message: Message) -> list[Message]:
    """A listing with names that no file should have, impossible sizes and times, and loops."""
    if command_of(message) != Command.QUERY_DIRECTORY or message[8:12] != bytes(4):
        return field(rng, message)
    try:
        found = list(
            parse_directory(FileInfoClass.ID_BOTH_DIRECTORY, QueryDirectoryResponse.parse(message).buffer)
        )
    except WireError:
        return field(rng, message)
    kinds = (0x20, 0x10, 0x410, 0x400, 0x10, 0, 0xFFFFFFFF)
    for name in rng.sample(EVIL_NAMES, 4):
        times = [rng.choice((0, 1, -1, 2**63 - 1, -(2**63), 132_000_000_000_000_000)) for _ in range(4)]
        sizes = [rng.choice((0, 1, 5, 70_000, -1, 2**40, 2**62, 2**63 - 1, -(2**63))) for _ in range(2)]
        found.insert(
            rng.randrange(len(found) + 1), DirectoryEntry(name, rng.choice(kinds), *times, *sizes, file_id=7)
        )
    return [message[:64] + QueryDirectoryResponse(_listing(found)).pack()]


def _listing(entries: Sequence[DirectoryEntry]) -> bytes:
    out = b""
    for index, entry in enumerate(entries):
        packed = pack_entry(FileInfoClass.ID_BOTH_DIRECTORY, entry)
        packed += bytes(-len(packed) % 8)
        following = 0 if index == len(entries) - 1 else len(packed)
        out += struct.pack("<I", following) + packed[4:]
    return out


def no_credits(_: random.Random, message: Message) -> list[Message]:
    """No credits are granted."""
    return [put(message, 14, 2, 0)]


def one_credit(_: random.Random, message: Message) -> list[Message]:
    """One credit is granted."""
    return [put(message, 14, 2, 1)]


def many_credits(_: random.Random, message: Message) -> list[Message]:
    """Too many credits are granted."""
    return [put(message, 14, 2, 65535)]


def short_read(rng: random.Random, message: Message) -> list[Message]:
    """A READ response with less or more data than requested."""
    if command_of(message) != Command.READ or len(message) < 90:
        return number(rng, message)
    data = message[80:]
    data = rng.choice((data[:1], b"", data + data, data[: len(data) // 2], data + b"x"))
    return [put(message[:80], 68, 4, len(data)) + data]


def unsigned(_: random.Random, message: Message) -> list[Message]:
    """The response without its signature."""
    flags = int.from_bytes(message[16:20], "little") & ~_SIGNED
    return [put(message, 16, 4, flags)[:48] + bytes(16) + message[64:]]


Lie = Callable[[random.Random, Message], list[Message]]
LIES: dict[str, Lie] = {
    one.__name__: one
    for one in (
        field, header, body, buffer, number, status, pending, silence, twice, length, chain, oplock_break, names,
        no_credits, one_credit, many_credits, short_read, unsigned,
    )
}  # fmt: skip
#: Lies that make sense repeatedly.
_LASTING = ("no_credits", "one_credit", "many_credits", "names", "short_read", "oplock_break", "number")
_WEIGHTS = {"field": 5, "number": 4, "buffer": 3, "header": 3, "names": 4, "status": 2}


def on_the_wire(rng: random.Random, wire: bytes) -> list[Step]:
    """Framing that is wrong, slow, or incomplete."""
    size = rng.randrange(1, len(wire))
    return rng.choice(
        (
            [None],
            [wire[:size], None],
            [wire[:size], 30.0],
            [wire[:2], 0.01, wire[2:7], 0.01, wire[7:]],
            [wire[:1], wire[1:2], wire[2:3], wire[3:4], wire[4:5], 0.05, wire[5:]],
            [bytes(4), wire],
            [bytes(4) * 5000, wire],
            [b"\x85\0\0\0" * 5000, wire],
            [b"\0\xff\xff\xff" + wire, 30.0],
            [b"\x01\xff\xff\xff" + wire],
            [b"\x83\0\0\1\x80", wire],
            [
                frame(rng.choice((b"\xffSMB", b"\xfdSMB", b"\xfcSMB", b"\xfeSMB", b"")) + rng.randbytes(100)),
                wire,
            ],
            [frame(b"\xffSMB" + bytes(60)), wire],
            [frame(wire[4:40]), wire],
        )
    )


class Liar:
    """Tells the truth except for the lie set by `prepare`, once or repeatedly."""

    def __init__(self, thread: ServerThread, rng: random.Random) -> None:
        self._thread, self._rng = thread, rng
        self.said = ""
        self.prepare("")

    def prepare(self, name: str, *, after: int = 0, lasting: bool = False) -> None:
        """Set the lie *name* for response number *after* from now on ("" for none, "wire" for its framing)."""
        self._name, self._after, self._lasting = name, after, lasting
        self._earlier: list[bytes] = []
        self.said = f"{name or 'the truth'}{' from' if lasting else ' at'} response {after}"

    def choose(self) -> None:
        """Choose a lie for the next conversation."""
        names = list(LIES)
        weights = [_WEIGHTS.get(name, 1) for name in names]
        name = self._rng.choices([*names, "wire", "replay"], [*weights, 2, 1])[0]
        lasting = name in _LASTING and self._rng.randrange(2) == 0
        after = self._rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 30))
        self.prepare(name, after=after, lasting=lasting)

    def lie(self, message: bytes) -> list[Step]:
        """What is sent instead of the honest response *message*."""
        self._after -= 1
        self._earlier = [*self._earlier[-5:], message]
        if self._after >= 0 or not self._name or message[:4] != b"\xfeSMB":
            return [frame(message)]
        name = self._name
        self._name = name if self._lasting else ""
        if name == "wire":
            return on_the_wire(self._rng, frame(message))
        if name == "replay":
            return [frame(message), frame(self._rng.choice(self._earlier))]
        return [frame(self._thread.signed(made)) for made in self._changed(LIES[name], message)]

    def _changed(self, lie: Lie, message: bytes) -> list[bytes]:
        """One element of a compound is changed, or all of it."""
        parts = elements(message)
        if len(parts) == 1 or self._rng.randrange(4) == 0:
            return lie(self._rng, message)
        at = self._rng.randrange(len(parts))
        made = lie(self._rng, parts[at])
        if len(made) != 1 or (len(made[0]) % 8 and at < len(parts) - 1):
            return made
        changed = made[0]
        if at < len(parts) - 1 and len(changed) != len(parts[at]):
            changed = put(changed, 20, 4, len(changed))
        return [b"".join([*parts[:at], changed, *parts[at + 1 :]])]
