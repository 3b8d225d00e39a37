"""What the kernel's io_uring offers, probed once per process, and which engine is used because of it."""

from __future__ import annotations

import functools
import os

import msgspec

from frevo import _native

#: Environment variable that overrides the choice of engine: "uring", "threads" or "auto".
ENGINE_VARIABLE = "FREVO_IO"

#: Without these the ring would hand most of its work to threads anyway.
NEEDED_OPERATIONS = frozenset({"openat2", "statx", "read", "write", "fsync", "async_cancel"})


class Features(msgspec.Struct, frozen=True):
    """The result of probing. No kernel version is looked at: opcodes are listed, abilities are tried."""

    #: Why io_uring cannot be used, with the remedy; empty when it can.
    reason: str
    #: Opcodes that the kernel supports, by their kernel name in lower case ("openat2", "send_zc", ...).
    operations: frozenset[str]
    #: What was found by trial ("defer_taskrun", "multishot_accept", "provided_buffer_ring", "xattr", ...).
    abilities: dict[str, bool]

    @property
    def available(self) -> bool:
        """Whether io_uring can be used here."""
        return not self.reason

    def has(self, name: str) -> bool:
        """Whether an opcode or an ability of that name is there."""
        return name in self.operations or self.abilities.get(name, False)


@functools.cache
def probe() -> Features:
    """The features of this process's kernel; asked once, under a millisecond."""
    found = _native.ring_features()
    operations = frozenset(found["operations"])
    reason = found["reason"]
    missing = sorted(NEEDED_OPERATIONS - operations)
    if not reason and missing:
        reason = f"the kernel's io_uring is too old: it lacks {', '.join(missing)}"
    return Features(reason, operations, found["abilities"])


def choose_data_plane(engine: str = "auto") -> tuple[str, str]:
    """(engine, reason): what a data plane takes for "auto", "uring" or "epoll", as `frevo:engine` has it.

    Raises OSError for another word and when "uring" is demanded but not available.
    """
    return _native.choose_engine(engine)


def choose(engine: str | None = None) -> tuple[str, str]:
    """(engine, reason): "uring" or "threads", and the sentence that says why.

    *engine* is "auto", "uring" or "threads"; None asks the environment variable FREVO_IO first. Raises
    ValueError for another word and OSError when "uring" is demanded but not available.
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
