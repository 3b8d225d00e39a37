"""frevo.tls.access: what people write, what is kept, what the data plane gets; [MS-SMB2] 3.3.1.18."""

from __future__ import annotations

import json
import stat
import time
from pathlib import Path

import pytest
from cryptography.x509.oid import NameOID
from peers import pki

from frevo.tls import access
from frevo.tls.access import AccessList, Entry, identify, parse_identifier
from frevo.tls.errors import TlsError
from frevo.tls.store import TlsStore

ROOT = pki.authority("Example Root", attributes=[(NameOID.ORGANIZATION_NAME, "Example, Inc.")])
MIDDLE = pki.authority("Example CA", ROOT)
CLIENT = pki.leaf("eve", MIDDLE, usage=pki.CLIENT, names=("laptop.example",))
DIGEST = "ab" * 32


@pytest.fixture
def store(tmp_path: Path) -> TlsStore:
    return TlsStore(tmp_path / "private")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (DIGEST, f"sha256:{DIGEST}"),
        (DIGEST.upper(), f"sha256:{DIGEST}"),
        (":".join(["AB"] * 32), f"sha256:{DIGEST}"),
        (f"SHA256:{DIGEST}", f"sha256:{DIGEST}"),
        ("issuer:CN=Example CA, O=Example", "issuer:CN=Example CA,O=Example"),
        ("Subject: CN=eve", "subject:CN=eve"),
        ("san:DNS:Laptop.Example.", "san:DNS:laptop.example"),
        ("san:ip:2001:0db8::0001", "san:IP:2001:db8::1"),
        ("san:email:eve@example.org", "san:email:eve@example.org"),
    ],
)
def test_identifiers(text: str, wanted: str) -> None:
    """Goal: one form for whatever people write. Method: fingerprints and names in several spellings."""
    assert identify(text) == (wanted, "")
    kind, value = parse_identifier(wanted)
    assert f"{kind}:{value}" == wanted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a certificate: expected a fingerprint"),
        ("/no/such/file", "is not a certificate"),
        ("ab" * 20, "is not a certificate"),
        ("sha256:abcd", "is not a fingerprint"),
        ("issuer:Example", "is not the name of a certificate"),
        ("subject:", "the name of a certificate is empty"),
        ("issuer:CN=" + "x" * 2000, "too long"),
        ("san:laptop", "is not a name: expected DNS:NAME"),
        ("san:DNS:a\x1b[31m", "control characters"),
    ],
)
def test_what_is_none(text: str, words: str) -> None:
    """Goal: a sentence for what cannot be meant. Method: each kind of mistake."""
    with pytest.raises(TlsError, match=words):
        identify(text)


def test_files(tmp_path: Path) -> None:
    """Goal: a certificate file means its leaf, a root its name, as clients do not send roots. Method: files."""
    certfile, _ = CLIENT.write(tmp_path, "eve")
    assert identify(str(certfile)) == (f"sha256:{CLIENT.sha256.hex()}", "CN=eve")
    (tmp_path / "root.der").write_bytes(ROOT.der)
    assert identify(str(tmp_path / "root.der")) == (
        r"issuer:O=Example\, Inc.,CN=Example Root",
        "a root CA, by its name",
    )
    (tmp_path / "middle.pem").write_bytes(MIDDLE.pem)
    assert identify(str(tmp_path / "middle.pem"))[0] == f"sha256:{MIDDLE.sha256.hex()}"
    (tmp_path / "noise").write_bytes(b"\x00" * 1000)
    with pytest.raises(TlsError, match="noise contains no certificate"):
        identify(str(tmp_path / "noise"))


def test_what_the_data_plane_gets(store: TlsStore) -> None:
    """Goal: entries as QuicServerTls takes them. Method: one of each kind."""
    entries = AccessList(store)
    entries.put(True, f"sha256:{DIGEST}")
    entries.put(False, r"issuer:CN=Example Root,O=Example\, Inc.")
    entries.put(True, "subject:CN=eve")
    entries.put(True, "san:DNS:laptop.example")
    assert [entry.native() for entry in entries.entries()] == [
        (True, "sha256", bytes.fromhex(DIGEST)),
        (False, "issuer", (("2.5.4.10", "Example, Inc."), ("2.5.4.3", "Example Root"))),
        (True, "subject", (("2.5.4.3", "eve"),)),
        (True, "san", "DNS:laptop.example"),
    ]


def test_put_and_remove(store: TlsStore) -> None:
    """Goal: one entry for each identifier, the last word counts, all is audited. Method: allow, deny, remove."""
    entries = AccessList(store)
    assert entries.entries() == []
    first = entries.put(True, f"sha256:{DIGEST}", note="eve's laptop")
    assert str(first) == f"allow sha256:{DIGEST} (eve's laptop)"
    assert abs(first.added_s - time.time()) < 60 and first.added_by
    entries.put(True, "subject:CN=eve")
    entries.put(False, f"sha256:{DIGEST}")
    assert [(one.allow, one.kind) for one in entries.entries()] == [(True, "subject"), (False, "sha256")]
    assert stat.S_IMODE(store.access.stat().st_mode) == 0o600
    entries.remove("subject: CN=eve")
    with pytest.raises(TlsError, match=r"there is no entry for subject:CN=eve \(frevo tls list"):
        entries.remove("subject:CN=eve")
    assert [one.identifier for one in entries.entries()] == [f"sha256:{DIGEST}"]
    audited = [json.loads(line) for line in store.audit_log.read_text().splitlines()]
    assert [(line["what"], line["entry"]) for line in audited] == [
        ("allow", f"sha256:{DIGEST}"),
        ("allow", "subject:CN=eve"),
        ("deny", f"sha256:{DIGEST}"),
        ("remove", "subject:CN=eve"),
    ]
    assert all(line["by"] and line["time"] for line in audited)


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "null",
        '{"kind": "sha256", "value": "00"}',
        '{"access": "deny", "kind": "sha256", "value": "00"}',
        '{"access": "perhaps", "kind": "subject", "value": "CN=eve"}',
        '{"access": "deny", "kind": "colour", "value": "red"}',
        '{"access": ["deny"], "kind": "subject", "value": "CN=eve"}',
        '{"access": "deny", "kind": "subject", "value": 7}',
        '{"access": "deny", "kind": "subject", "value": "CN=eve", "added": 1e999}',
    ],
)
def test_damaged_file(store: TlsStore, line: str) -> None:
    """Goal: a line that is not an entry stops everything, as it may be the one that denies. Method: bad lines."""
    AccessList(store).put(True, "subject:CN=eve")
    with store.access.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(TlsError, match=r"access\.jsonl is damaged: line 2"):
        AccessList(store).entries()


def test_too_many(store: TlsStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: the list is bounded, in the file and in commands. Method: a limit of two."""
    monkeypatch.setattr(access, "ENTRIES_MAX", 2)
    entries = AccessList(store)
    entries.put(True, "subject:CN=a")
    entries.put(True, "subject:CN=b")
    entries.put(False, "subject:CN=b")
    with pytest.raises(TlsError, match="there are 2 entries already"):
        entries.put(True, "subject:CN=c")
    with store.access.open("a") as file:
        file.write(json.dumps(Entry(True, "subject", "CN=c").as_json()) + "\n")
    with pytest.raises(TlsError, match="has more than 2 entries"):
        entries.entries()
