"""`frevo tls`: every action as a person would type it, exit statuses, messages and files."""

from __future__ import annotations

import argparse
import io
import json
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID
from peers import pki

from frevo.cli import tls
from frevo.cli.main import guarded
from frevo.tls.access import AccessList
from frevo.tls.generate import is_issuer, load_authority
from frevo.tls.load import load_pair
from frevo.tls.store import TlsStore

DIGEST = "ab" * 32


class Terminal(io.StringIO):
    """Standard input of a person."""

    def isatty(self) -> bool:
        return True


class Bench:
    """A server's private folder, and `frevo tls` for it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.store = TlsStore(folder / "private")
        self._capsys = capsys
        self.config: Path | None = None

    def configure(self, *lines: str) -> None:
        self.config = self.folder / "smb.conf"
        self.config.write_text("\n".join(["[global]", f"private dir = {self.store.private_dir}", *lines]))

    def run(self, *words: str) -> tuple[int, str, str]:
        """(exit status, standard output, standard error) of `frevo tls words`."""
        parser = argparse.ArgumentParser(prog="frevo")
        tls.add_parser(parser.add_subparsers(required=True))
        where = ["-c", str(self.config)] if self.config else ["--private-dir", str(self.store.private_dir)]
        args = parser.parse_args(["tls", *words, *where])
        code = guarded(lambda: int(args.run(args)))
        out, err = self._capsys.readouterr()
        return code, out, err

    def good(self, *words: str) -> str:
        """Standard output of a command that succeeds without complaint."""
        code, out, err = self.run(*words)
        assert (code, err) == (0, "")
        return out

    def refused(self, *words: str) -> str:
        """What a command that is refused says."""
        code, out, err = self.run(*words)
        assert (code, out) == (1, "")
        assert err.startswith("frevo: ") and "Traceback" not in err and "bug" not in err
        return err


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr("socket.gethostname", lambda: "nas")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    monkeypatch.chdir(tmp_path)
    return Bench(tmp_path, capsys)


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_show(bench: Bench) -> None:
    """Goal: names, dates, fingerprint, files and the lines for clients. Method: before and after `renew`."""
    assert bench.run("show") == (
        1,
        "",
        "There is no certificate yet. A server with QUIC makes one when it starts, frevo tls renew makes one now.\n",
    )
    assert not bench.store.private_dir.exists()
    bench.good("renew")
    facts = load_pair(bench.store.certificate, bench.store.key).facts
    out = bench.good("show")
    for words in (
        f"Certificate        {bench.store.certificate}",
        f"key              {bench.store.key}",
        "names            nas, nas.local, localhost, 127.0.0.1",
        "issuer           CN=frevo CA of nas",
        "(365 days left)",
        f"SHA-256          {facts.fingerprint}",
        f"CA                 {bench.store.ca}",
        "clients are not asked for a certificate",
        "frevo ls smb+quic://nas/share --tls-ca ca.pem",
        f"frevo ls smb+quic://nas/share --tls-fingerprint {facts.fingerprint}",
        r"net use Z: \\nas\share /TRANSPORT:QUIC",
        "certutil -addstore Root ca.pem",
        "If the server is not on UDP port 443, add its port",
    ):
        assert words in out
    assert "WARNING" not in out


def test_show_json(bench: Bench) -> None:
    """Goal: programs read the same. Method: the document, without and with a certificate."""
    code, out, err = bench.run("show", "--json")
    assert (code, err) == (1, "")
    assert json.loads(out)["certificates"] == []
    bench.good("renew")
    document = json.loads(bench.good("show", "--json"))
    facts = load_pair(bench.store.certificate, bench.store.key).facts
    (certificate,) = document["certificates"]
    assert certificate["file"] == str(bench.store.certificate)
    assert (certificate["sha256"], certificate["sha1"]) == (facts.fingerprint, facts.sha1.hex())
    assert (certificate["made_by_frevo"], certificate["warnings"]) == (True, [])
    assert certificate["days_left"] == 364
    assert certificate["not_after"] == int(facts.not_after_s)
    assert document["ca"]["subject"] == "CN=frevo CA of nas"
    assert document["connect"] == {
        "url": "smb+quic://nas/share",
        "windows": r"net use Z: \\nas\share /TRANSPORT:QUIC",
    }


def test_show_with_a_configuration(bench: Bench) -> None:
    """Goal: share, port and `require` are in the lines; files of the configuration are shown. Method: such one."""
    root = pki.authority("Example CA")
    certfile, keyfile = pki.leaf("*.example", root, names=("*.example", "files.example")).write(
        bench.folder, "f"
    )
    bench.configure(
        "server smb transports = quic:4443",
        f"tls certfile = {certfile}",
        f"tls keyfile = {keyfile}",
        "frevo:quic client access = require",
        "[docs]",
        f"path = {bench.folder}",
    )
    code, out, _ = bench.run("show")
    assert code == 0
    assert "frevo ls smb+quic://files.example:4443/docs --tls-cert CLIENT.pem --tls-key CLIENT.key" in out
    assert r"net use Z: \\files.example\docs /TRANSPORT:QUIC /QUICPORT:4443" in out
    assert "if its CA is not one of the system's" in out
    assert "clients must present a certificate; 0 allowed, 0 denied" in out
    keyfile.unlink()
    code, out, _ = bench.run("show")
    assert code == 1
    assert f"WARNING          cannot read {keyfile}" in out


def test_show_warns(bench: Bench) -> None:
    """Goal: what is wrong is in the output. Method: an expired certificate of a client."""
    made = pki.leaf("eve", pki.authority("x"), usage=pki.CLIENT, days=-5)
    certfile, keyfile = made.write(bench.folder, "f")
    bench.configure(f"tls certfile = {certfile}", f"tls keyfile = {keyfile}")
    _, out, _ = bench.run("show")
    assert "WARNING" in out and "expired on" in out and "is not for servers" in out


def test_renew(bench: Bench) -> None:
    """Goal: a new certificate from the same CA, further names, a new CA. Method: all, one after the other."""
    bench.good("renew")
    first, ca = bench.store.certificate.read_bytes(), bench.store.ca.read_bytes()
    out = bench.good("renew", "--name", "files.example.org", "--name", "203.0.113.7")
    assert "Names: files.example.org, 203.0.113.7, nas," in out
    assert bench.store.certificate.read_bytes() != first
    assert bench.store.ca.read_bytes() == ca
    assert "Names: files.example.org, 203.0.113.7, nas," in bench.good("renew")
    out = bench.good("renew", "--ca")
    assert "Made a new CA" in out
    assert bench.store.ca.read_bytes() != ca
    assert "neither a DNS name nor an IP address" in bench.refused("renew", "--name", "a b")
    what = [json.loads(line)["what"] for line in bench.store.audit_log.read_text().splitlines()]
    assert what.count("made a CA") == 2 and what.count("made a server certificate") == 4


def test_renew_what_is_not_ours(bench: Bench) -> None:
    """Goal: a bought certificate is not thrown away. Method: imported, configured, damaged; --replace."""
    certfile, keyfile = pki.leaf("nas.example", pki.authority("Bought")).write(bench.folder, "bought")
    bench.good("import", str(certfile), str(keyfile))
    assert "was not made by frevo" in bench.refused("renew")
    assert "Made " in bench.good("renew", "--replace")
    bench.store.certificate.write_bytes(b"")
    assert "(--replace makes a new certificate in its place)" in bench.refused("renew")
    bench.good("renew", "--replace")
    bench.configure(f"tls certfile = {certfile}", f"tls keyfile = {keyfile}")
    assert "sets `tls certfile` and `tls keyfile`: replace these files yourself" in bench.refused("renew")


def test_export_ca(bench: Bench) -> None:
    """Goal: the CA without its key, as PEM and DER. Method: to standard output and to files."""
    assert "there is no CA in" in bench.refused("export-ca")
    bench.good("renew")
    out = bench.good("export-ca")
    certificate = x509.load_pem_x509_certificate(out.encode())
    assert certificate.subject.rfc4514_string() == "CN=frevo CA of nas"
    assert "PRIVATE" not in out
    assert bench.good("export-ca", "ca.pem") == "Wrote ca.pem\n"
    assert (bench.folder / "ca.pem").read_text() == out
    bench.good("export-ca", "ca.cer", "--der")
    assert x509.load_der_x509_certificate((bench.folder / "ca.cer").read_bytes()) == certificate
    code, _, err = bench.run("export-ca", "none/ca.pem")
    assert (code, err) == (1, "frevo: none/ca.pem: No such file or directory\n")


def test_import(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: PEM and PKCS#12 become the server's, the old pair is kept, modes are right. Method: both kinds."""
    bench.good("renew")
    old = bench.store.certificate.read_bytes()
    root = pki.authority("Example CA")
    made = pki.leaf("nas.example", root)
    certfile, keyfile = made.write(bench.folder, "nas")
    out = bench.good("import", str(certfile), str(keyfile))
    assert "Imported" in out and "Names: nas.example" in out and f"SHA-256: {made.sha256.hex()}" in out
    assert load_pair(bench.store.certificate, bench.store.key).chain == (made.der,)
    assert bench.store.previous[0].read_bytes() == old
    assert {stat.S_IMODE(path.stat().st_mode) for path in bench.store.directory.iterdir()} == {0o600}
    other = pki.leaf("other.example", root)
    (bench.folder / "other.p12").write_bytes(other.pkcs12(b"secret"))
    typed(monkeypatch, "secret\n")
    bench.good("import", "other.p12", "--password-stdin")
    assert load_pair(bench.store.certificate, bench.store.key).chain == (other.der,)
    lines = bench.store.audit_log.read_text().splitlines()
    assert json.loads(lines[-1])["what"] == "imported a server certificate"


def test_import_of_what_is_wrong(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: nothing is replaced by what cannot be used. Method: wrong password, other key, expired, no file."""
    bench.good("renew")
    before = bench.store.certificate.read_bytes(), bench.store.key.read_bytes()
    root = pki.authority("Example CA")
    made, other = pki.leaf("nas.example", root), pki.leaf("x", root)
    certfile, _ = made.write(bench.folder, "nas")
    _, otherkey = other.write(bench.folder, "other")
    (bench.folder / "nas.p12").write_bytes(made.pkcs12(b"secret"))
    assert "does not belong to the certificate" in bench.refused("import", str(certfile), str(otherkey))
    assert "cannot read none.pem" in bench.refused("import", "none.pem")
    assert "standard input is not a terminal" in bench.refused("import", "nas.p12")
    typed(monkeypatch, "wrong\n")
    assert "the password is wrong" in bench.refused("import", "nas.p12", "--password-stdin")
    assert (bench.store.certificate.read_bytes(), bench.store.key.read_bytes()) == before
    expired = pki.leaf("nas.example", root, days=-2).write(bench.folder, "expired")
    code, _, err = bench.run("import", *map(str, expired))
    assert code == 0 and "WARNING: the certificate expired" in err


def test_issue_client(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: PEM, key and PKCS#12 of a client, allowed and recorded. Method: issue, look into everything."""
    assert "there is no CA with a key" in bench.refused("issue-client", "alice")
    bench.good("renew")
    monkeypatch.setattr("sys.stdin", Terminal())
    answers = ["secret", "secret"]
    monkeypatch.setattr("getpass.getpass", lambda prompt: answers.pop(0))
    out = bench.good("issue-client", "alice", "--san", "DNS:laptop.example", "--days", "30")
    pair = load_pair(bench.folder / "alice.pem", bench.folder / "alice.key")
    facts = pair.facts
    assert (facts.subject, facts.names, facts.usages) == (
        "CN=alice",
        ("DNS:laptop.example",),
        ("clientAuth",),
    )
    assert 29 < (facts.not_after_s - facts.not_before_s) / 86400 < 31
    authority = load_authority(bench.store)
    assert authority is not None
    assert is_issuer(authority.certificate, x509.load_der_x509_certificate(pair.chain[0]))
    assert stat.S_IMODE((bench.folder / "alice.key").stat().st_mode) == 0o600
    bundle = pkcs12.load_pkcs12((bench.folder / "alice.p12").read_bytes(), b"secret")
    assert bundle.cert is not None and bundle.key is not None
    usage = bundle.cert.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    (entry,) = AccessList(bench.store).entries()
    assert (entry.allow, entry.identifier, entry.note) == (True, f"sha256:{facts.fingerprint}", "CN=alice")
    assert (
        f"New-SmbClientCertificateMapping -Namespace nas -Thumbprint {facts.sha1.hex().upper()} -Store My"
        in out
    )
    assert "--tls-ca ca.pem --tls-cert alice.pem --tls-key alice.key" in out
    (issued,) = json.loads(bench.good("list", "--json"))["issued"]
    assert (issued["name"], issued["sha256"]) == ("alice", facts.fingerprint)
    assert not any(b"PRIVATE" in path.read_bytes() for path in (bench.store.issued, bench.store.audit_log))


def test_issue_client_refusals(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: nothing is overwritten or half made. Method: existing files, bad names and passwords."""
    bench.good("renew")
    (bench.folder / "eve.key").write_bytes(b"mine")
    assert "eve.key exists already" in bench.refused("issue-client", "eve", "--password-stdin")
    assert (bench.folder / "eve.key").read_bytes() == b"mine"
    assert "is not a name: expected DNS:NAME" in bench.refused("issue-client", "bob", "--san", "laptop")
    assert "the password must not be empty" in bench.refused("issue-client", "bob", "--password-stdin")
    assert "use --password-stdin" in bench.refused("issue-client", "bob")
    monkeypatch.setattr("sys.stdin", Terminal())
    answers = ["one", "two"]
    monkeypatch.setattr("getpass.getpass", lambda prompt: answers.pop(0))
    assert "the two passwords differ" in bench.refused("issue-client", "bob")
    assert AccessList(bench.store).entries() == []
    assert not list(bench.folder.glob("bob*"))
    typed(monkeypatch, "x\n")
    out = bench.good("issue-client", "../../etc/Ev il", "--password-stdin", "--no-allow")
    assert "Not allowed yet" in out
    assert {path.name for path in bench.folder.glob("*Ev*")} == {
        "_.._etc_Ev_il" + end for end in (".pem", ".key", ".p12")
    }
    assert AccessList(bench.store).entries() == []


def test_allow_deny_list_remove(bench: Bench) -> None:
    """Goal: the life of an entry. Method: all actions, with a fingerprint, a file and names."""
    assert bench.good("list") == (
        "No entries: no client with a certificate may connect.\n\nNo certificates were issued here.\n"
    )
    assert bench.good("allow", DIGEST, "--note", "eve's laptop") == (
        f"Allowed sha256:{DIGEST} (eve's laptop). Running servers notice this within a second.\n"
    )
    made = pki.leaf("bob", pki.authority("Example CA"), usage=pki.CLIENT)
    made.write(bench.folder, "bob")
    assert f"Denied sha256:{made.sha256.hex()} (CN=bob)" in bench.good("deny", "bob.pem")
    bench.good("deny", "issuer:CN=Old CA,O=Example")
    document = json.loads(bench.good("list", "--json"))
    assert [(one["access"], one["kind"], one["value"]) for one in document["entries"]] == [
        ("allow", "sha256", DIGEST),
        ("deny", "sha256", made.sha256.hex()),
        ("deny", "issuer", "CN=Old CA,O=Example"),
    ]
    out = bench.good("list")
    assert "deny    issuer:CN=Old CA,O=Example" in out and "eve's laptop" in out
    assert "Removed: deny issuer:CN=Old CA,O=Example" in bench.good("remove", "issuer:CN=Old CA, O=Example")
    assert "there is no entry for issuer" in bench.refused("remove", "issuer:CN=Old CA,O=Example")
    assert "is not a certificate: expected a fingerprint" in bench.refused("allow", "eve")


def test_names_cannot_steer_the_terminal(bench: Bench) -> None:
    """Goal: nobody's name writes to the administrator's terminal. Method: an entry with a note that would."""
    AccessList(bench.store).put(True, f"sha256:{DIGEST}", note="x\x1b[2J\ny")
    out = bench.good("list")
    assert "\x1b" not in out and "\\x1b[2J\\ny" in out


def test_notes_about_the_configuration(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: entries without an effect are told. Method: a configuration that asks nobody; one with another CA."""
    bench.good("renew")
    bench.configure()
    code, _, err = bench.run("allow", DIGEST)
    assert code == 0
    assert "NOTE: clients are not asked for certificates: set `frevo:quic client access`" in err
    (bench.folder / "other.pem").write_bytes(pki.authority("other").pem)
    bench.configure("frevo:quic client access = require", f"tls cafile = {bench.folder / 'other.pem'}")
    typed(monkeypatch, "x\n")
    code, _, err = bench.run("issue-client", "eve", "--password-stdin")
    assert code == 0
    assert f"NOTE: the server does not trust this CA: add {bench.store.ca} to `tls cafile`" in err
    bench.configure("frevo:quic client access = require")
    assert bench.run("allow", DIGEST)[2] == ""


def test_configuration_with_errors(bench: Bench) -> None:
    """Goal: a broken smb.conf is told, not passed over. Method: a bad value."""
    bench.configure("tls verify peer = maybe")
    code, _, err = bench.run("show")
    assert code == 1
    assert "expected one of no_check" in err and "cannot be used: fix the errors above" in err


def test_folder_that_cannot_be_written(bench: Bench) -> None:
    """Goal: a sentence and exit status 1. Method: the private folder is a file, is open to others."""
    bench.store.private_dir.write_bytes(b"")
    assert "is not a directory" in bench.refused("renew")
    assert "is not a directory" in bench.refused("allow", DIGEST)
    bench.store.private_dir.unlink()
    bench.store.private_dir.mkdir(mode=0o755)
    assert "is accessible to other users (mode 0755): chmod 700" in bench.refused("renew")


def test_usage(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """Goal: wrong usage is exit status 2, help is there for each action. Method: some of each."""
    for words in (
        ["issue-client", "x", "--days", "0"],
        ["issue-client", "x", "--days", "99999"],
        ["nothing"],
    ):
        with pytest.raises(SystemExit) as stop:
            bench.run(*words)
        assert stop.value.code == 2
    for action in tls.ACTIONS:
        with pytest.raises(SystemExit) as stop:
            bench.run(action, "--help")
        assert stop.value.code == 0
        assert "--private-dir DIR" in capsys.readouterr().out


def test_openssl_reads_what_was_made(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: other programs read our PKCS#12. Method: openssl, with the right password and a wrong one."""
    from peers import programs

    openssl = programs.need("openssl")
    bench.good("renew")
    typed(monkeypatch, "secret\n")
    bench.good("issue-client", "eve", "--password-stdin")

    def read(password: str) -> int:
        command = [openssl, "pkcs12", "-in", "eve.p12", "-passin", f"pass:{password}", "-nodes", "-info"]
        return subprocess.run(command, capture_output=True, timeout=30).returncode

    assert read("secret") == 0
    assert read("wrong") != 0
