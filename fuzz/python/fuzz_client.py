"""The client against a lying server: the library, the commands, and the data plane below them.

frevo's own server tells the truth; a relay that has its keys changes a response now and then and signs it again
(`lies.py`), so that the lie passes the signature check. Invariant: each operation ends in time, with a result or an
OSError with a message; each command ends with 0 or 1 and one sentence; nothing is written outside the given folder;
there is no traceback in a log; no task, connection or warning is left, and memory stays bounded.

python fuzz/python/fuzz_client.py [--seconds N] [--seed S] [--rounds N]
"""

# ruff: noqa: E402  (the imports need the path that is set first)
from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import io
import logging
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2] / "tests"), str(Path(__file__).parent)]

from lies import Liar
from peers.lying_server import LyingRelay, ServerThread
from peers.target import PASSWORD, USER

import frevo
from frevo.cli.main import main as frevo_command
from frevo.client import Options, Share, batch
from frevo.client.connection import plane
from frevo.client.server import Server

#: Longer than the sum of the time-outs below.
HANG_S = 20.0
MEMORY_BYTES = 400 << 20


_ADDRESS_SPACE_BYTES = 6 << 30
_LARGE = 3_000_000
_ROUNDS_PER_SERVER = 500
_OPTIONS: dict[str, Any] = {"timeout": 0.3, "answer_timeout": 0.3, "reconnect": 0.0}


def _most_memory() -> int:
    """The peak resident memory of this process in bytes. (getrusage also counts the parent before exec.)"""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM"))


class Finding(Exception):
    """A violated invariant."""


class Failures(logging.Handler):
    """Collects logged errors of frevo, and of tasks and callbacks on the loop."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith("frevo.server"):
            self.texts.append(logging.Formatter().format(record))

    def unraisable(self, raised: Any) -> None:
        """As `sys.unraisablehook`: exceptions in __del__, ResourceWarnings as errors."""
        trace = "".join(traceback.format_exception(raised.exc_value))
        self.texts.append(f"{raised.err_msg} {raised.object!r}: {trace}")


class NoReport:
    """A report of a transfer that discards everything."""

    def found(self, size: int) -> None: ...
    def advanced(self, size: int) -> None: ...
    def finished(self, path: str) -> None: ...
    def failed(self, path: str, error: OSError) -> None: ...


# -- operations of a client


async def looks(share: Share, rng: random.Random, _: Path) -> None:
    """Listings of all kinds."""
    await share.listdir("")
    [entry async for entry in share.glob("**/*.txt")]
    async for _, directories, others in share.walk(""):
        for entry in (*directories, *others):
            found = entry.stat()
            assert (found.st_mode, found.st_mtime, found.st_ctime, found.st_birthtime) is not None


async def asks(share: Share, rng: random.Random, _: Path) -> None:
    """All queries about a file."""
    path = rng.choice(("", "small.txt", "folder", "large"))
    await share.stat(path)
    await share.statvfs(path)
    await share.security(path)
    if path not in ("", "folder"):
        await share.streams(path)
        await share.eas(path)


async def reads(share: Share, rng: random.Random, _: Path) -> None:
    """Whole files and parts, small and large, in every way."""
    await share.read_small("small.txt", 1000)
    await share.read_bytes(rng.choice(("small.txt", "large", "medium")))
    async with share.open(rng.choice(("large", "medium"))) as file:
        await file.pread(100, 50)
        await file.preadinto(bytearray(rng.choice((1000, 100_000, 2_000_000))), 10)
        await file.seek(-5, os.SEEK_END)
        await file.read()


async def writes(share: Share, rng: random.Random, _: Path) -> None:
    """Create, change and remove small and large files."""
    name = f"new{rng.randrange(1000)}"
    await share.write_small(name, b"small", modified_ns=10**18)
    await share.write_bytes(name, bytes(rng.choice((10, 100_000, _LARGE))))
    async with share.open(name, "r+b") as file:
        await file.pwrite(b"x" * 70_000, 5)
        await file.flush()
        await file.truncate(7)
    await share.set_times(name, modified_ns=10**18)
    await share.set_attributes(name, 2)
    await share.set_eas(name, {"user.x": b"y"})
    await share.remove(name)


async def arranges(share: Share, rng: random.Random, _: Path) -> None:
    """Directories, renames, and copies on the server."""
    name = f"made{rng.randrange(1000)}"
    await share.makedirs(f"{name}/below", exist_ok=True)
    await share.copy("large", f"{name}/copy")
    await share.rename(f"{name}/copy", f"{name}/below/other")
    await share.rmtree(name)


async def gets(share: Share, rng: random.Random, local: Path) -> None:
    """Download a directory with its contents."""
    plan = batch.Plan(recursive=True, verify=rng.randrange(4) == 0, update=rng.randrange(3) == 0)
    totals = await batch.download(share, "", str(local), plan, NoReport())
    assert all(isinstance(error, OSError) and str(error) for _, error in totals.errors)


async def puts(share: Share, rng: random.Random, local: Path) -> None:
    """Upload a directory."""
    (local / "below").mkdir(exist_ok=True)
    (local / "one").write_bytes(bytes(1000))
    (local / "below" / "two").write_bytes(bytes(rng.choice((10, _LARGE))))
    plan = batch.Plan(recursive=True, verify=rng.randrange(4) == 0, update=rng.randrange(3) == 0)
    await batch.upload(share, str(local), f"up{rng.randrange(100)}", plan, NoReport())


async def watches(share: Share, rng: random.Random, _: Path) -> None:
    """Watch for changes, and make one."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.5), contextlib.aclosing(share.watch("folder")) as changes:
            task = asyncio.ensure_future(anext(changes))
            try:
                await asyncio.sleep(0.05)
                await share.write_small("folder/changed", b"x")
                await task
            finally:
                task.cancel()
                await asyncio.wait([task])


Operation = Callable[[Share, random.Random, Path], Awaitable[None]]
OPERATIONS: tuple[Operation, ...] = (
    looks,
    looks,
    asks,
    reads,
    reads,
    writes,
    arranges,
    gets,
    gets,
    puts,
    watches,
)


async def lists_shares(server: Server) -> None:
    """List the shares."""
    for one in await server.shares():
        assert isinstance(one.name, str)


def commands(rng: random.Random, url: str, local: Path) -> list[str]:
    """A command line whose work depends on the responses of the server."""
    (local / "mine").write_bytes(bytes(rng.choice((10, 100_000))))
    return rng.choice(
        (
            ["ls", url], ["ls", "-lR", url], ["ls", "--json", "-R", url], ["tree", url], ["ls", f"{url}/**/*.txt"],
            ["stat", "-a", f"{url}/small.txt"], ["stat", "--json", url], ["cat", f"{url}/medium"],
            ["get", "-r", url, f"{local}/"], ["get", f"{url}/*", f"{local}/"],
            ["get", f"{url}/large", f"{local}/large"],
            ["put", f"{local}/mine", f"{url}/mine"], ["put", "-r", str(local), f"{url}/many"],
            ["cp", f"{url}/large", f"{url}/larger"], ["mkdir", f"{url}/new{rng.randrange(10**9)}"],
            ["mv", f"{url}/larger", f"{url}/moved{rng.randrange(10**9)}"], ["rm", "-rf", f"{url}/many"],
            ["shares", url.rpartition("/")[0]], ["shares", "--json", "-a", url.rpartition("/")[0]],
        )
    )  # fmt: skip


# -- the rounds


class Fuzzer:
    """One server and its rounds."""

    def __init__(self, base: Path, rng: random.Random) -> None:
        self.rng = rng
        self.base = base
        self.stack = contextlib.ExitStack()
        guests = {"map to guest": "bad user", "server signing": "auto"}
        self.thread = self.stack.enter_context(ServerThread(base / "server", guests))
        self.relay = self.stack.enter_context(LyingRelay(self.thread))
        self.liar = Liar(self.thread, rng)
        self.relay.lie = self.liar.lie  # type: ignore[method-assign]
        self.failures = Failures()
        self.refused = 0
        _fill(self.thread.folder())
        _fill(self.thread.folder("guest"))

    def _options(self) -> tuple[str, dict[str, Any]]:
        """The URL of a share, and options of the connection."""
        options = dict(_OPTIONS)
        if self.rng.randrange(4) == 0:
            options["reconnect"] = 0.3
        kind = self.rng.randrange(6)
        if kind == 0:
            return "guest", {**options, "guest": True}
        options |= {"user": USER, "password": PASSWORD}
        if kind == 1:
            options["maximum"] = self.rng.choice(("SMB2_02", "SMB2_10", "SMB3_00", "SMB3_02"))
        if kind == 2:
            options["signing"] = False
        return "share", options

    def round(self, lie: str | None = None) -> None:
        """One conversation with one lie or several of the same kind."""
        if lie is None:
            self.liar.choose()
        else:
            self.liar.prepare(lie, after=self.rng.randrange(20), lasting=self.rng.randrange(2) == 0)
        local = self.base / "around" / "local"
        shutil.rmtree(local.parent, ignore_errors=True)
        local.mkdir(parents=True)
        if self.rng.randrange(5) == 0:
            self._command(local)
        else:
            self._library(local)
        self._check(local)

    def _library(self, local: Path) -> None:
        operation = self.rng.choice(OPERATIONS)
        share, options = self._options()
        self.what = f"{operation.__name__} with {options} and {self.liar.said}"
        asyncio.run(self._converse(operation, share, options, local), debug=False)

    async def _converse(self, operation: Operation, name: str, options: dict[str, Any], local: Path) -> None:
        url = f"smb://127.0.0.1:{self.relay.port}/{name}"
        try:
            async with asyncio.timeout(HANG_S):
                async with frevo.connect(url, Options(), **options) as share:
                    if self.rng.randrange(12) == 0:
                        await lists_shares(Server(share.lasting.link))
                    await operation(share, self.rng, local)
        except TimeoutError as error:
            if not getattr(error, "strerror", None):
                raise Finding(f"{self.what}: hangs") from error
            self.refused += 1
        except OSError as error:
            self.refused += 1
            if not error.strerror:
                raise Finding(f"{self.what}: {error!r} without a message") from error
        await self._settled()

    async def _settled(self) -> None:
        """Wait for the end of everything that was started; Finding if it takes too long."""
        loop = asyncio.get_running_loop()
        gc.collect()
        for _ in range(200):
            left = asyncio.all_tasks() - {asyncio.current_task()}
            if not left and loop not in plane._planes:
                return
            await asyncio.sleep(0.005)
        raise Finding(f"{self.what}: left are {left} and {plane._planes.get(loop)}")

    def _command(self, local: Path) -> None:
        url = f"smb://{USER}@127.0.0.1:{self.relay.port}/share"
        line = commands(self.rng, url, local)
        again = self.rng.choice(("0", "0", "0.3"))
        line += ["--timeout", "0.3", "--answer-timeout", "0.3", "--reconnect", again]
        self.what = f"frevo {' '.join(line)} with {self.liar.said}"
        out, err = io.TextIOWrapper(io.BytesIO()), io.StringIO()
        started = time.monotonic()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = frevo_command(line)
        said = err.getvalue()
        if time.monotonic() - started > HANG_S:
            raise Finding(f"{self.what}: took {time.monotonic() - started:.0f} s")
        if code not in (0, 1) or "Traceback" in said or "bug" in said or (code == 1 and not said.strip()):
            raise Finding(f"{self.what}: code {code}\n{said[-3000:]}")
        self.refused += code

    def _check(self, local: Path) -> None:
        gc.collect()
        if self.failures.texts:
            raise Finding(f"{self.what}: {self.failures.texts[0]}")
        around = [one.name for one in local.parent.iterdir()]
        if around != ["local"] or (self.base / "evil").exists() or Path("/etc/evil").exists():
            raise Finding(f"{self.what}: written outside: {around}")
        used = _most_memory()
        if used > MEMORY_BYTES:
            raise Finding(f"{self.what}: {used >> 20} MiB of memory")

    @contextlib.contextmanager
    def watched(self) -> Any:
        """Context manager: detects everything that is logged, or raised where it would be ignored."""
        loggers = [logging.getLogger(name) for name in ("frevo", "asyncio", "py.warnings")]
        for logger in loggers:
            logger.addHandler(self.failures)
        hook, sys.unraisablehook = sys.unraisablehook, self.failures.unraisable
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.simplefilter("ignore", DeprecationWarning)
                yield
        finally:
            sys.unraisablehook = hook
            for logger in loggers:
                logger.removeHandler(self.failures)


def _fill(folder: Path) -> None:
    (folder / "folder" / "below").mkdir(parents=True)
    (folder / "small.txt").write_bytes(b"a small file")
    (folder / "medium").write_bytes(bytes(range(256)) * 400)
    (folder / "large").write_bytes(bytes(range(256)) * (_LARGE // 256))
    for number in range(20):
        (folder / "folder" / f"file{number}.txt").write_bytes(bytes(number * 100))
    (folder / "folder" / "below" / "deep.txt").write_bytes(b"deep")


def run_one(seed: int, rounds: int, end: float, lie: str | None = None) -> tuple[int, int]:
    """One server for *rounds* or until *end*; (rounds, rounds that ended with an error). Raises Finding."""
    rng = random.Random(seed)
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(Path(folder), rng)
        with fuzzer.stack, fuzzer.watched():
            while count < rounds and time.monotonic() < end:
                try:
                    fuzzer.round(lie)
                except Finding:
                    raise
                except BaseException as error:
                    raise Finding(f"{fuzzer.what}: {error!r}") from error
                count += 1
        return count, fuzzer.refused


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None, help="default: from the clock")
    parser.add_argument(
        "--rounds", type=int, default=_ROUNDS_PER_SERVER, help="conversations with one server"
    )
    parser.add_argument("--lie", help="only this operation")
    parser.add_argument("--keep-going", action="store_true", help="continue after a finding, with the next seed")
    chosen = parser.parse_args(arguments)
    soft = min(_ADDRESS_SPACE_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1] % (1 << 63))
    resource.setrlimit(resource.RLIMIT_AS, (soft, resource.getrlimit(resource.RLIMIT_AS)[1]))
    seed = time.time_ns() % 2**32 if chosen.seed is None else chosen.seed
    end = time.monotonic() + chosen.seconds
    count = refused = servers = findings = 0
    while time.monotonic() < end:
        try:
            rounds, errors = run_one(seed + servers, chosen.rounds, end, chosen.lie)
            count, refused = count + rounds, refused + errors
        except Finding:
            print(f"seed {seed + servers}: --seed {seed + servers} repeats it", file=sys.stderr)
            if not chosen.keep_going:
                raise
            traceback.print_exc()
            findings += 1
        servers += 1
    said = f"{findings} findings" if findings else "no finding"
    print(f"{count} conversations with {servers} servers, {refused} ended with an error, seed {seed}: {said}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
