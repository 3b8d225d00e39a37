"""Two RDMA endpoints in memory, for tests: what one says reaches the other as badly as it is told, and is captured.

`RdmaPair` has two ends of one connection: post receives, send messages, register memory, RDMA WRITE and READ, with all
checks that a card makes. `SmbDirectPair` carries messages of SMB2 over SMB Direct between two ends of frevo's data
plane. Nothing moves by itself, there are no threads and no sockets, and all that chance decides follows from the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Literal, Self

import msgspec

from frevo._native import Core, RdmaEnd, SmbDirect
from frevo.lab.pcap import Direction, StreamCapture

Provider = Literal["iwarp", "emulated"]
#: A tag, an offset and a number of bytes: memory that one end has registered, as it tells the other one.
Place = tuple[int, int, int]

#: The port of SMB Direct over iWARP, by which tshark knows it.
_PORT = 5445
#: Steps after which two ends that still have something to say are not expected to stop.
_STEPS_MAX = 100_000


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to the bytes of one direction. The defaults do nothing. ValueError if a value is out of range.

    split: they arrive in pieces of 1 to so many bytes; 0: as they were sent. flip: the share of pieces of which one bit
    is another one. hold: the share of pieces that wait for the next step, with all behind them. cut_after: so many
    bytes arrive, and then no more.
    """

    split: int = 0
    flip: float = 0.0
    hold: float = 0.0
    cut_after: int | None = None

    def __post_init__(self) -> None:
        if self.split < 0 or (self.cut_after or 0) < 0:
            raise ValueError("split and cut_after are numbers of bytes")
        if not (0 <= self.flip <= 1 and 0 <= self.hold < 1):
            raise ValueError("flip is a share from 0 to 1, and hold one below 1")


class Received(msgspec.Struct, frozen=True):
    """A message has come; *invalidated* is a tag of this end that opens nothing any more."""

    message: bytes
    invalidated: int | None = None


class ReadDone(msgspec.Struct, frozen=True):
    """All data of an RDMA READ are here; *work* is what `read` returned."""

    work: int
    data: bytes


class Ended(msgspec.Struct, frozen=True):
    """The connection has ended, and why; nothing comes any more."""

    reason: str


Event = Received | ReadDone | Ended
_EVENTS: dict[str, Callable[..., Event]] = {"received": Received, "read": ReadDone, "ended": Ended}


class Way:
    """One direction of a stream: its bytes, with their faults."""

    def __init__(self, faults: Faults, seed: int, direction: Direction) -> None:
        self.faults = faults
        self._random = Random(f"{seed} {direction}")
        self._waiting = bytearray()
        self._left = faults.cut_after

    def put(self, data: bytes) -> None:
        """What the sending end says."""
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        self._waiting += data

    def take(self) -> list[bytes]:
        """The pieces that arrive in this step."""
        faults, pieces = self.faults, []
        while self._waiting:
            if faults.hold and self._random.random() < faults.hold:
                break
            size = self._random.randint(1, faults.split) if faults.split else len(self._waiting)
            piece = self._waiting[:size]
            del self._waiting[:size]
            if faults.flip and self._random.random() < faults.flip:
                piece[self._random.randrange(len(piece))] ^= 1 << self._random.randrange(8)
            pieces.append(bytes(piece))
        return pieces

    @property
    def is_empty(self) -> bool:
        """Whether nothing is on its way."""
        return not self._waiting


class Line:
    """Both directions of a stream, captured as they arrive."""

    def __init__(self, up: Faults, down: Faults, seed: int, capture: str | Path | None) -> None:
        self._ways: dict[Direction, Way] = {"up": Way(up, seed, "up"), "down": Way(down, seed, "down")}
        self._capture = StreamCapture(capture, _PORT) if capture is not None else None
        self._steps = 0

    def carry(self, direction: Direction, said: bytes) -> list[bytes]:
        """The pieces that arrive in this step at the other end."""
        self._steps += 1
        way = self._ways[direction]
        way.put(said)
        pieces = way.take()
        if self._capture is not None:
            for piece in pieces:
                self._capture.add(direction, piece, self._steps / 1000)
        return pieces

    @property
    def is_empty(self) -> bool:
        """Whether nothing is on its way."""
        return all(way.is_empty for way in self._ways.values())

    def close(self) -> None:
        """The capture is complete."""
        if self._capture is not None:
            self._capture.close()


class End:
    """One end of an `RdmaPair`. Posts and commands are those of RDMA verbs; what they led to is in `events`."""

    def __init__(self, native: RdmaEnd) -> None:
        self._native = native
        #: What has come and was not taken yet, the oldest first.
        self.events: list[Event] = []

    def post_receives(self, count: int, size: int) -> None:
        """Makes room for so many more messages of at most *size* bytes (1 MiB, 1024 at a time). ValueError."""
        self._native.post_receives(count, size)

    def send(self, message: bytes, invalidate: int | None = None) -> None:
        """Sends a message into a receive that the other end has posted; *invalidate*: a tag of its."""
        self._native.send(message, invalidate)

    def register(self, data: bytes, access: Literal["read", "write"]) -> Place:
        """Lets the other end read or write memory with this content; what to tell it. OSError if it cannot be."""
        return self._native.register(data, access)

    def release(self, tag: int) -> bytes | None:
        """Ends what a tag of this end allows; the content of its memory. None if there is no such tag."""
        return self._native.release(tag)

    def write(self, data: bytes, *targets: Place) -> None:
        """RDMA WRITE: puts *data* into memory of the other end, one place after the other. ValueError: too much."""
        self._native.write(data, list(targets))

    def read(self, *sources: Place) -> int:
        """RDMA READ: fetches memory of the other end. `ReadDone` with the returned number has it."""
        return self._native.read(list(sources))

    @property
    def has_begun(self) -> bool:
        """Whether both ends have said what is said first."""
        return self._native.has_begun

    @property
    def registered(self) -> int:
        """How many of its tags the other end may use now."""
        return self._native.registered

    @property
    def moved(self) -> tuple[int, int]:
        """Bytes moved by RDMA: to the other end, and from it."""
        return self._native.moved

    def take_events(self) -> list[Event]:
        """`events`, which are forgotten."""
        found, self.events = self.events, []
        return found

    def feed(self, pieces: Sequence[bytes]) -> None:
        """Takes bytes that have arrived."""
        for piece in pieces:
            self.events += [_EVENTS[kind](*rest) for kind, *rest in self._native.feed(piece)]

    def said(self) -> bytes:
        """The bytes that it wants to send."""
        return self._native.take()


class _Carrying:
    """What both pairs do: step, run, close."""

    _line: Line

    def step(self) -> bool:
        """Carries what each end says to the other one, once. False if nothing moved and nothing is on its way."""
        raise NotImplementedError

    def run(self) -> None:
        """Steps until nothing moves any more. RuntimeError if that does not happen."""
        for _ in range(_STEPS_MAX):
            if not self.step():
                return
        raise RuntimeError("the two ends do not come to rest")

    def close(self) -> None:
        """Completes the capture, if there is one."""
        self._line.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


class RdmaPair(_Carrying):
    """Two ends of an RDMA connection.

    provider: `iwarp`, or `emulated`, where data of RDMA WRITE and READ are fetched from memory instead of sent. up:
    faults towards the server; down: back, the same by default. capture: a pcap file of what arrives, which tshark
    dissects if the provider is iwarp. checksums, segment_size, reads: of both ends (CRC32C; bytes of data in a segment,
    64 to 65500; RDMA READs outstanding).
    """

    def __init__(
        self,
        provider: Provider = "iwarp",
        *,
        seed: int = 0,
        up: Faults | None = None,
        down: Faults | None = None,
        capture: str | Path | None = None,
        checksums: bool = False,
        segment_size: int = 65_472,
        reads: int = 16,
    ) -> None:
        up = up or Faults()
        self.client, self.server = (
            End(RdmaEnd(provider, role, checksums=checksums, segment_size=segment_size, reads=reads))
            for role in ("client", "server")
        )
        self._line = Line(up, up if down is None else down, seed, capture)

    def step(self) -> bool:
        """Carries what each end says to the other one, once. False if nothing moved and nothing is on its way."""
        moved = False
        for direction, source, target in (("up", self.client, self.server), ("down", self.server, self.client)):
            said = source.said()
            pieces = self._line.carry(direction, said)  # type: ignore[arg-type]  # a literal in a tuple
            target.feed(pieces)
            moved = moved or bool(said or pieces)
        return moved or not self._line.is_empty


class SmbDirectPair(_Carrying):
    """A client's and a server's end of SMB Direct that carry messages of SMB2, with fragments, credits and everything.

    The arguments are those of `RdmaPair`; *credits*, *receive_size* and *message_size* as in `frevo:smbdirect …`.
    The ends are those of frevo's data plane: the server's checks message IDs and grants credits, so messages have to be
    of SMB2, and the first one NEGOTIATE.
    """

    def __init__(
        self,
        provider: Provider = "iwarp",
        *,
        seed: int = 0,
        up: Faults | None = None,
        down: Faults | None = None,
        capture: str | Path | None = None,
        checksums: bool = False,
        credits: int = 255,
        receive_size: int = 8192,
        message_size: int = 1 << 20,
    ) -> None:
        up = up or Faults()
        direct = SmbDirect(
            provider,
            send_size=receive_size,
            receive_size=receive_size,
            fragmented_size=message_size,
            credits=credits,
            checksums=checksums,
        )
        self._client = Core(framing=direct, role="client")
        self._server = Core(framing=direct, role="server")
        self._line = Line(up, up if down is None else down, seed, capture)
        #: Events of frevo's data plane (frevo.transport.base) at either end, the oldest first.
        self.client_events: list[tuple[Any, ...]] = []
        self.server_events: list[tuple[Any, ...]] = []

    def request(self, message: bytes) -> None:
        """The client sends a message."""
        self._client.submit([(1, 0, 0, message)])

    def respond(self, message: bytes) -> None:
        """The server sends a message."""
        self._server.submit([(1, 0, 0, message)])

    def step(self) -> bool:
        """Carries what each end says to the other one, once. False if nothing moved and nothing is on its way."""
        said = self._client.take_output()
        arrived = self._line.carry("up", said)
        for piece in arrived:
            self.server_events += self._server.feed(piece)
        answered = self._server.take_output()
        back = self._line.carry("down", answered)
        for piece in back:
            self.client_events += self._client.feed(piece)
        return bool(said or arrived or answered or back) or not self._line.is_empty
