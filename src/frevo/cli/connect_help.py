"""Output of `frevo serve`: how to connect with each client, and what to do if a port is not available."""

from __future__ import annotations

import errno
import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from frevo.cli.connect_address import Address, bracketed, is_local, reachable
from frevo.cli.connect_quic import how_to_connect_over_quic, over_quic
from frevo.cli.connect_rdma import WHERE, explain_rdma_error, how_to_connect_over_rdma, over_rdma
from frevo.cli.serve_folder import ORDINARY_PORT, ORDINARY_QUIC_PORT, SMB_PORT, Login
from frevo.config import Config, ShareConfig
from frevo.folders import default_private_dir
from frevo.transport.interfaces import LocalAddress, local_addresses
from frevo.transport.traits import NBT

if TYPE_CHECKING:
    from frevo.status.snapshot import CertificateStatus


def banner(
    config: Config,
    addresses: Sequence[Address],
    login: Login | None,
    who_acts: str = "",
    certificates: Sequence[CertificateStatus] = (),
) -> str:
    """The shares, addresses and user, and how to connect."""
    lines = [_served(share) for share in config.shares.values()]
    lines.append(
        "Listening on " + ", ".join(f"{name} {bracketed(host)}:{port}" for name, host, port in addresses)
    )
    if who_acts:
        lines.append(who_acts)
    if login is not None:
        lines += ["", *_credentials(login)]
        share = next(iter(config.shares.values()))
        lines += ["", *how_to_connect(share.name, login.user, addresses, certificates, _where(config))]
    else:
        lines += ["", *_how_to_list(config, addresses, certificates)]
        lines.append("  new user    frevo user add USER" + _where(config))
    lines += ["", f"To see who is connected: frevo status{_where(config)}", "Stop with Ctrl-C."]
    return "\n".join(lines)


def _how_to_list(
    config: Config, addresses: Sequence[Address], certificates: Sequence[CertificateStatus]
) -> list[str]:
    """For a configuration file: one line over TCP, a paragraph over QUIC and one over RDMA."""
    lines = []
    if streams := _streams(addresses):
        host, port = reachable(streams)
        lines.append(f"  smbclient   smbclient -L {host}{_port_option(port)} -U USER")
    share = next((share.name for share in config.shares.values()), "SHARE")
    quic = how_to_connect_over_quic(share, "USER", addresses, certificates, _where(config))
    if quic and config.globals.frevo_quic_client_access == "require":
        quic.append(f"              (each client needs a certificate: frevo tls issue-client NAME{_where(config)})")
    return lines + quic + how_to_connect_over_rdma(share, "USER", addresses)


def _streams(addresses: Sequence[Address]) -> list[Address]:
    others = [*over_quic(addresses), *over_rdma(addresses)]
    return [one for one in addresses if one not in others]


def _served(share: ShareConfig) -> str:
    access = "read-only" if share.read_only else "read and write"
    path = share.path.replace("%%", "%") or "each user's home folder"  # only [homes] has no path
    return f"Sharing {path} as {share.name} ({access})" + ("" if share.available else ", not available")


def _credentials(login: Login) -> list[str]:
    if login.password:
        return [f"  user      {login.user}", f"  password  {login.password}   (shown only once)"]
    return [
        f"  user      {login.user}",
        "  password  unchanged (--new-password sets a new one)",
    ]


def _where(config: Config) -> str:
    if config.source:
        return f" -c {shlex.quote(str(Path(config.source).absolute()))}"
    private_dir = config.globals.private_dir
    return "" if private_dir == default_private_dir() else f" --private-dir {shlex.quote(private_dir)}"


def how_to_connect(
    share: str,
    user: str,
    addresses: Sequence[Address],
    certificates: Sequence[CertificateStatus] = (),
    place: str = "",
) -> list[str]:
    """One paragraph per client. *place*: the options of frevo's commands for this server."""
    streams = _streams(addresses)
    lines = _over_tcp(share, user, streams) if streams or not addresses else []
    lines += how_to_connect_over_quic(share, user, addresses, certificates, place)
    lines += how_to_connect_over_rdma(share, user, addresses)
    if is_local(reachable(addresses)[0]):
        lines += ["", "Only this machine can connect. To let others connect, use --listen 0.0.0.0."]
    return lines


def _over_tcp(share: str, user: str, addresses: Sequence[Address]) -> list[str]:
    host, port = reachable(addresses)
    unc = f"//{bracketed(host)}/{share}"
    options = [f"port={port}"] if port != SMB_PORT else []
    options += [f"username={user}", f"uid={os.geteuid()}"]
    mount = f"sudo mount -t cifs {shlex.quote(f'//{host}/{share}')} /mnt -o {shlex.quote(','.join(options))}"
    finder_port = "" if port == SMB_PORT else f":{port}"
    return [
        f"  smbclient   smbclient {shlex.quote(unc)}{_port_option(port)} -U {shlex.quote(user)}",
        f"  Linux       {mount}",
        *_windows(host, port, share, user),
        f"  macOS       Finder, Go, Connect to Server: smb://{user}@{bracketed(host)}{finder_port}/{_url(share)}",
    ]


def _windows(host: str, port: int, share: str, user: str) -> list[str]:
    name = host if ":" not in host else host.replace(":", "-").replace("%", "s") + ".ipv6-literal.net"
    unc = f"\\\\{name}\\{share}"
    quoted = f'"{unc}"' if " " in unc else unc
    if port == SMB_PORT:
        return [f"  Windows     Explorer: {unc}", f"              net use Z: {quoted} /user:{user}"]
    return [
        f"  Windows     net use Z: {quoted} /TCPPORT:{port} /user:{user}",
        f"              (Windows 11 24H2, Server 2025 and newer; older versions support port {SMB_PORT} only)",
    ]


def _port_option(port: int) -> str:
    return "" if port == SMB_PORT else f" -p {port}"


def _url(share: str) -> str:
    from urllib.parse import quote

    return quote(share)


def explain_bind_error(error: OSError, transports: Iterable[str] = ()) -> str:
    """An explanation of errors of bind() and listen(), and what to do."""
    where = str(error.filename or ", ".join(transports) or "the port")
    if where.startswith(WHERE):
        return explain_rdma_error(error, where.removeprefix(WHERE))
    udp = where.startswith("UDP ")
    ordinary, option = (ORDINARY_QUIC_PORT, "--quic=") if udp else (ORDINARY_PORT, "--port ")
    other = f"choose another port with {option}{ordinary + where.endswith(f':{ordinary}')}"
    if error.errno == errno.EADDRINUSE:
        port = where.rpartition(":")[2]
        shown = f"; `ss -l{'u' if udp else 't'}np sport = :{port}` shows it" if port.isdigit() else ""
        by = "a web server" if udp else "Samba's smbd"
        return f"{where} is in use, perhaps by {by}{shown}: stop it, or {other}"
    if error.errno in (errno.EACCES, errno.EPERM):
        python = shlex.quote(str(Path(sys.executable).resolve()))
        return (
            f"no permission to listen on {where}. Do one of these:\n"
            f"       {other}\n"
            f"       sudo sysctl net.ipv4.ip_unprivileged_port_start={NBT.port}   (until the next boot)\n"
            f"       sudo setcap cap_net_bind_service=+ep {python}"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        hosts = ", ".join(item.host for item in _known())
        return f"{where} is not an address of this machine (it has {hosts})"
    return f"cannot listen on {where}: {error.strerror or error}"


def _known() -> list[LocalAddress]:
    try:
        return local_addresses()
    except OSError:
        return []
