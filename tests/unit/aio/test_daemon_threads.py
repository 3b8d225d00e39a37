"""Threads for calls that may never return."""

from __future__ import annotations

import asyncio
import errno
import threading

import pytest

from frevo.aio.daemon_threads import DaemonThreads


async def test_stopped_with_a_call_running() -> None:
    """Who waits for it is told, and so is who comes later."""
    go = threading.Event()
    threads = DaemonThreads(asyncio.get_running_loop(), "test", 1)
    running = threads.submit(go.wait)
    threads.stop()
    for waiting in (running, threads.submit(go.wait)):
        with pytest.raises(OSError) as stopped:
            await waiting
        assert stopped.value.errno == errno.EIO
    go.set()


def test_stopped_after_its_loop() -> None:
    """A loop that was closed with a call running can be forgotten: nobody waits, so nobody is told."""
    go = threading.Event()
    loop = asyncio.new_event_loop()
    threads = DaemonThreads(loop, "test", 1)
    running = threads.submit(go.wait)
    loop.close()
    threads.stop()
    assert not running.done()
    go.set()
