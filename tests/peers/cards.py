"""RDMA cards that exist only in one process: the stub of libibverbs and librdmacm (crates/frevo-verbs-stub)."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

from peers import programs
from peers.cargo_tests import cargo_library

_TESTS = Path(__file__).parent.parent
#: What rdma-core's libraries are called.
_NAMES = ("libibverbs.so.1", "librdmacm.so.1")


def run_with_cards(folder: Path, module: str, *arguments: str, timeout_s: float = 60) -> programs.Run:
    """Runs a module of the tests in a process whose RDMA libraries are the stub: cards at 127.0.0.1 and 127.0.0.2,
    which only that process sees. *folder* is for its files."""
    stub = cargo_library("frevo-verbs-stub")
    libraries = folder / "libraries"
    libraries.mkdir()
    for name in _NAMES:
        (libraries / name).symlink_to(stub)
    environment = {"LD_LIBRARY_PATH": str(libraries), "PYTHONPATH": str(_TESTS), "PYTHONFAULTHANDLER": "1"}
    return programs.run(
        [sys.executable, "-m", module, str(folder), *arguments], timeout_s=timeout_s, cwd=_TESTS, env=environment
    )


def objects() -> int:
    """In such a process: how many objects of the libraries nobody has destroyed."""
    library = ctypes.CDLL(_NAMES[0])
    library.verbs_stub_objects.restype = ctypes.c_size_t
    return int(library.verbs_stub_objects())


def remove_devices() -> None:
    """In such a process: takes the cards away from whoever is connected."""
    ctypes.CDLL(_NAMES[0]).verbs_stub_remove_devices()
