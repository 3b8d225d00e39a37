"""The fast path, the slow path and a lane give the same responses: the same operations on servers of each kind."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import Command, EchoRequest, FlushRequest, ReadRequest, WriteRequest
from pair.client import Client, FileId
from pair.machine import Pair
from pair.operations import Player, comparable

pytestmark = pytest.mark.fast_path

STEPS = 250
_UNSIGNED = {"server signing": "auto"}  # some of the operations are not signed


def player(pair: Pair, seed: int, dialect: int) -> Player:
    return Player(pair.logged_on((dialect,)), random.Random(seed))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dialect", [0x0210, 0x0311])
def test_same_answers(tmp_path: Path, seed: int, dialect: int) -> None:
    """Goal: `frevo:fast path` changes only the speed. Method: the seed's operations on both servers, every response
    compared byte for byte except ids and times; files compared at the end."""
    folders = [tmp_path / name for name in ("fast", "slow")]
    with (
        Pair(folders[0], {**_UNSIGNED, "frevo:fast path": "yes"}) as fast,
        Pair(folders[1], {**_UNSIGNED, "frevo:fast path": "no"}) as slow,
    ):
        players = [player(pair, seed, dialect) for pair in (fast, slow)]
        if dialect == 0x0210:
            for one in players:
                _no_encryption(one.client)
        for number in range(STEPS):
            first, second = ([comparable(reply) for reply in one.step()] for one in players)
            assert first == second, f"seed {seed}, step {number}"
        counts = fast.transport.statistics()
        assert counts["fast_reads"] > 5
        counts = slow.transport.statistics()
        assert not any(count for name, count in counts.items() if name.startswith("fast_"))
    contents = [
        {path.name: path.read_bytes() for path in (folder / "shares" / "share").iterdir()}
        for folder in folders
    ]
    assert contents[0] == contents[1]


@pytest.mark.parametrize("seed", range(3))
def test_same_answers_in_a_lane(tmp_path: Path, seed: int) -> None:
    """Goal: `frevo:inline metadata` changes only where calls are made. Method: as above."""
    folders = [tmp_path / name for name in ("inline", "lane")]
    with (
        Pair(folders[0], {"frevo:inline metadata": "yes"}) as inline,
        Pair(folders[1], {"frevo:inline metadata": "no"}) as lane,
    ):
        players = [player(pair, seed, 0x0311) for pair in (inline, lane)]
        for number in range(STEPS):
            first, second = ([comparable(reply) for reply in one.step()] for one in players)
            assert first == second, f"seed {seed}, step {number}"
        assert not any(lane.transport.statistics()[name] for name in ("fast_reads", "fast_writes"))
    contents = [
        {path.name: path.read_bytes() for path in (folder / "shares" / "share").iterdir()}
        for folder in folders
    ]
    assert contents[0] == contents[1]


def _no_encryption(client: Client) -> None:
    """2.1 cannot encrypt: such requests are signed instead."""
    call = client.call

    def signed(command: int, body: bytes, **options: object):  # type: ignore[no-untyped-def]
        options.pop("encrypt", None)
        return call(command, body, **options)

    client.call = signed  # type: ignore[method-assign]


#: What may be wrong with a request, or unusual: fields of its header, ...
_HEADERS: tuple[dict[str, object], ...] = (
    {"flags": 0x1000_0000}, {"flags": 0x2000_0000}, {"flags": 0x70}, {"flags": 0x4000_0100},
    {"flags": 8, "sign": False},
    {"charge": 0}, {"charge": 3}, {"credits": 0}, {"credits": 7}, {"status": 0xFFFF}, {"status": 0x10000}, {"tree": 99},
    {"process_id": 5}, {"sign": False}, {"encrypt": True},
)  # fmt: skip
#: ... and what is written over its body, by place.
_BODIES: dict[int, tuple[tuple[int, bytes], ...]] = {
    Command.READ: (
        (0, b"\x30"), (3, b"\1"), (3, b"\2"), (4, bytes(4)), (4, b"\1\0\1\0"), (4, b"\xff" * 4), (8, b"\x0a"),
        (8, b"\xff"), (14, b"\xff\x7f"), (15, b"\x80"), (16, b"\xff"), (24, b"\xff"), (32, b"\x05"), (32, b"\xff" * 4),
        (36, b"\1"), (40, b"\1"), (44, b"\x70"), (46, b"\1"), (46, b"\xff\xff"),
    ),
    Command.WRITE: (
        (0, b"\x30"), (2, b"\x71"), (2, b"\1\1"), (2, b"\0\1"), (2, b"\x6f"), (4, bytes(4)), (4, b"\3"), (4, b"\5"),
        (4, b"\xff" * 4), (8, b"\xff" * 8), (8, b"\xfe" + b"\xff" * 7), (15, b"\x80"), (14, b"\xff\x7f"), (16, b"\xff"),
        (24, b"\xff"), (32, b"\1"), (36, b"\1"), (40, b"\x70"), (42, b"\1"), (42, b"\xff\xff"), (44, b"\1"),
        (44, b"\2"), (44, b"\xf4"),
    ),
    Command.FLUSH: ((0, b"\x19"), (2, b"\xff"), (8, b"\xff"), (16, b"\xff")),
    Command.ECHO: ((0, b"\5"), (2, b"\1")),
}  # fmt: skip


@pytest.mark.parametrize("signing", ["auto", "mandatory"])
def test_same_answers_to_what_is_wrong_in_several_ways(tmp_path: Path, signing: str) -> None:
    """Goal: whatever is wrong with a request, and however much, both planes find the same thing first, do the same, and
    grant the same. Method: requests with up to three changes, to attached opens that may read, write or both."""
    folders = [tmp_path / name for name in ("fast", "slow")]
    chance = random.Random(7)
    with (
        Pair(folders[0], {"server signing": signing, "frevo:fast path": "yes"}) as fast,
        Pair(folders[1], {"server signing": signing, "frevo:fast path": "no"}) as slow,
    ):
        clients = [pair.logged_on() for pair in (fast, slow)]
        opens = [_attached(client) for client in clients]
        for number in range(600):
            which, command = chance.randrange(3), chance.choice(tuple(_BODIES))
            header: dict[str, object] = {}
            for change in chance.sample(_HEADERS, chance.choice((0, 0, 1, 2))):
                header |= change
            changes = chance.sample(_BODIES[command], chance.choice((0, 1, 1, 2)) if len(header) < 2 else 1)
            answers = []
            for client, files in zip(clients, opens, strict=True):
                body = bytearray(_BODY_OF[command](files[which]))
                for place, value in changes:
                    body[place : place + len(value)] = value[: len(body) - place]
                answers.append(comparable(client.call(command, bytes(body), **header)))
            assert answers[0] == answers[1], f"step {number}: {command} {header} {changes}"
            files_now = [(folder / "shares" / "share" / "file").read_bytes()[:4096] for folder in folders]
            assert files_now[0] == files_now[1], f"step {number}: {command} {header} {changes}"
        counts = fast.transport.statistics()
        assert min(counts[name] for name in ("fast_reads", "fast_writes", "fast_echoes")) > 5
        assert not any(n for name, n in slow.transport.statistics().items() if name.startswith("fast_"))


def _attached(client: Client) -> list[FileId]:
    """Opens of one file that may read and write, only read, only write; each after its first READ or WRITE."""
    opens = [client.open("file", desired_access=access) for access in (0x0012_019F, 0x0012_0089, 0x0012_0116)]
    assert client.write(opens[0], 0, bytes(range(100))).status == NTStatus.SUCCESS
    assert client.write(opens[2], 0, b"first").status == NTStatus.SUCCESS
    assert client.read(opens[1], 0, 5) == b"first"
    return opens


_BODY_OF: dict[int, Callable[[FileId], bytes]] = {
    Command.READ: lambda file_id: ReadRequest(file_id, 90, 50).pack(),
    Command.WRITE: lambda file_id: WriteRequest(file_id, 3, b"data").pack() + bytes(300),
    Command.FLUSH: lambda file_id: FlushRequest(file_id).pack(),
    Command.ECHO: lambda _: EchoRequest().pack(),
}
