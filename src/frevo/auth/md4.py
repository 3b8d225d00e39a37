"""MD4 (RFC 1320) and the NT hash made with it, because OpenSSL 3 no longer offers MD4 to hashlib."""

from __future__ import annotations

import struct

_BLOCK = struct.Struct("<16I")
_STATE = struct.Struct("<4I")
_MASK = 0xFFFFFFFF

#: The three rounds: constant, rotations, order of the sixteen words (RFC 1320 section 3.4).
_ROUNDS = (
    (0x00000000, (3, 7, 11, 19), (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)),
    (0x5A827999, (3, 5, 9, 13), (0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)),
    (0x6ED9EBA1, (3, 9, 11, 15), (0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15)),
)


def _mix(index: int, b: int, c: int, d: int) -> int:
    """The function F, G or H of round *index*."""
    if index == 0:
        return (b & c) | (~b & d)
    if index == 1:
        return (b & c) | (b & d) | (c & d)
    return b ^ c ^ d


def md4(data: bytes) -> bytes:
    """The 16-byte MD4 digest of *data*."""
    padded = data + b"\x80" + bytes(-(len(data) + 9) % 64) + struct.pack("<Q", len(data) * 8 & (2**64 - 1))
    state = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
    for block in range(0, len(padded), 64):
        words = _BLOCK.unpack_from(padded, block)
        a, b, c, d = state
        for index, (constant, shifts, order) in enumerate(_ROUNDS):
            for step, word in enumerate(order):
                shift = shifts[step & 3]
                total = (a + _mix(index, b, c, d) + words[word] + constant) & _MASK
                a, b, c, d = d, (total << shift | total >> (32 - shift)) & _MASK, b, c
        old = state
        state = ((old[0] + a) & _MASK, (old[1] + b) & _MASK, (old[2] + c) & _MASK, (old[3] + d) & _MASK)
    return _STATE.pack(*state)


def nt_hash(password: str) -> bytes:
    """The NT hash of *password*: MD4 over its UTF-16LE form, 16 bytes. Reference: [MS-NLMP] 3.3.1 NTOWFv1."""
    return md4(password.encode("utf-16-le", "surrogatepass"))
