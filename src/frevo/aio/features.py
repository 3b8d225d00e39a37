"""What the kernel's io_uring supports, probed once per process, and the resulting engine."""

from __future__ import annotations

import functools
import os

import msgspec

from frevo import _native

#: Environment variable that overrides the choice of engine: "uring", "threads" or "auto".
ENGINE_VARIABLE = "FREVO_IO"
#: Environment variable that says what `auto` is for data planes, of servers and clients: "uring", "epoll" or "auto".
DATA_PLANE_VARIABLE = "FREVO_ENGINE"

#: Without these, the ring would leave most of its work to threads.
NEEDED_OPERATIONS = frozenset({"openat2", "statx", "read", "write", "fsync", "async_cancel"})


class Features(msgspec.Struct, frozen=True):
    """The result of probing: listed opcodes and tested abilities, never the kernel version."""

    #: Why io_uring cannot be used, with the remedy; empty if it can.
    reason: str
    #: Opcodes that the kernel supports, by their kernel name in lower case ("openat2", "send_zc", ...).
    operations: frozenset[str]
    #: Abilities found by trial ("defer_taskrun", "multishot_accept", "provided_buffer_ring", "xattr", ...).
    abilities: dict[str, bool]

    @property
    def available(self) -> bool:
        """Whether io_uring can be used here."""
        return not self.reason

    def has(self, name: str) -> bool:
        """Whether there is an opcode or ability of that name."""
        return name in self.operations or self.abilities.get(name, False)


@functools.cache
def probe() -> Features:
    """The features of the kernel; probed once, in under a millisecond."""
    found = _native.ring_features()
    operations = frozenset(found["operations"])
    reason = found["reason"]
    missing = sorted(NEEDED_OPERATIONS - operations)
    if not reason and missing:
        reason = f"the kernel's io_uring is too old: it lacks {', '.join(missing)}"
    return Features(reason, operations, found["abilities"])


def wished_for(engine: str) -> str:
    """*engine*, one of the values of `frevo:engine`; "auto" is replaced by the environment variable FREVO_ENGINE."""
    return engine if engine != "auto" else os.environ.get(DATA_PLANE_VARIABLE) or "auto"


def choose_data_plane(engine: str = "auto") -> tuple[str, str]:
    """(engine, reason): the engine of a data plane for "auto", "uring" or "epoll", the values of `frevo:engine`.

    Raises OSError for other values, and if "uring" is requested but not available.
    """
    return _native.choose_engine(wished_for(engine))


def choose(engine: str | None = None) -> tuple[str, str]:
    """(engine, reason): "uring" or "threads", and a sentence that says why.

    *engine* is "auto", "uring" or "threads"; None: the value of the environment variable FREVO_IO, or "auto". Raises
    ValueError for other values, and OSError if "uring" is requested but not available.
    """
    wish = engine or os.environ.get(ENGINE_VARIABLE) or "auto"
    if wish not in ("auto", "uring", "threads"):
        raise ValueError(f"unknown I/O engine {wish!r}: use auto, uring or threads")
    if wish == "threads":
        return "threads", "threads were requested"
    features = probe()
    if features.available:
        return "uring", "io_uring is available" if wish == "auto" else "io_uring was requested"
    if wish == "uring":
        raise OSError(f"io_uring was requested but is not available: {features.reason}")
    return "threads", f"io_uring is not available: {features.reason}"
