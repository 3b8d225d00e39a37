"""The harness itself: reading smbtorture's output, comparing it with the list, and running against smbd."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from peers import linux_client, programs, smbtorture
from peers.fpdus import separated
from peers.smbclient import smbclient
from peers.smbtorture import Expectation, Outcome
from peers.target import Target

pytestmark = pytest.mark.once("about the tests themselves")

OUTPUT = """\
smbtorture 4.17.12-Debian
time: 2026-11-23 02:45:56.456409
test: smb2.connect
success: smb2.connect
progress: 8
test: smb2.dir.find
failure: smb2.dir.find [
../../source4/torture/smb2/dir.c:471: status was NT_STATUS_INVALID_PARAMETER
]
test: smb2.charset.Testing composite character (a umlaut)
success: smb2.charset.Testing composite character (a umlaut)
test: smb2.dir.file-index
skip: smb2.dir.file-index [
no index
]
test: smb2.dir.many
"""


def test_parse_subunit() -> None:
    """Results by full name with their reasons; a test that never ended failed."""
    outcomes = {outcome.name: outcome for outcome in smbtorture.parse_subunit(OUTPUT)}
    assert {name: outcome.result for name, outcome in outcomes.items()} == {
        "smb2.connect.connect": "pass",
        "smb2.dir.find": "fail",
        "smb2.charset.Testing composite character (a umlaut)": "pass",
        "smb2.dir.file-index": "skip",
        "smb2.dir.many": "fail",
    }
    assert "INVALID_PARAMETER" in outcomes["smb2.dir.find"].detail
    assert "never ended" in outcomes["smb2.dir.many"].detail


@pytest.mark.parametrize(
    ("expected", "result", "words"),
    [
        ("pass", "pass", ""),
        ("fail", "fail", ""),
        ("not-yet", "skip", ""),
        ("varies", "pass", ""),
        ("varies", "fail", ""),
        ("pass", "fail", "expected to pass"),
        ("pass", "skip", "expected to pass"),
        ("fail", "pass", "correct the list"),
        ("not-yet", "pass", "correct the list"),
    ],
)
def test_differences(expected: str, result: str, words: str) -> None:
    """Better than listed is a difference, just like worse."""
    lines = smbtorture.differences([Outcome("a.b.c", result)], [Expectation("a.b.c", expected, "why")])
    assert len(lines) == (1 if words else 0)
    assert words in "".join(lines)


def test_differences_of_presence() -> None:
    """A listed test that did not run and an unlisted one that did are differences."""
    lines = smbtorture.differences([Outcome("a.b.new", "pass")], [Expectation("a.b.gone", "pass")])
    assert lines == ["a.b.gone: did not run", "a.b.new: pass, but not in the list"]


def test_list_survives_rewriting(tmp_path: Path) -> None:
    """Writing the list unchanged changes nothing, and every line that is not a pass has its reason."""
    copy = tmp_path / "list.txt"
    copy.write_text(smbtorture.EXPECTATIONS.read_text())
    smbtorture.write_expectations(smbtorture.read_expectations(copy), copy)
    assert copy.read_text() == smbtorture.EXPECTATIONS.read_text()


def test_checks_of_the_guest() -> None:
    """The names of a script's checks, without the status of those that failed."""
    output = "PASS copy\r\n## says\nFAIL get xattr (status 1)\nFAIL (odd) name (status 127)\n"
    assert linux_client.passed_checks(output) == ["copy"]
    assert linux_client.failed_checks(output) == ["get xattr", "(odd) name"]


def test_missing_programs_fail_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without CI a missing program skips, with CI it fails."""
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program is missing"):
        programs.need("no-such-program")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-program is missing"):
        programs.need("no-such-program")


@pytest.mark.interop
def test_samba_answers(samba_server: Target) -> None:
    """The reference works here: smbclient lists a share of the private smbd."""
    (samba_server.folder() / "here").write_text("x")
    assert "here" in smbclient(samba_server, "ls").ok()


def _tcp(source: int, sequence: int, data: bytes, flags: int = 0x18) -> bytes:
    """A packet as pcap has it, with nothing filled in that `separated` does not look at."""
    ip = struct.pack(">BBH8x4s4s", 0x45, 0, 40 + len(data), b"\x7f\0\0\1", b"\x7f\0\0\1")
    tcp = struct.pack(">HHIIBB6x", source, 5445, sequence, 0, 0x50, flags)
    packet = bytes(12) + b"\x08\x00" + ip + tcp + data
    return struct.pack("<IIII", 1, 2, len(packet), len(packet)) + packet


def test_fpdus_apart(tmp_path: Path) -> None:
    """Two FPDUs in one segment and a third over two become a segment each, and a segment that was sent again none."""
    start = b"MPA ID Req Frame" + struct.pack(">BBH", 0, 1, 3) + b"abc"
    fpdus = [struct.pack(">H", count) + bytes(count + (-2 - count) % 4 + 4) for count in (10, 21, 40)]
    stream = start + b"".join(fpdus)
    first = 0xFFFFFFF0  # so that sequence numbers wrap
    cut = len(stream) - 30
    pieces = [(0, len(start)), (len(start), cut), (len(start), cut), (cut, len(stream))]
    packets = [_tcp(7, first - 1, b"", 0x02), *(_tcp(7, (first + a) % 2**32, stream[a:b]) for a, b in pieces)]
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    (tmp_path / "in").write_bytes(header + b"".join(packets))
    separated(tmp_path / "in", tmp_path / "out")
    at, wanted = first, [packets[0]]
    for frame in [start, *fpdus]:
        wanted.append(_tcp(7, at % 2**32, frame))
        at += len(frame)
    assert (tmp_path / "out").read_bytes() == header + b"".join(wanted)
