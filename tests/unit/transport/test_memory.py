"""Both ends of a connection in memory: the same rules as behind a socket, without one."""

from __future__ import annotations

import tempfile

from peers.plane import FILE_ID, SERVER_TO_REDIR, SESSION, SIGNED, TREE, packet, read_request, session_keys

from frevo.transport.base import (
    ACCEPTED,
    CLOSED,
    ENCRYPT,
    MESSAGE,
    AttachedOpen,
    ConnectionSettings,
    Event,
    Gate,
    SessionOpens,
)
from frevo.transport.memory import MemoryTransport


def start() -> tuple[MemoryTransport, list[Event]]:
    transport, events = MemoryTransport(), list[Event]()
    transport.start(events.extend)
    return transport, events


def test_a_request_and_its_answer() -> None:
    """The client's message is an event at the server; the encrypted response is a message at the client."""
    transport, events = start()
    link = transport.connect()
    link.submit(0, 0, packet(0, 0))
    assert [event[0] for event in events] == [ACCEPTED, MESSAGE]
    transport.set_session(link.number, SESSION, session_keys())
    link.client.set_session(SESSION, session_keys(b"c" * 16, b"s" * 16))
    answer = packet(0, 0, flags=SERVER_TO_REDIR, session=SESSION)
    transport.submit(link.number, SESSION, ENCRYPT, answer)
    [message] = link.messages()
    assert (message[2], message[3], message[4]) == (SESSION, 1, answer)
    link.submit(SESSION, 0, packet(1, 1, flags=SIGNED, session=SESSION))
    assert events[-1][5:] == (0, 0)


def test_the_fast_path_works_in_memory() -> None:
    """A READ of an attached file is answered without an event."""
    transport, events = start()
    link = transport.connect()
    link.submit(0, 0, packet(0, 0))
    opens = SessionOpens()
    transport.set_session(link.number, SESSION, session_keys(), opens)
    transport.set_connection(
        link.number, ConnectionSettings(authenticated=True, max_read=65536, multi_credit=True)
    )
    transport.submit(link.number, 0, 0, packet(0, 0, flags=SERVER_TO_REDIR, credits=8))
    with tempfile.TemporaryFile() as file:
        file.write(b"0123456789")
        file.flush()
        opens.attach(AttachedOpen(tree_id=TREE, file_id=FILE_ID, fd=file.fileno(), gate=Gate()))
    link.messages()
    events.clear()
    link.submit(0, 0, read_request(1, 2, 3))
    [message] = link.messages()
    assert message[4][80:] == b"234"
    assert not events
    assert transport.statistics()["fast_reads"] == 1


def test_garbage_and_close_end_a_connection() -> None:
    """CLOSED comes once; later submissions go nowhere."""
    transport, events = start()
    link = transport.connect()
    link.send(b"\1\2\3\4")
    link.send(b"more")
    assert [event[0] for event in events] == [ACCEPTED, CLOSED]
    assert link.closed
    transport.submit(link.number, 0, 0, packet(0, 0))
    assert link.receive() == b""
    events.clear()
    second = transport.connect()
    transport.close(second.number)
    second.send(b"")
    assert [event[0] for event in events] == [ACCEPTED, CLOSED]
