"""The accounts store: names, persistence, permissions, damage, concurrent change, smbpasswd import."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frevo.auth.accounts import AccountsError, AccountStore
from frevo.auth.md4 import nt_hash
from frevo.auth.private_files import PrivateFileError
from frevo.auth.smbpasswd import SmbpasswdError, parse_smbpasswd


@pytest.fixture
def store(tmp_path: Path) -> AccountStore:
    return AccountStore(tmp_path / "private", clock=lambda: 1_700_000_000.0)


def test_add_and_look_up_in_any_case(store: AccountStore) -> None:
    """Goal: names are found in any case and survive a restart. Method: add, then read with a second store."""
    added = store.add("Älice", "Secret1", full_name="Alice")
    again = AccountStore(store.directory).lookup("äLICE")
    assert again == added
    assert again is not None
    assert (again.name, again.rid, again.nt_hash) == ("Älice", 1000, nt_hash("Secret1"))
    assert (again.created_s, again.password_set_s) == (1_700_000_000, 1_700_000_000)


def test_modes(store: AccountStore) -> None:
    """Goal: only the owner can read. Method: look at the modes after a change."""
    store.add("alice", "x")
    assert store.path.stat().st_mode & 0o7777 == 0o600
    assert store.directory.stat().st_mode & 0o7777 == 0o700
    assert sorted(path.name for path in store.directory.iterdir()) == ["accounts.json", "accounts.lock"]


@pytest.mark.parametrize("part", ["file", "directory"])
def test_open_modes_are_refused(store: AccountStore, part: str) -> None:
    """Goal: a readable secret is refused, with the command that fixes it. Method: chmod, then read or change."""
    store.add("alice", "x")
    (store.path if part == "file" else store.directory).chmod(0o755)
    with pytest.raises(PrivateFileError, match="chmod"):
        AccountStore(store.directory).add("bob", "x")


def test_secrets_are_not_shown(store: AccountStore) -> None:
    """Goal: repr and public form have no hash. Method: search for it."""
    account = store.add("alice", "Secret1")
    assert nt_hash("Secret1").hex() not in repr(account)
    assert str(account.nt_hash) not in repr(account)
    assert "nt_hash" not in account.public()


def test_changes(store: AccountStore) -> None:
    """Goal: password, disable and remove work, and RIDs are not reused. Method: one after the other."""
    store.add("alice", "one")
    assert store.set_password("ALICE", "two").nt_hash == nt_hash("two")
    assert store.set_disabled("alice", True).disabled
    with pytest.raises(AccountsError, match="already exists"):
        store.add("ALICE", "x")
    assert store.remove("Alice").rid == 1000
    assert store.lookup("alice") is None
    assert store.add("alice", "x").rid == 1001
    with pytest.raises(AccountsError, match="no account"):
        store.remove("nobody")


@pytest.mark.parametrize("name", ["", "a/b", "a@b", " a", "a.", "x" * 105, "a\x00", "a:b", "\ud800"])
def test_bad_names(store: AccountStore, name: str) -> None:
    """Goal: names that Windows cannot use are refused. Method: add each."""
    with pytest.raises(AccountsError):
        store.add(name, "x")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"version": 1}',
        '{"version": 2, "next_rid": 1, "accounts": []}',
        '{"version": 1, "next_rid": 1, "accounts": [{"name": "a", "rid": 1000, "nt_hash": "00"}]}',
        '{"version": 1, "next_rid": 1, "accounts": [null]}',
        "[" * 100000,
        "\x00",
    ],
)
def test_damaged_file(store: AccountStore, content: str) -> None:
    """Goal: a damaged file is one clear error and is not overwritten. Method: write it, open, try to add."""
    store.add("alice", "x")
    store.path.write_text(content)
    with pytest.raises(AccountsError, match=r"accounts\.json"):
        AccountStore(store.directory)
    with pytest.raises(AccountsError):
        store.add("bob", "x")
    assert store.path.read_text() == content


def test_running_server_sees_changes(store: AccountStore) -> None:
    """Goal: a change by another process counts at the next log-on; a damaged file keeps the old accounts. Method: two
    stores."""
    server = AccountStore(store.directory)
    assert server.lookup("alice") is None
    store.add("alice", "one")
    assert server.lookup("alice") is not None
    store.path.write_text("{")
    assert server.lookup("alice") is not None
    store.path.unlink()
    assert server.lookup("alice") is None


def test_concurrent_adds(store: AccountStore) -> None:
    """Goal: no add is lost and RIDs stay unique. Method: eight threads, each with its own store."""
    store.add("first", "x")
    threads = [
        threading.Thread(target=lambda n=n: AccountStore(store.directory).add(f"user{n}", "x"))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    accounts = store.all()
    assert len(accounts) == 9
    assert sorted(account.rid for account in accounts) == list(range(1000, 1009))


SMBPASSWD = """# comment
alice:1000:XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX:A4F49C406510BDCAB6824EE7C30FD852:[U          ]:LCT-5EBBC7B1:
bob:1001:XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX:8846F7EAEE8FB117AD06BDD830B7586C:[DU         ]:LCT-5EBBC7B1:
nopw:1002:NO PASSWORDXXXXXXXXXXXXXXXXXXXXX:NO PASSWORDXXXXXXXXXXXXXXXXXXXXX:[NU         ]:LCT-00000000:
gone:1004:XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX:8846F7EAEE8FB117AD06BDD830B7586C:[NU         ]:LCT-5EBBC7B1:
new:1005:XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX:8846F7EAEE8FB117AD06BDD830B7586C:[U          ]:LCT-00000000:
kept:1006:XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX:8846F7EAEE8FB117AD06BDD830B7586C:[UX         ]:LCT-00000000:
torn:1007:XXXXXXXXXXXXXX
box$:1003:XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX:8846F7EAEE8FB117AD06BDD830B7586C:[W          ]:LCT-5EBBC7B1:
"""


def test_import(store: AccountStore) -> None:
    """Goal: smbpasswd users are imported, other entries are reported. Method: a file with every kind, merged over an
    account."""
    store.add("Alice", "old")
    entries, skipped = parse_smbpasswd(SMBPASSWD)
    assert [(entry.name, entry.must_change) for entry in entries] == [
        ("alice", False), ("bob", False), ("new", True), ("kept", False),
    ]  # fmt: skip
    assert [sentence.partition(":")[0] for sentence in skipped] == ["line 4", "line 5", "line 9", "line 8"]
    assert store.merge(entries) == (["bob", "new", "kept"], ["alice"])
    alice, bob = store.lookup("alice"), store.lookup("bob")
    assert alice is not None
    assert bob is not None
    assert (alice.name, alice.rid, alice.nt_hash) == ("Alice", 1000, nt_hash("Password"))
    assert alice.password_set_s == 0x5EBBC7B1
    assert bob.disabled


def test_import_keeps_locks() -> None:
    """Goal: an account locked out in Samba stays locked out after the import. Method: the flags D, L and none."""
    text = "\n".join(f"u{n}:1:x:{'0' * 32}:[{flags}]:LCT-1:" for n, flags in enumerate(("U", "DU", "UL")))
    entries, skipped = parse_smbpasswd(text)
    assert [entry.disabled for entry in entries] == [False, True, True]
    assert not skipped


@pytest.mark.parametrize(
    "line", ["alice", "alice:1:x:zz:[U]:LCT-0:", ":1:a:b:", "a:1:x:" + "0" * 32 + ":[U]:LCT-x:"]
)
def test_import_names_the_line(line: str) -> None:
    """Goal: a malformed line is reported; the file is refused only when every line is malformed. Method: second line
    of a text."""
    entries, skipped = parse_smbpasswd(SMBPASSWD + line)
    assert len(entries) == 4 and skipped[-1].startswith("line 10: ")
    with pytest.raises(SmbpasswdError, match="line 2"):
        parse_smbpasswd("# first\n" + line)


@given(st.text())
def test_import_of_anything(text: str) -> None:
    """Goal: no text raises an unexpected exception. Method: hypothesis."""
    try:
        parse_smbpasswd(text)
    except SmbpasswdError:
        pass


@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c))
)
def test_parse_of_any_json(value: object) -> None:
    """Goal: no JSON raises anything but AccountsError. Method: hypothesis, on the parser itself."""
    from frevo.auth.accounts import _parse

    document = {"version": 1, "next_rid": 5, "accounts": value}
    try:
        _parse(json.dumps(document).encode(), Path("x"))
    except AccountsError:
        pass


def test_import_of_a_database() -> None:
    """Goal: whoever passes Samba's passdb.tdb is told what to do. Method: its first bytes."""
    with pytest.raises(SmbpasswdError, match="pdbedit -Lw"):
        parse_smbpasswd("TDB file\n\0\0")
