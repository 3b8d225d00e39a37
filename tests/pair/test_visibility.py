"""What is hidden: `access based share enum`, `hide unreadable` and related keys, `hide files`; links; `ntlm auth`."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

import pytest
import spnego
from peers.target import DOMAIN, PASSWORD, SHARES, USER

from frevo.config import load_text
from frevo.server.pipes.rpc_context import rpc_context
from frevo.server.run import limits_of
from frevo.vfs import vetoed
from frevo.vfs.security import wrap
from frevo.wire.dtyp import (
    ACE,
    ACL,
    EVERYONE,
    FILE_ALL_ACCESS,
    FileAccess,
    SecurityDescriptor,
    SecurityDescriptorControl,
)
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FileAttributes, FileInfoClass
from frevo.wire.smb2 import CreateOptions, CreateResponse, TreeConnectResponse
from pair.client import Client
from pair.conftest import MakePair
from pair.file_calls import entries, folder, list_call, names, put
from pair.machine import OTHER_PASSWORD, OTHER_USER

OK = NTStatus.SUCCESS
NOT_FOUND = NTStatus.OBJECT_NAME_NOT_FOUND


def _share(make_pair: MakePair, **keys: str) -> tuple[Client, Path]:
    settings = {key.replace("_", " "): value for key, value in keys.items()}
    pair = make_pair({}, {**SHARES, "share": {"read only": "no", **settings}})
    root = pair.root / "share"
    (root / "plain").touch()
    (root / "dir").mkdir()
    return pair.logged_on(), root


def _names(client: Client, pattern: str = "*") -> list[str]:
    directory = folder(client)
    found = [name for name in names(client, directory, pattern) if name not in (".", "..")]
    client.close(directory)
    return sorted(found)


def _give(path: Path, mask: int) -> None:
    """Stores an NT descriptor that gives everybody *mask*, and nothing else."""
    made = SecurityDescriptor(
        owner=EVERYONE,
        group=EVERYONE,
        dacl=ACL([ACE(mask=mask, sid=EVERYONE)]),
        control=int(SecurityDescriptorControl.DACL_PRESENT),
    )
    os.setxattr(path, "user.NTACL", wrap(made.pack()))


def test_access_based_share_enum(make_pair: MakePair) -> None:
    """Goal: a share with the key is listed only for users who may connect. Method: two users, lists of users and of
    hosts; a share without the key beside it."""
    own = {"access based share enum": "yes"}
    shares = {
        **SHARES,
        "mine": {**own, "valid users": USER},
        "theirs": {**own, "valid users": OTHER_USER},
        "near": {**own, "hosts allow": "10."},
        "open": {"valid users": OTHER_USER},
    }
    pair = make_pair({}, shares)
    listed = {}
    for user, password, peer in ((USER, PASSWORD, "10.1.1.1:1"), (OTHER_USER, OTHER_PASSWORD, "11.1.1.1:1")):
        client = pair.connect(peer)
        client.negotiate()
        session = pair.server.sessions[client.log_on(user, password).id]
        listed[user] = {one.name for one in rpc_context(pair.server, session).shares if one.browseable}
    assert listed[USER] & {"mine", "theirs", "near", "open"} == {"mine", "near", "open"}
    assert listed[OTHER_USER] & {"mine", "theirs", "near", "open"} == {"theirs", "open"}


def test_hide_unreadable(make_pair: MakePair) -> None:
    """Goal: listings leave out what may not be read, whatever the pattern; `..` stays. Method: descriptors on disk."""
    client, root = _share(make_pair, hide_unreadable="yes")
    for name, mask in (("secret", FileAccess.READ_ATTRIBUTES), ("shown", FileAccess.READ_DATA)):
        (root / name).touch()
        _give(root / name, int(mask))
        (root / f"{name}-dir").mkdir()
        _give(root / f"{name}-dir", int(mask))
    assert _names(client) == ["dir", "plain", "shown", "shown-dir"]
    assert _names(client, "secret") == [] and _names(client, "s*t*") == []
    assert _names(client, "shown") == ["shown"]
    assert client.create("secret", create_disposition=1, desired_access=1).status == NTStatus.ACCESS_DENIED
    assert names(client, folder(client, "dir"))[:2] == [".", ".."]


def test_hide_unwriteable_files(make_pair: MakePair) -> None:
    """Goal: files that may not be written are left out, folders stay. Method: descriptors on disk."""
    client, root = _share(make_pair, hide_unwriteable_files="yes")
    for name, mask in (("locked", FileAccess.READ_DATA), ("writable", FILE_ALL_ACCESS)):
        (root / name).touch()
        _give(root / name, int(mask))
    (root / "locked-dir").mkdir()
    _give(root / "locked-dir", int(FileAccess.READ_DATA))
    assert _names(client) == ["dir", "locked-dir", "plain", "writable"]


def test_hide_special_files(make_pair: MakePair) -> None:
    """Goal: pipes and sockets are left out, by pattern and by name. Method: one of each."""
    client, root = _share(make_pair, hide_special_files="yes")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
    assert _names(client) == ["dir", "plain"] and _names(client, "pipe") == []


def test_hidden_names_can_be_used(make_pair: MakePair) -> None:
    """Goal: `hide files` sets the hidden attribute, with wildcards and without case, and nothing else. Method: list,
    open, query."""
    client, root = _share(make_pair, hide_files="/*.TMP/thumbs.db/", hide_dot_files="no")
    for name in ("a.tmp", "Thumbs.DB", ".dot"):
        (root / name).touch()
    directory = folder(client)
    hidden = {
        entry.name
        for entry in entries(list_call(client, directory))
        if entry.file_attributes & FileAttributes.HIDDEN
    }
    assert hidden == {"a.tmp", "Thumbs.DB"}
    assert client.create("A.TMP", create_disposition=1).status == OK


def _links(root: Path) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    for name, target in (
        ("in", "plain"), ("in-dir", "dir"), ("out", "../outside/secret"), ("out-dir", str(outside)),
        ("abs", str(root / "plain")), ("nowhere", "nothing"),
    ):  # fmt: skip
        (root / name).symlink_to(target)


@pytest.mark.parametrize(
    ("follow", "wide", "listed"),
    [
        ("yes", "no", ["abs", "in", "in-dir"]),
        ("no", "no", []),
        ("no", "yes", []),
        ("yes", "yes", ["abs", "in", "in-dir", "out", "out-dir"]),
    ],
)
def test_links(make_pair: MakePair, follow: str, wide: str, listed: list[str]) -> None:
    """Goal: links lead inside only, nowhere, or everywhere; a link that is not followed does not exist. Method: links
    of all kinds, opened, listed, traversed in another case, used to make a file and to leave by `..`."""
    client, root = _share(make_pair, follow_symlinks=follow, wide_links=wide)
    _links(root)
    assert _names(client) == sorted([*listed, "dir", "plain"])
    everything = ("abs", "in", "in-dir", "out", "out-dir", "nowhere")
    opened = [name for name in everything if client.create(name, create_disposition=1).status == OK]
    assert sorted(opened) == listed
    wanted = OK if "out-dir" in listed else NTStatus.OBJECT_PATH_NOT_FOUND
    for path in ("out-dir\\secret", "OUT-DIR\\Secret", "out-dir\\new"):
        assert client.create(path).status == wanted, path
    assert (root.parent / "outside" / "new").exists() == (wanted == OK)
    assert client.create("out-dir\\..\\plain", create_disposition=1).status == NTStatus.OBJECT_PATH_SYNTAX_BAD


def test_ntlm_disabled(make_pair: MakePair) -> None:
    """Goal: `ntlm auth = disabled` refuses passwords, raw or in SPNEGO, and anonymous sessions; NEGOTIATE does not
    offer NTLM. Method: a server with this configuration, and clients that try."""
    pair = make_pair()
    config = pair.config.with_globals(ntlm_auth="disabled")
    pair.inside(pair.server.reload, config, pair.authenticator(config))
    for protocol in ("ntlm", "negotiate"):
        client = pair.connect()
        offered = client.negotiate().security_buffer
        assert bytes.fromhex("2b06010401823702020a") not in offered
        _, reply = client.try_log_on(protocol=protocol)
        assert reply.status == NTStatus.NOT_SUPPORTED
    raw = spnego.client(f"{DOMAIN}\\{USER}", PASSWORD, protocol="ntlm").step()
    assert raw is not None and not pair.server.sessions


def _remove(client: Client, name: str) -> NTStatus:
    """Removes a folder as a client does: opened, marked, closed."""
    made = client.create(name, create_options=int(CreateOptions.DIRECTORY_FILE), create_disposition=1)
    file_id = made.ok(CreateResponse).file_id
    status = put(client, file_id, FileInfoClass.DISPOSITION, b"\x01")
    client.close(file_id)
    return status


@pytest.mark.parametrize("delete", ["yes", "no"])
def test_delete_veto_files(make_pair: MakePair, delete: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: a folder that contains only vetoed names is removed with them, if the key says so; anything else in it
    keeps it, and links are not followed. Method: folders of each kind, removed over the wire."""
    monkeypatch.setattr(vetoed, "ENTRIES_MAX", 64)
    client, root = _share(make_pair, veto_files="/*.tmp/", delete_veto_files=delete)
    precious = root / "precious"
    precious.mkdir()
    (precious / "kept.tmp").touch()
    for name in ("only", "mixed", "nested", "linked", "many"):
        (root / name).mkdir()
        (root / name / "a.tmp").touch()
    (root / "mixed" / "file").touch()
    (root / "nested" / "b.tmp" / "below").mkdir(parents=True)
    (root / "nested" / "b.tmp" / "below" / "anything").touch()
    (root / "linked" / "c.tmp").symlink_to(precious)
    (root / "alias").symlink_to("precious")
    for number in range(vetoed.ENTRIES_MAX):
        (root / "many" / f"{number}.tmp").touch()
    answers = {name: _remove(client, name) for name in ("only", "mixed", "nested", "linked", "many", "alias")}
    gone = {name for name in answers if not os.path.lexists(root / name)}
    full = NTStatus.DIRECTORY_NOT_EMPTY
    if delete == "yes":
        assert gone == {"only", "nested", "linked", "alias"}
        assert [answers[name] for name in ("mixed", "many")] == [full, full]
    else:
        assert gone == set() and set(answers.values()) == {full}
    assert (precious / "kept.tmp").exists() and (root / "mixed" / "a.tmp").exists()


@pytest.mark.parametrize(
    ("keys", "folder_mode", "file", "made"),
    [
        ({}, 0o2750, 0o640, 0o2750),
        ({"inherit permissions": "yes"}, 0o2751, 0o640, 0o2751),
        ({"inherit permissions": "yes"}, 0o1777, 0o666, 0o777),
        ({"inherit permissions": "yes"}, 0o700, 0o600, 0o700),
    ],
)
def test_inherit_permissions(
    make_pair: MakePair, keys: dict[str, str], folder_mode: int, file: int, made: int
) -> None:
    """Goal: modes come from the folder, not from the masks, and never make a file executable or sticky. Method: files
    and folders in folders of several modes."""
    masks = {"create mask": "0640", "directory mask": "0750"}
    pair = make_pair({}, {**SHARES, "share": {"read only": "no", **masks, **keys}})
    parent = pair.root / "share" / "parent"
    parent.mkdir()
    parent.chmod(folder_mode)
    client = pair.logged_on()
    mask = os.umask(0)  # as `frevo serve` has it
    try:
        client.open("parent\\file")
        folder(client, "parent\\dir")
        client.open("parent\\new:stream")
    finally:
        os.umask(mask)
    modes = [(parent / name).stat().st_mode & 0o7777 for name in ("file", "new", "dir")]
    assert modes == [file, file, made]


def test_inherit_acls(make_pair: MakePair, tmp_path: Path) -> None:
    """Goal: a default ACL is not limited by the masks; without one they apply. Method: a default ACL on disk, which
    names a user, and the ACL of what is made."""
    client, root = _share(make_pair, inherit_acls="yes", create_mask="0600", directory_mask="0700")
    entry = struct.Struct("<HHI")
    nobody = 0xFFFFFFFF
    acl = struct.pack("<I", 2) + b"".join(
        entry.pack(tag, bits, number)
        for tag, bits, number in (
            (1, 7, nobody),
            (2, 7, 1234),
            (4, 5, nobody),
            (16, 7, nobody),
            (32, 0, nobody),
        )
    )
    os.setxattr(root / "dir", "system.posix_acl_default", acl)
    client.open("dir\\file")
    folder(client, "dir\\below")
    client.open("plain-file")
    assert (root / "dir" / "file").stat().st_mode & 0o777 == 0o660
    assert (root / "dir" / "below").stat().st_mode & 0o777 == 0o770
    assert (root / "plain-file").stat().st_mode & 0o777 == 0o600
    stored = os.getxattr(root / "dir" / "file", "system.posix_acl_access")
    assert (2, 7, 1234) in {
        entry.unpack_from(stored, 4 + 8 * index) for index in range((len(stored) - 4) // 8)
    }


def test_deadtime() -> None:
    """Goal: `deadtime` is the idle time of connections, in minutes; frevo's own key is finer. Method: the limits
    passed to the data plane."""
    limits = {
        text: limits_of(load_text(f"[global]\n{text}\n"))["idle_timeout"]
        for text in ("", "deadtime = 15", "deadtime = 0", "deadtime = 15\nfrevo:idle timeout = 5s")
    }
    assert list(limits.values()) == [10080 * 60, 900, 0, 5]


def test_csc_policy(make_pair: MakePair) -> None:
    """Goal: TREE_CONNECT says what clients may cache ([MS-SMB2] 2.2.10). Method: a share for each word."""
    words = {"manual": 0x00, "documents": 0x10, "programs": 0x20, "disable": 0x30}
    shares = {word: {"csc policy": word} for word in words}
    client = make_pair({}, {**SHARES, **shares}).logged_on()
    told = {word: client.try_tree(word).ok(TreeConnectResponse).share_flags & 0x30 for word in words}
    assert told == words
