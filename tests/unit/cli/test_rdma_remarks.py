"""What `frevo testparm` and `frevo serve` say about SMB Direct, and how clients connect."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from frevo.cli import rdma_remarks, serve
from frevo.cli.connect_help import explain_bind_error, how_to_connect
from frevo.cli.main import build_parser
from frevo.config import load_text
from frevo.transport import smbdirect
from frevo.transport.address import TransportAddress


def remarks(*lines: str) -> list[tuple[str, str, str]]:
    """The remarks about [global] with *lines*."""
    return list(rdma_remarks.rdma_remarks(load_text("\n".join(("[global]", *lines)) + "\n")))


@pytest.fixture(autouse=True)
def no_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine has neither cards nor sockets of the kernel, whatever it has."""
    monkeypatch.setattr(smbdirect, "missing", lambda name: "" if name in ("iwarp", "emulated") else f"no {name}")


def test_what_can_be_served_needs_no_words(tmp_path: Path) -> None:
    """iWARP beside TCP, emulated RDMA in a folder that can be made; nothing is looked at without SMB Direct."""
    assert remarks("server smb transports = +smbdirect") == []
    emulated = f"frevo:smbdirect directory = {tmp_path}/new/folder"
    assert remarks("server smb transports = smbdirect", "frevo:smbdirect provider = emulated", emulated) == []
    assert remarks("frevo:smbdirect provider = verbs") == []


@pytest.mark.parametrize("provider", ["verbs", "kernel"])
def test_a_provider_that_is_not_there(provider: str) -> None:
    """An error at the key, with the reason."""
    [(attribute, text, severity)] = remarks(
        "server smb transports = +smbdirect", f"frevo:smbdirect provider = {provider}"
    )
    assert (attribute, severity) == ("frevo_smbdirect_provider", "error")
    assert text == f"frevo:smbdirect provider = {provider}, but no {provider}: use auto or iwarp"


def test_one_port_for_two() -> None:
    """iWARP uses TCP: another transport on its port is an error; QUIC, which uses UDP, is none."""
    [(attribute, text, severity)] = remarks("server smb transports = tcp:5445 smbdirect")
    assert (attribute, severity) == ("server_smb_transports", "error")
    assert text.startswith("smbdirect speaks iWARP, which uses TCP, and tcp:5445 has its port")
    assert remarks("server smb transports = quic:5445 smbdirect") == []
    free = (TransportAddress("tcp", 0), TransportAddress("smbdirect", 0))
    assert list(rdma_remarks.rdma_remarks(load_text("").with_globals(server_smb_transports=free))) == []


def test_folders_for_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that cannot be made or written, or that is none: an error with the reason."""
    serving = ("server smb transports = smbdirect", "frevo:smbdirect provider = emulated")
    (tmp_path / "file").touch()
    [(attribute, text, severity)] = remarks(*serving, f"frevo:smbdirect directory = {tmp_path}/file/x")
    assert (attribute, severity) == ("frevo_smbdirect_directory", "error")
    assert text == f"{tmp_path}/file/x cannot be created in {tmp_path}/file: choose another folder"
    for wrong in ("relative", "/x/%U"):
        assert remarks(*serving, f"frevo:smbdirect directory = {wrong}")[0][1].startswith("expected an absolute path")
    monkeypatch.setattr(rdma_remarks.os, "access", lambda *_, **__: False)
    [(_, text, _)] = remarks(*serving, f"frevo:smbdirect directory = {tmp_path}")
    assert text == f"{tmp_path} cannot be written: choose another folder"


def test_little_memory_for_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning, with cards only."""
    monkeypatch.setattr(rdma_remarks.resource, "getrlimit", lambda _: (65536, 65536))
    assert remarks("server smb transports = +smbdirect") == []
    monkeypatch.setattr(smbdirect, "missing", lambda _: "")
    [(attribute, text, severity)] = remarks("server smb transports = +smbdirect")
    assert (attribute, severity) == ("server_smb_transports", "warning")
    assert "little memory may be locked" in text


def test_how_to_connect_over_rdma() -> None:
    """frevo's URL, and Linux' command where its client finds the server: it tries 5445 and 445 only."""
    text = "\n".join(how_to_connect("data", "eve", [("tcp", "192.0.2.7", 445), ("smbdirect", "192.0.2.7", 5445)]))
    assert "frevo ls smb+rdma://eve@192.0.2.7/data" in text
    assert "sudo mount -t cifs //192.0.2.7/data /mnt -o rdma,username=eve" in text
    assert "smbclient //192.0.2.7/data -U eve" in text
    text = "\n".join(how_to_connect("data", "eve", [("smbdirect", "::1", 15445)]))
    assert "frevo ls 'smb+rdma://eve@[::1]:15445/data'" in text
    assert "mount" not in text and "smbclient" not in text
    assert "rdma" not in "\n".join(how_to_connect("data", "eve", [("tcp", "192.0.2.7", 445)]))


@pytest.mark.parametrize(
    ("number", "where", "words"),
    [
        (errno.EADDRINUSE, "0.0.0.0:5445", ["perhaps by ksmbd", "ss -ltnp sport = :5445", "--rdma=N", "smbdirect:N"]),
        (errno.EADDRINUSE, "/run/frevo/smbdirect.5445.sock", ["is in use", "--rdma=N"]),
        (errno.EACCES, "/run/frevo/smbdirect.5445.sock", ["Permission denied", "`frevo:smbdirect directory`"]),
    ],
)
def test_errors_of_listening(number: int, where: str, words: list[str]) -> None:
    """What is in the way and what to do; nothing about other transports' options."""
    text = explain_bind_error(OSError(number, os.strerror(number), f"SMB Direct {where}"))
    assert all(word in text for word in (where, *words)), text
    assert "setcap" not in text and "--port" not in text


def test_rdma_is_added(tmp_path: Path) -> None:
    """--rdma adds SMB Direct, on 5445 or on the port that is named, in the place of what a file says."""

    def transports(*words: str) -> tuple[TransportAddress, ...]:
        return serve._plan(build_parser().parse_args(["serve", *words])).config.globals.server_smb_transports

    folder = (str(tmp_path), "--port", "4450", "--private-dir", str(tmp_path / "private"))
    tcp = TransportAddress("tcp", 4450)
    assert transports(*folder, "--rdma") == (tcp, TransportAddress("smbdirect", 5445))
    assert transports(*folder, "--rdma=0") == (tcp, TransportAddress("smbdirect", 0))
    path = tmp_path / "smb.conf"
    path.write_text("[global]\nserver smb transports = tcp:4450 smbdirect:5\n[a]\npath = /x\n")
    assert transports("-c", str(path), "--rdma=6000") == (tcp, TransportAddress("smbdirect", 6000))
    with pytest.raises(SystemExit):
        build_parser().parse_args(["serve", "--rdma", str(tmp_path)])
