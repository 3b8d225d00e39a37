"""Operations on a path: which access they ask for, what they send, and what odd answers lead to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from unit.client.scripted import Answer, opened, queried, scripted

from frevo.client.errors import RemoteError
from frevo.client.tree import namespace, requests
from frevo.client.tree.tree import Tree
from frevo.errors import WireError
from frevo.wire.dtyp import SecurityDescriptor
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import (
    FileAllInformation,
    FileBasicInformation,
    FileDispositionInformation,
    FileFsFullSizeInformation,
    FileRenameInformation,
    FullEa,
    pack_full_eas,
    parse_full_eas,
)
from frevo.wire.smb2 import (
    Command,
    CreateDisposition,
    FileAccess,
    FileAttributes,
    IoctlResponse,
    SecurityInformation,
    SetInfoRequest,
    SrvSnapshotArray,
)


def server(query: bytes = b"", status: int = 0) -> Answer:
    """Every CREATE opens; a QUERY_INFO gets *query* with *status*."""

    def answer(command: Command, message: bytes) -> Any:
        if command == Command.CREATE:
            return opened()
        return (status, queried(query)) if command == Command.QUERY_INFO else 0

    return answer


def all_information(attributes: int = 0) -> bytes:
    made = FileAllInformation.parse(bytes(104))
    made.file_attributes, made.end_of_file = attributes, 12
    return made.pack()


async def test_stat() -> None:
    """One compound; a link is followed by the server unless the caller asks about the link itself."""
    tree, connection = scripted(server(all_information()))
    assert (await namespace.stat(tree, "a")).size == 12
    await namespace.stat(tree, "a", follow=False)
    assert [one.create_options for one in connection.creates()] == [0, requests.THE_LINK_ITSELF]


async def test_makedirs() -> None:
    """Every level is made, from the top; one that exists is no error unless it is the last."""
    made: list[str] = []

    def answer(command: Command, message: bytes) -> Any:
        if command != Command.CREATE:
            return (
                queried(all_information(int(FileAttributes.DIRECTORY)))
                if command == Command.QUERY_INFO
                else 0
            )
        request = connection.creates()[-1]
        if request.create_disposition != CreateDisposition.CREATE:
            return opened()
        if request.name in made:
            return int(NTStatus.OBJECT_NAME_COLLISION)
        made.append(request.name)
        return opened()

    tree, connection = scripted(answer)
    await namespace.makedirs(tree, "a/b/c")
    assert made == ["a", "a\\b", "a\\b\\c"]
    await namespace.makedirs(tree, "a/b/d")
    assert made[3:] == ["a\\b\\d"]
    with pytest.raises(FileExistsError):
        await namespace.makedirs(tree, "a/b/c")
    await namespace.makedirs(tree, "a/b/c", exist_ok=True)


async def test_a_file_where_a_directory_is_to_be() -> None:
    """exist_ok means an existing directory; a file of that name is an error."""

    def answer(command: Command, message: bytes) -> Any:
        if command == Command.QUERY_INFO:
            return queried(all_information())
        if (
            command == Command.CREATE
            and connection.creates()[-1].create_disposition == CreateDisposition.CREATE
        ):
            return int(NTStatus.OBJECT_NAME_COLLISION)
        return opened()

    tree, connection = scripted(answer)
    with pytest.raises(FileExistsError):
        await namespace.makedirs(tree, "a", exist_ok=True)


async def test_removing_and_renaming_wait_for_closes() -> None:
    """An open that is still being closed would be in the way; the link itself is removed or renamed."""
    tree, connection = scripted(server())
    await namespace.delete(tree, "a", requests.NOT_DIRECTORY)
    await namespace.rename(tree, "a", "dir/b", replace=True)
    assert connection.settled == 2
    delete, rename = connection.creates()
    assert delete.create_options == requests.NOT_DIRECTORY | requests.THE_LINK_ITSELF
    assert rename.create_options == requests.THE_LINK_ITSELF
    assert delete.desired_access & FileAccess.DELETE and rename.desired_access & FileAccess.DELETE
    sent = [
        SetInfoRequest.parse(message) for command, message in connection.sent if command == Command.SET_INFO
    ]
    assert FileDispositionInformation.parse(sent[0].buffer).delete_pending
    new = FileRenameInformation.parse(sent[1].buffer)
    assert (new.file_name, new.replace_if_exists) == ("dir\\b", True)


@pytest.mark.parametrize(
    ("arguments", "attributes", "time"),
    [
        ({"attributes": 0}, int(FileAttributes.NORMAL), 0),  # 0 on the wire would change nothing
        ({"attributes": 1}, 1, 0),
        ({"modified_ns": 0}, 0, 116444736000000000),
        ({}, 0, 0),
    ],
)
async def test_attributes_and_times(arguments: dict[str, int], attributes: int, time: int) -> None:
    """What is not given is 0, which leaves it as it is ([MS-FSCC] 2.4.7)."""
    tree, connection = scripted(server())
    await namespace.set_basic(tree, "a", **arguments)
    basic = FileBasicInformation.parse(SetInfoRequest.parse(connection.sent[1][1]).buffer)
    assert (basic.file_attributes, basic.last_write_time, basic.creation_time) == (attributes, time, 0)


async def test_space() -> None:
    """Allocation units become bytes; negative and impossible numbers are bounded."""
    unit = {"sectors_per_allocation_unit": 8, "bytes_per_sector": 512}
    data = FileFsFullSizeInformation(
        total_allocation_units=1 << 62, caller_available_allocation_units=-1, actual_available_allocation_units=3,
        **unit,
    )  # fmt: skip
    tree, _ = scripted(server(data.pack()))
    space = await namespace.statvfs(tree, "")
    assert (space.total, space.free, space.available, space.block_size) == (2**63 - 1, 3 * 4096, 0, 4096)


@pytest.mark.parametrize(
    ("work", "access"),
    [
        (lambda tree: namespace.get_security(tree, "a", namespace.OWNER_GROUP_DACL), FileAccess.READ_CONTROL),
        (
            lambda tree: namespace.get_security(tree, "a", int(SecurityInformation.SACL)),
            FileAccess.READ_CONTROL | FileAccess.ACCESS_SYSTEM_SECURITY,
        ),
        (
            lambda tree: namespace.set_security(
                tree, "a", SecurityDescriptor(), int(SecurityInformation.OWNER)
            ),
            FileAccess.READ_CONTROL | FileAccess.WRITE_OWNER,
        ),
        (
            lambda tree: namespace.set_security(
                tree, "a", SecurityDescriptor(), int(SecurityInformation.DACL)
            ),
            FileAccess.READ_CONTROL | FileAccess.WRITE_DAC,
        ),
        (
            lambda tree: namespace.set_security(
                tree, "a", SecurityDescriptor(), int(SecurityInformation.SACL)
            ),
            FileAccess.READ_CONTROL | FileAccess.ACCESS_SYSTEM_SECURITY,
        ),
    ],
)
async def test_access_for_security(work: Callable[[Tree], Awaitable[Any]], access: int) -> None:
    """Only what the parts need is asked for: a file whose SACL is not asked about needs no privilege."""
    tree, connection = scripted(server(SecurityDescriptor().pack()))
    await work(tree)
    assert connection.creates()[0].desired_access == int(access)


async def test_extended_attributes() -> None:
    """None at all is an empty dictionary; more than one answer can hold is an error, not a part of them."""
    eas = pack_full_eas([FullEa(b"user.one", b"1"), FullEa(b"user.two", b"22")])
    tree, connection = scripted(server(eas))
    assert await namespace.get_eas(tree, "a") == {"user.one": b"1", "user.two": b"22"}
    await namespace.set_eas(tree, "a", {"user.one": b""})
    (sent,) = parse_full_eas(SetInfoRequest.parse(connection.sent[-2][1]).buffer)
    assert (sent.name, sent.value) == (b"user.one", b"")
    for status in (NTStatus.NO_EAS_ON_FILE, NTStatus.NO_MORE_EAS):
        none, _ = scripted(server(b"", int(status)))
        assert await namespace.get_eas(none, "a") == {}
    many, _ = scripted(server(eas, int(NTStatus.BUFFER_OVERFLOW)))
    with pytest.raises(RemoteError, match="too many extended attributes"):
        await namespace.get_eas(many, "a")


async def test_snapshots() -> None:
    """A list that does not fit is asked for again with the size that the server names, once per size."""
    names = ["@GMT-2026.11.23-08.00.00", "@GMT-2026.11.22-08.00.00"]
    sizes: list[int] = []

    def answer(command: Command, message: bytes) -> Any:
        if command != Command.IOCTL:
            return opened()
        sizes.append(len(sizes))
        full = SrvSnapshotArray(2, names) if len(sizes) > 1 else SrvSnapshotArray(2, [], 100_000)
        return IoctlResponse(0, output_buffer=full.pack()).pack()

    tree, connection = scripted(answer)
    assert await namespace.snapshots(tree, "") == names
    assert len(sizes) == 2 and connection.closed == [(11, 22)]

    endless, connection = scripted(
        lambda command, message: (
            IoctlResponse(0, output_buffer=SrvSnapshotArray(2, [], 1 << 30).pack()).pack()
            if command == Command.IOCTL
            else opened()
        )
    )
    with pytest.raises(WireError, match="needs"):
        await namespace.snapshots(endless, "")
    assert connection.closed == [(11, 22)]
