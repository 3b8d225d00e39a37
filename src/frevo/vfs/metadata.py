"""Metadata of one open descriptor: status with DOS attributes, times, security, EAs; with or without xattrs.

`FileMetadata` belongs to a handle and borrows its descriptor. O_PATH descriptors are accessed through /proc/self/fd.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable
from typing import Final

from frevo.aio.acting import granted
from frevo.aio.syscalls import FileStatus, set_times, statx
from frevo.errors import SMBError
from frevo.vfs import attributes as dos
from frevo.vfs.base import FileStat
from frevo.vfs.out_of_range_times import EARLY, LATE, XATTR_TIMES, exact, is_out_of_range, remember
from frevo.vfs.security import XATTR_SECURITY, XATTR_USER
from frevo.vfs.streams import XATTR_PREFIX
from frevo.vfs.system import get_own_xattr, list_xattr, proc_path, read_xattr, remove_xattr
from frevo.wire.erref import NTStatus

_HIDDEN_XATTRS: Final = frozenset(
    (dos.XATTR_DOSATTRIB, XATTR_USER, XATTR_SECURITY, XATTR_TIMES, "user.SAMBA_PAI")
)
_USER: Final = "user."
_EA_VALUE_MAX: Final = 65536
_NO_XATTRS: Final = (errno.EOPNOTSUPP, errno.ENOSYS)
#: What a file system says that refuses a time, instead of keeping the next one that it can.
_TIME_REFUSED: Final = (errno.EINVAL, errno.ERANGE, errno.EOVERFLOW)


class FileMetadata:
    """Metadata of the file open as *fd*."""

    __slots__ = ("fd", "names", "target", "xattrs")

    def __init__(self, fd: int, *, readable: bool, xattrs: bool) -> None:
        self.fd = fd
        self.xattrs = xattrs
        self.target: int | str = fd if readable else proc_path(fd)
        #: Names of all xattrs, as `stored` has found them; None before, and where they cannot be listed.
        self.names: list[str] | None = None

    def stored(self) -> dos.DosAttributes | None:
        """The contents of the DOSATTRIB xattr."""
        if not self.xattrs:
            return None
        try:
            self.names = os.listxattr(self.target)
        except OSError:
            self.names = None
        # Reading a missing attribute costs ten times as much as a check of the list of names.
        if self.names is not None and dos.XATTR_DOSATTRIB not in self.names:
            return None
        value = read_xattr(self.target, dos.XATTR_DOSATTRIB, own=True)
        return dos.unpack_dosattrib(value) if value is not None else None

    def stat(self, *, hidden: bool, status: FileStatus | None = None) -> FileStat:
        """Current metadata; pass *status* if you just got it."""
        if status is None:
            status = statx(self.fd)
        stat = dos.make_stat(status, self.stored(), hidden=hidden, mode_readonly=not self.xattrs)
        if is_out_of_range(stat) and self.xattrs:
            return exact(stat, get_own_xattr(self.target, XATTR_TIMES))
        return stat

    def set_times(self, accessed: int | None, written: int | None) -> None:
        """Set last access and last write time (FILETIME); None leaves a time unchanged."""
        far = any(time is not None and not EARLY < time < LATE for time in (accessed, written))
        try:
            granted(set_times, self.target, accessed, written)
        except OSError as error:
            if not far or error.errno not in _TIME_REFUSED:
                raise
            granted(set_times, self.target, _near(accessed), _near(written))
        if far and self.xattrs:
            status = statx(self.fd)
            self._remember((status.atime, status.mtime), accessed, written)

    def _remember(self, kept: tuple[int, int], accessed: int | None, written: int | None) -> None:
        try:
            granted(remember, self.target, kept, accessed, written)
        except OSError as error:
            if error.errno not in _NO_XATTRS:
                raise

    def set_dos(self, attributes: int | None, creation_time: int | None) -> None:
        """Store attributes and creation time; None leaves one unchanged. Without xattrs, READONLY becomes mode bits."""
        if self.xattrs and self._store(attributes, creation_time):
            return
        if attributes is not None:
            self._set_mode_readonly(bool(attributes & dos.READONLY))

    def mark_archive(self) -> None:
        """Add ARCHIVE to the stored attributes. Data may be written even where they cannot be stored."""
        old = self.stored()
        attributes = old.attributes if old is not None else 0
        if self.xattrs and not attributes & dos.ARCHIVE:
            with contextlib.suppress(OSError):
                self._store(attributes | dos.ARCHIVE, None)

    def _store(self, attributes: int | None, creation_time: int | None) -> bool:
        old = self.stored() or dos.DosAttributes(0, 0)
        new = dos.DosAttributes(
            old.attributes if attributes is None else attributes & dos.STORED,
            (old.creation_time or self._birth_time()) if creation_time is None else creation_time,
        )
        if new == old:
            return True
        try:
            granted(os.setxattr, self.target, dos.XATTR_DOSATTRIB, dos.pack_dosattrib(new))
        except OSError as error:
            if error.errno in _NO_XATTRS:
                return False
            raise
        return True

    def store_first(self, attributes: int, status: FileStatus) -> None:
        """Store the attributes of a file that was just created and has the *status*."""
        if not self.xattrs:
            self.set_dos(attributes, None)
            return
        created = dos.make_stat(status, None, hidden=False, mode_readonly=False).creation_time
        value = dos.pack_dosattrib(dos.DosAttributes(attributes & dos.STORED, created))
        try:
            granted(os.setxattr, self.target, dos.XATTR_DOSATTRIB, value)
        except OSError as error:
            if error.errno not in _NO_XATTRS:
                raise
            self._set_mode_readonly(bool(attributes & dos.READONLY))

    def _birth_time(self) -> int:
        return dos.make_stat(statx(self.fd), None, hidden=False, mode_readonly=False).creation_time

    def _set_mode_readonly(self, readonly: bool) -> None:
        status = statx(self.fd)
        if (status.mode & 0o170000) == 0o040000:
            return
        mode = status.mode & 0o7777
        new = mode & ~0o222 if readonly else mode | 0o200
        if new != mode:
            os.chmod(self.target, new)  # noqa: PTH101 (a descriptor, or a path below /proc)

    def is_sparse(self) -> bool:
        """Whether the client made the file sparse."""
        stored = self.stored()
        return stored is not None and bool(stored.attributes & dos.SPARSE)

    def extended_attributes(self) -> list[tuple[bytes, bytes]]:
        """EAs: the `user.` xattrs that belong to no convention, in their own case, which cifs.ko compares."""
        found = []
        for name in list_xattr(self.target) if self.xattrs else ():
            value = read_xattr(self.target, name) if _is_ea(name) else None
            if value is not None:
                found.append((_ea_name(name), value))
        return found

    def set_extended_attributes(self, attributes: Iterable[tuple[bytes, bytes]]) -> None:
        """Set or (with an empty value) delete EAs, ignoring case. Stops at the first error."""
        if not self.xattrs:
            raise SMBError(NTStatus.EAS_NOT_SUPPORTED)
        existing = {_ea_name(name).upper(): name for name in list_xattr(self.target) if _is_ea(name)}
        for name, value in attributes:
            xattr = existing.setdefault(name.upper(), _ea_xattr(name))
            self._set_extended_attribute(xattr, value)
            if not value:
                del existing[name.upper()]

    def _set_extended_attribute(self, xattr: str, value: bytes) -> None:
        if not value:
            remove_xattr(self.target, xattr)
            return
        if len(value) > _EA_VALUE_MAX:
            raise SMBError(NTStatus.EA_TOO_LARGE, "an extended attribute holds at most 64 KiB")
        try:
            os.setxattr(self.target, xattr, value)
        except OSError as error:
            if error.errno in _NO_XATTRS:
                raise SMBError(NTStatus.EAS_NOT_SUPPORTED) from error
            if error.errno in (errno.E2BIG, errno.ERANGE):
                raise SMBError(NTStatus.EA_TOO_LARGE) from error
            raise

    def drop_extras(self) -> None:
        """Remove the named streams and EAs; keep attributes, times and security."""
        for name in list_xattr(self.target) if self.xattrs else ():
            if _is_ea(name) or name.startswith(XATTR_PREFIX):
                remove_xattr(self.target, name)


def _ea_xattr(name: bytes) -> str:
    """The xattr that stores a new EA *name*."""
    xattr = _USER + os.fsdecode(name)
    if not name or b"\0" in name or len(os.fsencode(xattr)) > 255 or not _is_ea(xattr):
        raise SMBError(NTStatus.INVALID_EA_NAME)
    return xattr


def _is_ea(xattr: str) -> bool:
    upper = xattr.upper()
    hidden = any(upper == name.upper() for name in _HIDDEN_XATTRS) or upper.startswith(XATTR_PREFIX.upper())
    return xattr.startswith(_USER) and not hidden


def _ea_name(xattr: str) -> bytes:
    return os.fsencode(xattr[len(_USER) :])


def _near(time: int | None) -> int | None:
    """The nearest time that every file system can store."""
    return None if time is None else max(EARLY, min(LATE, time))
