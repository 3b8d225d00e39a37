"""The blocking client beside the asynchronous one: the same names with the same parameters; loops, forks, shutdown."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from frevo.client import File, Server, Share
from frevo.client.blocking import BlockingFile, BlockingServer, BlockingShare
from frevo.client.blocking.loop_thread import iterate, run

#: What only one of the two has, and why.
DIFFERENT = {
    # the protocol's objects live on the loop
    *(
        "tree",
        "lasting",
        "connections",
        "on_connection",
        "base",
        "connection",
        "session",
        "handshake",
        "link",
    ),
    *("file_id", "opened", "path", "close_later", "seek_here"),
    # for the mount and for other parts of the client, on the loop
    *("run", "file", "full_path", "exchange", "renewed", "take_file_id", "begin_read", "begin_write"),
    "name",  # of a file: set when made, as Python's own files do
}


def public(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")} - DIFFERENT


@pytest.mark.parametrize(
    ("waiting", "asynchronous"), [(BlockingShare, Share), (BlockingServer, Server), (BlockingFile, File)]
)
def test_the_same_names(waiting: type, asynchronous: type) -> None:
    """Every public method and property of the asynchronous class is there with the same parameters, and a docstring."""
    assert public(asynchronous) - set(dir(waiting)) == set()
    for name in public(asynchronous) & public(waiting):
        one, other = getattr(asynchronous, name), getattr(waiting, name)
        assert inspect.getdoc(other), name
        if inspect.isfunction(one):
            wanted = [(p.name, p.kind, p.default) for p in inspect.signature(one).parameters.values()]
            given = [(p.name, p.kind, p.default) for p in inspect.signature(other).parameters.values()]
            assert [p for p in wanted if p[0] != "owned"] == given, name


async def count(seen: list[str], stop: int = 5000) -> AsyncGenerator[int, None]:
    try:
        for number in range(stop):
            yield number
    finally:
        seen.append("closed")


def test_iteration() -> None:
    """All items in order, the generator's error after the items before it, and closing when the loop is left early."""
    seen: list[str] = []
    assert list(iterate(count(seen))) == list(range(5000))
    for number in iterate(count(seen)):
        if number == 10:
            break

    async def fails() -> AsyncGenerator[int, None]:
        yield 1
        raise OSError("no more")

    steps = iterate(fails())
    assert next(steps) == 1
    with pytest.raises(OSError, match="no more"):
        next(steps)

    async def turn() -> None:
        await asyncio.sleep(0)

    while len(seen) < 2:
        run(turn())


def test_one_step_at_a_time() -> None:
    """With limit=1 a step is taken only on demand: what the caller did to the last item counts."""
    taken: list[int] = []

    async def steps() -> AsyncGenerator[list[int], None]:
        while len(taken) < 3:
            box = [len(taken)]
            yield box
            taken.append(box[0])

    for box in iterate(steps(), limit=1):
        box[0] *= 10
    assert taken == [0, 10, 20]


def test_not_on_its_own_loop() -> None:
    """A callback on the loop that calls the blocking client gets an error instead of a deadlock."""

    async def nothing() -> None:
        pass

    async def callback() -> None:
        run(nothing())

    with pytest.raises(RuntimeError, match="deadlock"):
        run(callback())


def python(code: str) -> subprocess.CompletedProcess[str]:
    options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 60}
    return subprocess.run([sys.executable, "-X", "dev", "-c", code], check=False, **options)


def test_the_end_of_the_interpreter() -> None:
    """A daemon thread that still waits, and abandoned work, let the interpreter end at once and silently."""
    code = """
import asyncio, logging, threading
from frevo.client.blocking.loop_thread import run
logging.getLogger("asyncio").setLevel(logging.ERROR)  # a busy machine's slow turn is only a warning
started = threading.Event()
async def forever():
    started.set()
    await asyncio.sleep(1000)
threading.Thread(target=lambda: run(forever()), daemon=True).start()
started.wait()
"""
    ended = python(code)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_an_interrupt() -> None:
    """Ctrl-C ends the wait and cancels the work; also where our parent ignores it, as nohup does."""
    code = """
import asyncio, os, signal
from frevo.client.blocking.loop_thread import run
signal.signal(signal.SIGINT, signal.default_int_handler)
async def forever():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        cancelled.append(True)
        raise
async def seen():
    return cancelled
cancelled = []
try:
    run(forever())
except KeyboardInterrupt:
    while not run(seen()):
        pass
    print("interrupted")
"""
    ended = python(code)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "interrupted\n", "")


@pytest.mark.parametrize("told", [True, False])
def test_an_interrupt_before_the_wait(told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the work is being handed to the loop, just before or after: none of the work continues."""
    cancelled: list[bool] = []

    async def loop_here() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    async def forever() -> None:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    loop = run(loop_here())
    real = loop.call_soon_threadsafe

    def interrupted(call: Any, *rest: Any, **options: Any) -> None:
        monkeypatch.undo()
        if told:
            real(call, *rest, **options)

            async def turn() -> None:
                await asyncio.sleep(0)

            run(turn())  # the work is under way by then
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "call_soon_threadsafe", interrupted)
    work = forever()
    with pytest.raises(KeyboardInterrupt):
        run(work)

    async def turns() -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    run(turns())
    assert inspect.getcoroutinestate(work) == inspect.CORO_CLOSED
    assert cancelled == [True] * told


def test_a_fork() -> None:
    """A forked child has a loop of its own."""
    code = """
import os
from frevo.client.blocking.loop_thread import run
async def pid():
    return os.getpid()
assert run(pid()) == os.getpid()
child = os.fork()
if child == 0:
    assert run(pid()) == os.getpid()
    os._exit(7)
print(os.waitpid(child, 0)[1] >> 8, run(pid()) == os.getpid())
"""
    ended = python(code)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "7 True\n", "")
