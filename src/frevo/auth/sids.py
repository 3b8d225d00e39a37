"""The SID scheme: the machine SID and its accounts, Unix users and groups, and the well-known SIDs we put
into tokens.

Accounts are `<machine SID>-<RID>`; files of Unix owners without an account show Samba's S-1-22-1-uid and
S-1-22-2-gid.
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
from frevo.wire.dtyp import SID

MACHINE_SID_FILE = "machine-sid"

RID_ADMINISTRATOR = 500
RID_GUEST = 501
RID_DOMAIN_USERS = 513
RID_DOMAIN_GUESTS = 514

#: Well-known SIDs ([MS-DTYP] 2.4.2.4).
EVERYONE = SID.from_string("S-1-1-0")
CREATOR_OWNER = SID.from_string("S-1-3-0")
CREATOR_GROUP = SID.from_string("S-1-3-1")
OWNER_RIGHTS = SID.from_string("S-1-3-4")
NETWORK = SID.from_string("S-1-5-2")
ANONYMOUS = SID.from_string("S-1-5-7")
AUTHENTICATED_USERS = SID.from_string("S-1-5-11")
LOCAL_SYSTEM = SID.from_string("S-1-5-18")
ADMINISTRATORS = SID.from_string("S-1-5-32-544")
USERS = SID.from_string("S-1-5-32-545")
GUESTS = SID.from_string("S-1-5-32-546")


def account_sid(machine_sid: SID, rid: int) -> SID:
    """The SID of the account or group *rid* of this machine."""
    return SID.from_string(f"{machine_sid}-{rid}")


@functools.lru_cache(maxsize=4096)
def unix_user_sid(uid: int) -> SID:
    """The SID that stands for a Unix user without an account."""
    return SID.from_string(f"S-1-22-1-{uid}")


@functools.lru_cache(maxsize=4096)
def unix_group_sid(gid: int) -> SID:
    """The SID that stands for a Unix group."""
    return SID.from_string(f"S-1-22-2-{gid}")


def user_groups(machine_sid: SID, *, is_admin: bool) -> tuple[SID, ...]:
    """The groups of an authenticated account."""
    groups = (account_sid(machine_sid, RID_DOMAIN_USERS), EVERYONE, NETWORK, AUTHENTICATED_USERS, USERS)
    return (*groups, ADMINISTRATORS) if is_admin else groups


def guest_groups() -> tuple[SID, ...]:
    """The groups of a guest; Authenticated Users is not among them."""
    return (EVERYONE, NETWORK, GUESTS)


def anonymous_groups() -> tuple[SID, ...]:
    """The groups of an anonymous session."""
    return (EVERYONE, NETWORK)


def load_machine_sid(private_dir: Path) -> SID:
    """The machine SID of *private_dir*, made at random the first time; PrivateFileError when it cannot be
    kept.
    """
    path = private_dir / MACHINE_SID_FILE
    try:
        ensure_private_directory(private_dir)
        with locked(private_dir / "accounts.lock"):
            try:
                text = read_private(path, limit=256)[0].decode("ascii", "replace").strip()
            except FileNotFoundError:
                text = "S-1-5-21-" + "-".join(str(secrets.randbits(32)) for _ in range(3))
                replace_private(path, text.encode() + b"\n")
    except OSError as error:
        raise PrivateFileError(f"cannot keep the machine SID in {path}: {error.strerror}") from error
    if not text.startswith("S-1-5-21-") or text.count("-") != 6:
        raise PrivateFileError(f"{path} does not hold a machine SID (S-1-5-21-a-b-c)")
    try:
        return SID.from_string(text)
    except ValueError:
        raise PrivateFileError(f"{path} does not hold a machine SID (S-1-5-21-a-b-c)") from None
