"""The whole server in memory, fed with mutated, reordered and replayed conversations.

Invariant: whatever a connection sends, the server responds with a status or ends that connection; other clients are not
affected, no error is logged, no message takes too much time, and nothing is left when all have disconnected.

python fuzz/python/fuzz_server.py [--seconds N] [--seed S]
"""

# ruff: noqa: E402  (the imports need the path that is set first)
from __future__ import annotations

import argparse
import itertools
import logging
import random
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2] / "tests"), str(Path(__file__).parent)]

from pair.client import Client, Disconnected, Element, create_request, negotiate_request
from pair.machine import Pair
from run import mutate
from vectors import load

from frevo.server.fsctl.table import TABLE as FSCTLS
from frevo.wire.smb2 import (
    ANY_FILE_ID,
    ChangeNotifyRequest,
    Command,
    CreateContext,
    IoctlRequest,
    LockElement,
    LockRequest,
    QueryDirectoryRequest,
    QueryInfoRequest,
    SessionSetupRequest,
    SetInfoRequest,
    TreeConnectRequest,
)
from frevo.wire.smb2.smb1_negotiate import SMB1NegotiateRequest

_ROUNDS_PER_SERVER = 400
#: Most processor time of one message on a machine where `_calibrate` takes 10 ms. The costliest take about 30 ms.
_BUDGET_S = 0.25
_REPLAYS_MAX = 50


class Failures(logging.Handler):
    """Collects errors that the server logs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def corpus() -> list[tuple[int, bytes]]:
    """(command, body) of valid requests: the vectors, and some with names and IDs that exist here."""
    bodies = load("smb2")
    made = []
    for command in Command:
        name = command.name.lower() + "_request"
        made += [(int(command), bytes(data)) for key, data in bodies.items() if key.startswith(name)]
    for name in ("a", "d\\b", "", "a:s", "..\\x"):
        made.append((int(Command.CREATE), create_request(name).pack()))
    file_id = (2**64 - 1, 2**64 - 1)
    for code in FSCTLS:
        made.append(
            (int(Command.IOCTL), IoctlRequest(code, file_id, bytes(40), max_output_response=4096).pack())
        )
    for info_class in (4, 5, 10, 11, 13, 14, 15, 19, 20, 37, 39, 40, 64):
        made.append((int(Command.SET_INFO), SetInfoRequest(1, info_class, 0, file_id, bytes(40)).pack()))
    for info_class in (1, 2, 3, 12, 37, 38):
        made.append(
            (int(Command.QUERY_DIRECTORY), QueryDirectoryRequest(info_class, 0, 0, file_id, 4096, "*").pack())
        )
    for info_type, info_class in itertools.product((1, 2, 3, 4), (0, 4, 5, 9, 14, 15, 18, 22, 34)):
        made.append(
            (int(Command.QUERY_INFO), QueryInfoRequest(info_type, info_class, 4096, 15, 0, file_id).pack())
        )
    made += [
        (int(command), b"\4\0\0\0")
        for command in (Command.ECHO, Command.CANCEL, Command.LOGOFF, Command.TREE_DISCONNECT)
    ]
    made.append((int(Command.TREE_CONNECT), TreeConnectRequest("\\\\s\\IPC$").pack()))
    made.append(
        (int(Command.SESSION_SETUP), SessionSetupRequest(security_buffer=b"NTLMSSP\0\1" + bytes(30)).pack())
    )
    return made


def _calibrate() -> float:
    """How many times slower than usual this machine is now; at least 1."""
    started = time.process_time()
    sum(number * number for number in range(160_000))
    return max(1.0, (time.process_time() - started) / 0.01)


def _name(rng: random.Random, length: int, letters: str) -> str:
    return "".join(rng.choice(letters) for _ in range(length))


def worst_cases(rng: random.Random, file_id: tuple[int, int]) -> list[tuple[int, bytes]]:
    """(command, body) of valid requests that cause as much work as 64 KiB can, one of each kind."""
    names = [f"user.{number}".encode() for number in range(4000)]
    eas = b"".join(struct.pack("<IB", 8 + len(name) & ~3, len(name)) + name + b"\0" * 3 for name in names)[:64000]
    eas = b"".join(struct.pack("<IBBH", 16, 0, 4, 1) + b"n%03d\0v\0\0" % (n % 1000) for n in range(4000))
    wild = _name(rng, rng.choice((60, 255, 30000)), '*?<>"a')
    aces = b"".join(
        struct.pack("<BBHI", n & 1, 0, 20, 1 << n % 20) + struct.pack(">BBHIL", 1, 1, 0, 5, n) for n in range(3000)
    )
    acl = struct.pack("<BBHHH", 2, 0, min(8 + len(aces), 65535), 3000, 0) + aces
    descriptor = struct.pack("<BBHIIII", 1, 0, 0x8004, 0, 0, 0, 20) + acl
    locks = [LockElement(n * 2, 1, 0x11) for n in range(2000)]
    chunks = struct.pack("<24sII", bytes(24), 2000, 0) + struct.pack("<QQII", 0, 0, 1, 0) * 2000
    deep = "\\".join(_name(rng, 1, "aAbB") for _ in range(2000))
    contexts = [CreateContext(b"%04d" % n, bytes(8)) for n in range(1500)]
    return [
        (int(Command.QUERY_INFO), QueryInfoRequest(1, 15, 60000, 0, 0, file_id, eas).pack()),
        (int(Command.SET_INFO), SetInfoRequest(1, 15, 0, file_id, eas[:64000]).pack()),
        (int(Command.SET_INFO), SetInfoRequest(3, 0, 4, file_id, descriptor[:64000]).pack()),
        (int(Command.QUERY_DIRECTORY), QueryDirectoryRequest(37, 1, 0, file_id, 60000, wild).pack()),
        (int(Command.LOCK), LockRequest(file_id, locks).pack()),
        (int(Command.IOCTL), IoctlRequest(0x001440F2, file_id, chunks, max_output_response=4096).pack()),
        (int(Command.IOCTL), IoctlRequest(0x000940CF, file_id, bytes(8) + b"\xff" * 7 + b"\x7f").pack()),
        (int(Command.CREATE), create_request(deep, create_disposition=1).pack()),
        (int(Command.CREATE), create_request("a", contexts=contexts).pack()),
        (int(Command.CHANGE_NOTIFY), ChangeNotifyRequest(1, 60000, file_id, 0xFFF).pack()),
        (int(Command.SESSION_SETUP), SessionSetupRequest(security_buffer=b"\x60\x82\xf0\x00" * 15000).pack()),
    ]


class Attacker:
    """Sends one malformed message after another, over as many connections as necessary."""

    def __init__(
        self, pair: Pair, rng: random.Random, dialects: Sequence[int] = (0x0202, 0x0210, 0x0302, 0x0311)
    ) -> None:
        self.pair, self.rng, self.dialects = pair, rng, dialects
        self.bodies = corpus()
        self.client = self.fresh()
        self.files: list[tuple[int, int]] = []
        self.sent: list[bytes] = []

    def fresh(self) -> Client:
        """A new connection in one of the states of a conversation."""
        self.files = []
        self.sent: list[bytes] = []
        client = self.pair.connect()
        if self.rng.randrange(8) == 0:
            return client
        client.negotiate((self.rng.choice(self.dialects),))
        if self.rng.randrange(6) == 0:
            return client
        client.log_on()
        client.connect_tree("share")
        self.files = [client.open("a"), client.open("a:s")]
        return client

    def round(self) -> float:
        """Send one hostile message, over a new connection if the old one has ended; the processor time it took."""
        if self.client.closed:
            self.client = self.fresh()
        actions: tuple[Callable[[], None], ...] = (
            self.request, self.request, self.request, self.request, self.chain, self.replay, self.junk, self.early,
            self.dear,
        )  # fmt: skip
        action = self.rng.choice(actions)
        started = time.process_time()
        try:
            action()
            self.client.pump()
        except Disconnected:
            return time.process_time() - started
        self.client.replies.clear()
        return time.process_time() - started

    def _message(self) -> bytes:
        rng, client = self.rng, self.client
        command, body = rng.choice(self.bodies)
        if self.files and rng.randrange(4):
            persistent, volatile = rng.choice((*self.files, ANY_FILE_ID))
            file_id = persistent.to_bytes(8, "little") + volatile.to_bytes(8, "little")
            at = {5: -1, 6: 8, 7: 8, 8: 16, 9: 16, 10: 8, 11: 8, 14: 8, 15: 8, 16: 24, 17: 16}.get(
                command, -1
            )
            if at > 0:
                body = body[:at] + file_id + body[at + 16 :]
        if rng.randrange(5):
            body = mutate(rng, body)
        element = Element(command, body, flags=rng.choice((0, 0, 0, 4, 8, 2, 1 << rng.randrange(32))))
        element.charge = rng.choice((1, 1, 1, 0, 2, 65535))
        message = client.element(element, client.next_id)
        client.next_id += max(1, element.charge if element.charge < 5 else 1)
        if rng.randrange(12) == 0:
            message = message[:4] + mutate(rng, message[4:64])[:60].ljust(60, b"\0") + message[64:]
        return message

    def _protect(self, message: bytes) -> bytes:
        session = self.client.session
        if session is None or session.keys is None or len(message) < 64:
            return message
        match self.rng.randrange(6):
            case 0 | 1 if self.client.cipher:
                message = session.keys.encrypt(session.id, message)
            case 2 | 3 | 4:
                message = session.keys.sign(message)
        if self.rng.randrange(15) == 0:
            message = mutate(self.rng, message)
        return message

    def _send(self, message: bytes) -> None:
        self.sent = [*self.sent[-_REPLAYS_MAX:], message]
        self.client.raw(message)

    def request(self) -> None:
        """A valid request with some bytes changed, protected in some way."""
        self._send(self._protect(self._message()))

    def dear(self) -> None:
        """A request that causes as much work as possible."""
        file_id = self.rng.choice(self.files) if self.files else ANY_FILE_ID
        command, body = self.rng.choice(worst_cases(self.rng, file_id))
        self.client.send(command, body)

    def chain(self) -> None:
        """Several requests in a compound that may be inconsistent."""
        parts = []
        for _ in range(self.rng.randrange(2, 6)):
            part = bytearray(self._message())
            part += bytes(-len(part) % 8)
            part[20:24] = (
                len(part) if self.rng.randrange(10) else self.rng.choice((0, 1, 64, 2**31))
            ).to_bytes(4, "little")
            parts.append(bytes(part))
        last = bytearray(parts[-1])
        last[20:24] = bytes(4)
        self._send(self._protect(b"".join([*parts[:-1], bytes(last)])))

    def replay(self) -> None:
        """An earlier message, perhaps truncated."""
        if self.sent:
            message = self.rng.choice(self.sent)
            self.client.raw(
                message[: self.rng.randrange(len(message) + 1)] if self.rng.randrange(2) else message
            )

    def junk(self) -> None:
        """Bytes that are not SMB, framed or not."""
        data = self.rng.choice((b"", b"\xfeSMB", b"\xfdSMB", b"\xffSMB", b"\xfcSMB")) + self.rng.randbytes(
            self.rng.randrange(200)
        )
        if self.rng.randrange(2):
            self.client.raw(data)
        else:
            self.client.wire(data)

    def early(self) -> None:
        """A mutated first message on a connection of its own."""
        self.client = self.pair.connect()
        self.files = []
        first = self.rng.choice((
            SMB1NegotiateRequest(["NT LM 0.12", "SMB 2.002", "SMB 2.???"]).pack(),
            self.client.element(self._negotiate(), 0),
        ))  # fmt: skip
        self._send(mutate(self.rng, first))

    def _negotiate(self) -> Element:
        return Element(int(Command.NEGOTIATE), negotiate_request((0x0202, 0x0311)).pack())


def run_one(seed: int, rounds: int, end: float, folder: Path) -> int:
    """Attack one server for *rounds* or until *end*; the number of rounds. Raises an error if the invariant is
    violated."""
    rng = random.Random(seed)
    failures = Failures()
    logger = logging.getLogger("frevo")
    logger.addHandler(failures)
    count = 0
    try:
        with Pair(folder, {"frevo:max pending async requests": "50"}) as pair:
            witness = pair.logged_on()
            file_id = witness.open("witness")
            witness.write(file_id, 0, b"undisturbed")
            attacker = Attacker(pair, rng)
            budget = _BUDGET_S * _calibrate()
            while count < rounds and time.monotonic() < end:
                spent = attacker.round()
                assert spent < budget, f"one message took {spent:.2f} s, {budget:.2f} s are allowed"
                count += 1
                if count % 20 == 0:
                    assert witness.read(file_id, 0, 20) == b"undisturbed"
                assert not failures.records, logging.Formatter().format(failures.records[0])
    finally:
        logger.removeHandler(failures)
    return count


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None, help="default: from the clock")
    chosen = parser.parse_args(arguments)
    seed = time.time_ns() % 2**32 if chosen.seed is None else chosen.seed
    end = time.monotonic() + chosen.seconds
    count = servers = 0
    while time.monotonic() < end:
        with tempfile.TemporaryDirectory() as folder:
            try:
                count += run_one(seed + servers, _ROUNDS_PER_SERVER, end, Path(folder))
            except BaseException:
                print(f"seed {seed + servers}: --seed {seed + servers} repeats it", file=sys.stderr)
                raise
        servers += 1
    print(f"{count} messages to {servers} servers, seed {seed}: no finding")
    return 0


if __name__ == "__main__":
    sys.exit(main())
