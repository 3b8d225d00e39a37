"""The blocking client against smbd and frevo, as scripts use it: files, threads, forks, forgotten objects."""

from __future__ import annotations

import array
import asyncio
import gc
import io
import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from peers.target import Target

from frevo.client import blocking
from frevo.client.blocking import BlockingShare

pytestmark = [pytest.mark.interop, pytest.mark.over_quic]

Connect = Callable[[], BlockingShare]


@pytest.fixture
def connect(target: Target, folder: Path) -> Connect:
    url = f"{target.url}/share/{folder.name}"
    return lambda: blocking.connect(url, user=target.user, password=target.password)


def test_a_script(connect: Connect, folder: Path) -> None:
    """Paths in and out are relative to the URL's, names come unchanged, what is left early is closed."""
    with connect() as share:
        share.makedirs("sub/deeper")
        share.write_bytes("sub/file", b"1")
        share.write_bytes("sub/deeper/file", b"2")
        walked = [(top, [one.path for one in (*inner, *others)]) for top, inner, others in share.walk()]
        assert walked == [
            ("", ["sub"]),
            ("sub", ["sub/deeper", "sub/file"]),
            ("sub/deeper", ["sub/deeper/file"]),
        ]
        for top, inner, _ in share.walk():
            assert top == ""
            inner.clear()  # nothing of them is entered
        assert [share.read_bytes(entry.path) for entry in share.glob("**/deeper/*")] == [b"2"]
        for _ in share.scandir("sub"):
            break
        with pytest.raises(FileNotFoundError):
            list(share.scandir("nothing"))
        share.rmtree("sub")
    assert list(folder.iterdir()) == []


def test_files(connect: Connect, folder: Path) -> None:
    """Lines, text, positions, arrays and read-only buffers, as Python's own files handle them."""
    (folder / "lines").write_bytes(b"first\nsecond\n" + b"x" * 100_000 + b"\nlast")
    with connect() as share, share.open("lines") as lines, share.open("file", "w+b") as file:
        assert [len(line) for line in lines] == [6, 7, 100_001, 4]
        assert lines.seek(6) == 6 and lines.readline(3) == b"sec" and lines.readline() == b"ond\n"
        with io.TextIOWrapper(io.BufferedReader(share.open("lines"))) as text:
            assert text.readline() == "first\n"
        numbers = array.array("d", range(1000))
        assert file.write(numbers) == 8000 and file.pwrite(b"", 3) == 0
        file.flush()
        got = array.array("d", bytes(8000))
        assert file.preadinto(got, 0) == 8000 and got == numbers
        assert file.preadinto(bytearray(), 0) == 0
        with pytest.raises(TypeError, match="read-only"):
            file.preadinto(b"12345", 0)
        assert file.truncate(16) == 16 and file.size() == file.stat().size == 16
        assert file.seek(-8, os.SEEK_END) == 8 and file.readall() == numbers[1:2].tobytes()
    assert file.closed and lines.closed


def test_threads(connect: Connect) -> None:
    """Eight threads share a connection, and a thread with a running loop (a notebook) works as well."""
    with connect() as share:
        wrong: list[str] = []

        def work(number: int) -> None:
            for index in range(20):
                name = f"{number}-{index}"
                share.write_bytes(name, name.encode() * 1000)
                if share.read_bytes(name) != name.encode() * 1000:
                    wrong.append(name)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == [] and len(share.listdir()) == 160

        async def notebook() -> int:
            return len(list(share.scandir()))

        assert asyncio.run(notebook()) == 160


def test_a_fork(connect: Connect) -> None:
    """A forked child is told that the connection is not its own, may make one, and leaves the parent's alone."""
    with connect() as share, share.open("file", "wb") as file:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with pytest.raises(RuntimeError, match="parent process"):
                    share.listdir()
                with connect() as own:
                    code = 0 if own.listdir() == ["file"] else 2
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        file.write(b"the parent goes on")
        with pytest.raises(TypeError, match="another process"):
            pickle.dumps(share)
    with connect() as share:
        assert share.read_bytes("file") == b"the parent goes on"


def test_forgotten(connect: Connect) -> None:
    """A file and a connection that nobody closed are closed when they are collected, with a ResourceWarning."""
    share = connect()
    with pytest.warns(ResourceWarning, match="forgotten' mode 'wb'> was not closed"):
        share.open("forgotten", "wb", share_read=False)
        gc.collect()
    assert share.read_bytes("forgotten") == b""  # nobody has it open any more
    with pytest.warns(ResourceWarning, match="was not closed"):
        del share
        gc.collect()
