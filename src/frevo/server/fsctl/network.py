"""FSCTL_QUERY_NETWORK_INTERFACE_INFO: other addresses to connect to ([MS-SMB2] 3.3.5.15.11)."""

from __future__ import annotations

from frevo.errors import SMBError
from frevo.proto.dialect import SMB_3_0
from frevo.server.core.network_interfaces import interfaces_for
from frevo.server.fsctl import FsctlCall
from frevo.transport.interfaces import local_addresses
from frevo.wire.erref import NTStatus
from frevo.wire.smb2.ioctl_structures import pack_network_interfaces


def interfaces(call: FsctlCall) -> bytes:
    """The addresses of this machine, and which of them serve SMB Direct.

    Refused without SMB Direct: a session has one connection, so that there is no other reason to look for addresses.
    """
    server, connection = call.request.server, call.request.connection
    if not server.listening.rdma_hosts:
        raise SMBError(NTStatus.NOT_SUPPORTED, "neither multichannel nor SMB Direct")
    if connection.dialect is None or connection.dialect.revision < SMB_3_0.revision:
        raise SMBError(NTStatus.NOT_SUPPORTED, "needs SMB 3")
    try:
        local = local_addresses()
    except OSError as error:
        raise SMBError(NTStatus.INSUFFICIENT_RESOURCES, f"the kernel does not tell its addresses: {error}") from error
    found = interfaces_for(connection.local.rpartition(":")[0].strip("[]"), server.listening, local)
    output = pack_network_interfaces(found)
    call.need_output(len(output))
    return output
