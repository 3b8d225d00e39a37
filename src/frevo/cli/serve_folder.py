"""`frevo serve PATH`: the share's name, the user with a random password, and a usable port."""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path

import msgspec

from frevo.config import Config, default_for_folder
from frevo.errors import FrevoError
from frevo.records import Redacted
from frevo.transport.traits import QUIC, TCP

SMB_PORT = TCP.port
#: Where a folder is served when 445 is not allowed: an ordinary user's port.
ORDINARY_PORT = 4450
#: The same over QUIC, for UDP 443.
ORDINARY_QUIC_PORT = 4433

_RESERVED = frozenset({"global", "homes", "printers", "print$", "ipc$"})
_FORBIDDEN = frozenset('\\/[]:|<>+=;,*?"%')
#: Letters and digits that are not easily confused.
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"


class ServeError(FrevoError):
    """The server cannot start; the message says what to do."""


class Login(Redacted, msgspec.Struct, frozen=True):
    """The user who can log on; `password` is empty if the account existed and kept its password."""

    HIDDEN = ("password",)

    user: str
    password: str


def folder_config(
    path: str, name: str | None, *, read_only: bool, overrides: Mapping[str, str] | None = None
) -> Config:
    """The configuration that shares the folder *path*. Raises ServeError if it is not a readable folder."""
    folder = Path(path).expanduser()
    try:
        folder = folder.resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ServeError(f"cannot share {path}: {reason}") from error
    if not folder.is_dir():
        raise ServeError(f"cannot share {path}: it is not a folder")
    if not os.access(folder, os.R_OK | os.X_OK, effective_ids=True):
        raise ServeError(f"cannot share {path}: the server has no permission to read it")
    if not read_only and not os.access(folder, os.W_OK, effective_ids=True):
        read_only = True
    share = share_name(folder) if name is None else name
    if share.lower() in _RESERVED or not share.strip():
        raise ServeError(f"{share!r} cannot be used as a share name: choose another with --name")
    return default_for_folder(folder, share, read_only=read_only, overrides=overrides)


def share_name(folder: Path) -> str:
    """The share name for *folder*: its own name, without characters that share names may not contain."""
    name = "".join(
        "_" if letter in _FORBIDDEN or not letter.isprintable() else letter for letter in folder.name
    )
    name = " ".join(name.split())[:80]
    return f"{name or 'share'}_" if name.lower() in _RESERVED else name or "share"


def user_name(wanted: str | None) -> str:
    """The user who may connect: *wanted*, else the login name. AccountsError for an invalid name."""
    from frevo.auth.accounts import check_name

    name = wanted or login_name()
    check_name(name)
    return name


def login_for(private_dir: str, name: str, *, new_password: bool) -> Login:
    """Create the account *name* with a random password, or use the existing one."""
    from frevo.auth.accounts import AccountStore

    store = AccountStore(private_dir)
    exists = store.lookup(name) is not None
    if exists and not new_password:
        return Login(name, "")
    password = random_password()
    if exists:
        store.set_password(name, password)
    else:
        store.add(name, password)
    return Login(name, password)


def login_name() -> str:
    """The name of the user that runs this."""
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(os.geteuid()).pw_name
    return os.environ.get("USER") or f"user{os.geteuid()}"


def random_password() -> str:
    """80 bits of randomness that can be read aloud and typed into any shell."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(4))


def usual_port() -> int:
    """445 if this user may listen there, else 4450; does not check whether 445 is free."""
    return SMB_PORT if may_listen(SMB_PORT, socket.SOCK_STREAM) else ORDINARY_PORT


def usual_quic_port() -> int:
    """443 if this user may listen there, else 4433; does not check whether 443 is free."""
    return QUIC.port if may_listen(QUIC.port, socket.SOCK_DGRAM) else ORDINARY_QUIC_PORT


def may_listen(port: int, kind: socket.SocketKind) -> bool:
    """Whether this user may use *port*, which may be in use."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            return error.errno not in (errno.EACCES, errno.EPERM)
    return True
