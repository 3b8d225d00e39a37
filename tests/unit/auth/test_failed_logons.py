"""FailedLogons: what wrong passwords cost, for whom, and how much is remembered. The clock is the test's."""

from __future__ import annotations

import pytest

from frevo.auth import failed_logons
from frevo.auth.failed_logons import ADDRESS_FREE, ADDRESS_RATE, WAIT_MAX_S, FailedLogons, source_of


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def fail(table: FailedLogons, address: str, account: str) -> float:
    """One failure; how long its verdict is kept back."""
    wait_s = table.wait_s(address, account, free=5, interval_s=1.0)
    table.failed(address, account, interval_s=1.0)
    return wait_s


def test_some_are_free_and_others_come_one_a_second() -> None:
    """Goal: five failures cost nothing, further ones a second each, in parallel too; time heals. Method: nine at
    once, then one after a quiet minute."""
    clock = Clock()
    table = FailedLogons(clock)
    waits = [fail(table, "10.0.0.1", "alice") for _ in range(9)]
    assert [round(wait, 6) for wait in waits if wait > 0] == [1, 2, 3, 4]
    clock.now += 60
    assert fail(table, "10.0.0.1", "ALICE") <= 0


def test_the_right_password_waits_its_turn_and_clears() -> None:
    """Goal: a verdict of success is no earlier than one of failure would be, and makes the next one free. Method:
    after seven failures."""
    table = FailedLogons(Clock())
    for _ in range(7):
        fail(table, "10.0.0.1", "alice")
    assert 0 < table.wait_s("10.0.0.1", "alice", free=5, interval_s=1.0) <= WAIT_MAX_S
    table.succeeded("10.0.0.1", "alice")
    assert table.wait_s("10.0.0.1", "alice", free=5, interval_s=1.0) <= 0


def test_elsewhere_nobody_waits() -> None:
    """Goal: the rightful user from another address, and others from the same one, are not slowed. Method: after a
    hundred failures for one account from one address."""
    clock = Clock()
    table = FailedLogons(clock)
    for _ in range(100):
        fail(table, "10.0.0.1", "alice")
        clock.now += 1
    assert table.wait_s("10.0.0.2", "alice", free=5, interval_s=1.0) <= 0
    assert table.wait_s("10.0.0.1", "bob", free=5, interval_s=1.0) <= 0


def test_one_address_with_many_names() -> None:
    """Goal: names that change are slowed by the address. Method: a new name each time."""
    table = FailedLogons(Clock())
    waits = [fail(table, "10.0.0.1", f"user{number}") for number in range(5 * ADDRESS_FREE + 5)]
    assert max(waits[: 5 * ADDRESS_FREE]) <= 0
    assert [round(wait, 6) for wait in waits[5 * ADDRESS_FREE :]] == [
        round(number / ADDRESS_RATE, 6) for number in range(1, 6)
    ]


def test_the_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: neither hostile names nor many addresses make it grow without end; who is even is forgotten. Method: a
    small limit, long names, then a quiet minute."""
    monkeypatch.setattr(failed_logons, "ENTRIES_MAX", 10)
    clock = Clock()
    table = FailedLogons(clock)
    for number in range(100):
        fail(table, f"10.0.0.{number}", "x" * 10_000 + str(number))
    assert len(table) <= 20
    clock.now += 60
    fail(table, "10.0.1.1", "alice")
    assert len(table) == 2


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:0:1:a:b:c:d", "2001:db8:0:1::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("memory", "memory"),
    ],
)
def test_what_an_address_stands_for(address: str, source: str) -> None:
    """Goal: one machine is one source, however many addresses it gives itself. Method: one of each family."""
    assert source_of(address) == source
