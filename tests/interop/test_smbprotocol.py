"""smbprotocol, an independent Python client: opens, reads, lists, queries, notifications, locks."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from peers import transports
from peers.target import Serve, Target
from smbprotocol.change_notify import CompletionFilter, FileAction, FileSystemWatcher
from smbprotocol.connection import Connection, Dialects
from smbprotocol.exceptions import SMBResponseException
from smbprotocol.file_info import (
    FileFsFullSizeInformation,
    FileInformationClass,
    FileStandardInformation,
    InfoType,
)
from smbprotocol.open import (
    CreateDisposition,
    CreateOptions,
    DirectoryAccessMask,
    FileAttributes,
    FilePipePrinterAccessMask,
    ImpersonationLevel,
    LockFlags,
    Open,
    ShareAccess,
    SMB2LockElement,
    SMB2LockRequest,
    SMB2QueryInfoRequest,
    SMB2QueryInfoResponse,
)
from smbprotocol.session import Session
from smbprotocol.tree import TreeConnect

from frevo.wire.erref import NTStatus

pytestmark = pytest.mark.interop

READ_WRITE = (
    FilePipePrinterAccessMask.GENERIC_READ
    | FilePipePrinterAccessMask.GENERIC_WRITE
    | FilePipePrinterAccessMask.DELETE
)
FULL_SIZE = 7  # FileFsFullSizeInformation, [MS-FSCC] 2.5
SHARE_ALL = ShareAccess.FILE_SHARE_READ | ShareAccess.FILE_SHARE_WRITE | ShareAccess.FILE_SHARE_DELETE


@contextmanager
def refused(status: str) -> Iterator[None]:
    """The block must fail with this NTSTATUS."""
    with pytest.raises(SMBResponseException) as caught:
        yield
    assert caught.value.status == NTStatus[status]


class Client:
    """One connection, session and tree; open() gives a file of the share."""

    def __init__(
        self, target: Target, dialect: int | None = None, encrypt: bool = False, signing: bool = True
    ) -> None:
        self.connection = Connection(uuid.uuid4(), target.host, target.port, require_signing=signing)
        self.connection.connect(dialect=dialect, timeout=20)
        self.session = Session(self.connection, target.user, target.password, require_encryption=encrypt)
        self.session.connect()
        self.tree = TreeConnect(self.session, rf"\\{target.host}\share")
        self.tree.connect()

    def open(
        self,
        name: str,
        access: int = READ_WRITE,
        disposition: int = CreateDisposition.FILE_OPEN_IF,
        options: int = CreateOptions.FILE_NON_DIRECTORY_FILE,
        share: int = SHARE_ALL,
    ) -> Open:
        file = Open(self.tree, name)
        file.create(
            ImpersonationLevel.Impersonation,
            access,
            FileAttributes.FILE_ATTRIBUTE_NORMAL,
            share,
            disposition,
            options,
        )
        return file

    def folder(self, name: str) -> Open:
        access = DirectoryAccessMask.FILE_LIST_DIRECTORY | DirectoryAccessMask.SYNCHRONIZE
        return self.open(name, access, CreateDisposition.FILE_OPEN_IF, CreateOptions.FILE_DIRECTORY_FILE)

    def close(self) -> None:
        self.connection.disconnect(close=True)


@pytest.fixture
def client(server: Target) -> Iterator[Client]:
    """A connected client of the default server."""
    client = Client(server)
    yield client
    client.close()


@pytest.fixture
def name() -> str:
    """A file name that no other test uses."""
    return f"smbprotocol-{uuid.uuid4()}"


DIALECTS = {
    "2.0.2": Dialects.SMB_2_0_2,
    "2.1": Dialects.SMB_2_1_0,
    "3.0": Dialects.SMB_3_0_0,
    "3.0.2": Dialects.SMB_3_0_2,
    "3.1.1": Dialects.SMB_3_1_1,
}
SEALED = ("3.0", "3.0.2", "3.1.1")


@pytest.mark.parametrize(
    ("version", "encrypt"), [*((v, False) for v in DIALECTS), *((v, True) for v in SEALED)]
)
def test_dialects(server: Target, name: str, version: str, encrypt: bool) -> None:
    """Write and read back 300 KB with each dialect, encrypted where the dialect can."""
    dialect = DIALECTS[version]
    client = Client(server, dialect, encrypt)
    try:
        assert client.connection.dialect == dialect
        file = client.open(name)
        data = bytes(range(256)) * 1200
        for start in range(0, len(data), 60_000):
            file.write(data[start : start + 60_000], start)
        back = b"".join(file.read(start, 60_000) for start in range(0, len(data), 60_000))
        assert back == data
        file.close()
        assert (server.folder() / name).read_bytes() == data
    finally:
        client.close()


@pytest.mark.parametrize("signing", [True, False])
def test_reads_on_every_plane(any_plane: Target, name: str, signing: bool) -> None:
    """Reads at odd offsets and across the end give the same bytes on each engine and on the slow path."""
    if transports.over_quic() and not signing:
        pytest.skip("over TCP only: QUIC carries 3.1.1 alone")
    data = bytes(i * 7 % 251 for i in range(200_000))
    (any_plane.folder() / name).write_bytes(data)
    # 3.1.1 wants the tree connect signed ([MS-SMB2] 3.3.5.7), and this client then signs all or nothing.
    client = Client(any_plane, None if signing else Dialects.SMB_3_0_2, signing=signing)
    try:
        file = client.open(name)
        for offset, length in ((0, 1), (1, 4095), (4096, 65536), (65535, 65537), (199_000, 5000)):
            assert file.read(offset, length) == data[offset : offset + length]
        with refused("END_OF_FILE"):
            file.read(200_000, 10)
        file.write(b"changed", 100)
        assert file.read(98, 11) == data[98:100] + b"changed" + data[107:109]
        file.close()
    finally:
        client.close()


def test_create_and_delete(server: Target, client: Client, name: str) -> None:
    """FILE_CREATE refuses an existing file, FILE_OPEN a missing one; delete on close removes the file."""
    client.open(name, disposition=CreateDisposition.FILE_CREATE).close()
    with refused("OBJECT_NAME_COLLISION"):
        client.open(name, disposition=CreateDisposition.FILE_CREATE)
    with refused("OBJECT_NAME_NOT_FOUND"):
        client.open(name + "x", disposition=CreateDisposition.FILE_OPEN)
    options = CreateOptions.FILE_NON_DIRECTORY_FILE | CreateOptions.FILE_DELETE_ON_CLOSE
    client.open(name, options=options).close()
    assert not (server.folder() / name).exists()


def test_share_modes(server: Target, client: Client, name: str) -> None:
    """A second open is refused while the first shares nothing, and succeeds afterwards."""
    first = client.open(name, share=0)
    other = Client(server)
    try:
        with refused("SHARING_VIOLATION"):
            other.open(name)
        first.close()
        other.open(name).close()
    finally:
        other.close()


def test_list_folder(server: Target, client: Client, name: str) -> None:
    """QUERY_DIRECTORY in several rounds gives every name once; a pattern without a match says so."""
    folder = server.folder() / name
    folder.mkdir()
    for number in range(300):
        (folder / f"entry {number}").write_bytes(bytes(number))
    handle = client.folder(name)
    found: dict[str, int] = {}
    while True:
        try:
            entries = handle.query_directory(
                "*", FileInformationClass.FILE_ID_BOTH_DIRECTORY_INFORMATION, max_output=4096
            )
        except SMBResponseException as stop:
            assert stop.status == NTStatus.NO_MORE_FILES
            break
        for entry in entries:
            key = entry["file_name"].get_value().decode("utf-16-le")
            assert key not in found
            found[key] = entry["end_of_file"].get_value()
    assert found.pop(".") >= 0
    assert found.pop("..") >= 0
    assert found == {f"entry {number}": number for number in range(300)}
    other = client.folder(name)
    with refused("NO_SUCH_FILE"):
        other.query_directory("*.zip", FileInformationClass.FILE_NAMES_INFORMATION)
    other.close()
    handle.close()


def query(file: Open, kind: int, info_class: int, structure: object) -> object:
    """QUERY_INFO on *file*, parsed into *structure*."""
    request = SMB2QueryInfoRequest()
    request["info_type"] = kind
    request["file_info_class"] = info_class
    request["output_buffer_length"] = 1024
    request["file_id"] = file.file_id
    connection, session, tree = file.connection, file.tree_connect.session, file.tree_connect
    sent = connection.send(request, session.session_id, tree.tree_connect_id)
    response = SMB2QueryInfoResponse()
    response.unpack(connection.receive(sent)["data"].get_value())
    structure.unpack(response["buffer"].get_value())  # type: ignore[attr-defined]
    return structure


def test_query_info(client: Client, name: str) -> None:
    """File and volume information match what was written, with a sane block size."""
    file = client.open(name)
    file.write(bytes(12345), 0)
    info = query(
        file,
        InfoType.SMB2_0_INFO_FILE,
        FileInformationClass.FILE_STANDARD_INFORMATION,
        FileStandardInformation(),
    )
    assert info["end_of_file"].get_value() == 12345  # type: ignore[index]
    assert info["allocation_size"].get_value() >= 12345  # type: ignore[index]
    assert not info["directory"].get_value()  # type: ignore[index]
    size = query(file, InfoType.SMB2_0_INFO_FILESYSTEM, FULL_SIZE, FileFsFullSizeInformation())
    assert size["bytes_per_sector"].get_value() in (512, 1024, 2048, 4096)  # type: ignore[index]
    assert size["total_allocation_units"].get_value() > 0  # type: ignore[index]
    file.close()


def test_notify(server: Target, client: Client, name: str) -> None:
    """CHANGE_NOTIFY reports a file that another client makes and one that appears on disk."""
    (server.folder() / name).mkdir()
    handle = client.folder(name)
    for made_by in ("client", "disk"):
        watcher = FileSystemWatcher(handle)
        watcher.start(CompletionFilter.FILE_NOTIFY_CHANGE_FILE_NAME)
        if made_by == "disk":
            (server.folder() / name / made_by).touch()
        else:
            other = Client(server)
            other.open(rf"{name}\{made_by}").close()
            other.close()
        done = threading.Thread(target=watcher.wait, daemon=True)
        done.start()
        done.join(10)
        assert not done.is_alive(), f"no notification for the file made by {made_by}"
        actions = [(a["action"].get_value(), a["file_name"].get_value()) for a in watcher.result]
        assert (FileAction.FILE_ACTION_ADDED, made_by) in actions
    handle.close()


def lock(file: Open, flags: int, offset: int = 0, length: int = 10) -> None:
    """One byte-range lock or unlock."""
    element = SMB2LockElement()
    element["offset"] = offset
    element["length"] = length
    element["flags"] = flags
    request = SMB2LockRequest()
    request["lock_count"] = 1
    request["file_id"] = file.file_id
    request["locks"] = [element]
    connection, session, tree = file.connection, file.tree_connect.session, file.tree_connect
    connection.receive(connection.send(request, session.session_id, tree.tree_connect_id))


def test_locks_on_every_plane(any_plane: Target, name: str) -> None:
    """An exclusive lock blocks another open's lock, read and write, on the fast path too."""
    first, second = Client(any_plane), Client(any_plane)
    try:
        mine, theirs = first.open(name), second.open(name)
        mine.write(bytes(100), 0)
        assert theirs.read(0, 100) == bytes(100)
        exclusive = LockFlags.SMB2_LOCKFLAG_EXCLUSIVE_LOCK | LockFlags.SMB2_LOCKFLAG_FAIL_IMMEDIATELY
        lock(mine, exclusive)
        with refused("LOCK_NOT_GRANTED"):
            lock(theirs, exclusive)
        for action in (lambda: theirs.read(5, 20), lambda: theirs.write(b"x", 9)):
            with refused("FILE_LOCK_CONFLICT"):
                action()
        assert theirs.read(10, 20) == bytes(20)
        assert mine.read(0, 10) == bytes(10)
        lock(mine, LockFlags.SMB2_LOCKFLAG_UNLOCK)
        theirs.write(b"x", 9)
        assert mine.read(9, 1) == b"x"
        mine.close()
        theirs.close()
    finally:
        first.close()
        second.close()


def test_many_sessions(serve: Serve, name: str) -> None:
    """Twenty clients side by side each see their own file."""
    target = serve()
    clients = [Client(target) for _ in range(20)]
    files = [client.open(f"{name}-{i}") for i, client in enumerate(clients)]
    for i, file in enumerate(files):
        file.write(str(i).encode(), 0)
    for i, file in enumerate(files):
        assert file.read(0, 100) == str(i).encode()
        file.close()
    for client in clients:
        client.close()
