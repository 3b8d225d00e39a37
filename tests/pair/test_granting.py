"""Who may do what, by the descriptors of a file and of its directory: streams, replacing, creating, overwriting."""

from __future__ import annotations

import os

import pytest
from peers.target import USER

from frevo.auth.accounts import AccountStore
from frevo.auth.sids import account_sid, load_machine_sid
from frevo.wire.dtyp import ACE, ACL, EVERYONE, SID, DirectoryAccess, FileAccess, SecurityDescriptor
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import (
    FileInfoClass,
    FileLinkInformation,
    FileRenameInformation,
    FullEa,
    pack_full_eas,
)
from frevo.wire.smb2 import Command, CreateDisposition, EaBuffer, FileAttributes, SdBuffer, SetInfoRequest
from pair.client import Client, FileId
from pair.file_calls import folder, put
from pair.machine import OTHER_PASSWORD, OTHER_USER, Pair

FULL, READ = 0x001F01FF, 0x001200A9
WRITE_DATA, DELETE = int(FileAccess.WRITE_DATA), int(FileAccess.DELETE)
_SECURITY, _OWNER, _DACL = 3, 1, 4
CREATE, OPEN = int(CreateDisposition.CREATE), int(CreateDisposition.OPEN)
OVERWRITE, SUPERSEDE = int(CreateDisposition.OVERWRITE), int(CreateDisposition.SUPERSEDE)


def sid_of(pair: Pair, name: str) -> SID:
    account = AccountStore(pair.private).lookup(name)
    assert account is not None
    return account_sid(load_machine_sid(pair.private), account.rid)


class Two:
    """The owner of everything and another user, each with a connection and a tree."""

    def __init__(self, pair: Pair) -> None:
        self.root = pair.root / "share"
        self.owner, self.other = pair.logged_on(), pair.connect()
        self.other.negotiate()
        self.other.log_on(OTHER_USER, OTHER_PASSWORD)
        self.other.connect_tree("share")
        self.owner_sid, self.other_sid = sid_of(pair, USER), sid_of(pair, OTHER_USER)

    def protect(self, file_id: FileId, *, others: int = READ, own: int = FULL) -> None:
        """Gives the open file these rights for the owner and for everybody, and closes it."""
        aces = [ACE(mask=own, sid=self.owner_sid)]
        if others:
            aces.append(ACE(mask=others, sid=EVERYONE))
        descriptor = SecurityDescriptor(
            owner=self.owner_sid, group=self.owner_sid, dacl=ACL(aces), control=0x8004
        )
        assert set_security(self.owner, file_id, descriptor, _DACL) == NTStatus.SUCCESS
        self.owner.close(file_id)

    def file(self, name: str, *, others: int = READ, own: int = FULL) -> None:
        """A file of the owner."""
        file_id = self.owner.open(name)
        self.owner.write(file_id, 0, b"the owner's")
        self.protect(file_id, others=others, own=own)


def set_security(client: Client, file_id: FileId, descriptor: SecurityDescriptor, what: int) -> NTStatus:
    return client.call(
        Command.SET_INFO, SetInfoRequest(_SECURITY, 0, what, file_id, descriptor.pack()).pack()
    ).status


@pytest.fixture
def two(pair: Pair) -> Two:
    return Two(pair)


@pytest.mark.parametrize("disposition", [2, 3, 5, 0])
def test_streams_are_the_files(two: Two, disposition: int) -> None:
    """Goal: a user who may not write a file cannot create a stream on it, and nobody can on a read-only one. Method:
    every disposition that creates, on files that may be read, not even read, written, and on a read-only one."""
    for name, others, expected in (
        ("readable", READ, NTStatus.ACCESS_DENIED),
        ("secret", 0, NTStatus.ACCESS_DENIED),
        ("writable", READ | WRITE_DATA, NTStatus.SUCCESS),
    ):
        two.file(name, others=others)
        reply = two.other.create(f"{name}:s", desired_access=READ, create_disposition=disposition)
        assert reply.status == expected, name
    file_id = two.owner.open("readonly", file_attributes=int(FileAttributes.READONLY))
    two.owner.close(file_id)
    reply = two.owner.create("readonly:s", desired_access=READ, create_disposition=disposition)
    assert reply.status == NTStatus.ACCESS_DENIED


def test_a_stream_of_a_new_file_inherits(two: Two) -> None:
    """Goal: a file created along with its stream inherits from its folder. Method: a folder that passes on rights for
    its owner alone; another user may then not read."""
    aces = [ACE(mask=FULL, sid=two.owner_sid, flags=3), ACE(mask=READ | 0x2, sid=EVERYONE)]
    descriptor = SecurityDescriptor(dacl=ACL(aces), control=0x8004)
    file_id = folder(two.owner, "folder")
    assert set_security(two.owner, file_id, descriptor, _DACL) == NTStatus.SUCCESS
    two.owner.close(two.owner.open("folder\\new:stream"))
    assert two.other.create("folder\\new", desired_access=READ).status == NTStatus.ACCESS_DENIED


@pytest.mark.parametrize("how", [FileInfoClass.RENAME, FileInfoClass.LINK])
def test_replacing_needs_delete(two: Two, how: int) -> None:
    """Goal: a rename or link replaces a file only with the right to delete it. Method: without a right, with DELETE on
    the file, with DELETE_CHILD on its folder, and of a file with an open stream."""
    two.protect(folder(two.owner, "folder"), others=READ | int(DirectoryAccess.ADD_FILE))
    information = FileRenameInformation if how == FileInfoClass.RENAME else FileLinkInformation

    def replace(name: str) -> NTStatus:
        source = two.other.open("source")
        status = put(two.other, source, how, information(True, 0, name).pack())
        two.other.close(source)
        return status

    two.file("folder\\kept")
    assert replace("folder\\kept") == NTStatus.ACCESS_DENIED
    assert (two.root / "folder" / "kept").read_bytes() == b"the owner's"
    two.file("folder\\given", others=READ | DELETE)
    stream = two.owner.open("folder\\given:stream")
    assert replace("folder\\given") == NTStatus.ACCESS_DENIED
    two.owner.close(stream)
    assert replace("folder\\given") == NTStatus.SUCCESS
    assert (two.root / "folder" / "given").read_bytes() == b""
    deletes = int(DirectoryAccess.ADD_FILE | DirectoryAccess.DELETE_CHILD)
    two.protect(folder(two.owner, "folder"), others=READ | deletes)
    assert replace("folder\\kept") == NTStatus.SUCCESS


def test_a_name_is_added_to_the_folder(two: Two) -> None:
    """Goal: a rename adds a name, even within one folder, and needs the right to add it; for a folder's name a
    different right. Method: files and folders, out of, into and within a folder that lets nobody add, or only
    folders."""
    closed, open_ = folder(two.owner, "closed"), folder(two.owner, "open")
    for name in ("closed\\file", "open\\file"):
        two.owner.close(two.owner.open(name))
    two.owner.close(folder(two.owner, "open\\sub"))
    two.owner.close(open_)
    two.protect(closed, own=READ | int(FileAccess.WRITE_DAC))

    def rename(name: str, target: str) -> NTStatus:
        source = two.owner.open(name, desired_access=DELETE, create_disposition=OPEN)
        status = put(two.owner, source, FileInfoClass.RENAME, FileRenameInformation(False, 0, target).pack())
        two.owner.close(source)
        return status

    assert rename("closed\\file", "closed\\other") == NTStatus.ACCESS_DENIED
    assert rename("open\\file", "closed\\other") == NTStatus.ACCESS_DENIED
    assert rename("open\\sub", "closed\\sub") == NTStatus.ACCESS_DENIED
    closed = folder(two.owner, "closed", desired_access=READ | int(FileAccess.WRITE_DAC))
    two.protect(closed, own=READ | int(DirectoryAccess.ADD_SUBDIRECTORY))
    assert rename("open\\file", "closed\\other") == NTStatus.ACCESS_DENIED
    assert rename("open\\sub", "closed\\sub") == NTStatus.SUCCESS
    assert rename("closed\\file", "open\\moved") == NTStatus.SUCCESS


def test_owners_of_new_files(two: Two) -> None:
    """Goal: nobody creates files that belong to another user or have a SACL, nor gives files away. Method: CREATE with
    descriptors of every kind, and SET_INFO of the owner."""

    def make(name: str, descriptor: SecurityDescriptor) -> NTStatus:
        return two.other.create(
            name, create_disposition=CREATE, contexts=[SdBuffer(descriptor.pack()).context()]
        ).status

    own = SecurityDescriptor(
        owner=two.other_sid, dacl=ACL([ACE(mask=FULL, sid=two.other_sid)]), control=0x8004
    )
    assert make("own", own) == NTStatus.SUCCESS
    for name, owner in (("another's", two.owner_sid), ("everyone's", EVERYONE)):
        assert make(name, SecurityDescriptor(owner=owner, control=0x8000)) == NTStatus.INVALID_OWNER
    audited = SecurityDescriptor(sacl=ACL([]), control=0x8010)
    assert make("audited", audited) == NTStatus.PRIVILEGE_NOT_HELD
    assert sorted(path.name for path in two.root.iterdir()) == ["own"]
    file_id = two.other.open("own")
    for owner in (two.owner_sid, EVERYONE):
        given = SecurityDescriptor(owner=owner, control=0x8000)
        assert set_security(two.other, file_id, given, _OWNER) == NTStatus.INVALID_OWNER
    assert set_security(two.other, file_id, own, _OWNER) == NTStatus.SUCCESS


@pytest.mark.parametrize("disposition", [0, 4, 5])
def test_overwriting_leaves_nothing(two: Two, disposition: int) -> None:
    """Goal: an overwritten file has none of the old one's streams and EAs, and is not overwritten under an open
    stream. Method: each disposition on a file that has both."""
    client = two.owner
    file_id = client.open("file")
    assert (
        put(client, file_id, FileInfoClass.FULL_EA, pack_full_eas([FullEa(b"NAME", b"value", 0)]))
        == NTStatus.SUCCESS
    )
    client.close(file_id)
    stream = client.open("file:stream")
    client.write(stream, 0, b"old")
    reply = client.create("file", create_disposition=disposition)
    assert reply.status == NTStatus.SHARING_VIOLATION
    client.close(stream)
    client.close(client.open("file", create_disposition=disposition))
    reply = client.create("file:stream", create_disposition=OPEN)
    assert reply.status == NTStatus.OBJECT_NAME_NOT_FOUND
    assert not [name for name in os.listxattr(two.root / "file") if "NAME" in name or "DosStream" in name]


def test_what_overwriting_needs(two: Two) -> None:
    """Goal: overwriting changes data, attributes and EAs, superseding deletes: each needs the rights for it, and a
    read-only file stays. Method: a file with one right missing at a time."""
    attributes = int(FileAccess.WRITE_EA | FileAccess.WRITE_ATTRIBUTES)
    two.protect(folder(two.owner, "folder"))  # nobody else may delete what is in it
    for disposition, rights, expected in (
        (OVERWRITE, WRITE_DATA, NTStatus.ACCESS_DENIED),
        (OVERWRITE, WRITE_DATA | attributes, NTStatus.SUCCESS),
        (OVERWRITE, DELETE | attributes, NTStatus.ACCESS_DENIED),
        (SUPERSEDE, WRITE_DATA | attributes, NTStatus.ACCESS_DENIED),
        (SUPERSEDE, DELETE | attributes, NTStatus.SUCCESS),
    ):
        name = f"folder\\{disposition}-{rights:x}"
        two.file(name, others=READ | rights)
        reply = two.other.create(name, desired_access=READ, create_disposition=disposition)
        assert reply.status == expected, (disposition, rights)
        assert (two.root / name.replace("\\", "/")).read_bytes() == (
            b"" if expected == NTStatus.SUCCESS else b"the owner's"
        )
    two.owner.close(two.owner.open("readonly", file_attributes=int(FileAttributes.READONLY)))
    for disposition in (OVERWRITE, SUPERSEDE):
        reply = two.owner.create("readonly", desired_access=READ, create_disposition=disposition)
        assert reply.status == NTStatus.ACCESS_DENIED


@pytest.mark.parametrize("disposition", [CREATE, OVERWRITE])
def test_the_eas_of_a_stream_are_its_files(two: Two, disposition: int) -> None:
    """Goal: a user who may write a file's data, but not its EAs, cannot set them through a stream. Method: a stream
    that is created, and one that is overwritten, with and without EAs in the CREATE."""
    two.file("file", others=READ | WRITE_DATA)
    if disposition == OVERWRITE:
        two.owner.close(two.owner.open("file:s"))
    contexts = [(EaBuffer.NAME, pack_full_eas([FullEa(b"NAME", b"value", 0)]))]
    asked = {"desired_access": READ | WRITE_DATA, "create_disposition": disposition}
    assert two.other.create("file:s", contexts=contexts, **asked).status == NTStatus.ACCESS_DENIED
    assert "user.NAME" not in os.listxattr(two.root / "file")
    assert two.other.create("file:s", **asked).status == NTStatus.SUCCESS


@pytest.mark.parametrize("what", [0x20, 0x40, 0x10000])
def test_rare_parts_of_a_descriptor_need_rights(two: Two, what: int) -> None:
    """Goal: no part of a descriptor is set without the right to it, and unsupported parts change nothing. Method:
    attributes, scope and backup by a user who may only read; then no part at all, on a file without a descriptor."""
    file_id = two.owner.open("plain")
    descriptor = SecurityDescriptor(dacl=ACL([]), control=0x8004)
    weak = two.owner.open("plain", desired_access=READ)
    assert set_security(two.owner, weak, descriptor, what) == NTStatus.ACCESS_DENIED
    for nothing in (0, 0x80000000):
        assert set_security(two.owner, file_id, descriptor, nothing) == NTStatus.SUCCESS
    assert "security.NTACL" not in os.listxattr(two.root / "plain")
