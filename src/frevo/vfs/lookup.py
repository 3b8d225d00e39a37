"""From a wire path to a file on disk: the exact name first, then component by component, ignoring case.

The fast case, a name that exists as spelled, costs a type check, one openat2 and one statx. The descriptor is kept for
the open that usually follows. Regular files and directories are opened for reading, because xattrs of an O_PATH
descriptor are only available through /proc, which costs more than everything else; all other kinds are only opened
with O_PATH.
"""

from __future__ import annotations

import errno
import os
import stat as stat_module
from typing import Final

from frevo.aio.syscalls import FileStatus, statx
from frevo.errors import SMBError
from frevo.vfs.attributes import is_special
from frevo.vfs.base import Resolved
from frevo.vfs.namecache import NameCache
from frevo.vfs.names import VetoFiles, WirePath
from frevo.vfs.options import LocalOptions
from frevo.vfs.shared_folder import SharedFolder
from frevo.wire.erref import NTStatus

#: How a regular file or directory is opened: should it have become a FIFO meanwhile, nothing waits.
READ_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
_PLAIN_MAX: Final = 8192
_MISSING: Final = (errno.ENOENT, errno.ENOTDIR)
#: Errors of openat2 that a case-insensitive or link-following second look may cure.
_SECOND_LOOK: Final = (errno.ENOENT, errno.ENOTDIR, errno.EXDEV, errno.ELOOP)


class Held:
    """A descriptor that is closed unless someone takes it."""

    __slots__ = ("fd", "readable")

    def __init__(self, fd: int, readable: bool) -> None:
        self.fd = fd
        self.readable = readable

    def take(self) -> int:
        """Give the descriptor away; -1 if that was done already."""
        fd, self.fd = self.fd, -1
        return fd

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Found:
    """A file that exists: its name, the path to open, its open descriptor and status."""

    __slots__ = ("held", "name", "parent", "status", "target")

    def __init__(self, parent: str, name: str, target: str, held: Held, status: FileStatus) -> None:
        self.parent = parent
        self.name = name
        self.target = target  # the path to open: differs from parent/name when the name is an absolute link
        self.held = held
        self.status = status


class Missing:
    """A name that does not exist, and the descriptor (O_PATH) of the existing directory."""

    __slots__ = ("directory", "name", "parent")

    def __init__(self, parent: str, name: str, directory: Held) -> None:
        self.parent = parent
        self.name = name
        self.directory = directory


class LocalResolved(Resolved):
    """Resolved, and what the local backend needs to open it."""

    target: str = ""
    held: Held | None = None  # the file, until it is opened
    directory: Held | None = None  # the directory that has the name or would get it, once it was looked at
    stream_xattr: str = ""
    xattr_names: list[str] | None = None  # of the file; None when they were not looked at


def as_local(resolved: Resolved) -> LocalResolved:
    """The result, checked to be one of this backend's; TypeError for others."""
    if not isinstance(resolved, LocalResolved):
        raise TypeError("resolved by another backend")
    return resolved


def path_not_found() -> SMBError:
    """The error for a missing parent directory."""
    return SMBError(NTStatus.OBJECT_PATH_NOT_FOUND)


def name_not_found(text: str = "") -> SMBError:
    """The error for a missing last component."""
    return SMBError(NTStatus.OBJECT_NAME_NOT_FOUND, text)


def open_held(folder: SharedFolder, path: str) -> tuple[Held, FileStatus]:
    """Open the real *path*, for reading if it is a readable regular file or directory."""
    flags = os.O_PATH if is_special(folder.status(path).mode) else READ_FLAGS
    try:
        fd = folder.open(path, flags)
    except OSError as error:
        if error.errno not in (
            errno.EACCES,
            errno.EPERM,
            errno.EAGAIN,
            errno.ENXIO,
            errno.ENODEV,
            errno.ETXTBSY,
        ):
            raise
        flags = os.O_PATH
        fd = folder.open(path, flags)
    held = Held(fd, flags == READ_FLAGS)
    status = statx(fd)
    if held.readable and is_special(status.mode):
        raise SMBError(NTStatus.ACCESS_DENIED, "a special file took the name")
    return held, status


def join(parent: str, name: str) -> str:
    """The real path of *name* in *parent*."""
    return f"{parent}/{name}" if parent else name


class Lookup:
    """Resolves wire paths below one shared folder."""

    __slots__ = ("_cache", "_case_sensitive", "_folder", "_plain", "_veto")

    def __init__(self, folder: SharedFolder, options: LocalOptions, *, veto: VetoFiles) -> None:
        self._folder = folder
        self._case_sensitive = options.case_sensitive
        self._veto = veto
        self._cache = NameCache(inline_max=options.names_inline)
        self._plain: set[str] = set()  # real paths that were a regular file or directory when last seen

    def find(self, wire: WirePath) -> Found | Missing:
        """Resolve *wire*. SMBError as described in `Backend.resolve`."""
        if self._veto.any:
            self._check_veto(wire)
        path = wire.path
        try:
            held, status = self._open_exact(path)
        except OSError as error:
            if error.errno not in _SECOND_LOOK:
                raise
            return self._second_look(wire)
        parent, _, name = path.rpartition("/")
        return Found(parent, name, path, held, status)

    def _open_exact(self, path: str) -> tuple[Held, FileStatus]:
        """`open_held` without the type check, for a file or directory checked a moment ago."""
        if path not in self._plain:
            held, status = open_held(self._folder, path)
            if held.readable:
                if len(self._plain) >= _PLAIN_MAX:
                    self._plain.clear()
                self._plain.add(path)
            return held, status
        try:
            held = Held(self._folder.open(path, READ_FLAGS), True)
            status = statx(held.fd)
            if not is_special(status.mode):
                return held, status
        except OSError as error:
            if error.errno in _SECOND_LOOK:
                raise
        self._plain.discard(path)
        return open_held(self._folder, path)

    def _second_look(self, wire: WirePath) -> Found | Missing:
        if not wire.parts:
            return self._root()
        directory = "/".join(wire.parts[:-1])
        try:
            fd = self._folder.open_directory(directory)
        except OSError as error:
            if error.errno not in _SECOND_LOOK:
                raise
            directory = self._walk(wire.parts[:-1])
            fd = self._folder.open_directory(directory)
        held = Held(fd, readable=False)
        name = self._real_name(fd, wire.parts[-1])
        return self._last(directory, name) if name is not None else Missing(directory, wire.parts[-1], held)

    def _root(self) -> Found:
        held, status = open_held(self._folder, "")
        return Found("", "", "", held, status)

    def _check_veto(self, wire: WirePath) -> None:
        for index, part in enumerate(wire.parts):
            if self._veto.hides(part):
                raise name_not_found("veto files") if index == len(wire.parts) - 1 else path_not_found()

    def _walk(self, parts: tuple[str, ...]) -> str:
        """The real path of the directory *parts*, ignoring case."""
        path = ""
        for part in parts:
            path = self._step(path, part)
        return path

    def _step(self, directory: str, part: str) -> str:
        """Go one component down, into a directory."""
        fd = self._folder.open_directory(directory)
        try:
            name = self._real_name(fd, part)
        finally:
            os.close(fd)
        if name is None:
            raise path_not_found()
        path = join(directory, name)
        try:
            os.close(self._folder.open_directory(path))
            return path
        except OSError as error:
            if error.errno not in _SECOND_LOOK:
                raise
        try:
            path = self._folder.canonical(path)
            os.close(self._folder.open_directory(path))
        except OSError as error:
            if error.errno not in _SECOND_LOOK:
                raise
            raise path_not_found() from error
        return path

    def _last(self, directory: str, name: str) -> Found:
        """The last component, which exists in *directory* under exactly this name."""
        path = target = join(directory, name)
        try:
            held, status = open_held(self._folder, path)
        except OSError as error:
            if error.errno not in _SECOND_LOOK:
                raise
            target = self._link_end(path)
            held, status = self._open_end(target)
        return Found(directory, name, target, held, status)

    def _open_end(self, target: str) -> tuple[Held, FileStatus]:
        try:
            return open_held(self._folder, target)
        except OSError as error:
            if error.errno not in _SECOND_LOOK:
                raise
            raise name_not_found("a link that leads nowhere") from error

    def _link_end(self, path: str) -> str:
        """The end, inside the shared folder, of the link *path* that the kernel does not follow."""
        try:
            return self._folder.canonical(path)
        except OSError as error:
            if error.errno not in _SECOND_LOOK:
                raise
            raise name_not_found("a link that leads nowhere or outside") from error

    def _real_name(self, directory_fd: int, part: str) -> str | None:
        """The name on disk that matches *part* in the directory; None if there is none."""
        if self._case_sensitive:
            return part if self._has(directory_fd, part) else None
        try:
            name = self._cache.find(directory_fd, part)
        except PermissionError:  # a directory that may be searched, not listed: exact names only
            return part if self._has(directory_fd, part) else None
        return None if name is not None and self._veto.hides(name) else name

    def _has(self, directory_fd: int, name: str) -> bool:
        try:
            self._folder.link_status(directory_fd, name)
        except OSError as error:
            if error.errno in _MISSING:
                return False
            raise
        return True

    def is_link(self, directory_fd: int, name: str) -> bool:
        """Whether the name is a symbolic link."""
        return stat_module.S_ISLNK(self._folder.link_status(directory_fd, name).mode)

    def read_inline(self, count_max: int | None) -> None:
        """As `NameCache.read_inline`."""
        self._cache.read_inline(count_max)

    def close(self) -> None:
        """End the cache's watches."""
        self._cache.close()
