"""Checks of one folder: whether its file system can store what clients need.

Creates a temporary folder in it and removes it again; touches nothing else.
"""

from __future__ import annotations

import errno
import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path

from frevo.aio import syscalls
from frevo.status.doctor.base import Check, State, read_text

GROUP = "folder"
#: What the kernel keeps in one xattr, less the byte that Samba's convention adds.
_STREAM_BYTES_MAX = 65535


def check_folder(path: str) -> list[Check]:
    """All checks of the folder *path*."""
    folder = Path(path)
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        return [
            Check(GROUP, path, State.FAILED, f"cannot open it: {error.strerror}", "choose another folder")
        ]
    try:
        checks = [_file_system(path, fd)]
    finally:
        os.close(fd)
    try:
        with tempfile.TemporaryDirectory(prefix=".frevo-doctor-", dir=folder) as place:
            return checks + _try_out(Path(place))
    except OSError as error:
        text = f"this user cannot write here ({error.strerror}): it can be shared read-only; skipped the other checks"
        return [*checks, Check(GROUP, "writing", State.LIMITED, text)]


def _try_out(place: Path) -> list[Check]:
    """Run each check on new files in the temporary folder *place*."""
    file = place / "file-a"
    file.write_bytes(b"frevo")
    trials: tuple[Callable[[Path], Check], ...] = (
        _user_attributes,
        _named_streams,
        _security_attributes,
        _case,
        _birth_time,
        _nameless_files,
        _rename_without_replacing,
        _punch_hole,
    )
    return [trial(file) for trial in trials]


def _file_system(path: str, fd: int) -> Check:
    """Type and mount options, from the mount that the folder is on."""
    status = syscalls.statx(fd)
    device = f"{status.dev_major}:{status.dev_minor}"
    for line in read_text("/proc/self/mountinfo").splitlines():
        fields, _, tail = line.partition(" - ")
        number, _, place = fields.split()[:3]
        if (status.mnt_id and int(number) == status.mnt_id) or (not status.mnt_id and place == device):
            kind, source = tail.split()[:2]
            point, options = fields.split()[4:6]
            data = {"type": kind, "source": source, "mount_point": point, "options": options}
            text = f"{kind} from {source}, mounted on {point} ({options})"
            return Check(GROUP, "file system", State.OK, text, "", {"path": path, **data})
    return Check(GROUP, "file system", State.OK, f"device {device}", "", {"path": path})


def _user_attributes(file: Path) -> Check:
    try:
        os.setxattr(file, b"user.frevo.doctor", b"x")
    except OSError as error:
        text = f"not supported ({error.strerror}): no DOS attributes, no named streams"
        fix = "use ext4, xfs, btrfs, or tmpfs on Linux 6.6 or newer; older mounts need the option user_xattr"
        return Check(GROUP, "user attributes", State.LIMITED, text, fix)
    return Check(GROUP, "user attributes", State.OK, "kept")


def _named_streams(file: Path) -> Check:
    """The largest stream that this file system can store: it is one xattr, with one more byte ([MS-FSCC] 2.1.5.3)."""
    largest = _largest_value(file) - 1
    if largest < 0:
        return Check(GROUP, "named streams", State.LIMITED, "not supported: there are no user attributes")
    data = {"largest_bytes": largest}
    if largest >= _STREAM_BYTES_MAX:
        return Check(GROUP, "named streams", State.OK, f"up to {largest} bytes each", "", data)
    text = f"up to {largest} bytes; larger ones are refused (STATUS_DISK_FULL). macOS resource forks can be larger"
    return Check(
        GROUP, "named streams", State.LIMITED, text, "use xfs, tmpfs, or ext4 created with -O ea_inode", data
    )


def _largest_value(file: Path) -> int:
    """Size in bytes of the largest value that can be set; 0 if none can."""
    good, bad = 0, 65537
    while bad - good > 1:
        size = (good + bad) // 2
        try:
            os.setxattr(file, b"user.frevo.doctor", b"x" * size)
        except OSError:
            bad = size
        else:
            good = size
    return good


def _security_attributes(file: Path) -> Check:
    try:
        os.setxattr(file, b"security.frevo.doctor", b"x")
    except OSError as error:
        if error.errno == errno.EPERM:
            text = "storing NT security descriptors as Samba does (security.NTACL) needs CAP_SYS_ADMIN"
            return Check(GROUP, "security attributes", State.LIMITED, text, "run frevo as root")
        text = f"not supported ({error.strerror}): cannot store NT security descriptors as Samba does (security.NTACL)"
        return Check(GROUP, "security attributes", State.LIMITED, text)
    return Check(GROUP, "security attributes", State.OK, "supported (security.NTACL)")


def _case(file: Path) -> Check:
    folds = (file.parent / file.name.upper()).exists()
    text = (
        "the file system ignores case"
        if folds
        else "the file system distinguishes case; frevo ignores it for clients"
    )
    return Check(GROUP, "case of names", State.OK, text, "", {"case_insensitive": folds})


def _birth_time(file: Path) -> Check:
    born = syscalls.statx(syscalls.AT_FDCWD, os.fsencode(file), 0).btime
    text = (
        "stored by the file system"
        if born
        else "not stored by the file system; frevo stores it in user.DOSATTRIB"
    )
    return Check(GROUP, "creation time", State.OK if born else State.LIMITED, text)


def _nameless_files(file: Path) -> Check:
    try:
        os.close(os.open(file.parent, os.O_TMPFILE | os.O_RDWR, 0o600))
    except OSError as error:
        return Check(GROUP, "O_TMPFILE", State.LIMITED, f"not supported ({error.strerror})")
    return Check(GROUP, "O_TMPFILE", State.OK, "supported")


def _rename_without_replacing(file: Path) -> Check:
    other = file.with_name(f"file-{secrets.token_hex(4)}")
    other.touch()
    names = os.fsencode(file), os.fsencode(other)
    here = syscalls.AT_FDCWD
    try:
        syscalls.renameat2(here, names[0], here, names[1], syscalls.RENAME_NOREPLACE)
    except FileExistsError:
        return Check(GROUP, "rename without replacing", State.OK, "supported (renameat2 RENAME_NOREPLACE)")
    except OSError as error:
        text = f"not supported ({error.strerror}): two simultaneous renames to the same name may lose a file"
        return Check(GROUP, "rename without replacing", State.LIMITED, text)
    other.rename(file)
    return Check(GROUP, "rename without replacing", State.LIMITED, "the file system ignores RENAME_NOREPLACE")


def _punch_hole(file: Path) -> Check:
    mode = syscalls.FALLOC_FL_KEEP_SIZE | syscalls.FALLOC_FL_PUNCH_HOLE
    with file.open("r+b") as stream:
        try:
            syscalls.fallocate(stream.fileno(), mode, 0, 4096)
        except OSError as error:
            text = (
                f"not supported ({error.strerror}): zeroing a range of a sparse file does not free its space"
            )
            return Check(GROUP, "sparse files", State.LIMITED, text)
    return Check(GROUP, "sparse files", State.OK, "supported (fallocate punches holes)")
