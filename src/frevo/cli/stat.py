"""`frevo stat`: shows what a server knows about a file, a directory or a share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from frevo.cli import remote
from frevo.cli.common import Subparsers, add_command, one_line

if TYPE_CHECKING:
    from frevo.client import Share

_EXAMPLES = """\
  frevo stat smb://eve@nas/docs/a.txt          size, times, attributes
  frevo stat --all smb://eve@nas/docs/a.txt    with owner, streams and extended attributes
  frevo stat smb://eve@nas/docs                the share: with space and protection
"""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo stat`."""
    parser = add_command(subparsers, "stat", "show information about a file or share", _EXAMPLES)
    parser.add_argument("url", metavar="URL", help="smb://host/share/path")
    parser.add_argument(
        "-a", "--all", action="store_true", help="include owner, streams and extended attributes"
    )
    remote.add_json_option(parser)
    remote.add_connection_options(parser)


def run(args: argparse.Namespace) -> int:
    """Query and print."""

    async def work() -> int:
        location = remote.location(args.url)
        async with remote.open_share(args, args.url) as share:
            found = await facts(share, location.path, everything=args.all)
        if args.json:
            remote.print_json(found)
        else:
            show(found)
        return 0

    return remote.run_async(work)


async def facts(share: Share, path: str, *, everything: bool) -> dict[str, Any]:
    """The server's information about *path*; *everything* includes owner, streams and extended attributes."""
    known = await share.stat(path)
    found = {**remote.described(path, known), "file_id": known.file_id, "links": known.links}
    if not path:
        found |= await of_share(share)
    if everything:
        found |= await _more(share, path)
    return found


def show(found: dict[str, Any]) -> None:
    """Print a line for each fact."""
    for name, value in found.items():
        print(one_line(f"{name.replace('_', ' '):16} {value}"))


async def of_share(share: Share) -> dict[str, Any]:
    """Space and protection; over QUIC also that of the transport, with the server's certificate (SHA-256); over
    SMB Direct what carries it, and what has moved by RDMA."""
    space = await share.statvfs()
    negotiated = share.tree.connection.negotiated
    protection, secured = share.tree.session.protection, share.tree.connection.secured
    found = {
        "total_bytes": space.total,
        "available_bytes": space.available,
        "dialect": negotiated.dialect.name if negotiated else "",
        "signed": protection.sign,
        "encrypted": protection.encrypt or share.tree.encrypt or share.tree.connection.transport_security,
    }
    if direct := share.tree.connection.smb_direct:
        found |= {f"rdma_{name}": direct[name] for name in ("provider", "bytes_sent", "bytes_received")}
    if secured is None:
        return found
    return {
        **found,
        "transport_cipher": secured.cipher,
        "transport_driver": secured.driver,
        "server_verified": secured.verified,
        "server_certificate": secured.fingerprint,
    }


async def _more(share: Share, path: str) -> dict[str, Any]:
    descriptor = await share.security(path)
    return {
        "owner": str(descriptor.owner),
        "group": str(descriptor.group),
        "streams": [f"{one.name} ({one.size} bytes)" for one in await share.streams(path)],
        "extended_attributes": {name: len(value) for name, value in (await share.eas(path)).items()},
    }
