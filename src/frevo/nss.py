"""Questions to the system's lists of users and groups.

They may be a directory service's to answer, which may be slow, or never answer. Where somebody says so (`set_courier`),
such a question is asked elsewhere while whoever asked it waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

#: Has a question asked: gives the answer, or raises what asking it raises.
Courier = Callable[[Callable[[], Any]], Any]

_courier: Courier | None = None


def set_courier(courier: Courier | None) -> None:
    """From now on questions are asked by *courier*, which is called in the thread that asks; None: right there."""
    global _courier
    _courier = courier


def ask(question: Callable[..., T], *arguments: Any) -> T:
    """What *question* (a function of pwd or grp, or os.getgrouplist) gives or raises for *arguments*."""
    if _courier is None:
        return question(*arguments)
    answer: T = _courier(lambda: question(*arguments))
    return answer
