"""The keys of [global] about SMB Direct: fields that GlobalConfig inherits, with those about TLS."""

from __future__ import annotations

from frevo.config import choices
from frevo.config.choices import RdmaTransforms, SmbDirectProvider
from frevo.config.key import setting
from frevo.config.tls_keys import TlsKeys
from frevo.config.types import Boolean, Integer, Size, Text
from frevo.transport.smbdirect import (
    CREDIT_COUNTS,
    MESSAGE_SIZE,
    MESSAGE_SIZES,
    RDMA_THRESHOLD_MAX,
    RECEIVE_SIZES,
    SmbDirectSettings,
)


class SmbDirectKeys(TlsKeys, frozen=True, kw_only=True):
    """What carries SMB Direct, for the server and for frevo's client commands."""

    frevo_smbdirect_provider: SmbDirectProvider = setting(
        choices.SMBDIRECT_PROVIDER,
        "auto",
        "What carries SMB Direct, for the server and for frevo's client commands. `verbs`: RDMA cards (InfiniBand, "
        "RoCE, iWARP), also those that the kernel emulates (siw, rxe). `iwarp`: frevo itself, over TCP; talks to iWARP "
        "cards and to siw. `emulated`: programs of this machine, through a Unix socket and by reading each other's "
        "memory. `kernel`: Linux's SMB Direct sockets, which no released kernel has. Those that cannot be used are an "
        "error. `auto`: `verbs` with a card that is active, else `iwarp`. Needs a restart.",
    )
    frevo_smbdirect_directory: str = setting(
        Text(),
        "",
        "The folder of the Unix sockets of `emulated`, one for each port.",
        default_text="/run/frevo for root, else $XDG_RUNTIME_DIR/frevo; clients look in both",
        restart=True,
    )
    frevo_smbdirect_credits: int = setting(
        Integer(*CREDIT_COUNTS),
        255,
        "How many messages of SMB Direct the other side may send ahead. Each takes `frevo:smbdirect receive size` of "
        "memory with cards.",
        unit="messages",
        restart=True,
    )
    frevo_smbdirect_receive_size: int = setting(
        Size(*RECEIVE_SIZES),
        8192,
        "The largest message of SMB Direct, each way. Larger messages of SMB are taken apart.",
        unit="bytes",
        restart=True,
    )
    frevo_smbdirect_message_size: int = setting(
        Size(*MESSAGE_SIZES),
        MESSAGE_SIZE,
        "The largest message of SMB over SMB Direct, without the data that move by RDMA. Linux sends WRITEs that are "
        "as large as for RDMA also encrypted, without RDMA, and gives the connection up if they do not fit.",
        unit="bytes",
        restart=True,
    )
    frevo_smbdirect_crc: bool = setting(
        Boolean(),
        False,
        "Whether `iwarp` has checksums (CRC32C) if the other side does not ask for them. TCP has weaker ones.",
        restart=True,
    )
    frevo_rdma_threshold: int = setting(
        Size(0, RDMA_THRESHOLD_MAX),
        8192,
        "From this size on, frevo's client commands let the server move the data of a READ or WRITE by RDMA. Smaller "
        "data travels in the messages; with 0, all of it.",
        unit="bytes",
    )
    frevo_rdma_transforms: RdmaTransforms = setting(
        choices.RDMA_TRANSFORMS,
        "both",
        "How data that moves by RDMA can be protected, for the server and for frevo's client commands: by `encryption` "
        "when the session is encrypted, by `signing` when it signs (`both`, one of them, or `none`). Where the other "
        "side cannot do that (Linux, Windows before 11 and Server 2022), the data of such a session travels in the "
        "messages instead.",
    )

    @property
    def smb_direct(self) -> SmbDirectSettings:
        """All of them but the threshold."""
        return SmbDirectSettings(
            self.frevo_smbdirect_provider,
            self.frevo_smbdirect_directory,
            self.frevo_smbdirect_credits,
            self.frevo_smbdirect_receive_size,
            self.frevo_smbdirect_message_size,
            self.frevo_smbdirect_crc,
        )
