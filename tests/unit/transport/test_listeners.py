"""frevo.transport.listeners: which process has a port, and on which address."""

from __future__ import annotations

import os
import socket

from frevo.transport.listeners import addresses_of, listening_processes


def test_the_listener_is_found() -> None:
    """The process with the listening socket, by address and port; none for another address or when it is closed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert listening_processes(port) == [os.getpid()]
        assert listening_processes(port, host="127.0.0.1") == [os.getpid()]
        assert listening_processes(port, host="127.0.0.2") == []
        assert listening_processes(port, "udp") == []
    assert listening_processes(port) == []


def test_all_addresses_serve_each() -> None:
    """A socket on every address serves each of them; one for IPv6 serves IPv4, too."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        assert listening_processes(listener.getsockname()[1], host="127.0.0.1") == [os.getpid()]
    with socket.create_server(("0.0.0.0", 0)) as listener:
        port = listener.getsockname()[1]
        assert listening_processes(port, host="127.0.0.1") == [os.getpid()]
        assert listening_processes(port, host="::1") == []


def test_names_have_addresses() -> None:
    """Each address of a name once; a name without one has none, and that is not an error."""
    assert addresses_of("127.0.0.1", 445) == ["127.0.0.1"]
    assert addresses_of("no-such-host.invalid", 445) == []
