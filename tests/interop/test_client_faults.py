"""Failures around the commands, against smbd and frevo: one clear sentence, exit code 1, work that can be resumed."""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from peers import frevo_server, programs, samba_server, transports
from peers.relay import Relay
from peers.target import Target

from frevo.cli.main import main
from frevo.client import blocking
from frevo.client.transfer.data import GAPS_BYTES

pytestmark = pytest.mark.interop

Command = Callable[..., programs.Run]


@pytest.fixture
def url(through: str, folder: Path) -> str:
    """That folder, through the relay."""
    return f"{through}/share/{folder.name}"


@pytest.fixture
def frevo(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs a command with the credentials of the test's user, in this process."""

    def command(*arguments: str) -> programs.Run:
        capfd.readouterr()
        status = main(command_line(tmp_path, *arguments)[len(frevo_server.FREVO) :])
        said = capfd.readouterr()
        return programs.Run((), status, said.out + said.err)

    return command


def command_line(folder: Path, *arguments: str) -> list[str]:
    credentials = folder / "credentials"
    credentials.write_text("username = user1\npassword = Passw0rd!\n")
    return [*frevo_server.FREVO, *arguments, "--credentials", str(credentials)]


def refused(run: programs.Run, *texts: str) -> None:
    """The command failed as it should: exit code 1, a sentence, no traceback."""
    assert run.status == 1, run
    assert all(text in run.output for text in texts), run
    assert "Traceback" not in run.output and "bug" not in run.output, run


def parts(folder: Path) -> list[Path]:
    return list(folder.glob(".frevo-*.part"))


def test_a_get_that_is_cut_and_resumed(
    frevo: Command, url: str, relay: Relay, folder: Path, tmp_path: Path
) -> None:
    """The link breaks and stays broken: the part is kept; the same command continues with it when the link is back."""
    data = os.urandom(30_000_000)
    (folder / "large").write_bytes(data)
    relay.cut_after(down=20_000_000, refuse=True)
    local = tmp_path / "large"
    # The foreign QUIC server still shakes hands, and ends the connection then.
    why = "without a response" if transports.over_quic() else "refused"
    refused(frevo("get", f"{url}/large", str(local), "--reconnect", "0.3"), "could not be restored", why)
    (part,) = parts(tmp_path)
    kept = part.stat().st_size
    complete = max(0, kept - GAPS_BYTES)
    assert 0 < kept <= len(data) and not local.exists() and part.read_bytes()[:complete] == data[:complete]
    relay.accept()
    relay.passed = 0
    frevo("get", f"{url}/large", str(local)).ok()
    assert local.read_bytes() == data and parts(tmp_path) == []
    assert relay.passed < len(data) - complete + 1_000_000


def test_a_put_that_is_cut_and_resumed(
    frevo: Command, url: str, relay: Relay, folder: Path, tmp_path: Path
) -> None:
    """The same for an upload; without reconnecting it ends at the first loss and says what that means."""
    local = tmp_path / "large"
    local.write_bytes(os.urandom(40_000_000))
    relay.cut_after(up=30_000_000)
    refused(
        frevo("put", str(local), url, "--no-reconnect"),
        "the connection to the server ended",
        "may be missing",
    )
    (part,) = parts(folder)
    assert not (folder / "large").exists() and part.stat().st_size > 20_000_000
    relay.passed = 0
    frevo("put", str(local), url).ok()
    assert (folder / "large").read_bytes() == local.read_bytes() and parts(folder) == []
    assert relay.passed < 38_000_000


def test_a_server_that_falls_silent(
    frevo: Command, url: str, relay: Relay, folder: Path, tmp_path: Path
) -> None:
    """The connection stays but nothing arrives any more: noticed in the time given, by get and by ls."""
    (folder / "large").write_bytes(bytes(30_000_000))
    relay.freeze_after(down=10_000_000)
    options = ("--answer-timeout", "1", "--no-reconnect")
    refused(frevo("get", f"{url}/large", str(tmp_path), *options), "no sign of life for 1 s")
    assert len(parts(tmp_path)) == 1
    refused(frevo("ls", url, "--timeout", "0.2"), "did not respond within")
    relay.thaw()
    frevo("get", f"{url}/large", str(tmp_path)).ok()


@pytest.mark.parametrize("kind", ["frevo", "samba"])
@pytest.mark.parametrize("way", ["get", "put"])
def test_a_server_that_is_killed(kind: str, way: str, tmp_path: Path) -> None:
    """The server is killed in the middle of a transfer and started again: the command continues and succeeds."""
    base, local = tmp_path / "server", tmp_path / "local"
    base.mkdir()
    local.mkdir()
    data = os.urandom(60_000_000)
    with contextlib.ExitStack() as stack:
        first = start(kind, base, stack)
        relay = stack.enter_context(Relay(first.host, first.tcp_port))
        url = stack.enter_context(transports.reaching(relay.port)) + "/share/large"
        there, here = first.folder() / "large", local / "large"
        (there if way == "get" else here).write_bytes(data)
        relay.when(
            lambda: os.killpg(first.pid, signal.SIGKILL), **{"down" if way == "get" else "up": 20_000_000}
        )
        arguments = [url, str(here)] if way == "get" else [str(here), url]
        with subprocess.Popen(
            command_line(tmp_path, way, *arguments), stderr=subprocess.PIPE, text=True
        ) as running:
            while not programs_gone(first.pid):
                time.sleep(0.02)
            relay.target_port = start(kind, base, stack).tcp_port
            _, said = running.communicate(timeout=60)
        assert running.returncode == 0, said
        assert (here if way == "get" else there).read_bytes() == data


def programs_gone(pid: int) -> bool:
    """The process has ended; its parent, this one, has not yet reaped it."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def start(kind: str, base: Path, stack: contextlib.ExitStack) -> Target:
    """A server for this test alone, which may be killed."""
    if kind == "samba":
        return stack.enter_context(samba_server.samba_server(base))
    server = frevo_server.start(base)

    def end() -> None:
        programs.end_group(server.process)
        server.process.wait(10)

    stack.callback(end)
    return server


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "frevo", str(folder)], check=False
    ).returncode:
        programs.missing("no right to mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_share(frevo: Command, url: str, folder: Path, tiny: Path, tmp_path: Path) -> None:
    """The share is full: reported, with exit code 1, for small and large files; the part is kept."""
    inside = folder / "full"
    inside.mkdir()
    subprocess.run(["mount", "--bind", str(tiny), str(inside)], check=True)
    try:
        (tmp_path / "large").write_bytes(bytes(3_000_000))
        refused(frevo("put", str(tmp_path / "large"), f"{url}/full"), "free up space on the server")
        for part in parts(inside):
            part.unlink()
        (inside / "filler").write_bytes(bytes(1_040_000))
        (tmp_path / "small").write_bytes(bytes(60_000))
        refused(frevo("put", str(tmp_path / "small"), f"{url}/full"), "free up space on the server")
    finally:
        subprocess.run(["umount", str(inside)], check=True)


def test_a_full_disk_here(frevo: Command, url: str, folder: Path, tiny: Path) -> None:
    """The local disk is full: reported, with the local name; the other files arrive."""
    (folder / "tree").mkdir()
    (folder / "tree" / "large").write_bytes(bytes(3_000_000))
    (folder / "tree" / "small").write_bytes(b"small")
    run = frevo("get", "-r", f"{url}/tree", str(tiny))
    refused(run, "No space left on device", "large")


def test_names_that_cannot_be(frevo: Command, url: str, folder: Path, tmp_path: Path) -> None:
    """Too long for the server, too long as a path, impossible on this machine."""
    (tmp_path / "file").write_bytes(b"x")
    refused(frevo("put", str(tmp_path / "file"), f"{url}/{'x' * 256}"), "the server does not accept this name")
    refused(frevo("put", str(tmp_path / "file"), f"{url}/{'y/' * 20000}z"), "longer than SMB allows")
    refused(frevo("mkdir", f"{url}/{'x' * 300}"), "the server does not accept this name")


def test_what_is_in_the_way(frevo: Command, target: Target, url: str, folder: Path, tmp_path: Path) -> None:
    """Open elsewhere without sharing, not empty, a share that this user may not use."""
    (folder / "busy").write_bytes(b"x")
    (tmp_path / "file").write_bytes(b"x")
    direct = target.url
    login = {"user": target.user, "password": target.password}
    alone = {"share_read": False, "share_write": False, "share_delete": False}
    with (
        blocking.connect(f"{direct}/share/{folder.name}", None, **login) as share,
        share.open("busy", "r+b", **alone),
    ):
        refused(frevo("cat", f"{url}/busy"), "another program has it open", "SHARING_VIOLATION")
        refused(frevo("put", str(tmp_path / "file"), f"{url}/busy"), "another program has it open")
        refused(frevo("rm", f"{url}/busy"), "another program has it open")
    refused(frevo("ls", f"{direct}/others"), "may not", "ACCESS_DENIED")
    (folder / "folder").mkdir()
    (folder / "folder" / "inside").touch()
    refused(frevo("rm", f"{url}/folder"), "not empty")


ACCOUNTS = {
    "disabled": (["pdbedit", "-c", "[D]"], "the account is disabled: ask the administrator"),
    "locked": (["pdbedit", "-c", "[L]"], "the account is locked"),
    "expired": (["pdbedit", "--kickoff-time", "86400"], "the account has expired"),
    "must change": (
        ["net", "sam", "set", "pwdmustchangenow", "USER", "yes"],
        "the password must be changed first",
    ),
}


@pytest.fixture(scope="module")
def own_smbd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Target, str]]:
    """An smbd for these tests alone, and its smb.conf."""
    base = tmp_path_factory.mktemp("own")
    with samba_server.samba_server(base, {"passdb backend": "tdbsam"}) as target:
        yield target, str(base / "smb.conf")


def test_a_share_that_is_removed(own_smbd: tuple[Target, str], frevo: Command) -> None:
    """The administrator closes the share: connected again, reads continue. He removes it: reported, and no hang."""
    target, config = own_smbd
    (target.folder() / "data").write_bytes(b"some data")
    url = target.url
    close = ["smbcontrol", "-s", config, "smbd", "close-share", "share"]
    with (
        blocking.connect(f"{url}/share", user=target.user, password=target.password) as share,
        share.open("data") as file,
    ):
        before = share._inner.tree
        assert file.pread(4, 0) == b"some"
        programs.run(close).ok()
        while share._inner.tree is before:
            assert file.pread(4, 5) == b"data" and share.stat("data").size == 9
        assert share._inner.tree.connection is before.connection
        text = Path(config).read_text()
        Path(config).write_text(text.replace("[share]", "[renamed]"))
        programs.run(["smbcontrol", "-s", config, "smbd", "reload-config"]).ok()
        programs.run(close).ok()
        with pytest.raises(FileNotFoundError, match="no such share"):
            while True:
                share.stat("data")
        refused(frevo("ls", f"{url}/share"), "no such share")
        Path(config).write_text(text)
        programs.run(["smbcontrol", "-s", config, "smbd", "reload-config"]).ok()


def test_accounts(own_smbd: tuple[Target, str], frevo: Command) -> None:
    """smbd refuses the user for other reasons than the password: each has its own message."""
    target, config = own_smbd
    user, url = getpass.getuser(), f"{target.url}/ro"
    frevo("ls", url).ok()
    for change, sentence in ACCOUNTS.values():
        words = [user if word == "USER" else word for word in change]
        words[1:1] = ["-s", config] + (["-u", user] if words[0] == "pdbedit" else [])
        programs.run(words).ok()
        refused(frevo("ls", url), sentence)
        programs.run(["pdbedit", "-s", config, "-u", user, "-c", "[]", "--kickoff-time", "never"])


@pytest.mark.parametrize("way", ["get", "put"])
def test_ctrl_c_while_the_server_is_silent(
    target: Target, relay: Relay, url: str, folder: Path, tmp_path: Path, way: str
) -> None:
    """The first Ctrl-C ends a transfer soon, however long its server would be waited for, and leaves the part file that
    the next one continues. Method: a relay that freezes in the middle."""
    local = tmp_path / "local"
    local.mkdir()
    there, here = folder / "large", local / "large"
    (there if way == "get" else here).write_bytes(os.urandom(40_000_000))
    frozen = threading.Event()

    def freeze() -> None:
        relay.freeze()
        frozen.set()

    relay.when(freeze, **{"down" if way == "get" else "up": 10_000_000})
    arguments = [f"{url}/large", str(here)] if way == "get" else [str(here), f"{url}/large"]
    with subprocess.Popen(
        command_line(tmp_path, way, *arguments), stderr=subprocess.PIPE, text=True
    ) as running:
        assert frozen.wait(30)
        began = time.monotonic()
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=30)
        took = time.monotonic() - began
    assert (running.returncode, "Traceback" in said) == (130, False), said
    assert took < 10, "answers are waited for 60 s"
    [part] = parts(local if way == "get" else folder)
    assert 0 < part.stat().st_size <= 40_000_000
