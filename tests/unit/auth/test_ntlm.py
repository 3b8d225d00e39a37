"""The NTLMv2 acceptor: [MS-NLMP] 4.2.4 vectors, then whole exchanges against pyspnego's client."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import spnego
from hypothesis import given, settings
from hypothesis import strategies as st

from frevo.auth import ntlm_crypto as crypto
from frevo.auth import ntlm_messages as messages
from frevo.auth.accounts import AccountStore
from frevo.auth.identity import AuthSettings
from frevo.auth.md4 import nt_hash
from frevo.auth.ntlm import NTLMAcceptor, NTLMResult
from frevo.auth.ntlm_messages import Authenticate, Flag
from frevo.errors import SMBError, WireError
from frevo.wire.erref import NTStatus

NOW = 133_500_000_000_000_000

#: [MS-NLMP] 4.2.1: User, Domain "Domain", password "Password", server challenge.
SERVER_CHALLENGE = bytes.fromhex("0123456789abcdef")
#: NTLMv2_CLIENT_CHALLENGE of [MS-NLMP] 4.2.4.1.3: time 0, client challenge aa..aa, names Domain and Server.
TEMP = (
    bytes.fromhex("0101000000000000") + bytes(8) + b"\xaa" * 8 + bytes(4)
    + bytes.fromhex("02000c0044006f006d00610069006e0001000c005300650072007600650072000000000000000000")
)  # fmt: skip


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> AccountStore:
    store = AccountStore(tmp_path_factory.mktemp("auth") / "private")
    store.add("Alice", "Secret1")
    store.add("straße", "Pässword")
    store.add("off", "Secret1")
    store.set_disabled("off", True)
    return store


def acceptor_for(accounts: AccountStore, **values: object) -> NTLMAcceptor:
    return NTLMAcceptor(lambda user, _: accounts.lookup(user), AuthSettings(**values), lambda: NOW)  # type: ignore[arg-type]


def exchange(acceptor: NTLMAcceptor, user: str, password: str) -> tuple[NTLMResult, spnego.ContextProxy]:
    """A whole logon by pyspnego's client."""
    client = spnego.client(user, password, hostname="srv", service="cifs", protocol="ntlm")
    negotiate = client.step()
    assert negotiate is not None
    authenticate = client.step(acceptor.challenge(negotiate))
    assert authenticate is not None
    return acceptor.authenticate(authenticate), client


def test_vectors_keys() -> None:
    """Goal: ResponseKeyNT, NTProofStr, SessionBaseKey. Method: [MS-NLMP] 4.2.4.1.1, 4.2.4.1.2, 4.2.4.2.2."""
    response_key = crypto.ntowfv2(nt_hash("Password"), "USER", "Domain")
    assert response_key.hex() == "0c868a403bfd7a93a3001ef22ef02e3f"
    proof = crypto.nt_proof(response_key, SERVER_CHALLENGE, TEMP)
    assert proof.hex() == "68cd0ab851e51c96aabc927bebef6a1c"
    assert crypto.hmac_md5(response_key, proof).hex() == "8de40ccadbc14a82f15cb0ad0de95ca3"


def test_vectors_key_exchange() -> None:
    """Goal: RC4 of the random session key. Method: [MS-NLMP] 4.2.4.2.3; an empty key is refused."""
    key = bytes.fromhex("8de40ccadbc14a82f15cb0ad0de95ca3")
    assert crypto.rc4(key, b"\x55" * 16).hex() == "c5dad2544fc9799094ce1ce90bc9d03e"
    with pytest.raises(ValueError, match="at least one byte"):
        crypto.rc4(b"", b"x")


def test_vectors_signature() -> None:
    """Goal: the client's first signature. Method: its keys in [MS-NLMP] 4.2.4.4."""
    flags = Flag.KEY_128 | Flag.EXTENDED_SESSION_SECURITY
    assert crypto.md5(b"\x55" * 16 + crypto._SIGN_CLIENT).hex() == "4788dc861b4782f35d43fd98fe1a2d39"
    assert (
        crypto._seal_key(flags, b"\x55" * 16, crypto._SEAL_CLIENT).hex() == "59f600973cc4960a25480a7c196e4c58"
    )


def test_upper_case() -> None:
    """Goal: upper case keeps the number of UTF-16 units. Method: letters whose upper case grows."""
    assert crypto.upper_case("straße ﬁ äé") == "STRAßE ﬁ ÄÉ"


@pytest.mark.parametrize(
    "user", ["alice", "ALICE", "DOM\\alice", "dom\\Alice", "alice@realm.example", "straße"]
)
def test_logon(accounts: AccountStore, user: str) -> None:
    """Goal: a right password is accepted, keys agree, MIC checked. Method: pyspnego client; compare keys."""
    password = "Pässword" if user == "straße" else "Secret1"
    result, client = exchange(acceptor_for(accounts), user, password)
    assert result.account is not None
    assert result.session_key == client.session_key
    assert result.can_sign
    result.verify_mic(b"mechanisms", client.sign(b"mechanisms"))
    client.verify(b"mechanisms", result.make_mic(b"mechanisms"))


@pytest.mark.parametrize(
    ("user", "password", "status"),
    [
        ("alice", "secret1", NTStatus.LOGON_FAILURE),
        ("nobody", "Secret1", NTStatus.LOGON_FAILURE),
        ("off", "Secret1", NTStatus.ACCOUNT_DISABLED),
        ("off", "wrong", NTStatus.LOGON_FAILURE),
    ],
)
def test_refused(accounts: AccountStore, user: str, password: str, status: NTStatus) -> None:
    """Goal: the right status, and "disabled" only for a correct password. Method: each case."""
    with pytest.raises(SMBError) as caught:
        exchange(acceptor_for(accounts), user, password)
    assert caught.value.status is status


@pytest.mark.parametrize(
    ("policy", "user", "guest"),
    [
        ("bad user", "unknown", True),
        ("bad user", "alice", False),
        ("bad password", "alice", True),
        ("bad password", "unknown", True),
        ("bad uid", "unknown", False),
        ("never", "unknown", False),
    ],
)
def test_map_to_guest(accounts: AccountStore, policy: str, user: str, guest: bool) -> None:
    """Goal: `map to guest` as smb.conf(5) says. Method: a wrong password under each policy."""
    acceptor = acceptor_for(accounts, map_to_guest=policy)
    if guest:
        result, _ = exchange(acceptor, user, "wrong")
        assert result.is_guest
        assert result.account is None
    else:
        with pytest.raises(SMBError):
            exchange(acceptor, user, "wrong")


def tampered(accounts: AccountStore, change: Callable[[bytes], bytes], **values: object) -> NTLMResult:
    acceptor = acceptor_for(accounts, **values)
    client = spnego.client("alice", "Secret1", protocol="ntlm")
    negotiate = client.step()
    assert negotiate is not None
    authenticate = client.step(acceptor.challenge(negotiate))
    assert authenticate is not None
    return acceptor.authenticate(change(authenticate))


def flip(position: int, token: bytes) -> bytes:
    return token[:position] + bytes((token[position] ^ 0x10,)) + token[position + 1 :]


def test_wrong_mic(accounts: AccountStore) -> None:
    """Goal: a changed MIC or a changed message under it is refused. Method: flip bits at several places."""
    for position in (12, 60, 63, 72, 87):
        with pytest.raises(SMBError) as caught:
            tampered(accounts, functools.partial(flip, position))
        assert caught.value.status is NTStatus.LOGON_FAILURE


def test_old_responses(accounts: AccountStore) -> None:
    """Goal: NTLMv1 and LM are refused although the password is right. Method: shorten the NT response's
    length.
    """

    def to_v1(token: bytes) -> bytes:
        return token[:20] + struct.pack("<HH", 24, 24) + token[24:]

    def to_lm(token: bytes) -> bytes:
        return token[:20] + struct.pack("<HH", 0, 0) + token[24:]

    for change in (to_v1, to_lm):
        with pytest.raises(SMBError) as caught:
            tampered(accounts, change, map_to_guest="bad password")
        assert caught.value.status is NTStatus.LOGON_FAILURE


def anonymous_token(flags: int = Flag.UNICODE, lm: bytes = b"\x00") -> bytes:
    fields = struct.pack("<HHI", len(lm), len(lm), 64) + struct.pack("<HHI", 0, 0, 64) * 5
    return messages.SIGNATURE + struct.pack("<I", 3) + fields + struct.pack("<I", flags) + lm


def test_anonymous(accounts: AccountStore) -> None:
    """Goal: anonymous logon follows its setting. Method: a hand-made AUTHENTICATE without names."""
    negotiate = messages.SIGNATURE + struct.pack("<II", 1, Flag.UNICODE | Flag.NTLM)
    acceptor = acceptor_for(accounts)
    acceptor.challenge(negotiate)
    result = acceptor.authenticate(anonymous_token())
    assert result.is_anonymous
    assert result.session_key == bytes(16)
    acceptor = acceptor_for(accounts, allow_anonymous=False)
    acceptor.challenge(negotiate)
    with pytest.raises(SMBError):
        acceptor.authenticate(anonymous_token(lm=b""))


def test_require_mic(accounts: AccountStore) -> None:
    """Goal: `require_mic` refuses a client without one. Method: hand-made response without MsvAvFlags."""
    for required in (False, True):
        acceptor = acceptor_for(accounts, require_mic=required)
        flags = Flag.UNICODE | Flag.NTLM | Flag.EXTENDED_SESSION_SECURITY
        acceptor.challenge(messages.SIGNATURE + struct.pack("<II", 1, flags), SERVER_CHALLENGE)
        key = crypto.ntowfv2(nt_hash("Secret1"), "ALICE", "")
        response = crypto.nt_proof(key, SERVER_CHALLENGE, TEMP) + TEMP
        user = "alice".encode("utf-16-le")
        spans = [(0, 64), (len(response), 64), (0, 64), (len(user), 64 + len(response)), (0, 64), (0, 64)]
        fields = b"".join(struct.pack("<HHI", size, size, offset) for size, offset in spans)
        token = (
            messages.SIGNATURE + struct.pack("<I", 3) + fields + struct.pack("<I", flags) + response + user
        )
        if required:
            with pytest.raises(SMBError):
                acceptor.authenticate(token)
        else:
            assert acceptor.authenticate(token).session_key == crypto.hmac_md5(key, response[:16])


@pytest.mark.parametrize("user", ["Alice", "straße"])
def test_oem_client(accounts: AccountStore, user: str) -> None:
    """Goal: a client with OEM strings alone logs on ([MS-NLMP] 2.2.2.5, flag B). Method: its messages by hand; names in
    code page 850, the proof over UTF-16."""
    acceptor = acceptor_for(accounts, netbios_name="filer")
    flags = Flag.OEM | Flag.NTLM | Flag.REQUEST_TARGET | Flag.EXTENDED_SESSION_SECURITY
    challenge = acceptor.challenge(messages.SIGNATURE + struct.pack("<II", 1, flags), SERVER_CHALLENGE)
    (answered,) = struct.unpack_from("<I", challenge, 20)
    assert answered & Flag.OEM and not answered & Flag.UNICODE
    length, offset = struct.unpack_from("<H2xI", challenge, 12)
    assert challenge[offset : offset + length] == b"FILER"
    password = "Secret1" if user == "Alice" else "Pässword"
    key = crypto.ntowfv2(nt_hash(password), crypto.upper_case(user), "DOM")
    response = crypto.nt_proof(key, SERVER_CHALLENGE, TEMP) + TEMP
    token = messages.pack_authenticate(flags, bytes(24), response, "DOM", user, "PC")
    assert user.encode("cp850") in token
    result = acceptor.authenticate(token)
    assert result.account is not None and (result.user, result.workstation) == (user, "PC")
    with pytest.raises(SMBError):
        acceptor_for(accounts).challenge(messages.SIGNATURE + struct.pack("<II", 1, flags & ~Flag.OEM))


def test_challenge(accounts: AccountStore) -> None:
    """Goal: the challenge is well formed and names the server. Method: parse it with pyspnego."""
    from spnego._ntlm_raw.messages import AvId, Challenge

    acceptor = acceptor_for(accounts, netbios_name="filer", dns_name="filer.example", dns_domain="example")
    flags = Flag.UNICODE | Flag.OEM | Flag.VERSION | Flag.KEY_128 | Flag.SEAL
    parsed = Challenge.unpack(
        acceptor.challenge(messages.SIGNATURE + struct.pack("<II", 1, flags), SERVER_CHALLENGE)
    )
    assert parsed.server_challenge == SERVER_CHALLENGE
    assert parsed.target_name == "FILER"
    assert parsed.target_info[AvId.dns_computer_name] == "filer.example"
    assert parsed.target_info[AvId.nb_computer_name] == "FILER"
    assert AvId.timestamp in parsed.target_info
    assert not parsed.flags & Flag.OEM


@given(st.binary(max_size=400))
def test_hostile_messages(data: bytes) -> None:
    """Goal: no bytes raise anything but WireError. Method: random payload behind valid headers."""
    for kind in (1, 3):
        token = messages.SIGNATURE + struct.pack("<I", kind) + data
        for parse in (messages.parse_negotiate, Authenticate.parse):
            try:
                parsed = parse(token)
                if isinstance(parsed, Authenticate):
                    parsed.without_mic(), parsed.is_v2, parsed.is_anonymous
                    parsed.av_pairs()
                    parsed.mic()
            except WireError:
                pass


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_mutated_authenticate(accounts: AccountStore, data: st.DataObject) -> None:
    """Goal: a mutated AUTHENTICATE raises no other exception and logs on no other user. Method: flips and cuts."""

    def mutate(token: bytes) -> bytes:
        changed = bytearray(token)
        for _ in range(data.draw(st.integers(1, 4))):
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
        return bytes(changed[: data.draw(st.integers(0, len(changed)))])

    try:
        result = tampered(accounts, mutate, allow_anonymous=False)
    except (SMBError, WireError):
        return
    assert result.account is not None
    assert result.account.name == "Alice"


def test_accounts_survive(accounts: AccountStore, tmp_path: Path) -> None:
    """Goal: nothing above changed the store. Method: read it again."""
    assert [account.name for account in AccountStore(accounts.directory).all()] == ["Alice", "off", "straße"]
