"""Shared by the commands that take smb:// URLs: options, log-on, error messages, JSON."""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from frevo.cli.common import UsageError, one_line, printable, seconds
from frevo.text import json_text
from frevo.transport.traits import TRANSPORTS

if TYPE_CHECKING:
    from frevo.client import Location, Options, Server, Share
    from frevo.client.connect import Connecting
    from frevo.client.tree.stat import Stat

#: Seconds after Ctrl-C in which files are closed and the session is ended.
_GOODBYE_S = 1.0

_CONNECTION = """\
User and password come from the first of these: these options, the user in the URL, --credentials, FREVO_USER and
FREVO_PASSWORD, ~/.netrc (or NETRC), a Kerberos ticket, a prompt. A password on the command line is refused
(docs/client.md)."""


def add_connection_options(parser: argparse.ArgumentParser) -> None:
    """Options for the log-on and for the protection of the connection."""
    group = parser.add_argument_group("connection", _CONNECTION)
    group.add_argument("--user", metavar="NAME", help=r"NAME or DOMAIN\NAME (also in the URL, or FREVO_USER)")
    credentials_help = "file with lines username=, password=, domain="
    group.add_argument("--credentials", metavar="FILE", help=credentials_help)
    group.add_argument("--kerberos", action="store_true", help="log on with the Kerberos ticket from kinit")
    group.add_argument("--guest", action="store_true", help="log on as guest")
    group.add_argument("--anonymous", action="store_true", help="log on anonymously")
    group.add_argument(
        "--encrypt", action="store_true", help="refuse to connect unless everything is encrypted"
    )
    group.add_argument("--no-sign", action="store_true", help="turn signing off (trusted networks only)")
    transports_help = (
        "transports to try, in order, as in `client smb transports`: tcp, nbt, quic, smbdirect, name:port (tcp, nbt)"
    )
    group.add_argument("--transports", metavar="LIST", help=transports_help)
    group.add_argument("--address", metavar="IP", help="connect to this address instead of the host's")
    group.add_argument(
        "--timeout",
        type=seconds(3600),
        default=5.0,
        metavar="S",
        help="seconds to wait for a connection (5)",
    )
    answer_help = "seconds to wait for a response before the connection is given up (60; 0: forever)"
    group.add_argument("--answer-timeout", type=float, default=60.0, metavar="S", help=answer_help)
    again = group.add_mutually_exclusive_group()
    reconnect_help = "seconds to try to restore a lost connection (30)"
    again.add_argument("--reconnect", type=float, default=30.0, metavar="S", help=reconnect_help)
    again.add_argument(
        "--no-reconnect",
        action="store_const",
        dest="reconnect",
        const=0.0,
        help="do not try to restore a lost connection",
    )
    _add_tls_options(parser)
    config_help = "smb.conf with `client …` keys (FREVO_CONF, else ~/.config/frevo/smb.conf if it exists)"
    group.add_argument("-s", "--configfile", metavar="FILE", help=config_help)
    option_help = "set one such key, overriding the file: --option 'client max protocol=SMB3_00'"
    group.add_argument("--option", metavar="KEY=VALUE", action="append", default=[], help=option_help)


def _add_tls_options(parser: argparse.ArgumentParser) -> None:
    """Options for SMB over QUIC: whom to trust, and our own certificate."""
    group = parser.add_argument_group("QUIC (smb+quic://)")
    group.add_argument("--tls-ca", metavar="FILE", help="trust servers with certificates of these CAs only")
    fingerprint_help = "trust the server with this certificate only, whatever its name, CA and dates are"
    group.add_argument("--tls-fingerprint", metavar="SHA256", help=fingerprint_help)
    name_help = "the name in the server's certificate, if it is not the host's"
    group.add_argument("--tls-server-name", metavar="NAME", help=name_help)
    certificate_help = "our own certificate, for servers that want one"
    group.add_argument("--tls-cert", metavar="FILE", help=certificate_help)
    group.add_argument("--tls-key", metavar="FILE", help="its private key, if it is not in the same file")


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", action="store_true", help="print one JSON value")


def location(url: str) -> Location:
    """The location in *url*, without "." and ".."; UsageError if it is invalid or contains a password."""
    from frevo.client import Location

    try:
        target = Location.parse(url)
    except ValueError as error:
        raise UsageError(str(error)) from None
    target = replace(target, share=speakable(target.share), path=inside(target.path))
    if target.password is not None:
        raise UsageError(
            "everyone on this machine can see a password in a URL: use --credentials FILE or FREVO_PASSWORD"
        )
    return target


def speakable(name: str) -> str:
    """*name*, if the protocol can express it; UsageError otherwise."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{name}: this name is not UTF-8, but SMB requires Unicode") from None
    if "\0" in name:
        raise UsageError("the name contains a NUL")
    return name


def inside(path: str) -> str:
    """*path* without "." and ".."; UsageError if it is outside the share or cannot be expressed."""
    from frevo.client.address import wire_path

    try:
        return wire_path(speakable(path)).replace("\\", "/")
    except ValueError as error:
        raise UsageError(str(error)) from None


def is_remote(text: str) -> bool:
    """Whether an argument is a URL."""
    from frevo.client.address import is_url

    return is_url(text)


def options(args: argparse.Namespace, target: Location) -> Options:
    """The options of `connect`; prompts for a password if there is a user and nothing else to log on with."""
    from frevo.cli.client_config import client_options
    from frevo.client import Options
    from frevo.client.server import CIPHERS

    chosen: dict[str, Any] = client_options(args.configfile, args.option)
    chosen |= {"transports": args.transports} if args.transports else {}
    chosen |= {"signing": False} if args.no_sign else {}
    chosen |= {"encryption": True, "ciphers": chosen.get("ciphers") or CIPHERS} if args.encrypt else {}
    made = Options(
        user=args.user,
        credentials_file=args.credentials,
        kerberos="required" if args.kerberos else "auto",
        guest=args.guest,
        anonymous=args.anonymous,
        timeout=args.timeout,
        answer_timeout=args.answer_timeout,
        reconnect=args.reconnect,
        connections=getattr(args, "share_connections", 0),
        address=args.address,
        **chosen,
    )
    try:
        # What is said about the server over QUIC is not about the other one of `frevo cp smb+quic://… smb://…`.
        if any(one.traits.secure for one in made.transports_to(target)) or not _names_secure_url(args):
            made = replace(made, **_tls_options(args))
        known = made.credentials(target)
        made.settings(target)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if known.complete or not known.user or not sys.stdin.isatty():
        return made
    import getpass

    try:
        password = getpass.getpass(one_line(f"Password of {known.user} on {target.host}: "))
    except EOFError:
        raise UsageError("no password was given") from None
    return replace(made, password=password)


def _tls_options(args: argparse.Namespace) -> dict[str, str | None]:
    """The fields of Options about TLS. Files with their folders: `frevo mount` opens them with another current one."""
    files = {name: getattr(args, name) for name in ("tls_ca", "tls_cert", "tls_key")}
    return {
        **{name: file and str(Path(file).absolute()) for name, file in files.items()},
        "tls_server_name": args.tls_server_name,
        "tls_fingerprint": args.tls_fingerprint,
    }


def _names_secure_url(args: argparse.Namespace) -> bool:
    """Whether one of the command's URLs demands a transport with TLS."""
    beginnings = tuple(f"{one.scheme}://" for one in TRANSPORTS.values() if one.secure)
    values = (value for given in vars(args).values() for value in (given if isinstance(given, list) else [given]))
    return any(isinstance(value, str) and value.startswith(beginnings) for value in values)


def open_share(args: argparse.Namespace, url: str) -> Connecting[Share]:
    """The share of *url*, without the path in it; UsageError if it has no share."""
    from frevo.client import connect

    target = location(url)
    if not target.share:
        raise UsageError(f"{url} names no share: smb://host/share/path (`frevo shares` lists them)")
    return connect(share_url(target), options(args, target))


def open_server(args: argparse.Namespace, url: str) -> Connecting[Server]:
    """The server of *url*."""
    from frevo.client import connect_server

    target = location(url)
    return connect_server(url, options(args, target))


def share_url(target: Location) -> str:
    """The URL of the share alone, with the user."""
    from urllib.parse import quote

    domain = f"{quote(target.domain)};" if target.domain else ""
    user = f"{domain}{quote(target.user)}@" if target.user else ""
    return f"{target.scheme}://{user}{target.authority}/{quote(target.share)}"


def same_share(one: Location, other: Location) -> bool:
    """Whether two locations are on one share."""
    return (one.host, one.port, one.share.casefold()) == (other.host, other.port, other.share.casefold())


def sentence(error: OSError) -> str:
    """The message of *error*, without numbers and without the name that it is about."""
    return error.strerror or str(error)


def complain(path: str, error: OSError) -> None:
    """Report an error of *path* on standard error."""
    print(printable(f"frevo: {path or 'the share'}: {sentence(error)}"), file=sys.stderr)


def run_async(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """The exit code of *work*. Ctrl-C cancels it; KeyboardInterrupt once it has ended, which a silent server delays by
    `_GOODBYE_S`, and not at all after a second Ctrl-C."""
    with asyncio.Runner() as runner:
        try:
            return runner.run(_ending_soon(work))
        except KeyboardInterrupt:
            _cut_connections(runner.get_loop())
            raise


async def _ending_soon(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """The result of *work*. If this is cancelled, so is it; then no server keeps it waiting for long."""
    task = asyncio.ensure_future(work())
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait([task], timeout=_GOODBYE_S)
        if not task.done():
            _cut_connections(asyncio.get_running_loop())
            await asyncio.wait([task])
            task.cancelled() or task.exception()  # which is that of a lost connection
            raise
    return await task


def _cut_connections(loop: asyncio.AbstractEventLoop) -> None:
    from frevo.client.connection.plane import cut_connections

    cut_connections(loop)


def print_json(value: Any) -> None:
    """One JSON value and a line end."""
    print(json_text(value))


def when(seconds: float) -> str:
    """A time in UTC, as ISO 8601 has it."""
    try:
        return datetime.fromtimestamp(math.floor(seconds), UTC).isoformat()[:19] + "Z"
    except (ValueError, OverflowError, OSError):
        return "-"


def described(path: str, found: Stat) -> dict[str, Any]:
    """The metadata of one path for JSON output."""
    kind = "directory" if found.is_dir() else ("link" if found.is_symlink() else "file")
    return {
        "path": path,
        "type": kind,
        "size": found.size,
        "attributes": attribute_letters(found.attributes),
        "created": when(found.st_birthtime),
        "modified": when(found.st_mtime),
        "accessed": when(found.st_atime),
        "changed": when(found.st_ctime),
    }


_LETTERS = ((0x01, "R"), (0x02, "H"), (0x04, "S"), (0x20, "A"), (0x10, "D"), (0x400, "L"), (0x800, "C"))


def attribute_letters(attributes: int) -> str:
    """The attributes in smbclient's notation."""
    return "".join(letter for bit, letter in _LETTERS if attributes & bit)


def human(size: float) -> str:
    """A size for people: 1.5 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
