"""A client that ends connections in the middle of everything, and cancels what waits."""

from __future__ import annotations

import time
from collections.abc import Callable

from integration.live import Live, SocketLink
from pair.client import Client, Disconnected, Element

from benchmarks.soak.client import Ended, Post
from benchmarks.soak.ledger import Ledger, note_fault
from benchmarks.soak.storage import file_name
from benchmarks.soak.words import BLOCK
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    CancelRequest,
    ChangeNotifyRequest,
    Command,
    CreateOptions,
    LockElement,
    LockRequest,
    ReadRequest,
    WriteRequest,
)

_MIB = 1 << 20
#: What it writes to has no contents to check.
SCRATCH = "scratch"
_REST_S = 0.05
#: Beyond the contents of every file; a lock there keeps the data plane from answering for the whole file.
_FAR = 1 << 40
_EXCLUSIVE, _UNLOCK = 2, 4
_SMALL_SEGMENTS = 64 << 10


class Rough:
    """What it does with one connection after the other."""

    def __init__(self, post: Post) -> None:
        self.post, self.rng = post, post.rng
        self.ledger: Ledger = post.ledger()

    def run(self) -> None:
        """Until the round is over."""
        ended = Ended(self.ledger)
        acts: tuple[Callable[[Client], None], ...] = (
            self.reset_in_reads, self.reset_in_a_write, self.reset_with_locks, self.cancel_a_watch, self.cancel_a_lock,
            self.cancel_reads, self.hold_for_a_while, self.leave_a_file, self.half_a_header,
        )  # fmt: skip
        while not ended():
            act = self.rng.choice(acts)
            try:
                with Live(self.post.host, self.post.port) as live:
                    client = live.logged_on()
                    session = client.session
                    assert session is not None
                    session.sign, session.encrypt = self.rng.choice(
                        ((True, False), (False, True), (False, False))
                    )
                    act(client)
            except (AssertionError, Disconnected, OSError) as error:
                note_fault(self.post.folder, "the rough client", f"{act.__name__}: {error!r}")
                time.sleep(1)
            time.sleep(_REST_S)

    def _open(self, client: Client) -> tuple[int, int]:
        return client.open(file_name(self.rng.randrange(self.post.shape.files)))

    def _reset(self, client: Client) -> None:
        link = client.link
        assert isinstance(link, SocketLink)
        link.reset()
        self.ledger.count(self.post.member, "resets")

    def _reads(self, client: Client, file: tuple[int, int]) -> list[int]:
        """READs of all sizes, not awaited."""
        found: list[int] = []
        last = self.post.shape.blocks * BLOCK
        while client.granted > client.next_id and len(found) < 8:
            size = BLOCK << self.rng.randrange(12)
            charge = max(1, size // 65536)
            if client.next_id + charge > client.granted:
                size, charge = BLOCK, 1
            body = ReadRequest(file, self.rng.randrange(last // BLOCK) * BLOCK, size).pack()
            found.append(client.send(Command.READ, body, charge=charge, credits=256))
        return found

    def reset_in_reads(self, client: Client) -> None:
        """An RST while responses are on their way; some have been received."""
        file = self._open(client)
        client.echo(credits=512)
        self._reads(client, file)
        for _ in range(self.rng.randrange(6)):
            client.pump()
        self._reset(client)

    def reset_in_a_write(self, client: Client) -> None:
        """An RST in the middle of a WRITE's data."""
        file = client.open(SCRATCH)
        client.echo(credits=512)
        size = self.rng.randrange(1, 4 * _MIB)
        body = WriteRequest(file, self.rng.randrange(_MIB), bytes(size)).pack()
        message = client.element(
            Element(Command.WRITE, body, charge=max(1, -(-size // 65536))), client.next_id
        )
        if client.session is not None and client.session.encrypt and client.session.keys is not None:
            message = client.session.keys.encrypt(client.session.id, message)
        whole = len(message).to_bytes(4, "big") + message
        client.link.send(whole[: self.rng.randrange(len(whole))])
        if self.rng.randrange(2):
            time.sleep(self.rng.random() * 0.05)
        self._reset(client)

    def half_a_header(self, client: Client) -> None:
        """The beginning of a message, and the end of the connection, with FIN."""
        client.link.send((4096).to_bytes(4, "big") + b"\xfeSMB"[: self.rng.randrange(5)])

    def reset_with_locks(self, client: Client) -> None:
        """Byte-range locks that nobody gives back."""
        file = self._open(client)
        self._lock(client, file, _FAR + self.rng.randrange(100), _EXCLUSIVE)
        self._reads(client, file)
        self._reset(client)

    def hold_for_a_while(self, client: Client) -> None:
        """A lock keeps the data plane off a file that others read and write."""
        file = self._open(client)
        at = _FAR + 1000 + self.rng.randrange(100)
        self._lock(client, file, at, _EXCLUSIVE)
        time.sleep(self.rng.random() * 0.1)
        self._lock(client, file, at, _UNLOCK)
        for message_id in self._reads(client, file):
            client.wait(message_id)
        client.close(file)

    def _lock(self, client: Client, file: tuple[int, int], at: int, flags: int) -> None:
        body = LockRequest(file, [LockElement(at, 1, flags | 0x10 * (flags != _UNLOCK))]).pack()
        reply = client.call(Command.LOCK, body)
        assert reply.status in (NTStatus.SUCCESS, NTStatus.LOCK_NOT_GRANTED), reply.status.name

    def _cancelled(self, client: Client, message_id: int) -> None:
        """Cancels a request that waits; its response must come."""
        deadline = time.monotonic() + 10
        while not (interim := client.answers(message_id)):
            assert time.monotonic() < deadline, "no interim response"
            time.sleep(0.001)
        assert interim[0].status == NTStatus.PENDING, interim[0].status.name
        client.send(Command.CANCEL, CancelRequest().pack(), message_id=message_id)
        reply = client.wait(message_id)
        assert reply.status == NTStatus.CANCELLED, reply.status.name
        self.ledger.count(self.post.member, "cancels")

    def cancel_a_watch(self, client: Client) -> None:
        """CHANGE_NOTIFY of a folder where nothing happens."""
        folder = client.open("quiet", create_options=int(CreateOptions.DIRECTORY_FILE))
        self._cancelled(
            client, client.send(Command.CHANGE_NOTIFY, ChangeNotifyRequest(0, 4096, folder, 0x17).pack())
        )
        client.close(folder)

    def cancel_a_lock(self, client: Client) -> None:
        """A LOCK that waits for another one."""
        name = file_name(self.rng.randrange(self.post.shape.files))
        first, second = client.open(name), client.open(name)
        at = _FAR + 2000 + self.rng.randrange(10**6)
        self._lock(client, first, at, _EXCLUSIVE)
        body = LockRequest(second, [LockElement(at, 1, _EXCLUSIVE)]).pack()
        self._cancelled(client, client.send(Command.LOCK, body))
        client.close(second)
        client.close(first)

    def cancel_reads(self, client: Client) -> None:
        """CANCEL of READs that are being answered: either way, each has one response."""
        file = self._open(client)
        client.echo(credits=512)
        for message_id in self._reads(client, file):
            client.send(Command.CANCEL, CancelRequest().pack(), message_id=message_id)
            reply = client.wait(message_id)
            assert reply.status in (NTStatus.SUCCESS, NTStatus.CANCELLED, NTStatus.END_OF_FILE), (
                reply.status.name
            )
        self.ledger.count(self.post.member, "cancels")
        client.close(file)

    def leave_a_file(self, client: Client) -> None:
        """A file to be deleted on close, and nobody closes it."""
        name = f"left {self.rng.randrange(10**9)}"
        file = client.open(name, create_options=int(CreateOptions.DELETE_ON_CLOSE))
        client.write(file, 0, bytes(self.rng.randrange(1, _SMALL_SEGMENTS)))
        self._reset(client)


def run(post: Post) -> None:
    """Until the round is over."""
    Rough(post).run()
