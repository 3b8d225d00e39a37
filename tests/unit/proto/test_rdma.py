"""RDMA transforms as server and client negotiate them, and what the data plane is told about RDMA."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from frevo.errors import RemoteProtocolError, SMBError, WireError
from frevo.proto.dialect import (
    DIALECTS,
    SMB_2_0_2,
    SMB_2_1,
    SMB_3_0,
    SMB_3_0_2,
    SMB_3_1_1,
    Cipher,
    Dialect,
    Signing,
)
from frevo.proto.negotiation import NegotiationPolicy, negotiate
from frevo.proto.offer import accept, offer
from frevo.proto.rdma import TRANSFORMS, ways
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    NegotiateContext,
    NegotiateContextType,
    NegotiateRequest,
    NegotiateResponse,
    PreauthIntegrityCapabilities,
    RDMATransform,
    RDMATransformCapabilities,
)

ENCRYPTION, SIGNING = RDMATransform.ENCRYPTION, RDMATransform.SIGNING
TYPE = NegotiateContextType.RDMA_TRANSFORM_CAPABILITIES
GUID = bytes(16)
POLICY = NegotiationPolicy(
    SMB_2_0_2, SMB_3_1_1, False, (Signing.AES_GMAC,), (Cipher.AES_128_GCM,), 1 << 20, 8 << 20, 8 << 20
)


def request(*contexts: NegotiateContext) -> NegotiateRequest:
    preauth = PreauthIntegrityCapabilities([1], b"s" * 32).context()
    return NegotiateRequest([0x0311], 1, 0x7F, GUID, contexts=[preauth, *contexts])


def policy(*transforms: RDMATransform) -> NegotiationPolicy:
    return replace(POLICY, rdma_transforms=transforms)


def transforms_in(contexts: Sequence[NegotiateContext]) -> list[list[int]]:
    found = [one.data for one in contexts if one.context_type == TYPE]
    return [RDMATransformCapabilities.parse(data).rdma_transform_ids for data in found]


def capabilities(*numbers: int) -> NegotiateContext:
    return RDMATransformCapabilities(list(numbers)).context()


@pytest.mark.parametrize(
    ("offered", "ours", "chosen", "answered"),
    [
        ([1, 2], TRANSFORMS["both"], (ENCRYPTION, SIGNING), [[1, 2]]),
        ([2, 1, 9], TRANSFORMS["encryption"], (ENCRYPTION,), [[1]]),
        ([2], TRANSFORMS["signing"], (SIGNING,), [[2]]),
        ([2], TRANSFORMS["encryption"], (), [[0]]),  # nothing in common: NONE
        ([0], TRANSFORMS["both"], (), [[0]]),
        ([1, 2], TRANSFORMS["none"], (), []),  # not supported: ignored
    ],
)
def test_the_server_chooses_what_both_have(
    offered: list[int], ours: Sequence[RDMATransform], chosen: tuple[RDMATransform, ...], answered: list[list[int]]
) -> None:
    """[MS-SMB2] 3.3.5.4."""
    result = negotiate(request(capabilities(*offered)), policy(*ours))
    assert result.rdma_transforms == chosen
    assert transforms_in(result.contexts) == answered


@pytest.mark.parametrize("data", [b"", bytes(7), b"\2\0" + bytes(6) + b"\1\0", bytes(8)])
def test_bad_contexts_are_refused_unless_they_are_ignored(data: bytes) -> None:
    """Too short, fewer transforms than it says, and none."""
    bad = request(NegotiateContext(TYPE, data))
    with pytest.raises((SMBError, WireError)) as error:  # of a WireError, the server makes INVALID_PARAMETER
        negotiate(bad, policy(ENCRYPTION))
    assert not isinstance(error.value, SMBError) or error.value.status == NTStatus.INVALID_PARAMETER
    assert negotiate(bad, policy()).rdma_transforms == ()


@pytest.mark.parametrize("mine", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("theirs", TRANSFORMS.values(), ids=TRANSFORMS)
def test_both_sides_agree(mine: Sequence[RDMATransform], theirs: Sequence[RDMATransform]) -> None:
    """Whatever each side wants: the client accepts what the server has decided."""
    made = offer(policy(*mine), GUID, "nas")
    assert transforms_in(made.contexts) == ([[int(one) for one in mine]] if mine else [])
    decided = negotiate(made, policy(*theirs))
    answer = NegotiateResponse(
        decided.security_mode, decided.dialect.revision, GUID, decided.capabilities, decided.max_transact,
        decided.max_read, decided.max_write, contexts=decided.contexts,
    )  # fmt: skip
    accepted = accept(made, answer, policy(*mine))
    assert accepted.rdma_transforms == decided.rdma_transforms == tuple(one for one in mine if one in theirs)


@pytest.mark.parametrize("answered", [[2], [1, 2], [0, 1], [7]])
def test_the_client_takes_only_what_it_has_offered(answered: list[int]) -> None:
    """[MS-SMB2] 3.2.5.2."""
    made = offer(policy(ENCRYPTION), GUID, "nas")
    decided = negotiate(made, policy())
    contexts = [*decided.contexts, capabilities(*answered)]
    answer = NegotiateResponse(
        1, 0x0311, GUID, decided.capabilities, 1 << 20, 1 << 20, 1 << 20, contexts=contexts
    )
    with pytest.raises(RemoteProtocolError, match="RDMA transforms"):
        accept(made, answer, policy(ENCRYPTION))
    assert accept(offer(policy(), GUID, "nas"), answer, policy()).rdma_transforms == ()


@pytest.mark.parametrize(
    ("dialect", "transforms", "expected"),
    [
        (SMB_2_1, (), 0),
        (SMB_3_0, (), 1),
        (SMB_3_0_2, (), 3),
        (SMB_3_1_1, (), 3),
        (SMB_3_1_1, (ENCRYPTION,), 7),
        (SMB_3_1_1, (SIGNING,), 11),
        (SMB_3_1_1, (ENCRYPTION, SIGNING), 15),
    ],
)
def test_what_the_data_plane_is_told(
    dialect: Dialect, transforms: Sequence[RDMATransform], expected: int
) -> None:
    """The sum of the ways that `ConnectionSettings` explains."""
    assert ways(dialect, transforms) == expected


def test_every_dialect_without_rdma_has_no_ways() -> None:
    """RDMA begins with 3.0 ([MS-SMB2] 2.1)."""
    assert [ways(one, ()) > 0 for one in DIALECTS] == [False, False, True, True, True]
