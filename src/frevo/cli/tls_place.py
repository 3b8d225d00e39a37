"""What the actions of `frevo tls` share: whose certificates, passwords, and the lines that clients need."""

from __future__ import annotations

import argparse
import getpass
import sys

import msgspec
from msgspec.structs import replace

from frevo.cli.common import load_or_explain
from frevo.errors import FrevoError
from frevo.tls.errors import TlsError
from frevo.tls.settings import TlsSettings, settings_of
from frevo.tls.store import TlsStore
from frevo.transport.traits import QUIC

PASSWORD_CHARACTERS_MAX = 1024


class Place(msgspec.Struct, frozen=True):
    """The certificates of one server; *configured*: an smb.conf was given."""

    settings: TlsSettings
    store: TlsStore
    configured: bool
    port: int = QUIC.port
    share: str = "share"


def place_of(args: argparse.Namespace) -> Place:
    """Whose certificates `-c` and `--private-dir` mean. FrevoError if the configuration cannot be used."""
    if args.config is None:
        from frevo.folders import default_private_dir

        private_dir = args.private_dir or default_private_dir()
        return Place(TlsSettings(private_dir=private_dir), TlsStore(private_dir), False)
    config = load_or_explain(args.config)
    if config is None:
        raise FrevoError(f"{args.config} cannot be used: fix the errors above")
    settings = settings_of(config.globals)
    if args.private_dir:
        settings = replace(settings, private_dir=args.private_dir)
    ports = [address.port for address in config.globals.server_smb_transports if address.traits.secure]
    names = [share.name for share in config.shares.values()]
    port, share = next(iter(ports), QUIC.port), next(iter(names), "share")
    return Place(settings, TlsStore(settings.private_dir), True, port, share)


def own_place(args: argparse.Namespace) -> Place:
    """As `place_of`; TlsError if smb.conf names a certificate of its own, which frevo does not change."""
    place = place_of(args)
    if not place.settings.makes_certificate:
        certfile = place.settings.path(place.settings.certfile)
        raise TlsError(
            f"{args.config} sets `tls certfile` and `tls keyfile`: replace these files yourself ({certfile}), "
            "running servers notice it"
        )
    return place


def read_password(args: argparse.Namespace, prompt: str, *, new: bool = False) -> str:
    """A password from standard input or a terminal, where a *new* one is asked twice. TlsError if there is none."""
    if args.password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        password = getpass.getpass(f"{prompt}: ")
        if new and getpass.getpass("Repeat it: ") != password:
            raise TlsError("the two passwords differ")
    else:
        raise TlsError(f"{prompt}: standard input is not a terminal: use --password-stdin")
    if new and not password:
        raise TlsError("the password must not be empty")
    if len(password) > PASSWORD_CHARACTERS_MAX:
        raise TlsError(f"a password has at most {PASSWORD_CHARACTERS_MAX} characters")
    return password


def url_of(place: Place, host: str) -> str:
    """The share's URL for frevo's client."""
    bracketed = f"[{host}]" if ":" in host else host
    port = "" if place.port == QUIC.port else f":{place.port}"
    return f"smb+quic://{bracketed}{port}/{place.share}"


def net_use(place: Place, host: str) -> str:
    """The line for Windows."""
    port = "" if place.port == QUIC.port else f" /QUICPORT:{place.port}"
    return rf"net use Z: \\{host}\{place.share} /TRANSPORT:QUIC{port}"
