"""The identity of a thread on disk: the process itself, or a Unix user, whose rights the kernel then applies.

The event loop's thread keeps the identity of the last request until another is needed, because a switch costs
microseconds. Code that uses the server's own files (accounts, log, control socket, configuration) calls `act_as(None)`
first; `must_be_server` detects omissions. Work passed to another thread or to a ring keeps the identity:
`frevo.aio.ring` ensures that, and `carried` for a plain function.
"""

from __future__ import annotations

import codecs
import functools
import importlib
import os
from collections.abc import Callable
from typing import Any, TypeVar

from frevo._native import UnixIdentity, act_as, acting_as, drop_capability
from frevo.errors import FrevoError

__all__ = [
    "UnixIdentity",
    "act_as",
    "acting_as",
    "as_identity",
    "carried",
    "granted",
    "load_all",
    "must_be_server",
    "must_be_user",
    "prepare_process",
]

T = TypeVar("T")

#: Ignores quotas and blocks reserved for root (capabilities(7)): no work of a user may have it.
_CAP_SYS_RESOURCE = 24
#: Modules that Python would otherwise load at their first use.
_LATER = ("concurrent.futures.thread", "frevo.aio.threads", "frevo.aio.uring", "traceback", "linecache")
_ENCODINGS = ("utf-16-le", "utf-16", "utf-8-sig", "utf-8", "latin-1", "ascii", "cp437", "cp850", "idna")
#: Any user but root; no process of that user is ever created.
_TRIAL = 65534


class ActingError(FrevoError):
    """The process cannot act as other users, or the wrong user touches a file; the message says which."""


class as_identity:
    """Acts as *who* (None: the process) in a `with` block, and as before afterwards. OSError if the kernel refuses."""

    __slots__ = ("_before", "_who")

    def __init__(self, who: UnixIdentity | None) -> None:
        self._who = who
        self._before: UnixIdentity | None = None

    def __enter__(self) -> None:
        self._before = acting_as()
        act_as(self._who)

    def __exit__(self, *_: object) -> None:
        act_as(self._before)


def carried(call: Callable[..., T]) -> Callable[..., T]:
    """*call*, to be run in another thread with the current identity of this thread."""
    return functools.partial(_run, acting_as(), call)


def _run(who: UnixIdentity | None, call: Callable[..., T], *args: Any) -> T:
    act_as(who)
    try:
        return call(*args)
    finally:
        act_as(None)


def granted(call: Callable[..., T], *args: Any) -> T:
    """*call* with the rights of the current user, or with the server's if those do not suffice.

    Only for operations that SMB's access check has granted, but for which Linux requires other rights: DOS attributes,
    times, stored security descriptors.
    """
    try:
        return call(*args)
    except PermissionError:
        if acting_as() is None:
            raise
    with as_identity(None):
        return call(*args)


def must_be_server(what: object) -> None:
    """Raises ActingError if this thread acts as a user: *what* belongs to the server."""
    who = acting_as()
    if who is not None:
        raise ActingError(f"{what} belongs to the server and was accessed as Unix user {who.uid}")


def must_be_user(what: object) -> None:
    """Raises ActingError if this thread acts as the process: *what* is for users only."""
    if acting_as() is None:
        raise ActingError(f"{what!r} was accessed with the server's own rights")


def load_all() -> None:
    """Imports modules that would otherwise be imported at their first use, as a user may not be allowed to read our
    folders."""
    for module in _LATER:
        importlib.import_module(module)
    for encoding in _ENCODINGS:
        codecs.lookup(encoding)


def prepare_process() -> None:
    """Ensures that this process can act as its users, and drops the capability to exceed their quotas.

    Raises ActingError with the reason. Must be called before threads are started.
    """
    load_all()
    if os.geteuid() != 0:
        raise ActingError("only root can act as other Unix users")
    try:
        act_as(UnixIdentity(_TRIAL, _TRIAL, []))
        act_as(None)
        drop_capability(_CAP_SYS_RESOURCE)
    except OSError as error:
        raise ActingError(
            f"this process cannot act as other Unix users ({error.strerror}): "
            "it needs CAP_SETUID and CAP_SETGID"
        ) from error
