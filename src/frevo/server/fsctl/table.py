"""TABLE: the supported control codes with their functions."""

from __future__ import annotations

from frevo.server.fsctl import (
    FsctlRule,
    compression,
    copychunk,
    misc,
    network,
    pipe,
    sparse,
    validate_negotiate,
)
from frevo.wire.fscc import FsctlCode

#: Other codes get INVALID_DEVICE_REQUEST ([MS-SMB2] 3.3.5.15).
TABLE: dict[int, FsctlRule] = {
    FsctlCode.DFS_GET_REFERRALS: FsctlRule(misc.dfs_referrals, needs_open=False),
    FsctlCode.DFS_GET_REFERRALS_EX: FsctlRule(misc.dfs_referrals, needs_open=False),
    FsctlCode.PIPE_WAIT: FsctlRule(pipe.wait, needs_open=False),
    FsctlCode.PIPE_PEEK: FsctlRule(pipe.peek),
    FsctlCode.PIPE_TRANSCEIVE: FsctlRule(pipe.transceive),
    FsctlCode.VALIDATE_NEGOTIATE_INFO: FsctlRule(validate_negotiate.validate, needs_open=False),
    FsctlCode.QUERY_NETWORK_INTERFACE_INFO: FsctlRule(network.interfaces, needs_open=False),
    FsctlCode.SRV_REQUEST_RESUME_KEY: FsctlRule(copychunk.resume_key),
    FsctlCode.SRV_COPYCHUNK: FsctlRule(copychunk.copy),
    FsctlCode.SRV_COPYCHUNK_WRITE: FsctlRule(copychunk.copy),
    FsctlCode.SRV_ENUMERATE_SNAPSHOTS: FsctlRule(misc.not_supported),
    FsctlCode.SET_SPARSE: FsctlRule(sparse.set_sparse),
    FsctlCode.SET_ZERO_DATA: FsctlRule(sparse.set_zero_data),
    FsctlCode.QUERY_ALLOCATED_RANGES: FsctlRule(sparse.query_allocated_ranges),
    FsctlCode.GET_COMPRESSION: FsctlRule(compression.get_compression),
    FsctlCode.SET_COMPRESSION: FsctlRule(compression.set_compression),
    FsctlCode.CREATE_OR_GET_OBJECT_ID: FsctlRule(misc.object_id),
    FsctlCode.GET_OBJECT_ID: FsctlRule(misc.object_id),
    FsctlCode.GET_REPARSE_POINT: FsctlRule(misc.reparse_point),
    FsctlCode.IS_PATHNAME_VALID: FsctlRule(misc.nothing_to_do),
}
