"""Three clients, a watcher and a program beside the server perform a sequence; what they see is what is compared."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence as List
from pathlib import Path
from typing import Any

from pair.client import RELATED, Client, Element, FileId, Reply, create_request

from frevo.wire.erref import NTStatus
from frevo.wire.fscc import (
    FileAllocationInformation,
    FileBasicInformation,
    FileDispositionInformation,
    FileEndOfFileInformation,
    FileInfoClass,
    FilePositionInformation,
    FileRenameInformation,
    FileStandardInformation,
    FileZeroDataInformation,
    FsctlCode,
)
from frevo.wire.smb2 import (
    ANY_FILE_ID,
    CloseRequest,
    CloseResponse,
    Command,
    CreateResponse,
    EchoRequest,
    FlushRequest,
    InfoType,
    IoctlRequest,
    IoctlResponse,
    LockElement,
    LockRequest,
    QueryInfoRequest,
    QueryInfoResponse,
    ReadRequest,
    SetInfoRequest,
    SrvCopychunk,
    SrvCopychunkCopy,
    WriteRequest,
)
from integration.differential import races
from integration.differential.steps import CLIENTS, PLACES, TIMES, Sequence, Step
from integration.differential.watcher import Watcher
from integration.live import Live

NOWHERE: FileId = (4711, 4711)
#: What a client does with SET_INFO's times ([MS-FSCC] 2.4.7).
_SPECIAL = {"keep": -1, "thaw": -2, "none": 0}


def when(filetime: int) -> object:
    """A last write time as it is compared: the number of one that was set, or "later"."""
    return TIMES.index(filetime) if filetime in TIMES else "later" if filetime > TIMES[-1] else filetime


def unix_s(number: int) -> int:
    return TIMES[number] // 10_000_000 - 11_644_473_600


def charge(length: int) -> int:
    return max(1, -(-length // 65536))


class Actors:
    """Performs one sequence in a folder of its own, which other clients do not touch."""

    def __init__(self, live: Live, folder: Path, sequence: Sequence) -> None:
        self.live, self.folder = live, folder
        folder.mkdir()
        self.clients = [live.logged_on((sequence.dialect,)) for _ in range(CLIENTS)]
        self.opens = [[NOWHERE] * PLACES for _ in range(CLIENTS)]
        self.watcher = Watcher(live.logged_on((sequence.dialect,)), folder) if sequence.watching else None
        self.step = Step("", 0, 0, [])

    def perform(self, step: Step) -> tuple[object, ...]:
        """What the clients were answered, what is told to a watcher, and the files as they are now."""
        self.step = step
        answers = getattr(self, step.action)(*step.values)
        told = self.watcher.told() if self.watcher else ()
        return answers, told, self.files()

    def end(self) -> None:
        """All connections end."""
        for client in (*self.clients, *([self.watcher.client] if self.watcher else [])):
            client.link.sock.close()  # type: ignore[attr-defined]

    def files(self) -> list[tuple[object, ...]]:
        """Names, sizes, contents and times on disk."""
        found = []
        for entry in sorted(os.scandir(self.folder), key=lambda entry: entry.name):
            status = entry.stat()
            time = status.st_mtime_ns // 100 + 116_444_736_000_000_000
            found.append((entry.name, status.st_size, summary(Path(entry.path)), when(time)))
        return found

    # -- one request

    @property
    def client(self) -> Client:
        return self.clients[self.step.client]

    @property
    def file(self) -> FileId:
        return self.opens[self.step.client][self.step.place]

    @file.setter
    def file(self, value: FileId) -> None:
        self.opens[self.step.client][self.step.place] = value

    def options(self) -> dict[str, bool]:
        return {"encrypt": self.step.protection == "encrypted", "sign": self.step.protection == "signed"}

    def element(self, command: int, body: bytes, flags: int = 0, length: int = 0) -> Element:
        """A request; *length* of data that it carries or asks for."""
        old = self.client.dialect.revision < 0x0300
        fields = {} if old else {"status": self.step.sequence}
        return Element(command, body, flags, charge=charge(length), fields=fields)

    def call(self, command: int, body: bytes, length: int = 0) -> Reply:
        [number] = self.client.compound(self.element(command, body, length=length), **self.options())
        return self.client.wait(number)

    def seen(self, reply: Reply, client: Client | None = None) -> tuple[object, ...]:
        """What is compared of a response, and of the interim one before it."""
        client = client or self.client
        interim = [one for one in client.replies if one.header.message_id == reply.header.message_id]
        credits = sum(one.header.credits for one in (reply, *interim))
        for one in interim:
            client.replies.remove(one)
        return reply.status.name, credits, reply.signed, reply.encrypted, content(reply)

    def ask(self, command: int, body: bytes, length: int = 0) -> tuple[object, ...]:
        return self.seen(self.call(command, body, length))

    # -- steps

    def open(self, name: str, access: int, share: int, disposition: int, options: int) -> object:
        closed = self.close(0) if self.file != NOWHERE else None
        body = self.create(
            name,
            desired_access=access,
            share_access=share,
            create_disposition=disposition,
            create_options=options,
        )
        reply = self.call(Command.CREATE, body)
        if reply.status == NTStatus.SUCCESS:
            self.file = reply.ok(CreateResponse).file_id
        return closed, self.seen(reply)

    def create(self, name: str, **fields: int) -> bytes:
        return create_request(f"{self.folder.name}\\{name}", **fields).pack()

    def close(self, flags: int) -> object:
        file, self.file = self.file, NOWHERE
        return self.ask(Command.CLOSE, CloseRequest(flags, file).pack())

    def read(self, offset: int, length: int, minimum: int, flags: int, channel: int) -> object:
        body = ReadRequest(self.file, offset, length, minimum, flags, channel=channel).pack()
        return self.ask(Command.READ, body, length)

    def write(self, offset: int, length: int, fill: int, flags: int) -> object:
        body = WriteRequest(self.file, offset, data(fill, length), flags=flags).pack()
        return self.ask(Command.WRITE, body, length)

    def flush(self) -> object:
        return self.ask(Command.FLUSH, FlushRequest(self.file).pack())

    def echo(self) -> object:
        return self.ask(Command.ECHO, EchoRequest().pack())

    def lock(self, offset: int, length: int, flags: int) -> object:
        body = LockRequest(self.file, [LockElement(offset, length, flags)]).pack()
        [number] = self.client.compound(self.element(Command.LOCK, body), **self.options())
        if flags & 0x14 == 0:  # it may wait, for good: then it is cancelled
            return self.seen(races.cancelled(self.client, number))
        return self.seen(self.client.wait(number))

    def put(self, info: int, body: bytes) -> object:
        return self.ask(Command.SET_INFO, SetInfoRequest(InfoType.FILE, info, 0, self.file, body).pack())

    def size(self, size: int) -> object:
        return self.put(FileInfoClass.END_OF_FILE, FileEndOfFileInformation(size).pack())

    def allocation(self, size: int) -> object:
        return self.put(FileInfoClass.ALLOCATION, FileAllocationInformation(size).pack())

    def rename(self, name: str, replace: bool) -> object:
        to = f"{self.folder.name}\\{name}"
        return self.put(FileInfoClass.RENAME, FileRenameInformation(replace, file_name=to).pack())

    def dispose(self, delete: bool) -> object:
        return self.put(FileInfoClass.DISPOSITION, FileDispositionInformation(delete).pack())

    def basic(self, time: int | str, attributes: int) -> object:
        value = TIMES[time] if isinstance(time, int) else _SPECIAL[time]
        body = FileBasicInformation(last_write_time=value, file_attributes=attributes).pack()
        return self.put(FileInfoClass.BASIC, body)

    def position(self, offset: int) -> object:
        return self.put(FileInfoClass.POSITION, FilePositionInformation(offset).pack())

    def look(self) -> object:
        return [self._query(info) for info in (4, 5, 14)]

    def _query(self, info: int) -> object:
        body = QueryInfoRequest(InfoType.FILE, info, 1000, file_id=self.file).pack()
        reply = self.call(Command.QUERY_INFO, body)
        return (*self.seen(reply)[:4], information(info, reply))

    def _control(self, code: int, given: bytes) -> Reply:
        asked = IoctlRequest(int(code), self.file, given, max_output_response=1000)
        return self.call(Command.IOCTL, asked.pack())

    def zero(self, start: int, end: int) -> object:
        given = FileZeroDataInformation(start, end).pack()
        return self.seen(self._control(FsctlCode.SET_ZERO_DATA, given))[:4]

    def copy(self, place: int, source: int, target: int, length: int) -> object:
        mine = self.step
        self.step = mine._replace(place=place)
        reply = self._control(FsctlCode.SRV_REQUEST_RESUME_KEY, b"")
        self.step = mine
        key = bytes(24)
        if reply.status == NTStatus.SUCCESS:
            key = bytes(IoctlResponse.parse(reply.message).output_buffer)[:24]
        given = SrvCopychunkCopy(key, [SrvCopychunk(source, target, length)]).pack()
        copied = self.seen(self._control(FsctlCode.SRV_COPYCHUNK, given))
        return reply.status.name, copied[:4]

    def chain(self, kind: str, name: str, offset: int, length: int) -> object:
        """Requests in one message. Those after the first are for the same file."""
        first = self.file
        write = WriteRequest(first, offset, data(offset & 255, length)).pack()
        again = WriteRequest(ANY_FILE_ID, offset, data(offset & 255, length)).pack()
        reading = ReadRequest(ANY_FILE_ID, offset, length).pack()
        parts: list[tuple[int, bytes, int]] = {
            "reads": [
                (Command.READ, ReadRequest(first, offset + 100 * number, length).pack(), length)
                for number in range(3)
            ],
            "read-close": [(Command.READ, ReadRequest(first, offset, length).pack(), length)],
            "write-close": [(Command.WRITE, write, length)],
            "write-flush-read": [
                (Command.WRITE, write, length),
                (Command.FLUSH, FlushRequest(ANY_FILE_ID).pack(), 0),
                (Command.READ, reading, length),
            ],
            "write-read": [(Command.WRITE, write, length), (Command.READ, reading, length)],
            "create": [
                (Command.CREATE, self.create(name), 0),
                (Command.WRITE, again, length),
                (Command.READ, reading, length),
            ],
        }[kind]
        if kind == "create" or kind.endswith("-close"):
            parts.append((Command.CLOSE, CloseRequest(1, ANY_FILE_ID).pack(), 0))
        if kind.endswith("-close"):
            self.file = NOWHERE
        elements = [
            self.element(command, body, RELATED if number and kind != "reads" else 0, size)
            for number, (command, body, size) in enumerate(parts)
        ]
        numbers = self.client.compound(*elements, **self.options())
        return [self.seen(self.client.wait(number)) for number in numbers]

    def local(self, kind: str, name: str, offset: int) -> object:
        """Another program on the server's machine."""
        path = self.folder / name
        if kind == "replace":
            (self.folder / "new").write_bytes(data(offset & 255, offset))
            (self.folder / "new").rename(path)
        elif not path.exists():
            return None
        elif kind == "time":
            os.utime(path, (unix_s(offset % 3),) * 2)
        elif kind == "unlink":
            path.unlink()
        elif kind == "move":
            path.rename(self.folder / "d")
        elif kind == "truncate":
            os.truncate(path, offset)
        else:
            flags = os.O_WRONLY | (os.O_APPEND if kind == "append" else 0)
            descriptor = os.open(path, flags)
            os.pwrite(descriptor, b"local", offset)
            os.close(descriptor)
        return None

    def together(self, *sent: List[Any]) -> object:
        """Requests of all clients, of which none waits for another's answer."""
        under_way, mine = [], self.step
        for command, client, place, *values in sent:
            self.step = mine._replace(client=client, place=place)
            if command == "write":
                offset, length, fill = values
                body = WriteRequest(self.file, offset, data(fill, length)).pack()
                element = self.element(Command.WRITE, body, length=length)
            elif command == "flush":
                element = self.element(Command.FLUSH, FlushRequest(self.file).pack())
            else:
                element = self.element(Command.ECHO, EchoRequest().pack())
            under_way.append((self.client, *self.client.compound(element, **self.options())))
        return [self.seen(client.wait(number), client) for client, number in under_way]

    def race(self, kind: str, length: int, count: int) -> object:
        return races.run(kind, self, length, count)


def data(fill: int, length: int) -> bytes:
    """What is written: no two numbers give the same."""
    return bytes((fill, *range(251))) * (length // 252) + bytes([fill]) * (length % 252)


def summary(path: Path) -> tuple[int, int, int]:
    """Checksums of a file's beginning and of its end, as it may be very large and have no more than that; and of what
    lies around 2 GiB, where some writes go."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        sums = []
        for start in (0, max(0, size - 400_000), 2**31):
            file.seek(start)
            sums.append(zlib.crc32(file.read(400_000)))
    return sums[0], sums[1], sums[2]


def content(reply: Reply) -> object:
    """The body as it is compared: without times that are not set, ids and sizes on disk."""
    if reply.status == NTStatus.SUCCESS and reply.header.command == Command.CREATE:
        made = CreateResponse.parse(reply.message)
        return made.create_action, made.end_of_file, made.file_attributes, when(made.last_write_time)
    if reply.status == NTStatus.SUCCESS and reply.header.command == Command.CLOSE:
        closed = CloseResponse.parse(reply.message)
        return closed.flags, closed.end_of_file, closed.file_attributes, when(closed.last_write_time)
    if len(reply.body) > 200:
        return reply.body[:16], len(reply.body), zlib.crc32(reply.body)
    return reply.body


def information(info: int, reply: Reply) -> object:
    """The fields of QUERY_INFO that are compared."""
    if reply.status != NTStatus.SUCCESS:
        return None
    buffer = QueryInfoResponse.parse(reply.message).buffer
    if info == FileInfoClass.BASIC:
        basic = FileBasicInformation.parse(buffer)
        return basic.file_attributes, when(basic.last_write_time)
    if info == FileInfoClass.STANDARD:
        standard = FileStandardInformation.parse(buffer)
        return standard.end_of_file, standard.number_of_links, standard.delete_pending
    return FilePositionInformation.parse(buffer).current_byte_offset
