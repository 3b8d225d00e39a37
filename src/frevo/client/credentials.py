"""Who logs on: from arguments, a credentials file in smbclient's format, or the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user and how to prove it. Without a password the Kerberos ticket cache is used."""

    user: str = ""
    password: str | None = field(default=None, repr=False)
    domain: str = ""
    kerberos: str = "auto"  # auto: only without a password; required; off
    guest: bool = False  # log on as guest, and accept to be one
    anonymous: bool = False  # log on as nobody

    @property
    def complete(self) -> bool:
        """Nothing has to be asked for."""
        return self.password is not None or self.guest or self.anonymous or self.kerberos == "required"


def read_credentials_file(path: str) -> Credentials:
    """`username = …`, `password = …`, `domain = …`, one a line, as smbclient and mount.cifs read them.

    ValueError for a file without a user name.
    """
    values: dict[str, str] = {}
    for line in Path(path).read_text(encoding="utf-8").splitlines():
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


def split_user(credentials: Credentials) -> Credentials:
    r"""DOMAIN\user and DOMAIN/user taken apart."""
    for separator in ("\\", "/"):
        domain, found, user = credentials.user.partition(separator)
        if found:
            return replace(credentials, user=user, domain=domain)
    return credentials


def choose(
    given: Credentials, file: str | None = None, environ: Mapping[str, str] | None = None
) -> Credentials:
    """*given* completed by the credentials file, else by the environment; a named user is never replaced."""
    if given.guest or given.anonymous:
        return given
    source = read_credentials_file(file) if file else from_environment(environ)
    if given.user and source.user and given.user != source.user:
        return given
    password = given.password if given.password is not None else source.password
    return replace(
        given, user=given.user or source.user, password=password, domain=given.domain or source.domain
    )
