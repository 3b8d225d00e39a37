"""`frevo bench`: puts the load of smbtorture's smb2.bench on an SMB server, and measures both ends."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from frevo.bench.settings import CONNECTIONS_MAX, IO_SIZE_MAX, QDEPTH_MAX, Settings
from frevo.cli import remote
from frevo.cli.common import Subparsers, UsageError, add_command, printable, seconds
from frevo.transport.smbdirect import RDMA_THRESHOLD_MAX
from frevo.transport.traits import SMBDIRECT

if TYPE_CHECKING:
    from frevo.bench.links import Target
    from frevo.client import Location, Options

_EXAMPLES = """\
  frevo bench read smb://eve@nas/data                  like smbtorture smb2.bench.read: 4 connections, 4 KiB, 10 s
  frevo bench read smb://eve@nas/data --qdepth 8 --io-size 64K --html read.html
  frevo bench write smb://eve@nas/data --io-size 2M --file-size 1G --protect encrypt
  frevo bench open smb://eve@nas/data/some/folder --connections 16 --json open.json
  frevo bench compare yesterday.json today.json                compare two reports

`frevo bench WORKLOAD --help` describes each workload and its options. docs/bench.md explains the report.
"""
#: Connections for whose descriptors the limit of a process always suffices.
_DESCRIPTORS_ENOUGH_FOR = 200
_SUMMARIES = {
    "read": "READ from its own files, or from the file in URL",
    "write": "WRITE to its own files",
    "mixed": "READ and WRITE by turns in its own files",
    "echo": "ECHO: the smallest request",
    "open": "open the path in URL for its attributes and close it; every loop uses the same path",
    "session": "SESSION_SETUP (log-on) and LOGOFF",
    "notify": "change a directory and wait for the notifications",
}
_DESCRIPTIONS = {
    "read": """\
Each loop (connections x qdepth) has its own file, as in smbtorture: in bench_read_dir, share access
none, delete on close, as large as one request unless --file-size is given. Without --verify, the file
contains no data. If URL names a file, all loops read that file.""",
    "write": """\
Each loop (connections x qdepth) has its own file, as in smbtorture: in bench_write_dir, share access
none, delete on close, as large as one request unless --file-size is given.""",
    "mixed": """\
Each loop (connections x qdepth) has its own file: in bench_mixed_dir, share access none, deleted on
close, as large as one request unless --file-size is given. The files are written before the measurement
starts. One operation is a READ or a WRITE; "parts" has the figures of each.""",
    "echo": "One operation is an ECHO and its response. URL needs no share.",
    "open": """\
Like smbtorture smb2.bench.path-contention-shared: one operation is a CREATE for READ_ATTRIBUTES and
a CLOSE. The report's latencies are those of CREATE; those of CLOSE are under "parts".""",
    "session": """\
Like smbtorture smb2.bench.session-setup: one operation is a SESSION_SETUP exchange with NTLMv2 (or
with Kerberos if requested) and a LOGOFF, while the connection's first session stays. The report's
latencies are those of the set-up; those of the log-off are under "parts". URL needs no share.""",
    "notify": """\
connections x qdepth watchers wait with CHANGE_NOTIFY on one directory. The first connection creates a
file there, removes it when all watchers have been notified, and repeats. One operation is one
notification of one watcher. Its latency runs from sending the change to receiving the notification.""",
}


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo bench`."""
    parser = add_command(subparsers, "bench", "measure an SMB server", _EXAMPLES)
    workloads = parser.add_subparsers(dest="workload", metavar="WORKLOAD", required=True)
    for name, summary in _SUMMARIES.items():
        one = workloads.add_parser(
            name,
            help=summary,
            description=f"{summary}.\n\n{_DESCRIPTIONS[name]}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        _add_workload_options(one, name)
    both = workloads.add_parser(
        "compare", help="compare two reports", description="Print B / A for every figure."
    )
    both.add_argument("files", metavar=("A.json", "B.json"), nargs=2, help="reports written with --json FILE")
    remote.add_json_option(both)


def _add_workload_options(parser: argparse.ArgumentParser, workload: str) -> None:
    parser.add_argument("url", metavar="URL", nargs="?", help="smb://host/share/path")
    load = parser.add_argument_group("load")
    load.add_argument(
        "--connections", type=_count(CONNECTIONS_MAX), default=4, metavar="N", help="nprocs (4)"
    )
    load.add_argument(
        "--qdepth",
        type=_count(QDEPTH_MAX),
        default=1,
        metavar="N",
        help="requests in flight on each connection (1)",
    )
    load.add_argument("--time", type=seconds(1_000_000), default=10.0, metavar="S", help="seconds (10)")
    load.add_argument(
        "--operations", type=_count(1 << 48), metavar="N", help="stop after N operations in total"
    )
    load.add_argument(
        "--uncs",
        metavar="FILE",
        help="file with one //server/share or smb:// URL per line; connections use them in turn",
    )
    if workload in ("read", "write", "mixed"):
        _add_data_options(load, workload)
    out = parser.add_argument_group("report")
    out.add_argument(
        "--json",
        metavar="FILE",
        nargs="?",
        const="-",
        help="write the report as JSON to FILE or standard output",
    )
    out.add_argument("--html", metavar="FILE", help="write the report as an HTML page with plots")
    out.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        help="no output while running; with --json or --html, no table either",
    )
    pid_help = (
        "measure this server process and its children (default: the local process that listens on the port)"
    )
    out.add_argument("--server-pid", type=int, action="append", default=[], metavar="PID", help=pid_help)
    remote.add_connection_options(parser)
    more = parser.add_argument_group("more connection options")
    protect_help = "off (--no-sign), sign, or encrypt (--encrypt); sign is the default"
    more.add_argument("--protect", choices=("off", "sign", "encrypt"), help=protect_help)
    more.add_argument(
        "--client-guid",
        type=_guid,
        metavar="GUID",
        help="use this client GUID for all connections (default: random)",
    )
    threshold_help = "size from which the server moves data by RDMA (8K; 0: never), with smb+rdma:// URLs"
    more.add_argument("--rdma-threshold", type=_threshold, metavar="N", help=threshold_help)


def _add_data_options(load: argparse._ArgumentGroup, workload: str) -> None:
    size_help = "bytes per request, 1 to 16M (4K); K and M are 1024 and 1024^2"
    load.add_argument("--io-size", type=_io_size, default=4096, metavar="N", help=size_help)
    load.add_argument("--file-size", type=_size, metavar="N", help="size of each loop's file (one request)")
    order = load.add_mutually_exclusive_group()
    order.add_argument(
        "--random", action="store_true", default=True, help="use random offsets in the file (default)"
    )
    order.add_argument(
        "--sequential",
        action="store_false",
        dest="random",
        help="go through the file from start to end, repeatedly",
    )
    verify = {
        "read": "write data first, and verify what is read",
        "write": "read the files back at the end and check them",
        "mixed": "verify what is read",
    }[workload]
    load.add_argument("--verify", action="store_true", help=verify)
    if workload == "mixed":
        load.add_argument(
            "--reads", type=_percent, default=70, metavar="PERCENT", help="share of READs (70 %%)"
        )


# -- values of options


def _count(most: int) -> Any:
    def count(text: str) -> int:
        number = int(text) if text.isascii() and text.isdigit() else 0
        if not 1 <= number <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {most}")
        return number

    return count


def _percent(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 101
    if number > 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 100")
    return number


def _size(text: str) -> int:
    """4096, 64K, 2M, 1G."""
    digits, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "")
    shift = {"": 0, "K": 10, "M": 20, "G": 30}.get(unit)
    if shift is None or not (digits.isascii() and digits.isdigit()) or not 0 < int(digits) << shift < 1 << 62:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 4096, 64K, 2M or 1G")
    return int(digits) << shift


def _io_size(text: str) -> int:
    size = _size(text)
    if size > IO_SIZE_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is more than 16M")
    return size


def _threshold(text: str) -> int:
    size = 0 if text == "0" else _size(text)
    if size > RDMA_THRESHOLD_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is more than 8M")
    return size


def _guid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a GUID") from None


# -- the run


def run(args: argparse.Namespace) -> int:
    """Measure, or compare."""
    if args.workload == "compare":
        return _compare(args)
    return remote.run_async(lambda: _bench(args))


async def _bench(args: argparse.Namespace) -> int:
    from frevo.bench.processor import exists, use_batch_scheduling
    from frevo.bench.report import report
    from frevo.bench.runner import Run

    _complete(args)
    for pid in args.server_pid:
        if not exists(pid):
            raise UsageError(f"--server-pid {pid}: no such process")
    for path in (args.json, args.html):
        _check_writable(path)
    targets = _targets(args)
    if args.connections > _DESCRIPTORS_ENOUGH_FOR:
        from frevo.cli.runner import raise_file_limit

        raise_file_limit()
    use_batch_scheduling()
    bench = Run(_settings(args, targets), targets, args.server_pid, _speaker(args))
    bench.measuring = lambda: _interruptible(bench.interrupt)
    outcome = await bench.run()
    found = report(outcome)
    _show(args, found)
    if outcome.ended == "interrupted":
        return 130
    return 1 if outcome.ended == "error" or found["errors"] else 0


def _complete(args: argparse.Namespace) -> None:
    """Combine equivalent options; UsageError if options contradict each other."""
    if args.url is None and args.json and remote.is_remote(args.json):
        args.url, args.json = args.json, "-"  # --json URL
    if args.url is None and args.uncs is None:
        raise UsageError("give the URL of a share, or a list of them with --uncs FILE")
    said = {"off": args.no_sign, "encrypt": args.encrypt}
    if args.protect is not None and any(on for name, on in said.items() if name != args.protect):
        raise UsageError("--protect and --encrypt or --no-sign contradict each other: use one of them")
    args.encrypt, args.no_sign = (
        args.encrypt or args.protect == "encrypt",
        args.no_sign or args.protect == "off",
    )
    if args.encrypt and args.no_sign:
        raise UsageError("--encrypt and --no-sign contradict each other: use one of them")
    if args.workload in ("read", "write", "mixed") and (args.file_size or args.io_size) < args.io_size:
        raise UsageError("--file-size is less than --io-size: a file must hold at least one request")


def _check_writable(path: str | None) -> None:
    """Fail early if the report cannot be written."""
    if path in (None, "-"):
        return
    folder, made = Path(path).absolute().parent, Path(path).exists()
    if Path(path).is_dir() or not folder.is_dir() or not os.access(path if made else folder, os.W_OK):
        raise UsageError(f"cannot write {path}")


def _targets(args: argparse.Namespace) -> list[Target]:
    """A target for each connection. Prompts for each user's password once."""
    from frevo.bench.links import Target

    urls = [args.url] if args.uncs is None else _listed(args.uncs)
    known: dict[tuple[str, str | None], Options] = {}
    targets = []
    for url in urls:
        at = remote.location(url)
        if not at.share and args.workload not in ("echo", "session"):
            raise UsageError(f"{url} names no share: smb://host/share/path (`frevo shares` lists them)")
        if (at.host, at.user) not in known:
            known[at.host, at.user] = _options(args, at)
        targets.append(Target(url, known[at.host, at.user]))
    return [targets[number % len(targets)] for number in range(args.connections)]


def _options(args: argparse.Namespace, at: Location) -> Options:
    """The options of the other commands. A lost connection is not restored: the bench must report it."""
    found = replace(remote.options(args, at), reconnect=0.0)
    if args.rdma_threshold is not None:
        found = replace(found, rdma_threshold=args.rdma_threshold)
        transports = found.transports_to(at)
        if not any(one.traits.rdma for one in transports):
            names = ", ".join(map(str, transports))
            print(f"frevo: --rdma-threshold has no effect on {names}: use {SMBDIRECT.scheme}://", file=sys.stderr)
    if args.client_guid is not None:
        found = replace(found, client_guid=args.client_guid.bytes_le)
    if args.protect is not None:  # what smb.conf says does not count then
        found = replace(found, signing=args.protect != "off", prefer_encryption=False)
        found = replace(found, encryption=args.protect == "encrypt")
    return found


def _listed(path: str) -> list[str]:
    """The lines of an unclist."""
    lines = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines()]
    urls = [line for line in lines if line and not line.startswith("#")]
    if not urls:
        raise UsageError(f"{path}: contains no //server/share")
    return urls


def _settings(args: argparse.Namespace, targets: list[Target]) -> Settings:
    data = ("io_size", "file_size", "random", "verify", "reads")
    first = targets[0].options
    encrypted = first.encryption or first.prefer_encryption
    return Settings(
        workload=args.workload,
        urls=tuple(dict.fromkeys(str(target.location) for target in targets)),
        connections=args.connections,
        qdepth=args.qdepth,
        seconds=args.time,
        operations=args.operations,
        protect="encrypt" if encrypted else "sign" if first.signing else "off",
        client_guid=args.client_guid and str(args.client_guid),
        transports=args.transports,
        **{name: getattr(args, name) for name in data if hasattr(args, name)},
    )


@contextmanager
def _interruptible(interrupt: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C ends the measurement and reports the result so far."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


# -- output


def _speaker(args: argparse.Namespace) -> Callable[[str], None]:
    """The output for progress lines: standard error if the report goes to standard output."""
    out = sys.stderr if args.json == "-" else sys.stdout

    def say(text: str) -> None:
        out.write(text)
        out.flush()

    return (lambda text: None) if args.quiet else say


def _show(args: argparse.Namespace, found: dict[str, Any]) -> None:
    from frevo.bench.page import page
    from frevo.bench.report import table

    if args.html:
        Path(args.html).write_text(page(found), encoding="utf-8")
    if args.json == "-":
        remote.print_json(found)
    elif args.json:
        Path(args.json).write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if args.quiet and (args.json or args.html):
        if found["problem"]:
            print(printable(f"frevo: {found['problem']}"), file=sys.stderr)
        return
    print(printable(table(found)), end="", file=sys.stderr if args.json == "-" else sys.stdout)


def _compare(args: argparse.Namespace) -> int:
    from frevo.bench.compare import compare, table, warnings

    one, other = map(_read_report, args.files)
    found = compare(one, other)
    for line in warnings(found):
        print(printable(f"warning: {line}"), file=sys.stderr)
    if args.json:
        remote.print_json(found)
    else:
        print(printable(table(found, args.files)), end="")
    return 0


def _read_report(path: str) -> dict[str, Any]:
    from frevo.bench.compare import NotAReport

    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise NotAReport(f"{path}: not valid JSON ({error})") from None
    if not isinstance(found, dict):
        raise NotAReport(f"{path}: not a report of frevo bench --json")
    return found
