"""How tests are distributed to workers that run side by side (`make test` runs `pytest -n 4`).

A file is one piece of work: its servers and mounts are made once. The files of SPLIT, whose tests share nothing but a
server, are distributed test by test. Long pieces come first, so that no worker is left with one at the end; many of
them only wait or emulate a machine, and short tests run beside them.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling

#: Files in which each test is a piece of work of its own.
SPLIT = ("interop/test_smbtorture.py", "interop/test_linux_client.py")

#: What takes more than ten seconds when it runs alone. Wrong numbers cost time, nothing else; `--durations=40` tells.
SECONDS = {
    "interop/test_client_large.py": 65,
    "interop/test_client_commands.py": 60,
    "interop/test_client_fsspec.py": 45,
    "interop/test_linux_client.py": 35,
    "interop/test_linux_client.py::test_smoke[vers=3.1.1,seal]": 55,
    "interop/test_linux_client.py::test_smoke[vers=3.0]": 50,
    "integration/test_hostile.py": 40,
    "interop/test_mount.py": 35,
    "interop/test_smbtorture.py::test_suite[tcp-smb2.notify]": 18,
    "interop/test_smbtorture.py::test_suite[quic-smb2.notify]": 18,
    "interop/test_smbtorture.py::test_suite[tcp-smb2.timestamps]": 14,
    "interop/test_smbtorture.py::test_suite[quic-smb2.timestamps]": 14,
    "interop/test_smbtorture.py::test_suite[tcp-smb2.dir]": 12,
    "interop/test_smbtorture.py::test_suite[quic-smb2.dir]": 12,
    "interop/test_client_faults.py": 25,
    "interop/test_client_data.py": 20,
    "interop/test_client_batch.py": 20,
    "interop/test_client_bench.py": 20,
    "interop/test_smbclient.py": 15,
    "integration/test_bench_smoke.py": 25,
    "integration/test_full_disk.py": 25,
    "integration/test_differential.py": 20,
    "interop/test_mount_signals.py": 14,
    "interop/test_mount_locks.py": 13,
    "interop/test_client_spread.py": 12,
    "interop/test_share_keys.py": 11,
    "interop/test_client_shell.py": 11,
    "unit/transport/test_dataplane_engine.py": 12,
    "pair/test_hostile_values.py": 12,
}


def piece_of(test: str) -> str:
    """The piece of work that the test with this id belongs to: its file, or the test itself in a file of SPLIT."""
    file = test.partition("::")[0]
    return test if file.endswith(SPLIT) else file


def _seconds(test: str) -> int:
    name = test.removeprefix("tests/")
    return SECONDS.get(name, SECONDS.get(name.partition("::")[0], 0))


def longest_first(items: list[pytest.Item]) -> None:
    """Sorts the tests by the duration of their piece; equal ones keep their order."""
    items.sort(key=lambda item: -_seconds(item.nodeid))


class InPieces(LoadScopeScheduling):
    """Distributes pieces in the order of the tests."""

    def __init__(self, config: pytest.Config, log: object) -> None:
        super().__init__(config, log)  # type: ignore[arg-type]
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return piece_of(nodeid)
