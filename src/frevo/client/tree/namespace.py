"""Operations on a path: stat, mkdir, remove, rename, times, attributes, security, EAs, streams."""

from __future__ import annotations

from collections.abc import Mapping

from frevo.client.address import wire_path
from frevo.client.errors import remote_error
from frevo.client.tree import requests
from frevo.client.tree.stat import FileSystemSpace, Stat, stat_of
from frevo.client.tree.tree import Tree
from frevo.errors import WireError
from frevo.wire.dtyp import SecurityDescriptor
from frevo.wire.dtyp.filetime import from_unix_ns
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import (
    FileAllInformation,
    FileBasicInformation,
    FileDispositionInformation,
    FileFsFullSizeInformation,
    FileInfoClass,
    FileRenameInformation,
    FsctlCode,
    FsInfoClass,
    FullEa,
    StreamEntry,
    pack_full_eas,
    parse_full_eas,
    parse_streams,
)
from frevo.wire.smb2 import (
    CreateDisposition,
    FileAccess,
    QueryInfoResponse,
    SecurityInformation,
    SrvSnapshotArray,
)

OWNER_GROUP_DACL = int(SecurityInformation.OWNER | SecurityInformation.GROUP | SecurityInformation.DACL)
_NORMAL = 0x80
#: Some servers report sizes beyond 63 bits when there is no limit.
_BYTES_MAX = 2**63 - 1
_SNAPSHOTS_BYTES = 65536
#: Before the array: number, number returned, size.
_SNAPSHOTS_HEAD_BYTES = 12


def _data(message: bytes | bytearray | memoryview) -> bytes:
    return QueryInfoResponse.parse(message).buffer


async def stat(tree: Tree, path: str, *, follow: bool = True) -> Stat:
    """The metadata of *path*; of a link itself if not *follow*."""
    options = 0 if follow else requests.THE_LINK_ITSELF
    request = requests.opening(path, requests.READ_ATTRIBUTES, options=options)
    _, (reply,) = await tree.with_open(request, path, requests.query_file(FileInfoClass.ALL))
    return stat_of(FileAllInformation.parse(_data(reply.message)))


async def mkdir(tree: Tree, path: str) -> None:
    """A new directory."""
    request = requests.opening(
        path, requests.READ_ATTRIBUTES, disposition=int(CreateDisposition.CREATE), options=requests.DIRECTORY
    )
    await tree.with_open(request, path)


async def makedirs(tree: Tree, path: str, *, exist_ok: bool = False) -> None:
    """A new directory and those above it that are missing."""
    parts = wire_path(path).split("\\")
    for index in range(1, len(parts) + 1):
        try:
            await mkdir(tree, "/".join(parts[:index]))
        except FileExistsError:
            if index == len(parts) and not (exist_ok and (await stat(tree, path)).is_dir()):
                raise


async def delete(tree: Tree, path: str, options: int) -> None:
    """Removes the file or the empty directory *path*."""
    await tree.settled()
    request = requests.opening(path, requests.DELETE, options=options | requests.THE_LINK_ITSELF)
    disposition = requests.set_file(FileInfoClass.DISPOSITION, FileDispositionInformation(True).pack())
    await tree.with_open(request, path, disposition)


async def rename(tree: Tree, source: str, target: str, *, replace: bool = False) -> None:
    """Gives *source* the name *target* within the share."""
    await tree.settled()
    request = requests.opening(source, requests.DELETE, options=requests.THE_LINK_ITSELF)
    data = FileRenameInformation(replace, 0, wire_path(target)).pack()
    await tree.with_open(request, source, requests.set_file(FileInfoClass.RENAME, data))


async def set_basic(
    tree: Tree,
    path: str,
    *,
    attributes: int | None = None,
    created_ns: int | None = None,
    accessed_ns: int | None = None,
    modified_ns: int | None = None,
) -> None:
    """Sets attributes (0 clears them) and times (nanoseconds since 1970); None leaves a value as it is."""

    def filetime(value: int | None) -> int:
        return 0 if value is None else from_unix_ns(value)

    wanted = 0 if attributes is None else (attributes or _NORMAL)
    data = FileBasicInformation(
        filetime(created_ns), filetime(accessed_ns), filetime(modified_ns), 0, wanted
    ).pack()
    request = requests.opening(path, requests.WRITE_ATTRIBUTES)
    await tree.with_open(request, path, requests.set_file(FileInfoClass.BASIC, data))


async def statvfs(tree: Tree, path: str) -> FileSystemSpace:
    """The space on the file system that holds *path*."""
    request = requests.opening(path, requests.READ_ATTRIBUTES)
    query = requests.query_file_system(FsInfoClass.FULL_SIZE)
    _, (reply,) = await tree.with_open(request, path, query)
    found = FileFsFullSizeInformation.parse(_data(reply.message))
    unit = found.sectors_per_allocation_unit * found.bytes_per_sector

    def size(units: int) -> int:
        return min(max(0, units) * unit, _BYTES_MAX)

    return FileSystemSpace(
        size(found.total_allocation_units),
        size(found.actual_available_allocation_units),
        size(found.caller_available_allocation_units),
        unit,
    )


async def get_security(tree: Tree, path: str, what: int) -> SecurityDescriptor:
    """The security descriptor's parts *what*."""
    access = FileAccess.READ_CONTROL
    if what & SecurityInformation.SACL:
        access |= FileAccess.ACCESS_SYSTEM_SECURITY
    request = requests.opening(path, int(access))
    _, (reply,) = await tree.with_open(request, path, requests.query_security(what))
    return SecurityDescriptor.parse(_data(reply.message))


async def set_security(tree: Tree, path: str, descriptor: SecurityDescriptor, what: int) -> None:
    """Sets the security descriptor's parts *what*."""
    access = FileAccess.READ_CONTROL
    if what & (SecurityInformation.OWNER | SecurityInformation.GROUP):
        access |= FileAccess.WRITE_OWNER
    if what & SecurityInformation.DACL:
        access |= FileAccess.WRITE_DAC
    if what & SecurityInformation.SACL:
        access |= FileAccess.ACCESS_SYSTEM_SECURITY
    request = requests.opening(path, int(access))
    await tree.with_open(request, path, requests.set_security(what, descriptor.pack()))


async def get_eas(tree: Tree, path: str) -> dict[str, bytes]:
    """The extended attributes."""
    access = int(FileAccess.READ_EA | FileAccess.READ_ATTRIBUTES)
    request = requests.opening(path, access)
    none = (NTStatus.NO_EAS_ON_FILE, NTStatus.NO_MORE_EAS)
    _, (reply,) = await tree.with_open(request, path, requests.query_file(FileInfoClass.FULL_EA), allow=none)
    if reply.status in none:
        return {}
    if reply.status == NTStatus.BUFFER_OVERFLOW:
        raise remote_error(reply.status, path, "it has too many extended attributes for one response")
    return {ea.name.decode("latin-1"): ea.value for ea in parse_full_eas(_data(reply.message))}


async def set_eas(tree: Tree, path: str, values: Mapping[str, bytes]) -> None:
    """Sets these extended attributes; an empty value removes one."""
    eas = [FullEa(name.encode("latin-1"), bytes(value)) for name, value in values.items()]
    request = requests.opening(path, int(FileAccess.WRITE_EA))
    await tree.with_open(request, path, requests.set_file(FileInfoClass.FULL_EA, pack_full_eas(eas)))


async def streams(tree: Tree, path: str) -> list[StreamEntry]:
    """The data streams: the file's own (`::$DATA`) and the named ones (`:name:$DATA`)."""
    request = requests.opening(path, requests.READ_ATTRIBUTES)
    _, (reply,) = await tree.with_open(request, path, requests.query_file(FileInfoClass.STREAM))
    return parse_streams(_data(reply.message))


async def snapshots(tree: Tree, path: str) -> list[str]:
    """The snapshots that contain *path*, in the server's order ([MS-SMB2] 2.2.32.2)."""
    opened = await tree.create(requests.opening(path, requests.LIST), path)
    try:
        size = min(_SNAPSHOTS_BYTES, tree.max_transact)
        while True:
            answer = await tree.ioctl(FsctlCode.SRV_ENUMERATE_SNAPSHOTS, b"", size, opened.file_id, path)
            found = SrvSnapshotArray.parse(answer.output_buffer)
            needed = _SNAPSHOTS_HEAD_BYTES + (found.size or 0)
            if len(found.snapshots) >= found.number_of_snapshots or needed <= size:
                return found.snapshots
            if needed > tree.max_transact:
                raise WireError(f"a list of snapshots that needs {needed} bytes")
            size = needed
    finally:
        tree.close_later(opened.file_id)
