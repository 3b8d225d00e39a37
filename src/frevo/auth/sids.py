"""SIDs: the machine SID and its accounts, Unix users and groups, and the well-known SIDs used in tokens.

Accounts are `<machine SID>-<RID>`; Unix owners without an account appear as Samba's S-1-22-1-uid and S-1-22-2-gid.
"""

from __future__ import annotations

import functools
import secrets
from pathlib import Path

from frevo.auth.private_files import (
    PrivateFileError,
    ensure_private_directory,
    locked,
    read_private,
    replace_private,
)
from frevo.wire.dtyp import (
    ANONYMOUS,
    AUTHENTICATED_USERS,
    BUILTIN_ADMINISTRATORS,
    BUILTIN_GUESTS,
    BUILTIN_USERS,
    EVERYONE,
    NETWORK,
    SID,
    UNIX_GROUPS,
    UNIX_USERS,
)

MACHINE_SID_FILE = "machine-sid"

RID_GUEST = 501
RID_DOMAIN_USERS = 513


def account_sid(machine_sid: SID, rid: int) -> SID:
    """The SID of the account or group *rid* of this machine."""
    return machine_sid.child(rid)


@functools.lru_cache(maxsize=4096)
def unix_user_sid(uid: int) -> SID:
    """The SID of a Unix user without an account."""
    return UNIX_USERS.child(uid)


def is_unix_user(sid: SID) -> bool:
    """Whether the SID is a Unix user's."""
    return sid.authority == UNIX_USERS.authority and sid.sub_authorities[:-1] == UNIX_USERS.sub_authorities


@functools.lru_cache(maxsize=4096)
def unix_group_sid(gid: int) -> SID:
    """The SID of a Unix group."""
    return UNIX_GROUPS.child(gid)


def user_groups(machine_sid: SID, *, is_admin: bool) -> tuple[SID, ...]:
    """The groups of an authenticated account."""
    groups = (
        account_sid(machine_sid, RID_DOMAIN_USERS),
        EVERYONE,
        NETWORK,
        AUTHENTICATED_USERS,
        BUILTIN_USERS,
    )
    return (*groups, BUILTIN_ADMINISTRATORS) if is_admin else groups


def guest_groups() -> tuple[SID, ...]:
    """The groups of a guest; Authenticated Users is not among them."""
    return (EVERYONE, NETWORK, BUILTIN_GUESTS)


def anonymous_groups() -> tuple[SID, ...]:
    """The groups of an anonymous session."""
    return (ANONYMOUS, EVERYONE, NETWORK)


def load_machine_sid(private_dir: Path) -> SID:
    """The machine SID of *private_dir*, created at random the first time; PrivateFileError on failure."""
    path = private_dir / MACHINE_SID_FILE
    try:
        ensure_private_directory(private_dir)
        with locked(private_dir / "accounts.lock"):
            try:
                text = read_private(path, limit=256)[0].decode("ascii", "replace").strip()
            except FileNotFoundError:
                text = str(SID(5, (21, *(secrets.randbits(32) for _ in range(3)))))
                replace_private(path, text.encode() + b"\n")
    except OSError as error:
        raise PrivateFileError(f"cannot store the machine SID in {path}: {error.strerror}") from error
    try:
        sid = SID.from_string(text)
    except ValueError:
        sid = None
    if sid is None or len(sid.sub_authorities) != 4 or sid.authority != 5 or sid.sub_authorities[0] != 21:
        raise PrivateFileError(f"{path} does not contain a machine SID (S-1-5-21-a-b-c)")
    return sid
