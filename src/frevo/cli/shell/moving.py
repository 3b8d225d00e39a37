"""Shell commands that transfer files between the share and this machine."""

from __future__ import annotations

import argparse
import errno
import glob
import time
from collections.abc import Sequence
from pathlib import Path

from frevo.cli.common import UsageError, one_line
from frevo.cli.get import targets as local_targets
from frevo.cli.open_shares import expand, is_directory
from frevo.cli.progress import conclude, reporter
from frevo.cli.put import targets as remote_targets
from frevo.cli.shell.session import Shell, shown
from frevo.client import batch
from frevo.client.address import join
from frevo.client.transfer.small import SMALL_BYTES

_DIRECTORY = "it is a directory: turn `recurse` on first"


def _arguments(shell: Shell) -> argparse.Namespace:
    """Options for the summary, in the form of those of `frevo get`."""
    return argparse.Namespace(verify=shell.verify, quiet=shell.ask is None, json=False)


def _plan(shell: Shell) -> batch.Plan:
    return batch.Plan(recursive=shell.recurse, verify=shell.verify)


async def _down(shell: Shell, pairs: Sequence[tuple[str, str]]) -> int:
    args, started = _arguments(shell), time.monotonic()
    share = await shell.share()
    with reporter(args) as report:
        totals = await batch.download_all(share, pairs, _plan(shell), report)
    return conclude(args, totals, started)


async def _up(shell: Shell, pairs: Sequence[tuple[str, str]], folder: str = "") -> int:
    args, started = _arguments(shell), time.monotonic()
    share = await shell.share()
    with reporter(args) as report:
        totals = await batch.upload_all(share, pairs, _plan(shell), report, folder=folder)
    return conclude(args, totals, started)


def _local(text: str) -> str:
    return str(Path(text).expanduser()) + ("/" if text.endswith("/") else "")


async def get(shell: Shell, arguments: list[str]) -> int:
    """Download a file, or a directory if `recurse` is on."""
    share, path = await shell.share(), shell.path(arguments[0])
    if not shell.recurse and await is_directory(share, path):
        raise IsADirectoryError(errno.EISDIR, _DIRECTORY, path)
    local = _local(arguments[1] if len(arguments) > 1 else ".")
    return await _down(shell, local_targets([(share, path)], local, False)[share])


async def put(shell: Shell, arguments: list[str]) -> int:
    """Upload a file, or a directory if `recurse` is on."""
    name = arguments[1] if len(arguments) > 1 else "."
    slash = name.endswith(("/", "\\"))
    if not shell.recurse and Path(_local(arguments[0])).is_dir():
        raise IsADirectoryError(errno.EISDIR, _DIRECTORY, arguments[0])
    path = shell.path(name)
    pairs = await remote_targets(await shell.share(), [_local(arguments[0])], path, slash)
    return await _up(shell, pairs, path if slash else "")


async def mget(shell: Shell, arguments: list[str]) -> int:
    """Download matching files, prompting for each if `prompt` is on; directories only if `recurse` is on."""
    share, found = await shell.share(), list[str]()
    for word in arguments:
        found += await expand(share, shell.path(word))
    chosen = []
    for path in found:
        if not shell.recurse and await is_directory(share, path):
            continue
        if await _wanted(shell, "Get", shell.seen(path)):
            chosen.append((share, path))
    return await _down(shell, local_targets(chosen, "./", True)[share]) if chosen else _nothing(found)


async def mput(shell: Shell, arguments: list[str]) -> int:
    """Like `mget`, for uploads."""
    found = []
    for word in arguments:
        found += sorted(glob.glob(_local(word))) or [_local(word)]  # noqa: PTH207  (absolute patterns too)
    chosen = []
    for name in found:
        if not shell.recurse and Path(name).is_dir():
            continue
        Path(name).lstat()
        if await _wanted(shell, "Put", name):
            chosen.append(name)
    if not chosen:
        return _nothing(found)
    pairs = await remote_targets(await shell.share(), chosen, shell.directory, slash=True)
    return await _up(shell, pairs)


def _nothing(found: Sequence[str]) -> int:
    shown("nothing selected (directories need `recurse`)" if found else "nothing matches")
    return 0


async def _wanted(shell: Shell, what: str, name: str) -> bool:
    """Ask yes, no, all or quit, if there is someone to ask."""
    if not shell.asking or shell.ask is None:
        return True
    answer = (await shell.ask(f"{what} {one_line(name)}? (y/n/a/q) ")).strip().lower()[:1]
    if answer == "q":
        raise UsageError("nothing transferred")
    if answer == "a":
        shell.asking = False
        shown("`prompt` is now off")
    return answer in ("y", "a")


async def reget(shell: Shell, arguments: list[str]) -> int:
    """Use the local file as a part file, and resume the download after its end."""
    share, path = await shell.share(), shell.path(arguments[0])
    known = await share.stat(path)
    local = _local(arguments[1] if len(arguments) > 1 else ".")
    ((_, target),) = local_targets([(share, path)], local, False)[share]
    here = Path(target)
    if here.is_file() and known.size > SMALL_BYTES:
        if here.stat().st_size > known.size:
            text = "the local file is larger than the one on the share: use get to download it again"
            raise OSError(errno.EFBIG, text, target)
        here.rename(here.with_name(batch.part_name(here.name, known.size, known.st_mtime_ns)))
    return await _down(shell, [(path, target)])


async def reput(shell: Shell, arguments: list[str]) -> int:
    """Like `reget`, for uploads."""
    name = arguments[1] if len(arguments) > 1 else "."
    share, source = await shell.share(), _local(arguments[0])
    known = Path(source).stat()
    ((_, target),) = await remote_targets(share, [source], shell.path(name), name.endswith("/"))
    try:
        there = await share.stat(target)
    except FileNotFoundError:
        there = None
    if there is None or known.st_size <= SMALL_BYTES:
        return await _up(shell, [(source, target)])
    if there.size > known.st_size:
        text = "the file on the share is larger than the local one: use put to upload it again"
        raise OSError(errno.EFBIG, text, target)
    folder, _, last = target.rpartition("/")
    part = join(folder, batch.part_name(last, known.st_size, known.st_mtime_ns))
    await share.rename(target, part, replace=True)
    return await _up(shell, [(source, target)])


def _switched(name: str, now: bool, arguments: list[str]) -> bool:
    word = arguments[0].lower() if arguments else ""
    if word not in ("", "on", "off"):
        raise UsageError(f"usage: {name} [on|off]")
    value = not now if not word else word == "on"
    shown(f"{name} is {'on' if value else 'off'}")
    return value


async def recurse(shell: Shell, arguments: list[str]) -> None:
    """Switch: include directories with everything in them."""
    shell.recurse = _switched("recurse", shell.recurse, arguments)


async def prompt(shell: Shell, arguments: list[str]) -> None:
    """Switch: ask for each file."""
    shell.asking = _switched("prompt", shell.asking, arguments)


async def verify(shell: Shell, arguments: list[str]) -> None:
    """Switch: compare SHA-256 of both sides."""
    shell.verify = _switched("verify", shell.verify, arguments)
