"""`inherit permissions` and `inherit acls`: modes of new files that come from their folder."""

from __future__ import annotations

import errno
import os
from typing import Final

from frevo.vfs.options import LocalOptions
from frevo.vfs.shared_folder import SharedFolder
from frevo.vfs.system import proc_path

_DEFAULT_ACL: Final = "system.posix_acl_default"


def mode_from_parent(
    folder: SharedFolder, parent: str, options: LocalOptions, mode: int, *, directory: bool
) -> int:
    """The mode of a new file or directory in the real path *parent*; *mode* is the result of the masks.

    With `inherit permissions`, a directory gets its parent's bits, a file the read and write bits (the kernel passes
    on setgid). With `inherit acls` and a default ACL on the parent, the ACL decides. OSError.
    """
    fd = folder.open_directory(parent)
    try:
        if options.inherit_permissions:
            return os.fstat(fd).st_mode & (0o777 if directory else 0o666)
        if options.inherit_acls and _has_default_acl(fd):
            return 0o777 if directory else 0o666
        return mode
    finally:
        os.close(fd)


def _has_default_acl(fd: int) -> bool:
    try:
        return bool(os.getxattr(proc_path(fd), _DEFAULT_ACL))
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
            return False
        raise
