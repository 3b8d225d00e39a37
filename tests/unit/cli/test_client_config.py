"""The client's smb.conf: which file is read, what its keys become, and how the command line overrides them."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from frevo.cli import client_config
from frevo.cli.client_config import client_file, client_options
from frevo.cli.common import UsageError
from frevo.cli.main import build_parser, main
from frevo.cli.remote import location, options
from frevo.client import Options
from frevo.errors import FrevoError
from frevo.proto.dialect import Cipher, Signing
from frevo.tls.client import ClientTrust, parse_fingerprint

TEXT = """\
[global]
    workgroup = HOME
    netbios name = LAPTOP
    client smb transports = nbt, tcp:4450
    client min protocol = SMB3_00
    client max protocol = SMB3_02
    client signing = disabled
    client smb encrypt = desired
    client smb3 signing algorithms = AES-128-CMAC
    client smb3 encryption algorithms = -AES-128-GCM, -AES-128-CCM
"""


@pytest.fixture(autouse=True)
def own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("FREVO_CONF", "FREVO_USER", "FREVO_PASSWORD", "FREVO_DOMAIN"):
        monkeypatch.delenv(name, raising=False)


def write(path: Path, text: str = TEXT) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def made(*words: str) -> Options:
    """The options of `frevo ls` with these words."""
    args = build_parser().parse_args(["ls", "smb://eve@nas/s", *words])
    return options(args, location(args.url))


def test_every_key(tmp_path: Path) -> None:
    """Each key arrives in the options and settings; the workgroup is the domain of users without one."""
    found = made("-s", write(tmp_path / "smb.conf"))
    settings = found.settings(location("smb://nas/s"))
    assert [str(one) for one in settings.transports] == ["nbt", "tcp:4450"]
    assert (settings.minimum.name, settings.maximum.name) == ("SMB3_00", "SMB3_02")
    assert not settings.signing and settings.prefer_encryption and not settings.encryption
    assert settings.signings == (Signing.AES_CMAC,)
    assert settings.ciphers == (Cipher.AES_256_GCM, Cipher.AES_256_CCM)
    assert isinstance(hash(found), int)  # the bench looks them up
    assert settings.netbios_name == "LAPTOP"
    assert found.credentials(location("smb://eve@nas/s")).domain == "HOME"


def test_without_a_file_the_defaults() -> None:
    """Without a file the library's defaults apply; the table has the same."""
    assert replace(made(), tls=ClientTrust()) == Options()
    wanted = Options()
    for name, value in client_options(None, ["workgroup=WORKGROUP"]).items():
        if name not in ("netbios_name", "tls"):
            known = getattr(wanted, name)
            assert (
                (list(value), name) == (list(known), name)
                if isinstance(value, list | tuple)
                else value == known
            )


def test_whom_to_trust_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's own CA, where it can be read, beside the system's; the same as with a file that says nothing."""
    for state in (tmp_path / "none", tmp_path / "state"):
        folder = state / "frevo" / "private"
        monkeypatch.setattr(client_config, "default_private_dir", lambda folder=folder: str(folder))
        ca = folder / "tls" / "ca.pem"
        if state.name == "state":
            write(ca, "a CA")
        found = made("--transports", "quic").tls
        assert found.system_cas and found.ca_files == ((str(ca),) if ca.exists() else ())
        assert made("--transports", "quic", "--option", f"private dir={folder}").tls == found


def test_tls_keys(tmp_path: Path) -> None:
    """Samba's keys; the options of the command line come before them, files with their folders."""
    text = "[global]\nprivate dir = /p\ntls cafile = my.pem\ntls crlfile = my.crl\ntls verify peer = ca_only\n"
    name = write(tmp_path / "smb.conf", text)
    trust = made("-s", name, "--transports", "quic").tls
    assert (trust.ca_files, trust.crl_files) == (("/p/my.pem",), ("/p/my.crl",))
    assert (trust.verify, trust.system_cas) == ("ca_only", False)
    given = made(
        *("-s", name, "--transports", "quic", "--tls-ca", "other.pem", "--tls-cert", "me.pem", "--tls-key", "/k.pem"),
        *("--tls-server-name", "nas.example", "--tls-fingerprint", "AB:" * 31 + "ab"),
    ).settings(location("smb://nas/s"))
    here = Path.cwd()
    assert given.tls.ca_files == (str(here / "other.pem"),) and given.tls.crl_files == ("/p/my.crl",)
    assert (given.tls.certificate, given.tls.key) == (str(here / "me.pem"), "/k.pem")
    assert given.server_name == "nas.example" and given.tls.verify == "ca_only"
    assert parse_fingerprint(given.tls.fingerprint) == b"\xab" * 32


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tls-ca", "ca.pem"], r"no effect on tcp, nbt: use smb\+quic://, or quic as a transport"),
        (["--transports", "quic", "--tls-fingerprint", "abc"], "not a fingerprint"),
        (["--transports", "quic", "--tls-key", "key.pem"], "a key needs its certificate"),
        (["--transports", "quic", "--tls-fingerprint", ""], "tls_fingerprint is empty"),
        (["--transports", "quic", "--tls-ca", ""], "tls_ca is empty"),
    ],
)
def test_wrong_tls_options(words: list[str], message: str) -> None:
    """Options that cannot mean anything are refused before anybody is called."""
    with pytest.raises(UsageError, match=message):
        made(*words)


def test_a_copy_between_transports() -> None:
    """What is said about the server over QUIC does not disturb the other one of the command, which has none."""
    words = ["cp", "smb+quic://a/s/x", "smb://b/s/y", "--tls-ca", "/ca.pem"]
    args = build_parser().parse_args(words)
    assert options(args, location("smb+quic://a/s/x")).tls_ca == "/ca.pem"
    assert options(args, location("smb://b/s/y")).tls_ca is None


def test_which_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The named one, FREVO_CONF, the user's own; Samba's is not read."""
    assert client_file(None) is None
    own = write(tmp_path / "config" / "frevo" / "smb.conf", "[global]\nclient smb encrypt = off\n")
    assert client_file(None) == own and made().ciphers == ()
    monkeypatch.setenv("FREVO_CONF", write(tmp_path / "env.conf", "[global]\nclient signing = no\n"))
    assert not made().signing and client_file("x") == "x"


def test_the_command_line_wins(tmp_path: Path) -> None:
    """--option before the file's key, and --encrypt, --no-sign, --transports before both."""
    path = write(tmp_path / "smb.conf", "[global]\nclient smb encrypt = off\nclient min protocol = SMB3_00\n")
    found = made("-s", path, "--encrypt", "--option", "client min protocol = SMB3_11", "--transports", "nbt")
    assert found.encryption and found.ciphers and found.minimum == "SMB3_11" and found.transports == "nbt"
    assert not made("--no-sign").signing


def test_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The errors are testparm's, with file and line; the exit status is 1 for a file and 2 for a command line."""
    path = write(tmp_path / "smb.conf", "[global]\nclient max protocol = SMB9\nclient sining = yes\n")
    assert main(["ls", "smb://nas/s", "-s", path]) == 1
    errors = capsys.readouterr().err
    assert f"{path}:2: error: `client max protocol`: expected one of SMB2_02" in errors
    assert "did you mean `client signing`" in errors and "cannot be used" in errors
    assert main(["testparm", path]) == 1
    assert errors.splitlines()[:2] == capsys.readouterr().err.splitlines()
    assert main(["ls", "smb://nas/s", "-s", str(tmp_path / "missing")]) == 1
    assert main(["ls", "smb://nas/s", "--option", "client signing"]) == 2
    with pytest.raises(FrevoError):
        client_options(None, ["client min protocol=SMB3_11", "client max protocol=SMB2_02"])
    for words in (["--timeout", "soon"], ["--timeout", "-1"], ["--timeout", "nan"]):
        assert main(["ls", "smb://nas/s", *words]) == 2
