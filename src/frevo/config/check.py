"""Checks across keys, after every key has its value."""

from __future__ import annotations

from frevo.config.access import is_netgroup
from frevo.config.choices import MAX_PROTOCOL
from frevo.config.config import Config
from frevo.config.key import normal
from frevo.config.macros import MACROS, macros_in
from frevo.config.parser import Section
from frevo.config.problem import ConfigProblem, Problems
from frevo.config.share_keys import ShareConfig
from frevo.transport.traits import TRANSPORTS, either


def check_globals(config: Config, problems: Problems) -> None:
    """Add conflicts between the server's keys to *problems*."""
    file, values = config.source or "(command line)", config.globals
    if values.server_min_protocol > values.server_max_protocol:
        problems.error(file, 0, "server min protocol", "is newer than `server max protocol`")
    if values.client_min_protocol > values.client_max_protocol:
        problems.error(file, 0, "client min protocol", "is newer than `client max protocol`")
    if values.client_smb_encrypt == "required" and values.client_max_protocol < 0x0300:
        problems.error(
            file, 0, "client smb encrypt", "encryption needs `client max protocol` SMB3_00 or newer"
        )
    for address in values.server_smb_transports:
        if not address.traits.serves:
            known = either([one.name for one in TRANSPORTS.values() if one.serves])
            text = f"frevo cannot listen on {address.name} yet: expected {known}"
            problems.error(file, 0, "server smb transports", text)
        elif address.traits.oldest > values.server_max_protocol:
            oldest = MAX_PROTOCOL.format(address.traits.oldest)
            text = f"nobody could connect: {address.name} needs `server max protocol = {oldest}`"
            problems.error(file, 0, "server smb transports", text)
    if values.server_smb_encrypt == "required" and values.server_max_protocol < 0x0300:
        problems.error(
            file, 0, "server smb encrypt", "encryption needs `server max protocol` SMB3_00 or newer"
        )
    if values.ntlm_auth == "disabled" and values.kerberos_keytab is None:
        problems.error(file, 0, "ntlm auth", "nobody could log on: `disabled` requires a Kerberos keytab")
    if values.bind_interfaces_only and not values.interfaces:
        problems.warning(file, 0, "bind interfaces only", "has no effect without `interfaces`")
    _check_tls(config, file, problems)
    if not values.private_dir or macros_in(values.private_dir):
        problems.error(file, 0, "private dir", "expected an absolute path without macros")


def _check_tls(config: Config, file: str, problems: Problems) -> None:
    values = config.globals
    if not values.tls_enabled and any(address.traits.secure for address in values.server_smb_transports):
        problems.error(file, 0, "server smb transports", "quic needs `tls enabled = yes`")
    files = (values.tls_certfile, values.tls_keyfile, values.tls_cafile, values.tls_crlfile)
    if any(map(macros_in, (*files, *values.tls_ca_directories, *values.frevo_quic_certificates))):
        problems.error(file, 0, "tls certfile", "the paths of certificates and keys cannot contain macros")
    for key, path in (("tls certfile", values.tls_certfile), ("tls keyfile", values.tls_keyfile)):
        if not path:
            problems.error(file, 0, key, "expected the path of a file")


def check_share(share: ShareConfig, section: Section, *, guests: bool) -> None:
    """Add conflicts between the keys of *share* to the problems of *section*.

    *guests*: whether `map to guest` allows guests.
    """
    problems = section.problems
    if share.guest_ok and not guests:
        text = "with `map to guest = Never`, `guest ok` only admits anonymous clients, not unknown users"
        problems.warn_at(_position(section, ("guestok", "public")), text)
    if share.guest_only and not share.guest_ok:
        text = "nobody can connect: `guest only` needs `guest ok = yes`"
        problems.warn_at(_position(section, ("guestonly", "onlyguest")), text)
    for name, entries in (("invalid users", share.invalid_users), ("read list", share.read_list)):
        netgroups = ", ".join(filter(is_netgroup, entries))
        if netgroups:
            text = f"frevo does not support netgroups ({netgroups}): [{section.name}] is not served"
            problems.at(_position(section, (normal(name),)), text)
    if not share.path:
        if share.available and share.name.lower() != "homes":
            position = ConfigProblem(section.file, section.line, f"[{section.name}]", "")
            problems.at(position, "the share has no `path`: it is not served")
        return
    unknown = macros_in(share.path) - MACROS.keys()
    if unknown:
        names = ", ".join(f"%{letter}" for letter in sorted(unknown))
        position = _position(section, ("path", "directory"))
        problems.warn_at(position, f"unknown macro {names} (write %% for a percent sign)")


def _position(section: Section, names: tuple[str, ...]) -> ConfigProblem:
    for entry in reversed(section.entries):
        if normal(entry.key) in names:
            return ConfigProblem(entry.file, entry.line, entry.key, "")
    return ConfigProblem(section.file, section.line, f"[{section.name}]", "")
