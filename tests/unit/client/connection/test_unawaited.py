"""Requests whose answers nobody waits for."""

from __future__ import annotations

import asyncio
import logging

import pytest

from frevo.client.connection.messages import Reply
from frevo.client.connection.unawaited import Unawaited

_FINE = Reply(0, b"")


async def test_only_those_before() -> None:
    """Requests that begin after the wait has begun are not waited for: a busy connection delays nobody."""
    unawaited = Unawaited()
    await unawaited.settled()
    unawaited.under_way |= {1, 2}
    waiting = asyncio.create_task(unawaited.settled())
    await asyncio.sleep(0)
    unawaited.under_way.add(3)
    unawaited.answered(2, _FINE)
    await asyncio.sleep(0)
    assert not waiting.done()
    unawaited.answered(1, _FINE)
    await waiting
    assert unawaited.under_way == {3}
    unawaited.connection_lost()
    await unawaited.settled()


async def test_the_end() -> None:
    """When the connection ends, all waits end; a cancelled one is harmless."""
    unawaited = Unawaited()
    unawaited.under_way.add(1)
    waiting = [asyncio.create_task(unawaited.settled()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    unawaited.connection_lost()
    await asyncio.gather(*waiting[1:])
    assert waiting[0].cancelled() and not unawaited._waiting


async def test_an_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A response that is an error only goes to the log."""
    unawaited = Unawaited()
    unawaited.under_way.add(1)
    with caplog.at_level(logging.DEBUG, "frevo.client.connection.unawaited"):
        unawaited.answered(1, Reply(0xC0000128, b""))
    assert "0xc0000128" in caplog.text and not unawaited.under_way
