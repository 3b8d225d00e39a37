"""LocalOptions: how the local backend shares a folder."""

from __future__ import annotations

import msgspec

from frevo.vfs.guard import Guard


class LocalOptions(msgspec.Struct, frozen=True):
    """How a shared folder is exported."""

    read_only: bool = False
    case_sensitive: bool = False
    hide_dot_files: bool = True
    veto_files: tuple[str, ...] = ()  # patterns with * and ?
    delete_veto_files: bool = False  # folders that hold nothing else can be removed
    volume_label: str = ""
    hide_files: tuple[str, ...] = ()  # patterns with * and ?: hidden as names with a dot are
    follow_symlinks: bool = True
    wide_links: bool = False
    inherit_permissions: bool = False
    inherit_acls: bool = False
    inherit_owner: bool = False  # new files belong to the owner of their folder
    guard: Guard | None = None  # the server's own files, which are not shown
    names_inline: int | None = None  # names of a folder that a look-up reads before it raises Unread
    acted: bool = False  # users act in here, never the server itself
