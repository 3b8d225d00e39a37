"""The client logs on with a Kerberos ticket from a KDC that the test starts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from peers import programs, transports
from peers.kdc import KDC, kdc
from peers.target import PASSWORD, USER, Serve, Target

import frevo
from frevo.client import LogonError

HOST = "filer.frevo.test"

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KDC]:
    for program in ("krb5kdc", "kdb5_util", "kadmin.local", "kinit"):
        programs.need(program)
    with kdc(tmp_path_factory.mktemp("kdc")) as running:
        running.add_user(USER, PASSWORD)
        running.add_service(f"cifs/{HOST}")
        yield running


@pytest.fixture
def target(realm: KDC, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Target:
    pytest.importorskip("gssapi")
    for name, value in realm.environment.items():
        monkeypatch.setenv(name, value)
    served = serve({"dedicated keytab file": str(realm.keytab), "kerberos method": "dedicated keytab"})
    return served.over_quic() if transports.over_quic() else served


def at(target: Target) -> dict[str, Any]:
    """Options to reach the target, which the realm knows by another name than its certificate."""
    return {"address": target.host, "tls_server_name": "localhost" if transports.over_quic() else None}


@pytest.mark.parametrize("dialect", ["SMB2_10", "SMB3_00", "SMB3_11"])
@pytest.mark.parametrize("encryption", [False, True])
async def test_ticket(realm: KDC, target: Target, dialect: str, encryption: bool) -> None:
    """Goal: the ticket's key signs and encrypts in each dialect. Method: write and read a file."""
    if encryption and dialect < "SMB3":
        pytest.skip("no encryption before 3.0")
    realm.login(USER, PASSWORD)
    url = f"{target.scheme}://{HOST}:{target.port}/share"
    async with frevo.connect(url, **at(target), maximum=dialect, encryption=encryption) as share:
        await share.write_bytes("kerberos", b"ticket" * 20_000)
        assert await share.read_bytes("kerberos") == b"ticket" * 20_000
        await share.remove("kerberos")


async def test_no_ticket(realm: KDC, target: Target) -> None:
    """Goal: without a ticket the error says what to do. Method: empty the cache."""
    (realm.base / "ccache").unlink(missing_ok=True)
    with pytest.raises(LogonError, match="kinit"):
        await frevo.connect(f"{target.scheme}://{HOST}:{target.port}/share", **at(target), kerberos="required")
