"""Collects the snapshot from the records of a running server (frevo.server.core.state)."""

from __future__ import annotations

import os
import time
import uuid
from collections import Counter
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from frevo import __version__
from frevo.status.snapshot import (
    ChannelStatus,
    HoldStatus,
    OpenStatus,
    Protection,
    RdmaStatus,
    ServerId,
    SessionStatus,
    Snapshot,
    TlsStatus,
    TreeStatus,
    degree_of,
)
from frevo.wire.dtyp.filetime import to_unix_ns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from frevo.locking.file_table import FileRecord
    from frevo.server.core.server import Server
    from frevo.server.core.state import Connection, Open, Session, Tree
    from frevo.status.snapshot import CertificateStatus

_SIGNING_NAMES = {0: "HMAC-SHA256", 1: "AES-128-CMAC", 2: "AES-128-GMAC"}
_CIPHER_NAMES = {1: "AES-128-CCM", 2: "AES-128-GCM", 3: "AES-256-CCM", 4: "AES-256-GCM"}


class Source(Protocol):
    """The parts of a running server that the snapshot needs."""

    @property
    def server(self) -> Server: ...
    @property
    def addresses(self) -> Sequence[tuple[str, str, int]]: ...
    @property
    def engine(self) -> str: ...
    @property
    def read_path(self) -> str: ...
    @property
    def unused_read_paths(self) -> Mapping[str, str]: ...
    @property
    def write_path(self) -> str: ...
    @property
    def unused_write_paths(self) -> Mapping[str, str]: ...
    @property
    def certificates(self) -> Sequence[CertificateStatus]: ...


def collect(source: Source) -> Generator[None, None, Snapshot]:
    """The state of the server at this moment. Only reads; never waits."""
    server = source.server
    sessions: list[SessionStatus] = []
    trees: list[TreeStatus] = []
    for session in tuple(server.sessions.values()):
        if session.identity is not None:
            sessions.append(_session(server, session))
            trees += map(_tree, session.trees.values())
        yield
    opens = []
    held: dict[FileRecord, tuple[HoldStatus, ...]] = {}
    for opened in tuple(server.opens.values()):
        status = _open(server, opened)
        if status is not None:
            opens.append(status)
            if opened.record is not None and status.holds:
                held[opened.record] = status.holds
        yield
    return Snapshot(
        version=__version__,
        smb_conf=server.config.source,
        server=ServerId(os.getpid()),
        sessions=tuple(sessions),
        trees=tuple(trees),
        opens=tuple(opens),
        extra={
            "pid": os.getpid(),
            "engine": source.engine,
            "read_path": source.read_path,
            "unused_read_paths": dict(source.unused_read_paths),
            "write_path": source.write_path,
            "unused_write_paths": dict(source.unused_write_paths),
            "listening": ", ".join(
                f"{name} {_bracketed(host)}:{port}" for name, host, port in source.addresses
            ),
            "connections": len(server.connections),
            "transports": dict(Counter(one.transport for one in server.connections.values())),
            "certificates": [one.as_json() for one in source.certificates],
            "sessions": len(server.sessions),
            "opens": len(server.opens),
            "users": server.budgets.by_user(),
            "fast_path": {
                "enabled": server.config.globals.frevo_fast_path,
                "opens": sum(one.attached for one in opens),
                "held": _files_held(held.values()),
            },
            **_statistics(source),
        },
    )


def _statistics(source: Any) -> dict[str, Any]:
    statistics = getattr(source, "statistics", None)
    return {"statistics": dict(statistics())} if callable(statistics) else {}


def _session(server: Server, session: Session) -> SessionStatus:
    connection, identity = session.connection, session.identity
    assert identity is not None
    expires = session.expires_at
    remaining = None if expires is None else expires - server.monotonic()
    return SessionStatus(
        session_id=session.id,
        username=identity.account,
        remote_machine=host_of(connection.peer),
        hostname=tagged(connection.peer),
        dialect=connection.dialect.revision if connection.dialect else 0,
        client_guid=str(uuid.UUID(bytes_le=connection.client_guid)),
        uid=os.geteuid() if identity.uid is None else identity.uid,
        gid=os.getegid() if identity.gid is None else identity.gid,
        created_s=seconds(session.created_at),
        authenticated_s=seconds(session.created_at),
        expires_s=None if remaining is None else time.time() + remaining,
        encryption=_encryption(
            connection, full=session.encrypt, some=(tree.encrypt for tree in session.trees.values())
        ),
        signing=_signing(connection, required=session.signing_required),
        channels=(_channel(server, connection),),
    )


def _channel(server: Server, connection: Connection) -> ChannelStatus:
    return ChannelStatus(
        channel_id=connection.id,
        created_s=seconds(connection.connected_at),
        local_address=tagged(connection.local),
        remote_address=tagged(connection.peer),
        transport=connection.transport,
        tls=_tls(connection),
        rdma=_rdma(server, connection),
    )


def _tls(connection: Connection) -> TlsStatus | None:
    secured = connection.secured
    if secured is None:
        return None
    return TlsStatus(
        cipher=secured.cipher,
        server_name=secured.server_name,
        subject=connection.peer_subject,
        sha256=secured.fingerprint,
        replaces_encryption=connection.transport_security,
        driver=secured.driver,
    )


def _rdma(server: Server, connection: Connection) -> RdmaStatus | None:
    if not connection.traits.rdma:
        return None
    found = server.transport.smb_direct(connection.id)
    return None if found is None else RdmaStatus(**found)


def _tree(tree: Tree) -> TreeStatus:
    session = tree.session
    return TreeStatus(
        tcon_id=tree.id,
        session_id=session.id,
        service=tree.share.name,
        machine=host_of(session.connection.peer),
        connected_s=seconds(tree.connected_at),
        encryption=_encryption(session.connection, full=session.encrypt or tree.encrypt, some=()),
        signing=_signing(session.connection, required=session.signing_required),
        **_calls(tree),
    )


def _calls(tree: Tree) -> dict[str, str]:
    if tree.backend is None:
        return {}
    if tree.lane is not None:
        return {"calls": "threads", "calls_reason": tree.lane.reason}
    asked = tree.share.config.frevo_inline_metadata == "yes"
    return {"calls": "loop", "calls_reason": "frevo:inline metadata = yes" if asked else "local and fast"}


def _files_held(files: Iterable[tuple[HoldStatus, ...]]) -> list[dict[str, Any]]:
    """For each reason of holds, how many files it keeps from fast reads, and how many from fast writes."""
    reads, writes = Counter[str](), Counter[str]()
    for holds in files:
        reads.update({hold.reason for hold in holds if hold.reads})
        writes.update({hold.reason for hold in holds if hold.writes})
    return [
        {"reason": reason, "reads": reads[reason], "writes": writes[reason]}
        for reason in sorted({*reads, *writes})
    ]


def _holds(server: Server, record: FileRecord | None) -> tuple[HoldStatus, ...]:
    return tuple(HoldStatus(*one) for one in server.fastpath.holds(record)) if record is not None else ()


def _open(server: Server, item: Open) -> OpenStatus | None:
    """None for a pipe."""
    identity = item.session.identity
    if item.handle is None or identity is None:
        return None
    file = item.handle.identity
    return OpenStatus(
        share_file_id=item.volatile_id,
        service_path=item.tree.share.path,
        filename=item.path.replace("\\", "/"),
        device=file.device,
        inode=file.inode,
        uid=os.geteuid() if identity.uid is None else identity.uid,
        username=identity.account,
        share_access=item.share_access,
        access_mask=item.granted_access,
        opened_s=seconds(item.opened_at),
        delete_pending=bool(item.record is not None and item.record.delete_pending),
        attached=item.attached,
        holds=_holds(server, item.record),
    )


def _encryption(connection: Connection, *, full: bool, some: Iterable[bool]) -> Protection:
    degree = "full" if full else degree_of([False, *some])
    name = _CIPHER_NAMES.get(int(connection.cipher), "-") if degree != "none" else "-"
    return Protection(name, degree)


def _signing(connection: Connection, *, required: bool) -> Protection:
    """Which messages are signed: all if required, else those that the client chose to sign."""
    name = _SIGNING_NAMES.get(int(connection.signing), "-")
    return Protection(name, "full" if required else "partial")


def seconds(moment: float) -> float:
    """A record's time as seconds since 1970; accepts these and FILETIME."""
    return to_unix_ns(int(moment)) / 1e9 if moment > 1e14 else moment


def host_of(peer: str) -> str:
    """`10.0.0.1` from `10.0.0.1:445`, `fe80::1` from `[fe80::1]:445`."""
    return peer.rpartition(":")[0].strip("[]") or peer


def tagged(peer: str) -> str:
    """`ipv4:10.0.0.1:445` from `10.0.0.1:445`, as in smbstatus."""
    host = host_of(peer)
    port = peer.rpartition(":")[2]
    if ":" in host:
        return f"ipv6:[{host}]:{port}"
    return f"ipv4:{host}:{port}" if port != host else peer


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
