"""The accounts store: `accounts.json` in the private directory, NT hashes and flags per user.

The file is one JSON object: `version` (1), `next_rid`, and `accounts`, a list of objects with `name`, `rid`,
`nt_hash` (32 hexadecimal digits), `flags` (of "disabled", "must-change"), `created` and `password_set`
(seconds since 1970) and `full_name`. Names are compared without case. The file has mode 0600 in a directory
of mode 0700; it is replaced atomically under a lock file (`accounts.lock`), and a running server sees a
change at the next logon.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from frevo.auth.md4 import nt_hash
from frevo.auth.private_files import (
    PrivateFileError,
    ensure_private_directory,
    locked,
    read_private,
    replace_private,
)
from frevo.auth.smbpasswd import SmbpasswdEntry
from frevo.errors import FrevoError
from frevo.records import Redacted

log = logging.getLogger(__name__)

T = TypeVar("T")

FILE_NAME = "accounts.json"
VERSION = 1
FIRST_RID = 1000
MAX_NAME_CHARACTERS = 104
FLAGS = ("disabled", "must-change")

#: Characters that no account name may have ([MS-SAMR] 3.1.1.8.4), plus "@", which ends the user in
#: user@realm.
_BAD_NAME = re.compile(r'["/\\\[\]:;|=,+*?<>@\x00-\x1f\x7f]|^[ .]|[ .]$|[\ud800-\udfff]')


class AccountsError(FrevoError):
    """The accounts cannot be read or changed; the message is for the user."""


class Account(Redacted, msgspec.Struct, frozen=True):
    """One user. `nt_hash` is as secret as the password: it never appears in repr or logs."""

    HIDDEN = ("nt_hash",)

    name: str
    rid: int
    nt_hash: bytes
    disabled: bool = False
    must_change: bool = False
    created_s: int = 0
    password_set_s: int = 0
    full_name: str = ""

    @property
    def key(self) -> str:
        return account_key(self.name)

    def as_json(self) -> dict[str, Any]:
        """The form in the file, including the hash."""
        return {**self.public(), "nt_hash": self.nt_hash.hex()}

    def public(self) -> dict[str, Any]:
        """The data that may be shown."""
        flags = [flag for flag, on in zip(FLAGS, (self.disabled, self.must_change), strict=True) if on]
        return {
            "name": self.name,
            "rid": self.rid,
            "flags": flags,
            "created": self.created_s,
            "password_set": self.password_set_s,
            "full_name": self.full_name,
        }


def account_key(name: str) -> str:
    """The form of *name* used for look-ups, which ignores case."""
    return name.casefold()


def check_name(name: str) -> None:
    """Raise AccountsError if *name* is not a valid account name."""
    if not name or len(name) > MAX_NAME_CHARACTERS:
        raise AccountsError(f"an account name has 1 to {MAX_NAME_CHARACTERS} characters")
    if _BAD_NAME.search(name):
        raise AccountsError(
            f'account name {name!r}: "/\\[]:;|=,+*?<>@ and control characters are not allowed'
        )


class AccountStore:
    """The accounts of one private directory.

    Reading methods read the file again if it has changed. Changing methods lock, read, change and replace the file.
    All raise AccountsError or PrivateFileError, except `lookup` once the file has been read.
    """

    def __init__(self, private_dir: str | Path, *, clock: Callable[[], float] = time.time) -> None:
        self.directory = Path(private_dir)
        self.path = self.directory / FILE_NAME
        self._clock = clock
        self._accounts: dict[str, Account] = {}
        self._next_rid = FIRST_RID
        self._signature: tuple[int, int, int] | None = None
        self.load()

    def load(self) -> None:
        """Read the file; a missing file means no accounts."""
        try:
            content, status = read_private(self.path)
        except FileNotFoundError:
            self._accounts, self._next_rid, self._signature = {}, FIRST_RID, None
            return
        except OSError as error:
            raise AccountsError(f"cannot read {self.path}: {error.strerror}") from error
        self._accounts, self._next_rid = _parse(content, self.path)
        self._signature = (status.st_mtime_ns, status.st_ino, status.st_size)

    def refresh(self) -> None:
        """Read the file again if it has changed; keep the old accounts if it is damaged."""
        try:
            status = self.path.stat()
            signature = (status.st_mtime_ns, status.st_ino, status.st_size)
        except FileNotFoundError:
            signature = None
        except OSError as error:
            log.error("cannot check %s: %s", self.path, error.strerror)
            return
        if signature == self._signature:
            return
        try:
            self.load()
        except (AccountsError, PrivateFileError) as error:
            self._signature = signature
            log.error("%s; the old accounts stay in force", error)

    def lookup(self, name: str) -> Account | None:
        """The account called *name* in any case, or None."""
        self.refresh()
        return self._accounts.get(account_key(name))

    def all(self) -> list[Account]:
        """Every account, by name."""
        self.refresh()
        return [account for _, account in sorted(self._accounts.items())]

    def add(self, name: str, password: str, *, full_name: str = "") -> Account:
        """Create an account; AccountsError if the name exists."""
        check_name(name)
        digest = nt_hash(password)

        def change() -> Account:
            if account_key(name) in self._accounts:
                raise AccountsError(
                    f"account {name!r} already exists: to change its password, use frevo user passwd {name}"
                )
            now_s = int(self._clock())
            return self._put(Account(name, self._next_rid, digest, False, False, now_s, now_s, full_name))

        return self._change(change)

    def set_password(self, name: str, password: str) -> Account:
        """Give *name* a new password; also clears must-change."""
        digest = nt_hash(password)
        now_s = int(self._clock())

        def change() -> Account:
            old = self._existing(name)
            return self._put(replace(old, nt_hash=digest, must_change=False, password_set_s=now_s))

        return self._change(change)

    def set_disabled(self, name: str, disabled: bool) -> Account:
        """Forbid or allow *name* to log on."""
        return self._change(lambda: self._put(replace(self._existing(name), disabled=disabled)))

    def remove(self, name: str) -> Account:
        """Delete *name*; its RID is never reused."""
        return self._change(lambda: self._accounts.pop(self._existing(name).key))

    def merge(self, entries: Iterable[SmbpasswdEntry]) -> tuple[list[str], list[str]]:
        """Import smbpasswd entries; returns (names added, names whose password was replaced).

        Raises AccountsError for an invalid name; then nothing is imported.
        """
        wanted = list(entries)
        for entry in wanted:
            check_name(entry.name)

        def change() -> tuple[list[str], list[str]]:
            added: list[str] = []
            updated: list[str] = []
            for entry in wanted:
                (updated if account_key(entry.name) in self._accounts else added).append(entry.name)
                self._merge_one(entry)
            return added, updated

        return self._change(change)

    def _merge_one(self, entry: SmbpasswdEntry) -> None:
        now_s = int(self._clock())
        old = self._accounts.get(account_key(entry.name))
        base = old or Account(entry.name, self._next_rid, b"", created_s=now_s)
        assert entry.nt_hash is not None, "parse_smbpasswd leaves out entries without a hash"
        self._put(
            replace(
                base,
                nt_hash=entry.nt_hash,
                disabled=entry.disabled,
                must_change=entry.must_change,
                password_set_s=entry.password_set_s or now_s,
            )
        )

    def _existing(self, name: str) -> Account:
        try:
            return self._accounts[account_key(name)]
        except KeyError:
            raise AccountsError(f"there is no account {name!r} in {self.path}") from None

    def _put(self, account: Account) -> Account:
        self._accounts[account.key] = account
        self._next_rid = max(self._next_rid, account.rid + 1)
        return account

    def _change(self, change: Callable[[], T]) -> T:
        """Run *change* on freshly read accounts under the lock, then save and update the accounts in memory."""
        ensure_private_directory(self.directory)
        try:
            with locked(self.directory / "accounts.lock"):
                self.load()
                try:
                    result = change()
                    replace_private(self.path, self._serialize())
                finally:
                    self.load()
                return result
        except OSError as error:
            raise AccountsError(f"cannot change {self.path}: {error.strerror}") from error

    def _serialize(self) -> bytes:
        accounts = [account.as_json() for _, account in sorted(self._accounts.items())]
        document = {"version": VERSION, "next_rid": self._next_rid, "accounts": accounts}
        return json.dumps(document, indent=1).encode() + b"\n"


def _parse(content: bytes, path: Path) -> tuple[dict[str, Account], int]:
    """Accounts by key and the next RID; AccountsError names the path and the problem, never a hash."""
    try:
        document = json.loads(content)
        if document["version"] != VERSION:
            raise AccountsError(f"{path}: version {document['version']!r} is not {VERSION}")
        accounts = [_account(entry) for entry in document["accounts"]]
        next_rid = int(document["next_rid"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise AccountsError(f"{path} is damaged ({type(error).__name__}): restore it or remove it") from None
    table = {account.key: account for account in accounts}
    if len(table) != len(accounts) or len({account.rid for account in accounts}) != len(accounts):
        raise AccountsError(f"{path} is damaged (an account name or RID occurs twice)")
    return table, max([next_rid, FIRST_RID, *(account.rid + 1 for account in accounts)])


def _account(entry: dict[str, Any]) -> Account:
    digest = bytes.fromhex(entry["nt_hash"])
    if len(digest) != 16 or not isinstance(entry["name"], str) or not 0 < int(entry["rid"]) < 2**32 - 1:
        raise ValueError
    return Account(
        name=entry["name"],
        rid=int(entry["rid"]),
        nt_hash=digest,
        disabled="disabled" in entry.get("flags", ()),
        must_change="must-change" in entry.get("flags", ()),
        created_s=int(entry.get("created", 0)),
        password_set_s=int(entry.get("password_set", 0)),
        full_name=str(entry.get("full_name", "")),
    )
