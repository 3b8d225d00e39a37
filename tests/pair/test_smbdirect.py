"""What SMB says about SMB Direct, over the pair with a transport of that name: dialects, sizes, interfaces."""

from __future__ import annotations

import pytest

from frevo.server.core.network_interfaces import Listening
from frevo.transport.interfaces import LocalAddress
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FsctlCode
from frevo.wire.smb2 import Capabilities, Command, IoctlRequest, IoctlResponse, NegotiateResponse
from frevo.wire.smb2.ioctl_structures import NetworkInterfaceInfo, parse_network_interfaces
from frevo.wire.smb2.smb1_negotiate import SMB1NegotiateRequest
from pair.client import Client, Reply, negotiate_request
from pair.conftest import MakePair
from pair.machine import Pair

DIALECTS = (0x0202, 0x0210, 0x0300, 0x0302, 0x0311)
ANY_FILE_ID = (2**64 - 1, 2**64 - 1)


@pytest.fixture
def rdma(make_pair: MakePair) -> Pair:
    """A server over SMB Direct as the defaults make it."""
    return make_pair(transport="smbdirect")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_from_3_0_on(rdma: Pair, dialect: int) -> None:
    """[MS-SMB2] 2.1: RDMA carries 3.x alone. Each dialect by itself."""
    reply = rdma.connect().call(Command.NEGOTIATE, negotiate_request((dialect,)).pack())
    assert reply.status == (NTStatus.SUCCESS if dialect >= 0x0300 else NTStatus.NOT_SUPPORTED)


def test_smb1_leads_to_3_x_only(rdma: Pair) -> None:
    """3.3.5.3: "SMB 2.002" names a dialect that RDMA does not carry; after "SMB 2.???" 2.1 is refused, and 3.x not."""
    client = rdma.connect()
    client.raw(SMB1NegotiateRequest(["NT LM 0.12", "SMB 2.002"]).pack())
    assert client.closed and not client.replies
    client = rdma.connect()
    client.raw(SMB1NegotiateRequest(["SMB 2.???"]).pack())
    assert client.wait(0).ok(NegotiateResponse).dialect_revision == 0x02FF
    client.next_id = 1
    assert client.call(Command.NEGOTIATE, negotiate_request((0x0210,)).pack()).status == NTStatus.NOT_SUPPORTED
    assert client.negotiate(DIALECTS).dialect_revision == 0x0311


def test_sizes(rdma: Pair) -> None:
    """3.3.5.4: several credits a request, as over TCP. READ and WRITE are as large as ever, as RDMA moves their data;
    everything else has to fit into a message, which has at most 1 MiB."""
    answer = rdma.connect().negotiate(DIALECTS)
    assert answer.capabilities & Capabilities.LARGE_MTU
    assert (answer.max_read_size, answer.max_write_size) == (8 << 20, 8 << 20)
    assert answer.max_transact_size == 960 << 10  # and 64 KiB for headers and the rest of a compound


LOCAL = [LocalAddress("lo", 1, "127.0.0.1"), LocalAddress("eth0", 2, "192.0.2.7")]


def ask(client: Client, size: int = 4096) -> Reply:
    """The answer to FSCTL_QUERY_NETWORK_INTERFACE_INFO."""
    code = int(FsctlCode.QUERY_NETWORK_INTERFACE_INFO)
    return client.call(Command.IOCTL, IoctlRequest(code, ANY_FILE_ID, flags=1, max_output_response=size).pack())


def test_interfaces(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """3.3.5.15.11: a client that came by TCP learns where SMB Direct is; without SMB Direct, before 3.0 and with too
    little room it gets an error."""
    monkeypatch.setattr("frevo.server.fsctl.network.local_addresses", lambda: LOCAL)
    client = pair.logged_on()
    assert ask(client).status == NTStatus.NOT_SUPPORTED
    pair.server.listening = Listening(("0.0.0.0",), ("0.0.0.0",))
    found = parse_network_interfaces(ask(client).ok(IoctlResponse).output_buffer)
    assert found == [NetworkInterfaceInfo(2, 2, 10**9, found[0].address, 0)]
    assert str(found[0].address) == "192.0.2.7"
    assert ask(client, 151).status == NTStatus.BUFFER_TOO_SMALL
    old = pair.connect()
    old.negotiate((0x0210,))
    old.log_on()
    old.connect_tree()
    assert ask(old).status == NTStatus.NOT_SUPPORTED


def test_interfaces_that_the_kernel_does_not_tell(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the system is an error for the client, no more."""

    def broken() -> list[LocalAddress]:
        raise OSError(23, "Too many open files in system")

    monkeypatch.setattr("frevo.server.fsctl.network.local_addresses", broken)
    pair.server.listening = Listening(("0.0.0.0",), ("0.0.0.0",))
    client = pair.logged_on()
    assert ask(client).status == NTStatus.INSUFFICIENT_RESOURCES
    assert not client.closed
