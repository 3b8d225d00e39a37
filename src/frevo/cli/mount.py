"""`frevo mount`: mounts a share as a local directory through the kernel's FUSE, in the background by default."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from frevo.cli import remote
from frevo.cli.common import Subparsers, UsageError, add_command, printable, seconds

if TYPE_CHECKING:
    from frevo.client import Share
    from frevo.client.connect import Connecting
    from frevo.mount import Settings

_EXAMPLES = """\
  frevo mount smb://eve@nas/photos ~/photos         returns once mounted
  frevo mount -f smb://eve@nas/photos /mnt          stays in the foreground; Ctrl-C unmounts
  sudo frevo mount --allow-other --uid 1000 --gid 1000 smb://eve@nas/photos /mnt
  frevo umount ~/photos                             (fusermount3 -u does the same)
"""


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo mount`."""
    parser = add_command(subparsers, "mount", "mount a share as a local directory", _EXAMPLES)
    parser.add_argument("url", metavar="URL", help="smb://host/share, or a directory in it")
    parser.add_argument("directory", metavar="DIR", help="an existing directory, preferably empty")
    parser.add_argument(
        "-f", "--foreground", action="store_true", help="stay in the foreground; Ctrl-C unmounts"
    )
    parser.add_argument("--read-only", action="store_true", help="mount read-only")
    parser.add_argument("--uid", type=_number, metavar="N", help="owner of all files (you)")
    parser.add_argument("--gid", type=_number, metavar="N", help="group of all files (yours)")
    umask_help = "permission bits to remove, in octal (022: files and directories get 0755)"
    parser.add_argument("--umask", type=_octal, default=0o022, metavar="MASK", help=umask_help)
    parser.add_argument("--allow-other", action="store_true", help="let other users access it")
    xattr_help = "show the server's extended attributes as user.* (makes `ls -l` slower)"
    parser.add_argument("--xattr", action="store_true", help=xattr_help)
    locks_help = "fcntl and flock locks apply to programs on this mount only"
    parser.add_argument("--local-locks", action="store_true", help=locks_help)
    cache_help = "how long to cache names and attributes before asking the server again (1)"
    parser.add_argument(
        "--cache-seconds", type=seconds(86_400, zero=True), default=1.0, metavar="S", help=cache_help
    )
    remote.add_connection_options(parser)


def run(args: argparse.Namespace) -> int:
    """Mount, and serve the mount in a process of its own unless in the foreground."""
    from frevo.mount import Settings

    location = remote.location(args.url)
    if not location.share:
        raise UsageError(f"{args.url} names no share: smb://host/share (`frevo shares` lists them)")
    settings = Settings(
        str(Path(args.directory).absolute()),
        f"//{location.authority}/{location.share}" + (f"/{location.path}" if location.path else ""),
        os.getuid() if args.uid is None else args.uid,
        os.getgid() if args.gid is None else args.gid,
        args.umask,
        args.cache_seconds,
        args.read_only,
        args.allow_other,
        args.xattr,
        not args.local_locks,
    )
    url = remote.share_url(location) + (f"/{quote(location.path)}" if location.path else "")
    # This may ask for the password, so it comes before the process goes to the background.
    options = remote.options(args, location)

    def connecting() -> Connecting[Share]:
        from frevo.client import connect

        return connect(url, options)

    if args.foreground:
        where = printable(args.directory)
        return _serve(connecting, settings, lambda: print(f"{where} is mounted; Ctrl-C unmounts", flush=True))
    return _in_background(lambda ready: _serve(connecting, settings, ready))


def _serve(connecting: Callable[[], Connecting[Share]], settings: Settings, ready: Callable[[], None]) -> int:
    from frevo.mount import serve_mount

    async def work() -> int:
        async with connecting() as share:
            await serve_mount(share, settings, ready)
        return 0

    return asyncio.run(work())


def _in_background(serve: Callable[[Callable[[], None]], int]) -> int:
    """Run *serve* in a child process; returns when it is ready, or its exit code if it fails before."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.setsid()

        def ready() -> None:
            _leave_terminal()
            os.write(writer, b"1")
            os.close(writer)

        return serve(ready)
    os.close(writer)
    mounted = os.read(reader, 1)
    os.close(reader)
    if mounted:
        return 0
    _, status = os.waitpid(child, 0)  # it has said on this terminal what went wrong
    return os.waitstatus_to_exitcode(status) or 1


def _leave_terminal() -> None:
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.close(null)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) >= 1 << 32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a numeric user or group ID")
    return int(text)


def _octal(text: str) -> int:
    try:
        value = int(text, 8)
    except ValueError:
        value = -1
    if not 0 <= value <= 0o777:
        raise argparse.ArgumentTypeError(f"{text!r} is not an octal mask such as 022")
    return value
