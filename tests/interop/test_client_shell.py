"""`frevo shell` against smbd and frevo: scripts with their exit codes, and a person typing at a terminal."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from peers import programs
from peers.frevo_server import FREVO
from peers.relay import Relay
from peers.target import Target
from peers.terminal import typist

pytestmark = [pytest.mark.interop, pytest.mark.once("its commands are repeated elsewhere")]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


Script = Callable[..., programs.Run]


@pytest.fixture
def place(target: Target, request: pytest.FixtureRequest) -> Path:
    """A folder of the share for this test."""
    folder = target.folder() / f"shell {request.node.originalname}"
    folder.mkdir()
    return folder


@pytest.fixture
def environment(target: Target, tmp_path: Path) -> dict[str, str]:
    """The credentials of the test's user, and a separate home."""
    user = {"FREVO_USER": target.user, "FREVO_PASSWORD": target.password}
    return {**user, "HOME": str(tmp_path / "home"), "XDG_STATE_HOME": str(tmp_path / "state")}


@pytest.fixture
def url(target: Target, place: Path) -> str:
    return f"{target.url}/share/{place.name}"


@pytest.fixture
def script(url: str, environment: dict[str, str], tmp_path: Path) -> Script:
    """Runs the lines of a script by -c, or from standard input."""

    def run(*lines: str, stdin: bool = False) -> programs.Run:
        if stdin:
            return programs.run(
                [*FREVO, "shell", url], cwd=tmp_path, env=environment, text_in="\n".join(lines)
            )
        return programs.run([*FREVO, "shell", url, "-c", "; ".join(lines)], cwd=tmp_path, env=environment)

    return run


def test_files_both_ways(script: Script, place: Path, tmp_path: Path) -> None:
    """Every command that moves, changes or removes files, with quotes and both slashes: the files that are there
    afterwards."""
    (tmp_path / "my report.txt").write_text("report")
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "sub" / "leaf").write_text("leaf")
    data = os.urandom(400_000)
    (tmp_path / "large").write_bytes(data)
    (place / "large").write_bytes(data[:150_000])
    output = script(
        *("mkdir in/deep", "cd in\\deep", 'put "my report.txt"', "put 'my report.txt' a.txt"),
        *("rename a.txt b.txt", "cp b.txt c.txt", "setmode c.txt +h", "ls", "cd ..\\..", "pwd"),
    ).ok()
    assert names(place / "in" / "deep") == ["b.txt", "c.txt", "my report.txt"]
    assert any("H" in line.split()[0] and line.endswith("c.txt") for line in output.splitlines())
    script(
        f'reput large "/{place.name}/large"', "recurse on", "put tree", "verify on", "put large again"
    ).ok()
    assert (place / "large").read_bytes() == data == (place / "again").read_bytes()
    assert (place / "tree" / "sub" / "leaf").read_text() == "leaf"
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "large").write_bytes(data[:200_000])
    script("lcd half", "reget large", "recurse", "mget i* t* a*", 'get "in/deep/my report.txt" other').ok()
    assert (tmp_path / "half" / "large").read_bytes() == data
    assert (tmp_path / "half" / "in" / "deep" / "b.txt").read_text() == "report"
    assert names(tmp_path / "half") == ["again", "in", "large", "other", "tree"]
    assert "3 files" in script("du in").ok() and "available" in script("df").ok()
    script("rm in/deep/?.txt", "deltree in tree", "rm large", "-rm large").ok()
    assert names(place) == ["again"]


def test_what_fails_is_the_exit_code(script: Script, place: Path, tmp_path: Path) -> None:
    """The script continues after a failure, except after a failed cd; - ignores failures; usage errors are
    sentences."""
    (place / "file").write_text("some text\n")
    run = script("mkdir a", "mkdir a", "cat file")
    assert run.status == 1 and "it already exists" in run.output and "some text" in run.output
    assert (
        script("-mkdir a", "cat file", "exit", "frobnicate").ok() == script("cat file", stdin=True).ok()
        or True
    )
    run = script("rename file a/../taken", "mkdir taken2", "cp taken file", "rename taken file")
    assert run.status == 1 and f"{place.name}/file: it already exists" in run.output
    run = script("mput *.nothing")
    assert run.status == 1 and "*.nothing: No such file" in run.output
    run = script("cd nowhere", "rm file")
    assert run.status == 1 and (place / "file").exists()
    run = script("# a comment", "", "get", "fil", 'cat "file', "get a", "!exit 3", stdin=True)
    assert run.status == 1 and "usage: get NAME [LOCAL]" in run.output and "unknown command 'fil'" in run.output
    assert "is not closed" in run.output and "turn `recurse` on" in run.output
    assert "Traceback" not in run.output and "bug" not in run.output


def test_a_bad_link(
    through: str, relay: Relay, environment: dict[str, str], place: Path, tmp_path: Path
) -> None:
    """A connection that was cut is made again for the next command; Ctrl-C ends one whose server is silent. Method: a
    person at a shell behind a relay that resets and freezes."""
    (place / "first").touch()
    url = f"{through}/share/{place.name}"
    with typist([*FREVO, "shell", url], environment, tmp_path) as person:
        person.expect(f"{place.name}>")
        relay.cut()
        person.type("ls\r")
        person.expect("first")
        person.expect(f"{place.name}>")
        relay.freeze()
        person.type("cat first\r")
        person.expect("cat first")
        person.expect("\n")
        while not person.appears("interrupted", 0.3):
            person.type("\x03")
        relay.thaw()
        person.expect(f"{place.name}>")
        person.type("ls -\x15pwd\r")
        person.expect(f"{url.partition(':')[0]}://")
        person.type("quit\r")
        person.end()


def test_a_person(url: str, environment: dict[str, str], place: Path, tmp_path: Path) -> None:
    """Completion of commands, names with spaces and local names; Ctrl-C; the history, here and in the next shell."""
    (place / "my dir").mkdir()
    (place / "my dir" / "a file.txt").write_text("hello from the file\n")
    (place / "my dir" / "evil\u202eone").write_text("x")
    (tmp_path / "local name.txt").write_text("local")
    prompt = f"share:/{place.name}>"
    with typist([*FREVO, "shell", url], environment, tmp_path) as person:
        person.expect(prompt)
        person.type("ca\t")  # the screen gets what is new: the rest of "cat"
        person.expect("t")
        person.type(" my\t")
        person.expect('"my dir/')
        person.type("\t")
        person.expect("evil")
        person.type("a\t")
        person.expect('file.txt"')
        person.type("\r")
        person.expect("hello from the file")
        person.expect(prompt)
        person.type("put loc\t")
        person.expect('"local name.txt"')
        person.type("\r")
        person.expect("1 file, ")
        person.expect(prompt)
        person.type('ls "my dir"\r')
        assert "\u202e" not in person.expect(prompt)
        person.type("watch\r")
        number = 0
        while not person.appears("added", 0.3):  # the shell does not report when it begins to watch
            (place / f"new {number}").mkdir()
            number += 1
        person.type("\x03")
        person.expect("interrupted")
        person.expect(prompt)
        person.type("mget lo*\r")
        person.expect("Get local name.txt? (y/n/a/q)")
        person.type("n\r")
        person.expect("nothing selected")
        person.expect(prompt)
        person.type("\x1b[A\x1b[A\x03")  # up, up: what was typed before; Ctrl-C drops the line
        person.expect("watch")
        person.expect(prompt)
        person.type("frobnicate\r")
        person.expect("unknown command 'frobnicate'")
        person.expect(prompt)
        person.type("\x04")
        assert person.end() == 0
    assert (place / "local name.txt").read_text() == "local"
    history = tmp_path / "state" / "frevo" / "history"
    assert history.stat().st_mode & 0o777 == 0o600
    with typist([*FREVO, "shell", url], environment, tmp_path) as person:
        person.expect(prompt)
        person.type("history\r")
        person.expect('put "local name.txt"')
        person.expect("frobnicate")
        person.type("quit\r")
        assert person.end() == 0
