"""benchmarks.soak: a torn, stale, misplaced or missing byte is found, and what may be is not; a leak is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.rungs import rungs
from benchmarks.soak.__main__ import main
from benchmarks.soak.ledger import Ledger, Shape, note_fault, noted_faults
from benchmarks.soak.legs import legs
from benchmarks.soak.server import Holdings, leaks
from benchmarks.soak.words import ABSENT, BLOCK, DATA, ZEROS, Window, content, faults
from frevo.config import KEYS

SEED, FILE = 7, 1


def version(counter: int, kind: int = DATA) -> int:
    """The version with this number."""
    return counter << 2 | kind


def window(low: list[int], high: list[int] | None = None, *, resized: bool = False) -> Window:
    """Of so many blocks."""
    return Window(np.array(low, np.uint32), np.array(high or low, np.uint32), resized)


def blocks(first: int, count: int, counter: int) -> bytearray:
    """Their content."""
    return content(SEED, FILE, first, count, version(counter))


def wrong(data: bytes | bytearray, allowed: Window, first: int = 3, asked: int = 0) -> list[str]:
    """What is found in *data*, read from the block *first* on."""
    return faults(SEED, FILE, first * BLOCK, asked or len(data), bytes(data), allowed)


STILL = window([version(5)] * 40)


def test_what_was_written_is_right() -> None:
    """Whole blocks, and any part of them, also over several of the pieces that are compared at a time."""
    data = blocks(3, 40, 5)
    assert wrong(data, STILL) == []
    for cut, end in ((8, 0), (BLOCK - 8, 16), (16 * BLOCK + 24, 4096 + 8)):
        part = data[cut : len(data) - end]
        assert faults(SEED, FILE, 3 * BLOCK + cut, len(part), bytes(part), part_of(STILL, cut, end)) == []


def part_of(whole: Window, cut: int, end: int) -> Window:
    """Without what comes before and after."""
    last = len(whole.low) - end // BLOCK
    return Window(whole.low[cut // BLOCK : last], whole.high[cut // BLOCK : last])


@pytest.mark.parametrize("place", [0, 4095, 17 * BLOCK + 5, 40 * BLOCK - 1])
def test_one_wrong_bit(place: int) -> None:
    """Anywhere, it is told where."""
    data = blocks(3, 40, 5)
    data[place] ^= 1
    found = wrong(data, STILL)
    assert f"at byte {3 * BLOCK + place // 8 * 8} of file 1" in found[0] and len(found) == 2


def test_stale_and_too_new() -> None:
    """Versions outside of the window."""
    allowed = window([version(5)], [version(6)])
    assert [bool(wrong(blocks(3, 1, counter), allowed)) for counter in (4, 5, 6, 7)] == [
        True,
        False,
        False,
        True,
    ]
    assert "version 4" in wrong(blocks(3, 1, 4), allowed)[0]


def test_torn() -> None:
    """Half a block of either version: only if somebody wrote it meanwhile, and only of versions of that time."""
    torn = blocks(3, 1, 5)[:2048] + blocks(3, 1, 6)[2048:]
    assert wrong(torn, window([version(5)], [version(6)])) == []
    assert wrong(torn, window([version(5)])) and wrong(torn, window([version(6)]))


@pytest.mark.parametrize(
    "data",
    [
        blocks(4, 1, 5),  # of the next block
        content(SEED, FILE + 1, 3, 1, version(5)),  # of another file
        content(SEED + 1, FILE, 3, 1, version(5)),  # of another run
        blocks(3, 2, 5)[8 : BLOCK + 8],  # moved by a word
        bytes(BLOCK),
    ],
)
def test_misplaced(data: bytes) -> None:
    """Right bytes in the wrong place, and zeros instead of data."""
    assert wrong(data, window([version(5)], [version(9)]))


def test_zeros_and_the_end() -> None:
    """Zeros are right where there is a hole, the end where the file ends, both where they came or went meanwhile."""
    zeros, data = bytes(BLOCK), blocks(3, 1, 5)
    hole, absent, was = window([version(6, ZEROS)]), window([version(6, ABSENT)]), version(5)
    assert wrong(zeros, hole) == [] and wrong(data, hole) and wrong(b"", hole, asked=BLOCK)
    assert wrong(b"", absent, asked=BLOCK) == [] and wrong(zeros, absent) and wrong(data, absent)
    assert "block 3 of file 1 is missing" in wrong(b"", window([was]), asked=BLOCK)[0]
    for kind in (ZEROS, ABSENT):
        changing = window([was], [version(6, kind)])
        assert wrong(data, changing) == [] and wrong(zeros, changing) == []
    assert wrong(b"", window([was], [version(6, ABSENT)]), asked=BLOCK) == []
    # It was away meanwhile, and was written again.
    again = window([was], [version(9)])
    assert wrong(b"", again, asked=BLOCK) and wrong(b"", replace(again, resized=True), asked=BLOCK) == []
    assert wrong(data[:8], absent, asked=4)[0].startswith("8 bytes at ")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Of small files."""
    return Ledger(tmp_path, Shape(SEED, files=2, writers=2, stripe_blocks=4, tail_blocks=6), create=True)


def test_a_file_with_a_tail(ledger: Ledger, tmp_path: Path) -> None:
    """What the ledger says fits a file that is filled, extended, cut within a block and resized; another process sees
    the same."""
    path, other = tmp_path / "file", Ledger(tmp_path, ledger.shape)

    def check(change: Callable[[], None] = lambda: None) -> list[str]:
        before = other.before(FILE, 0, 14 * BLOCK)
        change()
        return other.check(FILE, 0, 14 * BLOCK, path.read_bytes(), before)[0]

    ledger.fill(FILE, path)
    assert check() == [] and path.stat().st_size == 8 * BLOCK

    made = ledger.begin(FILE, slice(8, 11))
    with path.open("r+b") as file:
        assert check() == []  # sent, but not there
        file.seek(8 * BLOCK)
        file.write(content(SEED, FILE, 8, 3, made))
        file.flush()
        assert check(lambda: ledger.end(FILE, slice(8, 11))) == [] and check() == []
        ledger.ends[FILE] = 11 * BLOCK
        for end in (9 * BLOCK + 16, 9 * BLOCK, 12 * BLOCK + 8, 12 * BLOCK, 8 * BLOCK):
            ledger.begin_resize(FILE, end)
            assert check() == []
            file.truncate(end)
            assert check(lambda end=end: ledger.end_resize(FILE, end)) == [] and check() == []  # type: ignore[misc]
            assert int(other.ends[FILE]) == end
            if end % BLOCK:
                assert not other.settled(FILE, slice(end // BLOCK, end // BLOCK + 1))
                whole = slice(end // BLOCK, end // BLOCK + 1)
                made = ledger.begin(FILE, whole)
                file.seek(whole.start * BLOCK)
                file.write(content(SEED, FILE, whole.start, 1, made))
                file.flush()
                ledger.end(FILE, whole)
                ledger.ends[FILE] = whole.stop * BLOCK
                assert check() == []
        file.truncate(9 * BLOCK)
        assert check()  # the ledger knows nothing of that


def test_what_a_killed_writer_leaves(ledger: Ledger, tmp_path: Path) -> None:
    """Either version is right until the file is settled; then it is whole again, without a tail."""
    path = tmp_path / "file"
    ledger.fill(FILE, path)
    made = ledger.begin(FILE, slice(1, 3))
    ledger.begin_resize(FILE, 9 * BLOCK + 8)
    with path.open("r+b") as file:
        file.seek(BLOCK)
        file.write(content(SEED, FILE, 1, 1, made))  # block 2 did not arrive
        file.truncate(9 * BLOCK + 8)
    assert not ledger.settled(FILE, slice(1, 2)) and ledger.settle(FILE, path) == []
    assert ledger.settled(FILE, slice(0, 14)) and path.stat().st_size == 8 * BLOCK
    assert ledger.settle(FILE, path) == []
    with path.open("r+b") as file:
        file.write(b"?")
    assert "at byte 0 of file 1" in ledger.settle(FILE, path)[0]


def test_faults_are_kept_and_bounded(tmp_path: Path) -> None:
    """Thousands of them need no more than a megabyte."""
    assert noted_faults(tmp_path) == []
    for _ in range(1200):
        note_fault(tmp_path, "somebody", "x" * 1000)
    assert 1000 < len(noted_faults(tmp_path)) < 1200
    assert noted_faults(tmp_path)[0] == {"who": "somebody", "what": "x" * 1000}


HELD = Holdings(8, 5, 10, 6, 5, 100 << 20, 0, 1 << 20)


def test_every_file_and_socket_is_missed() -> None:
    """One that is left after one round."""
    assert leaks(HELD, [HELD]) == []
    assert leaks(HELD, [HELD, replace(HELD, files=9)]) == [
        "round 2: 9 files are open without a client, 8 were before"
    ]
    assert "6 sockets" in leaks(HELD, [replace(HELD, sockets=6)])[0]


@pytest.mark.parametrize("name", ["pipes", "others", "threads", "resident", "locked", "pinned"])
def test_what_grows(name: str) -> None:
    """What grows with every round is a leak; what grew once, or only now and then, is not."""
    step = getattr(HELD, name) // 10 or 4
    step = max(step, 2 << 20 if name in ("resident", "locked", "pinned") else 1)
    growing = [replace(HELD, **{name: getattr(HELD, name) + number * step}) for number in range(20)]
    (found,) = leaks(HELD, growing)
    assert found.startswith(f"{name} grow")
    warming = [*growing[:5], *[growing[4]] * 15]
    assert leaks(HELD, warming) == [] and leaks(HELD, [*warming[:-2], growing[19], warming[-1]]) == []


def test_legs_have_every_way() -> None:
    """Both engines choose for themselves once; each way to read and write that an engine may have is forced."""
    for engine in ("uring", "epoll"):
        found = [dict(leg.options) for leg in legs((engine,))]
        assert found[0] == {} and all(leg.engine == engine for leg in legs((engine,)))
        ways = [more for named in rungs(KEYS).values() for more in named.values()]
        for way in ways:
            needs_uring = not {"async", "zerocopy"}.isdisjoint(way.values())
            assert any(way.items() <= options.items() for options in found) or (engine == "epoll" and needs_uring)
    assert [leg.name for leg in legs(("epoll",), "read path = splice")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seconds", "0"], "argument --seconds: 0 is less than 1"),
        (["--seed", "x"], "argument --seed: 'x' is not a number"),
        (["--json", "/proc/nowhere/x"], "argument --json: cannot write /proc/nowhere/x: No such file or directory"),
        (["--only", "nonsense"], "no leg has 'nonsense' in its name: --list shows them"),
        (["--folder", "/nowhere"], "/nowhere is no folder"),
        (["--engine", "select"], "invalid choice"),
    ],
)
def test_wrong_options(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is named, with exit code 2."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2 and said in capsys.readouterr().err


def test_the_list_of_legs(capsys: pytest.CaptureFixture[str]) -> None:
    """--list only names them."""
    assert main(["--list", "--engine", "epoll"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "epoll"
