"""One run: connections, preparation, measurement with a line every second, end, clean-up."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Literal

import msgspec

from frevo.bench import live
from frevo.bench.faults import sentence
from frevo.bench.links import Link, Target, open_links
from frevo.bench.load import Load
from frevo.bench.notify import NotifyLoad
from frevo.bench.processor import Meter, find_server
from frevo.bench.pumped import EchoLoad, MixedLoad, OpenLoad, ReadLoad, WriteLoad
from frevo.bench.session import SessionLoad
from frevo.bench.settings import Settings
from frevo.bench.tally import Tally, total
from frevo.client.to_the_end import to_the_end
from frevo.errors import FrevoError
from frevo.transport.emulated import find_port
from frevo.transport.listeners import listening_on
from frevo.transport.traits import TRANSPORTS

LOADS: dict[str, type[Load]] = {
    "read": ReadLoad,
    "write": WriteLoad,
    "mixed": MixedLoad,
    "echo": EchoLoad,
    "open": OpenLoad,
    "session": SessionLoad,
    "notify": NotifyLoad,
}

#: Points of the throughput plot, and what may lie between two: parts of a second, so that a line comes each second.
_POINTS = 50
_STEPS_S = (0.2, 0.25, 0.5, 1.0)
_SECOND = 1.0


class Sample(msgspec.Struct, frozen=True):
    """The operations before second *at*, since the sample before."""

    at: float
    seconds: float
    operations: int
    bytes: int


class Outcome(msgspec.Struct):
    """The result of a run. *by_connection*: its operations, where they are counted. *ended*: time, operations,
    interrupted or error; *problem* describes the error."""

    settings: Settings
    parts: tuple[str, ...]
    tallies: tuple[Tally, ...] = ()
    seconds: float = 0.0
    samples: list[Sample] = msgspec.field(default_factory=list)
    meter: Meter = msgspec.field(default_factory=lambda: Meter(()))
    server: dict[str, object] = msgspec.field(default_factory=dict)
    ended: str = "time"
    problem: str = ""
    by_connection: list[int] = msgspec.field(default_factory=list)

    @property
    def errors(self) -> int:
        """Failed operations."""
        return total(self.tallies).errors

    @property
    def counted(self) -> Tally:
        """The operations that the report counts."""
        return counted_of(self.settings, self.tallies)


def counted_of(settings: Settings, tallies: Sequence[Tally]) -> Tally:
    """Those of the first part: opens, set-ups. Reads and writes are counted together."""
    return total(tallies) if settings.moves_data else tallies[0]


class Run:
    """A bench run that can be interrupted."""

    def __init__(
        self,
        settings: Settings,
        targets: Sequence[Target],
        server_pids: Sequence[int],
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._settings = settings
        self._targets = targets
        self._pids = server_pids
        self._say = say
        self._interrupted = asyncio.Event()
        #: Entered for the measured time, in which `interrupt` may be called.
        self.measuring: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
        self._load: Load

    def interrupt(self) -> None:
        """End the measurement now; the result counts."""
        self._interrupted.set()

    async def run(self) -> Outcome:
        """The whole run. Raises OSError or FrevoError if it cannot start; the outcome has later errors."""
        settings = self._settings
        kind = LOADS[settings.workload]
        self._say(live.opening(settings.connections) + "\n")
        async with open_links(self._targets, with_share=kind.needs_share) as links:
            self._say(live.opened(settings.connections, settings.qdepth) + "\n")
            self._pids = self._pids or servers_of(links)
            load = self._load = kind(settings, links)
            try:
                await load.prepare()
                with self.measuring():
                    self._say(live.running(settings.seconds) + "\n")
                    outcome = await self._measure(Outcome(settings, load.parts, server=described(links[0])))
                if settings.verify and outcome.ended != "error":
                    await self._check(outcome)
            finally:
                await to_the_end(self._end(load))
        return outcome

    async def _check(self, outcome: Outcome) -> None:
        try:
            await self._load.stop()
            await self._load.check()
        except (OSError, FrevoError) as error:
            outcome.ended, outcome.problem = "error", str(error)

    async def _end(self, load: Load) -> None:
        with contextlib.suppress(OSError, FrevoError):
            await load.stop()
        with contextlib.suppress(OSError, FrevoError):
            await load.clean()

    async def _measure(self, outcome: Outcome) -> Outcome:
        load, settings = self._load, self._settings
        load.make_loops()
        outcome.meter = Meter(self._pids)
        outcome.meter.start()
        started = time.perf_counter()
        load.start()
        watch = _Watch(outcome, load, started, self._say)
        end = asyncio.ensure_future(load.finished())
        stop = asyncio.ensure_future(self._interrupted.wait())
        try:
            while not (end.done() or stop.done()):
                left = started + settings.seconds - time.perf_counter()
                if left <= 0 or watch.only_failures():
                    break
                wait = min(left, watch.next_look())
                await asyncio.wait((end, stop), timeout=wait, return_when="FIRST_COMPLETED")
                watch.look()
            outcome.tallies = load.tallies()
            outcome.seconds = time.perf_counter() - started
            outcome.meter.stop()
            outcome.by_connection = load.by_connection()
            _conclude(outcome, end, stop)
        finally:
            stop.cancel()
            end.cancel()
            await asyncio.gather(end, stop, return_exceptions=True)
        parts = tuple(zip(outcome.parts, outcome.tallies, strict=True))
        self._say(live.last_lines(outcome.seconds, parts, moves_data=settings.moves_data))
        return outcome


class _Watch:
    """Samples the counts: for the plot, and a live line every second."""

    def __init__(self, outcome: Outcome, load: Load, started: float, say: Callable[[str], None]) -> None:
        wanted = outcome.settings.seconds / _POINTS
        self._step = next((step for step in _STEPS_S if step >= wanted), _STEPS_S[-1])
        self._outcome, self._load, self._say = outcome, load, say
        self._started = started
        self._moves_data = outcome.settings.moves_data
        self._sampled = self._said = (started, tuple(Tally() for _ in outcome.parts))
        self._failing = False

    def next_look(self) -> float:
        """Seconds until the next sample: whole steps from the start, whatever a sample takes."""
        return self._step - (time.perf_counter() - self._started) % self._step

    def look(self) -> None:
        """Take a sample; prints a line every second."""
        now, counts = time.perf_counter(), self._load.tallies()
        at, before = self._sampled
        settings = self._outcome.settings
        news = counted_of(settings, counts).since(counted_of(settings, before))
        self._outcome.samples.append(Sample(now - self._started, now - at, news.operations, news.bytes))
        done = sum(count.operations for count in counts) - sum(count.operations for count in before)
        self._failing = not done and total(counts).errors > total(before).errors
        self._sampled = now, counts
        at, before = self._said
        at_the_end = (
            now - self._started > self._outcome.settings.seconds - self._step / 2
        )  # the last line comes then
        if now - at >= _SECOND - self._step / 2 and not at_the_end:
            parts = [
                (name, count.since(old))
                for name, count, old in zip(self._outcome.parts, counts, before, strict=True)
            ]
            self._say(live.line(now - self._started, now - at, parts, moves_data=self._moves_data))
            self._said = now, counts

    def only_failures(self) -> bool:
        """Whether nothing has succeeded since the sample before the last, and something failed."""
        return self._failing


def _conclude(outcome: Outcome, end: asyncio.Future[None], stop: asyncio.Future[Literal[True]]) -> None:
    """Why the run ended, and its error."""
    problems = [sentence(status, n) for status, n in sorted(total(outcome.tallies).statuses.items())]
    if end.done() and (error := end.exception()) is not None:
        if not isinstance(error, OSError | FrevoError):
            raise error
        outcome.ended = "error"
        problems.insert(0, str(error))
    elif stop.done():
        outcome.ended = "interrupted"
    elif end.done():
        outcome.ended = "operations"
    elif outcome.seconds < outcome.settings.seconds:
        outcome.ended = "error"
    outcome.problem = "; ".join(problems)


def servers_of(links: Sequence[Link]) -> list[int]:
    """The local processes at the other end of the connections, found by their listening ports."""
    found: set[int] = set()
    for target, transport in {(link.target, link.server.transport) for link in links}:
        at, options = target.location, target.options
        settings = options.settings(at)
        ports = {one.name: one.port for one in settings.transports}
        port = ports.get(transport) or TRANSPORTS[transport].port
        if TRANSPORTS[transport].rdma and settings.smb_direct.provider == "emulated":
            with contextlib.suppress(OSError):
                found.update(listening_on(find_port(settings.smb_direct.directory, port)))
        elif protocol := TRANSPORTS[transport].protocol:
            found.update(find_server(options.address or at.host, port, protocol))
    return sorted(found)


def described(link: Link) -> dict[str, object]:
    """The negotiated properties of the connection to the server."""
    server = link.server
    negotiated = server.connection.negotiated
    assert negotiated is not None
    encrypted = server.session.protection.encrypt or (link.share is not None and link.share.tree.encrypt)
    cipher = negotiated.cipher.name if encrypted else ""
    signing = negotiated.signing.name if server.signed and not encrypted else ""
    found: dict[str, object] = {"dialect": server.dialect, "transport": server.transport}
    if (secured := server.connection.secured) is not None:
        found |= {"transport_cipher": secured.cipher, "transport_driver": secured.driver}
    if direct := server.connection.smb_direct:
        found |= {"transport_provider": direct["provider"]}
    return {**found, "signing": signing, "cipher": cipher}
