"""frevo serve's options, folder mode, advice and log; tests/integration has a running server."""

from __future__ import annotations

import errno
import logging
import os
import socket
from pathlib import Path

import pytest
from msgspec.structs import replace

from frevo.auth.accounts import AccountStore
from frevo.cli import config_remarks, serve, serve_folder
from frevo.cli.connect_help import banner, explain_bind_error, how_to_connect, reachable
from frevo.cli.main import build_parser, main
from frevo.cli.runner import Runner, start_log
from frevo.cli.serve_folder import Login, ServeError, folder_config, login_for, random_password, share_name
from frevo.config import Config, load_text
from frevo.server.rules.acting import who_acts
from frevo.status.snapshot import CertificateStatus
from frevo.transport import kernel_quic
from frevo.transport.address import TransportAddress
from frevo.transport.traits import TRANSPORTS


def plan_of(*arguments: str) -> serve.Plan:
    """What `frevo serve` would do with these arguments."""
    return serve._plan(build_parser().parse_args(["serve", *arguments]))


@pytest.mark.parametrize("address", ["no-such-host.invalid", "192.0.2.1/32", "\x9b"])
def test_an_address_of_another_machine(
    tmp_path: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Goal: `--listen` with a foreign address is reported as the user's mistake. Method: each kind."""
    assert main(["serve", str(tmp_path), "--listen", address, "--private-dir", str(tmp_path / "p")]) == 1
    assert "no address of this machine matches" in capsys.readouterr().err


def test_a_folder_becomes_one_share(tmp_path: Path) -> None:
    """Goal: name, rights, user, port, address and private folder come from the options. Method: all."""
    folder = tmp_path / "My Docs"
    folder.mkdir()
    private = tmp_path / "private"
    plan = plan_of(
        str(folder), "--name", "docs", "--read-only", "--user", "eve", "--port", "4450",
        "--listen", "127.0.0.1", "--private-dir", str(private),
    )  # fmt: skip
    share = plan.config.shares["docs"]
    assert (share.path, share.read_only, share.valid_users) == (str(folder), True, ("eve",))
    values = plan.config.globals
    assert values.server_smb_transports == (TransportAddress("tcp", 4450),)
    assert (values.interfaces, values.bind_interfaces_only) == (("127.0.0.1",), True)
    assert plan.login is not None
    assert AccountStore(private).lookup("eve") is None
    login = plan.login()
    assert (login.user, len(login.password)) == ("eve", 19)
    assert AccountStore(private).lookup("EVE") is not None
    assert plan.reload() is plan.config


def test_the_password_is_made_once(tmp_path: Path) -> None:
    """Goal: a second start keeps the user's password unless a new one is requested. Method: log on three times."""
    first = login_for(str(tmp_path), "eve", new_password=False)
    old = AccountStore(tmp_path).lookup("eve")
    assert login_for(str(tmp_path), "eve", new_password=False) == Login("eve", "")
    assert AccountStore(tmp_path).lookup("eve") == old
    third = login_for(str(tmp_path), "eve", new_password=True)
    assert third.password not in ("", first.password)
    assert AccountStore(tmp_path).lookup("eve") != old
    assert random_password() != random_password()


def test_a_file_is_served_with_options(tmp_path: Path) -> None:
    """Goal: -c with -p and --listen; reload keeps the options. Method: change the file in between."""
    path = tmp_path / "smb.conf"
    path.write_text("[a]\npath = /x\n")
    plan = plan_of("-c", str(path), "-p", "0", "--listen", "::1")
    assert plan.config.globals.server_smb_transports == (TransportAddress("tcp", 0),)
    path.write_text("[a]\npath = /x\nread only = no\n")
    new = serve.reloaded(plan, plan.config)
    assert new is not None
    assert new.shares["a"].read_only is False
    assert new.globals.interfaces == ("::1",)


def test_a_broken_reload_keeps_the_old(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Goal: SIGHUP with a broken file changes nothing and says why. Method: break the file."""
    logging.getLogger("frevo").propagate = True
    path = tmp_path / "smb.conf"
    path.write_text("[a]\npath = /x\n")
    plan = plan_of("-c", str(path))
    path.write_text("[a]\npath = /x\nread only = perhaps\n")
    assert serve.reloaded(plan, plan.config) is None
    assert f"{path}:3" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a folder"),
        (["/", "-c", "x"], "give a folder"),
        (["/no/such/folder"], "cannot share /no/such/folder: No such file"),
        (["/etc/passwd"], "not a folder"),
        (["/tmp", "--name", "IPC$"], "cannot be used as a share name"),
        (["/tmp", "--name", "a/b"], "invalid share name"),
        (["/tmp", "--user", "a@b"], "account name"),
        (["/tmp", "--listen", "eth-none"], "no address of this machine matches"),
        (["-c", "/no/such/smb.conf"], "No such file"),
    ],
)
def test_wrong_starts_are_explained(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Goal: what cannot be served is a clear message and exit status 1. Method: one command line each."""
    assert main(["serve", *arguments, "--private-dir", str(tmp_path / "private")]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err and "bug" not in err


def test_wrong_ports_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Goal: a port is 0 to 65535. Method: other texts."""
    for port in ("x", "70000", "-1", "\u0664"):
        assert main(["serve", "/tmp", "--port", port]) == 2
    assert "is not a port" in capsys.readouterr().err


def test_file_options_and_folder_options_do_not_mix(tmp_path: Path) -> None:
    """Goal: --name and friends with -c are refused, not ignored. Method: each option."""
    path = tmp_path / "smb.conf"
    path.write_text("[a]\npath = /x\n")
    for option in (["--name", "x"], ["--user", "x"], ["--read-only"], ["--new-password"]):
        with pytest.raises(ServeError, match="for a folder"):
            plan_of("-c", str(path), *option)


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("Docs", "Docs"),
        ("a:b*c", "a_b_c"),
        ("homes", "homes_"),
        ("x\ty", "x_y"),
        ("n" * 99, "n" * 80),
        ("%S", "_S"),
    ],
)
def test_share_names(name: str, share: str) -> None:
    """Goal: any folder gets a legal share name. Method: exotic folder names."""
    assert share_name(Path("/data") / name) == share
    assert share_name(Path("/")) == "share"


def test_a_folder_that_cannot_be_written_is_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: without write permission the share is read-only and says so. Method: refuse W_OK."""
    monkeypatch.setattr(serve_folder.os, "access", lambda path, mode, **_: mode != os.W_OK)
    config = folder_config(str(tmp_path), "x", read_only=False)
    assert config.shares["x"].read_only


def test_how_to_connect_on_an_ordinary_port() -> None:
    """Goal: each client's line has host, port, share and user. Method: an address and a name with a space."""
    text = "\n".join(how_to_connect("My Docs", "eve", [("tcp", "192.0.2.7", 4450)]))
    assert "smbclient '//192.0.2.7/My Docs' -p 4450 -U eve" in text
    assert "mount -t cifs '//192.0.2.7/My Docs' /mnt -o port=4450,username=eve" in text
    assert 'net use Z: "\\\\192.0.2.7\\My Docs" /TCPPORT:4450 /user:eve' in text
    assert "smb://eve@192.0.2.7:4450/My%20Docs" in text
    assert "24H2" in text and "Only this machine" not in text


def test_how_to_connect_on_445_and_loopback() -> None:
    """Goal: no port if it is the default one; a note about loopback. Method: 127.0.0.1."""
    text = "\n".join(how_to_connect("data", "eve", [("nbt", "127.0.0.1", 139), ("tcp", "127.0.0.1", 445)]))
    assert "smbclient //127.0.0.1/data -U eve" in text
    assert "Explorer: \\\\127.0.0.1\\data" in text
    assert "TCPPORT" not in text and "port=" not in text and "Only this machine" in text


def test_ipv6_is_written_as_each_client_wants() -> None:
    """Goal: IPv6 hosts work in every client's syntax. Method: ::1."""
    text = "\n".join(how_to_connect("data", "eve", [("tcp", "::1", 4450)]))
    assert "smb://eve@[::1]:4450/data" in text
    assert "\\\\--1.ipv6-literal.net\\data" in text


def test_all_addresses_become_one_that_works() -> None:
    """Goal: 0.0.0.0 is never shown to a client. Method: ask for the reachable host."""
    host, port = reachable([("tcp", "0.0.0.0", 4450), ("tcp", "::", 4450)])
    assert host not in ("0.0.0.0", "::", "")
    assert port == 4450


def test_the_password_is_shown_once() -> None:
    """Goal: the banner shows a new password and not an old one. Method: both logins."""
    config = load_text("[data]\npath = /srv/100%%\n")
    text = banner(config, [("tcp", "127.0.0.1", 445)], Login("eve", "abcd"))
    assert "abcd" in text and "Sharing /srv/100% as data (read-only)" in text
    assert "--new-password sets a new one" in banner(config, [("tcp", "127.0.0.1", 445)], Login("eve", ""))
    assert "frevo user add USER" in banner(config, [("tcp", "127.0.0.1", 445)], None)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EADDRINUSE, ["tcp 0.0.0.0:445 is in use", "smbd", "ss -ltnp sport = :445", "--port"]),
        (errno.EACCES, ["no permission to listen", "--port", "sysctl", "setcap"]),
        (errno.EADDRNOTAVAIL, ["not an address of this machine", "127.0.0.1"]),
        (errno.EAFNOSUPPORT, ["cannot listen on tcp 0.0.0.0:445"]),
    ],
)
def test_bind_errors_say_what_to_do(number: int, words: list[str]) -> None:
    """Goal: a port that cannot be bound is reported with the remedy. Method: each errno."""
    text = explain_bind_error(OSError(number, os.strerror(number), "tcp 0.0.0.0:445"))
    assert all(word in text for word in words), text


@pytest.mark.parametrize(
    ("number", "where", "words"),
    [
        (errno.EADDRINUSE, "UDP 0.0.0.0:443", ["web server", "ss -lunp sport = :443", "--quic=4433"]),
        (errno.EADDRINUSE, "UDP 0.0.0.0:4433", ["--quic=4434"]),
        (errno.EACCES, "UDP [::]:443", ["no permission to listen on UDP [::]:443", "--quic=4433", "setcap"]),
    ],
)
def test_bind_errors_of_quic(number: int, where: str, words: list[str]) -> None:
    """Goal: the same for UDP, with the option and the command for it. Method: each errno."""
    text = explain_bind_error(OSError(number, os.strerror(number), where))
    assert all(word in text for word in words), text


CERTIFICATE = CertificateStatus(
    "CN=nas", ("DNS:localhost", "DNS:nas.example", "IP:192.0.2.7"), "ab" * 32, 2e9
)


def test_how_to_connect_over_quic() -> None:
    """Goal: the client's line pins the certificate, Windows' calls a name in it. Method: QUIC beside TCP, on 443 and
    on another port; QUIC alone; without QUIC nothing about it."""
    both = [("tcp", "192.0.2.7", 445), ("quic", "192.0.2.7", 443)]
    text = "\n".join(how_to_connect("My Docs", "eve", both, [CERTIFICATE]))
    assert f"frevo ls smb+quic://eve@192.0.2.7/My%20Docs --tls-fingerprint {'ab' * 32}" in text
    assert 'net use Z: "\\\\nas.example\\My Docs" /TRANSPORT:QUIC /user:eve' in text
    assert "smbclient" in text and "QUICPORT" not in text
    text = "\n".join(how_to_connect("data", "eve", [("quic", "::1", 4433)], [CERTIFICATE], " -c smb.conf"))
    assert "`frevo tls export-ca ca.pem -c smb.conf`" in text
    assert "smb+quic://eve@[::1]:4433/data" in text
    assert "net use Z: \\\\nas.example\\data /TRANSPORT:QUIC /QUICPORT:4433 /user:eve" in text
    assert "smbclient" not in text and "Only this machine" in text
    assert "quic" not in "\n".join(how_to_connect("data", "eve", both[:1])).lower()


def test_the_banner_of_a_file_knows_quic() -> None:
    """Goal: with -c there is no login, and the line still pins the certificate; who must show one is told. Method: QUIC
    alone, without and with `require`."""
    address = ("quic", "127.0.0.1", 443)
    config = load_text("[global]\nfrevo:quic client access = require\n[data]\npath = /srv\n")
    assert "frevo tls issue-client NAME -c " in banner(config, [address], None, "", [CERTIFICATE])
    config = load_text("[data]\npath = /srv\n")
    text = banner(config, [address], None, "", [CERTIFICATE])
    assert "issue-client" not in text
    assert f"smb+quic://USER@127.0.0.1/data --tls-fingerprint {'ab' * 32}" in text
    assert "smbclient -L" not in text


def test_quic_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Goal: --quic adds a transport; without a port 443, or 4433 with a word if that is not permitted. Method: a folder
    and a file; a user who may not."""
    tcp = TransportAddress("tcp", 4450)

    def transports(*words: str) -> tuple[TransportAddress, ...]:
        return plan_of(*words).config.globals.server_smb_transports

    folder = (str(tmp_path), "--private-dir", str(tmp_path / "private"), "--port", "4450")
    assert transports(*folder, "--quic=4434") == (tcp, TransportAddress("quic", 4434))
    monkeypatch.setattr(serve_folder, "may_listen", lambda port, kind: True)
    assert transports(*folder, "--quic") == (tcp, TransportAddress("quic", 443))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(serve_folder, "may_listen", lambda port, kind: False)
    assert transports(*folder, "--quic") == (tcp, TransportAddress("quic", 4433))
    assert "may not listen on UDP port 443: QUIC is on 4433 instead" in capsys.readouterr().err
    path = tmp_path / "smb.conf"
    path.write_text("[global]\nserver smb transports = tcp:4450 quic:5000\n[a]\npath = /x\n")
    assert transports("-c", str(path)) == (tcp, TransportAddress("quic", 5000))
    assert transports("-c", str(path), "--quic=6000") == (tcp, TransportAddress("quic", 6000))
    path.write_text("[global]\nserver smb transports = tcp:4450\n[a]\npath = /x\n")
    assert transports("-c", str(path), "--quic=0") == (tcp, TransportAddress("quic", 0))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("tls enabled = no", "quic needs `tls enabled = yes`"),
        ("server max protocol = SMB3_02", "quic needs `server max protocol = SMB3_11`"),
    ],
)
def test_a_file_that_forbids_quic(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    """Goal: --quic does not get around what the file says. Method: each key that rules QUIC out."""
    path = tmp_path / "smb.conf"
    path.write_text(f"[global]\nserver smb transports = tcp:4450\n{line}\n[a]\npath = {tmp_path}\n")
    assert main(["serve", "-c", str(path), "--quic=4433"]) == 1
    assert message in capsys.readouterr().err


def test_a_udp_port_that_is_not_permitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: a warning, as testparm may run as another user; a port in use is no problem of the file's. Method: a user
    who may not listen; a socket on the port."""
    config = load_text("[global]\nserver smb transports = tcp:445 quic:4433\n")
    monkeypatch.setattr(config_remarks, "may_listen", lambda port, kind: False)
    [remark] = config_remarks._ports(config)
    assert remark.severity == "warning" and "may not listen on UDP port 4433" in remark.message
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("0.0.0.0", 0))
        assert serve_folder.may_listen(other.getsockname()[1], socket.SOCK_DGRAM)


def test_a_driver_that_the_kernel_has_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: testparm knows that serve would not start. Method: the kernel's driver with QUIC and without it."""
    monkeypatch.setattr(kernel_quic, "missing", lambda: "Protocol not supported")
    path = tmp_path / "smb.conf"
    text = "[global]\nfrevo:quic driver = kernel\nprivate dir = {0}\nserver smb transports = {1}\n[a]\npath = {0}\n"
    path.write_text(text.format(tmp_path, "quic:4433"))
    assert main(["testparm", "-c", str(path)]) == 1
    said = "smb.conf:2: error: `frevo:quic driver`: this kernel has no QUIC sockets (Protocol not supported)"
    assert f"{said}: use auto or user" in capsys.readouterr().err
    path.write_text(text.format(tmp_path, "tcp:4450"))
    assert main(["testparm", "-c", str(path)]) == 0


def test_testparm_and_serve_check_certificates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Goal: both refuse, with file and line. Method: a certificate that is not there."""
    path = tmp_path / "smb.conf"
    text = f"private dir = {tmp_path}/private\nsmb ports = quic:4433\ntls certfile = none.pem\ntls keyfile = none.key\n"
    path.write_text(f"[global]\n{text}[a]\npath = {tmp_path}\n")
    assert main(["testparm", str(path)]) == 1
    said = capsys.readouterr().err
    assert f"{path}:4: error: `tls certfile`: cannot read {tmp_path}/private/none.pem" in said
    assert main(["serve", "-c", str(path)]) == 1
    assert capsys.readouterr().err == said


def test_a_folder_is_no_port(capsys: pytest.CaptureFixture[str]) -> None:
    """Goal: the folder behind --quic is not silently its port. Method: the wrong order."""
    assert main(["serve", "--quic", "/srv"]) == 2
    assert "'/srv' is not a port (0 to 65535): write --quic after the folder" in capsys.readouterr().err


def test_log_lines_cannot_be_forged(tmp_path: Path) -> None:
    """Goal: control characters in a client's name stay on one line. Method: log one and read the file."""
    path = tmp_path / "log"
    start_log(Config().with_globals(log_file=str(path), log_level=2))
    logger = logging.getLogger("frevo")
    logger.info("user %s", "eve\n2026-01-01 ERROR forged \x1b[31m")
    for handler in tuple(logger.handlers):
        handler.close()
        logger.removeHandler(handler)
    logger.propagate = True
    assert len(path.read_text().splitlines()) == 1
    assert "\x1b" not in path.read_text()


def test_the_folder_of_the_log_is_made(tmp_path: Path) -> None:
    """Goal: a missing log folder is made, and %m in the name gives one file for all clients. Method: two folders
    deep."""
    start_log(Config().with_globals(log_file=str(tmp_path / "a" / "b" / "log.%m"), log_level=2))
    logger = logging.getLogger("frevo")
    logger.warning("hello")
    for handler in tuple(logger.handlers):
        handler.close()
        logger.removeHandler(handler)
    logger.propagate = True
    assert "hello" in (tmp_path / "a" / "b" / "log.frevo").read_text()


def test_a_log_that_cannot_be_written_is_standard_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Goal: an unwritable log file does not keep the server from starting, and is reported. Method: a file where the
    folder should be."""
    (tmp_path / "no").touch()
    start_log(Config().with_globals(log_file=str(tmp_path / "no" / "log")))
    logger = logging.getLogger("frevo")
    logger.handlers.clear()
    logger.propagate = True
    assert "cannot write to the log file" in capfd.readouterr().err


BROKEN = """
[global]
    private dir = {private}
    log file = {blocked}/log
    netbios name = BOX
[good]
    path = {path}
    valid users = eve, @no-such-group, OTHER\\eve, BOX\\eve, nobody-there
[gone]
    path = {path}/gone
[bad]
    path = {path}
    preexec close = yes
"""


def broken(tmp_path: Path) -> str:
    """A file with a share that cannot be served, and the account `eve`; its path."""
    (tmp_path / "blocked").touch()
    AccountStore(tmp_path / "private").add("eve", "secret")
    path = tmp_path / "smb.conf"
    path.write_text(BROKEN.format(private=tmp_path / "private", blocked=tmp_path / "blocked", path=tmp_path))
    return str(path)


def test_testparm_and_serve_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Goal: both report the share that is not served, the log, the folder and the missing users, with file and line;
    testparm exits with 1, serve continues. Method: one file with all of it."""
    path = broken(tmp_path)
    assert main(["testparm", path]) == 1
    said = capsys.readouterr().err.splitlines()
    plan = plan_of("-c", path)
    assert capsys.readouterr().err.splitlines() == said
    assert list(plan.config.shares) == ["good", "gone"]
    assert plan.config.unserved == ("bad",)
    text = "\n".join(said)
    for part in (
        f"{path}:13: error: `preexec close`:",
        f"{path}:4: warning: `log file`: {tmp_path}/blocked/log cannot be created",
        "'@no-such-group' matches nobody",
        "'OTHER\\\\eve' matches nobody",
        "'nobody-there' matches nobody: no such account (create it with frevo user add nobody-there)",
        f"{path}:10: warning: `path`: the folder {tmp_path}/gone does not exist",
        "not served: [bad]",
    ):
        assert part in text, part
    assert text.count("matches nobody") == 3


def test_nothing_left_to_serve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Goal: when no share is left, serve stops with a clear message, and a reload keeps the old configuration. Method:
    both."""
    path = tmp_path / "smb.conf"
    path.write_text("[a]\npath = /x\n")
    plan = plan_of("-c", str(path))
    path.write_text("[a]\ncomment = x\n")
    assert serve.reloaded(plan, plan.config) is None
    capsys.readouterr()
    for command in ("serve", "testparm"):
        assert main([command, "-c", str(path)]) == 1
        assert f"{path}: error: no share can be served ([a])" in capsys.readouterr().err


def test_a_reload_with_a_broken_share_keeps_the_others(tmp_path: Path) -> None:
    """Goal: SIGHUP applies what is right. Method: one of two shares breaks."""
    path = tmp_path / "smb.conf"
    path.write_text("[a]\npath = /x\n[b]\npath = /x\n")
    plan = plan_of("-c", str(path))
    path.write_text("[a]\npath = /x\nread only = no\n[b]\npath = /x\nread only = perhaps\n")
    new = serve.reloaded(plan, plan.config)
    assert new is not None
    assert list(new.shares) == ["a"]
    assert not new.shares["a"].read_only


def test_both_report_missing_addresses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Goal: testparm knows that serve would not start. Method: an interface that does not exist."""
    path = tmp_path / "smb.conf"
    path.write_text("[global]\ninterfaces = eth-none\nbind interfaces only = yes\n[a]\npath = /\n")
    for command in ("serve", "testparm"):
        assert main([command, "-c", str(path)]) == 1
        assert f"{path}:2: error: `interfaces`: no address" in capsys.readouterr().err


def test_both_report_missing_transports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goal: a transport that the server cannot listen on is an error at start, in the same words from testparm, also
    beside others. Method: an nbt that this frevo cannot serve, after tcp."""
    monkeypatch.setitem(TRANSPORTS, "nbt", replace(TRANSPORTS["nbt"], serves=False))
    path = tmp_path / "smb.conf"
    path.write_text("[global]\nserver smb transports = tcp:4450, nbt\n[a]\npath = /\n")
    said = []
    for command in ("serve", "testparm"):
        assert main([command, "-c", str(path)]) == 1
        said.append(capsys.readouterr().err)
    assert (
        said[0] == said[1]
        and "error: `server smb transports`: frevo cannot listen on nbt yet: expected tcp" in said[0]
    )


class _Shown:
    """The announced parts of a running server."""

    addresses = (("tcp", "127.0.0.1", 4450),)
    engine = "epoll"
    certificates = ()


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.parametrize("log_file", [False, True])
async def test_who_acts_is_said_once(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    quiet: bool,
    log_file: bool,
) -> None:
    """Goal: that everybody acts as root stands once on the terminal, and in the log file where there is one. Method:
    the announcement with and without banner and log file, as user 0."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    log = f"log file = {tmp_path}/log" if log_file else ""
    config = load_text(f"[global]\nfrevo:unix users = no\n{log}\n[a]\npath = {tmp_path}\n")
    start_log(config)
    running = Runner(serve.Plan(config, lambda: config), quiet=quiet, verbosity=0, ready_fd=None)
    monkeypatch.setattr(running, "_running", _Shown())
    running._announce()
    told = capsys.readouterr()
    logger = logging.getLogger("frevo")
    for handler in tuple(logger.handlers):
        handler.close()
        logger.removeHandler(handler)
    logger.propagate = True
    assert (told.out + told.err).count(who_acts(config)) == (not quiet or not log_file)
    if log_file:
        assert (tmp_path / "log").read_text().count(who_acts(config)) == 1
