"""SMB Direct with the Linux kernel, over iWARP: cifs.ko on frevo, frevo's client on ksmbd; tshark looks on."""

from __future__ import annotations

from pathlib import Path

import pytest
from peers import smbdirect_vm
from peers.cargo_tests import cargo_test
from peers.linux_client import judge

pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.once("a virtual machine takes a minute"),
]


def test_machine() -> None:
    """What the other tests stand on: the machine's cifs.ko and ksmbd, siw between them, no server or client of ours."""
    judge(smbdirect_vm.run(smbdirect_vm.SCRIPTS / "self.sh"), {}, 8)


@pytest.mark.parametrize("kind", ["siw", "rxe"])
def test_cards(kind: str) -> None:
    """The suite that every RDMA provider passes, over the machine's devices of this kind, with Debian's libraries."""
    suite = cargo_test("frevo-verbs", "roce")
    libgcc = next(Path("/lib").glob("*/libgcc_s.so.1"))
    files = [f"{suite}=/job/suite", f"{libgcc}={libgcc}", *smbdirect_vm.verbs_libraries()]
    result = smbdirect_vm.run(smbdirect_vm.SCRIPTS / "verbs.sh", kind, files=files)
    judge(result, {}, 1)
    assert "test result: ok" in result.output, result.output[-4000:]
