"""Mounting and unmounting: mount(2) for root, fusermount3 for everyone else, and what to do if neither works."""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import os
import shutil
import socket
import stat
import subprocess
from pathlib import Path

import msgspec

from frevo.errors import FrevoError
from frevo.fuse.abi import DATA_MAX

DEVICE = "/dev/fuse"
_MS_RDONLY, _MS_NOSUID, _MS_NODEV = 1, 2, 4
_MNT_DETACH = 2
_OTHERS = ["allow_other", "default_permissions"]
_FUSERMOUNT = ("fusermount3", "fusermount")


class MountError(FrevoError, OSError):
    """The kernel or fusermount3 refused; the message says what to do."""

    def __str__(self) -> str:
        return str(self.strerror)


class MountOptions(msgspec.Struct, frozen=True):
    """source, kind: shown by `mount` as device and fuse.kind.

    allow_other: allow users other than the one who mounts; the kernel then checks the files' permissions.
    """

    source: str
    kind: str
    read_only: bool = False
    allow_other: bool = False


def mount(directory: str, options: MountOptions) -> int:
    """Mount on *directory*; returns the descriptor for talking to the kernel, non-blocking. MountError says why not."""
    where = os.path.realpath(directory)
    _check(where, directory)
    try:
        fd = _mount_as_root(where, options) if os.geteuid() == 0 else _mount_with_helper(where, options)
    except PermissionError as error:
        if shutil.which(_FUSERMOUNT[0]) is None:
            raise MountError(error.errno, _not_permitted(error)) from None
        fd = _mount_with_helper(where, options)
    os.set_blocking(fd, False)
    return fd


def _check(where: str, directory: str) -> None:
    try:
        found = Path(where).stat()
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            text = f"{directory}: a stale mount is there: run `frevo umount {directory}` first"
            raise MountError(error.errno, text) from None
        raise MountError(error.errno, f"{directory}: {error.strerror}: the directory must exist") from None
    if not stat.S_ISDIR(found.st_mode):
        raise MountError(errno.ENOTDIR, f"{directory}: not a directory")
    if not Path(DEVICE).exists():
        hint = "load it with `modprobe fuse`; run containers with --device /dev/fuse"
        raise MountError(errno.ENODEV, f"{DEVICE} is missing: this kernel has no FUSE ({hint})")


def _mount_as_root(where: str, options: MountOptions) -> int:
    fd = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    try:
        data = [f"fd={fd}", "rootmode=40000", "user_id=0", "group_id=0", f"max_read={DATA_MAX}"]
        data += _OTHERS * options.allow_other
        flags = _MS_NOSUID | _MS_NODEV | (_MS_RDONLY if options.read_only else 0)
        _system_call("mount", options.source, where, f"fuse.{options.kind}", flags, ",".join(data))
    except BaseException:
        os.close(fd)
        raise
    return fd


def _system_call(name: str, *arguments: str | int) -> None:
    """A function of the C library that returns 0 or sets errno."""
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    given = [os.fsencode(item) if isinstance(item, str) else ctypes.c_ulong(item) for item in arguments]
    if function(*given):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _mount_with_helper(where: str, options: MountOptions) -> int:
    """fusermount3 mounts and sends the descriptor through a socket whose number stands in _FUSE_COMMFD."""
    helper = next(filter(None, map(shutil.which, _FUSERMOUNT)), None)
    if helper is None:
        raise MountError(
            errno.ENOENT, "fusermount3 is missing: sudo apt-get install fuse3 (or mount as root)"
        )
    words = [f"fsname={_escaped(options.source)}", f"subtype={options.kind}", f"max_read={DATA_MAX}"]
    words += ["nosuid", "nodev", "ro" if options.read_only else "rw", *_OTHERS * options.allow_other]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        done = subprocess.run(
            [helper, "-o", ",".join(words), "--", where],
            env={**os.environ, "_FUSE_COMMFD": str(theirs.fileno())},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        theirs.close()
        fd = _received_descriptor(ours) if done.returncode == 0 else None
    if fd is None:
        text = done.stderr.decode(errors="replace").strip() or "it returned no descriptor"
        raise MountError(errno.EPERM, f"cannot mount on {where}: {text}")
    return fd


def _escaped(source: str) -> str:
    return source.replace("\\", "\\\\").replace(",", "\\,")


def _received_descriptor(channel: socket.socket) -> int | None:
    numbers = array.array("i")
    _, ancillary, _, _ = channel.recvmsg(1, socket.CMSG_SPACE(numbers.itemsize))
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            numbers.frombytes(data[: numbers.itemsize])
            os.set_inheritable(numbers[0], False)
            return numbers[0]
    return None


def _not_permitted(error: OSError) -> str:
    hint = "run containers with --device /dev/fuse --cap-add SYS_ADMIN; elsewhere: sudo apt-get install fuse3"
    return f"this system does not allow mounting ({error.strerror}): {hint}"


def unmount(directory: str, *, lazy: bool = False) -> None:
    """Unmount; *lazy*: even if programs use it, which then get errors. MountError says why not."""
    where = str(Path.cwd() / directory)  # not resolved: that would ask a file system that may be dead
    try:
        _system_call("umount2", where, _MNT_DETACH if lazy else 0)
        return
    except OSError as error:
        if error.errno != errno.EPERM:
            raise MountError(error.errno, _why_not(directory, error)) from None
    helper = next(filter(None, map(shutil.which, _FUSERMOUNT)), None)
    if helper is None:
        raise MountError(
            errno.ENOENT, "fusermount3 is missing: sudo apt-get install fuse3 (or unmount as root)"
        )
    command = [helper, "-u", *["-z"] * lazy, "--", where]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if done.returncode:
        text = done.stderr.decode(errors="replace").strip()
        number = errno.EBUSY if "busy" in text else errno.EPERM
        raise MountError(number, f"cannot unmount {directory}: {text}")


def _why_not(directory: str, error: OSError) -> str:
    if error.errno == errno.EBUSY:
        return f"{directory} is in use: `fuser -vm {directory}` shows by whom (--lazy unmounts it anyway)"
    if error.errno == errno.EINVAL:
        return f"{directory} is not a mount point"
    return f"cannot unmount {directory}: {error.strerror}"


def raise_readahead(directory: str, size: int) -> None:
    """Let the kernel read *size* bytes ahead on the mount at *directory*, if we are permitted to (root is)."""
    with contextlib.suppress(OSError):
        device = Path(directory).stat().st_dev
        knob = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb")
        knob.write_text(str(size // 1024))
