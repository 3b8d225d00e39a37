"""What has to be encrypted on a connection ([MS-SMB2] 3.3.5.4, 3.3.5.5.3, 3.3.5.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from frevo.config import ShareConfig
    from frevo.config.choices import EncryptionPolicy
    from frevo.server.core.state import Connection


def encryption_on(connection: Connection, config: ShareConfig) -> EncryptionPolicy:
    """`server smb encrypt` of a share, or of [global], on *connection*.

    If both ends rely on the transport (Connection.AcceptTransportSecurity), everything is already encrypted, and
    nothing has to be encrypted again, although the client may.
    """
    policy = config.server_smb_encrypt
    return "if_required" if connection.transport_security and policy in ("desired", "required") else policy
