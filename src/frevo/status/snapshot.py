"""The snapshot: sessions, channels, connected shares and open files, and their JSON in smbstatus's format.

Identifiers are strings because JSON readers lose digits of 64-bit numbers; times are ISO 8601 with the zone's offset.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

Degree = Literal["none", "anonymous", "partial", "full"]

#: [MS-SMB2] 2.2.13.1.1, in the order that smbstatus prints.
_ACCESS_BITS: dict[str, int] = {
    "READ_DATA": 0x1,
    "WRITE_DATA": 0x2,
    "APPEND_DATA": 0x4,
    "READ_EA": 0x8,
    "WRITE_EA": 0x10,
    "EXECUTE": 0x20,
    "READ_ATTRIBUTES": 0x80,
    "WRITE_ATTRIBUTES": 0x100,
    "DELETE_CHILD": 0x40,
    "DELETE": 0x10000,
    "READ_CONTROL": 0x20000,
    "WRITE_DAC": 0x40000,
    "SYNCHRONIZE": 0x100000,
    "ACCESS_SYSTEM_SECURITY": 0x1000000,
}
_SHARE_BITS: dict[str, int] = {"READ": 1, "WRITE": 2, "DELETE": 4}
_LEASE_BITS: dict[str, int] = {"READ": 1, "WRITE": 4, "HANDLE": 2}

#: Dialect revisions as smbstatus names them.
_DIALECTS: dict[int, str] = {
    0x0202: "SMB2_02",
    0x0210: "SMB2_10",
    0x0300: "SMB3_00",
    0x0302: "SMB3_02",
    0x0311: "SMB3_11",
}


def dialect_name(revision: int) -> str:
    """`SMB3_11` for 0x0311."""
    return _DIALECTS.get(revision, f"0x{revision:04x}")


def timestamp(seconds: float) -> str:
    """Seconds since 1970 in smbstatus's format."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%dT%H:%M:%S.%f%z")


class Protection(msgspec.Struct, frozen=True):
    """How much is signed or encrypted, and with which algorithm."""

    cipher: str = "-"
    degree: Degree = "none"

    def as_json(self) -> dict[str, str]:
        """smbstatus's `encryption` and `signing` objects."""
        return {"cipher": self.cipher, "degree": self.degree}


class ServerId(msgspec.Struct, frozen=True):
    """The server's process; frevo has only one."""

    pid: int
    unique_id: int = 0

    def as_json(self) -> dict[str, str]:
        """smbstatus's `server_id`."""
        return {"pid": str(self.pid), "task_id": "0", "vnn": "4294967295", "unique_id": str(self.unique_id)}


class TlsStatus(msgspec.Struct, frozen=True):
    """What the TLS handshake of a connection came to; the certificate is the client's, empty if it has shown none."""

    cipher: str
    server_name: str = ""  # as the client called the server
    subject: str = ""
    sha256: str = ""
    #: Both ends rely on TLS instead of SMB encryption.
    replaces_encryption: bool = False
    driver: str = "user"  # who speaks QUIC: user or kernel

    def as_json(self) -> dict[str, Any]:
        """frevo's own; smbstatus says nothing of TLS."""
        return {
            "cipher": self.cipher,
            "server_name": self.server_name,
            "driver": self.driver,
            "client_certificate": {"subject": self.subject, "sha256": self.sha256} if self.sha256 else None,
            "replaces_encryption": self.replaces_encryption,
        }


class RdmaStatus(msgspec.Struct, frozen=True):
    """SMB Direct of one connection. Sizes are bytes; 0 before both ends have agreed.

    direct: data of READ and WRITE move without the messages' way: False where emulated RDMA may not read the client's
    memory. send_credits: messages that may be sent now. receive_credits: those that the client may send.
    """

    provider: str
    direct: bool = True
    send_size: int = 0
    receive_size: int = 0
    message_size: int = 0
    send_credits: int = 0
    receive_credits: int = 0
    bytes_sent: int = 0  # by RDMA
    bytes_received: int = 0
    registrations: int = 0  # memory that the client may use now

    def as_json(self) -> dict[str, Any]:
        """frevo's own; smbstatus says nothing of RDMA."""
        return msgspec.structs.asdict(self)


class CertificateStatus(msgspec.Struct, frozen=True):
    """A certificate that the server presents; *warning* says what is wrong with its dates or files, or nothing."""

    subject: str
    names: tuple[str, ...]
    sha256: str
    expires_s: float
    warning: str = ""

    def as_json(self) -> dict[str, Any]:
        """frevo's own."""
        return {
            "subject": self.subject,
            "names": list(self.names),
            "sha256": self.sha256,
            "expiration_time": timestamp(self.expires_s),
            "warning": self.warning,
        }


class ChannelStatus(msgspec.Struct, frozen=True):
    """A session's binding to one connection. Addresses are `ipv4:127.0.0.1:445`."""

    channel_id: int
    created_s: float
    local_address: str
    remote_address: str
    transport: str
    tls: TlsStatus | None = None
    rdma: RdmaStatus | None = None

    def as_json(self) -> dict[str, Any]:
        """smbstatus's channel; over QUIC with `tls`, over SMB Direct with `rdma`, which are frevo's own."""
        tls = {"tls": self.tls.as_json()} if self.tls is not None else {}
        rdma = {"rdma": self.rdma.as_json()} if self.rdma is not None else {}
        return {
            "channel_id": str(self.channel_id),
            "creation_time": timestamp(self.created_s),
            "local_address": self.local_address,
            "remote_address": self.remote_address,
            "transport": self.transport,
            **tls,
            **rdma,
        }


class SessionStatus(msgspec.Struct, frozen=True):
    """An authenticated user; `expires_s` is None for never."""

    session_id: int
    username: str
    remote_machine: str
    hostname: str
    dialect: int
    client_guid: str = ""
    uid: int = -1
    gid: int = -1
    groupname: str = ""
    created_s: float = 0.0
    authenticated_s: float = 0.0
    expires_s: float | None = None
    encryption: Protection = Protection()
    signing: Protection = Protection()
    channels: tuple[ChannelStatus, ...] = ()

    def as_json(self, server: ServerId) -> dict[str, Any]:
        """smbstatus's session."""
        return {
            "session_id": str(self.session_id),
            "server_id": server.as_json(),
            "uid": self.uid,
            "gid": self.gid,
            "username": self.username,
            "groupname": self.groupname,
            "creation_time": timestamp(self.created_s),
            "expiration_time": timestamp(self.expires_s) if self.expires_s is not None else "-",
            "auth_time": timestamp(self.authenticated_s or self.created_s),
            "remote_machine": self.remote_machine,
            "hostname": self.hostname,
            "session_dialect": dialect_name(self.dialect),
            "client_guid": self.client_guid,
            "encryption": self.encryption.as_json(),
            "signing": self.signing.as_json(),
            "channels": {str(channel.channel_id): channel.as_json() for channel in self.channels},
        }


class TreeStatus(msgspec.Struct, frozen=True):
    """A connected share."""

    tcon_id: int
    session_id: int
    service: str
    machine: str
    connected_s: float
    encryption: Protection = Protection()
    signing: Protection = Protection()
    #: Where calls to its file system are made, "loop" or "threads", and why.
    calls: str = ""
    calls_reason: str = ""

    def as_json(self, server: ServerId) -> dict[str, Any]:
        """smbstatus's tcon; `calls` is frevo's own, of shares with a file system."""
        calls = {"calls": {"where": self.calls, "reason": self.calls_reason}} if self.calls else {}
        return {
            "service": self.service,
            "server_id": server.as_json(),
            "tcon_id": str(self.tcon_id),
            "session_id": str(self.session_id),
            "machine": self.machine,
            "connected_at": timestamp(self.connected_s),
            "encryption": self.encryption.as_json(),
            "signing": self.signing.as_json(),
            **calls,
        }


class HoldStatus(msgspec.Struct, frozen=True):
    """Why the control plane answers reads or writes of a file itself, though the fast path is on."""

    reason: str
    reads: bool
    writes: bool

    def as_json(self) -> dict[str, Any]:
        """frevo's own."""
        return {"reason": self.reason, "reads": self.reads, "writes": self.writes}


class OpenStatus(msgspec.Struct, frozen=True):
    """One open file. `share_access` and `access_mask` are the bits of [MS-SMB2] 2.2.13. *attached*: the fast path
    answers for it, except what *holds*, those of its file, keep out."""

    share_file_id: int
    service_path: str
    filename: str
    device: int
    inode: int
    uid: int
    username: str
    share_access: int
    access_mask: int
    opened_s: float
    caching: int = 0
    delete_pending: bool = False
    attached: bool = False
    holds: tuple[HoldStatus, ...] = ()

    @property
    def key(self) -> str:
        """The file's absolute path, under which smbstatus groups opens."""
        return f"{self.service_path.rstrip('/')}/{self.filename}".rstrip("/") or "/"

    def as_json(self, server: ServerId) -> dict[str, Any]:
        """smbstatus's open; `fast_path` is frevo's own."""
        return {
            "server_id": server.as_json(),
            "uid": self.uid,
            "share_file_id": str(self.share_file_id),
            "sharemode": _bits(self.share_access, _SHARE_BITS, _share_text(self.share_access)),
            "access_mask": _bits(self.access_mask, _ACCESS_BITS, _access_text(self.access_mask)),
            "caching": _bits(self.caching, _LEASE_BITS, _caching_text(self.caching)),
            "oplock": {},
            "lease": {},
            "flags_mask": {
                "hex": "0x00000000",
                "posix": False,
                "baseopen": False,
                "deny-dos": False,
                "deny-fcb": False,
                "persistent": False,
            },
            "opened_at": timestamp(self.opened_s),
            "fast_path": {"attached": self.attached, "held": [one.as_json() for one in self.holds]},
        }


class Snapshot(msgspec.Struct, frozen=True):
    """The state of the server at one moment."""

    version: str
    smb_conf: str
    server: ServerId
    sessions: tuple[SessionStatus, ...] = ()
    trees: tuple[TreeStatus, ...] = ()
    opens: tuple[OpenStatus, ...] = ()
    taken_s: float = msgspec.field(default_factory=time.time)
    #: frevo's own: listeners, engine, counters; shown under the key `frevo`.
    extra: Mapping[str, Any] = msgspec.field(default_factory=dict)

    def json_steps(self) -> Generator[None, None, dict[str, Any]]:
        """The whole in smbstatus's shape, with frevo's own facts under `frevo`, made in small steps."""
        sessions, tcons = {}, {}
        for session in self.sessions:
            sessions[str(session.session_id)] = session.as_json(self.server)
            yield
        for tree in self.trees:
            tcons[f"{tree.session_id}/{tree.tcon_id}"] = tree.as_json(self.server)
            yield
        return {
            "timestamp": timestamp(self.taken_s),
            "version": self.version,
            "smb_conf": self.smb_conf,
            "sessions": sessions,
            "tcons": tcons,
            "open_files": (yield from self._files()),
            "frevo": dict(self.extra),
        }

    def _files(self) -> Generator[None, None, dict[str, Any]]:
        files: dict[str, dict[str, Any]] = {}
        for item in self.opens:
            entry = files.setdefault(
                item.key,
                {
                    "service_path": item.service_path,
                    "filename": item.filename,
                    "fileid": {"devid": item.device, "inode": item.inode, "extid": 0},
                    "num_pending_deletes": 0,
                    "opens": {},
                },
            )
            entry["num_pending_deletes"] += item.delete_pending
            entry["opens"][f"{self.server.pid}/{item.share_file_id}"] = item.as_json(self.server)
            yield
        return files


def degree_of(flags: Iterable[bool]) -> Degree:
    """`full` if all are, `partial` if some are, else `none`."""
    values = list(flags)
    if values and all(values):
        return "full"
    return "partial" if any(values) else "none"


def _bits(value: int, names: Mapping[str, int], text: str) -> dict[str, Any]:
    flags = {name: bool(value & bit) for name, bit in names.items()}
    return {"hex": f"0x{value:08x}", **flags, "text": text}


def _share_text(value: int) -> str:
    return "".join(letter for letter, bit in (("R", 1), ("W", 2), ("D", 4)) if value & bit)


def _access_text(value: int) -> str:
    return "".join(letter for letter, bits in (("R", 0x1 | 0x20), ("W", 0x2 | 0x4)) if value & bits)


def _caching_text(value: int) -> str:
    return "".join(letter for letter, bit in (("R", 1), ("W", 4), ("H", 2)) if value & bit)
