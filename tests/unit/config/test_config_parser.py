"""frevo.config.parser: the syntax of smb.conf, includes and their limits."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frevo.config import parser as parser_module
from frevo.config.parser import Parser, logical_lines
from frevo.config.problem import Problems


def parse(text: str) -> tuple[dict[str, dict[str, str]], Problems]:
    """Sections of *text* as dictionaries (last value wins), and the problems."""
    problems = Problems()
    parser = Parser(problems)
    parser.parse_text(text, "t.conf")
    sections = {name: {e.key: e.value for e in section.entries} for name, section in parser.sections.items()}
    return sections, problems


def test_sections_comments_and_blanks() -> None:
    """Goal: the everyday syntax. Method: one file with all of it."""
    text = """
    # a comment
    ; another
    [ Global ]   # trailing
       Server   String =  one = two ; not a comment
    [Data]
    path=/srv
    [DATA]
    comment =
    """
    sections, problems = parse(text)
    assert sections == {
        "global": {"Server String": "one = two ; not a comment"},
        "data": {"path": "/srv", "comment": ""},
    }
    assert not problems.items


def test_continuation_joins_lines_and_keeps_the_first_number() -> None:
    """Goal: a backslash joins lines with one space. Method: look at the logical lines."""
    text = "[a]\nvalid users = alice, \\\n   bob \\\n carl\npath = /x\nlast = y \\"
    assert logical_lines(text) == [
        (1, "[a]"),
        (2, "valid users = alice, bob carl"),
        (5, "path = /x"),
        (6, "last = y"),
    ]


def test_keys_before_a_section_are_global() -> None:
    """Goal: what precedes the first section belongs to [global], as in Samba. Method: parse."""
    assert parse("workgroup = A\n")[0] == {"global": {"workgroup": "A"}}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[open", "expected a section: [name]"),
        ("[]", "expected a section: [name]"),
        ("[a] b", "is ignored"),
        ("= value", "no key before"),
    ],
)
def test_syntax_errors_have_their_line(line: str, message: str) -> None:
    """Goal: a broken line is reported at its number and the rest is still read. Method: put it on line 2."""
    sections, problems = parse(f"[a]\n{line}\npath = /x\n")
    assert [(item.line, message in item.message) for item in problems.items] == [(2, True)]
    assert problems.failed is line.startswith(("[open", "[]"))
    assert "path" in {key for section in sections.values() for key in section}


def write(folder: Path, **files: str) -> str:
    """Writes `name.conf` files; returns the path of main.conf."""
    for name, text in files.items():
        (folder / f"{name}.conf").write_text(text)
    return str(folder / "main.conf")


def parse_file(path: str) -> tuple[Parser, Problems]:
    """The parser after reading *path*, and its problems."""
    problems = Problems()
    parser = Parser(problems)
    parser.parse_file(path)
    return parser, problems


def test_include_continues_the_section(tmp_path: Path) -> None:
    """Goal: an include is read in place, relative to its file; problems carry its name. Method: two files."""
    path = write(
        tmp_path,
        main="[a]\ninclude = extra.conf\ncomment = after\n",
        extra="path = /x\nbroken\n[b]\npath = /y\n",
    )
    parser, problems = parse_file(path)
    assert [entry.key for entry in parser.sections["a"].entries] == ["path"]
    assert [entry.key for entry in parser.sections["b"].entries] == ["path", "comment"]
    strays = [(Path(stray.file).name, stray.line) for stray in parser.sections["a"].strays]
    assert (strays, problems.items) == ([("extra.conf", 2)], [])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("missing.conf", "No such file"),
        ("none/missing.conf", "No such file"),
        ("main.conf/x", "Not a directory"),
        ("%m.conf", "%m differs by client"),
        ("/", "Is a directory"),
        ("nul\x01\x02.conf", "No such file"),
        ("%U.txt", "there are none now"),
        ("smb.%m", "smb.box"),
    ],
)
def test_includes_that_are_ignored(tmp_path: Path, value: str, message: str) -> None:
    """Goal: a missing include, or one whose name clients choose, is a warning with its line. Method: cases; smb.box
    exists."""
    (tmp_path / "smb.box").write_text("[b]\n")
    _, problems = parse_file(write(tmp_path, main=f"[a]\ninclude = {value}\n"))
    assert message in problems.items[-1].message
    assert (problems.items[-1].line, problems.items[-1].severity) == (2, "warning")
    assert not problems.failed


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("main.conf", "nested more than"),
        ("registry", "registry"),
        ("users/%U.conf", "users/eve.conf"),
        ("users/%m-%I", "users/box-10.0.0.1"),
        ("big.conf", "larger"),
    ],
)
def test_includes_that_must_not_be_lost(
    tmp_path: Path, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: an include that may restrict access and cannot be followed is an error; in a share, for that share only.
    Method: files for a user and for an address."""
    monkeypatch.setattr(parser_module, "FILE_SIZE_MAX", 100)
    (tmp_path / "users").mkdir()
    for name in ("users/eve.conf", "users/box-10.0.0.1"):
        (tmp_path / name).write_text("read only = yes\n")
    (tmp_path / "big.conf").write_text("#" * 101)
    _, problems = parse_file(write(tmp_path, main=f"[global]\ninclude = {value}\n"))
    assert problems.failed
    assert [message in item.message and item.severity == "error" for item in problems.items] == [True]
    if value != "main.conf":
        parser, problems = parse_file(write(tmp_path, main=f"[a]\ninclude = {value}\n[b]\n"))
        assert not problems.failed
        assert [section.problems.failed for section in parser.sections.values()] == [True, False]


def test_include_knows_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: %h in an include is this host. Method: a host name of our own."""
    monkeypatch.setattr("frevo.config.macros.host_name", lambda: "box")
    parser, problems = parse_file(write(tmp_path, main="include = %h.conf\n", box="[b]\npath = /b\n"))
    assert "b" in parser.sections
    assert not problems.items


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: size and number of entries are bounded. Method: lower the limits and exceed them."""
    monkeypatch.setattr(parser_module, "FILE_SIZE_MAX", 100)
    monkeypatch.setattr(parser_module, "ENTRIES_MAX", 3)
    _, problems = parse_file(write(tmp_path, main="#" * 101))
    assert "larger than 100 bytes" in problems.items[0].message
    parser, problems = parse_file(write(tmp_path, main="[a]\n" + "comment = x\n" * 6))
    assert len(parser.sections["a"].entries) == 3
    assert [item.message for item in problems.items] == ["the configuration has more than 3 keys"]


@pytest.mark.parametrize(
    ("data", "line", "message"),
    [
        (b"[a]\npath = \xff\n", 2, "not valid UTF-8"),
        (b"[a]\n\n\0\n", 3, "NUL"),
        (b"\xef\xbb\xbf[a]\npath = /\n", 0, ""),
    ],
)
def test_encodings(tmp_path: Path, data: bytes, line: int, message: str) -> None:
    """Goal: bytes that are not UTF-8 are reported and kept; a byte order mark is harmless. Method: raw bytes."""
    (tmp_path / "main.conf").write_bytes(data)
    parser, problems = parse_file(str(tmp_path / "main.conf"))
    if message:
        assert [(item.line, message in item.message) for item in problems.items] == [(line, True)]
    else:
        assert list(parser.sections) == ["a"]


@given(st.text(max_size=400))
def test_no_text_breaks_the_parser(text: str) -> None:
    """Goal: bad input makes problems, never an exception. Method: hypothesis texts."""
    parse(text)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    """Goal: the same for any file. Method: hypothesis bytes, decoded as the parser's caller would."""
    parse(data.decode("latin-1"))
