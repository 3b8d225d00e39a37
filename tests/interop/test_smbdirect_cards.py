"""frevo over RDMA devices of a Linux kernel, in a virtual machine: with itself, and with cifs.ko."""

from __future__ import annotations

from pathlib import Path

import pytest
from peers import guest_python, smbdirect_vm
from peers.linux_client import judge

pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.once("a virtual machine takes a minute"),
]


def test_siw(tmp_path: Path) -> None:
    """Server and client with provider verbs over siw, and cifs.ko at the other end."""
    (tmp_path / "python.sh").write_text(guest_python.install(tmp_path))
    script, files = smbdirect_vm.SCRIPTS / "frevo-cards.sh", smbdirect_vm.verbs_libraries()
    result = smbdirect_vm.run(script, "siw", folder=tmp_path, files=files, timeout_s=300)
    judge(result, {}, 14)
