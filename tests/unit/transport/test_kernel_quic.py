"""The choice between QUIC in user space and the kernel's sockets."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from frevo.transport import kernel_quic


class Probe:
    """What socket() gives; `size`: of the record that its option has."""

    size = 72

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def getsockopt(self, *_: int) -> bytes:
        return bytes(self.size)


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Any, ...]]]:
    """A kernel with QUIC sockets; the arguments of each call of socket()."""
    calls: list[tuple[Any, ...]] = []

    def made(*arguments: Any) -> Probe:
        calls.append(arguments)
        return Probe()

    kernel_quic.missing.cache_clear()
    monkeypatch.setattr(kernel_quic.socket, "socket", made)
    monkeypatch.setattr(Probe, "size", 72)
    yield calls
    kernel_quic.missing.cache_clear()


def without(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Probe:
        raise OSError(errno.EPROTONOSUPPORT, "Protocol not supported")

    monkeypatch.setattr(kernel_quic.socket, "socket", refuse)


def test_the_kernel_if_it_can(asked: list[tuple[Any, ...]]) -> None:
    """It is asked once, with the protocol's number."""
    assert [kernel_quic.choose(wanted) for wanted in ("auto", "kernel", "user")] == ["kernel", "kernel", "user"]
    assert asked == [(socket.AF_INET, socket.SOCK_STREAM, 261)]
    assert kernel_quic.missing() == ""


def test_user_space_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the kernel was demanded, which is an error that names the key and the reason."""
    without(monkeypatch)
    assert (kernel_quic.choose("auto"), kernel_quic.choose("user")) == ("user", "user")
    with pytest.raises(OSError, match=r"driver = kernel, but .* \(Protocol not supported\): use auto") as error:
        kernel_quic.choose("kernel")
    assert error.value.errno == errno.EPROTONOSUPPORT


def test_sockets_of_another_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    """An option that is not as it should be: they are not used."""
    monkeypatch.setattr(Probe, "size", 40)
    assert kernel_quic.choose("auto") == "user"
    assert kernel_quic.missing() == "their interface is another one"


def test_an_address_that_cannot_be_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address is in the error, as of every listener."""
    without(monkeypatch)
    with pytest.raises(OSError) as error:
        kernel_quic.bind_sockets(["127.0.0.1"], 4433)
    assert error.value.filename == "UDP 127.0.0.1:4433"
