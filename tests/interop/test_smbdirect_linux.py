"""SMB Direct with the Linux kernel, over iWARP: cifs.ko on frevo, frevo's client on ksmbd; tshark looks on."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from peers import smbdirect_vm
from peers.capture import Capture, capture
from peers.cargo_tests import cargo_test
from peers.frevo_server import FrevoServer, frevo_server
from peers.linux_client import judge
from peers.smbdirect_vm import SCRIPTS, Ksmbd, ksmbd

import frevo
from frevo.client import RemoteError, Share

pytestmark = [
    pytest.mark.interop,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.once("a virtual machine takes a minute"),
]

#: Malformed packets, and what a dissector calls an error.
WRONG = "_ws.malformed || _ws.expert.severity == error"
#: tshark 4.0 takes the negHints of every server's NegTokenInit2 ([MS-SPNG] 2.2.1) for a broken OCTET STRING.
TSHARKS_OWN = "BER Error: OctetString expected but class:UNIVERSAL(0) Constructed tag:16 was unexpected"


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrevoServer]:
    """frevo with SMB Direct over iWARP. Clients choose whether to sign: cifs.ko signs, or uses RDMA."""
    with frevo_server(
        tmp_path_factory.mktemp("direct"), {"server signing": "auto"}, direct="iwarp"
    ) as target:
        yield target


def check_dissected(packets: Capture, commands: set[int]) -> None:
    """Nothing of it is malformed, and it has responses to *commands* over SMB Direct."""
    wrong = packets.frames(WRONG, "frame.number", "_ws.col.Info", "_ws.expert.message")
    assert [line for line in wrong if line.rpartition("\t")[2] != TSHARKS_OWN] == []
    answers = packets.frames("smb_direct && smb2.flags.response == 1", "smb2.cmd")
    assert {int(command) for line in answers for command in line.split(",")} >= commands


def test_machine() -> None:
    """What the other tests stand on: the machine's cifs.ko and ksmbd, siw between them, no server or client of ours."""
    judge(smbdirect_vm.run(SCRIPTS / "self.sh"), {}, 8)


@pytest.mark.parametrize("kind", ["siw", "rxe"])
def test_cards(kind: str) -> None:
    """The suite that every RDMA provider passes, over the machine's devices of this kind, with Debian's libraries."""
    suite = cargo_test("frevo-verbs", "roce")
    libgcc = next(Path("/lib").glob("*/libgcc_s.so.1"))
    files = [f"{suite}=/job/suite", f"{libgcc}={libgcc}", *smbdirect_vm.verbs_libraries()]
    result = smbdirect_vm.run(SCRIPTS / "verbs.sh", kind, files=files)
    judge(result, {}, 1)
    assert "test result: ok" in result.output, result.output[-4000:]


def test_protected(direct: FrevoServer) -> None:
    """Files of many sizes, in messages and by RDMA: without protection, signed, encrypted, without a cache."""
    options = ["nolease", "sign", "seal", "cache=none"]
    result = smbdirect_vm.run(SCRIPTS / "each.sh", str(direct.direct_port), *options, timeout_s=420)
    judge(result, {}, len(options) * 9)


def test_captured(direct: FrevoServer, tmp_path: Path) -> None:
    """tshark dissects a session of cifs.ko: MPA, DDP, RDMAP, SMB Direct and SMB2, nothing malformed."""
    with capture(tmp_path / "lo.pcap", direct.direct_port, iwarp=True) as packets:
        judge(smbdirect_vm.run(SCRIPTS / "each.sh", str(direct.direct_port), "nolease"), {}, 9)
    check_dissected(packets, {0, 1, 3, 5, 6, 8, 9, 16})
    operations = set(packets.frames("iwarp_rdma", "iwarp_rdma.opcode"))
    # RDMA WRITE, READ request and response, Send, Send with Invalidate
    assert operations >= {"0x00", "0x01", "0x02", "0x03", "0x04"}


async def test_ksmbd(tmp_path: Path) -> None:
    """frevo's client writes files of many sizes to ksmbd and reads them back, by RDMA and in messages; the machine has
    the same in its own file system, and tshark finds nothing malformed."""
    wanted = {}
    (tmp_path / "machine").mkdir()
    with ExitStack() as stack:
        served = stack.enter_context(ksmbd(tmp_path / "machine"))
        packets = stack.enter_context(capture(tmp_path / "lo.pcap", served.direct_port, iwarp=True))
        # Encrypted, ksmbd 6.12 sends messages over RDMA without their transform headers.
        for signing in (False, True):
            async with await connected(served, signing) as share:
                for size in (1, 1340, 8191, 8192, 65537, 2_000_001):
                    data, name = os.urandom(size), f"{signing}-{size}"
                    wanted[name] = hashlib.sha256(data).hexdigest()
                    assert await share.write_bytes(name, data) == size
                    assert await share.read_bytes(name) == data
                assert set(await share.listdir()) == set(wanted)
    assert served.sums == wanted
    check_dissected(packets, {0, 1, 3, 5, 6, 8, 9, 14})


async def connected(served: Ksmbd, signing: bool) -> Share:
    """frevo's client on the share of the machine, whose siw overlooks the first message now and then."""
    url = f"smb+rdma://{served.host}:{served.direct_port}/export"
    for _ in range(3):
        with contextlib.suppress(RemoteError):
            return await frevo.connect(url, user=served.user, password=served.password, signing=signing)
    raise AssertionError("no connection to ksmbd came about")
