"""Part files on the share: kept when something is in them, and where the next transfer goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from unit.client.local_share import LocalShare, Report

from frevo.client.batch.parts import part_of, resumed_at, steps

MIB = 1 << 20


@pytest.mark.parametrize(
    ("size", "complete", "start"),
    [
        (0, 100 * MIB, 0),
        (8 * MIB, 50 * MIB, 0),  # all of it may have gaps
        (9 * MIB, 50 * MIB, MIB),
        (40 * MIB, 100 * MIB, 8 * MIB),  # over several connections gaps reach further back
        (90 * MIB, 50 * MIB, 50 * MIB),  # longer than the whole: the source has shrunk
    ],
)
def test_where_to_go_on(size: int, complete: int, start: int) -> None:
    """As far before the end of the part as an interrupted transfer can have gaps."""
    assert resumed_at(size, complete) == start


def test_progress_in_steps() -> None:
    """Totals so far become what was added."""
    report = Report()
    tell = steps(report)
    for total in (10, 10, 35):
        tell(total)
    assert report.done == 35


@pytest.mark.parametrize(("data", "left"), [(b"", []), (b"some", ["part"])])
async def test_an_error_leaves_only_what_is_of_use(tmp_path: Path, data: bytes, left: list[str]) -> None:
    """An empty part is removed, one with data is kept for the next time."""
    share = LocalShare(tmp_path / "share")
    with pytest.raises(OSError, match="broken"):
        async with part_of(cast(Any, share), "part"):
            share.at("part").write_bytes(data)
            raise OSError("broken")
    assert [one.name for one in share.root.iterdir()] == left


async def test_no_error(tmp_path: Path) -> None:
    """An empty file is a file: its part stays until it is renamed."""
    share = LocalShare(tmp_path / "share")
    async with part_of(cast(Any, share), "part") as file:
        assert file.tell() == 0
    assert share.at("part").exists()
