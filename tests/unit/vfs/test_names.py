"""vfs/names.py: the two name maps, path and stream syntax, folding, veto patterns."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frevo.errors import SMBError
from frevo.vfs.names import (
    VetoFiles,
    disk_to_wire,
    fold,
    parse_path,
    utf16_units,
    wire_path_of,
    wire_to_disk,
)
from frevo.wire.erref import NTStatus

disk_bytes = st.binary(min_size=1, max_size=255).filter(
    lambda b: b"\0" not in b and b"/" not in b and b not in (b".", b"..")
)
nasty = (
    st.lists(
        st.sampled_from(
            [
                b"a",
                b".",
                b" ",
                b":",
                b"\\",
                b"\x01",
                b"\xef\x80\xa2",
                b"\xef\x82\x80",
                b"\xed\xa0\x80",
                b"\xed\xb0\x80",
                b"\xf0\x9f\x98\x80",
                b"\xff",
                b"\xed",
                b"\xef",
                b"\n",
                b"\xc3\xa4",
            ]
        ),
        min_size=1,
        max_size=12,
    )
    .map(b"".join)
    .filter(lambda b: b not in (b".", b".."))
)


@given(disk_bytes | nasty)
def test_disk_to_wire_and_back(raw: bytes) -> None:
    """Every name on disk has a legal wire name that survives UTF-16 and maps back to it (hypothesis)."""
    disk = os.fsdecode(raw)
    wire = disk_to_wire(disk)
    assert not re.search(r'[\x00-\x1f"*/:<>?|\\]|[ .]\Z', wire)
    assert utf16_units(wire) <= 255
    received = wire.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    assert received == wire
    assert os.fsencode(wire_to_disk(received)) == raw


@given(st.text(st.characters(), max_size=300))
def test_wire_to_disk_never_crashes(wire: str) -> None:
    """Any text, including lone surrogates, gives a name that Linux accepts, or an SMBError (hypothesis)."""
    try:
        disk = wire_to_disk(wire)
    except SMBError as error:
        assert error.status in (NTStatus.OBJECT_NAME_INVALID, NTStatus.OBJECT_PATH_SYNTAX_BAD)
        return
    raw = os.fsencode(disk)
    assert 0 < len(raw) <= 255 and b"/" not in raw and b"\0" not in raw and raw not in (b".", b"..")


@given(st.text(st.sampled_from('a\\:.$DATA\uf022\ud800"*\x00'), max_size=40))
def test_parse_path_never_crashes(wire: str) -> None:
    """Any path parses into legal components, or raises SMBError (hypothesis)."""
    try:
        parsed = parse_path(wire)
    except SMBError:
        return
    assert all(part and part not in (".", "..") and "/" not in part for part in parsed.parts)


def test_known_mappings() -> None:
    """The numbers of macOS and cifs' mapposix, spelled out."""
    assert disk_to_wire('a"*:<>?\\|') == "a\uf020\uf021\uf022\uf023\uf024\uf025\uf026\uf027"
    assert disk_to_wire("end ") == "end\uf028" and disk_to_wire("end.") == "end\uf029"
    assert disk_to_wire("\x01\x1f") == "\uf001\uf01f"
    assert disk_to_wire("a.b c") == "a.b c"
    assert disk_to_wire(os.fsdecode(b"\xff")) == "\uf0ff"
    assert wire_path_of("a:b/c.", "s") == "a\uf022b\\c\uf029:s"
    assert wire_path_of("a/b") == "a\\b"


@pytest.mark.parametrize(
    ("wire", "parts", "stream", "explicit", "directory"),
    [
        ("", (), "", False, False),
        ("a\\b", ("a", "b"), "", False, False),
        ("a\\\\b\\", ("a", "b"), "", False, False),
        ("a/b\\c", ("a", "b", "c"), "", False, False),
        ("f:s", ("f",), "s", False, False),
        ("f:s:$data", ("f",), "s", False, False),
        ("d\\f::$DATA", ("d", "f"), "", True, False),
        ("d::$INDEX_ALLOCATION", ("d",), "", False, True),
        ("d:$I30:$INDEX_ALLOCATION", ("d",), "", False, True),
        (":s", (), "s", False, False),
        ("f:\x05Stream\n One:$DATA", ("f",), "\x05Stream\n One", False, False),
        ("CON", ("CON",), "", False, False),
    ],
)
def test_paths(wire: str, parts: tuple[str, ...], stream: str, explicit: bool, directory: bool) -> None:
    """Legal paths and stream suffixes, with what they mean."""
    parsed = parse_path(wire)
    assert (parsed.parts, parsed.stream, parsed.explicit, parsed.directory) == (
        parts,
        stream,
        explicit,
        directory,
    )
    assert parsed.path == "/".join(parts)


@pytest.mark.parametrize(
    "wire",
    [
        "f:",
        "f::",
        "f:s:",
        "f:s:$FOO",
        "f:a:b:$DATA",
        "f:s\\x",
        "f:a/b",
        "a*b",
        "a\x01",
        'a"',
        "\uf029",
        "\uf029\uf029",
        "x" * 256,
        "ä" * 128,
        "f:" + "s" * 300,
        "x\\" * 40000,
    ],
)
def test_bad_names(wire: str) -> None:
    """Impossible names are OBJECT_NAME_INVALID, also those that would become `.` or `..` on disk."""
    with pytest.raises(SMBError) as caught:
        parse_path(wire)
    assert caught.value.status == NTStatus.OBJECT_NAME_INVALID


@pytest.mark.parametrize("wire", ["..", ".", "a\\..\\b", "a\\.", "..\\x"])
def test_dots(wire: str) -> None:
    """`.` and `..` never reach the file system."""
    with pytest.raises(SMBError) as caught:
        parse_path(wire)
    assert caught.value.status == NTStatus.OBJECT_PATH_SYNTAX_BAD


def test_fold() -> None:
    """Simple upper case: no expansion, no normalisation, nothing that moves into or out of ASCII."""
    assert fold("straße") == "STRAßE"
    assert fold("äÖ") == "ÄÖ" and fold("ÿ") == "Ÿ"
    assert fold("a\u0308") != fold("ä")
    assert fold("ı") == "ı" and fold("ſ") == "ſ" and fold("\u212a") != fold("k")
    assert fold("ａ") == "Ａ"


@given(st.text(max_size=30))
def test_fold_is_idempotent(name: str) -> None:
    """Folding twice is folding once (hypothesis)."""
    assert len(fold(name)) == len(name)
    assert fold(fold(name)) == fold(name)


def test_veto_files() -> None:
    """Patterns match whole names without case; no pattern hides nothing."""
    veto = VetoFiles(("*.tmp", "secret", "a?c", "[x]"))
    assert all(map(veto.hides, ("X.TMP", "Secret", "abc", "[X]")))
    assert not any(map(veto.hides, ("x.tmp2", "secrets", "ac", "x")))
    assert not VetoFiles(()).any and not VetoFiles(()).hides("a")
