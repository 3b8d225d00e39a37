"""What the actions of `frevo tls` share: whose certificates, and the lines that clients need."""

from __future__ import annotations

import argparse

import msgspec
from msgspec.structs import replace

from frevo.cli.common import load_or_explain
from frevo.errors import FrevoError
from frevo.tls.errors import TlsError
from frevo.tls.settings import TlsSettings, settings_of
from frevo.tls.store import TlsStore
from frevo.transport.traits import QUIC


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


def url_of(place: Place, host: str) -> str:
    """The share's URL for frevo's client."""
    bracketed = f"[{host}]" if ":" in host else host
    port = "" if place.port == QUIC.port else f":{place.port}"
    return f"smb+quic://{bracketed}{port}/{place.share}"


def net_use(place: Place, host: str) -> str:
    """The line for Windows."""
    port = "" if place.port == QUIC.port else f" /QUICPORT:{place.port}"
    return rf"net use Z: \\{host}\{place.share} /TRANSPORT:QUIC{port}"
