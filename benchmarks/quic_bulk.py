"""Bytes over one QUIC stream of a stack that is not ours, to compare with: a server and a client, a process each.

    python -m benchmarks.quic_bulk STACK server ADDRESS DATAGRAM CERTIFICATE KEY             prints its port
    python -m benchmarks.quic_bulk STACK client ADDRESS DATAGRAM PORT UP DOWN DEPTH SECONDS  prints a line of JSON

DATAGRAM is the payload of one, in bytes. A request is its two lengths and UP bytes, the answer DOWN bytes; DEPTH
requests are in flight. That is what READ, WRITE and ECHO move, without SMB. Both ends use the stack as its own
documentation shows, with large windows.
"""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Any

from peers.certificates import Identity
from peers.quic_stacks import client_configuration, part, protocol_class, server_configuration

_LENGTHS = struct.Struct(">II")


class _Requests:
    """The server's side of one stream."""

    def __init__(self, protocol: Any, stream_id: int) -> None:
        self._protocol, self._stream_id = protocol, stream_id
        self._input = bytearray()
        self._wanted = 0  # bytes of the request that begins the input, 0 until its lengths are there
        self._answer = b""

    def take(self, data: bytes) -> None:
        self._input += data
        while len(self._input) >= max(self._wanted, _LENGTHS.size):
            if not self._wanted:
                up, down = _LENGTHS.unpack_from(self._input)
                self._wanted = _LENGTHS.size + up
                if len(self._answer) != down:
                    self._answer = bytes(down)
                continue
            del self._input[: self._wanted]
            self._wanted = 0
            self._protocol._quic.send_stream_data(self._stream_id, self._answer)


async def serve(stack: str, address: str, datagram: str, certificate: str, key: str) -> None:
    """Serves until SIGTERM."""
    streams: dict[Any, _Requests] = {}

    def on_event(protocol: Any, name: str, event: Any) -> None:
        if name == "StreamDataReceived":
            if protocol not in streams:
                streams[protocol] = _Requests(protocol, event.stream_id)
            streams[protocol].take(event.data)
        elif name == "ConnectionTerminated":
            streams.pop(protocol, None)

    identity = Identity(Path(certificate), Path(key))
    configuration = server_configuration(stack, identity, max_datagram_size=int(datagram))
    server = await part(stack, "asyncio.server").serve(
        address, 0, configuration=configuration, create_protocol=protocol_class(stack, on_event)
    )
    print(server._transport.get_extra_info("sockname")[1], flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    server.close()


async def load(
    stack: str, address: str, numbers: tuple[int, int, int, int, int], seconds: float
) -> dict[str, float]:
    """Keeps *depth* requests in flight for *seconds*; the figures of the client."""
    datagram, port, up, down, depth = numbers
    left = down  # of the answer that is coming
    answered = 0
    ready, stop = asyncio.Event(), asyncio.Event()
    request = _LENGTHS.pack(up, down) + bytes(up)

    def on_event(protocol: Any, name: str, event: Any) -> None:
        nonlocal left, answered
        if name == "HandshakeCompleted":
            ready.set()
        elif name == "ConnectionTerminated":
            stop.set()
        elif name == "StreamDataReceived":
            left -= len(event.data)
            while left <= 0:
                left += down
                answered += 1
                if not stop.is_set():
                    protocol._quic.send_stream_data(event.stream_id, request)

    configuration = client_configuration(stack, None, max_datagram_size=datagram)
    async with part(stack, "asyncio.client").connect(
        address,
        port,
        configuration=configuration,
        create_protocol=protocol_class(stack, on_event),
        wait_connected=False,
    ) as protocol:
        protocol.transmit()
        await ready.wait()
        stream = protocol._quic.get_next_available_stream_id()
        before, begun = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
        protocol._quic.send_stream_data(stream, request * depth)
        protocol.transmit()
        await asyncio.sleep(seconds)
        done, took = answered, time.monotonic() - begun
        after = resource.getrusage(resource.RUSAGE_SELF)
        failed = stop.is_set()
        stop.set()
    if failed or not done:
        raise SystemExit(f"{stack}: the connection ended, or nothing was answered")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"operations": done, "seconds": took, "client_s": used}


def main(arguments: list[str]) -> None:
    """Runs one of the two."""
    stack, role, address, *rest = arguments
    if role == "server":
        asyncio.run(serve(stack, address, *rest))
        return
    datagram, port, up, down, depth = map(int, rest[:5])
    numbers = (datagram, port, up, down, depth)
    print(json.dumps(asyncio.run(load(stack, address, numbers, float(rest[5])))))


if __name__ == "__main__":
    main(sys.argv[1:])
