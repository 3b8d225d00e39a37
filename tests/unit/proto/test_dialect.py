"""The table of dialects, and which one the two sides choose."""

from __future__ import annotations

import pytest

from frevo.proto.dialect import (
    BY_NAME,
    BY_REVISION,
    DIALECTS,
    SMB_2_0_2,
    SMB_2_1,
    SMB_3_0,
    SMB_3_0_2,
    SMB_3_1_1,
    WILDCARD_REVISION,
    Cipher,
    Dialect,
    Signing,
    choose,
)


def test_the_table_matches_the_specification() -> None:
    """[MS-SMB2] 1.7 and 2.2.3: which dialect introduced what."""
    assert [d.revision for d in DIALECTS] == [0x0202, 0x0210, 0x0300, 0x0302, 0x0311]
    assert [d.name for d in DIALECTS if d.multi_credit] == ["SMB2_10", "SMB3_00", "SMB3_02", "SMB3_11"]
    assert [d.name for d in DIALECTS if d.encryption] == ["SMB3_00", "SMB3_02", "SMB3_11"]
    assert [d.name for d in DIALECTS if d.contexts] == ["SMB3_11"]
    assert [d.name for d in DIALECTS if not d.validate_negotiate] == ["SMB3_11"]
    assert [d.signing for d in DIALECTS] == [Signing.HMAC_SHA256] * 2 + [Signing.AES_CMAC] * 3
    assert set(BY_REVISION) == {d.revision for d in DIALECTS} and WILDCARD_REVISION not in BY_REVISION
    assert all(BY_NAME[d.name] is BY_REVISION[d.revision] is d for d in DIALECTS)


@pytest.mark.parametrize(
    ("offered", "minimum", "maximum", "chosen"),
    [
        ([0x0202, 0x0210, 0x0300, 0x0302, 0x0311], SMB_2_0_2, SMB_3_1_1, SMB_3_1_1),
        ([0x0311, 0x0202], SMB_2_0_2, SMB_3_1_1, SMB_3_1_1),  # the client's order means nothing
        ([0x0202, 0x0311], SMB_2_0_2, SMB_3_0_2, SMB_2_0_2),
        ([0x0202, 0x0210, 0x0311], SMB_2_1, SMB_3_0, SMB_2_1),
        ([0x0300, 0x0300], SMB_3_0, SMB_3_0, SMB_3_0),
        ([0x0202, 0x0210], SMB_3_0, SMB_3_1_1, None),
        ([0x0311], SMB_2_0_2, SMB_3_0_2, None),
        ([0x02FF, 0x0000, 0xFFFF, 0x0312], SMB_2_0_2, SMB_3_1_1, None),  # none that this server knows
        ([], SMB_2_0_2, SMB_3_1_1, None),
        ([0x0300], SMB_3_1_1, SMB_2_0_2, None),  # a configuration that serves nothing
    ],
)
def test_the_newest_that_both_have(
    offered: list[int], minimum: Dialect, maximum: Dialect, chosen: Dialect | None
) -> None:
    """[MS-SMB2] 3.3.5.4: the greatest common revision within the configured range."""
    assert choose(offered, minimum, maximum) is chosen


def test_lengths_of_keys() -> None:
    """[MS-SMB2] 3.1.4.2: 32 bytes for the AES-256 ciphers, 16 for the others."""
    assert [(cipher.value, cipher.key_length) for cipher in Cipher][1:] == [(1, 16), (2, 16), (3, 32), (4, 32)]
