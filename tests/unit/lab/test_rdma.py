"""Two RDMA endpoints in memory: what they do for each other and refuse, and what faults and captures make of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pair.client import negotiate_request
from peers import programs

from frevo.lab.rdma import End, Ended, Faults, Place, Provider, RdmaPair, ReadDone, Received, SmbDirectPair
from frevo.transport.base import MESSAGE
from frevo.wire.smb2 import Command, Header

PROVIDERS: tuple[Provider, ...] = ("iwarp", "emulated")
DATA = bytes(range(256)) * 1000


def begun(pair: RdmaPair) -> RdmaPair:
    """The pair after what both say first, with receives."""
    for end in (pair.client, pair.server):
        end.post_receives(8, 4096)
    pair.run()
    assert pair.client.has_begun and pair.server.has_begun
    return pair


@pytest.mark.parametrize("provider", PROVIDERS)
def test_messages_writes_and_reads(provider: Provider) -> None:
    """Messages arrive in order and whole; an RDMA WRITE is there before the message behind it; a READ brings data."""
    pair = begun(RdmaPair(provider, seed=1))
    pair.client.send(b"one")
    pair.client.send(b"")
    place = pair.client.register(bytes(len(DATA)), "write")
    source = pair.client.register(DATA[::-1], "read")
    assert place[2] == source[2] == len(DATA) and pair.client.registered == 2
    pair.run()
    assert pair.server.take_events() == [Received(b"one"), Received(b"")]
    pair.server.write(DATA, place)
    work = pair.server.read(source)
    pair.server.send(b"done", invalidate=place[0])
    pair.run()
    assert pair.client.take_events() == [Received(b"done", place[0])]
    assert pair.server.take_events() == [ReadDone(work, DATA[::-1])]
    assert pair.client.registered == 1  # the other one was invalidated
    assert pair.client.release(place[0]) == DATA and pair.client.release(source[0]) == DATA[::-1]
    assert pair.client.release(place[0]) is None
    assert pair.client.moved == (len(DATA), len(DATA)) == pair.server.moved


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("offset", "size", "access", "released"),
    [(0, 101, "write", False), (1, 100, "write", False), (2**63, 1, "write", False), (0, 100, "read", False),
     (0, 100, "write", True)],
)  # fmt: skip
def test_what_is_not_allowed(provider: Provider, offset: int, size: int, access: str, released: bool) -> None:
    """Beyond the end, the wrong way round, with a tag that is closed: nothing is written, and both ends learn why."""
    pair = begun(RdmaPair(provider))
    place = pair.client.register(bytes(100), access)  # type: ignore[arg-type]
    if released:
        assert pair.client.release(place[0]) == bytes(100)
    pair.server.write(b"x" * size, (place[0], offset, size))
    pair.run()
    [refused], [told] = pair.client.take_events(), pair.server.take_events()
    assert isinstance(refused, Ended) and "writes where it may not" in refused.reason
    assert isinstance(told, Ended) and "the peer ends it" in told.reason
    if not released:
        assert pair.client.release(place[0]) == bytes(100)


def test_messages_without_a_receive() -> None:
    """A message that is longer than the receive, or for which there is none, ends the connection."""
    for count, size in ((1, 3), (0, 100)):
        pair = RdmaPair()
        pair.server.post_receives(count, size)
        pair.run()
        pair.client.send(b"four")
        pair.run()
        [event] = pair.server.take_events()
        assert isinstance(event, Ended), event


def everything(seed: int, faults: Faults, checksums: bool = False) -> tuple[list[object], list[object]]:
    """What both ends see of the same exchange with other faults."""
    pair = RdmaPair(seed=seed, up=faults, checksums=checksums)
    exchange(pair.client, pair.server)
    pair.run()
    return [*pair.client.take_events()], [*pair.server.take_events()]


def exchange(client: End, server: End) -> None:
    """Some of everything, said before anything has arrived."""
    for end in (client, server):
        end.post_receives(8, 4096)
    place: Place = client.register(bytes(len(DATA)), "write")
    source = server.register(DATA, "read")
    server.write(DATA, place)
    server.send(b"written", invalidate=place[0])
    client.read(source)
    client.send(b"last")


def test_splitting_and_holding_change_nothing() -> None:
    """A stream has no boundaries: the same is seen however its bytes arrive."""
    wanted = everything(1, Faults())
    assert len(wanted[0]) == 2 and len(wanted[1]) == 1
    for seed in range(5):
        found = everything(seed, Faults(split=997, hold=0.3))
        assert sorted(map(repr, found[0])) == sorted(map(repr, wanted[0])) and found[1] == wanted[1]


def test_flipped_bits_and_cuts() -> None:
    """With checksums, a flipped bit is never taken for data; what was cut is not there; a seed makes the same again."""
    for seed in range(20):
        found = everything(seed, Faults(split=1000, flip=0.01), checksums=True)
        assert found == everything(seed, Faults(split=1000, flip=0.01), checksums=True)
        for event in (*found[0], *found[1]):
            assert isinstance(event, Ended) or event in (
                ReadDone(1, DATA), Received(b"last"), Received(b"written", getattr(event, "invalidated", None))
            )  # fmt: skip
    client, server = everything(0, Faults(cut_after=5000))
    assert ReadDone(1, DATA) not in client and Received(b"last") in server
    assert everything(0, Faults(cut_after=10)) == ([], [])


@pytest.mark.parametrize(
    "wrong", [{"split": -1}, {"flip": 1.1}, {"hold": 1.0}, {"flip": -0.1}, {"cut_after": -1}]
)
def test_faults_out_of_range(wrong: dict[str, float]) -> None:
    """A fault that cannot be is refused, instead of being something else."""
    with pytest.raises(ValueError):
        Faults(**wrong)  # type: ignore[arg-type]


def test_wrong_arguments() -> None:
    """What the endpoints cannot do is a ValueError, not an end of the process."""
    with pytest.raises(ValueError, match="unknown provider"):
        RdmaPair("verbs")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="64 to 65500"):
        RdmaPair(segment_size=63)
    end = RdmaPair().client
    with pytest.raises(ValueError, match="5 bytes into room for 4"):
        end.write(b"12345", (1, 0, 2), (2, 0, 2))
    with pytest.raises(ValueError, match="unknown access"):
        end.register(b"", "both")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1024"):
        end.post_receives(5000, 10)


def request() -> bytes:
    """A NEGOTIATE."""
    return Header(command=Command.NEGOTIATE, credits=1).pack() + negotiate_request((0x0311,)).pack()


@pytest.mark.parametrize("provider", PROVIDERS)
def test_smb_direct(provider: Provider) -> None:
    """Messages of SMB2 arrive whole, in fragments if need be, and two credits suffice."""
    pair = SmbDirectPair(provider, receive_size=1024, credits=2, up=Faults(split=50))
    pair.request(request())
    pair.run()
    [event] = pair.server_events
    assert event[0] == MESSAGE and bytes(event[4]) == request()
    answer = Header(command=Command.NEGOTIATE, credits=1, flags=1).pack() + bytes(100_000)
    pair.respond(answer)
    pair.run()
    [event] = pair.client_events
    assert event[0] == MESSAGE and len(event[4]) == len(answer) and bytes(event[4])[64:] == bytes(100_000)


def test_tshark_dissects_captures(tmp_path: Path) -> None:
    """MPA, DDP, RDMAP, SMB Direct and SMB2 are seen, every checksum is right and nothing is malformed."""
    path = tmp_path / "smb.pcap"
    with SmbDirectPair(capture=path, checksums=True) as pair:
        pair.request(request())
        pair.run()
        assert len(pair.server_events) == 1
    seen = dissected(path, "frame.protocols")
    for protocol in ("iwarp_mpa", "iwarp_ddp_rdmap", "smb_direct", "smb2"):
        assert any(f":{protocol}" in line for line in seen), seen
    path = tmp_path / "rdma.pcap"
    with RdmaPair(capture=path, checksums=True, seed=3) as rdma:
        exchange(rdma.client, rdma.server)
        rdma.run()
    assert {"0x00", "0x01", "0x02", "0x03", "0x04"} == set(dissected(path, "iwarp_rdma.opcode"))


def dissected(path: Path, field: str) -> list[str]:
    """The values of a field in every packet; nothing is malformed."""
    # 5445 is Artemis' port for it, and text is no RPC over RDMA, either.
    heuristics = ("-o", "tcp.try_heuristic_first:TRUE", "--disable-protocol", "rpcordma")
    command = [programs.need("tshark"), "-n", "-r", str(path), *heuristics]
    bad = "_ws.malformed || _ws.expert.severity == error"
    environment = {"LC_ALL": "C.UTF-8"}
    assert lines(programs.run([*command, "-Y", bad], env=environment).ok()) == []
    output = programs.run([*command, "-T", "fields", "-E", "occurrence=a", "-e", field], env=environment).ok()
    return [value for line in lines(output) for value in line.split(",")]


def lines(output: str) -> list[str]:
    """Without what tshark says about root."""
    return [line for line in output.splitlines() if line and not line.startswith("Running as user")]
