"""The retry policy: what is repeated, how often, and that nested loops do not multiply the repeats."""

from __future__ import annotations

import asyncio
import random
from typing import Any, cast

import pytest

from frevo.client.errors import ConnectionLost, LogonError, PeerFault, RemoteError, fault, lost, remote_error
from frevo.client.lasting import retry
from frevo.client.lasting.retry import REPEATS, Attempts, is_gone, keep_trying, repeat
from frevo.errors import WireError
from frevo.wire.erref import NTStatus


class Connection:
    """What a malformed answer ends."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def peer_fault(self, error: WireError) -> PeerFault:
        self.ended.append(str(error))
        return fault(str(error))


class Renewed:
    """Has another tree after each error."""

    def __init__(self) -> None:
        self.tree = self.fresh(0)
        self.renewals = 0

    @staticmethod
    def fresh(number: int) -> Any:
        return type("Tree", (), {"number": number, "connection": Connection()})()

    async def renewed(self, gone: Any, error: RemoteError) -> None:
        assert gone is self.tree
        self.renewals += 1
        self.tree = self.fresh(self.renewals)


@pytest.mark.parametrize(
    ("error", "gone"),
    [
        (lost("cut"), True),
        (remote_error(NTStatus.NETWORK_SESSION_EXPIRED), True),
        (remote_error(NTStatus.USER_SESSION_DELETED), True),
        (remote_error(NTStatus.NETWORK_NAME_DELETED), True),
        (remote_error(NTStatus.ACCESS_DENIED), False),
        (remote_error(NTStatus.INSUFFICIENT_RESOURCES), False),
        (fault("a lie"), False),
    ],
)
def test_what_is_repeated(error: RemoteError, gone: bool) -> None:
    """A lost connection, session or share; no refusal, and nothing after the server broke a rule."""
    assert is_gone(error) is gone and Attempts().again(error) is gone
    assert not error.final


def test_how_often() -> None:
    """REPEATS times; the error after that is final, and no outer loop starts over."""
    attempts, around = Attempts(), Attempts()
    assert all(attempts.again(lost("cut")) for _ in range(REPEATS))
    last = lost("cut")
    assert not attempts.again(last) and last.final
    assert not around.again(last)


def test_progress_counts() -> None:
    """Work that makes progress each time continues for ever; standing still or falling back is not progress."""
    attempts = Attempts()
    assert all(attempts.again(lost("cut"), progress=step) for step in range(1, 50))
    assert [attempts.again(lost("cut"), progress=48) for _ in range(REPEATS)] == [True] * (REPEATS - 1) + [
        False
    ]


async def test_repeat() -> None:
    """Work is repeated, each time on the present tree, until it succeeds."""
    on, seen = Renewed(), []

    async def work(tree: Any) -> str:
        seen.append(tree.number)
        if len(seen) < 4:
            raise lost("cut")
        return "done"

    assert await repeat(work, cast(Any, on)) == "done"
    assert seen == [0, 1, 2, 3]


async def test_repeat_ends() -> None:
    """After REPEATS repeats the caller gets the error; another kind of error at once; a malformed answer ends the
    connection, and nothing is repeated."""
    on, calls = Renewed(), 0

    async def cut(tree: Any) -> None:
        nonlocal calls
        calls += 1
        raise lost("cut")

    with pytest.raises(ConnectionLost) as raised:
        await repeat(cut, cast(Any, on))
    assert calls == 1 + REPEATS and on.renewals == REPEATS and raised.value.final

    async def refused(tree: Any) -> None:
        raise remote_error(NTStatus.ACCESS_DENIED)

    with pytest.raises(PermissionError):
        await repeat(refused, cast(Any, on))

    async def malformed(tree: Any) -> None:
        raise WireError("short")

    with pytest.raises(PeerFault, match="short"):
        await repeat(malformed, cast(Any, on))
    assert on.renewals == REPEATS and on.tree.connection.ended == ["short"]


async def test_loops_within_loops() -> None:
    """Three levels of repeated work over a server that always cuts: as many requests as with one level."""
    on, calls = Renewed(), 0

    async def cut(tree: Any) -> None:
        nonlocal calls
        calls += 1
        raise lost("cut")

    async def inner(tree: Any) -> None:
        await repeat(cut, cast(Any, on))

    async def middle(tree: Any) -> None:
        await repeat(inner, cast(Any, on))

    with pytest.raises(ConnectionLost):
        await repeat(middle, cast(Any, on))
    assert calls == 1 + REPEATS


async def test_what_must_not_be_done_twice() -> None:
    """It is repeated if it was never sent or the server refused it unseen; otherwise the error says to check first."""
    for error, repeated in (
        (lost("cut"), False),
        (remote_error(NTStatus.NETWORK_NAME_DELETED), True),
        (unsent(), True),
    ):
        calls = 0

        async def work(tree: Any, error: RemoteError = error) -> int:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise error
            return calls

        doing = repeat(work, cast(Any, Renewed()), path="dir/a", repeatable=False)
        if repeated:
            assert await doing == 2
        else:
            with pytest.raises(ConnectionLost, match=r"dir/a: .*may not have"):
                await doing
            assert calls == 1


def unsent() -> ConnectionLost:
    error = lost("cut")
    error.unsent = True
    return error


class Clock:
    """The loop's time, which only sleeping advances."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.pauses = 1000.0, list[float]()
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)
        monkeypatch.setattr(retry.asyncio, "sleep", self.sleep)
        monkeypatch.setattr(random, "uniform", lambda low, high: high)

    async def sleep(self, pause: float) -> None:
        self.pauses.append(pause)
        self.now += pause


async def refuse() -> None:
    raise ConnectionRefusedError("not now")


async def test_pauses_double(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnecting goes on for the given patience, with pauses from 0.1 s that double up to 5 s."""
    clock = Clock(monkeypatch)
    with pytest.raises(ConnectionRefusedError):
        await keep_trying(refuse, 30.0)
    assert clock.pauses[:7] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0] and max(clock.pauses) == 5.0
    assert 25.0 < sum(clock.pauses) <= 30.0


async def test_without_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without patience there is one try; a refused log-on and a server that breaks a rule are not tried again."""
    clock, calls = Clock(monkeypatch), 0
    with pytest.raises(ConnectionRefusedError):
        await keep_trying(refuse, 0.0)
    for error in (LogonError(13, "wrong password"), fault("a lie")):

        async def fail(error: Exception = error) -> None:
            nonlocal calls
            calls += 1
            raise error

        with pytest.raises(type(error)):
            await keep_trying(fail, 30.0)
    assert clock.pauses == [] and calls == 2
