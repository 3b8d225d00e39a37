"""io_uring forbidden by a seccomp filter, as containers do it, in a separate process."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Installs a filter that answers io_uring_setup (425 on every architecture) with the errno given as argument.
_FILTER = """
import ctypes, struct, sys
code = [
    (0x20, 0, 0, 0),                                # load the system call's number
    (0x15, 0, 1, 425),                              # io_uring_setup?
    (0x06, 0, 0, 0x00050000 | int(sys.argv[1])),    # SECCOMP_RET_ERRNO
    (0x06, 0, 0, 0x7FFF0000),                       # SECCOMP_RET_ALLOW
]
program = b"".join(struct.pack("HBBI", *line) for line in code)
memory = ctypes.create_string_buffer(program)
sock_fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(memory)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0              # PR_SET_NO_NEW_PRIVS
assert libc.prctl(22, 2, sock_fprog, 0, 0) == 0     # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
"""

_USE = """
import asyncio, os
from frevo.aio.ring import WORKING_DIRECTORY, Ring

async def main():
    ring = Ring.of(asyncio.get_running_loop())
    print(ring.engine, ring.reason)
    fd = await ring.openat2(WORKING_DIRECTORY, b"/", os.O_RDONLY, resolve=0)
    assert (await ring.statx(fd)).ino == os.stat("/").st_ino
    fd.close()
    try:
        Ring.of(asyncio.get_running_loop(), engine="uring")
    except OSError as error:
        print(error)

asyncio.run(main())
"""


def run(program: str, code: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _FILTER + program, str(code)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("code", "word"), [(1, "EPERM"), (38, "ENOSYS")])
def test_threads_take_over(code: int, word: str) -> None:
    """Goal: a container without io_uring works and says why. Method: seccomp with the errno that it would return."""
    done = run(_USE, code)
    assert done.returncode == 0, done.stderr
    chosen, demanded = done.stdout.splitlines()
    assert chosen.startswith(f"threads io_uring is not available: {word}")
    assert "seccomp" in chosen
    assert word in demanded


def test_doctor_says_so() -> None:
    """Goal: `frevo doctor` runs there and names the remedy. Method: the subcommand under the same filter."""
    program = "import argparse\nfrom frevo.cli import doctor\n"
    program += "raise SystemExit(doctor.run(argparse.Namespace(path='.', json=False, config=None)))"
    done = run(program, 1)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    [index] = [i for i, line in enumerate(lines) if " io_uring: " in line]
    assert "engine threads" in lines[index]
    assert "seccomp profile" in lines[index + 1]
