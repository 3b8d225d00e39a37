"""One process of the load generator: connects, prints "ready", waits for a line, generates the load, prints the result.

Started by loadgen.py: `python -m benchmarks.load JSON`, JSON being a LoadSpec.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass

from benchmarks import conversation, pipeline
from benchmarks.client import Client
from frevo.auth.ntlm_initiator import NTLMCredentials

_PATH = "bench-open"
_OPEN_IF, _ANY_ACCESS = 3, 0x00120089


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """The load of one process. `depth` is the number of requests in flight per connection."""

    port: int
    workload: str  # echo, read, open, session, idle
    connections: int
    depth: int = 1
    size: int = 0
    protection: str = "signed"  # plain where a server allows it, signed, encrypted
    seconds: float = 2.0
    host: str = "127.0.0.1"
    share: str = "share"
    user: str = ""
    password: str = ""
    domain: str = ""

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def _connect(spec: LoadSpec, credentials: NTLMCredentials) -> Client:
    client = Client(spec.host, spec.port, spec.protection)
    client.negotiate()
    if spec.workload != "session":
        client.log_on(credentials)
        client.connect_tree(spec.share)
    return client


def prepare(spec: LoadSpec) -> Callable[[], tuple[int, float]]:
    """Does everything that is not measured; the returned function generates the load and returns (responses,
    seconds)."""
    credentials = NTLMCredentials(spec.user, spec.password, spec.domain)
    clients = [_connect(spec, credentials) for _ in range(spec.connections)]
    if spec.workload == "echo":
        streams = [pipeline.echo_stream(client, spec.depth) for client in clients]
        return lambda: pipeline.drive(streams, spec.seconds)
    if spec.workload == "read":
        streams = [
            pipeline.read_stream(client, spec.depth, spec.size, f"bench-{uuid.uuid4().hex}")
            for client in clients
        ]
        return lambda: pipeline.drive(streams, spec.seconds)
    if spec.workload == "open":
        for client in clients:
            client.create(_PATH, access=_ANY_ACCESS, disposition=_OPEN_IF, options=0x40, share=7)
    elif spec.workload == "idle":
        return lambda: (len(clients), 0.0)
    return lambda: conversation.drive([_talk(spec, client, credentials) for client in clients], spec.seconds)


def _talk(spec: LoadSpec, client: Client, credentials: NTLMCredentials) -> Callable[[], conversation.Talk]:
    def conversations() -> list[conversation.Conversation]:
        if spec.workload == "open":
            return [conversation.open_close(client, _PATH) for _ in range(spec.depth)]
        return [conversation.log_on_off(client, credentials) for _ in range(spec.depth)]

    return lambda: conversation.Talk(client, conversations())


def main(arguments: list[str]) -> int:
    run = prepare(LoadSpec(**json.loads(arguments[0])))
    print("ready", flush=True)
    if not sys.stdin.readline():
        return 1
    before = resource.getrusage(resource.RUSAGE_SELF)
    responses, seconds = run()
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"responses": responses, "seconds": seconds, "cpu": cpu}), flush=True)
    sys.stdin.readline()
    os._exit(0)  # closes every socket at once


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
