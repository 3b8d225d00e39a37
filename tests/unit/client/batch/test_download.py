"""Downloads: small files at once, large ones by part files that are continued, and what is left after errors."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, cast

import pytest
from unit.client.local_share import LocalShare, Report

from frevo.client.batch.download import download
from frevo.client.batch.jobs import Plan, Totals, part_name
from frevo.client.batch.verify import Mismatch
from frevo.client.errors import ConnectionLost, lost

TIME_NS = 1_700_000_000_000_000_000
LARGE = os.urandom(200_000)


@pytest.fixture
def share(tmp_path: Path) -> LocalShare:
    return LocalShare(tmp_path / "share")


def put(share: LocalShare, path: str, data: bytes) -> None:
    share.at(path).parent.mkdir(parents=True, exist_ok=True)
    share.at(path).write_bytes(data)
    os.utime(share.at(path), ns=(TIME_NS, TIME_NS))


async def get(share: LocalShare, path: str, local: Path, **plan: Any) -> tuple[Totals, Report]:
    report = Report()
    return await download(cast(Any, share), path, str(local), Plan(**plan), report), report


@pytest.mark.parametrize("data", [b"", b"small", LARGE])
async def test_one_file(share: LocalShare, tmp_path: Path, data: bytes) -> None:
    """Bytes and time are those of the source, and the report adds up; small ones take one round trip."""
    put(share, "a", data)
    totals, report = await get(share, "a", tmp_path / "here" / "a")
    target = tmp_path / "here" / "a"
    assert (target.read_bytes(), target.stat().st_mtime_ns) == (data, TIME_NS)
    assert (totals.files, totals.bytes, report.done, report.size) == (1, len(data), len(data), len(data))
    assert ("read_small a" in share.calls) is (len(data) < 65536)
    assert [one.name for one in target.parent.iterdir()] == ["a"]


async def test_an_existing_file(share: LocalShare, tmp_path: Path) -> None:
    """It is replaced, whatever its size, and no part is left."""
    for data in (b"small", LARGE):
        (tmp_path / "a").write_bytes(b"old")
        put(share, "a", data)
        await get(share, "a", tmp_path / "a")
        assert (tmp_path / "a").read_bytes() == data
        assert {one.name for one in tmp_path.iterdir()} == {"a", "share"}


async def test_folders(share: LocalShare, tmp_path: Path) -> None:
    """All files below, with their folders; an empty folder too. Links are left out."""
    for name in ("top/a", "top/sub/b", "top/sub/deep/c"):
        put(share, name, name.encode())
    share.at("top/empty").mkdir()
    share.at("top/link").symlink_to("a")
    totals, report = await get(share, "top", tmp_path / "to", recursive=True)
    found = {str(one.relative_to(tmp_path / "to")) for one in (tmp_path / "to").rglob("*")}
    assert found == {"a", "sub", "sub/b", "sub/deep", "sub/deep/c", "empty"}
    assert totals.files == 3 and totals.errors == [] and sorted(report.files)[0] == "top/a"


async def test_a_folder_without_recursion(share: LocalShare, tmp_path: Path) -> None:
    """An error that says what to do, and nothing is made; a missing file likewise."""
    share.at("top").mkdir()
    totals, report = await get(share, "top", tmp_path / "to")
    assert "use --recursive" in report.errors[0][1] and not (tmp_path / "to").exists()
    totals, _ = await get(share, "missing", tmp_path / "to")
    assert [type(error) for _, error in totals.errors] == [FileNotFoundError]


async def test_no_link_leads_elsewhere(share: LocalShare, tmp_path: Path) -> None:
    """The server chooses names below the first folder: a local link of such a name is not followed."""
    put(share, "top/sub/a", b"evil")
    outside, to = tmp_path / "outside", tmp_path / "to"
    outside.mkdir()
    to.mkdir()
    (to / "sub").symlink_to(outside)
    _totals, report = await get(share, "top", to, recursive=True)
    assert "symbolic link" in report.errors[0][1] and list(outside.iterdir()) == []


@pytest.mark.parametrize(
    ("time", "skipped"), [(TIME_NS, 1), (TIME_NS + 1_000_000_000, 1), (TIME_NS + 3 * 10**9, 0)]
)
async def test_updating(share: LocalShare, tmp_path: Path, time: int, skipped: int) -> None:
    """What is there with the same size and about the same time is left out."""
    put(share, "a", b"data")
    (tmp_path / "a").write_bytes(b"here")
    os.utime(tmp_path / "a", ns=(time, time))
    totals, report = await get(share, "a", tmp_path / "a", update=True)
    assert (totals.skipped, totals.files, report.done) == (skipped, 1 - skipped, 4)
    assert (tmp_path / "a").read_bytes() == (b"here" if skipped else b"data")


async def test_updating_by_content(share: LocalShare, tmp_path: Path) -> None:
    """With --verify the contents decide: a file that only looks the same is transferred."""
    put(share, "a", b"data")
    (tmp_path / "a").write_bytes(b"here")
    os.utime(tmp_path / "a", ns=(TIME_NS, TIME_NS))
    totals, _ = await get(share, "a", tmp_path / "a", update=True, verify=True)
    assert (totals.files, (tmp_path / "a").read_bytes()) == (1, b"data") and len(totals.digests) == 1


async def test_resuming(share: LocalShare, tmp_path: Path) -> None:
    """What a lost connection left is kept as a part; the next download goes on where gaps can begin."""
    data = os.urandom(9 << 20)
    put(share, "a", data)
    share.cut_after, share.error = len(data) - 10, lost("cut")
    share.error.final = True
    with pytest.raises(ConnectionLost, match="resume"):
        await get(share, "a", tmp_path / "a")
    assert not (tmp_path / "a").exists()
    part = tmp_path / part_name("a", len(data), TIME_NS)
    assert part.stat().st_size == len(data) - 10
    share.cut_after = share.error = None
    _, report = await get(share, "a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == data and report.done == len(data)
    assert share.moved[1][0] == len(data) - 10 - (8 << 20) and not part.exists()


async def test_a_part_of_another_version(share: LocalShare, tmp_path: Path) -> None:
    """The part's name has the size and time of its source, so that two versions never mix."""
    put(share, "a", LARGE)
    other = tmp_path / part_name("a", len(LARGE), TIME_NS + 1000)
    other.write_bytes(b"x" * len(LARGE))
    await get(share, "a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == LARGE and other.exists()


async def test_nothing_written_leaves_no_part(share: LocalShare, tmp_path: Path) -> None:
    """A failure before the first byte leaves nothing; the error is listed and the others go on."""
    put(share, "top/a", LARGE)
    put(share, "top/b", b"small")
    share.cut_after, share.error = 0, OSError(errno.EIO, "broken")
    totals, _ = await get(share, "top", tmp_path / "to", recursive=True)
    assert [path for path, _ in totals.errors] == ["top/a"]
    assert [one.name for one in (tmp_path / "to").iterdir()] == ["b"]


async def test_a_source_that_ends_early(share: LocalShare, tmp_path: Path) -> None:
    """A server that says END_OF_FILE before the size that it tells: an error, not a short file."""
    put(share, "a", LARGE)
    share.cut_after = 1000
    _totals, report = await get(share, "a", tmp_path / "a")
    assert "reported the end of the file" in report.errors[0][1] and not (tmp_path / "a").exists()


async def test_verifying(share: LocalShare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest is listed; a part that differs is removed, so that nothing continues with it."""
    put(share, "a", LARGE)
    totals, _ = await get(share, "a", tmp_path / "a", verify=True)
    assert [path for path, _ in totals.digests] == ["a"]

    async def differs(*_: Any) -> str:
        raise Mismatch(errno.EIO, "the copy differs", "a")

    monkeypatch.setattr("frevo.client.batch.verify.compare", differs)
    (tmp_path / "a").unlink()
    totals, report = await get(share, "a", tmp_path / "a", verify=True)
    assert "differs" in report.errors[0][1]
    assert [one.name for one in tmp_path.iterdir()] == ["share"]
