"""Look-ups of users and groups.

A directory service may have to answer them, slowly or never. With `set_call_runner` they run elsewhere, and only their
caller waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

#: Runs a call, perhaps in another thread, and returns its result or raises its exception.
CallRunner = Callable[[Callable[[], Any]], Any]

_runner: CallRunner | None = None


def set_call_runner(runner: CallRunner | None) -> None:
    """Makes *runner* run all look-ups from now on. None: they run in the calling thread."""
    global _runner
    _runner = runner


def look_up(function: Callable[..., T], *arguments: Any) -> T:
    """Calls *function* (of pwd or grp, or os.getgrouplist) with *arguments*: its result or its exception."""
    if _runner is None:
        return function(*arguments)
    result: T = _runner(lambda: function(*arguments))
    return result
