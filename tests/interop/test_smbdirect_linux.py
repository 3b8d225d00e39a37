"""SMB Direct with the Linux kernel, over iWARP: cifs.ko on frevo, frevo's client on ksmbd; tshark looks on."""

from __future__ import annotations

import pytest
from peers import smbdirect_vm
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
