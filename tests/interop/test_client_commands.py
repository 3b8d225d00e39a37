"""The commands on smb:// URLs as a user types them, against smbd and frevo: output, exit codes, files on both
sides."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from peers import programs
from peers.frevo_server import FREVO
from peers.target import Target

pytestmark = [pytest.mark.interop, pytest.mark.over_quic, pytest.mark.once("options and messages")]

Command = Callable[..., programs.Run]


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.fixture
def place(target: Target, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder of the share for this test."""
    folder = target.folder() / f"cmd {request.node.originalname}"
    folder.mkdir()
    yield folder
    programs.run(["rm", "-rf", str(folder)]).ok()


@pytest.fixture
def frevo(target: Target, tmp_path: Path) -> Command:
    """Runs a command with the credentials of the test's user in a file."""
    credentials = tmp_path / "credentials"
    credentials.write_text(f"username = {target.user}\npassword = {target.password}\n")

    def command(name: str, *arguments: str, login: bool = True) -> programs.Run:
        options = ["--credentials", str(credentials)] if login else []
        return programs.run([*FREVO, name, *arguments, *options], timeout_s=120)

    return command


@pytest.fixture
def url(target: Target, place: Path) -> str:
    return f"{target.url}/share/{place.name}"


def test_files_come_and_go(frevo: Command, url: str, place: Path, tmp_path: Path) -> None:
    """One file: put, ls, stat, cat, cp, mv, get, rm, each checked on the server's disk."""
    local = tmp_path / "notes.txt"
    local.write_bytes(b"some notes\n" * 9000)
    os.utime(local, (1_600_000_000, 1_600_000_000))
    frevo("put", str(local), url).ok()
    assert (place / "notes.txt").read_bytes() == local.read_bytes()
    assert int((place / "notes.txt").stat().st_mtime) == 1_600_000_000
    assert frevo("ls", url).ok() == "notes.txt\n"
    (entry,) = json.loads(frevo("ls", "--json", url).ok())
    assert (entry["path"], entry["size"], entry["type"]) == ("notes.txt", 99000, "file")
    assert entry["modified"] == "2020-09-13T12:26:40Z"
    assert json.loads(frevo("stat", "--json", "-a", f"{url}/notes.txt").ok())["size"] == 99000
    assert frevo("cat", f"{url}/notes.txt").ok() == local.read_text()
    frevo("cp", f"{url}/notes.txt", f"{url}/copy.txt").ok()
    frevo("mv", f"{url}/copy.txt", f"{url}/moved.txt").ok()
    assert sorted(names_in(place)) == ["moved.txt", "notes.txt"]
    frevo("get", f"{url}/moved.txt", str(tmp_path / "back.txt")).ok()
    assert (tmp_path / "back.txt").read_bytes() == local.read_bytes()
    frevo("rm", f"{url}/moved.txt").ok()
    assert names_in(place) == ["notes.txt"]


def test_folders(frevo: Command, url: str, place: Path, tmp_path: Path) -> None:
    """A folder up, copied, down and removed: the same names and contents, odd ones too."""
    tree = tmp_path / "tree"
    names = ["plain", "with space", "Grüße €", "emoji 😀", "a#b%41&c", "deep/er/file", "x" * 200]
    for name in names:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(name.encode() * 1000)
    (tree / "empty").touch()
    (tree / "large").write_bytes(os.urandom(5_000_001))
    frevo("put", "-r", str(tree), url).ok()
    assert digests(place / "tree") == digests(tree)
    frevo("cp", "-r", f"{url}/tree", f"{url}/again").ok()
    assert digests(place / "again") == digests(tree)
    frevo("get", "-r", f"{url}/tree", f"{tmp_path}/back/").ok()
    assert digests(tmp_path / "back" / "tree") == digests(tree)
    said = json.loads(frevo("get", "-ru", "--json", f"{url}/tree", f"{tmp_path}/back").ok())
    assert (said["files"], said["skipped"]) == (0, len(names) + 2)
    shown = frevo("tree", url).ok()
    assert "└── " in shown and "😀" in shown
    frevo("rm", "-r", f"{url}/tree").ok()
    assert names_in(place) == ["again"]
    assert "again/deep/er/file" in frevo("ls", f"{url}/**/fil*").ok()


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_an_interrupted_download_goes_on(frevo: Command, url: str, place: Path, tmp_path: Path) -> None:
    """A part file is completed, not started over: its wrong first bytes are in the result."""
    from frevo.client.batch import part_name
    from frevo.client.transfer.data import GAPS_BYTES

    data = os.urandom(12_000_000)
    (place / "large").write_bytes(data)
    (known,) = json.loads(frevo("ls", "--json", f"{url}/large").ok())
    assert known["size"] == len(data)
    modified = (place / "large").stat().st_mtime_ns // 100 * 100
    part = tmp_path / part_name("large", len(data), modified)
    part.write_bytes(b"?" * 10_000_000)
    kept = 10_000_000 - GAPS_BYTES  # after that there could be gaps
    frevo("get", f"{url}/large", str(tmp_path / "large")).ok()
    got = (tmp_path / "large").read_bytes()
    assert got[:kept] == b"?" * kept and got[kept:] == data[kept:]
    assert not part.exists()


def test_directories(frevo: Command, url: str, place: Path) -> None:
    """mkdir with and without parents, and what is in the way."""
    assert frevo("mkdir", f"{url}/a/b").status == 1
    frevo("mkdir", "-p", f"{url}/a/b").ok()
    frevo("mkdir", "-p", f"{url}/a/b").ok()
    run = frevo("mkdir", f"{url}/a")
    assert run.status == 1 and "it already exists" in run.output
    run = frevo("rm", f"{url}/a")
    assert run.status == 1 and "not empty" in run.output
    assert (place / "a" / "b").is_dir()


def test_what_goes_wrong(frevo: Command, target: Target, url: str, tmp_path: Path) -> None:
    """Each error is one sentence with the status, and exit code 1; never a traceback."""
    host = target.url
    cases = [
        (("cat", f"{url}/nothing"), "STATUS_OBJECT_NAME_NOT_FOUND"),
        (("ls", f"{host}/no-share"), "no such share"),
        (("put", "/etc/hostname", f"{host}/ro"), "denied"),
        (("get", f"{url}"), "--recursive"),
        (("ls", f"smb://{target.host}:1/share"), "refused"),
        (("ls", f"smb://user:secret@{target.host}/share"), "password in a URL"),
        (("ls", "http://example.org"), "smb://host/share"),
        (("mv", f"{url}/a", f"{host}/ro/a"), "across shares"),
    ]
    for arguments, text in cases:
        run = frevo(*arguments)
        usage = text in ("password in a URL", "smb://host/share", "across shares")
        assert run.status == (2 if usage else 1), run
        assert text in run.output and "Traceback" not in run.output and "bug" not in run.output, run
    wrong = tmp_path / "wrong"
    wrong.write_text(f"username={target.user}\npassword=nonsense\n")
    run = frevo("ls", f"{host}/share", "--credentials", str(wrong), login=False)
    assert run.status == 1 and "wrong user or password" in run.output


def test_several_and_wildcards(frevo: Command, url: str, place: Path, tmp_path: Path) -> None:
    """Several sources into a directory, wildcards, names with brackets, failures among successes, digests in JSON."""
    names = ["a.txt", "b.txt", "c.bin", "d [1].txt"]
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    locals_ = [str(tmp_path / name) for name in names]
    said = json.loads(frevo("put", "--json", "--verify", *locals_, f"{url}/in/new/").ok())
    digest = hashlib.sha256(b"d [1].txt").hexdigest()
    assert said["files"] == 4 and {"path": locals_[3], "sha256": digest} in said["verified"]
    assert frevo("ls", f"{url}/in/new/*.txt").ok().splitlines()[0].endswith("in/new/a.txt")
    back = tmp_path / "back"
    run = frevo("get", f"{url}/in/new/*.txt", f"{url}/in/new/c.bin", f"{url}/in/new/missing", f"{back}/")
    assert run.status == 1 and "missing: no such file" in run.output and "4 files" in run.output
    assert sorted(names_in(back)) == names and "1 failed" in run.output
    frevo("get", "-q", f"{url}/in/new/d [1].txt", f"{back}/one").ok()
    run = frevo("get", f"{url}/in/new/*.txt", str(back / "one"))
    assert run.status == 2 and "is not a directory" in run.output
    assert frevo("get", f"{url}/*.nothing", str(back)).status == 1
    said = json.loads(frevo("cp", "--json", "--verify", f"{url}/in/new/*", url).ok())
    assert said["files"] == 4 and len(said["verified"]) == 4
    frevo("mv", f"{url}/[ab].txt", f"{url}/c.bin", f"{url}/in").ok()
    assert sorted(names_in(place)) == ["d [1].txt", "in"]
    assert frevo("cat", f"{url}/in/?.*").ok() == "a.txtb.txtc.bin"
    run = frevo("rm", f"{url}/in/*.txt", f"{url}/nothing", f"{url}/d [1].txt")
    assert run.status == 1 and "nothing: no such file" in run.output
    assert names_in(place) == ["in"] and sorted(names_in(place / "in")) == ["c.bin", "new"]


def test_nothing_is_lost(frevo: Command, target: Target, url: str, place: Path, tmp_path: Path) -> None:
    """A file copied onto itself, under any name of its server, stays; get replaces no device; cat writes all of it."""
    data = os.urandom(700_000)
    (place / "file").write_bytes(data)
    other = url.replace("127.0.0.1", "localhost")
    for target_url in (f"{url}/FILE", f"{url}/./file", f"{other}/file", other):
        run = frevo("cp", f"{url}/file", target_url)
        assert run.status == 1 and ("the same file" in run.output or "onto itself" in run.output), run
    assert (place / "file").read_bytes() == data
    os.mkfifo(tmp_path / "pipe")
    run = frevo("get", f"{url}/file", str(tmp_path / "pipe"))
    assert run.status == 2 and (tmp_path / "pipe").is_fifo()
    environment = {**os.environ, "FREVO_USER": target.user, "FREVO_PASSWORD": target.password}
    for unbuffered in ("", "1"):
        environment["PYTHONUNBUFFERED"] = unbuffered
        whole = subprocess.run(
            [*FREVO, "cat", f"{url}/file"], capture_output=True, env=environment, check=True
        )
        assert whole.stdout == data
    with subprocess.Popen([*FREVO, "cat", f"{url}/file"], env=environment, stdout=-1, stderr=-1) as reading:
        assert reading.stdout is not None and reading.stderr is not None
        assert reading.stdout.read(10) == data[:10]
        reading.stdout.close()
        assert reading.stderr.read() == b""
    assert reading.returncode == 141


def test_listings(frevo: Command, url: str, place: Path) -> None:
    """-l, -R and JSON, sorted or not; a name cannot control the terminal, JSON has the name itself."""
    evil = "evil \x1b]0;title\x07"
    for name in ("b", "A", "c/deep/file", evil):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(b"12345")
    lines = frevo("ls", "-R", url).ok().splitlines()
    assert lines[:5] == ["A", "b", "c/", "c/deep/", "c/deep/file"] and "\x1b" not in lines[5]
    found = json.loads(frevo("ls", "--json", "-UR", url).ok())
    assert {one["path"] for one in found} >= {"A", "b", "c", "c/deep", "c/deep/file"}
    assert "5" in frevo("ls", "-l", f"{url}/b").ok().split()
    assert "\x1b" not in frevo("tree", url).ok()
    assert json.loads(frevo("ls", "--json", f"{url}/c/deep/file/../../..").ok())


@pytest.mark.tcp_only("QUIC carries 3.1.1 alone")
@pytest.mark.parametrize("target", ["frevo", "samba"], indirect=True)
def test_the_netrc_file_and_the_configuration(target: Target, tmp_path: Path) -> None:
    """Logs on with the credentials in ~/.netrc, with the dialect and protection given by smb.conf or --option."""
    netrc, config = tmp_path / "netrc", tmp_path / "smb.conf"
    netrc.write_text(
        f'machine {target.host}:{target.port} login {target.user}@WORKGROUP password "{target.password}"'
    )
    config.write_text("[global]\nclient max protocol = SMB3_02\nclient smb encrypt = desired\n")
    url = f"{target.url}/share"

    def stat(*words: str) -> programs.Run:
        return programs.run([*FREVO, "stat", "--json", url, *words], env={"NETRC": str(netrc)})

    netrc.chmod(0o644)
    assert stat().status == 2 and "chmod 600" in stat().output
    netrc.chmod(0o600)
    found = json.loads(stat("-s", str(config)).ok())
    assert (found["dialect"], found["encrypted"]) == ("SMB3_02", True)
    found = json.loads(stat("-s", str(config), "--option", "client smb encrypt = off").ok())
    assert (found["dialect"], found["encrypted"], found["signed"]) == ("SMB3_02", False, True)
    algorithms = ["--option", "client smb3 signing algorithms=HMAC-SHA256", "--option", "client signing=off"]
    assert json.loads(stat(*algorithms, "--option", "client smb transports=tcp").ok())["dialect"] == "SMB3_11"


def test_shares(frevo: Command, target: Target) -> None:
    """The list of shares, plain and as JSON."""
    host = target.url
    assert "read and write" in frevo("shares", host).ok()
    names = {one["name"] for one in json.loads(frevo("shares", "--json", "-a", host).ok())}
    assert {"share", "ro", "IPC$"} <= names and "hidden" not in names


def test_watch(target: Target, url: str, place: Path, tmp_path: Path) -> None:
    """A change on the server's disk is printed as JSON. Method: make files until the watching process reports one."""
    environment = {**os.environ, "FREVO_USER": target.user, "FREVO_PASSWORD": target.password}
    command = [*FREVO, "watch", "--json", "--count", "1", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as watching:
        number = 0
        while watching.poll() is None:
            (place / f"new {number}").touch()
            number += 1
            with contextlib.suppress(subprocess.TimeoutExpired):
                watching.wait(0.2)
        assert watching.stdout is not None
        change = json.loads(watching.stdout.readline())
    assert watching.returncode == 0
    assert change["action"] in ("added", "modified") and "new " in change["path"]


def test_a_get_loads_what_it_needs(url: str, place: Path, target: Target, tmp_path: Path) -> None:
    """Goal: a command's start-up takes only the time of what it uses. Method: the modules that a log-on and a download
    import."""
    (place / "a.txt").write_bytes(b"a")
    credentials = tmp_path / "credentials"
    credentials.write_text(f"username = {target.user}\npassword = {target.password}\n")
    get = ["-m", "frevo", "get", f"{url}/a.txt", str(tmp_path), "--credentials", str(credentials)]
    no_configuration = os.environ | {"XDG_CONFIG_HOME": str(tmp_path), "FREVO_CONF": ""}
    out = programs.run([sys.executable, "-X", "importtime", *get], env=no_configuration).ok()
    loaded = {line.rpartition("|")[2].strip() for line in out.splitlines() if line.startswith("import time:")}
    assert {"frevo.client.connection.logon", "frevo.client.transfer.small"} <= loaded
    needless = "spnego gssapi krb5 cryptography rich json getpass email tempfile dataclasses concurrent.futures.thread"
    servers = "frevo.server frevo.config frevo.vfs frevo.bench frevo.fuse frevo.mount"
    assert not {*needless.split(), *servers.split()} & loaded


def test_what_fails_leaves_nothing(frevo: Command, url: str, place: Path, tmp_path: Path) -> None:
    """Goal: a transfer whose source is missing, is a directory or cannot be read makes no folder and no file, here or
    on the share. Method: get, put and cp into folders that do not exist; then with a source, which makes them."""
    here = tmp_path / "here"
    (place / "below").mkdir()
    (place / "large").write_bytes(bytes(3 << 20))
    (place / "locked").write_bytes(bytes(3 << 20))
    (tmp_path / "source").mkdir()
    for source in ("typo/x", "typo", "below", "locked/x"):
        assert frevo("get", f"{url}/{source}", f"{here}/new/deep/").status == 1
        assert frevo("get", f"{url}/{source}", f"{here}/new/file").status == 1
    assert frevo("get", f"{url}/typo", f"{url}/typo2", f"{here}/").status == 1
    assert not here.exists()
    before = sorted(names_in(place))
    for local in (tmp_path / "source", tmp_path / "typo"):
        assert frevo("put", str(local), f"{url}/new/deep/").status == 1
    assert frevo("cp", f"{url}/typo", f"{url}/copy").status == 1
    assert frevo("mv", f"{url}/typo", f"{url}/copy").status == 1
    assert sorted(names_in(place)) == before
    frevo("get", f"{url}/large", f"{url}/locked", f"{here}/new/deep/").ok()
    assert sorted(names_in(here / "new" / "deep")) == ["large", "locked"]
    frevo("put", str(here / "new" / "deep" / "large"), f"{url}/new/deep/").ok()
    assert names_in(place / "new" / "deep") == ["large"]
    frevo("get", f"{url}/large", f"{here}/other/name").ok()
    assert (here / "other" / "name").read_bytes() == bytes(3 << 20)
