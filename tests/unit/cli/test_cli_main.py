"""The frevo command: help, errors as sentences, testparm, status."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from frevo import __version__
from frevo.cli.main import COMMANDS, guarded, main
from frevo.errors import FrevoError
from frevo.status.control import ControlServer, find_servers

GOOD = "[global]\nworkgroup = HOME\nprivate dir = {private}\n[data]\npath = {path}\nread only = no\n"


def write(tmp_path: Path, text: str = GOOD) -> str:
    """Writes an smb.conf; returns its path."""
    path = tmp_path / "smb.conf"
    path.write_text(text.format(private=tmp_path / "private", path=tmp_path))
    return str(path)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Goal: --help works everywhere and shows examples. Method: call it for each command."""
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: frevo {command}")
    assert f"  frevo {command}" in out


def test_frame(capsys: pytest.CaptureFixture[str]) -> None:
    """Goal: version, help without a command, and wrong commands. Method: exit codes and output."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"frevo {__version__}\n"
    assert main([]) == 2
    assert "examples:" in capsys.readouterr().out
    assert main(["dance"]) == 2
    assert "invalid choice" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["ls", "bench echo", "tls show"])
def test_unknown_arguments_show_the_usage_of_the_command(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Goal: a mistyped option shows the options that there are, not the list of commands."""
    assert main([*command.split(), "--no-such-option", *(["smb://nas/s"] if "tls" not in command else [])]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"usage: frevo {command} [-h]")
    assert f"frevo {command}: error: unrecognized arguments: --no-such-option" in said


def test_a_command_runs_with_the_collector_on() -> None:
    """Goal: garbage collection is off only during imports. Method: a process whose command reports it."""
    code = (
        "import gc, sys, frevo.cli.status as status\n"
        "status.run = lambda args: print(gc.isenabled(), gc.get_freeze_count() > 0) or 0\n"
        "from frevo.cli import main\n"
        "sys.argv = ['frevo', 'status']\n"
        "sys.exit(main())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "True True\n"


def test_a_download_loads_only_what_it_needs(tmp_path: Path) -> None:
    """Goal: `frevo get` starts in little time. Method: what a process has loaded that found no server."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"smb://eve@127.0.0.1:{unused.getsockname()[1]}/share/file"
        words = ["get", "--transports", "tcp", url, str(tmp_path / "file")]
        code = (
            "import sys\nfrom frevo.cli import main\n"
            f"assert main({words!r}) == 1\nassert sys.modules.get('ssl', 1) is not None\nprint(*sys.modules)"
        )
        environment = {**os.environ, "FREVO_PASSWORD": "secret", "HOME": str(tmp_path)}
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
        )
    loaded = set(run.stdout.split())
    assert {"frevo.client.batch.download", "frevo.client.connection.logon"} <= loaded
    unneeded = (
        *("cryptography", "rich", "prompt_toolkit", "greenlet", "gssapi", "fsspec", "ssl", "ctypes", "random"),
        *("frevo.config", "frevo.server", "frevo.vfs", "frevo.mount", "frevo.dcerpc", "frevo.bench"),
        *("frevo.client.connection.quic", "frevo.tls.pem", "frevo.tls.trust", "frevo.cli.put"),
    )
    assert [name for name in unneeded if name in loaded] == []


def test_version_loads_no_command() -> None:
    """Goal: it is told at once. Method: what a process has loaded."""
    code = "import sys\nfrom frevo.cli import main\nassert main(['--version']) == 0\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    version, modules = run.stdout.splitlines()
    assert version == f"frevo {__version__}"
    assert not {"asyncio", "frevo.cli.get", "frevo.client"} & set(modules.split())


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (FrevoError("a sentence"), 1, "frevo: a sentence"),
        (PermissionError(13, "Permission denied", "/x"), 1, "frevo: /x: Permission denied"),
        (OSError(28, "No space left on device"), 1, "frevo: No space left"),
        (ValueError("hm"), 70, "this is a bug in frevo: ValueError: hm"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_are_sentences(
    error: BaseException,
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Goal: no traceback reaches a user unless FREVO_DEBUG asks for it. Method: raise each kind."""

    def fail() -> int:
        raise error

    monkeypatch.delenv("FREVO_DEBUG", raising=False)
    assert guarded(fail) == code
    text = capsys.readouterr().err
    assert message in text
    assert "Traceback" not in text
    monkeypatch.setenv("FREVO_DEBUG", "1")
    guarded(fail)
    assert ("Traceback" in capsys.readouterr().err) == bool(message)


def test_a_closed_pipe_is_not_an_error(tmp_path: Path) -> None:
    """Goal: `frevo ... | head` ends quietly. Method: a process whose reader goes away."""
    command = [sys.executable, "-m", "frevo", "testparm", "-v", write(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        error = process.stderr.read()
    assert b"Traceback" not in error and b"bug" not in error


def test_testparm_prints_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Goal: a good file is accepted and shown, and the output loads again. Method: its own output."""
    path = write(tmp_path)
    assert main(["testparm", "-c", path]) == 0
    out = capsys.readouterr().out
    assert "workgroup = HOME" in out and "read only = no" in out and "netbios name" not in out
    (tmp_path / "again.conf").write_text(out)
    assert main(["testparm", str(tmp_path / "again.conf"), "-v"]) == 0
    assert "netbios name" in capsys.readouterr().out


def test_testparm_reports_with_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Goal: unknown and ill-typed keys: file, line, nearest key, exit 1. Method: one of each."""
    path = write(tmp_path, "[global]\nwrokgroup = A\n[a]\npath = /x\nread only = perhaps\n")
    assert main(["testparm", "-c", path]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"{path}:2: warning: `wrokgroup`: unknown key; did you mean `workgroup`?: ignored, as in Samba",
        f"{path}:5: error: `read only`: expected yes or no, not 'perhaps': [a] is not served",
        f"{path}: error: no share can be served ([a]): fix the errors above",
    ]
    assert main(["testparm", "-c", str(tmp_path / "missing.conf")]) == 1
    assert "No such file" in capsys.readouterr().err


def test_testparm_warns_of_missing_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Goal: a share without its folder is reported. Method: a path that does not exist."""
    assert main(["testparm", "-c", write(tmp_path, "[a]\npath = /no/such/folder\n")]) == 0
    assert "does not exist" in capsys.readouterr().err


def test_testparm_cannot_paint_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Goal: escape sequences of a file do not reach the terminal. Method: one in a value and one in a key."""
    main(["testparm", "-c", write(tmp_path, "[a]\npath = /x\ncomment = \x1b[31m\n")])
    main(["testparm", "-c", write(tmp_path, "[a]\n\x1b[2J = /x\n")])
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err


def test_status_without_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Goal: without a server there is a clear message and exit status 1. Method: an empty folder, and a missing
    one."""
    for folder in (tmp_path, tmp_path / "missing"):
        assert main(["status", "--private-dir", str(folder)]) == 1
        assert "no running server" in capsys.readouterr().err


async def test_status_asks_the_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Goal: tables, and the JSON unchanged. Method: a control socket with a small snapshot."""
    snapshot = {
        "version": "9.9",
        "sessions": {"1": {"session_id": "1", "username": "eve"}},
        "frevo": {"pid": 1},
    }
    server = ControlServer(tmp_path / "private", {"status": lambda: snapshot})
    await server.start()
    try:
        path = write(tmp_path)
        assert await asyncio.to_thread(main, ["status", "-c", path, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == snapshot
        assert await asyncio.to_thread(main, ["status", "-c", path]) == 0
        assert "eve" in capsys.readouterr().out
        (pid,) = await asyncio.to_thread(find_servers, tmp_path / "private")
        assert await asyncio.to_thread(main, ["status", "-c", path, "--pid", str(pid + 1)]) == 1
    finally:
        await server.close()
