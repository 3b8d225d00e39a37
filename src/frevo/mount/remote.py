"""The requests of a mount beyond `Share`: opens whose response has all metadata that Linux programs need.

Each is one round trip: a compound of CREATE, what is to be done, and often CLOSE ([MS-SMB2] 3.2.4.1.4).
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from frevo.client.address import join, wire_path
from frevo.client.connection.messages import Element
from frevo.client.errors import RemoteError, remote_error
from frevo.client.share.file import File
from frevo.client.share.listing import DirEntry
from frevo.client.share.share import Share
from frevo.client.transfer import server_copy
from frevo.client.tree import namespace, requests
from frevo.client.tree.stat import Stat, stat_of
from frevo.client.tree.tree import Tree
from frevo.errors import WireError
from frevo.wire.dtyp.access import FILE_GENERIC_READ, FILE_GENERIC_WRITE
from frevo.wire.dtyp.filetime import from_unix_ns
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import (
    FileAllInformation,
    FileAttributeTagInformation,
    FileBasicInformation,
    FileDispositionInformation,
    FileEndOfFileInformation,
    FileInfoClass,
    FileLinkInformation,
    FileRenameInformation,
    FsctlCode,
    ReparseDataBuffer,
    ReparseTag,
    SymbolicLinkReparseData,
)
from frevo.wire.smb2 import (
    ANY_FILE_ID,
    CloseRequest,
    CloseResponse,
    Command,
    CreateDisposition,
    CreateRequest,
    CreateResponse,
    FileAccess,
    FileAttributes,
    IoctlRequest,
    IoctlResponse,
    QueryInfoResponse,
)

_REPARSE = int(FileAttributes.REPARSE_POINT)
_READONLY = int(FileAttributes.READONLY)
_NORMAL = int(FileAttributes.NORMAL)
#: What a client may set of the attributes ([MS-FSCC] 2.6).
_SETTABLE = 0x31A7
_POSTQUERY = 1
_WITH_DATA = (NTStatus.SUCCESS, NTStatus.BUFFER_OVERFLOW)
_LINKS = (ReparseTag.SYMLINK, ReparseTag.LX_SYMLINK)
#: Beginning of the name of a file that was deleted while it is open, until it is closed.
UNLINKED_PREFIX = ".frevo-unlinked-"


class Remote:
    """The server's side of one mount. Errors are RemoteError, which is an OSError.

    A lost connection is made again, tried for as long as `Options.reconnect` says; what must not be done twice fails.
    """

    def __init__(self, share: Share) -> None:
        self.share = share

    # -- metadata

    async def stat(self, path: str) -> Stat:
        """The metadata of *path* itself. Reparse points that are not links look like the file they represent."""

        async def work(tree: Tree, path: str) -> Stat:
            found = await namespace.stat(tree, path, follow=False)
            return found if not found.attributes & _REPARSE else await _without_tag(tree, path, found)

        return await self.share.run(work, path)

    # -- opens

    async def open(self, path: str, flags: int) -> tuple[File, CreateResponse]:
        """Opens a file that exists, for the access and the O_TRUNC of *flags*."""

        async def work(tree: Tree, path: str) -> tuple[File, CreateResponse]:
            request = requests.opening(path, _access(flags), options=requests.NOT_DIRECTORY)
            if not flags & os.O_TRUNC:
                opened = await tree.create(request, path)
            else:
                cut = requests.set_file(FileInfoClass.END_OF_FILE, FileEndOfFileInformation(0).pack())
                opened, _ = await _opened_with(tree, request, path, cut)
                opened = replace(opened, end_of_file=0, allocation_size=0)
            return self.share.file(tree, path, _mode(flags), request, opened), opened

        return await self.share.run(work, path)

    async def create(self, path: str, flags: int, mode: int) -> tuple[File, Stat]:
        """Opens a file that may be new; O_EXCL: must be."""

        async def work(tree: Tree, path: str) -> tuple[File, Stat]:
            exclusive = flags & os.O_EXCL
            request = requests.opening(
                path,
                _access(flags),
                disposition=int(CreateDisposition.CREATE if exclusive else CreateDisposition.OPEN_IF),
                options=requests.NOT_DIRECTORY,
                attributes=_NORMAL if mode & 0o222 else _READONLY,
            )
            opened, reply = await _opened_with(tree, request, path, requests.query_file(FileInfoClass.ALL))
            file = self.share.file(tree, path, _mode(flags), request, opened)
            if flags & os.O_TRUNC and opened.end_of_file:
                await file.truncate(0)
                return file, await file.stat()
            return file, _all(reply)

        return await self.share.run(work, path, repeatable=not flags & os.O_EXCL)

    async def close(self, file: File) -> CloseResponse | None:
        """Closes *file*; returns the metadata in the response, if there is any."""
        if file.closed:
            return None
        body = CloseRequest(_POSTQUERY, file.take_file_id()).pack()
        reply = await file.tree.one(Element(Command.CLOSE, body), file.path)
        found = CloseResponse.parse(reply.message)
        return found if found.flags & _POSTQUERY else None

    async def mkdir(self, path: str) -> Stat:
        """A new directory."""

        async def work(tree: Tree, path: str) -> Stat:
            request = requests.opening(
                path,
                requests.READ_ATTRIBUTES,
                disposition=int(CreateDisposition.CREATE),
                options=requests.DIRECTORY,
            )
            _, (reply,) = await tree.with_open(request, path, requests.query_file(FileInfoClass.ALL))
            return _all(reply.message)

        return await self.share.run(work, path, repeatable=False)

    # -- changes

    async def truncate(self, path: str, size: int) -> None:
        """Changes the size of a file that is not open."""

        async def work(tree: Tree, path: str) -> None:
            access = int(FileAccess.WRITE_DATA | FileAccess.SYNCHRONIZE)
            request = requests.opening(path, access, options=requests.NOT_DIRECTORY)
            data = FileEndOfFileInformation(size).pack()
            await tree.with_open(request, path, requests.set_file(FileInfoClass.END_OF_FILE, data))

        await self.share.run(work, path)

    async def set_basic(
        self,
        path: str,
        file: File | None,
        attributes: int | None = None,
        accessed_ns: int | None = None,
        modified_ns: int | None = None,
    ) -> Stat:
        """Sets attributes and times, and what is known then; through *file* when it is open for writing, so that its
        close leaves them."""
        accessed, modified = (0 if ns is None else from_unix_ns(ns) for ns in (accessed_ns, modified_ns))
        wanted = 0 if attributes is None else (attributes & _SETTABLE or _NORMAL)
        data = FileBasicInformation(0, accessed, modified, 0, wanted).pack()
        if file is not None and not file.closed:
            change = requests.set_file(FileInfoClass.BASIC, data, file.file_id)
            replies = await file.tree.call([change, requests.query_file(FileInfoClass.ALL)])
            for reply in replies:
                if reply.status not in _WITH_DATA:
                    raise remote_error(reply.status, file.path)
            return _all(replies[1].message)

        async def work(tree: Tree, path: str) -> Stat:
            access = requests.WRITE_ATTRIBUTES | requests.READ_ATTRIBUTES
            request = requests.opening(path, access, options=requests.THE_LINK_ITSELF)
            change, query = (
                requests.set_file(FileInfoClass.BASIC, data),
                requests.query_file(FileInfoClass.ALL),
            )
            _, (_, reply) = await tree.with_open(request, path, change, query)
            return _all(reply.message)

        return await self.share.run(work, path)

    async def delete(self, path: str, *, directory: bool) -> None:
        """Removes a file or an empty directory; the read-only attribute does not protect it, as in Linux."""
        options = requests.DIRECTORY if directory else requests.NOT_DIRECTORY

        async def work(tree: Tree, path: str) -> None:
            await namespace.delete(tree, path, options)

        await self._despite_readonly(path, lambda: self.share.run(work, path, repeatable=False))

    async def unlink_open(self, path: str) -> None:
        """Removes a file that is open here: it gets a hidden name, and the server deletes it when it is closed."""

        async def work(tree: Tree, path: str) -> None:
            request = requests.opening(path, requests.DELETE, options=requests.THE_LINK_ITSELF)
            hidden = join(path.rpartition("/")[0], UNLINKED_PREFIX + secrets.token_hex(8))
            renamed = FileRenameInformation(False, 0, wire_path(hidden)).pack()
            deleted = FileDispositionInformation(True).pack()
            await tree.with_open(
                request,
                path,
                requests.set_file(FileInfoClass.RENAME, renamed),
                requests.set_file(FileInfoClass.DISPOSITION, deleted),
            )

        await self._despite_readonly(path, lambda: self.share.run(work, path, repeatable=False))

    async def _despite_readonly(self, path: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except RemoteError as error:
            if error.ntstatus not in (NTStatus.CANNOT_DELETE, NTStatus.ACCESS_DENIED):
                raise
            attributes = (await self.stat(path)).attributes
            if not attributes & _READONLY:
                raise
            await self.set_basic(path, None, attributes & ~_READONLY)
            await work()

    async def rename(self, source: str, target: str, *, replace: bool) -> None:
        """Renames within the share. Like rename(2), it replaces empty directories and read-only files."""
        full_target = self.share.full_path(target)

        async def work(tree: Tree, path: str) -> None:
            await namespace.rename(tree, path, full_target, replace=replace)

        try:
            await self.share.run(work, source, repeatable=False)
        except RemoteError as error:
            in_the_way = (NTStatus.ACCESS_DENIED, NTStatus.CANNOT_DELETE, NTStatus.OBJECT_NAME_COLLISION)
            if not replace or error.ntstatus not in in_the_way:
                raise
            if not await self._made_way(source, target):
                raise
            await self.share.run(work, source, repeatable=False)

    async def _made_way(self, source: str, target: str) -> bool:
        """Removes what a rename cannot replace on this server; returns whether there was anything."""
        try:
            there = await self.stat(target)
        except FileNotFoundError:
            return False
        moved = await self.stat(source)
        if there.file_id and there.file_id == moved.file_id:
            return False
        if there.is_dir() != moved.is_dir():
            number = errno.EISDIR if there.is_dir() else errno.ENOTDIR
            raise OSError(number, os.strerror(number), target)
        if there.is_dir() or there.attributes & _READONLY:
            await self.delete(target, directory=there.is_dir())
            return True
        return False

    # -- copies on the server

    async def copy_range(self, source: File, start: int, target: File, to: int, size: int) -> int:
        """Copies on the server itself; returns how many bytes, perhaps fewer than *size*. RemoteError if it cannot."""
        tree = target.tree
        key = await server_copy.resume_key(tree, source.file_id, source.path)
        return await server_copy.copy_part(tree, key, start, target.file_id, to, size, target.path)

    # -- links

    async def link(self, path: str, target: str) -> Stat:
        """Gives the file *path* the name *target*, too ([MS-FSCC] 2.4.28.2)."""
        data = FileLinkInformation(False, 0, wire_path(self.share.full_path(target))).pack()

        async def work(tree: Tree, path: str) -> Stat:
            request = requests.opening(
                path, requests.WRITE_ATTRIBUTES | requests.READ_ATTRIBUTES, options=requests.NOT_DIRECTORY
            )
            made = requests.set_file(FileInfoClass.LINK, data)
            _, (_, reply) = await tree.with_open(request, path, made, requests.query_file(FileInfoClass.ALL))
            return _all(reply.message)

        return await self.share.run(work, path, repeatable=False)

    async def readlink(self, path: str) -> str:
        """What a symbolic link points to, with slashes."""

        async def work(tree: Tree, path: str) -> bytes:
            request = requests.opening(path, requests.READ_ATTRIBUTES, options=requests.THE_LINK_ITSELF)
            body = IoctlRequest(int(FsctlCode.GET_REPARSE_POINT), ANY_FILE_ID, b"", 0, 16384).pack()
            _, (reply,) = await tree.with_open(request, path, Element(Command.IOCTL, body))
            return bytes(IoctlResponse.parse(reply.message).output_buffer)

        try:
            found = ReparseDataBuffer.parse(await self.share.run(work, path))
            if found.reparse_tag == ReparseTag.LX_SYMLINK:
                return os.fsdecode(found.data[4:])
            link = SymbolicLinkReparseData.parse(found.data)
        except WireError as error:
            raise OSError(errno.EIO, f"the server sent a malformed link: {error}", path) from None
        return (link.print_name or link.substitute_name).replace("\\", "/")

    async def symlink(self, path: str, target: str) -> Stat:
        """A symbolic link of the kind that Windows has; servers without reparse points refuse."""
        name = target.replace("/", "\\")
        data = SymbolicLinkReparseData(name, name, 0 if target.startswith("/") else 1).buffer()

        async def work(tree: Tree, path: str) -> Stat:
            access = requests.WRITE_ATTRIBUTES | requests.READ_ATTRIBUTES | int(FileAccess.DELETE)
            request = requests.opening(
                path,
                access,
                disposition=int(CreateDisposition.CREATE),
                options=requests.NOT_DIRECTORY | requests.THE_LINK_ITSELF,
            )
            opened = await tree.create(request, path)
            try:
                try:
                    await tree.ioctl(FsctlCode.SET_REPARSE_POINT, data, 0, opened.file_id, path)
                except RemoteError:
                    gone = FileDispositionInformation(True).pack()
                    await tree.one(requests.set_file(FileInfoClass.DISPOSITION, gone, opened.file_id))
                    raise OSError(errno.EOPNOTSUPP, "the server does not support symbolic links", path) from None
            finally:
                await tree.close(opened.file_id)
            return await namespace.stat(tree, path, follow=False)

        return await self.share.run(work, path, repeatable=False)


def _access(flags: int) -> int:
    kind = flags & os.O_ACCMODE
    access = int(FileAccess.READ_ATTRIBUTES)
    access |= FILE_GENERIC_READ if kind != os.O_WRONLY else 0
    access |= FILE_GENERIC_WRITE if kind != os.O_RDONLY else 0
    return access


def _mode(flags: int) -> str:
    """The mode of a `File`."""
    return {os.O_RDONLY: "rb", os.O_WRONLY: "wb"}.get(flags & os.O_ACCMODE, "r+b")


def _all(message: bytes | bytearray | memoryview) -> Stat:
    return stat_of(FileAllInformation.parse(QueryInfoResponse.parse(message).buffer))


async def _opened_with(
    tree: Tree, request: CreateRequest, path: str, second: Element
) -> tuple[CreateResponse, bytes | bytearray | memoryview]:
    """CREATE and *second* in one compound: the open, and the response to *second*."""
    create = Element(Command.CREATE, request.pack(), on_abandoned=tree.close_abandoned)
    made, done = await tree.call([create, second])
    if made.status != NTStatus.SUCCESS:
        raise remote_error(made.status, path)
    opened = CreateResponse.parse(made.message)
    if done.status not in _WITH_DATA:
        tree.close_later(opened.file_id)
        raise remote_error(done.status, path)
    return opened, done.message


async def _without_tag(tree: Tree, path: str, found: Stat) -> Stat:
    """*found*, which is a reparse point, as a link only if its tag is that of a link."""
    request = requests.opening(path, requests.READ_ATTRIBUTES, options=requests.THE_LINK_ITSELF)
    _, (reply,) = await tree.with_open(request, path, requests.query_file(FileInfoClass.ATTRIBUTE_TAG))
    data = QueryInfoResponse.parse(reply.message).buffer
    return as_seen(found, FileAttributeTagInformation.parse(data).reparse_tag)


def as_seen(found: Stat, tag: int) -> Stat:
    """*found* as a link only when *tag* is one; deduplicated files and files in a cloud are files."""
    if not found.attributes & _REPARSE or tag in _LINKS:
        return found
    return replace(found, attributes=found.attributes & ~_REPARSE)


def listed(entry: DirEntry) -> Stat:
    """The metadata of *entry* from a listing."""
    return as_seen(entry.stat(), entry.raw.reparse_tag or entry.raw.ea_size)
