"""Programs with signals on a mount: nothing hangs, nothing is done and then reported as failed; locks wait as in
Linux."""

from __future__ import annotations

import copy
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from peers import transports
from peers.mounted import Mounted, mounted
from peers.relay import Relay
from peers.target import Target

pytestmark = [pytest.mark.interop, pytest.mark.once("the mount itself")]


@pytest.fixture(scope="module")
def mount(server_of: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounted]:
    """One mount for all."""
    (server_of.folder() / "signals").mkdir(exist_ok=True)
    with mounted(server_of, tmp_path_factory.mktemp("signals"), "--xattr", inner="signals") as one:
        yield one


#: Everything that a program does with files, under a timer whose handler restarts system calls, as those of Go, git,
#: dd and profilers do. Prints what failed; nothing may.
BUSY = """
import collections, fcntl, os, signal, sys
place, bad = sys.argv[1], collections.Counter()

def do(name, call, *words):
    try:
        return call(*words)
    except OSError as error:
        bad[f"{name}: {error.strerror}"] += 1

signal.signal(signal.SIGALRM, lambda *_: None)
signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
for i in range(int(sys.argv[2])):
    d, f, g, h = (f"{place}/{letter}{i}" for letter in "dfgh")
    do("mkdir", os.mkdir, d)
    fd = do("create", os.open, f, os.O_CREAT | os.O_EXCL | os.O_RDWR)
    if fd is not None:
        do("write", os.write, fd, bytes(5000))
        do("lock", fcntl.lockf, fd, fcntl.LOCK_EX)
        do("setxattr", os.setxattr, fd, "user.one", b"value")
        do("getxattr", os.getxattr, fd, "user.one")
        do("truncate", os.ftruncate, fd, 100000)
        do("utime", os.utime, fd, (1, 2))
        do("fsync", os.fsync, fd)
        if (do("read", os.pread, fd, 200000, 0) or b"") != bytes(100000):
            bad["content"] += 1
        do("unlock", fcntl.lockf, fd, fcntl.LOCK_UN)
        do("close", os.close, fd)
    do("link", os.link, f, h)
    do("rename", os.rename, f, g)
    do("stat", os.stat, g)
    do("listdir", os.listdir, place)
    do("again", lambda: open(g, "wb").close())
    do("unlink", os.unlink, g)
    do("unlink", os.unlink, h)
    do("rmdir", os.rmdir, d)
signal.setitimer(signal.ITIMER_REAL, 0)
print(dict(bad), os.listdir(place))
"""


def test_timers(mount: Mounted) -> None:
    """Every call succeeds, once, whatever signals come; two programs at a time, as one alone is rarely interrupted."""
    places = [mount.path / name for name in ("a", "b")]
    for place in places:
        place.mkdir()
    running = [
        subprocess.Popen([sys.executable, "-c", BUSY, place, "40"], stdout=subprocess.PIPE, text=True)
        for place in places
    ]
    try:
        assert [one.communicate(timeout=60)[0] for one in running] == ["{} []\n"] * 2
    finally:
        for one in running:
            one.kill()  # when it hangs, its end comes with that of the mount


HOLDER = """
import fcntl, os, sys
file = os.open(sys.argv[1], os.O_RDWR)
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
input()
"""
WAITER = """
import fcntl, os, signal, sys
file = os.open(sys.argv[1], os.O_RDWR)
os.set_blocking(2, False)
signal.set_wakeup_fd(2)
signal.signal(signal.SIGALRM, lambda *_: None)
signal.siginterrupt(signal.SIGALRM, sys.argv[2] == "interrupt")
signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
try:
    {"restart": fcntl.lockf, "interrupt": lock}[sys.argv[2]](file, fcntl.LOCK_EX)
    print("locked", flush=True)
except InterruptedError:
    print("interrupted", flush=True)
signal.setitimer(signal.ITIMER_REAL, 0)
input()
"""
#: Python's own lockf tries again after EINTR; the C library's does not.
C_LOCK = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def lock(file, _):
    if libc.lockf(file, 1, 0):
        raise OSError(ctypes.get_errno(), "lockf")
"""


def program(source: str, *words: object) -> subprocess.Popen[str]:
    """A Python program that continues when it gets a line."""
    command = [sys.executable, "-c", C_LOCK + source, *map(str, words)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def is_signalled(process: subprocess.Popen[str]) -> None:
    """Waits until it has had 20 signals; each writes a byte, even while a system call is restarted again and again."""
    assert process.stderr is not None
    seen = 0
    while seen < 20:
        got = len(os.read(process.stderr.fileno(), 20))
        assert got, "it has ended"
        seen += got


def says(process: subprocess.Popen[str]) -> str:
    """Its next line of output."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_lock_that_is_waited_for(mount: Mounted, server_of: Target, tmp_path: Path) -> None:
    """Behind another mount's lock: a signal restarts the wait or ends it, as the program wants; in the end the lock is
    held only where the program was told so."""
    (mount.path / "locked").write_bytes(bytes(10))
    with mounted(server_of, tmp_path, inner="signals") as other:
        holder = program(HOLDER, other.path / "locked")
        assert says(holder) == "held"
        restarting = program(WAITER, mount.path / "locked", "restart")
        is_signalled(restarting)
        interrupted = program(WAITER, mount.path / "locked", "interrupt")
        assert says(interrupted) == "interrupted"
        interrupted.communicate("\n", timeout=20)
        killed = program(WAITER, mount.path / "locked", "restart")
        is_signalled(killed)
        killed.kill()
        killed.communicate(timeout=20)
        holder.communicate("\n", timeout=20)
        assert says(restarting) == "locked"
        file = os.open(other.path / "locked", os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        restarting.communicate("\n", timeout=20)
        fcntl.lockf(file, fcntl.LOCK_EX)
        os.close(file)


def test_a_killed_program_does_not_wait_for_the_server(server_of: Target, tmp_path: Path) -> None:
    """The server is silent: a program that only reads can be killed, even after a signal that it handles."""
    if server_of.name == "samba":
        pytest.skip("the server says nothing: it does not matter which one")
    (server_of.folder() / "silent").mkdir()
    (server_of.folder() / "silent" / "file").write_bytes(bytes(5 << 20))
    quic = server_of.transport == "quic"
    with Relay(server_of.host, server_of.tcp_port) as relay, transports.reaching(relay.port, quic) as place:
        through = copy.copy(server_of)
        through.port = int(place.rpartition(":")[2])
        with mounted(through, tmp_path, inner="silent") as mount:
            source = (
                "import os, signal, sys\n"
                "signal.signal(signal.SIGALRM, lambda *_: None)\n"
                "signal.setitimer(signal.ITIMER_REAL, 0.05)\n"
                "file = os.open(sys.argv[1], os.O_RDONLY)\n"
                "print('asks', flush=True)\n"
                "input()\n"
                "print('asks', flush=True)\n"
                "os.pread(file, 1, 0) if sys.argv[2] == 'read' else os.stat(sys.argv[1] + 'x')\n"
            )
            asking = [program(source, mount.path / "file", what) for what in ("read", "stat")]
            assert [says(one) for one in asking] == ["asks"] * 2
            relay.freeze()
            for one in asking:
                assert one.stdin is not None
                print(file=one.stdin, flush=True)
            assert [says(one) for one in asking] == ["asks"] * 2
            try:
                for one, deadly in zip(asking, (signal.SIGKILL, signal.SIGTERM), strict=True):
                    with pytest.raises(subprocess.TimeoutExpired):
                        one.wait(0.1)
                    one.send_signal(
                        signal.SIGINT
                    )  # Python has a handler for it, which the call keeps from running
                    one.send_signal(deadly)
                    one.communicate(timeout=5)
                    assert one.returncode == -deadly
            finally:
                relay.thaw()
