"""Budget: how much of a limited resource each user may take."""

from __future__ import annotations

import pytest

from frevo.errors import SMBError
from frevo.server.core.budget import Budget
from frevo.wire.erref import NTStatus


def most(budget: Budget, user: str) -> int:
    """How often *user* can reserve before it is refused."""
    for count in range(budget.limit + 1):
        try:
            budget.reserve(user)
        except SMBError as error:
            assert error.status == NTStatus.INSUFFICIENT_RESOURCES
            return count
    raise AssertionError("no end")


def test_nobody_takes_everything() -> None:
    """Goal: a user holds no more than what is left for the others, the next one half of the rest. Method: three users,
    one after the other, take all they can of 100."""
    budget = Budget("things", 100)
    assert [most(budget, user) for user in ("a", "b", "c")] == [50, 25, 12]
    assert budget.total == 87 and dict(budget.users()) == {"a": 50, "b": 25, "c": 12}


@pytest.mark.parametrize("count", [1, 3, 10])
def test_room_check_and_reserve_agree(count: int) -> None:
    """Goal: `room`, `check` and `reserve` agree. Method: all of them at every level of use."""
    budget = Budget("things", 40)
    while budget.room("a", count):
        budget.check("a", count)
        budget.take("a", count)
    with pytest.raises(SMBError):
        budget.check("a", count)
    if count == 1:
        with pytest.raises(SMBError):
            budget.reserve("a")
    assert budget.of("a") == 40 // (2 * count) * count


def test_given_back_is_free_again() -> None:
    """Goal: nothing is left of a user that has returned everything. Method: take, give back, and look at
    everything."""
    budget = Budget("things", 10)
    budget.take("a", 3)
    budget.give("a", 2)
    assert (budget.of("a"), budget.total) == (1, 1)
    budget.give("a")
    assert (budget.of("a"), budget.total, list(budget.users())) == (0, 0, [])


def test_a_smaller_limit_takes_nothing_away() -> None:
    """Goal: after a reload with a smaller limit users keep what they have and get no more. Method: 10, then 2."""
    budget = Budget("things", 10)
    budget.take("a", 4)
    budget.limit = 2
    assert not budget.room("a") and not budget.room("b") and budget.of("a") == 4
