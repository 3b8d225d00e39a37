"""What the file system can do to the server: full, read-only, forbidden, vanished, linked outside, not a file at
all."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from peers.programs import missing
from peers.target import SHARES

from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FileAllocationInformation, FileEndOfFileInformation
from frevo.wire.smb2 import (
    Command,
    CreateOptions,
    FlushRequest,
    QueryDirectoryRequest,
    QueryInfoRequest,
    SetInfoRequest,
)
from pair.client import Client
from pair.conftest import MakePair
from pair.machine import Pair

NOBODY = 65534
DIRECTORY = {"create_options": CreateOptions.DIRECTORY_FILE, "create_disposition": 1}
READ_ONLY = {"desired_access": 0x00120089, "create_disposition": 1}


@contextmanager
def mounted(options: str) -> Iterator[Path]:
    """A small tmpfs for the test."""
    if os.geteuid() != 0:
        missing("mounting a tmpfs needs root")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "frevo-test", folder], capture_output=True, check=False
        )
        if done.returncode:
            missing(f"a tmpfs cannot be mounted here: {done.stderr.decode().strip()}")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def as_nobody() -> Iterator[None]:
    """The server's process (this one) drops its rights for the length of the block."""
    if os.geteuid() != 0:
        missing("giving up rights needs root")
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def with_share(make_pair: MakePair, folder: Path) -> Client:
    """A client in a share of *folder*; the pair's other shares stay."""
    pair = make_pair({}, {**SHARES, "small": {"path": str(folder), "read only": "no"}})
    client = pair.logged_on()
    client.connect_tree("small")
    return client


def test_disk_full(make_pair: MakePair) -> None:
    """Goal: a full disk is DISK_FULL, what was written before stays, and freed space is used. Method: a tmpfs of 1
    MiB: WRITE, allocation and a new file when it is full; then delete."""
    with mounted("size=1m") as folder:
        client = with_share(make_pair, folder)
        file_id, other = client.open("a"), client.open("b")
        assert client.write(other, 0, b"keep").status == NTStatus.SUCCESS
        written = 0
        while (reply := client.write(file_id, written, b"x" * 65536)).status == NTStatus.SUCCESS:
            count = int.from_bytes(reply.body[4:8], "little")
            written += count
            if count < 65536:
                break
        assert 900_000 < written <= 1 << 20
        for _ in range(2):
            assert client.write(file_id, written + 8192, b"x" * 65536).status == NTStatus.DISK_FULL
        allocate = FileAllocationInformation(4 << 20).pack()
        reply = client.call(Command.SET_INFO, SetInfoRequest(1, 19, 0, other, allocate).pack())
        assert reply.status == NTStatus.DISK_FULL
        assert client.read(other, 0, 100) == b"keep"
        assert client.read(file_id, written - 10, 10) == b"x" * 10
        assert client.call(Command.FLUSH, FlushRequest(file_id).pack()).status == NTStatus.SUCCESS
        shrink = FileEndOfFileInformation(0).pack()
        assert (
            client.call(Command.SET_INFO, SetInfoRequest(1, 20, 0, file_id, shrink).pack()).status
            == NTStatus.SUCCESS
        )
        assert client.write(other, 0, b"y" * 65536).status == NTStatus.SUCCESS


def test_no_inodes_left(make_pair: MakePair) -> None:
    """Goal: a file system without free inodes is DISK_FULL for CREATE. Method: a tmpfs with ten inodes."""
    with mounted("nr_inodes=10") as folder:
        client = with_share(make_pair, folder)
        statuses = [client.create(f"file{number}").status for number in range(12)]
        assert statuses[0] == NTStatus.SUCCESS and statuses[-1] == NTStatus.DISK_FULL


def test_read_only_file_system(make_pair: MakePair) -> None:
    """Goal: a file system that turned read-only is MEDIA_WRITE_PROTECTED or ACCESS_DENIED for every change, and reads
    still work. Method: remount a tmpfs; create, overwrite, delete, rename, set times."""
    with mounted("size=1m") as folder:
        (folder / "a").write_bytes(b"data")
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        client = with_share(make_pair, folder)
        refused = (NTStatus.MEDIA_WRITE_PROTECTED, NTStatus.ACCESS_DENIED)
        assert client.create("new").status in refused
        assert client.create("a", create_disposition=5).status in refused
        assert client.create("a", desired_access=2, create_disposition=1).status in refused
        file_id = client.open("a", **READ_ONLY)
        assert client.read(file_id, 0, 9) == client.read(file_id, 0, 9) == b"data"
        deleting = client.create("a", desired_access=0x00010080, create_disposition=1, create_options=0x1000)
        if deleting.status == NTStatus.SUCCESS:
            client.close(
                (
                    int.from_bytes(deleting.body[64:72], "little"),
                    int.from_bytes(deleting.body[72:80], "little"),
                )
            )
        assert (folder / "a").read_bytes() == b"data"


def test_permission_denied(pair: Pair) -> None:
    """Goal: what the server's user may not do is ACCESS_DENIED. Method: as nobody, on root's files and folders."""
    share = pair.root / "share"
    for folder in (*share.parents, share):
        if folder.is_relative_to(tempfile.gettempdir()) and folder != Path(tempfile.gettempdir()):
            folder.chmod(0o755)
    (share / "secret").write_bytes(b"x")
    (share / "secret").chmod(0o600)
    (share / "readable").write_bytes(b"open")
    (share / "closed").mkdir(mode=0o700)
    (share / "closed" / "inside").touch()
    client = pair.logged_on()
    with as_nobody():
        assert client.create("secret", **READ_ONLY).status == NTStatus.ACCESS_DENIED
        assert client.create("new", create_disposition=2).status == NTStatus.ACCESS_DENIED
        assert (
            client.create("readable", desired_access=2, create_disposition=1).status == NTStatus.ACCESS_DENIED
        )
        assert client.create("closed\\inside", **READ_ONLY).status in (
            NTStatus.ACCESS_DENIED,
            NTStatus.OBJECT_PATH_NOT_FOUND,
        )
        file_id = client.open("readable", **READ_ONLY)
        assert client.read(file_id, 0, 9) == b"open"
        assert client.create("closed", desired_access=1, **DIRECTORY).status == NTStatus.ACCESS_DENIED
        root = client.open("", desired_access=0x00120089, **DIRECTORY)
        listing = client.call(
            Command.QUERY_DIRECTORY, QueryDirectoryRequest(3, 0, 0, root, 65536, "*").pack()
        )
        assert listing.status == NTStatus.SUCCESS and "secret".encode("utf-16-le") in listing.message


def test_vanished_underneath(pair: Pair) -> None:
    """Goal: a file, or its folder, that is deleted locally: opens still work, names are gone. Method: delete under an
    open file and an open folder, then use both in every way."""
    share = pair.root / "share"
    client = pair.logged_on()
    (share / "d").mkdir()
    file_id, folder = client.open("d\\a"), client.open("d", **DIRECTORY)
    client.write(file_id, 0, b"data")
    (share / "d" / "a").unlink()
    (share / "d").rmdir()
    assert client.read(file_id, 0, 9) == client.read(file_id, 0, 9) == b"data"
    assert client.write(file_id, 4, b"more").status == NTStatus.SUCCESS
    assert client.create("d\\a", create_disposition=1).status == NTStatus.OBJECT_PATH_NOT_FOUND
    for info_class in (4, 5, 6, 9, 18, 21, 22, 34):
        for one in (file_id, folder):
            reply = client.call(Command.QUERY_INFO, QueryInfoRequest(1, info_class, 4096, 0, 0, one).pack())
            assert reply.status != NTStatus.INTERNAL_ERROR
    listing = client.call(Command.QUERY_DIRECTORY, QueryDirectoryRequest(3, 0, 0, folder, 65536, "*").pack())
    assert listing.status != NTStatus.INTERNAL_ERROR
    new = "b".encode("utf-16-le")
    rename = bytes(16) + len(new).to_bytes(4, "little") + new
    assert client.call(Command.SET_INFO, SetInfoRequest(1, 10, 0, file_id, rename).pack()).status & 0xC0000000
    for one in (file_id, folder):
        client.call(Command.SET_INFO, SetInfoRequest(1, 13, 0, one, b"\1").pack())
        assert client.close(one).status == NTStatus.SUCCESS
    assert client.create("d", desired_access=1, **DIRECTORY).status == NTStatus.OBJECT_NAME_NOT_FOUND


def test_share_folder_vanished(pair: Pair) -> None:
    """Goal: a share whose folder is gone fails with a status, others work. Method: remove it before and after
    TREE_CONNECT."""
    (pair.root / "hidden").rmdir()
    client = pair.logged_on()
    assert client.try_tree("hidden").status == NTStatus.BAD_NETWORK_NAME
    client.connect_tree("guest")
    (pair.root / "guest").rmdir()
    assert client.create("new").status & 0xC0000000 == 0xC0000000
    client.connect_tree("share")
    client.open("a")


@pytest.mark.parametrize("target", ["/etc/passwd", "../../private/accounts.json", "../ro/x", "/", ".."])
def test_links_that_leave(pair: Pair, target: str) -> None:
    """Goal: nothing outside the share is reachable. Method: links to files and folders outside; open, overwrite, list,
    create through them, by all dispositions."""
    (pair.root / "ro" / "x").write_bytes(b"outside")
    (pair.root / "share" / "link").symlink_to(target)
    client = pair.logged_on()
    for name in ("link", "link\\new", "link\\passwd", "link\\..\\x"):
        for disposition in range(6):
            for options in (0, 1):
                reply = client.create(name, create_disposition=disposition, create_options=options)
                assert reply.status & 0xC0000000 == 0xC0000000 and reply.status != NTStatus.INTERNAL_ERROR, (
                    name,
                    disposition,
                )
    assert (pair.root / "ro" / "x").read_bytes() == b"outside"
    assert sorted(path.name for path in pair.root.iterdir()) == sorted(SHARES)


def test_fifo_socket_device(pair: Pair) -> None:
    """Goal: opening anything but a regular file neither hangs nor reads from a device. Method: a FIFO without a
    writer, a link to a device, a device node where one can be made; listing still works."""
    share = pair.root / "share"
    os.mkfifo(share / "fifo")
    if os.geteuid() == 0:
        try:
            os.mknod(share / "zero", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
        except PermissionError:
            pass
    client = pair.logged_on()
    for name in ("fifo", "zero"):
        for access in (0x00120089, 0x001F01FF):
            for disposition in (1, 3, 5):
                status = client.create(name, desired_access=access, create_disposition=disposition).status
                if name == "fifo" or (share / name).exists():
                    assert status & 0xC0000000 == 0xC0000000 and status != NTStatus.INTERNAL_ERROR, name
    root = client.open("", desired_access=0x00120089, **DIRECTORY)
    listing = client.call(Command.QUERY_DIRECTORY, QueryDirectoryRequest(3, 0, 0, root, 65536, "*").pack())
    assert listing.status == NTStatus.SUCCESS
