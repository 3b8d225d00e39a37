"""The native packet protection against the `cryptography` package: independent code, the same bytes."""

from __future__ import annotations

import hashlib
import hmac
import os
import struct

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from frevo._native import SessionKeys

KEY = bytes(range(16))


def keys(algorithm: int = 1, cipher: int = 0, own: bytes = b"", peer: bytes = b"") -> SessionKeys:
    return SessionKeys(
        signing_algorithm=algorithm, signing_key=KEY, cipher=cipher, encryption_key=own, decryption_key=peer,
        signing_required=True, encryption_required=False,
    )  # fmt: skip


def message(size: int, *, command: int = 8, flags: int = 0, message_id: int = 0x1122334455667788) -> bytes:
    header = struct.pack(
        "<4sHHIHHIIQIIQ16s", b"\xfeSMB", 64, 1, 0, command, 1, flags, 0, message_id, 0, 1, 2, b""
    )
    return header + os.urandom(size)


def expected(algorithm: int, zeroed: bytes) -> bytes:
    if algorithm == 0:
        return hmac.new(KEY, zeroed, hashlib.sha256).digest()[:16]
    if algorithm == 1:
        mac = CMAC(AES(KEY))
        mac.update(zeroed)
        return mac.finalize()
    response = zeroed[16] & 1
    cancel = zeroed[12:14] == b"\x0c\x00"
    nonce = zeroed[24:32] + bytes([response | cancel << 1, 0, 0, 0])
    return AESGCM(KEY).encrypt(nonce, b"", zeroed)


@pytest.mark.parametrize("algorithm", [0, 1, 2])
@pytest.mark.parametrize("size", [0, 1, 9, 16, 1000, 70_000])
def test_signatures_match_another_library(algorithm: int, size: int) -> None:
    """[MS-SMB2] 3.1.4.1 with requests, responses and CANCEL, from no body to a large one."""
    for plain in (message(size), message(size, flags=1), message(size, command=12)):
        signed = keys(algorithm).sign(plain)
        flags = struct.unpack_from("<I", signed, 16)[0]
        assert flags == struct.unpack_from("<I", plain, 16)[0] | 8
        assert signed[48:64] == expected(algorithm, signed[:48] + bytes(16) + signed[64:])
        assert keys(algorithm).verify(signed)
        assert not keys(algorithm).verify(signed[:-1] + bytes([signed[-1] ^ 1]))


@pytest.mark.parametrize(
    ("cipher", "size", "nonce"),
    [(1, 16, 11), (2, 16, 12), (3, 32, 11), (4, 32, 12)],
    ids=["ccm128", "gcm128", "ccm256", "gcm256"],
)
def test_encrypted_packets_open_with_another_library(cipher: int, size: int, nonce: int) -> None:
    """[MS-SMB2] 3.1.4.3: what we encrypt opens there, what is encrypted there opens here, changed bits do not."""
    own, peer, text = os.urandom(size), os.urandom(size), os.urandom(3000)
    native = keys(1, cipher, own, peer)
    other = AESGCM if nonce == 12 else AESCCM
    encrypted = native.encrypt(0xABCDEF, text)
    magic, tag, used, length, _, flags, session = struct.unpack_from("<4s16s16sIHHQ", encrypted)
    assert (magic, length, flags, session) == (b"\xfdSMB", len(text), 1, 0xABCDEF)
    assert used[nonce:] == bytes(16 - nonce)
    assert other(own).decrypt(used[:nonce], encrypted[52:] + tag, encrypted[20:52]) == text

    associated = os.urandom(nonce) + bytes(16 - nonce) + struct.pack("<IHHQ", len(text), 0, 1, 7)
    both = other(peer).encrypt(associated[:nonce], text, associated)
    packet = b"\xfdSMB" + both[-16:] + associated + both[:-16]
    assert native.decrypt(packet) == text
    for position in (5, 21, 44, 60):
        damaged = bytearray(packet)
        damaged[position] ^= 4
        with pytest.raises(ValueError, match="not encrypted"):
            native.decrypt(damaged)


def test_channels_share_the_nonce_counter() -> None:
    """Two channels of one session never encrypt with the same nonce, though their signing keys differ."""
    first = keys(1, 2, KEY, KEY)
    second = first.for_channel(signing_algorithm=2, signing_key=bytes(16))
    nonces = {owner.encrypt(1, b"x" * 80)[20:36] for owner in (first, second, first, second)}
    assert len(nonces) == 4
    plain = message(10)
    assert first.sign(plain) != second.sign(plain)


def test_wrong_keys_are_refused() -> None:
    """Invalid lengths and unknown identifiers raise ValueError; without a cipher nothing can be encrypted."""
    for arguments in [(3,), (1, 5, KEY, KEY), (1, 4, KEY, KEY), (1, 2, b"", b"")]:
        with pytest.raises(ValueError, match=r"unknown|length"):
            keys(*arguments)
    with pytest.raises(ValueError, match="no cipher"):
        keys().encrypt(1, b"x" * 80)
    with pytest.raises(ValueError, match="shorter"):
        keys().sign(b"x" * 63)
    assert not keys().verify(b"")
