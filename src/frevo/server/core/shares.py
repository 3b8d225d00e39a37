"""Shares at run time: their configuration, and the backends of their folders."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from frevo.config import Config, ShareConfig
from frevo.errors import SMBError
from frevo.tls.settings import settings_of
from frevo.vfs.guard import Guard
from frevo.vfs.local import LocalBackend, LocalOptions
from frevo.vfs.offloaded import offloaded
from frevo.wire.erref import NTStatus

if TYPE_CHECKING:
    from frevo.server.core.lane import Lane
    from frevo.server.core.lanes import Lanes
    from frevo.vfs.base import Backend
    from frevo.vfs.shared_folder import SharedFolder

log = logging.getLogger("frevo.server")

IPC = "IPC$"
#: The section from which the share of each user is created (frevo.server.rules.homes), by folded name.
HOMES = "homes"
#: Smaller UIDs are system users (login.defs, UID_MIN).
_FIRST_USER = 1000
#: A look-up reads folders with up to this many names at once, and larger ones in turns.
NAMES_INLINE = 2048
#: Most backends of one share whose path has macros (%U), so that clients cannot make the server open any number of
#: folders.
BACKENDS_MAX = 1024


class Share(msgspec.Struct, eq=False):
    """A share. With macros in its path it has one backend for each folder, opened at the first tree connect."""

    name: str
    config: ShareConfig
    is_pipe: bool = False
    users: int = 0  # connected trees
    backends: dict[str, Backend] = msgspec.field(default_factory=dict)  # by folder
    guard: Guard | None = None  # for what is never shown
    acted: bool = False  # on disk, users act in it, never the server itself
    lanes: dict[str, Lane | None] = msgspec.field(default_factory=dict)  # of the backends
    home_of: int | None = None  # the Unix user whose home it is according to the list of users

    @property
    def path(self) -> str:
        """The configured folder, with unexpanded macros."""
        return self.config.path

    def lane_at(self, path: str, lanes: Lanes) -> Lane | None:
        """The lane of the folder *path*; None if it needs none."""
        return self.lanes[path] if path in self.lanes else lanes.of(path, self.config)

    def backend_at(self, path: str, lane: Lane | None) -> Backend:
        """The backend of the folder *path*, whose lane is `lanes[path]`; opened if it is not open yet, in *lane* if it
        needs one. Raises BAD_NETWORK_NAME if the folder does not exist."""
        lane = None if lane is None or lane.inline else lane  # that of a disk that is fast again
        backend = self.backends.get(path)
        if backend is None:
            local = (
                self._open(path, NAMES_INLINE) if lane is None else lane.call(lambda: self._open(path, None))
            )
            backend = self.backends[path] = offloaded(local, lane) if lane is not None else local
            self.lanes[path] = lane
        return backend

    def _open(self, path: str, names_inline: int | None) -> LocalBackend:
        if len(self.backends) >= BACKENDS_MAX:
            raise SMBError(NTStatus.INSUFFICIENT_RESOURCES, f"share {self.name}: too many folders")
        settings = self.config
        options = LocalOptions(
            read_only=settings.read_only and not settings.write_list,
            hide_dot_files=settings.hide_dot_files,
            hide_files=settings.hide_files,
            veto_files=settings.veto_files,
            delete_veto_files=settings.delete_veto_files,
            inherit_permissions=settings.inherit_permissions,
            inherit_acls=settings.inherit_acls,
            follow_symlinks=settings.follow_symlinks,
            wide_links=settings.wide_links,
            volume_label=settings.volume or self.name,
            guard=self.guard,
            names_inline=names_inline,
            acted=self.acted,
            inherit_owner=settings.inherit_owner != "no" and os.geteuid() == 0,
        )
        try:
            backend = LocalBackend(path, options=options)
        except OSError as error:
            log.warning("share %s: %s: %s", self.name, path, error.strerror)
            raise SMBError(
                NTStatus.BAD_NETWORK_NAME, f"share {self.name}: {path}: {error.strerror}"
            ) from None
        if self.home_of is not None and not _is_home(backend.folder, self.home_of):
            backend.close()
            log.warning("share %s: %s does not belong to the user", self.name, path)
            raise SMBError(
                NTStatus.BAD_NETWORK_NAME, f"share {self.name}: {path} does not belong to the user"
            )
        return backend

    def close(self) -> None:
        """Closes the backends; their opens must be closed already."""
        for backend in self.backends.values():
            backend.close()
        self.backends.clear()
        self.lanes.clear()


def _is_home(folder: SharedFolder, uid: int) -> bool:
    """Whether the folder can be the home of the Unix user *uid*: it belongs to the user, or to root while the user is
    not a system user. System users often have folders like / or /bin as their home."""
    owner = os.fstat(folder.fd).st_uid
    return folder.root != "/" and (owner == uid or (owner == 0 and uid >= _FIRST_USER))


def guard_of(config: Config) -> Guard:
    """What no share may show: the private directory, and the keytab and keys of certificates that lie elsewhere."""
    keytab = config.globals.kerberos_keytab
    private_dir = Path(config.globals.private_dir)
    keys = [str(keyfile) for _, keyfile in settings_of(config.globals).pairs()]
    outside = [path for path in (keytab or "", *keys) if path and not Path(path).is_relative_to(private_dir)]
    return Guard(private_dir, outside)


def build_shares(config: Config, guard: Guard, *, acted: bool) -> dict[str, Share]:
    """Every available share, by folded name, and IPC$. *acted*: Unix users act in it, not the server itself."""
    shares = {IPC.casefold(): Share(IPC, ShareConfig(name=IPC, comment="IPC Service", path=""), is_pipe=True)}
    for settings in config.shares.values():
        if settings.available and settings.name.casefold() not in (HOMES, *shares):
            shares[settings.name.casefold()] = Share(settings.name, settings, guard=guard, acted=acted)
    return shares
