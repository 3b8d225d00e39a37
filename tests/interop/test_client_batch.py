"""Whole folders up and down against smbd and frevo: many small files, resumed uploads, failures among successes."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from peers.target import Target

import frevo
from frevo.client import Share, batch
from frevo.client.batch.verify import Mismatch
from frevo.client.transfer.data import GAPS_BYTES

pytestmark = [pytest.mark.interop, pytest.mark.over_quic]


class Report:
    """Counts what is reported."""

    def __init__(self) -> None:
        self.expected = self.done = 0
        self.failures: list[str] = []

    def found(self, size: int) -> None:
        self.expected += size

    def advanced(self, size: int) -> None:
        self.done += size

    def finished(self, path: str) -> None:
        pass

    def failed(self, path: str, error: OSError) -> None:
        self.failures.append(path)


@pytest.fixture
async def share(target: Target, request: pytest.FixtureRequest) -> AsyncIterator[Share]:
    """A folder of the share for this test; its name on the server's disk is `base`."""
    name = request.node.name.replace("[", "-").replace("]", "")
    folder = target.folder() / name
    folder.mkdir()
    url = f"{target.url}/share/{name}"
    async with frevo.connect(url, user=target.user, password=target.password) as made:
        yield made
    shutil.rmtree(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_many_small_files(share: Share, target: Target, tmp_path: Path) -> None:
    """1,000 files of every size up to a few blocks, up and down: the same bytes and times; progress adds up."""
    source = tmp_path / "source"
    for index in range(1000):
        place = source / f"d{index % 10}" / f"file {index}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(os.urandom(index * 67))
    report, plan = Report(), batch.Plan(recursive=True)
    totals = await batch.upload(share, str(source), "copy", plan, report)
    assert (totals.files, totals.errors) == (1000, []) and report.done == report.expected == totals.bytes
    assert contents(target.folder() / share.base / "copy") == contents(source)
    report = Report()
    totals = await batch.download(share, "copy", str(tmp_path / "back"), plan, report)
    assert (totals.files, totals.errors) == (1000, []) and report.done == report.expected == totals.bytes
    assert contents(tmp_path / "back") == contents(source)
    times = [path.stat().st_mtime_ns // 1000 for path in sorted(source.rglob("file*"))]
    assert [path.stat().st_mtime_ns // 1000 for path in sorted((tmp_path / "back").rglob("file*"))] == times
    plan.update = True
    assert (await batch.upload(share, str(source), "copy", plan, Report())).skipped == 1000


async def test_a_resumed_upload(share: Share, tmp_path: Path) -> None:
    """An upload continues near the end of the part file, which gets the final name."""
    data = os.urandom(30_000_000)
    local = tmp_path / "large"
    local.write_bytes(data)
    part = batch.part_name("large", len(data), local.stat().st_mtime_ns)
    await share.write_bytes(part, b"?" * 25_000_000)
    kept = 25_000_000 - GAPS_BYTES
    await batch.upload(share, str(local), "large", batch.Plan(), Report())
    assert await share.read_bytes("large") == b"?" * kept + data[kept:]
    assert await share.listdir() == ["large"]


async def test_one_failure(share: Share, target: Target, tmp_path: Path) -> None:
    """A file that cannot be written is reported and counted; the others are transferred."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a", "blocked", "c"):
        (source / name).write_bytes(name.encode())
    await share.makedirs("copy/blocked")
    report = Report()
    totals = await batch.upload(share, str(source), "copy", batch.Plan(recursive=True), report)
    assert totals.files == 2 and [Path(path).name for path in report.failures] == ["blocked"]
    assert isinstance(totals.errors[0][1], IsADirectoryError)


async def test_links_are_left_out(share: Share, tmp_path: Path) -> None:
    """An upload does not follow links out of the folder."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(b"x")
    (source / "link").symlink_to("/etc/hostname")
    (source / "folder-link").symlink_to("/etc")
    totals = await batch.upload(share, str(source), "copy", batch.Plan(recursive=True), Report())
    assert totals.files == 1 and await share.listdir("copy") == ["file"]


async def test_what_arrived_is_compared(share: Share, target: Target, tmp_path: Path) -> None:
    """verify: digests of small and large files both ways; a wrong part of an earlier attempt is found, reported and
    removed."""
    source, plan = tmp_path / "source", batch.Plan(recursive=True, verify=True)
    source.mkdir()
    (source / "small").write_bytes(b"small")
    (source / "large").write_bytes(os.urandom(12_000_000))
    wanted = {name: hashlib.sha256((source / name).read_bytes()).hexdigest() for name in ("small", "large")}
    totals = await batch.upload(share, str(source), "copy", plan, Report())
    assert {Path(path).name: digest for path, digest in totals.digests} == wanted
    totals = await batch.download(share, "copy", str(tmp_path / "back"), plan, Report())
    assert {Path(path).name: digest for path, digest in totals.digests} == wanted

    known = await share.stat("copy/large")
    part = tmp_path / batch.part_name("large", known.size, known.st_mtime_ns)
    part.write_bytes(b"?" * 10_000_000)
    totals = await batch.download(share, "copy/large", str(tmp_path / "large"), plan, Report())
    assert [type(error) for _, error in totals.errors] == [Mismatch]
    assert not part.exists() and not (tmp_path / "large").exists()

    (target.folder() / share.base / "copy" / "small").write_bytes(b"SMALL")  # same size, and the same time
    modified = (source / "small").stat().st_mtime_ns
    os.utime(target.folder() / share.base / "copy" / "small", ns=(modified, modified))
    plan.update = True
    totals = await batch.upload(share, str(source), "copy", plan, Report())
    assert (totals.files, totals.skipped) == (1, 1) and await share.read_bytes("copy/small") == b"small"


async def test_several_and_partial_failures(share: Share, tmp_path: Path) -> None:
    """Missing, unreadable and impossible names are reported with the reason, and the rest is transferred."""
    source = tmp_path / "source"
    (source / "below").mkdir(parents=True)
    for name in ("a", "b:c", "d\\e", "below/f"):
        (source / name).write_bytes(name.encode())
    (source / os.fsdecode(b"latin-\xe9")).write_bytes(b"x")
    (source / "pipe").symlink_to("nowhere")
    pairs = [(str(source), "copy"), (str(tmp_path / "nothing"), "nothing"), (str(source / "a"), "again")]
    report = Report()
    totals = await batch.upload_all(share, pairs, batch.Plan(recursive=True), report)
    assert totals.files == 3 and sorted(await share.listdir()) == ["again", "copy"]
    assert sorted(await share.listdir("copy")) == ["a", "below"]
    assert len(report.failures) == 4 and len(totals.errors) == 4

    blocked = tmp_path / "back"
    (blocked / "copy").mkdir(parents=True)
    (blocked / "copy" / "below").write_bytes(b"a file where a folder belongs")
    pairs = [("copy", str(blocked / "copy")), ("nothing", str(blocked / "nothing"))]
    totals = await batch.download_all(share, pairs, batch.Plan(recursive=True), Report())
    assert totals.files == 1 and [path.rpartition("/")[2] for path, _ in totals.errors] == [
        "below",
        "nothing",
    ]


async def test_several_connections(share: Share, target: Target, tmp_path: Path) -> None:
    """A backlog of files is spread over several connections, up and down; each arrives once."""
    source = tmp_path / "source"
    source.mkdir()
    for index in range(1200):
        (source / f"file {index}").write_bytes(f"{index}".encode() * 100)
    plan = batch.Plan(recursive=True)
    up = await batch.upload(share, str(source), "copy", plan, Report())
    down = await batch.download(share, "copy", str(tmp_path / "back"), plan, Report())
    assert (up.files, down.files, up.errors, down.errors) == (1200, 1200, [], [])
    assert len({one.tree.connection.number for one in share.connections.trees}) > 1
    assert contents(tmp_path / "back") == contents(source)


async def test_a_file_that_changes_meanwhile(share: Share, target: Target, tmp_path: Path) -> None:
    """A small file that has grown since it was listed arrives as it is now, not cut off."""
    place = target.folder() / share.base / "growing"
    place.write_bytes(b"x" * 10)
    jobs = share.walk

    async def grown(*arguments: Any, **options: Any) -> AsyncIterator[Any]:
        async for step in jobs(*arguments, **options):
            place.write_bytes(b"y" * 100)
            yield step

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(share, "walk", grown)
        await batch.download(share, "", str(tmp_path / "back"), batch.Plan(recursive=True), Report())
    assert (tmp_path / "back" / "growing").read_bytes() == b"y" * 100


async def test_replaced_files(share: Share, tmp_path: Path) -> None:
    """Existing files are replaced, and a directory in the way is reported and left alone."""
    back = tmp_path / "back"
    (back / "folder").mkdir(parents=True)
    (back / "file").write_bytes(b"old and longer")
    await share.write_bytes("file", b"new")
    await share.write_bytes("folder", b"a file of this name")
    report = Report()
    totals = await batch.download(share, "", str(back), batch.Plan(recursive=True), report)
    assert totals.files == 1 and report.failures == ["folder"]
    assert (back / "file").read_bytes() == b"new" and (back / "folder").is_dir()
    assert sorted(path.name for path in back.iterdir()) == ["file", "folder"]
