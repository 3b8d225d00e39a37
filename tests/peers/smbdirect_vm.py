"""A virtual machine whose Linux kernel has SMB Direct over iWARP: cifs.ko for servers here, ksmbd for clients here.

Both reach this host through QEMU's user network as plain TCP. The kernel is built by linux-client/smbdirect/build.sh.
"""

from __future__ import annotations

import functools
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from peers import programs
from peers.linux_client import TOOL
from peers.target import PASSWORD, USER

SCRIPTS = TOOL.parent / "smbdirect"
START_TIMEOUT_S = 60.0
#: For ksmbd, which converts names.
_GCONV = Path("/usr/lib/x86_64-linux-gnu/gconv")


@functools.cache
def built() -> Path:
    """The folder with the kernel and ksmbd's programs."""
    for name in ("qemu-system-x86_64", "busybox", "cpio", "kmod", "rdma", "nft"):
        programs.need(name)
    found = programs.run(["bash", str(SCRIPTS / "build.sh"), "--if-built"])
    if found.status != 0:
        programs.missing(f"no kernel with SMB Direct: {found.output.strip()}")
    return Path(found.output.strip())


@functools.cache
def verbs_libraries() -> list[str]:
    """What programs in the machine need to use its RDMA devices: options for *files*."""
    found = programs.run(["bash", str(SCRIPTS / "verbs-libraries.sh"), "--if-there"])
    if found.status != 0:
        programs.missing(f"no libraries for RDMA devices: {found.output.strip()}")
    root = Path(found.output.strip())
    drivers = [root / "etc/libibverbs.d" / f"{kind}.driver" for kind in ("siw", "rxe")]
    libraries = [
        *root.glob("usr/lib/*/libibverbs.so.1"),
        *root.glob("usr/lib/*/librdmacm.so.1"),
        *root.glob("usr/lib/*/libibverbs/lib[sr][ix][we]-*.so"),
        *root.glob("**/libnl-3.so.200"),
        *root.glob("**/libnl-route-3.so.200"),
    ]
    return [f"{path}=/{path.relative_to(root)}" for path in [*drivers, *libraries]]


def command(
    script: Path,
    *arguments: str,
    folder: Path | None = None,
    forwards: Sequence[tuple[int, int]] = (),
    with_programs: Sequence[str] = (),
    files: Sequence[str] = (),
    timeout_s: int = 120,
) -> list[str]:
    """How to boot the machine and run *script* in it. *folder*: of this host, its /host; *forwards*: ports of this host
    and of the machine."""
    tools = built() / "ksmbd" / "usr" / "libexec" / "ksmbd.tools"
    ksmbd = [f"{tools}=/usr/sbin/ksmbd.{name}" for name in ("mountd", "adduser")]
    conversions = [f"{_GCONV / name}={_GCONV / name}" for name in ("UTF-16.so", "gconv-modules")]
    return [
        *("bash", str(TOOL), "--no-mount", "--kernel", str(built() / "bzImage"), "--timeout", str(timeout_s)),
        *([] if folder is None else ["--dir", str(folder)]),
        *(word for here, there in forwards for word in ("--fwd", f"{here}:{there}")),
        *(word for program in ["rdma", "nft", *with_programs] for word in ("--with", programs.need(program))),
        *(word for program in ksmbd for word in ("--with", program)),
        *(word for file in [str(SCRIPTS / "rdma-lib.sh"), *conversions, *files] for word in ("--file", file)),
        str(script),
        *arguments,
    ]


def run(
    script: Path,
    *arguments: str,
    folder: Path | None = None,
    with_programs: Sequence[str] = (),
    files: Sequence[str] = (),
    timeout_s: int = 120,
) -> programs.Run:
    """Boots the machine, runs *script* there to its end, and gives what it printed."""
    words = command(
        script, *arguments, folder=folder, with_programs=with_programs, files=files, timeout_s=timeout_s
    )
    return programs.run(words, timeout_s=timeout_s + 60)


@dataclass(slots=True)
class Ksmbd:
    """ksmbd with the share `export`, which begins empty. Its connections by SMB Direct come by iWARP."""

    port: int
    direct_port: int
    host: str = "127.0.0.1"
    user: str = USER
    password: str = PASSWORD
    #: SHA-256 by file of the share, as the machine itself reads them; when it has stopped.
    sums: dict[str, str] = field(default_factory=dict)


@contextmanager
def ksmbd(folder: Path, timeout_s: int = 120) -> Iterator[Ksmbd]:
    """A machine that serves, with *folder* for what it and this host tell each other."""
    with ExitStack() as stack:
        ports = [stack.enter_context(programs.reserved_port()) for _ in range(2)]
        forwards = list(zip(ports, (445, 5445), strict=True))
        words = command(
            SCRIPTS / "serve.sh", str(timeout_s), folder=folder, forwards=forwards, timeout_s=timeout_s + 30
        )
        log = folder / "console"
        with log.open("wb") as console:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True
            )
        try:
            _wait(process, folder / "ready", log)
            served = Ksmbd(*ports)
            yield served
            (folder / "stop").touch()
            status = process.wait(START_TIMEOUT_S)
            assert status == 0, f"the machine ended with {status}:\n{log.read_text(errors='replace')[-6000:]}"
            lines = (folder / "sums").read_text().splitlines()
            served.sums = {
                name.removeprefix("./"): total for total, name in (line.split("  ", 1) for line in lines)
            }
        finally:
            programs.end_group(process)
            process.wait()


def _wait(process: subprocess.Popen[bytes], ready: Path, log: Path) -> None:
    """Until there is the file *ready*."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"ksmbd does not serve:\n{log.read_text(errors='replace')[-6000:]}")
        time.sleep(0.1)
