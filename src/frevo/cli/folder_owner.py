"""`frevo serve PATH` by root: the server becomes the folder's owner once its ports are bound."""

from __future__ import annotations

import importlib
import os
import pwd
from pathlib import Path

import msgspec

from frevo.aio.acting import UnixIdentity, as_identity, load_all
from frevo.cli.serve_folder import ServeError
from frevo.folders import make_folder

#: Below this are the private folders of owners who have no home.
STATE_DIR = Path("/var/lib/frevo")
#: Modules that would be imported later, perhaps from a folder that only root may read.
_IMPORTED_LATER = (
    "frevo.status.collect",
    "frevo.server.rules.acting",
    "frevo.cli.serve",
    "frevo.auth.accounts",
)
#: The same for a server over QUIC.
_IMPORTED_FOR_QUIC = (
    "frevo.server.quic_listeners",
    "frevo.tls.generate",
    "frevo.tls.load",
    "frevo.tls.names",
)


class Owner(msgspec.Struct, frozen=True):
    """The owner of a folder, with everything that a process needs to become that user."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str

    @property
    def identity(self) -> UnixIdentity:
        """The owner as a thread acts as it."""
        return UnixIdentity(self.uid, self.gid, list(self.groups))


def owner_to_become(path: str) -> Owner | None:
    """The user that a server of the folder *path* becomes; None if it does not change: not root, or root's folder."""
    if os.geteuid() != 0:
        return None
    try:
        status = Path(path).expanduser().stat()
    except (OSError, RuntimeError, ValueError):
        return None  # that it cannot be shared is said by who looks at the folder
    if status.st_uid == 0:
        return None
    try:
        entry = pwd.getpwuid(status.st_uid)
    except KeyError:
        return Owner(f"user{status.st_uid}", status.st_uid, status.st_gid, (), "")
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return Owner(entry.pw_name, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir)


def private_dir_for(owner: Owner, wanted: str | None) -> str:
    """The owner's private folder: *wanted*, else the default of a server started by the owner.

    Created if missing. Raises ServeError if it belongs to someone else.
    """
    if wanted is not None:
        folder = Path(wanted).absolute()
    elif _is_home(owner):
        folder = Path(owner.home) / ".local" / "state" / "frevo" / "private"
    else:
        folder = STATE_DIR / f"private-{owner.name}"
    try:
        _make(folder, owner)
        status = folder.stat()
    except OSError as error:
        raise ServeError(f"cannot create the private folder {folder}: {error.strerror}") from error
    if status.st_uid != owner.uid:
        raise ServeError(
            f"the private folder {folder} does not belong to {owner.name}, the owner of the shared folder: "
            f"choose another one with --private-dir, or chown {owner.name} {folder}"
        )
    return str(folder)


def _is_home(owner: Owner) -> bool:
    try:
        return bool(owner.home) and Path(owner.home).stat().st_uid == owner.uid
    except OSError:
        return False


def _make(folder: Path, owner: Owner) -> None:
    """Create the folder with the owner's rights; if these do not suffice, root creates it and gives it away."""
    try:
        with as_identity(owner.identity):
            make_folder(folder, 0o700)
        return
    except PermissionError:
        pass
    make_folder(folder.parent, 0o755)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return
    os.chown(folder, owner.uid, owner.gid, follow_symlinks=False)


def become(owner: Owner, *, quic: bool) -> None:
    """Change this whole process, a server (over *quic*), to *owner*, permanently."""
    load_all()
    for module in (*_IMPORTED_LATER, *(_IMPORTED_FOR_QUIC if quic else ())):
        importlib.import_module(module)
    os.setgroups(owner.groups)
    os.setresgid(owner.gid, owner.gid, owner.gid)
    os.setresuid(owner.uid, owner.uid, owner.uid)
    if os.getresuid() != (owner.uid,) * 3 or os.getresgid() != (owner.gid,) * 3:
        raise ServeError(f"cannot switch this process to the user {owner.name}")
