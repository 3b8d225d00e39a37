"""The values of %-macros in the configuration for a session: user, client, addresses, dialect."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Iterable
from typing import TYPE_CHECKING

from frevo import nss
from frevo.config import Config, Person, ShareConfig, domains_of, expand
from frevo.config.macros import macros_in

if TYPE_CHECKING:
    from frevo.server.core.state import Session


def fill(text: str, session: Session, config: Config, share: ShareConfig) -> str:
    """*text* with its macros replaced by their values for *session* on *share*."""
    if "%" not in text:
        return text
    separator = config.globals.winbind_separator
    return expand(text, separator=separator, **values(macros_in(text), session, config, share))


def values(
    letters: frozenset[str], session: Session, config: Config, share: ShareConfig, name: str = ""
) -> dict[str, str]:
    """The arguments of `expand` for *session*; those that require a look-up only if they are in *letters*."""
    identity, connection = session.identity, session.connection
    account = identity.account if identity is not None else ""
    found = {
        "share": name or share.name,
        "user": account,
        "requested_user": identity.user if identity is not None else "",
        "domain": config.globals.workgroup,
        "machine": identity.workstation if identity is not None else "",
        "address": _host(connection.peer),
        "local_address": _host(connection.local),
        "dialect": connection.dialect.name if connection.dialect is not None else "",
        "server": config.globals.netbios_name,
    }
    if "P" in letters and not macros_in(share.path):
        found["path"] = share.path.replace("%%", "%")
    if letters & frozenset("HGg"):
        found |= _of_unix_user(session.unix.name if session.unix is not None else account.rpartition("\\")[2])
    return found


def person(
    session: Session,
    config: Config,
    share: ShareConfig,
    name: str,
    lists: Iterable[Iterable[str]],
    share_name: str,
) -> Person:
    """*session* with the account or Unix user *name*, as the entries of *lists* of *share* can mean it."""
    identity = session.identity
    assert identity is not None
    letters = frozenset(letter for words in lists for word in words for letter in macros_in(word))
    macros = values(letters, session, config, share, share_name) if letters else {}
    domains = domains_of(config.globals)
    if identity.package == "Kerberos":
        domains |= {identity.domain.lower()}
    return Person(name, domains=domains, macros=macros)


def _host(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")


def _of_unix_user(account: str) -> dict[str, str]:
    try:
        user = nss.look_up(pwd.getpwnam, account)
    except (KeyError, ValueError):
        return {}
    try:
        group = nss.look_up(grp.getgrgid, user.pw_gid).gr_name
    except KeyError:
        group = ""
    return {"home": user.pw_dir, "group": group}
