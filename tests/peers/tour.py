"""Everything that the library does with a share, on any server; failures by name."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Container
from contextlib import aclosing

from frevo.client import Share

Stop = Callable[[Share, str], Awaitable[None]]

_BIG = os.urandom(3_000_001)
_ENTRIES = 150
_NAMES = ("ä ö", "emoji-😀", "e" * 200, "[x]", "a'b", "%41", "~")
_SECURITY_DACL = 4
_WATCH_TIMEOUT_S = 10.0


async def tour(share: Share, top: str = "tour", without: Container[str] = ()) -> dict[str, str]:
    """Makes the directory *top*, does one of everything in it and removes it: failures by the name of the stop.
    *without*: stops to leave out, because the server does not support them.

    *without*: stops to leave out, as the server cannot do that.
    """
    problems: dict[str, str] = {}
    await share.mkdir(top)
    for name, stop in STOPS.items():
        if name in without:
            continue
        try:
            async with asyncio.timeout(60):
                await stop(share, top)
        except (OSError, AssertionError, ValueError) as error:
            problems[name] = f"{type(error).__name__}: {error}"
    await share.rmtree(top)
    if await share.exists(top):
        problems["rmtree"] = "it is still there"
    return problems


async def _put(share: Share, path: str, data: bytes, mode: str = "xb") -> None:
    async with share.open(path, mode) as file:
        await file.write(data)


async def _modes(share: Share, top: str) -> None:
    path = f"{top}/modes"
    await _put(share, path, b"hello")
    await _put(share, path, b"hello2", "wb")
    await _put(share, path, b"+", "ab")
    await _put(share, path, b"J", "r+b")
    assert await share.read_bytes(path) == b"Jello2+"
    assert (await share.stat(path)).size == 7
    await _fails(_put(share, path, b""), FileExistsError)


async def _fails(work: Awaitable[object], kind: type[OSError]) -> None:
    try:
        await work
    except kind as error:
        assert str(error), "an error without a message"
        return
    raise AssertionError(f"no {kind.__name__}")


async def _bulk(share: Share, top: str) -> None:
    await share.write_bytes(f"{top}/big", _BIG)
    assert await share.read_bytes(f"{top}/big") == _BIG
    assert await share.copy(f"{top}/big", f"{top}/copied") == len(_BIG)
    assert await share.read_bytes(f"{top}/copied") == _BIG


async def _anywhere(share: Share, top: str) -> None:
    async with share.open(f"{top}/anywhere", "w+b") as file:
        await file.pwrite(b"abc", 1000)
        assert await file.pread(3, 1000) == b"abc"
        await file.truncate(500)
        await file.flush()
        assert await file.pread(10, 495) == bytes(5)
        assert (await file.stat()).size == 500


async def _small(share: Share, top: str) -> None:
    await share.write_small(f"{top}/small", b"little", modified_ns=1_600_000_000_000_000_000)
    assert await share.read_small(f"{top}/small", 100) == b"little"
    assert (await share.stat(f"{top}/small")).st_mtime == 1_600_000_000


async def _renames(share: Share, top: str) -> None:
    await _put(share, f"{top}/one", b"1")
    await _put(share, f"{top}/two", b"2")
    await _fails(share.rename(f"{top}/one", f"{top}/two"), FileExistsError)
    await share.rename(f"{top}/one", f"{top}/two", replace=True)
    await share.makedirs(f"{top}/deep/er")
    await share.rename(f"{top}/two", f"{top}/deep/er/three")
    await share.rename(f"{top}/deep", f"{top}/deeper")
    assert await share.read_bytes(f"{top}/deeper/er/three") == b"1"


async def _times(share: Share, top: str) -> None:
    await _put(share, f"{top}/times", b"")
    await share.set_times(f"{top}/times", modified_ns=1_500_000_000_123_456_700)
    known = await share.stat(f"{top}/times")
    assert abs(known.st_mtime - 1_500_000_000.1234567) < 1e-5, known.st_mtime


async def _attributes(share: Share, top: str) -> None:
    await _put(share, f"{top}/attributes", b"")
    await share.set_attributes(f"{top}/attributes", 0x22)
    assert (await share.stat(f"{top}/attributes")).attributes & 0x22 == 0x22
    await share.set_attributes(f"{top}/attributes", 0x80)


async def _security(share: Share, top: str) -> None:
    await _put(share, f"{top}/security", b"")
    assert (await share.security(f"{top}/security")).owner is not None
    descriptor = await share.security(f"{top}/security", _SECURITY_DACL)
    await share.set_security(f"{top}/security", descriptor, _SECURITY_DACL)
    assert (await share.security(f"{top}/security", _SECURITY_DACL)).dacl is not None


async def _eas(share: Share, top: str) -> None:
    path = f"{top}/eas"
    await _put(share, path, b"")
    assert await share.eas(path) == {}
    await share.set_eas(path, {"user1": b"v1", "LONG": b"x" * 300})
    found = {name.upper(): value for name, value in (await share.eas(path)).items()}
    assert found == {"USER1": b"v1", "LONG": b"x" * 300}, found
    await share.set_eas(path, {"user1": b""})
    assert len(await share.eas(path)) == 1


async def _streams(share: Share, top: str) -> None:
    await _put(share, f"{top}/streams", b"data")
    await _put(share, f"{top}/streams:more", b"stream")
    assert await share.read_bytes(f"{top}/streams:more") == b"stream"
    assert await share.read_bytes(f"{top}/streams") == b"data"
    assert {entry.name for entry in await share.streams(f"{top}/streams")} == {"::$DATA", ":more:$DATA"}


async def _names(share: Share, top: str) -> None:
    await share.mkdir(f"{top}/names")
    for name in _NAMES:
        await _put(share, f"{top}/names/{name}", name.encode())
    assert sorted(await share.listdir(f"{top}/names")) == sorted(_NAMES)
    for name in _NAMES:
        assert await share.read_bytes(f"{top}/names/{name}") == name.encode()
    assert [entry.name async for entry in share.glob(f"{top}/names/*moji*")] == ["emoji-😀"]


async def _many(share: Share, top: str) -> None:
    await share.mkdir(f"{top}/many")
    names = [f"file-{index:05}-{'n' * 60}" for index in range(_ENTRIES)]
    await asyncio.gather(*(share.write_small(f"{top}/many/{name}", b"") for name in names))
    found = await share.listdir(f"{top}/many")
    assert sorted(found) == names, f"{len(found)} of {len(names)}"
    walked = [
        (directory, len(inner), len(files)) async for directory, inner, files in share.walk(f"{top}/many")
    ]
    assert walked == [(f"{top}/many", 0, _ENTRIES)]


async def _watch(share: Share, top: str) -> None:
    await share.mkdir(f"{top}/watched")
    async with aclosing(share.watch(f"{top}/watched")) as changes:
        waiting = asyncio.ensure_future(anext(changes))
        for index in range(int(_WATCH_TIMEOUT_S * 10)):  # until the server has begun to watch
            await _put(share, f"{top}/watched/{index}", b"")
            await asyncio.wait([waiting], timeout=0.1)
            if waiting.done():
                break
        assert waiting.done(), "no change was reported"
        assert (await waiting).path.startswith(f"{top}/watched/")


async def _watch_in_vain(share: Share, top: str) -> None:
    async with aclosing(share.watch(top)) as changes:
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.wait([waiting], timeout=0.1)
        waiting.cancel()
        await asyncio.wait([waiting])
    assert await share.exists(top)


async def _cancelled_reads(share: Share, top: str) -> None:
    await share.write_bytes(f"{top}/cancel", _BIG)
    async with share.open(f"{top}/cancel") as file:
        for turn in range(5):
            reading = asyncio.ensure_future(file.pread(len(_BIG), 0))
            await asyncio.wait([reading], timeout=0.002 * turn)
            reading.cancel()
            await asyncio.wait([reading])
        assert await file.pread(len(_BIG), 0) == _BIG


async def _two_opens(share: Share, top: str) -> None:
    await _put(share, f"{top}/two-opens", b"abc")
    async with share.open(f"{top}/two-opens") as reader, share.open(f"{top}/two-opens", "r+b") as writer:
        await writer.write(b"Z")
        assert await reader.read(1) == b"Z"


async def _room(share: Share, top: str) -> None:
    space = await share.statvfs(top)
    assert 0 < space.available <= space.total and space.block_size


async def _what_fails(share: Share, top: str) -> None:
    await _put(share, f"{top}/file", b"")
    await share.makedirs(f"{top}/full/inner")
    await _fails(share.read_bytes(f"{top}/none"), FileNotFoundError)
    await _fails(share.read_bytes(f"{top}/none/at/all"), FileNotFoundError)
    await _fails(share.read_bytes(top), IsADirectoryError)
    await _fails(share.listdir(f"{top}/file"), NotADirectoryError)
    await _fails(share.stat(f"{top}/file/below"), OSError)
    await _fails(share.rmdir(f"{top}/full"), OSError)
    await _fails(share.remove(f"{top}/full"), OSError)
    await _fails(share.mkdir(f"{top}/full"), FileExistsError)


#: One of everything, in this order.
STOPS: dict[str, Stop] = {
    "modes": _modes,
    "small": _small,
    "bulk": _bulk,
    "anywhere": _anywhere,
    "renames": _renames,
    "times": _times,
    "attributes": _attributes,
    "security": _security,
    "eas": _eas,
    "streams": _streams,
    "names": _names,
    "many": _many,
    "watch": _watch,
    "watch in vain": _watch_in_vain,
    "cancelled reads": _cancelled_reads,
    "two opens": _two_opens,
    "room": _room,
    "what fails": _what_fails,
}
