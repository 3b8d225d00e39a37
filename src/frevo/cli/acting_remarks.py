"""Warnings about the keys that set the Unix user: those without effect here, or that match no user."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterator

from frevo.config import Config, ShareConfig
from frevo.config.macros import macros_in
from frevo.server.core.unix_users import acts_as_users


def global_error(config: Config) -> str:
    """Why `frevo serve` cannot start as this user; empty if it can."""
    if config.globals.frevo_unix_users == "yes" and os.geteuid() != 0:
        return "only root can act as other Unix users: start frevo as root, or set this to `auto`"
    return ""


def acting_remarks(config: Config, share: ShareConfig) -> Iterator[tuple[str, str]]:
    """(attribute of *share*, sentence) for every problem."""
    if acts_as_users(config):
        yield from _of_users(config, share)
    else:
        yield from _of_one_user(share)


def _of_users(config: Config, share: ShareConfig) -> Iterator[tuple[str, str]]:
    """Every session acts as its own Unix user, so these users must exist."""
    if share.force_user and not macros_in(share.force_user):
        name = _bare(share.force_user)
        uid = _uid(name)
        if uid is None:
            yield "force_user", f"there is no Unix user {name!r}: nobody can connect"
        elif uid == 0 and not share.admin_users:
            yield "force_user", f"{name!r} is root, and only `admin users` act as root: nobody can connect"
    if share.force_group and not macros_in(share.force_group):
        name = _bare(share.force_group.lstrip("+"))
        if _gid(name) is None:
            yield "force_group", f"there is no Unix group {name!r}: nobody can connect"
    guest = config.globals.guest_account
    if share.guest_ok and not share.force_user and _uid(guest) is None:
        yield "guest_ok", f"there is no Unix user {guest!r} (`guest account`): guests cannot connect"


def _of_one_user(share: ShareConfig) -> Iterator[tuple[str, str]]:
    """Everyone acts as the server's own user, whatever the keys say."""
    uid = os.geteuid()
    reason = f"this server acts as user {uid} for everyone (`frevo:unix users`)"
    if share.force_user and not macros_in(share.force_user) and _uid(_bare(share.force_user)) != uid:
        yield "force_user", f"nobody can connect: {reason}"
    if share.force_group and _gid(_bare(share.force_group.lstrip("+"))) != os.getegid():
        yield "force_group", f"new files get group {os.getegid()}: {reason}"
    if share.admin_users:
        yield "admin_users", f"nobody acts as root: {reason}"
    if share.inherit_owner != "no" and uid != 0:
        yield "inherit_owner", f"new files belong to user {uid} on disk: {reason}"


def _bare(name: str) -> str:
    return name.rpartition("\\")[2]


def _uid(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        return None


def _gid(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        return None
