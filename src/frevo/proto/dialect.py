"""The features of each dialect, in one table; no other code compares a dialect with a number."""

from __future__ import annotations

from enum import IntEnum

import msgspec


class Signing(IntEnum):
    """Signing algorithms, [MS-SMB2] 2.2.3.1.7."""

    HMAC_SHA256 = 0
    AES_CMAC = 1
    AES_GMAC = 2


class Cipher(IntEnum):
    """Encryption algorithms, [MS-SMB2] 2.2.3.1.2; NONE is ours."""

    NONE = 0
    AES_128_CCM = 1
    AES_128_GCM = 2
    AES_256_CCM = 3
    AES_256_GCM = 4

    @property
    def key_length(self) -> int:
        """Key length in bytes."""
        return 32 if self >= Cipher.AES_256_CCM else 16


class Dialect(msgspec.Struct, frozen=True):
    """One row: the revision on the wire and its features ([MS-SMB2] 1.7, 3.3.5.4)."""

    revision: int
    name: str  # as smb.conf spells it (`server max protocol`)
    multi_credit: bool
    encryption: bool  # negotiated by capability (3.0, 3.0.2) or context (3.1.1)
    contexts: bool  # negotiate contexts and preauth integrity
    signing: Signing  # the algorithm when none is negotiated
    validate_negotiate: bool  # the client may send FSCTL_VALIDATE_NEGOTIATE_INFO


SMB_2_0_2 = Dialect(0x0202, "SMB2_02", False, False, False, Signing.HMAC_SHA256, True)
SMB_2_1 = Dialect(0x0210, "SMB2_10", True, False, False, Signing.HMAC_SHA256, True)
SMB_3_0 = Dialect(0x0300, "SMB3_00", True, True, False, Signing.AES_CMAC, True)
SMB_3_0_2 = Dialect(0x0302, "SMB3_02", True, True, False, Signing.AES_CMAC, True)
SMB_3_1_1 = Dialect(0x0311, "SMB3_11", True, True, True, Signing.AES_CMAC, False)

#: Every dialect, oldest first.
DIALECTS: tuple[Dialect, ...] = (SMB_2_0_2, SMB_2_1, SMB_3_0, SMB_3_0_2, SMB_3_1_1)
BY_REVISION: dict[int, Dialect] = {dialect.revision: dialect for dialect in DIALECTS}
BY_NAME: dict[str, Dialect] = {dialect.name: dialect for dialect in DIALECTS}

#: DialectRevision that answers an SMB1 negotiate for "SMB 2.???" ([MS-SMB2] 3.3.5.3.2).
WILDCARD_REVISION = 0x02FF


def newer(dialect: Dialect, revision: int) -> Dialect:
    """*dialect*, or the one with *revision* when that is newer: the oldest that a policy and a transport allow."""
    return max(dialect, BY_REVISION[revision], key=lambda one: one.revision)


def choose(offered: list[int], minimum: Dialect, maximum: Dialect) -> Dialect | None:
    """The newest dialect between *minimum* and *maximum* that both sides support; None if there is none."""
    common = [
        d for d in DIALECTS if minimum.revision <= d.revision <= maximum.revision and d.revision in offered
    ]
    return common[-1] if common else None
