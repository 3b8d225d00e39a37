"""Requests whose answers nobody waits for."""

from __future__ import annotations

import asyncio
import logging

import pytest

from frevo.client.connection.connection import Reply
from frevo.client.connection.unawaited import Behind

_FINE = Reply(0, b"")


async def test_only_those_before() -> None:
    """What begins after somebody waits is not waited for: a busy connection holds up nobody."""
    behind = Behind()
    await behind.settled()
    behind.under_way |= {1, 2}
    waiting = asyncio.create_task(behind.settled())
    await asyncio.sleep(0)
    behind.under_way.add(3)
    behind.answered(2, _FINE)
    await asyncio.sleep(0)
    assert not waiting.done()
    behind.answered(1, _FINE)
    await waiting
    assert behind.under_way == {3}
    behind.ended()
    await behind.settled()


async def test_the_end() -> None:
    """When the connection ends, everybody who waits goes on; a cancelled one is no trouble."""
    behind = Behind()
    behind.under_way.add(1)
    waiting = [asyncio.create_task(behind.settled()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    behind.ended()
    await asyncio.gather(*waiting[1:])
    assert waiting[0].cancelled() and not behind._waiting


async def test_an_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An answer that is an error is told to the log alone."""
    behind = Behind()
    behind.under_way.add(1)
    with caplog.at_level(logging.DEBUG, "frevo.client.connection.unawaited"):
        behind.answered(1, Reply(0xC0000128, b""))
    assert "0xc0000128" in caplog.text and not behind.under_way
