"""The fast path, the slow path and a lane give the same responses: the same operations on servers of each kind."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pair.client import Client
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
