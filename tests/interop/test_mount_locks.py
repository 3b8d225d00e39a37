"""Two mounts of one share: locks exclude programs on both, a database is shared, files have several names."""

from __future__ import annotations

import fcntl
import os
import select
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from peers.mounted import Mounted, mounted
from peers.target import Target

pytestmark = [pytest.mark.interop, pytest.mark.over_quic]
KINDS = [fcntl.lockf, fcntl.flock]


@pytest.fixture(scope="module")
def two(server_of: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mounted, Mounted]]:
    """The same folder, mounted twice."""
    (server_of.folder() / "locks").mkdir(exist_ok=True)
    base = tmp_path_factory.mktemp("two")
    with (
        mounted(server_of, base / "a", inner="locks") as first,
        mounted(server_of, base / "b", inner="locks") as second,
    ):
        yield first, second


def program(source: str, *words: object) -> subprocess.Popen[str]:
    """A separate Python program: locks belong to a process."""
    head = "import fcntl, os, sys\n"
    command = [sys.executable, "-c", head + source, *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    """Its output up to its end."""
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return output.strip()


TRY = """
file = os.open(sys.argv[1], os.O_RDWR)
try:
    getattr(fcntl, sys.argv[2])(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    print("locked")
except BlockingIOError:
    print("refused")
"""
WAIT = """
file = os.open(sys.argv[1], os.O_RDWR)
print("asks", flush=True)
getattr(fcntl, sys.argv[2])(file, fcntl.LOCK_EX)
print(os.pread(file, 5, 0).decode())
"""


@pytest.mark.parametrize("lock", KINDS, ids=lambda kind: kind.__name__)
def test_two_mounts_exclude_each_other(two: tuple[Mounted, Mounted], lock: object) -> None:
    """fcntl and flock: refused here and there while held, waited for, and data written under the lock is seen
    afterwards."""
    assert callable(lock)
    here, there = (one.path / lock.__name__ for one in two)
    here.write_bytes(b"first and more")
    assert there.read_bytes() == b"first and more"
    file = os.open(here, os.O_RDWR)
    lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert [said(program(TRY, path, lock.__name__)) for path in (here, there)] == ["refused", "refused"]
    assert (
        said(program("print(open(sys.argv[1]).read())", here)) == "first and more"
    )  # advisory within a mount
    waiting = program(WAIT, there, lock.__name__)
    assert waiting.stdout is not None and waiting.stdout.readline() == "asks\n"
    os.pwrite(file, b"newer", 0)
    assert not select.select([waiting.stdout], [], [], 0.2)[0]
    lock(file, fcntl.LOCK_UN)
    assert said(waiting) == "newer"
    assert said(program(TRY, here, lock.__name__)) == "locked"
    lock(file, fcntl.LOCK_SH)
    os.close(file)  # closing releases it, too
    assert said(program(WAIT, there, lock.__name__)) == "asks\nnewer"


def test_parts_and_kinds_of_locks(two: tuple[Mounted, Mounted]) -> None:
    """Readers coexist, ranges are split and change their type, F_GETLK names the conflicting lock."""
    path = two[0].path / "parts"
    path.write_bytes(bytes(100))
    mine = os.open(path, os.O_RDWR)
    other = os.open(two[1].path / "parts", os.O_RDWR)

    def taken(kind: int, length: int, start: int) -> bool:
        try:
            fcntl.lockf(other, kind | fcntl.LOCK_NB, length, start)
        except BlockingIOError:
            return True
        fcntl.lockf(other, fcntl.LOCK_UN, length, start)
        return False

    # Two mounts have two kernels' worth of owners: this one process is two of them.
    fcntl.lockf(mine, fcntl.LOCK_SH, 50, 0)
    assert not taken(fcntl.LOCK_SH, 10, 0) and taken(fcntl.LOCK_EX, 10, 45)
    fcntl.lockf(mine, fcntl.LOCK_EX, 10, 20)
    assert taken(fcntl.LOCK_SH, 1, 25) and not taken(fcntl.LOCK_SH, 10, 0)
    fcntl.lockf(mine, fcntl.LOCK_UN, 30, 10)
    assert not taken(fcntl.LOCK_EX, 30, 10) and taken(fcntl.LOCK_EX, 1, 45) and taken(fcntl.LOCK_EX, 1, 9)
    fcntl.lockf(mine, fcntl.LOCK_UN)
    assert not taken(fcntl.LOCK_EX, 0, 0)
    os.close(mine)
    os.close(other)


COUNT = """
import sqlite3
known = sqlite3.connect(sys.argv[1], timeout=50)
for _ in range(10):
    with known:
        known.execute("begin immediate")
        (most,) = known.execute("select coalesce(max(a), 0) from t").fetchone()
        known.execute("insert into t values (?)", (most + 1,))
"""


def test_a_database_on_two_mounts(server_of: Target, two: tuple[Mounted, Mounted]) -> None:
    """Four programs on two mounts count in one SQLite database: no number twice, nothing corrupt."""
    made = sqlite3.connect(two[0].path / "db")
    made.execute("create table t(a)")
    made.close()
    programs = [program(COUNT, one.path / "db") for one in (*two, *two)]
    assert [said(one) for one in programs] == [""] * 4
    known = sqlite3.connect(two[0].folder / "db")
    assert known.execute("select count(*), max(a) from t").fetchone() == (40, 40)
    assert known.execute("pragma integrity_check").fetchone() == ("ok",)
    known.close()


def test_a_name_that_another_mount_has_removed(two: tuple[Mounted, Mounted]) -> None:
    """A file that one mount has cached and the other has removed: O_CREAT makes it, O_RDONLY gives ENOENT."""
    here, there = (one.path for one in two)
    for name in ("a", "b"):
        (here / name).write_text("text")
        assert (there / name).read_text() == "text"
        (here / name).unlink()
    with pytest.raises(FileNotFoundError):
        (there / "a").open("rb")
    with (there / "b").open("ab") as file:
        file.write(b"new")
    assert (two[0].folder / "b").read_text() == "new"


def test_hard_links(two: tuple[Mounted, Mounted]) -> None:
    """ln: both names are one file, for the server, too; an existing name or a directory is refused."""
    place = two[0].path / "links"
    place.mkdir()
    (place / "a").write_text("one\n")
    os.link(place / "a", place / "b")
    known = [(place / name).stat() for name in "ab"]
    assert [one.st_nlink for one in known] == [2, 2] and known[0].st_ino == known[1].st_ino
    with (place / "b").open("a") as file:
        file.write("two\n")
    assert (place / "a").read_text() == (two[0].folder / "links" / "a").read_text() == "one\ntwo\n"
    with pytest.raises(FileExistsError):
        os.link(place / "a", place / "b")
    with pytest.raises(PermissionError):
        os.link(place, two[0].path / "directory")
    (place / "a").unlink()
    assert (place / "b").read_text() == "one\ntwo\n" and (place / "b").stat().st_nlink == 1


def test_local_locks(server_of: Target, two: tuple[Mounted, Mounted], tmp_path: Path) -> None:
    """--local-locks: programs on that mount exclude each other, other mounts are not involved."""
    (two[0].path / "local").touch()
    with mounted(server_of, tmp_path, "--local-locks", inner="locks") as mount:
        file = os.open(mount.path / "local", os.O_RDWR)
        fcntl.lockf(file, fcntl.LOCK_EX)
        assert said(program(TRY, mount.path / "local", "lockf")) == "refused"
        assert said(program(TRY, two[0].path / "local", "lockf")) == "locked"
        os.close(file)
