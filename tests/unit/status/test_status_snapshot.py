"""frevo.status.snapshot and frevo.status.tables: smbstatus's format, and what people see."""

from __future__ import annotations

import asyncio
import io
import json
from datetime import datetime
from typing import Any

import pytest
from msgspec.structs import replace
from rich.console import Console

from frevo.status import slices
from frevo.status.collect import host_of, seconds, tagged
from frevo.status.slices import in_slices, json_line
from frevo.status.snapshot import (
    CertificateStatus,
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
    dialect_name,
    timestamp,
)
from frevo.status.tables import show

NOW = 1_700_000_000.25


def as_json(value: Snapshot) -> dict[str, Any]:
    return asyncio.run(in_slices(value.json_steps()))


def snapshot() -> Snapshot:
    """One of everything, a file opened twice."""
    channel = ChannelStatus(7, NOW, "ipv4:127.0.0.1:445", "ipv4:127.0.0.1:50000", "tcp")
    session = SessionStatus(
        session_id=2**63 - 1,
        username="eve\x1b[31m",
        remote_machine="127.0.0.1",
        hostname="ipv4:127.0.0.1:50000",
        dialect=0x0311,
        created_s=NOW,
        encryption=Protection("AES-128-GCM", "full"),
        signing=Protection("AES-128-GMAC", "partial"),
        channels=(channel,),
    )
    tree = TreeStatus(
        1, session.session_id, "data", "127.0.0.1", NOW, calls="threads", calls_reason="ext4 is slow"
    )
    opens = tuple(
        OpenStatus(
            number,
            "/srv/data",
            "a/b.txt",
            66,
            12,
            1000,
            "eve",
            0x7,
            0x12019F,
            NOW,
            delete_pending=number == 2,
            attached=number == 2,
            holds=(HoldStatus("locks\x1b[31m", reads=True, writes=True), HoldStatus("times", False, True)),
        )
        for number in (1, 2)
    )
    extra = {
        "pid": 42,
        "engine": "epoll",
        "listening": "tcp 0.0.0.0:445",
        "read_path": "zerocopy",
        "unused_read_paths": {"plain": "only for what is small", "splice": "not asked for"},
        "fast_path": {
            "enabled": True,
            "opens": 3,
            "held": [{"reason": "locks\x1b[31m", "reads": 1, "writes": 2}, {"reason": "times", "writes": 5}],
        },
        "statistics": {"fast_reads": 7, "bytes_sent": 5000, "sent_zero_copy": 4000, "sent_zero_copy_copied": 3000},
    }
    return Snapshot("0.1.0", "/etc/smb.conf", ServerId(42), (session,), (tree,), opens, NOW, extra)


def test_shape_of_smbstatus() -> None:
    """Goal: the keys and kinds of values are smbstatus's. Method: walk the JSON after a round trip."""
    value: dict[str, Any] = json.loads(json.dumps(as_json(snapshot())))
    assert list(value)[:6] == ["timestamp", "version", "smb_conf", "sessions", "tcons", "open_files"]
    session = value["sessions"][str(2**63 - 1)]
    assert session["session_dialect"] == "SMB3_11"
    assert session["server_id"] == {"pid": "42", "task_id": "0", "vnn": "4294967295", "unique_id": "0"}
    assert session["encryption"] == {"cipher": "AES-128-GCM", "degree": "full"}
    assert session["expiration_time"] == "-"
    assert session["channels"]["7"]["transport"] == "tcp"
    (tree,) = value["tcons"].values()
    assert (tree["service"], tree["tcon_id"], tree["signing"]) == (
        "data",
        "1",
        {"cipher": "-", "degree": "none"},
    )
    assert tree["calls"] == {"where": "threads", "reason": "ext4 is slow"}
    file = value["open_files"]["/srv/data/a/b.txt"]
    assert file["fileid"] == {"devid": 66, "inode": 12, "extid": 0}
    assert file["num_pending_deletes"] == 1
    assert set(file["opens"]) == {"42/1", "42/2"}
    opened = file["opens"]["42/1"]
    assert opened["sharemode"] == {
        "hex": "0x00000007",
        "READ": True,
        "WRITE": True,
        "DELETE": True,
        "text": "RWD",
    }
    assert opened["fast_path"]["held"][1] == {"reason": "times", "reads": False, "writes": True}
    assert (opened["access_mask"]["hex"], opened["access_mask"]["text"]) == ("0x0012019f", "RW")
    assert opened["caching"] == {
        "READ": False,
        "WRITE": False,
        "HANDLE": False,
        "hex": "0x00000000",
        "text": "",
    }
    assert datetime.fromisoformat(value["timestamp"]).timestamp() == pytest.approx(NOW)


def over_quic(tls: TlsStatus) -> Snapshot:
    """The same over QUIC."""
    before = snapshot()
    [session] = before.sessions
    channel = replace(session.channels[0], transport="quic", tls=tls)
    return replace(before, sessions=(replace(session, encryption=Protection(), channels=(channel,)),))


def test_shape_of_tls() -> None:
    """Goal: only channels with TLS say something of it. Method: with and without a client certificate."""
    assert "tls" not in as_json(snapshot())["sessions"][str(2**63 - 1)]["channels"]["7"]
    tls = TlsStatus("TLS_AES_128_GCM_SHA256", "nas", "CN=eve", "ab" * 32, replaces_encryption=True)
    channel = as_json(over_quic(tls))["sessions"][str(2**63 - 1)]["channels"]["7"]
    assert channel["transport"] == "quic"
    assert channel["tls"] == {
        "cipher": "TLS_AES_128_GCM_SHA256",
        "server_name": "nas",
        "driver": "user",
        "client_certificate": {"subject": "CN=eve", "sha256": "ab" * 32},
        "replaces_encryption": True,
    }
    channel = as_json(over_quic(TlsStatus("TLS_AES_128_GCM_SHA256")))["sessions"][str(2**63 - 1)]["channels"][
        "7"
    ]
    assert channel["tls"]["client_certificate"] is None


def test_tables_with_tls() -> None:
    """Goal: people see cipher, certificates and warnings; names from certificates cannot paint the terminal. Method:
    render a session over QUIC and a server with two certificates, one of which expires."""
    tls = TlsStatus("TLS_AES_128_GCM_SHA256", "nas", "CN=eve\x1b[31m", "ab" * 32, driver="kernel")
    certificates = [
        CertificateStatus("CN=nas", ("DNS:nas",), "cd" * 32, NOW).as_json(),
        CertificateStatus("CN=old", (), "ef" * 32, NOW, "the certificate x expires tomorrow").as_json(),
    ]
    value = as_json(over_quic(tls))
    value["frevo"]["certificates"] = certificates
    names = ("datagrams_received", "datagrams_sent", "datagrams_lost", "handshakes_failed", "retries")
    value["frevo"]["statistics"] = {f"quic_{name}": number for number, name in enumerate(names, 1)}
    console = Console(file=io.StringIO(), width=300, highlight=False)
    show(value, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for word in (
        "quic",
        "partly signed, TLS",
        "TLS_AES_128_GCM_SHA256",
        "quic (kernel)",
        "CN=eve",
        "ab" * 32,
        f"certificate CN=nas, SHA-256 {'cd' * 32}, valid until 2023-11-14",
        "QUIC: 1 datagrams received, 2 datagrams sent, 3 datagrams lost, 4 handshakes failed, 5 retries",
        f"certificate CN=old, SHA-256 {'ef' * 32}, the certificate x expires tomorrow",
    ):
        assert word in text, text
    assert "\x1b" not in text
    show(as_json(snapshot()), console := Console(file=io.StringIO(), width=300, highlight=False))
    assert "TLS" not in console.file.getvalue()  # type: ignore[attr-defined]


def over_rdma(rdma: RdmaStatus) -> Snapshot:
    """The same over SMB Direct."""
    before = snapshot()
    [session] = before.sessions
    channel = replace(session.channels[0], transport="smbdirect", rdma=rdma)
    return replace(before, sessions=(replace(session, channels=(channel,)),))


def test_smb_direct() -> None:
    """Programs and people see provider, credits, what moved by RDMA and what is registered; of other connections
    nothing."""
    rdma = RdmaStatus("emulated", False, 8192, 4096, 1 << 20, 17, 255, 123456789, 987654321, 3)
    value = as_json(over_rdma(rdma))
    assert value["sessions"][str(2**63 - 1)]["channels"]["7"]["rdma"] == {
        "provider": "emulated", "direct": False, "send_size": 8192, "receive_size": 4096, "message_size": 1 << 20,
        "send_credits": 17, "receive_credits": 255, "bytes_sent": 123456789, "bytes_received": 987654321,
        "registrations": 3,
    }  # fmt: skip
    value["frevo"]["statistics"] = {"rdma_bytes_sent": 11, "rdma_bytes_received": 22}
    show(value, console := Console(file=io.StringIO(), width=300, highlight=False))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for word in ("emulated (data in messages)", "17 / 255", "123456789", "987654321", "1048576"):
        assert word in text, text
    assert "SMB Direct: 11 bytes sent and 22 received by RDMA" in text
    show(as_json(over_rdma(RdmaStatus("iwarp"))), console := Console(file=io.StringIO(), width=300, highlight=False))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "iwarp" in text and "data in messages" not in text
    assert "rdma" not in as_json(snapshot())["sessions"][str(2**63 - 1)]["channels"]["7"]
    show(as_json(snapshot()), console := Console(file=io.StringIO(), width=300, highlight=False))
    assert "SMB Direct" not in console.file.getvalue()  # type: ignore[attr-defined]


def test_tables_show_everything_and_no_control_characters() -> None:
    """Goal: the tables show who, what and where, and a client's name cannot control the terminal. Method: render."""
    console = Console(file=io.StringIO(), width=300, highlight=False)
    show(as_json(snapshot()), console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for word in (
        "data",
        "SMB3_11",
        "tcp",
        "encrypted",
        "a/b.txt",
        "RWD",
        "engine epoll",
        "in threads: ext4 is slow",
        r"eve\x1b[31m",
        r"no reads or writes: locks\x1b[31m; no writes: times",
        "fast path: 3 open files, 7 reads, 0 writes, 0 flushes, no reads of 1 and writes of 2 files: locks",
        "no writes of 5 files: times",
        "large responses: zerocopy, bytes sent: 4000 by zerocopy, 1000 by plain, 3000 copied after all",
        "plain: only for what is small; splice: not asked for",
    ):
        assert word in " ".join(text.split())
    assert "\x1b" not in text


def test_leases_are_shown_with_the_reasons_for_copies() -> None:
    """Goal: what is not spliced is said with its reason, and nothing where nobody asked for it. Method: counters."""
    made = as_json(snapshot())
    for counters, lines in (
        ({"bytes_sent": 5}, []),
        ({"unspliced_near": 7}, ["leases: 7 READs copied for clients that may be on this host"]),
        (
            {"leases": 2, "leases_broken": 1, "unspliced_writer": 3},
            ["leases: 2 on files, 1 given up for writers, 0 clients cut off for writers, "
             "3 READs copied of files that somebody writes to"],
        ),
    ):  # fmt: skip
        made["frevo"]["statistics"] = counters
        console = Console(file=io.StringIO(), width=200, highlight=False)
        show(made, console)
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert [line for line in text.splitlines() if line.startswith("leases")] == lines


@pytest.mark.parametrize(
    "value", [{}, {"sessions": [], "tcons": None}, {"sessions": {"1": {}}, "open_files": {"x": {}}}]
)
def test_tables_accept_other_versions(value: dict[str, Any]) -> None:
    """Goal: a snapshot of another version is shown as far as possible. Method: nearly empty ones."""
    show(value, Console(file=io.StringIO(), width=80))


def test_small_helpers() -> None:
    """Goal: addresses, levels and times in smbstatus's format. Method: examples."""
    assert tagged("10.0.0.1:445") == "ipv4:10.0.0.1:445"
    assert tagged("[fe80::1%eth0]:445") == "ipv6:[fe80::1%eth0]:445"
    assert host_of("[::1]:9") == "::1"
    assert [degree_of(flags) for flags in ([], [True], [True, False], [False])] == [
        "none",
        "full",
        "partial",
        "none",
    ]
    assert dialect_name(0x0210) == "SMB2_10"
    assert dialect_name(0x9999) == "0x9999"
    assert seconds(133_444_736_000_000_000) == pytest.approx(1_700_000_000.0)
    assert seconds(NOW) == NOW
    assert timestamp(NOW).count(":") == 2


def test_thousands_of_opens_are_shown_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: a snapshot of very many opens, made in slices, equals one made in one go, and others get a turn after each
    slice. Method: slices of no length, a task that counts its turns; then json.dumps gives the expected line."""
    monkeypatch.setattr(slices, "SLICE_S", 0.0)
    one = snapshot()
    many = replace(
        one, opens=tuple(replace(one.opens[0], share_file_id=n, filename=f"f{n % 9}") for n in range(300))
    )

    async def run() -> tuple[dict[str, Any], bytes, int]:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        counting = asyncio.create_task(count())
        made = await in_slices(many.json_steps())
        line = bytes(await in_slices(json_line({"ok": True, "result": made})))
        counting.cancel()
        return made, line, turns

    made, line, turns = asyncio.run(run())
    assert sum(len(file["opens"]) for file in made["open_files"].values()) == 300
    assert turns > 900
    assert line == json.dumps({"ok": True, "result": made}).encode() + b"\n"
