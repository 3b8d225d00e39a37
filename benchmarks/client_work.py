"""One process that works with one Python client library, frevo or smbprotocol, and times itself.

`python -m benchmarks.client_work LIBRARY WORK` takes a `Task` as JSON on standard input and prints a `Done` as JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_SMALL = 4096
_FLIGHT = 32
_STEP = 1 << 20
_OPENERS = 8


@dataclass(frozen=True, slots=True)
class Task:
    """The server, and how much to do. *size*: of the large file; *seconds*: length of the workloads with a rate."""

    host: str
    port: int
    user: str
    password: str
    size: int
    seconds: float


@dataclass(slots=True)
class Done:
    """What was done, wall and processor time in seconds, and the peak resident memory of the process."""

    operations: int
    bytes: int
    seconds: float
    cpu: float
    rss: int = 0


class _Clock:
    """Wall and processor time since its creation."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def done(self, operations: int, size: int = 0) -> Done:
        return Done(operations, size, self.elapsed, time.process_time() - self._cpu)

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._wall


def peak_rss() -> int:
    """The peak resident memory of this process in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


# -- frevo


async def _frevo_random(share: Any, task: Task) -> Done:
    async with share.open("big") as file:

        async def reader() -> int:
            count = 0
            while clock.elapsed < task.seconds:
                data = await file.pread(_SMALL, random.randrange(task.size // _SMALL) * _SMALL)
                assert len(data) == _SMALL
                count += 1
            return count

        clock = _Clock()
        counts = await asyncio.gather(*(reader() for _ in range(_FLIGHT)))
        return clock.done(sum(counts))


async def _frevo_open(share: Any, task: Task) -> Done:
    clock, count = _Clock(), 0
    while clock.elapsed < task.seconds:
        await (await share.open("big")).close()
        count += 1
    return clock.done(count)


async def _frevo_opens(share: Any, task: Task) -> Done:
    """The same in eight tasks with one share."""
    clock = _Clock()
    done = await asyncio.gather(*(_frevo_open(share, task) for _ in range(_OPENERS)))
    return clock.done(sum(one.operations for one in done))


async def _frevo_list(share: Any, task: Task) -> Done:
    clock, size, count = _Clock(), 0, 0
    async for entry in share.scandir("many"):
        size, count = size + entry.stat().size, count + 1
    return clock.done(count)


async def _frevo_read(share: Any, task: Task) -> Done:
    buffer, total = bytearray(16 << 20), 0
    async with share.open("big") as file:
        clock = _Clock()
        while count := await file.readinto(buffer):
            total += count
        assert total == task.size
        return clock.done(1, total)


async def _frevo_write(share: Any, task: Task) -> Done:
    buffer = random.randbytes(16 << 20)
    async with share.open("written", "wb") as file:
        clock, total = _Clock(), 0
        while total < task.size:
            total += await file.write(buffer)
        return clock.done(1, total)


def frevo(work: str, task: Task) -> Done:
    """Run *work* with frevo's asynchronous library and its defaults, so signed."""
    import frevo as library

    works: dict[str, Callable[[Any, Task], Coroutine[Any, Any, Done]]] = {
        "random": _frevo_random,
        "open": _frevo_open,
        "open 8": _frevo_opens,
        "list": _frevo_list,
        "read": _frevo_read,
        "write": _frevo_write,
    }

    async def run() -> Done:
        url = f"smb://{task.host}:{task.port}/share"
        async with library.connect(url, user=task.user, password=task.password) as share:
            return await works[work](share, task)

    return asyncio.run(run())


# -- smbprotocol


class _Smbprotocol:
    """A connection of smbprotocol's low-level interface, which is faster; signed, like frevo's."""

    def __init__(self, task: Task) -> None:
        from smbprotocol.connection import Connection
        from smbprotocol.session import Session
        from smbprotocol.tree import TreeConnect

        self.connection = Connection(uuid.uuid4(), task.host, task.port)
        self.connection.connect()
        self.session = Session(self.connection, task.user, task.password, require_encryption=False)
        self.session.connect()
        self.tree = TreeConnect(self.session, rf"\\{task.host}\share")
        self.tree.connect()

    def open(self, name: str, write: bool = False) -> Any:
        from smbprotocol import open as words

        file = words.Open(self.tree, name)
        access = words.FilePipePrinterAccessMask
        file.create(
            words.ImpersonationLevel.Impersonation,
            access.GENERIC_WRITE if write else access.GENERIC_READ,
            words.FileAttributes.FILE_ATTRIBUTE_NORMAL,
            7,
            words.CreateDisposition.FILE_OVERWRITE_IF if write else words.CreateDisposition.FILE_OPEN,
            words.CreateOptions.FILE_NON_DIRECTORY_FILE,
        )
        return file

    def random(self, task: Task) -> Done:
        """Sends from one thread and receives the responses in order, which is faster than 32 threads."""
        file, flight = self.open("big"), deque[Any]()
        ids = (self.session.session_id, self.tree.tree_connect_id)
        clock, count = _Clock(), 0
        while clock.elapsed < task.seconds:
            offset = random.randrange(task.size // _SMALL) * _SMALL
            message, receive = file.read(offset, _SMALL, send=False)
            flight.append(self.connection.send(message, *ids))
            if len(flight) >= _FLIGHT:
                assert len(receive(flight.popleft())) == _SMALL
                count += 1
        done = clock.done(count)
        while flight:
            receive(flight.popleft())
        return done

    def opens(self, task: Task) -> Done:
        clock, count = _Clock(), 0
        while clock.elapsed < task.seconds:
            self.open("big").close()
            count += 1
        return clock.done(count)

    def opens_at_once(self, task: Task) -> Done:
        """The same in eight threads with one connection."""
        clock = _Clock()
        with ThreadPoolExecutor(_OPENERS) as pool:
            done = list(pool.map(self.opens, [task] * _OPENERS))
        return clock.done(sum(one.operations for one in done))

    def read(self, task: Task) -> Done:
        file, total = self.open("big"), 0
        clock = _Clock()
        while total < task.size:
            total += len(file.read(total, _STEP))
        return clock.done(1, total)

    def write(self, task: Task) -> Done:
        file, data, total = self.open("written", write=True), random.randbytes(_STEP), 0
        clock = _Clock()
        while total < task.size:
            total += file.write(data, total)
        return clock.done(1, total)

    def close(self) -> None:
        self.connection.disconnect()


def _smbprotocol_list(task: Task) -> Done:
    """The high-level interface, as only that lists attributes."""
    import smbclient

    smbclient.register_session(task.host, username=task.user, password=task.password, port=task.port)
    clock, size, count = _Clock(), 0, 0
    for entry in smbclient.scandir(rf"\\{task.host}\share\many", port=task.port):
        size, count = size + entry.smb_info.end_of_file, count + 1
    return clock.done(count)


def smbprotocol(work: str, task: Task) -> Done:
    """Run *work* with smbprotocol."""
    if work == "list":
        return _smbprotocol_list(task)
    client = _Smbprotocol(task)
    works = {
        "random": client.random,
        "open": client.opens,
        "open 8": client.opens_at_once,
        "read": client.read,
        "write": client.write,
    }
    try:
        return works[work](task)
    finally:
        client.close()


def main(arguments: list[str]) -> int:
    """The command line: LIBRARY WORK."""
    library, work = arguments
    done = {"frevo": frevo, "smbprotocol": smbprotocol}[library](work, Task(**json.load(sys.stdin)))
    done.rss = peak_rss()
    print(json.dumps(asdict(done)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
