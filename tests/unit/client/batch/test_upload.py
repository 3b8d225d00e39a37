"""Uploads: which files and names are taken, part files on the share, and what is left after errors."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, cast

import pytest
from unit.client.local_share import LocalShare, Report

from frevo.client.batch.jobs import Plan, Totals, part_name
from frevo.client.batch.upload import sendable, upload, upload_all
from frevo.client.batch.verify import Mismatch
from frevo.client.errors import ConnectionLost, lost

TIME_NS = 1_700_000_000_000_000_000
LARGE = os.urandom(200_000)


@pytest.fixture
def share(tmp_path: Path) -> LocalShare:
    return LocalShare(tmp_path / "share")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


def make(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, ns=(TIME_NS, TIME_NS))
    return path


async def put(share: LocalShare, local: Path, path: str, **plan: Any) -> tuple[Totals, Report]:
    report = Report()
    return await upload(cast(Any, share), str(local), path, Plan(**plan), report), report


@pytest.mark.parametrize("data", [b"", b"small", LARGE])
async def test_one_file(share: LocalShare, here: Path, data: bytes) -> None:
    """Bytes and time arrive, and the report adds up; small files take one round trip."""
    totals, report = await put(share, make(here / "a", data), "a")
    assert (share.at("a").read_bytes(), share.at("a").stat().st_mtime_ns) == (data, TIME_NS)
    assert (totals.files, totals.bytes, report.done) == (1, len(data), len(data))
    assert ("write_small a" in share.calls) is (len(data) < 65536)
    assert [one.name for one in share.root.iterdir()] == ["a"]


async def test_folders(share: LocalShare, here: Path) -> None:
    """Directories are made before their files; links, pipes and sockets are left out."""
    for name in ("a", "sub/b", "sub/deep/c"):
        make(here / name, name.encode())
    (here / "empty").mkdir()
    (here / "link").symlink_to("a")
    os.mkfifo(here / "pipe")
    totals, _ = await put(share, here, "to", recursive=True)
    found = {str(one.relative_to(share.at("to"))) for one in share.at("to").rglob("*")}
    assert found == {"a", "sub", "sub/b", "sub/deep", "sub/deep/c", "empty"}
    assert totals.files == 3 and totals.errors == []


async def test_what_cannot_be_uploaded(share: LocalShare, here: Path) -> None:
    """A folder without --recursive, a pipe, a missing file: an error each, and nothing is made on the share."""
    os.mkfifo(here / "pipe")
    for local, text in (
        (here, "use --recursive"),
        (here / "pipe", "neither a file"),
        (here / "no", "No such file"),
    ):
        totals, report = await put(share, local, "to")
        assert text in report.errors[0][1] and totals.files == 0
    report = Report()
    await upload_all(cast(Any, share), [(str(here), "to")], Plan(), report, "folder")
    assert list(share.root.iterdir()) == []


async def test_the_folder_is_made_when_needed(share: LocalShare, here: Path) -> None:
    """Once, before the first file."""
    pairs = [(str(make(here / name, b"x")), f"folder/{name}") for name in ("a", "b")]
    await upload_all(cast(Any, share), pairs, Plan(), Report(), "folder")
    assert share.calls.count("makedirs folder") == 1 and share.at("folder/b").read_bytes() == b"x"


@pytest.mark.parametrize("name", ["a\\b", "a:b", "a\udcffb"])
def test_names_that_a_share_cannot_have(name: str) -> None:
    """A backslash would be a directory, a colon a stream; a name that is not UTF-8 has no Unicode."""
    with pytest.raises(OSError, match="rename it first"):
        sendable(name)
    assert sendable("grüße, 世界") == "grüße, 世界"


async def test_a_name_that_cannot_be_sent(share: LocalShare, here: Path) -> None:
    """It is an error of that file alone."""
    make(here / "a:b", b"x")
    make(here / "c", b"y")
    totals, _ = await put(share, here, "to", recursive=True)
    assert [Path(path).name for path, _ in totals.errors] == ["a:b"] and share.at("to/c").exists()


@pytest.mark.parametrize(("time", "skipped"), [(TIME_NS, 1), (TIME_NS + 3 * 10**9, 0)])
async def test_updating(share: LocalShare, here: Path, time: int, skipped: int) -> None:
    """What the share has with the same size and time is left out."""
    make(here / "a", b"data")
    share.at("a").write_bytes(b"over")
    os.utime(share.at("a"), ns=(time, time))
    totals, report = await put(share, here / "a", "a", update=True)
    assert (totals.skipped, totals.files, report.done) == (skipped, 1 - skipped, 4)
    totals, _ = await put(share, here / "a", "new", update=True)
    assert totals.files == 1


async def test_resuming(share: LocalShare, here: Path) -> None:
    """A lost connection leaves a part on the share; the next upload goes on where gaps can begin."""
    data = os.urandom(9 << 20)
    make(here / "a", data)
    share.cut_after, share.error = len(data) - 10, lost("cut")
    share.error.final = True
    with pytest.raises(ConnectionLost, match="resume"):
        await put(share, here / "a", "a")
    part = share.at(part_name("a", len(data), TIME_NS))
    assert part.stat().st_size == len(data) - 10 and not share.at("a").exists()
    share.cut_after = share.error = None
    _, report = await put(share, here / "a", "a")
    assert share.at("a").read_bytes() == data and report.done == len(data) and not part.exists()
    assert share.moved[1][0] == len(data) - 10 - (8 << 20)


async def test_a_part_that_is_too_long(share: LocalShare, here: Path) -> None:
    """The source has become shorter: the part is cut to what there is."""
    make(here / "a", LARGE)
    share.at(part_name("a", len(LARGE), TIME_NS)).write_bytes(b"x" * (len(LARGE) + 500))
    await put(share, here / "a", "a")
    assert share.at("a").read_bytes() == LARGE


async def test_a_copy_that_differs(share: LocalShare, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is removed from the share and does not get the target's name."""
    make(here / "a", LARGE)
    totals, _ = await put(share, here / "a", "a", verify=True)
    assert len(totals.digests) == 1

    async def differs(*_: Any) -> str:
        raise Mismatch(errno.EIO, "the copy differs", "a")

    monkeypatch.setattr("frevo.client.batch.verify.compare", differs)
    share.at("a").write_bytes(b"old")
    totals, _ = await put(share, here / "a", "a", verify=True)
    assert len(totals.errors) == 1 and [one.name for one in share.root.iterdir()] == ["a"]
    assert share.at("a").read_bytes() == b"old"
