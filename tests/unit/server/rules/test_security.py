"""Access by descriptor or mode: who may do what, what comes from the directory, what a new file gets."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from frevo.auth.identity import Identity
from frevo.errors import SMBError
from frevo.locking.file_table import FileTable
from frevo.server.rules import security
from frevo.server.rules.security import (
    granted_by_parent,
    inherited_descriptor,
    maximal_access,
    parse_descriptor,
)
from frevo.vfs.base import OpenIntent
from frevo.vfs.local import LocalBackend
from frevo.wire.dtyp import ACE, ACL, EVERYONE, FILE_ALL_ACCESS, SID, FileAccess, SecurityDescriptor
from frevo.wire.erref import NTStatus

ALICE = SID(5, (21, 1, 2, 3, 1000))
BOB = SID(5, (21, 1, 2, 3, 1001))
OI_CI = 3


def session_of(sid: SID, **fields: Any) -> Any:
    """The parts of a session that the functions need."""
    return SimpleNamespace(identity=Identity("user", "", "user", sid, **fields), tokens={})


def tree_of(folder: Path, access: int = FILE_ALL_ACCESS) -> Any:
    """The parts of a tree that they need: its backend, a real one, and its access."""
    return SimpleNamespace(backend=LocalBackend(str(folder)), maximal_access=access, acting=None)


def store(tree: Any, path: str, *aces: ACE, owner: SID = ALICE) -> None:
    """Gives what is at *path* a descriptor of these entries."""
    handle = tree.backend.open(tree.backend.resolve(path), OpenIntent.READ)
    handle.set_security_descriptor(SecurityDescriptor(owner=owner, group=owner, dacl=ACL(list(aces))).pack())
    handle.close()


def test_stored_descriptor_decides(tmp_path: Path) -> None:
    """Goal: the DACL gives the rights, the tree limits them. Method: reading for everyone, as owner and as another
    user, in a full and a read-only tree."""
    tree = tree_of(tmp_path)
    stat = tree.backend.resolve("").stat
    reading = 0x00120089
    stored = SecurityDescriptor(owner=ALICE, dacl=ACL([ACE(mask=reading, sid=EVERYONE)])).pack()
    implicit = FileAccess.READ_CONTROL | FileAccess.WRITE_DAC
    everyone = {"group_sids": (EVERYONE,)}
    assert maximal_access(session_of(BOB, **everyone), tree, stored, stat) == reading
    assert maximal_access(session_of(ALICE, **everyone), tree, stored, stat) == reading | implicit
    narrow = tree_of(tmp_path, access=0x001200A9)
    assert maximal_access(session_of(ALICE, **everyone), narrow, stored, stat) == reading
    admin = maximal_access(session_of(BOB, is_admin=True, **everyone), tree, stored, stat)
    assert admin & FileAccess.ACCESS_SYSTEM_SECURITY


def test_rights_through_the_directory(tmp_path: Path) -> None:
    """Goal: whoever may delete in a directory may delete its files, whoever lists it sees attributes. Method: both
    rights, each alone."""
    tree = tree_of(tmp_path)
    for mask, expected in [
        (FileAccess.DELETE_CHILD, FileAccess.DELETE),
        (FileAccess.READ_DATA, FileAccess.READ_ATTRIBUTES),
        (FileAccess.EXECUTE, 0),
    ]:
        store(tree, "", ACE(mask=int(mask), sid=BOB))
        assert granted_by_parent(session_of(BOB), tree, tree.backend.resolve("file")) == expected


def made(
    tree: Any, name: str, *, session: Any, directory: bool = False, explicit: bytes | None = None
) -> Any:
    """The descriptor that a new file gets, parsed; None when none is stored."""
    resolved = tree.backend.resolve(name)
    data = inherited_descriptor(session, tree, FileTable(), resolved, explicit, directory=directory)
    return parse_descriptor(data) if data is not None else None


def test_new_files(tmp_path: Path) -> None:
    """Goal: entries are inherited; without any the creator has the file; without a stored descriptor on the directory
    the mode bits decide. Method: each kind of directory."""
    tree, alice = tree_of(tmp_path), session_of(ALICE)
    assert made(tree, "new", session=alice) is None
    store(tree, "", ACE(flags=OI_CI, mask=0x00120089, sid=BOB), ACE(mask=FILE_ALL_ACCESS, sid=ALICE))
    inherited = made(tree, "new", session=alice)
    assert [(ace.sid, ace.mask) for ace in inherited.dacl.aces] == [(BOB, 0x00120089)]
    assert inherited.owner == ALICE
    store(tree, "", ACE(mask=FILE_ALL_ACCESS, sid=ALICE))
    default = made(tree, "new", session=alice)
    assert default.dacl.aces[0] == ACE(mask=FILE_ALL_ACCESS, sid=ALICE) and len(default.dacl.aces) == 2
    explicit = SecurityDescriptor(dacl=ACL([ACE(mask=1, sid=BOB)])).pack()
    assert made(tree, "new", session=alice, explicit=explicit).dacl.aces == [ACE(mask=1, sid=BOB)]


def test_adding_needs_the_right(tmp_path: Path) -> None:
    """Goal: adding files and adding folders are separate rights on the directory. Method: a directory that allows one
    of them."""
    tree, bob = tree_of(tmp_path), session_of(BOB)
    store(tree, "", ACE(mask=int(FileAccess.WRITE_DATA), sid=BOB))
    assert made(tree, "new", session=bob) is not None
    with pytest.raises(SMBError) as caught:
        made(tree, "new", session=bob, directory=True)
    assert caught.value.status == NTStatus.ACCESS_DENIED


def test_streams_share_the_descriptor(tmp_path: Path) -> None:
    """Goal: a stream of a file that exists has no descriptor of its own. Method: the name of a new stream."""
    (tmp_path / "file").write_bytes(b"")
    tree = tree_of(tmp_path)
    assert made(tree, "file:stream", session=session_of(BOB)) is None


@pytest.mark.parametrize(
    "data", [b"", b"\1" * 20, b"\1\0\4\x80" + bytes(16) + b"\xff" * 8, b"\2" + bytes(19)]
)
def test_broken_descriptors(data: bytes) -> None:
    """Goal: a broken descriptor is INVALID_SECURITY_DESCR, never a traceback. Method: bytes of several kinds."""
    try:
        security.parse_descriptor(data)
    except SMBError as error:
        assert error.status == NTStatus.INVALID_SECURITY_DESCR
