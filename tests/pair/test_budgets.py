"""What one user may take over the pair: never everything, so that others can continue."""

from __future__ import annotations

from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import ChangeNotifyRequest, Command
from pair.client import Client
from pair.conftest import MakePair
from pair.file_calls import folder
from pair.machine import OTHER_PASSWORD, OTHER_USER, Pair


def somebody_else(pair: Pair, share: str = "share") -> Client:
    client = pair.connect()
    client.negotiate()
    client.log_on(OTHER_USER, OTHER_PASSWORD)
    client.connect_tree(share)
    return client


def watch(client: Client) -> bool:
    """Starts a watch; false if it is refused."""
    body = ChangeNotifyRequest(0, 4096, folder(client), 0xFFF).pack()
    status = client.answers(client.send(Command.CHANGE_NOTIFY, body))[-1].status
    assert status in (NTStatus.PENDING, NTStatus.INSUFFICIENT_RESOURCES)
    return status == NTStatus.PENDING


def test_watches(make_pair: MakePair) -> None:
    """Goal: one user gets half of the watches, the next half of the rest, and what is closed is free again.
    Method: eight in all."""
    pair = make_pair({"frevo:max watches": "8"})
    one, other = pair.logged_on(), somebody_else(pair)
    assert [watch(one) for _ in range(6)] == [True] * 4 + [False] * 2
    assert [watch(other) for _ in range(3)] == [True] * 2 + [False]
    one.disconnect()
    pair.turn()
    assert watch(other)


def test_pipes(make_pair: MakePair) -> None:
    """Goal: the same for pipes. Method: eight in all."""
    pair = make_pair({"frevo:max pipes": "8"})
    one, other = pair.logged_on(), somebody_else(pair, "IPC$")
    one.connect_tree("IPC$")
    refused = NTStatus.INSUFFICIENT_RESOURCES
    assert [one.create("srvsvc").status for _ in range(6)] == [NTStatus.SUCCESS] * 4 + [refused] * 2
    assert other.create("srvsvc").status == NTStatus.SUCCESS


def test_waiting_requests(make_pair: MakePair) -> None:
    """Goal: the same for requests that wait. Method: eight in all."""
    pair = make_pair({"frevo:max waiting requests": "8"})
    one, other = pair.logged_on(), somebody_else(pair)
    assert [watch(one) for _ in range(6)] == [True] * 4 + [False] * 2
    assert watch(other)
