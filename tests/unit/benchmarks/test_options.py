"""benchmarks.options: what cannot work is said before anything is measured, with what to do about it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from peers import programs

from benchmarks import network, talk
from benchmarks.options import parsed
from benchmarks.rows import ROWS
from benchmarks.run import main


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The last line about a wrong option; exit code 2."""
    with pytest.raises(SystemExit) as ended:
        parsed(words)
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1].removeprefix("python -m benchmarks: error: ")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--only", "nonsense"], "no row has 'nonsense' in its name: --list shows them"),
        (["--rounds", "0"], "argument --rounds: 0 is less than 1"),
        (["--rounds", "many"], "argument --rounds: 'many' is not a number"),
        (["--seconds", "-1"], "argument --seconds: -1 is less than 0.1"),
        (["--set", "foo"], "argument --set: 'foo' is not KEY=VALUE"),
        (["--set", "frevo:engin=epoll"], "argument --set: `frevo:engin`: unknown key; did you mean `frevo:engine`?"),
        (["--set", "frevo:engine=x"], "argument --set: `frevo:engine`: expected one of auto, uring, epoll, not 'x'"),
        (["--folder", "/nowhere"], "argument --folder: /nowhere is no folder"),
        (["--json", "/proc/nowhere/x"], "argument --json: cannot write /proc/nowhere/x: No such file or directory"),
        (["--against", "/nowhere"], "/nowhere has no .venv/bin/frevo: run `make build` there"),
    ],
)  # fmt: skip
def test_wrong_options(words: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The option, what is wrong with it, and where to look."""
    assert said(words, capsys) == text


def test_a_program_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Debian packages to install; only of programs that the chosen rows need."""
    monkeypatch.setattr(programs, "find", lambda name: None)
    text = "smbd, smbpasswd, smbclient missing: apt-get install samba samba-common-bin smbclient, or run `make bench`"
    assert said(["--only", "get from smbd"], capsys).startswith(text)
    assert "smbtorture missing: apt-get install samba-testsuite" in said(
        ["--only", "bench.echo"], capsys
    ).replace("smbd, smbpasswd, ", "").replace("samba samba-common-bin ", "")


def test_namespaces_need_root(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without, nothing is measured over something else instead."""
    monkeypatch.setattr(programs, "find", lambda name: name)
    monkeypatch.setattr(network, "why_not", lambda: "network namespaces need root (sudo)")
    assert said(["--veth"], capsys) == "--veth: network namespaces need root (sudo)"


def test_the_list_of_rows(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """--list names them, also where nothing can be measured."""
    monkeypatch.setattr(programs, "find", lambda name: None)
    assert main(["--list", "--only", "echo 4x"]) == 0
    assert capsys.readouterr().out.splitlines() == ["ECHO 4x1 signed", "ECHO 4x4 signed"]
    assert main(["--list"]) == 0
    assert capsys.readouterr().out.splitlines() == [row.name for row in ROWS]


def test_what_remains(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """--quick is short, --against compares servers only, and a report's folder is made."""
    monkeypatch.setattr(programs, "find", lambda name: name)
    options = parsed(["--quick", "--rounds", "9", "--html", str(tmp_path / "made" / "x.html")])
    assert (options.rounds, options.sessions) == (1, 20) and not any(row.long for row in options.rows)
    assert (tmp_path / "made").is_dir()
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/frevo").touch()
    options = parsed(["--against", str(tmp_path), "--set", "frevo:engine=epoll"])
    assert (
        options.rows and not any(row.sides for row in options.rows) and options.set == ["frevo:engine=epoll"]
    )


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["load", "nonsense"], "error: argument ADDRESS:PORT: 'nonsense' is not ADDRESS:PORT"),
        (["load", "127.0.0.1:1"], "talk: 127.0.0.1:1: Connection refused: does `python -m benchmarks.talk serve`"),
        (["serve", "203.0.113.9"], "Cannot assign requested address (while attempting to bind on address"),
        (["serve", "127.0.0.1", "--set", "foo"], "argument --set: 'foo' is not KEY=VALUE"),
    ],
)  # fmt: skip
def test_the_talk_says_what_is_wrong(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No trace, whichever end it is."""
    monkeypatch.setenv("FREVO_PASSWORD", "secret")
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    try:
        assert talk.main(words) == 1
    except SystemExit as ended:
        assert ended.code == 2
    assert text in capsys.readouterr().err
