"""smbclient logs on to a running server with a Kerberos ticket, from a KDC that the test starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from peers import programs
from peers.kdc import KDC, kdc
from peers.target import PASSWORD, USER, Serve, Target

HOST = "filer.frevo.test"

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KDC]:
    for program in ("krb5kdc", "kdb5_util", "kadmin.local", "kinit", "smbclient"):
        programs.need(program)
    with kdc(tmp_path_factory.mktemp("kdc")) as running:
        running.add_user(USER, PASSWORD)
        running.add_service(f"cifs/{HOST}")
        yield running


@pytest.fixture
def kerberos_server(realm: KDC, serve: Serve, request: pytest.FixtureRequest) -> Target:
    if request.config.getoption("--against") != "frevo":
        pytest.skip("the keytab option is tested on frevo")
    try:
        __import__("gssapi")
    except ImportError:
        programs.missing("Python's gssapi is missing: apt-get install libkrb5-dev, pip install gssapi")
    return serve({"dedicated keytab file": str(realm.keytab), "kerberos method": "dedicated keytab"})


def kerberos_client(realm: KDC, target: Target, *options: str, command: str = "ls") -> programs.Run:
    words = [programs.need("smbclient"), f"//{HOST}/share", "-I", target.host, "-p", str(target.port)]
    words += ["-s", "/dev/null", "--use-kerberos=required", f"--use-krb5-ccache={realm.base}/ccache"]
    return programs.run([*words, *options, "-c", command], env=realm.environment)


@pytest.mark.parametrize(
    ("dialect", "protection", "cipher"),
    [
        ("SMB2_10", "sign", "AES-128-GCM"),
        ("SMB3_00", "sign", "AES-128-CCM"),
        ("SMB3_00", "encrypt", "AES-128-CCM"),
        ("SMB3_11", "sign", "AES-128-GCM"),
        ("SMB3_11", "encrypt", "AES-128-GCM"),
        ("SMB3_11", "encrypt", "AES-256-GCM"),
        ("SMB3_11", "encrypt", "AES-256-CCM"),
    ],
)
def test_ticket(
    realm: KDC, kerberos_server: Target, tmp_path: Path, dialect: str, protection: str, cipher: str
) -> None:
    """Goal: the ticket's key signs and encrypts. Method: put and get a file in each dialect."""
    realm.login(USER, PASSWORD)
    source = tmp_path / "source"
    source.write_bytes(bytes(range(256)) * 1000)
    # Encryption with AES-256 takes the ticket's whole key of 32 bytes, everything else its first 16.
    options = ["-m", dialect, f"--option=client min protocol={dialect}", f"--client-protection={protection}"]
    options.append(f"--option=client smb3 encryption algorithms={cipher}")
    command = f"put {source} kerberos.bin; get kerberos.bin {tmp_path}/back; rm kerberos.bin"
    kerberos_client(realm, kerberos_server, *options, command=command).ok()
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


def test_password_still_works(kerberos_server: Target) -> None:
    """Goal: with a keytab, NTLM clients log on as before. Method: smbclient without Kerberos."""
    words = [programs.need("smbclient"), kerberos_server.unc("share"), "-p", str(kerberos_server.port)]
    words += ["-s", "/dev/null", "--use-kerberos=off", "-U", kerberos_server.credentials, "-c", "ls"]
    programs.run(words).ok()


def test_no_ticket(realm: KDC, kerberos_server: Target) -> None:
    """Goal: without a ticket there is no session. Method: empty the cache."""
    (realm.base / "ccache").unlink(missing_ok=True)
    assert kerberos_client(realm, kerberos_server).status != 0
