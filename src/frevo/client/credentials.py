"""The credentials of a log-on: from arguments, a credentials file in smbclient's format, the environment, or the netrc
file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from frevo.client import netrc
from frevo.records import Redacted


class Credentials(Redacted, msgspec.Struct, frozen=True):
    """A user and how to prove it. Without a password the Kerberos ticket cache is used."""

    HIDDEN = ("password",)

    user: str = ""
    password: str | None = None
    domain: str = ""
    kerberos: str = "auto"  # auto: only without a password; required; off
    guest: bool = False  # log on as guest, and accept being one
    anonymous: bool = False  # log on without an account

    @property
    def complete(self) -> bool:
        """Whether there is nothing to ask the user for."""
        return self.password is not None or self.guest or self.anonymous or self.kerberos == "required"


def read_credentials_file(path: str) -> Credentials:
    """`username = …`, `password = …`, `domain = …`, one a line, as smbclient and mount.cifs read them.

    ValueError for a file without a user name, or that is no text; OSError when it cannot be read.
    """
    values: dict[str, str] = {}
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: a credentials file must be UTF-8 text") from None
    for line in lines:
        key, equals, value = line.partition("=")
        if equals and not line.lstrip().startswith(("#", ";")):
            values[key.strip().lower()] = value.strip()
    user = values.get("username", values.get("user", ""))
    if not user:
        raise ValueError(f"{path}: no line `username = NAME`")
    return split_user(Credentials(user, values.get("password", values.get("pass")), values.get("domain", "")))


def from_environment(environ: Mapping[str, str] | None = None) -> Credentials:
    """FREVO_USER, FREVO_PASSWORD and FREVO_DOMAIN."""
    values = os.environ if environ is None else environ
    return split_user(
        Credentials(
            values.get("FREVO_USER", ""), values.get("FREVO_PASSWORD"), values.get("FREVO_DOMAIN", "")
        )
    )


def from_netrc(host: str, port: int, user: str, environ: Mapping[str, str] | None = None) -> Credentials:
    """The entry of $NETRC or ~/.netrc for *user* (any if empty) on this server; empty without one. ValueError."""
    path, named = netrc.file_name(environ)
    entry = netrc.look_up(path, host, port, user, must_exist=named)
    return Credentials() if entry is None else split_user(Credentials(entry.login, entry.password))


def split_user(credentials: Credentials) -> Credentials:
    r"""DOMAIN\user and DOMAIN/user taken apart, and user@DOMAIN when the domain is a NetBIOS one.

    user@dns.domain stays whole: that is a name in itself (UPN), which the server resolves, and often a mail address.
    """
    for separator in ("\\", "/"):
        domain, found, user = credentials.user.partition(separator)
        if found:
            return replace(credentials, user=user, domain=domain)
    user, found, domain = credentials.user.rpartition("@")
    if user and domain and "." not in domain and not credentials.domain:
        return replace(credentials, user=user, domain=domain)
    return credentials


def choose(
    given: Credentials,
    file: str | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    host: str = "",
    port: int = 0,
) -> Credentials:
    """*given*, completed by the credentials file, then the environment, then for a *host* its entry in the netrc file.

    A user who was named is never replaced, and only gets a password that was stored for this name. ValueError or
    OSError for a file that cannot be used; the netrc file is read only when something is missing.
    """
    if given.guest or given.anonymous:
        return given
    known = _completed(given, read_credentials_file(file)) if file else given
    known = _completed(known, from_environment(environ))
    if host and known.password is None and known.kerberos != "required":
        known = _completed(known, from_netrc(host, port, known.user, environ))
    return known


def _completed(known: Credentials, source: Credentials) -> Credentials:
    if known.user and source.user and known.user.casefold() != source.user.casefold():
        return known
    if known.domain and source.domain and known.domain.casefold() != source.domain.casefold():
        return known
    password = known.password if known.password is not None else source.password
    return replace(
        known, user=known.user or source.user, password=password, domain=known.domain or source.domain
    )
