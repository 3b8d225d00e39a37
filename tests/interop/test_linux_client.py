"""The Linux kernel's cifs.ko in a virtual machine: mounts, files, locks, fio verify, a C build."""

from __future__ import annotations

from pathlib import Path

import pytest
from peers import programs, transports
from peers.c_toolchain import project_tar, toolchain_tar
from peers.linux_client import TOOL, judge, linux_client
from peers.target import Target

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(600)]

EXAMPLES = TOOL.parent / "examples"
PROJECT = Path(__file__).parent / "c-project" / "project"

#: Checks of smoke.sh that need what frevo does not have yet, and what that is.
NOT_YET = {
    "reads under a lease come from the cache": "leases",
}


ONCE = pytest.mark.once("a virtual machine takes a minute; test_smoke is repeated with the newest dialect")


@pytest.mark.parametrize("options", [pytest.param("vers=3.0", marks=ONCE), "vers=3.1.1,seal"])
def test_smoke(server: Target, options: str) -> None:
    """Copy and compare, names, times, attributes, locks, two clients, 120 files, tar, fio verify."""
    programs.need("fio")
    judge(linux_client(server, EXAMPLES / "smoke.sh", options=options, timeout_s=420), NOT_YET, 15)


@ONCE
def test_mounts(server: Target) -> None:
    """Several sets of mount options: each one mounts, and a file comes back unchanged."""
    options = ["vers=3.1.1,sign", "vers=3.1.1,cache=none", "vers=3.1.1,nolease"]
    if not transports.over_quic():  # which carries 3.1.1 alone
        options += ["vers=2.1", "vers=3.0,seal"]
    result = linux_client(server, EXAMPLES / "mounts.sh", *options, mount=False, timeout_s=420)
    judge(result, {}, 2 * len(options))


@ONCE
def test_build(server: Target, tmp_path: Path) -> None:
    """Untar a small C project on the mount, build it with make and a C compiler, run its tests there."""
    files = [
        str(project_tar(PROJECT, tmp_path / "project.tar")),
        str(toolchain_tar(PROJECT, tmp_path / "tcc.tar")),
    ]
    result = linux_client(
        server,
        EXAMPLES / "build.sh",
        options="vers=3.1.1",
        with_programs=("tcc", "make"),
        files=files,
        timeout_s=240,
    )
    judge(result, {}, 8)
