"""What RDMA may carry on a connection: channels by the dialect, RDMA transforms as negotiated ([MS-SMB2] 2.2.3.1.6)."""

from __future__ import annotations

from collections.abc import Sequence

from frevo.proto.dialect import SMB_3_0, SMB_3_0_2, Dialect
from frevo.wire.smb2 import NegotiateContext, RDMATransform, RDMATransformCapabilities

# The ways of `ConnectionSettings.rdma`.
_CHANNEL, _INVALIDATE = 1, 2
_WAYS = {RDMATransform.ENCRYPTION: 4, RDMATransform.SIGNING: 8}

#: What configurations may say: which transforms to offer and to accept.
TRANSFORMS: dict[str, tuple[RDMATransform, ...]] = {
    "both": (RDMATransform.ENCRYPTION, RDMATransform.SIGNING),
    "encryption": (RDMATransform.ENCRYPTION,),
    "signing": (RDMATransform.SIGNING,),
    "none": (),
}


def ways(dialect: Dialect, transforms: Sequence[int]) -> int:
    """`ConnectionSettings.rdma` for a connection over RDMA."""
    if dialect.revision < SMB_3_0.revision:
        return 0
    found = _CHANNEL
    if dialect.revision >= SMB_3_0_2.revision:
        found |= _INVALIDATE
    return found | sum(way for transform, way in _WAYS.items() if transform in transforms)


def offer_transforms(transforms: Sequence[RDMATransform]) -> NegotiateContext:
    """The context of a request, or of an answer; none in common is said so ([MS-SMB2] 3.3.5.4)."""
    return RDMATransformCapabilities([int(one) for one in transforms or (RDMATransform.NONE,)]).context()


def answer_transforms(data: bytes, ours: Sequence[RDMATransform]) -> tuple[RDMATransform, ...]:
    """The transforms that both sides have. ValueError if the client offers none, WireError if the data is too short."""
    offered = RDMATransformCapabilities.parse(data).rdma_transform_ids
    if not offered:
        raise ValueError("no transforms in the RDMA transform context")
    return tuple(one for one in ours if one in offered)


def accept_transforms(data: bytes, ours: Sequence[RDMATransform]) -> tuple[RDMATransform, ...]:
    """The transforms that the server has chosen ([MS-SMB2] 3.2.5.2). ValueError if they were not offered, WireError if
    the data is too short."""
    chosen = RDMATransformCapabilities.parse(data).rdma_transform_ids
    if chosen == [RDMATransform.NONE]:
        return ()
    if len(chosen) > len(ours) or not set(chosen) <= {int(one) for one in ours}:
        raise ValueError(f"the server chose RDMA transforms {chosen}, which were not offered")
    return tuple(one for one in ours if one in chosen)
