"""`frevo cp`: copies files from share to share; on one server share the server itself copies."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from frevo.cli import remote
from frevo.cli.common import Subparsers, add_command

if TYPE_CHECKING:
    from frevo.client import Share

_EXAMPLES = """\
  frevo cp smb://eve@nas/docs/a.txt smb://eve@nas/docs/b.txt    no data passes this machine
  frevo cp smb://eve@nas/docs/a.txt smb://eve@other/docs        to another server
  frevo cp -r smb://eve@nas/docs/2025 smb://eve@nas/docs/copy   a directory and all below it
"""
_PIECE_BYTES = 8 << 20


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo cp`."""
    parser = add_command(subparsers, "cp", "copy from share to share", _EXAMPLES)
    parser.add_argument("source", metavar="URL", help="smb://host/share/path")
    parser.add_argument("target", metavar="URL", help="the copy's name, or a directory")
    parser.add_argument("-r", "--recursive", action="store_true", help="directories with all that is in them")
    parser.add_argument("-n", "--no-replace", action="store_true", help="leave existing files alone")
    remote.add_connection_options(parser)


def run(args: argparse.Namespace) -> int:
    """Copies."""

    async def work() -> int:
        source, target = remote.location(args.source), remote.location(args.target)
        async with remote.open_share(args, args.source) as share:
            if remote.same_share(source, target):
                await _copy(share, source.path, share, target.path, args)
            else:
                async with remote.open_share(args, args.target) as other:
                    await _copy(share, source.path, other, target.path, args)
        return 0

    return remote.run_async(work)


async def _copy(source: Share, path: str, target: Share, to: str, args: argparse.Namespace) -> None:
    from frevo.client.address import join

    if await target.exists(to) and (await target.stat(to)).is_dir():
        to = join(to, path.rpartition("/")[2])
    if not (await source.stat(path)).is_dir():
        await _copy_file(source, path, target, to, args)
        return
    if not args.recursive:
        raise remote.UsageError(f"{path} is a directory: use --recursive")
    if source is target and f"{to}/".casefold().startswith(f"{path}/".casefold()):
        raise remote.UsageError("a directory cannot be copied into itself")
    async for directory, _, others in source.walk(path):
        folder = join(to, directory[len(path) :].strip("/")) if directory != path else to
        await target.makedirs(folder, exist_ok=True)
        for entry in others:
            await _copy_file(source, join(directory, entry.name), target, join(folder, entry.name), args)


async def _copy_file(source: Share, path: str, target: Share, to: str, args: argparse.Namespace) -> None:
    if source is target:
        await source.copy(path, to, overwrite=not args.no_replace)
        return
    buffer = bytearray(_PIECE_BYTES)
    async with source.open(path) as read, target.open(to, "xb" if args.no_replace else "wb") as write:
        while count := await read.readinto(buffer):
            await write.write(memoryview(buffer)[:count])
