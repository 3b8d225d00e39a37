"""`frevo bench` against smbd and frevo: every workload, its report, its end in good and bad times, what it leaves
behind."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from peers import programs
from peers.frevo_server import FREVO, frevo_server
from peers.target import Serve, Target

from frevo.cli import main

pytestmark = pytest.mark.interop

#: Gives the exit code, the report (None without one) and what was printed.
Bench = Callable[..., tuple[int, dict[str, Any] | None, str]]

LIVE = {
    "read": r"read\[num/s=[\d,]+;bytes/s=[\d,]+;avslat=\d\.\d{6};minlat=\d\.\d{6};maxlat=\d\.\d{6}\]",
    "write": r"write\[num/s=[\d,]+;bytes/s=[\d,]+;avslat=\d\.\d{6};minlat=\d\.\d{6};maxlat=\d\.\d{6}\]",
    "mixed": r"read\[num/s=[\d,]+;bytes/s=[\d,]+;avslat=[^]]+\] write\[num/s=[\d,]+;bytes/s=[\d,]+;avslat=[^]]+\]",
    "echo": r"echo\[num/s=[\d,]+;avslat=[\d.]+;minlat=[\d.]+;maxlat=[\d.]+\]",
    "open": r"open\[num/s=[\d,]+;avslat=[\d.]+;[^]]+\] close\[num/s=[\d,]+;avslat=[\d.]+;[^]]+\]",
    "session": r"setup\[num/s=\d+,avslat=[\d.]+,minlat=[\d.]+,maxlat=[\d.]+\] logoff\[num/s=\d+,avslat=[\d.]+,[^]]+\]",
    "notify": r"notify\[num/s=[\d,]+;avslat=[\d.]+;minlat=[\d.]+;maxlat=[\d.]+\]",
}


def credentials_file(target: Target, folder: Path) -> str:
    path = folder / "credentials"
    path.write_text(f"username = {target.user}\npassword = {target.password}\n")
    return str(path)


def url(target: Target, path: str = "share") -> str:
    return f"{target.url}/{path}"


@pytest.fixture
def bench(target: Target, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Bench:
    """Runs the command in this process, which saves its start."""
    credentials = credentials_file(target, tmp_path)

    def run(*arguments: str) -> tuple[int, dict[str, Any] | None, str]:
        report = tmp_path / "report.json"
        report.unlink(missing_ok=True)
        code = main(["bench", *arguments, "--credentials", credentials, "--json", str(report)])
        printed = capsys.readouterr()
        found = json.loads(report.read_text()) if report.exists() else None
        return code, found, printed.out + printed.err

    return run


def left_over(target: Target) -> list[str]:
    return [path.name for path in target.folder().glob("bench_*")]


@pytest.mark.parametrize("workload", LIVE)
def test_every_workload(bench: Bench, target: Target, workload: str) -> None:
    """A short run: operations without errors, smbtorture's lines, time of both ends, and nothing left in the share."""
    code, found, printed = bench(
        workload, url(target), "--time", "0.3", "--qdepth", "2", "--connections", "3"
    )
    assert code == 0, printed
    assert found is not None
    assert found["operations"] > 0 and found["errors"] == 0 and found["ended"] == "time"
    assert 0 < found["latency_us"]["p50"] <= found["latency_us"]["p999"] <= found["latency_us"]["max"]
    assert (found["bytes"] > 0) == (workload in ("read", "write", "mixed"))
    assert found["bytes"] in (0, found["operations"] * 4096)
    assert found["cpu"]["client_us_per_op"] > 0 and found["cpu"]["server_us_per_op"] > 0
    foreign = target.name == "samba" and target.transport == "quic"  # this process has the port
    assert found["server"]["processes"] == [os.getpid() if foreign else target.pid]
    assert found["server"]["signing"]
    assert printed.startswith(
        "Opening 3 connections\nOpened 3 connections with qdepth=2 => 6 loops\nRunning for 0.3 seconds\n"
    )
    assert re.search(rf"\d\.\d\d second: {LIVE[workload]}\n0\.\d\d seconds\n", printed), printed
    assert not left_over(target)


@pytest.mark.parametrize("target", ["unsigned", "samba"], indirect=True)
@pytest.mark.parametrize("protect", ["off", "encrypt"])
@pytest.mark.parametrize("workload", ["read", "write", "open", "session"])
def test_protections(bench: Bench, target: Target, workload: str, protect: str) -> None:
    """Without signatures, and encrypted: the loops run, and the report says what protected them."""
    code, found, printed = bench(workload, url(target), "--time", "0.15", "--protect", protect)
    assert code == 0 and found is not None, printed
    assert found["operations"] > 0 and found["settings"]["protect"] == protect
    assert bool(found["server"]["cipher"]) == (protect == "encrypt") and not found["server"]["signing"]


@pytest.mark.tcp_only("NetBIOS is TCP")
def test_other_transports(bench: Bench, target: Target) -> None:
    """NetBIOS: any transport that the client supports; the server's process is found by its port."""
    place = f"smb://{target.host}/share"
    code, found, printed = bench("read", place, "--time", "0.15", "--transports", f"nbt:{target.nbt_port}")
    assert code == 0 and found is not None, printed
    assert found["operations"] > 0 and found["server"]["transport"] == "nbt"
    assert found["server"]["processes"] == [target.pid]


@pytest.mark.parametrize("order", ["--random", "--sequential"])
@pytest.mark.parametrize("workload", ["read", "write", "mixed"])
def test_data_is_verified(bench: Bench, target: Target, workload: str, order: str) -> None:
    """Files of several requests: what is read is what was written before, what was written can be read."""
    sizes = ("--io-size", "64K", "--file-size", "320K", "--operations", "200", "--qdepth", "3")
    code, found, printed = bench(workload, url(target), "--time", "20", "--verify", order, *sizes)
    assert code == 0 and found is not None, printed
    assert (found["operations"], found["bytes"], found["ended"]) == (200, 200 * 65536, "operations")


def test_a_mix(bench: Bench, target: Target) -> None:
    """--reads is the share of READs; both kinds are counted together and apart."""
    words = ("--reads", "90", "--operations", "200", "--connections", "2", "--qdepth", "4", "--time", "20")
    code, found, printed = bench("mixed", url(target), *words)
    assert code == 0 and found is not None, printed
    assert {name: (part["operations"], part["bytes"]) for name, part in found["parts"].items()} == {
        "read": (180, 180 * 4096),
        "write": (20, 20 * 4096),
    }
    assert (found["operations"], found["bytes"]) == (200, 200 * 4096)


def test_an_existing_file(bench: Bench, target: Target) -> None:
    """read with the URL of a file reads that file, and keeps it."""
    path = target.folder("ro") / "there.bin"
    path.write_bytes(bytes(range(256)) * 1024)
    code, found, printed = bench("read", url(target, "ro/there.bin"), "--time", "0.15", "--io-size", "16K")
    assert code == 0 and found is not None and found["operations"] > 0, printed
    code, _, printed = bench("read", url(target, "ro/there.bin"), "--io-size", "1M", "--time", "0.15")
    assert code == 1 and "262144 bytes" in printed
    path.unlink()


@pytest.mark.tcp_only("a UNC's port is one of TCP")
def test_connections_are_dealt_out(bench: Bench, target: Target, serve: Serve, tmp_path: Path) -> None:
    """--uncs: several shares and servers in turn; the report lists all of them."""
    other = serve()
    uncs = tmp_path / "unclist"
    port = "" if target.port == 445 else f":{target.port}"
    uncs.write_text(f"# servers\n//{target.host}{port}/share\n\n{url(target, 'guest')}\n{url(other)}\n")
    guid = "c0ffee00-1111-2222-3333-444444444444"
    options = ("--uncs", str(uncs), "--client-guid", guid, "--operations", "61", "--connections", "6")
    code, found, printed = bench("write", *options)
    assert code == 0 and found is not None, printed
    assert found["operations"] == 61
    assert set(found["settings"]["urls"]) == {url(target), url(target, "guest"), url(other)}
    assert set(found["server"]["processes"]) == {target.pid, other.pid}
    assert not left_over(target) and not left_over(other)


def test_reports(target: Target, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--json before the URL prints only the report on standard output; --html makes a page; two are compared."""
    login = (
        "--credentials",
        credentials_file(target, tmp_path),
        "--time",
        "0.15",
        "--rdma-threshold",
        "4096",
    )
    reports = [tmp_path / "a.json", tmp_path / "b.json"]
    for path in reports:
        assert (
            main(["bench", "echo", *login, "--html", str(tmp_path / "page.html"), "--json", url(target)]) == 0
        )
        printed = capsys.readouterr()
        assert "no effect" in printed.err and "num/s" in printed.err
        path.write_text(printed.out)
    assert json.loads(reports[0].read_text())["workload"] == "echo"
    assert "<svg" in (tmp_path / "page.html").read_text()
    assert main(["bench", "compare", *map(str, reports), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ratios"]["operations_per_second"] > 0
    assert main(["bench", "compare", *map(str, reports)]) == 0
    assert "latency_us.p99" in capsys.readouterr().out
    assert main(["bench", "compare", str(reports[0]), str(tmp_path / "page.html")]) == 1
    assert "not valid JSON" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["read", "nowhere"], 2, "is not smb://host/share/path"),
        (["read"], 2, "give the URL of a share"),
        (["write", "{url}/share", "--io-size", "17M"], 2, "more than 16M"),
        (["write", "{url}/share", "--io-size", "16M"], 1, "or less"),
        (["read", "{url}"], 2, "names no share"),
        (["read", "{url}/nothing"], 1, "no such share"),
        (["write", "{url}/ro"], 1, "folder where the user can write"),
        (["open", "{url}/share/missing"], 1, "no such file"),
        (["echo", "{url}", "--user", "nobody"], 1, "wrong user or password"),
        (["echo", "smb://127.0.0.1:1/share"], 1, "connection refused"),
        (["echo", "{url}", "--protect", "off", "--encrypt"], 2, "contradict each other"),
        (["echo", "{url}", "--server-pid", "4194305"], 2, "no such process"),
        (["echo", "{url}", "--json", "/nowhere/a.json"], 2, "cannot write"),
        (["read", "{url}/share", "--io-size", "8K", "--file-size", "4K"], 2, "less than --io-size"),
    ],
)
def test_errors_say_what_to_do(
    server: Target,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    """A wrong word, a wrong URL, a wrong password: one line and an exit code, before anything is measured."""
    filled = [argument.format(url=url(server, "").rstrip("/")) for argument in arguments]
    login = [] if "--user" in filled else ["--credentials", credentials_file(server, tmp_path)]
    if "--user" in filled:
        login = ["--credentials", str(tmp_path / "wrong")]
        (tmp_path / "wrong").write_text("username = nobody\npassword = nothing\n")
    assert main(["bench", *filled, "--time", "0.2", *login]) == code
    printed = capsys.readouterr()
    assert message in printed.err and "bug" not in printed.err
    assert "num/s" not in printed.out
    assert not left_over(server)


@contextmanager
def running(target: Target, folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command in a separate process, in its measured time."""
    login = ("--credentials", credentials_file(target, folder), "--json", str(folder / "report.json"))
    command = [*FREVO, "bench", *arguments, *login, "--time", "60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            line = ""
            while not line.startswith("Running"):
                line = process.stdout.readline()
                assert line, "it ended before it ran"
            yield process
        finally:
            if process.poll() is None:
                programs.end_group(process) if os.getpgid(process.pid) == process.pid else process.kill()


def finish(process: subprocess.Popen[str], folder: Path) -> tuple[int, dict[str, Any], str]:
    output, _ = process.communicate(timeout=30)
    assert "Traceback" not in output and "bug" not in output, output
    return process.returncode, json.loads((folder / "report.json").read_text()), output


def test_ctrl_c_ends_it_early(target: Target, tmp_path: Path) -> None:
    """SIGINT in the measured time: the report of what was measured, exit code 130, no files left."""
    with running(target, tmp_path, "write", url(target)) as process:
        assert left_over(target)
        process.send_signal(signal.SIGINT)
        code, found, output = finish(process, tmp_path)
    assert (code, found["ended"]) == (130, "interrupted")
    assert "ended early" in output
    assert not left_over(target)


@pytest.mark.tcp_only("a killed QUIC server says nothing and is noticed after 30 seconds, see test_client_quic.py")
def test_a_server_that_dies(tmp_path: Path) -> None:
    """The server is killed in the measured time: a clear message, the report of what was measured, exit code 1."""
    with frevo_server(tmp_path / "server") as server:
        with running(server, tmp_path, "read", url(server)) as process:
            server.process.kill()
            server.process.wait()
            code, found, _ = finish(process, tmp_path)
        assert (code, found["ended"]) == (1, "error")
        assert "connection" in found["problem"]
        server.process.returncode = 0  # it was us


def test_a_server_that_runs_out_of_space(tmp_path: Path) -> None:
    """No byte can be written any more: the run ends early, failures are counted and explained, the files are
    removed."""
    with frevo_server(tmp_path / "server") as server:
        with running(server, tmp_path, "write", url(server), "--io-size", "8K") as process:
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            code, found, _ = finish(process, tmp_path)
            resource.prlimit(
                server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            )
        assert (code, found["ended"]) == (1, "error")
        assert found["errors"] > 0 and list(found["statuses"]) and "failed" in found["problem"]
        assert not left_over(server)


def test_wrong_data_is_noticed(server: Target, tmp_path: Path) -> None:
    """The file changes behind the server's back: reads of other data are errors, and a run with nothing else ends."""
    with running(server, tmp_path, "read", url(server), "--verify", "--connections", "1") as process:
        (path,) = server.folder().glob("bench_read_dir/*.dat")
        with path.open("r+b") as file:
            file.write(b"other data")
        code, found, _ = finish(process, tmp_path)
    assert (code, found["ended"], list(found["statuses"])) == (1, "error", ["DATA_MISMATCH"])
    assert "different data" in found["problem"]
