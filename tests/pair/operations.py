"""Random but plausible operations on files, the same for every server given the same seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from frevo.wire.fscc import FileAllocationInformation, FileEndOfFileInformation, FilePositionInformation
from frevo.wire.smb2 import (
    ANY_FILE_ID,
    CloseRequest,
    Command,
    EchoRequest,
    FlushRequest,
    LockElement,
    LockRequest,
    QueryInfoRequest,
    ReadRequest,
    SetInfoRequest,
    WriteRequest,
)
from pair.client import RELATED, Client, Element, Reply, create_request

NAMES = ("a", "b", "c", "a:stream")
OFFSETS = (0, 1, 7, 100, 4095, 4096, 65535, 65536, 70000, 2**31, 2**32 + 5, 2**63 - 1, 2**63, 2**64 - 1)
LENGTHS = (0, 1, 8, 100, 4096, 65536, 65537, 100_000)


@dataclass
class Player:
    """Performs operations on one client; `opens` are the FileIds in the order of their CREATEs."""

    client: Client
    rng: random.Random
    opens: list[tuple[int, int]] = field(default_factory=list)
    locked: list[tuple[tuple[int, int], LockElement]] = field(default_factory=list)

    def step(self) -> list[Reply]:
        """One operation, chosen by the seed alone; its responses."""
        if len(self.opens) < 3:
            return self.create(0x001F01FF, 7)
        read, write = self.read, self.write
        actions = (
            self.create, *(read,) * 7, write, write, self.lock, self.lock, self.size, self.position, self.other,
            self.chain, self.close,
        )  # fmt: skip
        return self.rng.choice(actions)()

    def _file(self) -> tuple[int, int]:
        return (4711, 4711) if self.rng.randrange(20) == 0 else self.rng.choice(self.opens)

    def _offset(self) -> int:
        return self.rng.choice(OFFSETS) if self.rng.randrange(4) == 0 else self.rng.randrange(100)

    def _call(self, command: int, body: bytes, charge: int = 1) -> list[Reply]:
        protection = self.rng.choice(({"encrypt": True}, {"sign": True}, {"sign": False}))
        return [self.client.call(command, body, charge=charge, **protection)]

    def create(self, access: int = 0, share: int = 0) -> list[Reply]:
        access = access or self.rng.choice((0x001F01FF, 0x001F01FF, 0x00120089, 0x00120116, 0x00120080))
        share = share or self.rng.choice((7, 7, 7, 3, 1))
        body = create_request(self.rng.choice(NAMES), desired_access=access, share_access=share)
        replies = self._call(Command.CREATE, body.pack())
        if replies[0].status == 0:
            self.opens.append(_file_id(replies[0]))
        return replies

    def read(self) -> list[Reply]:
        length = self.rng.choice(LENGTHS)
        minimum = self.rng.choice((0, 0, 0, 0, 1, length, length + 1))
        flags = self.rng.choice((0, 0, 0, 1, 2))
        body = ReadRequest(
            self._file(), self._offset(), length, minimum, flags, channel=self.rng.choice((0, 0, 0, 0, 1))
        )
        return self._call(Command.READ, body.pack(), self.rng.choice((1, 2, 2, 2)))

    def write(self) -> list[Reply]:
        data = self.rng.randbytes(self.rng.choice((0, 1, 4096, 70000, 70000)))
        return self._call(Command.WRITE, WriteRequest(self._file(), self._offset() % 2**20, data).pack(), 2)

    def lock(self) -> list[Reply]:
        """Mostly releases what is locked, so that the fast path gets its turn."""
        if self.locked:
            file_id, element = self.locked.pop()
            return self._call(
                Command.LOCK, LockRequest(file_id, [LockElement(element.offset, element.length, 4)]).pack()
            )
        file_id, flags = self._file(), self.rng.choice((0x11, 0x12, 0x12, 0x13, 0))
        element = LockElement(self.rng.choice(OFFSETS), self.rng.choice((0, 1, 100, 2**63)), flags)
        replies = self._call(Command.LOCK, LockRequest(file_id, [element]).pack())
        if replies[0].status == 0:
            self.locked.append((file_id, element))
        return replies

    def size(self) -> list[Reply]:
        size = self.rng.choice((1, 5000, 70_000, 80_000, 80_000))
        info, data = self.rng.choice(
            ((20, FileEndOfFileInformation(size).pack()), (19, FileAllocationInformation(size).pack()))
        )
        return self._call(Command.SET_INFO, SetInfoRequest(1, info, 0, self._file(), data).pack())

    def position(self) -> list[Reply]:
        file_id = self._file()
        if self.rng.randrange(3) == 0:
            data = FilePositionInformation(self.rng.choice((0, 5, 2**40))).pack()
            return self._call(Command.SET_INFO, SetInfoRequest(1, 14, 0, file_id, data).pack())
        return self._call(Command.QUERY_INFO, QueryInfoRequest(1, 14, 100, file_id=file_id).pack())

    def other(self) -> list[Reply]:
        if self.rng.randrange(2):
            return self._call(Command.ECHO, EchoRequest().pack())
        return self._call(Command.FLUSH, FlushRequest(self._file()).pack())

    def chain(self) -> list[Reply]:
        """CREATE, READ, CLOSE in one message."""
        offset = self.rng.choice(OFFSETS[:5])
        ids = self.client.compound(
            Element(Command.CREATE, create_request(self.rng.choice(NAMES), create_disposition=1).pack()),
            Element(Command.READ, ReadRequest(ANY_FILE_ID, offset, 100).pack(), RELATED),
            Element(Command.CLOSE, CloseRequest(0, ANY_FILE_ID).pack(), RELATED),
        )
        return [self.client.wait(message_id) for message_id in ids]

    def close(self) -> list[Reply]:
        file_id = self._file()
        if file_id in self.opens and len(self.opens) > 1:
            self.opens.remove(file_id)
        return self._call(Command.CLOSE, CloseRequest(0, file_id).pack())


def _file_id(reply: Reply) -> tuple[int, int]:
    return int.from_bytes(reply.body[64:72], "little"), int.from_bytes(reply.body[72:80], "little")


def comparable(reply: Reply) -> tuple[object, ...]:
    """The part of a response that must be the same on every server: all but ids, times and signature."""
    header, body = reply.header, reply.body
    if header.command == Command.CREATE and header.status == 0:
        body = body[:8] + body[40:64]  # action, sizes and attributes without times and FileId
    return (
        header.command, hex(header.status), header.credit_charge, header.credits, header.flags, header.message_id,
        header.next_command, header.async_id, reply.encrypted, body,
    )  # fmt: skip
