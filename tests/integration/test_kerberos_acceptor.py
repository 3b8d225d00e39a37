"""The Kerberos acceptor against tickets of a real KDC, which the test starts on loopback."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peers import programs
from peers.kdc import KDC, REALM, kdc

from frevo.auth.accounts import AccountStore
from frevo.auth.authenticator import Authenticator, filetime_now
from frevo.auth.identity import AuthSettings, StepResult
from frevo.auth.kerberos import KerberosError, account_of
from frevo.auth.spnego_tokens import OID_KRB5, OID_MS_KRB5
from frevo.errors import SMBError
from frevo.wire.erref import NTStatus

OID_KRB5_TEXT = "1.2.840.113554.1.2.2"
OID_SPNEGO_TEXT = "1.3.6.1.5.5.2"
SERVICE = "cifs/filer.frevo.test"


def load_gssapi() -> Any:
    try:
        importlib.import_module("gssapi.raw")
        return importlib.import_module("gssapi")
    except ImportError:
        programs.missing("Python's gssapi is missing: apt-get install libkrb5-dev, pip install gssapi")


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KDC]:
    """A KDC with alice (who has an account), bob (who has none), the service and a foreign service."""
    for program in ("krb5kdc", "kdb5_util", "kadmin.local", "kinit"):
        programs.need(program)
    with kdc(tmp_path_factory.mktemp("kdc")) as running:
        running.add_user("alice", "Secret1")
        running.add_user("bob", "Secret1")
        running.add_service(SERVICE)
        running.command("kadmin.local", "-q", "addprinc -randkey cifs/other.frevo.test")
        yield running


@pytest.fixture
def environment(realm: KDC, monkeypatch: pytest.MonkeyPatch) -> KDC:
    """This process uses the test's KDC."""
    for name, value in realm.environment.items():
        monkeypatch.setenv(name, value)
    return realm


@pytest.fixture
def authenticator(environment: KDC, tmp_path: Path) -> Authenticator:
    load_gssapi()
    store = AccountStore(tmp_path / "private")
    store.add("Alice", "unused")
    return Authenticator(store, AuthSettings(keytab=str(environment.keytab)))


def client_context(mechanism: str, service: str = SERVICE) -> Any:
    gssapi = load_gssapi()
    name = gssapi.Name(service + "@" + REALM, gssapi.NameType.kerberos_principal)
    return gssapi.SecurityContext(
        name=name,
        usage="initiate",
        mech=gssapi.OID.from_int_seq(mechanism),
        flags=gssapi.RequirementFlag.mutual_authentication | gssapi.RequirementFlag.integrity,
    )


def log_on(authenticator: Authenticator, context: Any) -> StepResult:
    """Exchanges tokens until both sides are done."""
    acceptor = authenticator.begin()
    token = context.step()
    while True:
        result = acceptor.step(token)
        if result.token:
            token = context.step(result.token)
        if result.done:
            assert context.complete
            return result


@pytest.mark.parametrize("mechanism", [OID_SPNEGO_TEXT, OID_KRB5_TEXT], ids=["spnego", "raw"])
def test_ticket(environment: KDC, authenticator: Authenticator, mechanism: str) -> None:
    """Goal: a ticket logs on, both keys agree, the session ends with the ticket. Method: libkrb5 as client."""
    environment.login("alice", "Secret1")
    context = client_context(mechanism)
    result = log_on(authenticator, context)
    identity = result.identity
    assert identity is not None
    assert (identity.account, identity.domain, identity.package) == ("Alice", REALM, "Kerberos")
    gssapi = load_gssapi()
    oid = gssapi.OID.from_int_seq("1.2.840.113554.1.2.2.5.5")
    assert result.session_key == gssapi.raw.inquire_sec_context_by_oid(context, oid)[0]
    assert len(result.session_key) == 32
    assert identity.expires is not None
    remaining_s = (identity.expires - filetime_now()) / 10_000_000
    assert 7 * 3600 < remaining_s <= 8 * 3600 + 300  # the library adds the clock skew it allows


def test_offered(authenticator: Authenticator) -> None:
    """Goal: a server with a keytab offers Kerberos before NTLM. Method: look at its first token."""
    token = authenticator.initial_token()
    assert 0 < token.index(OID_MS_KRB5) < token.index(OID_KRB5)


def test_principal_without_account(environment: KDC, authenticator: Authenticator) -> None:
    """Goal: a ticket needs an enabled account. Method: bob without, alice with a disabled one."""
    environment.login("bob", "Secret1")
    with pytest.raises(SMBError) as caught:
        log_on(authenticator, client_context(OID_SPNEGO_TEXT))
    assert caught.value.status is NTStatus.LOGON_FAILURE
    environment.login("alice", "Secret1")
    authenticator.accounts.set_disabled("alice", True)
    with pytest.raises(SMBError) as caught:
        log_on(authenticator, client_context(OID_SPNEGO_TEXT))
    assert caught.value.status is NTStatus.ACCOUNT_DISABLED


def test_ticket_for_another_service(environment: KDC, authenticator: Authenticator) -> None:
    """Goal: a ticket that the keytab cannot open is refused. Method: a service that is not in it."""
    environment.login("alice", "Secret1")
    with pytest.raises(SMBError) as caught:
        log_on(authenticator, client_context(OID_SPNEGO_TEXT, "cifs/other.frevo.test"))
    assert caught.value.status is NTStatus.LOGON_FAILURE


def test_changed_ticket(environment: KDC, authenticator: Authenticator) -> None:
    """Goal: a damaged AP-REQ is an SMBError. Method: change one byte at several places of the token."""
    environment.login("alice", "Secret1")
    token = client_context(OID_SPNEGO_TEXT).step()
    for position in range(0, len(token), 37):
        changed = token[:position] + bytes((token[position] ^ 0xFF,)) + token[position + 1 :]
        try:
            authenticator.begin().step(changed)
        except SMBError:
            continue


def test_missing_keytab(tmp_path: Path) -> None:
    """Goal: a missing keytab is a clear error at start. Method: a path without a file."""
    load_gssapi()
    store = AccountStore(tmp_path / "private")
    with pytest.raises(KerberosError, match="No such file"):
        Authenticator(store, AuthSettings(keytab=str(tmp_path / "none")))


@pytest.mark.parametrize(
    ("principal", "account"),
    [("alice@FREVO.TEST", "alice"), ("alice@OTHER", None), ("alice/admin@FREVO.TEST", None), ("@X", None)],
)
def test_account_of(principal: str, account: str | None) -> None:
    """Goal: only plain users of our realm have accounts. Method: each kind of principal."""
    assert account_of(principal, "frevo.test") == account


def test_clock_is_unix(environment: KDC) -> None:
    """Goal: FILETIME of now is right. Method: against time.time()."""
    assert abs(filetime_now() / 10_000_000 - 11_644_473_600 - time.time()) < 5
