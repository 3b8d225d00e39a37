"""How a large transfer is divided: every byte once, within a window, failed ranges moved by others."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from frevo.client.errors import ConnectionLost, RemoteError, lost, remote_error
from frevo.client.transfer import data, spread
from frevo.client.transfer.spread import SPREAD_BYTES, Open, Spread, gaps_bytes
from frevo.wire.erref import NTStatus

MIB = 1 << 20


class Server:
    """Moves ranges; each connection of *fails* fails with its errors in turn, and the file ends at *end*."""

    def __init__(self) -> None:
        self.moved: list[tuple[int, int, int]] = []  # connection, start, count
        self.fails: dict[int, list[RemoteError]] = {}
        self.end = 1 << 62
        self.under_way: set[int] = set()
        self.widest = 0

    async def stream(
        self, tree: Any, kind: str, file_id: Any, start: int, size: int, path: str, report: Any, local: Any,
        **local_data: Any,
    ) -> int:  # fmt: skip
        self.under_way.add(start)
        self.widest = max(self.widest, start + size - min(self.under_way))
        await asyncio.sleep(0)
        self.under_way.discard(start)
        if errors := self.fails.get(tree.number):
            error = errors.pop(0)
            report(size // 2)  # what arrived of it before
            self.moved.append((tree.number, start, size // 2))
            raise error
        count = max(0, min(size, self.end - start))
        report(count)
        self.moved.append((tree.number, start, count))
        assert local_data["local_offset"] == start + 1000
        return count

    def covered(self) -> list[tuple[int, int]]:
        """What was moved, without overlaps, joined."""
        joined: list[tuple[int, int]] = []
        for _, start, count in sorted(self.moved, key=lambda one: one[1:]):
            if joined and joined[-1][1] == start:
                joined[-1] = (joined[-1][0], start + count)
            else:
                joined.append((start, start + count))
        return joined


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    monkeypatch.setattr(data, "stream", made.stream)
    return made


def opened(number: int) -> Open:
    return Open(cast(Any, SimpleNamespace(number=number)), (number, number))


class FurtherOpens:
    """Opens on connections 1 to *count* - 1, each of which can be had *times* times."""

    def __init__(self, count: int, times: int = 1) -> None:
        self.connections = SimpleNamespace(for_one_file=count, turns=[asyncio.Lock() for _ in range(count)])
        self.times = dict.fromkeys(range(count), times)
        self.failed: list[BaseException] = []

    async def nth(self, index: int, file: Any) -> Open | None:
        return opened(index) if self.times[index] else None

    def again(self, index: int, error: BaseException) -> bool:
        self.failed.append(error)
        self.times[index] -= 1
        return self.times[index] > 0


def transfer(size: int, progress: list[int] | None = None) -> Spread:
    told = None if progress is None else progress.append
    return Spread("read", 0, size, "path", told, None, {"fd": 3, "local_offset": 1000})


async def together(one: Spread, further: FurtherOpens) -> int:
    return await one.together(opened(0), cast(Any, further), cast(Any, None))


async def test_every_byte_once(server: Server) -> None:
    """Three connections share the ranges, all within the window behind which gaps may lie."""
    size, progress = 200 * MIB + 5, list[int]()
    assert await together(transfer(size, progress), FurtherOpens(3)) == size
    assert server.covered() == [(0, size)]
    assert {number for number, _, _ in server.moved} == {0, 1, 2}
    assert server.widest <= gaps_bytes(SPREAD_BYTES) and progress[-1] == size


async def test_a_further_one_fails(server: Server) -> None:
    """Others move what it has not moved; it helps again once it can be opened again, and no error is raised."""
    server.fails[1] = [lost("cut"), lost("cut")]
    further = FurtherOpens(2, times=2)
    assert await together(transfer(100 * MIB), further) == 100 * MIB
    assert server.covered() == [(0, 100 * MIB)] and isinstance(further.failed[0], ConnectionLost)
    assert [number for number, _, _ in server.moved].count(1) > 2


async def test_a_further_one_is_given_up(server: Server) -> None:
    """If it cannot be opened again, the first connection does the rest."""
    server.fails[1] = [remote_error(NTStatus.FILE_LOCK_CONFLICT) for _ in range(2)]
    assert await together(transfer(100 * MIB), FurtherOpens(2)) == 100 * MIB
    assert server.covered() == [(0, 100 * MIB)]
    assert [number for number, _, _ in server.moved].count(1) == 2


async def test_the_first_one_fails(server: Server) -> None:
    """Its error is raised; tried again, only what is missing is moved, and `done` counts as progress."""
    server.fails[0] = [lost("cut")]
    one = transfer(100 * MIB)
    with pytest.raises(ConnectionLost):
        await together(one, FurtherOpens(2))
    before = one.done
    assert before > 0
    assert await one.alone(opened(0)) == 100 * MIB
    assert server.covered() == [(0, 100 * MIB)] and one.done == 100 * MIB > before


async def test_the_file_ends_early(server: Server) -> None:
    """A source that is shorter than expected ends the transfer there, on all connections."""
    server.end = 70 * MIB + 3
    assert await together(transfer(500 * MIB), FurtherOpens(2)) == server.end
    assert max(start + count for _, start, count in server.moved if count) == server.end


def test_where_gaps_may_be() -> None:
    """Large transfers can leave gaps as far back as the window of all connections, small ones that of one."""
    assert gaps_bytes(SPREAD_BYTES) == spread._AHEAD_BYTES == 32 * MIB
    assert gaps_bytes(SPREAD_BYTES - 1) == data.GAPS_BYTES == 8 * MIB
