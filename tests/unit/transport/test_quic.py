"""UDP sockets for QUIC: one port for several threads and for nobody else, the options that both sides need."""

from __future__ import annotations

import errno
import socket

import pytest

from frevo.transport.interfaces import has_ipv6
from frevo.transport.quic import bind_sockets, client_socket

HOSTS = ["127.0.0.1", "::1"] if has_ipv6() else ["127.0.0.1"]


def test_one_port_for_all() -> None:
    """Goal: every address and thread has the same port. Method: three threads, a free port; each socket is used."""
    bound = bind_sockets(HOSTS, 0, 3)
    try:
        assert [len(siblings) for siblings in bound] == [3] * len(HOSTS)
        assert len({one.getsockname()[1] for siblings in bound for one in siblings}) == 1
        assert not any(one.getblocking() for siblings in bound for one in siblings)
        reached = set()
        for _ in range(400):  # the kernel chooses by address and port of the sender
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"x", bound[0][0].getsockname())
            for number, one in enumerate(bound[0]):
                try:
                    one.recv(1)
                    reached.add(number)
                except BlockingIOError:
                    pass
        assert reached == {0, 1, 2}
    finally:
        for siblings in bound:
            for one in siblings:
                one.close()


@pytest.mark.parametrize("shared", [False, True])
def test_a_port_in_use(shared: bool) -> None:
    """Goal: no port is shared with another program, willing or not. Method: one that has it, with SO_REUSEPORT and
    without; a server like ours."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        if shared:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        with pytest.raises(OSError) as failed:
            bind_sockets(["127.0.0.1"], port, 2)
        assert (failed.value.errno, failed.value.filename) == (errno.EADDRINUSE, f"UDP 127.0.0.1:{port}")
    [siblings] = bind_sockets(["127.0.0.1"], 0, 2)
    with siblings[0], siblings[1], pytest.raises(OSError) as failed:
        bind_sockets(["127.0.0.1"], siblings[0].getsockname()[1], 2)
    assert failed.value.errno == errno.EADDRINUSE


def test_nothing_stays_open_when_one_address_fails() -> None:
    """Goal: all or none. Method: an address that is not this machine's behind one that is."""
    with pytest.raises(OSError) as failed:
        bind_sockets(["127.0.0.1", "192.0.2.1"], 0, 2)
    assert failed.value.errno == errno.EADDRNOTAVAIL
    assert failed.value.filename.startswith("UDP 192.0.2.1:")


def test_options_of_a_client() -> None:
    """Goal: a client's socket never fragments, and says where a datagram came to. Method: ask the kernel."""
    with client_socket(socket.AF_INET) as made:
        assert made.getsockopt(socket.IPPROTO_IP, 10) == 3  # IP_MTU_DISCOVER, IP_PMTUDISC_PROBE
        assert made.getsockopt(socket.IPPROTO_IP, 8) == 1  # IP_PKTINFO
        assert made.getsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS) == 1
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 200_000
    if has_ipv6():
        with client_socket(socket.AF_INET6) as made:
            assert made.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO) == 1
            assert made.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS) == 1
