"""NTLMv2's cryptography, with the values of [MS-NLMP] 4.2.4."""

from __future__ import annotations

import pytest

from frevo.auth import ntlm_crypto as crypto
from frevo.auth.md4 import md4
from frevo.auth.ntlm_messages import Flag

#: [MS-NLMP] 4.2.1: User, Domain, Password, and the keys chosen there.
NT_HASH = bytes.fromhex("a4f49c406510bdcab6824ee7c30fd852")
RESPONSE_KEY = bytes.fromhex("0c868a403bfd7a93a3001ef22ef02e3f")
SERVER_CHALLENGE = bytes.fromhex("0123456789abcdef")
RANDOM_KEY = b"\x55" * 16
FLAGS = Flag.KEY_EXCHANGE | Flag.KEY_128 | Flag.KEY_56


def test_the_keys() -> None:
    """[MS-NLMP] 4.2.2.1.2 and 4.2.4.1.1: the NT hash and NTOWFv2."""
    assert md4("Password".encode("utf-16-le")) == NT_HASH
    assert crypto.ntowfv2(NT_HASH, crypto.upper_case("User"), "Domain") == RESPONSE_KEY


def test_the_proof() -> None:
    """[MS-NLMP] 4.2.4.2.2: NTProofStr over temp, and the session base key from it."""
    names = bytes.fromhex("02000c0044006f006d00610069006e0001000c005300650072007600650072000000000000000000")
    temp = b"\1\1" + bytes(6) + bytes(8) + b"\xaa" * 8 + bytes(4) + names
    proof = crypto.nt_proof(RESPONSE_KEY, SERVER_CHALLENGE, temp)
    assert proof == bytes.fromhex("68cd0ab851e51c96aabc927bebef6a1c")
    base_key = crypto.hmac_md5(RESPONSE_KEY, proof)
    assert base_key == bytes.fromhex("8de40ccadbc14a82f15cb0ad0de95ca3")
    assert crypto.rc4(base_key, RANDOM_KEY) == bytes.fromhex("c5dad2544fc9799094ce1ce90bc9d03e")


def test_the_signature() -> None:
    """Goal: a signature with key exchange, as GSS_Wrap makes it ([MS-NLMP] 4.2.4.4). Method: the checksum there is
    encrypted behind 18 bytes of message, here first: the plain checksum and the key are compared by hand."""
    plaintext = "Plaintext".encode("utf-16-le")
    plain = crypto.signature(FLAGS & ~Flag.KEY_EXCHANGE, RANDOM_KEY, plaintext, from_server=False)
    sealed = crypto.signature(FLAGS, RANDOM_KEY, plaintext, from_server=False)
    seal_key = bytes.fromhex("59f600973cc4960a25480a7c196e4c58")  # [MS-NLMP] 4.2.4.4, SEALKEY
    assert (plain[:4], plain[12:], sealed[12:]) == (b"\1\0\0\0", bytes(4), bytes(4))
    assert sealed[4:12] == crypto.rc4(seal_key, plain[4:12])
    # RC4 continues where the message ended: 4.2.4.4's checksum is 7fb38ec5c55d4976.
    assert crypto.rc4(seal_key, plaintext + plain[4:12])[18:] == bytes.fromhex("7fb38ec5c55d4976")


def test_directions_sequences_and_weak_keys_differ() -> None:
    """Every input of a signature has an effect ([MS-NLMP] 3.4.4.2, 3.4.5.3)."""
    seen = set()
    for flags in (FLAGS, FLAGS & ~Flag.KEY_128, Flag.KEY_EXCHANGE, Flag.KEY_128):
        for from_server in (False, True):
            for sequence in (0, 1):
                seen.add(crypto.signature(flags, RANDOM_KEY, b"m", from_server=from_server, sequence=sequence))
    assert len(seen) == 16


@pytest.mark.parametrize(
    ("text", "upper"), [("User", "USER"), ("müller", "MÜLLER"), ("straße", "STRAßE"), ("ŉ", "ŉ"), ("я1", "Я1")]
)
def test_upper_case_keeps_the_length(text: str, upper: str) -> None:
    """Windows converts one UTF-16 unit at a time: what would become two letters stays."""
    assert crypto.upper_case(text) == upper
