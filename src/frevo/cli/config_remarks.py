"""Checks a valid configuration against this machine: folders, log file, addresses, certificates, user names.

`frevo testparm` and `frevo serve` report the same, because both use this module.
"""

from __future__ import annotations

import grp
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from frevo.auth.accounts import AccountsError, AccountStore
from frevo.auth.private_files import PrivateFileError
from frevo.cli.acting_remarks import acting_remarks, global_error
from frevo.cli.common import print_problems, printable
from frevo.cli.data_path_remarks import data_path_remarks
from frevo.cli.rdma_remarks import rdma_remarks
from frevo.cli.serve_folder import ORDINARY_QUIC_PORT, may_listen
from frevo.config import Config, ConfigProblem, ShareConfig, domains_of
from frevo.config.access import is_netgroup, parts_of_entry
from frevo.config.macros import macros_in
from frevo.transport.interfaces import listen_hosts

#: The lists of people and groups of a share.
LISTS = ("valid_users", "invalid_users", "read_list", "write_list")
#: Names in a log file's name that differ by client: one log is written for all.
_LOG_MACHINE = "frevo"


def explain(config: Config) -> list[ConfigProblem]:
    """Print the problems of *config* on this machine, after those of loading; returns all."""
    said = remarks(config)
    if nothing := nothing_to_serve(config):
        said.append(nothing)
    print_problems(said)
    if config.unserved and config.shares:
        names = ", ".join(f"[{name}]" for name in config.unserved)
        print(printable(f"{config.source}: not served: {names}"), file=sys.stderr)
    return said


def remarks(config: Config) -> list[ConfigProblem]:
    """All problems; with an error among them, `frevo serve` does not start."""
    found = [*listening(config), *_ports(config), *_driver(config), *_log(config)]
    found += [*_certificates(config), *_rdma(config)]
    found += (_at(config, "global", name, "global", text) for name, text in data_path_remarks(config))
    if error := global_error(config):
        position = _at(config, "global", "frevo_unix_users", "global", error)
        found.append(replace(position, severity="error"))
    if (name := config.globals.username_map) and not os.access(name, os.R_OK):
        found.append(
            _at(config, "global", "username_map", "global", f"cannot read {name}: no name is mapped")
        )
    people = _People(config)
    for lower, share in config.shares.items():
        problem = folder_problem(share)
        if problem:
            found.append(_at(config, lower, "path", share.name, problem))
        for attribute in LISTS:
            text = people.strangers(getattr(share, attribute))
            if text:
                found.append(_at(config, lower, attribute, share.name, text))
        for attribute, text in acting_remarks(config, share):
            found.append(_at(config, lower, attribute, share.name, text))
    return found


def _ports(config: Config) -> Iterator[ConfigProblem]:
    """A warning for each UDP port that this user may not use: 443 usually needs a permission."""
    for address in config.globals.server_smb_transports:
        if address.traits.secure and not may_listen(address.port, socket.SOCK_DGRAM):
            text = (
                f"this user may not listen on UDP port {address.port}: choose another, as in "
                f"{address.name}:{ORDINARY_QUIC_PORT} (`frevo doctor` says how to permit it)"
            )
            yield _at(config, "global", "server_smb_transports", "global", text)


def _driver(config: Config) -> Iterator[ConfigProblem]:
    """The error of `frevo:quic driver = kernel` where the kernel has no QUIC sockets."""
    transports = config.globals.server_smb_transports
    if any(address.traits.secure for address in transports) and config.globals.frevo_quic_driver == "kernel":
        from frevo.transport.kernel_quic import missing

        if reason := missing():
            text = f"this kernel has no QUIC sockets ({reason}): use auto or user"
            yield replace(_at(config, "global", "frevo_quic_driver", "global", text), severity="error")


def _certificates(config: Config) -> Iterator[ConfigProblem]:
    """What is wrong with certificates, if any are needed."""
    if not any(address.traits.secure for address in config.globals.server_smb_transports):
        return
    from frevo.tls.check import findings
    from frevo.tls.settings import settings_of

    for finding in findings(settings_of(config.globals)):
        position = _at(config, "global", finding.attribute, "global", finding.message)
        yield replace(position, severity=finding.severity)


def _rdma(config: Config) -> Iterator[ConfigProblem]:
    for attribute, text, severity in rdma_remarks(config):
        yield replace(_at(config, "global", attribute, "global", text), severity=severity)


def nothing_to_serve(config: Config) -> ConfigProblem | None:
    """An error if every share of the file is left out because of errors; a file without shares is fine."""
    if config.shares or not config.unserved:
        return None
    names = ", ".join(f"[{name}]" for name in config.unserved)
    return ConfigProblem(config.source, 0, "", f"no share can be served ({names}): fix the errors above")


def _at(config: Config, section: str, attribute: str, name: str, message: str) -> ConfigProblem:
    position = config.positions.get((section, attribute))
    if position is None:
        position = ConfigProblem(config.source, 0, f"[{name}]", "", "warning")
    return replace(position, message=message)


def folder_problem(share: ShareConfig) -> str:
    """The problem with the folder of *share* on this machine; empty if none."""
    if not share.path or macros_in(share.path):
        return ""
    path = Path(share.path.replace("%%", "%"))
    try:
        if not path.exists():
            return f"the folder {path} does not exist"
        return "" if path.is_dir() else f"{path} is not a folder"
    except OSError as error:
        return f"{path}: {error.strerror}"


def log_path(config: Config) -> str:
    """The log file with its macros expanded; empty for standard error."""
    return config.expand(config.globals.log_file, machine=_LOG_MACHINE)


def _log(config: Config) -> Iterator[ConfigProblem]:
    name = log_path(config)
    if not name:
        return
    reason = unwritable(Path(name))
    if reason:
        text = f"{reason}: logging to standard error instead"
        yield _at(config, "global", "log_file", "global", text)


def unwritable(path: Path) -> str:
    """Why the log cannot be written to *path* (creates its folder if missing); empty if it can."""
    if path.exists():
        good = path.is_file() and os.access(path, os.W_OK)
        return "" if good else f"{path} cannot be written"
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return ""
    return f"{path} cannot be created in {folder}"


def listening(config: Config) -> Iterator[ConfigProblem]:
    """The error of `interfaces` that match no address of this machine."""
    try:
        listen_hosts(config.globals.interfaces, only=config.globals.bind_interfaces_only)
    except (ValueError, OSError) as error:
        yield replace(_at(config, "global", "interfaces", "global", str(error)), severity="error")


class _People:
    """The known names: frevo's accounts, this machine's users and groups."""

    def __init__(self, config: Config) -> None:
        self._domains = domains_of(config.globals)
        self._kerberos = config.globals.kerberos_keytab is not None
        self._names: frozenset[str] | None = None
        self._private_dir = config.globals.private_dir
        self._guest = config.globals.guest_account.lower()

    def strangers(self, entries: tuple[str, ...]) -> str:
        """A sentence about entries of a list that match no one; empty if there are none."""
        reasons = [reason for entry in entries if (reason := self._stranger(entry))]
        return "; ".join(reasons[:5]) + ("; ..." if len(reasons) > 5 else "")

    def _stranger(self, entry: str) -> str:
        if macros_in(entry):
            return ""  # its value is known when a client connects
        is_group, domain, name = parts_of_entry(entry)
        if not name:
            return f"{entry!r} is empty: it matches nobody"
        if domain and domain not in self._domains and not self._kerberos:
            known = ", ".join(sorted(self._domains))
            return f"{entry!r} matches nobody: the domain must be one of {known}"
        if is_netgroup(entry):
            return f"{entry!r} matches nobody: frevo does not support netgroups"
        if is_group:
            return "" if _has_group(name) else f"{entry!r} matches nobody: no such Unix group"
        if self._kerberos or name == self._guest or name in self._accounts():
            return ""
        return f"{entry!r} matches nobody: no such account (create it with frevo user add {name})"

    def _accounts(self) -> frozenset[str]:
        if self._names is None:
            try:
                accounts = AccountStore(self._private_dir).all()
            except (AccountsError, PrivateFileError, OSError):
                accounts = []
            self._names = frozenset(account.name.lower() for account in accounts)
        return self._names


def _has_group(name: str) -> bool:
    return any(group.gr_name.lower() == name for group in grp.getgrall())
