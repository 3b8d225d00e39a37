"""frevo.auth.ntlm_initiator: the right tokens for our acceptor and others, an error for anything hostile."""

from __future__ import annotations

import base64
import struct
from pathlib import Path

import pytest
import spnego
from hypothesis import given
from hypothesis import strategies as st

from frevo.auth import ntlm_crypto as crypto
from frevo.auth.accounts import AccountStore
from frevo.auth.authenticator import Authenticator
from frevo.auth.identity import AuthSettings
from frevo.auth.md4 import nt_hash
from frevo.auth.ntlm_initiator import NTLMCredentials, NTLMInitiator
from frevo.auth.ntlm_messages import Authenticate, AvId, Flag, pack_av_pairs, pack_challenge
from frevo.auth.spnego_tokens import (
    ACCEPT_COMPLETED,
    ACCEPT_INCOMPLETE,
    OID_KRB5,
    OID_NTLMSSP,
    REJECT,
    NegTokenResp,
    parse_init,
    parse_resp,
)
from frevo.errors import RemoteProtocolError, SMBError, WireError
from frevo.wire.erref import NTStatus

CREDENTIALS = NTLMCredentials("Alice", "Secret1", "DOM")
SERVER_CHALLENGE = b"12345678"
TIME = (AvId.TIMESTAMP, (132_000_000_000_000_000).to_bytes(8, "little"))
NAME = (AvId.NB_DOMAIN_NAME, "DOM".encode("utf-16-le"))
ALL_FLAGS = 0xE2888215


def challenge(*pairs: tuple[int, bytes], flags: int = ALL_FLAGS, info: bytes | None = None) -> bytes:
    """An NTLM CHALLENGE in SPNEGO with *pairs*, or *info* as it is ([MS-NLMP] 2.2.1.2)."""
    data = pack_av_pairs(list(pairs)) if info is None else info
    message = pack_challenge(flags, SERVER_CHALLENGE, "DOM", data)
    return NegTokenResp(ACCEPT_INCOMPLETE, OID_NTLMSSP, message).pack()


def answer_to(token: bytes, initiator: NTLMInitiator | None = None) -> Authenticate:
    answer = parse_resp((initiator or NTLMInitiator(CREDENTIALS, "cifs/filer")).step(token))
    assert answer.token is not None
    return Authenticate.parse(answer.token)


def initiate(initiator: NTLMInitiator, acceptor: spnego.ContextProxy) -> None:
    """A whole log-on with pyspnego's acceptor."""
    answer = acceptor.step(initiator.step(None))
    answer = acceptor.step(initiator.step(answer))
    if answer:
        assert initiator.step(answer) == b""


@pytest.fixture
def pyspnego_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The users of pyspnego's acceptor, among them guest without a password."""
    lines = [
        f"{name}:1000:{'0' * 32}:{nt_hash(password).hex().upper()}:[U]:LCT-1589398321\n"
        for name, password in (("DOM\\Alice", "Secret1"), ("änne", "pässwörd"), ("guest", ""))
    ]
    (tmp_path / "users").write_text("".join(lines), encoding="utf-8")
    monkeypatch.setenv("NTLM_USER_FILE", str(tmp_path / "users"))


@pytest.mark.usefixtures("pyspnego_users")
@pytest.mark.parametrize(
    ("user", "password", "domain"),
    [("Alice", "Secret1", "DOM"), ("aLICE", "Secret1", "DOM"), ("änne", "pässwörd", ""), ("guest", "", "")],
)
def test_another_acceptor(user: str, password: str, domain: str) -> None:
    """Goal: both keys agree, MIC and mechListMIC hold both ways. Method: pyspnego's acceptor."""
    acceptor = spnego.server(protocol="negotiate")
    initiator = NTLMInitiator(NTLMCredentials(user, password, domain), "cifs/filer")
    initiate(initiator, acceptor)
    assert acceptor.complete and initiator.complete
    assert acceptor.session_key == initiator.session_key
    assert len(initiator.session_key) == 16


@pytest.mark.usefixtures("pyspnego_users")
def test_another_acceptor_refuses() -> None:
    """Goal: a wrong password is refused. Method: pyspnego's acceptor."""
    with pytest.raises(spnego.exceptions.SpnegoError):
        initiate(
            NTLMInitiator(NTLMCredentials("Alice", "secret1", "DOM")), spnego.server(protocol="negotiate")
        )


def test_our_acceptor(tmp_path: Path) -> None:
    """Goal: our acceptor takes it with a MIC required, and accepts an anonymous log-on. Method: whole exchanges."""
    accounts = AccountStore(tmp_path / "private")
    accounts.add("alice", "Secret1")
    settings = AuthSettings(netbios_name="FILER", require_mic=True, allow_anonymous=True)
    authenticator = Authenticator(accounts, settings)
    for credentials in (CREDENTIALS, None):
        acceptor, initiator = authenticator.begin(), NTLMInitiator(credentials, "cifs/filer")
        result = acceptor.step(initiator.step(None))
        result = acceptor.step(initiator.step(result.token))
        assert result.done and result.identity is not None
        assert not result.token or initiator.step(result.token) == b""
        if credentials:
            assert result.identity.account == "alice" and result.session_key == initiator.session_key
        else:
            assert result.identity.is_anonymous and initiator.session_key == b""


def test_the_first_token() -> None:
    """NEGOTIATE offers NTLM alone, with signing, extended security, key exchange and a version."""
    first = parse_init(NTLMInitiator(CREDENTIALS).step(None))
    assert first.mechanisms == (OID_NTLMSSP,)
    assert first.token is not None and first.token.startswith(b"NTLMSSP\0\1") and len(first.token) == 40
    flags = int.from_bytes(first.token[12:16], "little")
    wanted = Flag.SIGN | Flag.EXTENDED_SESSION_SECURITY | Flag.KEY_EXCHANGE | Flag.KEY_128 | Flag.VERSION
    assert flags & wanted == wanted
    assert flags & Flag.UNICODE and flags & Flag.OEM and not flags & Flag.LM_KEY


def test_the_pairs_of_the_answer() -> None:
    """Goal: the server's AV pairs come back with flags, target and bindings ([MS-NLMP] 3.1.5.1.2). Method: read
    them."""
    answer = answer_to(challenge(NAME, TIME))
    pairs = answer.av_pairs()
    assert pairs[AvId.NB_DOMAIN_NAME] == NAME[1]
    assert pairs[AvId.TIMESTAMP] == TIME[1] == answer.nt_response[24:32]
    assert int.from_bytes(pairs[AvId.FLAGS], "little") == 2
    assert pairs[AvId.TARGET_NAME].decode("utf-16-le") == "cifs/filer"
    assert pairs[AvId.CHANNEL_BINDINGS] == bytes(16)
    assert answer.lm_response == bytes(24)
    assert (answer.user, answer.domain) == ("Alice", "DOM")
    assert answer.workstation


def test_no_timestamp_no_target_info() -> None:
    """Goal: an old server gets LMv2, our own clock and still a MIC. Method: a challenge without target info."""
    initiator = NTLMInitiator(CREDENTIALS)
    token = challenge(flags=ALL_FLAGS & ~Flag.TARGET_INFO, info=b"\xff" * 8)
    answer = answer_to(token, initiator)
    ours = answer.nt_response[32:40]
    assert answer.lm_response == crypto.hmac_md5(CREDENTIALS.response_key, SERVER_CHALLENGE + ours) + ours
    assert answer.nt_response[24:32] != bytes(8)
    message = parse_resp(token).token
    negotiate = parse_init(initiator.step(None)).token
    assert message is not None and negotiate is not None
    covered = negotiate + message + answer.without_mic()
    assert answer.mic() == crypto.hmac_md5(initiator.session_key, covered)


def test_flags_are_never_added() -> None:
    """Goal: the server cannot make us use what we did not offer. Method: a challenge with every flag."""
    answer = answer_to(challenge(TIME, flags=0xFFFFFFFF))
    assert not answer.flags & (Flag.OEM | Flag.LM_KEY | Flag.SEAL | Flag.ANONYMOUS)


def test_a_server_without_unicode() -> None:
    """Goal: names are sent in the OEM character set to a server that supports nothing else; the proof is the same
    ([MS-NLMP] 2.2.2.5, 3.3.2). Method: a challenge with OEM alone, a name with an umlaut."""
    initiator = NTLMInitiator(NTLMCredentials("Jörg", "Secret1", "DOM"))
    initiator.step(None)
    message = parse_resp(initiator.step(challenge(TIME, flags=ALL_FLAGS & ~Flag.UNICODE | Flag.OEM))).token
    assert message is not None
    answer = Authenticate.parse(message, oem=True)
    assert (answer.user, answer.domain) == ("Jörg", "DOM")
    assert b"J\x94rg" in message and answer.flags & Flag.OEM and not answer.flags & Flag.UNICODE
    key = crypto.ntowfv2(nt_hash("Secret1"), "JÖRG", "DOM")
    assert answer.nt_response[:16] == crypto.nt_proof(key, SERVER_CHALLENGE, answer.nt_response[16:])


@pytest.mark.parametrize("missing", [Flag.KEY_EXCHANGE, Flag.SIGN])
def test_without_key_exchange(missing: int) -> None:
    """Goal: without key exchange the response's own key is the session's ([MS-NLMP] 3.1.5.1.2). Method: compute it."""
    initiator = NTLMInitiator(CREDENTIALS)
    answer = answer_to(challenge(TIME, flags=ALL_FLAGS & ~missing), initiator)
    assert answer.encrypted_session_key == b""
    assert initiator.session_key == crypto.hmac_md5(CREDENTIALS.response_key, answer.nt_response[:16])


def test_without_extended_security() -> None:
    """Goal: no mechListMIC where its kind of signature was not negotiated. Method: look for it."""
    for flags, signed in ((ALL_FLAGS, True), (ALL_FLAGS & ~Flag.EXTENDED_SESSION_SECURITY, False)):
        token = NTLMInitiator(CREDENTIALS).step(challenge(TIME, flags=flags))
        assert (parse_resp(token).mic is not None) is signed


def test_a_wrong_mechanism_list() -> None:
    """Goal: a mechListMIC that does not match means tampering. Method: one of zeros; none at all is fine."""
    for mic in (bytes(16), b""):
        initiator = NTLMInitiator(CREDENTIALS)
        initiator.step(challenge(TIME))
        with pytest.raises(RemoteProtocolError, match="under attack"):
            initiator.step(NegTokenResp(ACCEPT_COMPLETED, mic=mic).pack())
        assert not initiator.complete
    initiator.step(NegTokenResp(ACCEPT_COMPLETED).pack())
    assert initiator.complete


@pytest.mark.parametrize(
    "answer",
    [NegTokenResp(REJECT), NegTokenResp(ACCEPT_INCOMPLETE, OID_KRB5, b"token")],
    ids=["no", "kerberos"],
)
def test_no_ntlm(answer: NegTokenResp) -> None:
    """Goal: a server that wants another mechanism gives a clear error. Method: its first response."""
    with pytest.raises(SMBError, match="does not accept NTLM") as refused:
        NTLMInitiator(CREDENTIALS).step(answer.pack())
    assert refused.value.status == NTStatus.LOGON_FAILURE


def test_long_names() -> None:
    """Goal: a name that fits into no message is a ValueError. Method: 2,000 letters."""
    with pytest.raises(ValueError, match="at most"):
        NTLMCredentials("x" * 2000, "p", "")


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"\xa1\x00",
        NegTokenResp(ACCEPT_INCOMPLETE).pack(),
        NegTokenResp(ACCEPT_INCOMPLETE, OID_NTLMSSP, b"NTLMSSP\0\2\0\0\0").pack(),
        NegTokenResp(ACCEPT_INCOMPLETE, OID_NTLMSSP, b"NTLMSSP\0\1\0\0\0" + bytes(60)).pack(),
        challenge(info=b"\1\0\xff\xff"),
        challenge(info=b"\1\0\0\0"),
        challenge((AvId.TIMESTAMP, b"1234567")),
        challenge((AvId.FLAGS, b"123")),
        challenge(NAME, flags=ALL_FLAGS & ~Flag.UNICODE),
        challenge(info=bytes(16400)),
    ],
)
def test_malformed_challenges(token: bytes) -> None:
    """A challenge that is cut off, too long, or whose pairs do not end or have wrong sizes, is a WireError."""
    initiator = NTLMInitiator(CREDENTIALS)
    with pytest.raises(WireError):
        initiator.step(token)
    assert initiator.session_key == b"" and not initiator.complete


@given(st.binary(max_size=200), st.integers(0, 65535), st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF))
def test_any_challenge(info: bytes, length: int, offset: int, flags: int) -> None:
    """Any flags, any target info anywhere: an AUTHENTICATE that can be parsed, or a WireError, nothing else."""
    fields = struct.pack("<HHI", length, length, offset)
    message = b"NTLMSSP\0" + struct.pack("<I8xI8s8x", 2, flags, SERVER_CHALLENGE) + fields + info
    try:
        answer = answer_to(NegTokenResp(ACCEPT_INCOMPLETE, OID_NTLMSSP, message).pack())
    except WireError:
        return
    assert answer.is_v2 and answer.av_pairs() and answer.mic()


@given(st.binary(max_size=300), st.binary(max_size=100))
def test_any_bytes(first: bytes, second: bytes) -> None:
    """Any bytes as first and as last token: one of the log-on's own errors."""
    initiator = NTLMInitiator(CREDENTIALS)
    for token in (first, base64.b64encode(second)):
        with pytest.raises((WireError, SMBError)):
            initiator.step(token)
