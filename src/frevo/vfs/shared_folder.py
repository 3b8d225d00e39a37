"""A shared folder on disk. Everything in it is opened by openat2(2) from the folder's descriptor with RESOLVE_BENEATH,
so that no link, `..` or race leads outside.

Symbolic links: the kernel follows relative links that stay inside, and refuses absolute ones; `SharedFolder.canonical`
follows absolute links that point inside. A link that leads outside, nowhere or in a circle fails with
OBJECT_NAME_NOT_FOUND, as with Samba's `wide links = no` (observed with smbd 4.17). With `wide links = yes` the kernel
follows all links, absolute ones from the system's root; names from the wire contain no `..`."""

from __future__ import annotations

import errno
import os
import stat as stat_module
from collections import deque
from typing import Final

from frevo.aio.acting import must_be_user
from frevo.aio.syscalls import (
    AT_FDCWD,
    AT_SYMLINK_NOFOLLOW,
    RESOLVE_BENEATH,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    FileStatus,
    openat2,
    statx,
)
from frevo.errors import SMBError
from frevo.vfs.base import FileLeasedError
from frevo.vfs.names import encode_name
from frevo.vfs.system import proc_path
from frevo.wire.erref import NTStatus

#: The kernel's limit of links in one path.
_LINKS_MAX: Final = 40
_INSIDE: Final = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS


def encode(path: str) -> bytes:
    """A path on disk as bytes for the kernel; "" is the folder itself."""
    return encode_name(path) or b"."


class SharedFolder:
    """One shared folder, by the descriptor of its root."""

    __slots__ = ("_acted", "_follow", "_resolve", "fd", "root")

    def __init__(
        self, root: str, *, follow_symlinks: bool = True, wide_links: bool = False, acted: bool = False
    ) -> None:
        #: Whether only session users may access it, never the server with its own rights.
        self._acted = acted
        self.root = os.path.realpath(root)
        self.fd = os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._follow = follow_symlinks
        if not follow_symlinks:
            self._resolve = _INSIDE | RESOLVE_NO_SYMLINKS
        else:
            self._resolve = RESOLVE_NO_MAGICLINKS if wide_links else _INSIDE

    def check_reachable(self) -> None:
        """SMBError ACCESS_DENIED if the acting user may not enter the root or a folder above it."""
        try:
            os.close(os.open(f"{self.root}/.", os.O_PATH | os.O_CLOEXEC))
        except PermissionError as error:
            sentence = f"{self.root}: this user may not enter it or a parent folder"
            raise SMBError(NTStatus.ACCESS_DENIED, sentence) from error

    def open(self, path: str, flags: int, mode: int = 0) -> int:
        """openat2 of a real path. EXDEV if it would leave the folder, and for absolute links, even to the inside."""
        if self._acted:
            must_be_user(path)
        return openat2(self.fd, encode(path), flags, mode, self._resolve)

    def open_in(self, directory_fd: int, name: str, flags: int, mode: int = 0) -> int:
        """openat2 of a name in an open directory of the folder."""
        if self._acted:
            must_be_user(name)
        return openat2(directory_fd, encode(name), flags, mode, self._resolve)

    def open_again(self, fd: int, flags: int) -> int:
        """Open the very file of *fd* (may be O_PATH) again with *flags*; its name does not matter. FileLeasedError if
        that is possible later (O_NONBLOCK)."""
        if self._acted:
            must_be_user(fd)
        try:
            return os.open(proc_path(fd), flags | os.O_CLOEXEC)
        except BlockingIOError as error:
            raise FileLeasedError from error
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            return openat2(AT_FDCWD, proc_path(fd).encode(), flags, resolve=0)  # it closes idle pipes

    def status(self, path: str) -> FileStatus:
        """Status of the real path, following links, even outside: use it only to find the type."""
        return statx(self.fd, encode(path), 0)

    def open_directory(self, path: str) -> int:
        """O_PATH descriptor of a directory, for operations on (directory, name). OSError; ENOTDIR, ENOENT."""
        return self.open(path, os.O_PATH | os.O_DIRECTORY)

    def link_status(self, directory_fd: int, name: str) -> FileStatus:
        """Status of the name itself; does not follow links."""
        return statx(directory_fd, encode_name(name), AT_SYMLINK_NOFOLLOW)

    def canonical(self, path: str) -> str:
        """The real path of *path* without any links. OSError: ENOENT, ENOTDIR, ELOOP; EXDEV if it leads outside."""
        todo = deque(part for part in path.split("/") if part)
        done: list[str] = []
        links = 0
        while todo:
            part = todo.popleft()
            if part == "..":
                if not done:
                    raise OSError(errno.EXDEV, "leads outside the share", path)
                done.pop()
                continue
            target = self._link_target("/".join(done), part)
            if target is None:
                done.append(part)
                continue
            links += 1
            if links > _LINKS_MAX or not self._follow:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if target.startswith("/"):
                target = self._inside(target)
                done.clear()
            todo.extendleft(reversed([piece for piece in target.split("/") if piece not in ("", ".")]))
        return "/".join(done)

    def _inside(self, absolute: str) -> str:
        """The share-relative form of an absolute link target. EXDEV when it is not below the root."""
        root = self.root.rstrip("/")
        if absolute != self.root and not absolute.startswith(root + "/"):
            raise OSError(errno.EXDEV, "leads outside the share", absolute)
        return absolute[len(root) :]

    def _link_target(self, directory: str, name: str) -> str | None:
        """The link's target; None if the name is not a link."""
        fd = self.open_directory(directory)
        try:
            if not stat_module.S_ISLNK(self.link_status(fd, name).mode):
                return None
            return os.readlink(name, dir_fd=fd)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Closing twice is fine."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)
