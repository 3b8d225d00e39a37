"""The emulation of the kernel's QUIC sockets refuses what the module refuses: else tests with it would prove little."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from peers.kernel_quic import KernelQuic

pytestmark = pytest.mark.once("about the tests themselves")

#: Two sockets of one process that are connected, and the calls that a handshake makes.
_ENDS = """
import ctypes, errno, os, socket, struct, sys, time

QUIC, INITIAL, HANDSHAKE, APP = 288, b"\\x01", b"\\x02", b"\\x00"

def secret(send, level, fill, cipher=51):
    return struct.pack("=BBHI48s", send, level, 0, cipher, bytes([fill]) * 48)

def error_of(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"

def when_there(call, *arguments):
    while True:
        try:
            return call(*arguments)
        except BlockingIOError:
            time.sleep(0.005)

def open_stream(end):
    value, length = ctypes.create_string_buffer(16), ctypes.c_uint(16)
    if ctypes.CDLL(None, use_errno=True).getsockopt(end.fileno(), QUIC, 1, value, ctypes.byref(length)):
        raise OSError(ctypes.get_errno(), "")

def tls(end, level, data):
    while data:
        data = data[end.sendmsg([data], [(QUIC, 1, level)]):]

def received(end):
    data, control, _, _ = when_there(end.recvmsg, 65536, 64)
    return data, control[0][1:]

def connected():
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 261)
    listener.bind(("127.0.0.1", 0))
    listener.setsockopt(QUIC, 11, b"smb")
    listener.listen(8)
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 261)
    client.connect(listener.getsockname())
    client.setblocking(False)
    server, _ = listener.accept()
    server.setblocking(False)
    return client, server

def hello(client, server):
    tls(client, INITIAL, b"\\x03smb hello")
    assert received(server) == (b"\\x03smb hello", (1, INITIAL))
    tls(server, INITIAL, b"answer")
    assert received(client) == (b"answer", (1, INITIAL))

def exchange(client, server):
    client.setsockopt(QUIC, 14, server.getsockopt(QUIC, 14, 512))
    server.setsockopt(QUIC, 14, client.getsockopt(QUIC, 14, 512))

def agree(client, server, wrong=0):
    for level in (2, 0):
        client.setsockopt(QUIC, 13, secret(1, level, 7 + level))
        client.setsockopt(QUIC, 13, secret(0, level, 70 + level))
        server.setsockopt(QUIC, 13, secret(1, level, 70 + level))
        server.setsockopt(QUIC, 13, secret(0, level, 7 + level + wrong * (level == 0)))

"""


@pytest.fixture
def kernel(tmp_path: Path) -> KernelQuic:
    return KernelQuic(tmp_path / "kernel")


def run(kernel: KernelQuic, program: str) -> list[str]:
    """The lines that a program with two connected sockets prints."""
    done = subprocess.run(
        [sys.executable, "-c", _ENDS + program],
        env={**os.environ, **kernel.environment}, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_whole_connection(kernel: KernelQuic) -> None:
    """Goal: used as it is meant, the sockets carry data, their end and the code of a close. Method: all of it."""
    said = run(
        kernel,
        """
client, server = connected()
hello(client, server)
exchange(client, server)
agree(client, server)
open_stream(client)
client.send(b"request")
print(received(server))
server.send(b"answer")
print(received(client))
client.sendmsg([], [(QUIC, 0, struct.pack("=qI4x", 0, 0x200))])
data, control = received(server)
print(data, struct.unpack("=qI4x", control[1]))
server.setsockopt(QUIC, 5, struct.pack("=I4x64s", 0x131, b"go"))
server.close()
print(error_of(when_there, client.recv, 10), struct.unpack_from("=I4x2s", client.getsockopt(QUIC, 5, 72)))
""",
    )
    stream = f"(0, {bytes(16)!r})"
    assert said == [f"(b'request', {stream})", f"(b'answer', {stream})", "b'' (0, 512)", "ENOTCONN (305, b'go')"]
    kernel.check()
    assert kernel.count("established") == 2


def test_other_secrets_carry_nothing(kernel: KernelQuic) -> None:
    """Goal: ends whose keys differ cannot talk, at either level. Method: other 1-RTT keys, other handshake keys."""
    said = run(
        kernel,
        """
client, server = connected()
hello(client, server)
exchange(client, server)
agree(client, server, wrong=1)
open_stream(client)
client.send(b"request")
print(error_of(when_there, server.recv, 10))
client, server = connected()
hello(client, server)
client.setsockopt(QUIC, 13, secret(1, 2, 1))
server.setsockopt(QUIC, 13, secret(0, 2, 2))
tls(client, HANDSHAKE, b"finished")
print(error_of(when_there, server.recv, 10))
""",
    )
    assert said == ["ENOTCONN", "ENOTCONN"]
    assert kernel.count("violation: the ends have other 1-RTT secrets") == 1
    assert kernel.count("violation: the ends have other handshake secrets") == 1


def test_calls_out_of_order(kernel: KernelQuic) -> None:
    """Goal: options and messages at the wrong time, of a wrong level or length are EINVAL. Method: each of them."""
    said = run(
        kernel,
        """
fresh = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 261)
print(error_of(fresh.getsockopt, QUIC, 14, 512), error_of(fresh.setsockopt, QUIC, 13, secret(1, 2, 1)))
print(error_of(fresh.setsockopt, QUIC, 8, struct.pack("=12xI40x", 999_999)))
print(error_of(fresh.setsockopt, QUIC, 8, struct.pack("=24xQ24x", 1199)))
print(error_of(fresh.setsockopt, QUIC, 9, struct.pack("=24xI", 1_499_999)))
print(error_of(fresh.setsockopt, QUIC, 11, b""), error_of(fresh.setsockopt, QUIC, 99, b"x"))
client, server = connected()
print(error_of(tls, client, HANDSHAKE, b"early"), error_of(tls, client, b"\\x03", b"x"))
print(error_of(client.send, b"data"), error_of(open_stream, client))
print(error_of(client.setsockopt, QUIC, 13, secret(1, 1, 1)))
print(error_of(client.setsockopt, QUIC, 13, secret(1, 2, 1, 50)))
hello(client, server)
own = server.getsockopt(QUIC, 14, 512)
print(error_of(client.setsockopt, QUIC, 14, own[:-1]), error_of(client.recv, 1))
client, server = connected()
hello(client, server)
client.setsockopt(QUIC, 13, secret(1, 0, 1))
print(error_of(client.setsockopt, QUIC, 13, secret(0, 0, 2)))
print(error_of(server.setsockopt, QUIC, 14, own))
""",
    )
    assert [word for line in said for word in line.split()] == [
        "EINVAL", "EINVAL", "EINVAL", "EINVAL", "EINVAL", "EINVAL", "ENOPROTOOPT", "EINVAL", "EINVAL", "EINVAL",
        "EINVAL", "EINVAL", "EINVAL", "EINVAL", "ENOTCONN", "EINVAL", "EINVAL",
    ]  # fmt: skip


def test_another_protocol_is_not_answered(kernel: KernelQuic) -> None:
    """Goal: a first message without the listener's protocol reaches nobody. Method: one with another name."""
    said = run(
        kernel,
        """
client, server = connected()
tls(client, INITIAL, b"\\x02h3")
print(error_of(when_there, server.recv, 10))
server.close()
time.sleep(0.05)
print(error_of(client.recv, 10))
""",
    )
    assert said[0] == "ENOTCONN"
    assert kernel.count("no listener for the ALPN") == 1
