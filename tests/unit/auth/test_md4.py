"""MD4 and the NT hash against published vectors."""

from __future__ import annotations

import pytest

from frevo.auth.md4 import md4, nt_hash


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        ("", "31d6cfe0d16ae931b73c59d7e0c089c0"),
        ("a", "bde52cb31de33e46245e05fbdbd6fb24"),
        ("abc", "a448017aaf21d8525fc10ae87aa6729d"),
        ("message digest", "d9130a8164549fe818874806e1c7014b"),
        ("abcdefghijklmnopqrstuvwxyz", "d79e1c308aa5bbcdeea8ed63df412da9"),
        (
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
            "043f8582f241db351ce627e153e7f0e4",
        ),
        ("1234567890" * 8, "e33b4ddc9c38f2199c3e7b164fcc0536"),
    ],
)
def test_md4(text: str, digest: str) -> None:
    """Goal: MD4 is right. Method: the test suite of RFC 1320 appendix A.5."""
    assert md4(text.encode()).hex() == digest


def test_nt_hash() -> None:
    """Goal: the NT hash is right. Method: NTOWFv1 of "Password" in [MS-NLMP] 4.2.2.1.2."""
    assert nt_hash("Password").hex() == "a4f49c406510bdcab6824ee7c30fd852"
