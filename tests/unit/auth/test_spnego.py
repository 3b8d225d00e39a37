"""SPNEGO: token vectors, whole exchanges with pyspnego's client, mechListMIC, hostile tokens."""

from __future__ import annotations

import pytest
import spnego
from hypothesis import given, settings
from hypothesis import strategies as st

from frevo.auth import spnego_tokens as tokens
from frevo.auth.accounts import AccountStore
from frevo.auth.authenticator import Authenticator
from frevo.auth.identity import AuthSettings, StepResult
from frevo.auth.spnego_tokens import OID_KRB5, OID_MS_KRB5, OID_NTLMSSP, NegTokenResp
from frevo.errors import SMBError, WireError
from frevo.wire.erref import NTStatus

#: What Windows and Samba clients put first when they have no ticket.
OID_NEGOEX = bytes.fromhex("2b06010401823702021e")


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> AccountStore:
    store = AccountStore(tmp_path_factory.mktemp("auth") / "private")
    store.add("alice", "Secret1")
    return store


@pytest.fixture(scope="module")
def authenticator(accounts: AccountStore) -> Authenticator:
    return Authenticator(accounts, AuthSettings(netbios_name="FILER"))


def init_token(mechanisms: list[bytes], token: bytes | None) -> bytes:
    mechanism_list = tokens.der(0x30, b"".join(tokens.der(6, oid) for oid in mechanisms))
    parts = tokens.der(0xA0, mechanism_list)
    if token is not None:
        parts += tokens.der(0xA2, tokens.der(4, token))
    body = tokens.der(6, tokens.OID_SPNEGO) + tokens.der(0xA0, tokens.der(0x30, parts))
    return tokens.der(0x60, body)


def test_initial_token(authenticator: Authenticator) -> None:
    """Goal: the NEGOTIATE token is what Windows expects. Method: compare with Samba's bytes for NTLM only."""
    assert authenticator.initial_token().hex() == (
        "604806062b0601050502a03e303ca00e300c060a2b06010401823702020aa32a3028a0261b24"
        + b"not_defined_in_RFC4178@please_ignore".hex()
    )


@pytest.mark.parametrize("protocol", ["negotiate", "ntlm"])
def test_logon(authenticator: Authenticator, protocol: str) -> None:
    """Goal: SPNEGO and raw NTLMSSP both log on with MIC. Method: pyspnego's client, keys compared."""
    client = spnego.client("DOM\\Alice", "Secret1", protocol=protocol)
    acceptor = authenticator.begin()
    answer: bytes | None = None
    result = StepResult(False, b"")
    while not result.done:
        token = client.step(answer)
        assert token is not None
        result = acceptor.step(token)
        answer = result.token
    if answer:
        client.step(answer)
    assert client.complete
    assert result.session_key == client.session_key
    identity = result.identity
    assert identity is not None
    assert (identity.user, identity.domain, identity.account) == ("Alice", "DOM", "alice")
    assert str(identity.sid) == f"{authenticator.machine_sid}-1000"
    assert not identity.is_guest
    assert result.session_key.hex() not in repr(result)


def ntlm_steps(authenticator: Authenticator, mechanisms: list[bytes]) -> tuple[StepResult, bytes, object]:
    """NegTokenInit with *mechanisms* whose optimistic token is not NTLM's; the last leg still to send."""
    acceptor = authenticator.begin()
    client = spnego.client("alice", "Secret1", protocol="ntlm")
    negotiate = client.step()
    assert negotiate is not None
    first = acceptor.step(init_token(mechanisms, b"optimistic"))
    response = tokens.parse_resp(first.token)
    assert (response.state, response.mechanism, response.token) == (tokens.REQUEST_MIC, OID_NTLMSSP, None)
    second = tokens.parse_resp(acceptor.step(NegTokenResp(token=negotiate).pack()).token)
    assert second.mechanism is None
    authenticate = client.step(second.token)
    assert authenticate is not None
    return acceptor, authenticate, client  # type: ignore[return-value]


MECHANISMS = [OID_NEGOEX, OID_MS_KRB5, OID_KRB5, OID_NTLMSSP]
MECHANISM_LIST = tokens.der(0x30, b"".join(tokens.der(6, oid) for oid in MECHANISMS))


def test_other_mechanism_first(authenticator: Authenticator) -> None:
    """Goal: NTLM is selected although it is not first in the list, mechListMIC both ways. Method: MIC with the last
    token."""
    acceptor, authenticate, client = ntlm_steps(authenticator, MECHANISMS)
    mic = client.sign(MECHANISM_LIST)  # type: ignore[attr-defined]
    result = acceptor.step(NegTokenResp(token=authenticate, mic=mic).pack())  # type: ignore[attr-defined]
    assert result.done
    final = tokens.parse_resp(result.token)
    assert final.state == tokens.ACCEPT_COMPLETED
    client.verify(MECHANISM_LIST, final.mic)  # type: ignore[attr-defined]


def test_mic_in_a_round_of_its_own(authenticator: Authenticator) -> None:
    """Goal: a required MIC that is missing is requested. Method: send it one round later."""
    acceptor, authenticate, client = ntlm_steps(authenticator, MECHANISMS)
    result = acceptor.step(NegTokenResp(token=authenticate).pack())  # type: ignore[attr-defined]
    assert not result.done
    assert result.identity is None
    asked = tokens.parse_resp(result.token)
    client.verify(MECHANISM_LIST, asked.mic)  # type: ignore[attr-defined]
    mic = client.sign(MECHANISM_LIST)  # type: ignore[attr-defined]
    assert acceptor.step(NegTokenResp(mic=mic).pack()).done  # type: ignore[attr-defined]


@pytest.mark.parametrize("answer", [NegTokenResp(mic=bytes(16)), NegTokenResp(state=tokens.ACCEPT_COMPLETED)])
def test_downgrade(authenticator: Authenticator, answer: NegTokenResp) -> None:
    """Goal: without the right MIC a downgraded exchange fails. Method: a wrong one and none at all."""
    acceptor, authenticate, _ = ntlm_steps(authenticator, MECHANISMS)
    assert not acceptor.step(NegTokenResp(token=authenticate).pack()).done  # type: ignore[attr-defined]
    with pytest.raises(SMBError) as caught:
        acceptor.step(answer.pack())  # type: ignore[attr-defined]
    assert caught.value.status is NTStatus.LOGON_FAILURE


def test_changed_mechanism_list(authenticator: Authenticator) -> None:
    """Goal: a list changed in transit is noticed. Method: the client signs another list."""
    acceptor, authenticate, client = ntlm_steps(authenticator, MECHANISMS)
    mic = client.sign(b"other list")  # type: ignore[attr-defined]
    with pytest.raises(SMBError) as caught:
        acceptor.step(NegTokenResp(token=authenticate, mic=mic).pack())  # type: ignore[attr-defined]
    assert caught.value.status is NTStatus.LOGON_FAILURE


def test_nothing_in_common(authenticator: Authenticator) -> None:
    """Goal: an offer without NTLM is refused while Kerberos is off. Method: only Kerberos, twice."""
    raw_kerberos = tokens.der(0x60, tokens.der(6, OID_KRB5) + b"\x01\x00")
    for token in (init_token([OID_KRB5], b""), raw_kerberos):
        with pytest.raises(SMBError) as caught:
            authenticator.begin().step(token)
        assert caught.value.status is NTStatus.NOT_SUPPORTED


def test_no_step_after_the_end(authenticator: Authenticator) -> None:
    """Goal: an acceptor that failed or finished accepts nothing more. Method: step again after an error."""
    acceptor = authenticator.begin()
    for _ in range(2):
        with pytest.raises(SMBError) as caught:
            acceptor.step(b"")
        assert caught.value.status is NTStatus.INVALID_PARAMETER


def test_init2_as_client_token() -> None:
    """Goal: negHints in a client's token are not taken for a MIC. Method: parse our own NegTokenInit2."""
    parsed = tokens.parse_init(tokens.pack_init2((OID_KRB5, OID_NTLMSSP)))
    assert parsed.mechanisms == (OID_KRB5, OID_NTLMSSP)
    assert parsed.mic is None


@pytest.mark.parametrize(
    "hexadecimal",
    [
        "60",
        "6080",
        "6084ffffffff",
        "608500000000010000000000",
        "a0023000",
        "a0043002a000",
        "a006300430020000",
        "a008300630040a000a00",
    ],
)
def test_malformed_der(hexadecimal: str) -> None:
    """Goal: bad lengths and missing fields are WireError. Method: small broken tokens."""
    with pytest.raises(WireError):
        tokens.parse_init(bytes.fromhex(hexadecimal))


@given(
    st.binary(max_size=300), st.sampled_from([b"", b"\x60", b"\xa0", b"\xa1", b"NTLMSSP\x00\x01\x00\x00\x00"])
)
def test_hostile_tokens(authenticator: Authenticator, data: bytes, start: bytes) -> None:
    """Goal: any first or second token raises only SMBError. Method: random bytes behind likely starts."""
    with pytest.raises(SMBError):
        authenticator.begin().step(start + data)
        raise SMBError(NTStatus.SUCCESS)
    acceptor = authenticator.begin()
    acceptor.step(init_token([OID_NTLMSSP], None))
    with pytest.raises(SMBError):
        acceptor.step(start + data)
        raise SMBError(NTStatus.SUCCESS)


@settings(max_examples=200)
@given(st.data())
def test_mutated_tokens(authenticator: Authenticator, data: st.DataObject) -> None:
    """Goal: mutations of real tokens raise only SMBError. Method: flips in each leg of an exchange. One flip is
    harmless: it hides the mechListMIC, which a client's first choice of mechanism does not need ([RFC 4178] 5)."""
    client = spnego.client("alice", "Secret1", protocol="ntlm")
    negotiate = client.step()
    assert negotiate is not None
    acceptor = authenticator.begin()
    try:
        first = acceptor.step(mutate(data, init_token([OID_NTLMSSP, OID_NEGOEX], negotiate)))
    except SMBError:
        return
    try:
        answer = client.step(tokens.parse_resp(first.token).token)
    except Exception:  # the client rejects the challenge for a mutated request
        return
    last = mutate(data, NegTokenResp(token=answer, mic=bytes(16)).pack())
    try:
        acceptor.step(last)
    except SMBError:
        return
    assert tokens.parse_resp(last).mic is None


def mutate(data: st.DataObject, token: bytes) -> bytes:
    changed = bytearray(token)
    for _ in range(data.draw(st.integers(0, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    return bytes(changed)


@pytest.mark.parametrize("domain", ["", "WORKGROUP"])
def test_impacket_client(authenticator: Authenticator, domain: str) -> None:
    """Goal: a client without MIC logs on with the same key. Method: impacket's NTLM."""
    from impacket import ntlm
    from impacket.spnego import SPNEGO_NegTokenResp

    acceptor = authenticator.begin()
    negotiate = ntlm.getNTLMSSPType1("ws", domain, True, use_ntlmv2=True)
    first = acceptor.step(init_token([OID_NTLMSSP], negotiate.getData()))
    challenge = SPNEGO_NegTokenResp(first.token)["ResponseToken"]
    final, key = ntlm.getNTLMSSPType3(negotiate, challenge, "Alice", "Secret1", domain, use_ntlmv2=True)
    answer = SPNEGO_NegTokenResp()
    answer["ResponseToken"] = final.getData()
    result = acceptor.step(answer.getData())
    assert result.done
    assert result.session_key == key
