"""FailedLogons: what wrong passwords cost, whom they slow down, and how much is remembered. The test sets the
clock."""

from __future__ import annotations

import pytest

from frevo.auth import failed_logons
from frevo.auth.failed_logons import ADDRESS_FREE, ADDRESS_RATE, WAIT_MAX_S, FailedLogons, source_of


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def fail(table: FailedLogons, address: str, account: str) -> float:
    """One failure; returns how long its response is delayed."""
    wait_s = table.wait_s(address, account, free=5, interval_s=1.0)
    table.failed(address, account, interval_s=1.0)
    return wait_s


def test_a_few_are_free_then_one_a_second() -> None:
    """Goal: five failures cost nothing, each further one a second, in parallel too; time heals. Method: nine at once,
    then one after a quiet minute."""
    clock = Clock()
    table = FailedLogons(clock)
    waits = [fail(table, "10.0.0.1", "alice") for _ in range(9)]
    assert [round(wait, 6) for wait in waits if wait > 0] == [1, 2, 3, 4]
    clock.now += 60
    assert fail(table, "10.0.0.1", "ALICE") <= 0


def test_the_right_password_waits_its_turn_and_clears() -> None:
    """Goal: success is answered no sooner than a failure would be, and makes the next attempt free. Method: after
    seven failures."""
    table = FailedLogons(Clock())
    for _ in range(7):
        fail(table, "10.0.0.1", "alice")
    assert 0 < table.wait_s("10.0.0.1", "alice", free=5, interval_s=1.0) <= WAIT_MAX_S
    table.succeeded("10.0.0.1", "alice")
    assert table.wait_s("10.0.0.1", "alice", free=5, interval_s=1.0) <= 0


def test_elsewhere_nobody_waits() -> None:
    """Goal: the rightful user at another address, and other users at the same one, are not slowed down. Method: after
    a hundred failures for one account from one address."""
    clock = Clock()
    table = FailedLogons(clock)
    for _ in range(100):
        fail(table, "10.0.0.1", "alice")
        clock.now += 1
    assert table.wait_s("10.0.0.2", "alice", free=5, interval_s=1.0) <= 0
    assert table.wait_s("10.0.0.1", "bob", free=5, interval_s=1.0) <= 0


def test_one_address_with_many_names() -> None:
    """Goal: changing the name does not help: the address is slowed down. Method: a new name each time."""
    table = FailedLogons(Clock())
    waits = [fail(table, "10.0.0.1", f"user{number}") for number in range(5 * ADDRESS_FREE + 5)]
    assert max(waits[: 5 * ADDRESS_FREE]) <= 0
    assert [round(wait, 6) for wait in waits[5 * ADDRESS_FREE :]] == [
        round(number / ADDRESS_RATE, 6) for number in range(1, 6)
    ]


def test_the_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: neither hostile names nor many addresses make the table grow without limit; entries that no longer delay
    anybody are forgotten. Method: a small limit, long names, then a quiet minute."""
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
    """Goal: one machine is one source, however many addresses it uses. Method: one of each family."""
    assert source_of(address) == source
