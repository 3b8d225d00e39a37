"""The data plane on an event loop: batches in, submissions out in order, listeners, shutdown."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from pathlib import Path

import pytest
from peers.plane import ECHO, HEADER, SERVER_TO_REDIR, SESSION, SIGNED, packet, session_keys

from frevo._native import QuicClientTls
from frevo.aio.features import DATA_PLANE_VARIABLE, choose_data_plane
from frevo.transport.base import ACCEPTED, CLOSED, MESSAGE, Event
from frevo.transport.dataplane import DataPlaneTransport
from frevo.transport.quic import client_socket
from frevo.transport.tcp import bind_listeners


async def receive(reader: asyncio.StreamReader) -> bytes:
    size = struct.unpack(">I", await reader.readexactly(4))[0]
    return await reader.readexactly(size)


async def test_choice_of_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: the environment says what `auto` is, and nothing else. Method: each value with and without it."""

    def engine(wish: str) -> str:
        transport = DataPlaneTransport(asyncio.get_running_loop(), threads=1, engine=wish)
        try:
            return transport.engine
        finally:
            transport.shutdown()

    monkeypatch.delenv(DATA_PLANE_VARIABLE, raising=False)
    usual = engine("auto")
    monkeypatch.setenv(DATA_PLANE_VARIABLE, "epoll")
    assert (engine("auto"), engine("epoll"), choose_data_plane()[0]) == ("epoll",) * 3
    assert engine(usual) == usual
    monkeypatch.setenv(DATA_PLANE_VARIABLE, "auto")
    assert engine("auto") == usual
    monkeypatch.setenv(DATA_PLANE_VARIABLE, "magic")
    with pytest.raises(OSError, match="magic"):
        engine("auto")


async def test_submissions_and_commands_keep_their_order() -> None:
    """Keys set between two submissions of one turn protect the second only; CLOSED is the last event."""
    loop = asyncio.get_running_loop()
    transport = DataPlaneTransport(loop, threads=1)
    events: list[Event] = []
    closed = asyncio.Event()

    def on_events(batch: list[Event]) -> None:
        events.extend(batch)
        for event in batch:
            if event[0] == CLOSED:
                closed.set()
            if event[0] == MESSAGE and event[4][24] == 0:
                transport.submit(event[1], 0, 0, packet(0, 0, flags=SERVER_TO_REDIR, credits=4))
            elif event[0] == MESSAGE and event[4][24] == 3:
                answers = (
                    packet(0, number, flags=SERVER_TO_REDIR | SIGNED, session=SESSION) for number in (1, 2, 3)
                )
                transport.submit(event[1], SESSION, 0, next(answers))
                transport.set_session(event[1], SESSION, session_keys())
                transport.submit(event[1], SESSION, 0, next(answers))
                transport.drop_session(event[1], SESSION)
                transport.submit(event[1], SESSION, 0, next(answers))
                transport.close(event[1])

    try:
        transport.start(on_events)
        [listener] = bind_listeners(["127.0.0.1"], 0)
        port = listener.getsockname()[1]
        number = transport.listen(listener, "tcp")
        assert listener.fileno() == -1
        assert transport.listener_name(number) == "tcp"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(struct.pack(">I", 80) + packet(0, 0))
        assert (await receive(reader))[14] == 4
        writer.write(b"".join(struct.pack(">I", 80) + packet(0, number) for number in (1, 2, 3)))
        client = session_keys(b"c" * 16, b"s" * 16)
        assert [client.verify(await receive(reader)) for _ in range(3)] == [False, True, False]
        assert await reader.read() == b""
        writer.close()
        await closed.wait()
        assert [event[0] for event in events] == [ACCEPTED, *[MESSAGE] * 4, CLOSED]
        transport.close_listeners()
        while True:
            try:
                _, again = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                break
            except ConnectionResetError:
                continue  # it came while the listener was being closed
            again.close()
            await asyncio.sleep(0)
        assert transport.statistics()["submitted"] == 4
    finally:
        transport.shutdown()
        transport.shutdown()


async def test_a_submission_outside_a_batch_goes_with_the_turn() -> None:
    """What a task submits later reaches the client without another event."""
    loop = asyncio.get_running_loop()
    transport = DataPlaneTransport(loop, threads=1)
    accepted: asyncio.Future[int] = loop.create_future()
    transport.start(lambda batch: [accepted.set_result(e[1]) for e in batch if e[0] == ACCEPTED] and None)
    try:
        [listener] = bind_listeners(["127.0.0.1"], 0)
        port = listener.getsockname()[1]
        transport.listen(listener, "tcp")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        connection = await accepted
        for message_id in range(3):
            transport.submit(connection, 0, 0, packet(ECHO, message_id, flags=SERVER_TO_REDIR))
        assert [HEADER.unpack(m[:64])[8] for m in [await receive(reader) for _ in range(3)]] == [0, 1, 2]
        writer.close()
    finally:
        transport.shutdown()


@pytest.mark.parametrize(("keepalive", "timers"), [(60, range(1, 61)), (0, None)])
async def test_silent_clients_are_probed(keepalive: int, timers: range | None) -> None:
    """An accepted connection has the keepalive of its listener: checked by the kernel's timer of the server's end."""
    loop = asyncio.get_running_loop()
    transport = DataPlaneTransport(loop, threads=1)
    accepted: asyncio.Future[int] = loop.create_future()
    transport.start(lambda batch: [accepted.set_result(e[1]) for e in batch if e[0] == ACCEPTED] and None)
    try:
        [listener] = bind_listeners(["127.0.0.1"], 0, keepalive)
        port = listener.getsockname()[1]
        transport.listen(listener, "tcp")
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        await accepted
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
        here, there = (f"0100007F:{number:04X}" for number in (port, writer.get_extra_info("sockname")[1]))
        [timer] = [fields[5] for fields in lines if fields[1:3] == [here, there]]
        kind, _, ticks = timer.partition(":")
        if timers is None:
            assert kind == "00"
        else:
            assert kind == "02"
            assert -(-int(ticks, 16) // os.sysconf("SC_CLK_TCK")) in timers
        writer.close()
    finally:
        transport.shutdown()


def test_listeners_share_a_port_and_name_what_fails() -> None:
    """One port for both families; a port in use is an OSError with the address, and nothing stays open."""
    listeners = bind_listeners(["127.0.0.1", "::1"], 0)
    ports = {listener.getsockname()[1] for listener in listeners}
    assert len(ports) == 1
    with pytest.raises(OSError, match="in use") as error:
        bind_listeners(["127.0.0.2", "127.0.0.1"], ports.pop())
    assert error.value.filename.startswith("127.0.0.1:")
    for listener in listeners:
        listener.close()
    with pytest.raises(OSError) as resolve:
        bind_listeners(["no such host"], 0)
    assert isinstance(resolve.value.filename, str)
    assert socket.has_ipv6


async def test_addresses_to_call_over_quic() -> None:
    """Numeric ones, that of a link with the number of its interface; names are looked up elsewhere."""
    transport = DataPlaneTransport(asyncio.get_running_loop(), threads=1, role="client")
    tls = QuicClientTls("nas.example", fingerprint=bytes(32))
    try:
        for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6), ("fe80::1%1", socket.AF_INET6)):
            with client_socket(family) as udp:
                assert transport.connect_quic(udp, host, 9, tls) > 0
        with client_socket(socket.AF_INET6) as udp:
            for wrong in ("nas.example", "fe80::1%lo", "127.0.0.1%1", "", "::1]:1"):
                with pytest.raises(ValueError, match="is not a numeric address"):
                    transport.connect_quic(udp, wrong, 9, tls)
    finally:
        transport.shutdown()
