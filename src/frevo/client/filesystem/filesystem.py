"""An fsspec file system: `fsspec.filesystem("frevo", host=…, port=…, username=…, password=…)`, paths share/folder/file.

With it pandas, pyarrow, dask and zarr read and write a NAS.
"""

from __future__ import annotations

import datetime
import os
import weakref
from pathlib import Path
from typing import Any, ClassVar

from fsspec.asyn import AsyncFileSystem, get_loop, sync_wrapper
from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.utils import isfilelike, stringify_path

from frevo.client.address import SCHEMES, Location
from frevo.client.filesystem.file import FrevoFile
from frevo.client.filesystem.shares import Shares
from frevo.client.share.file import File
from frevo.client.share.share import Share
from frevo.client.to_the_end import in_thread
from frevo.client.transfer.small import SMALL_BYTES
from frevo.client.tree.stat import Stat
from frevo.transport.traits import CONFIGURABLE, TRANSPORTS

#: Bytes between two steps of a transfer; one such buffer a file.
_STEP_BYTES = 2 << 20
#: Files that are under way at a time.
_BATCH = 32


class FrevoFileSystem(AsyncFileSystem):  # type: ignore[misc]
    """Files on one SMB server. Other keyword arguments are those of `frevo.client.Options`.

    Nothing is cached: listings and attributes are always fresh. One instance may be used by any
    number of threads; a forked or spawned process connects by itself. With `asynchronous=True` the methods with an
    underscore are awaited on the caller's loop.
    """

    protocol: ClassVar[tuple[str, ...]] = ("frevo", *SCHEMES)
    root_marker: ClassVar[str] = ""
    cachable = True

    def __init__(
        self,
        host: str,
        port: int = 0,
        username: str | None = None,
        password: str | None = None,
        domain: str | None = None,
        auto_mkdir: bool = True,
        **options: Any,
    ) -> None:
        """*auto_mkdir*: writing a file creates its missing parent directories."""
        storage = {name: options.pop(name) for name in _FSSPEC_OPTIONS if name in options}
        super().__init__(host=host, port=port, **{"batch_size": _BATCH, **storage})
        self._process = os.getpid()
        self.host, self.port = host, int(port or 0)
        self.auto_mkdir = auto_mkdir
        who = {"user": username, "password": password, "domain": domain}
        #: The transport, when there is only one to choose from.
        self._transport = str(options.get("transports", ""))
        if self._transport not in CONFIGURABLE:
            self._transport = ""
        self._shares = Shares(f"smb://{self._authority}", {**who, **options})
        #: Files of this instance that are open for reading.
        self.readers: weakref.WeakValueDictionary[int, FrevoFile] = weakref.WeakValueDictionary()
        weakref.finalize(self, self._shares.close_soon).atexit = False

    @property
    def loop(self) -> Any:
        """The loop that the methods without an underscore wait for; a forked child has its own."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._loop = None if self.asynchronous else get_loop()
        return self._loop

    @property
    def fsid(self) -> str:
        """Equal for file systems that are the same server."""
        return f"frevo://{self._authority}"

    # -- paths

    @property
    def _authority(self) -> str:
        return Location(self.host, port=self.port).authority

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        text = stringify_path(path)
        for protocol in cls.protocol:
            if text.startswith(f"{protocol}://"):
                text = text.partition("://")[2].partition("/")[2]
                break
        return text.replace("\\", "/").strip("/")

    def unstrip_protocol(self, name: str) -> str:
        """The URL of a path, with its host: what `fsspec.open` takes anywhere."""
        scheme = TRANSPORTS[self._transport].scheme if self._transport else "frevo"
        return f"{scheme}://{self._authority}/{self._strip_protocol(name)}"

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, Any]:
        scheme, found, rest = path.partition("://")
        if not found or not scheme:
            return {}
        location = Location.parse(path if scheme in SCHEMES else f"smb://{rest}")
        known = {
            "host": location.host,
            "port": location.port,
            "username": location.user,
            "password": location.password,
            "domain": location.domain,
            "transports": location.transport,
        }
        return {name: value for name, value in known.items() if value}

    async def _on(self, path: str) -> tuple[Share, str]:
        """The share of *path* and the rest of it."""
        name, _, inner = self._strip_protocol(path).partition("/")
        if not name:
            raise PermissionError(f"{path!r} names no share: share/folder/file")
        return await self._shares.share(name), inner

    async def _close(self) -> None:
        await self._shares.close()

    #: Closes the connection; the next call makes a new one.
    close = sync_wrapper(_close)

    # -- what is there

    async def _ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """The entries of a directory, the shares for the root, or the file itself."""
        path = self._strip_protocol(path)
        found = await self._list(path) if path else await self._list_shares()
        return found if detail else sorted(one["name"] for one in found)

    async def _list_shares(self) -> list[dict[str, Any]]:
        shares = await (await self._shares.server()).shares()
        return [{"name": one.name, "size": 0, "type": "directory"} for one in shares if one.kind == "disk"]

    async def _list(self, path: str) -> list[dict[str, Any]]:
        share, inner = await self._on(path)
        try:
            return [_info(f"{path}/{entry.name}", entry.stat()) async for entry in share.scandir(inner)]
        except NotADirectoryError:
            return [await self._info(path)]

    async def _info(self, path: str, **_: Any) -> dict[str, Any]:
        """name, size, type, mtime, created, attributes and ino of one path."""
        path = self._strip_protocol(path)
        if not path:
            return {"name": "", "size": 0, "type": "directory"}
        share, inner = await self._on(path)
        return _info(path, await share.stat(inner))

    def created(self, path: str) -> datetime.datetime:
        """The creation time."""
        created: datetime.datetime = self.info(path)["created"]
        return created

    def modified(self, path: str) -> datetime.datetime:
        """The last write time."""
        modified: datetime.datetime = self.info(path)["mtime"]
        return modified

    # -- changes of names

    async def _mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        """A new directory."""
        share, inner = await self._on(path)
        if not inner:
            raise FileExistsError(path)
        await (share.makedirs if create_parents else share.mkdir)(inner)

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        """A new directory and those above it."""
        share, inner = await self._on(path)
        if inner:
            await share.makedirs(inner, exist_ok=exist_ok)
        elif not exist_ok:
            raise FileExistsError(path)

    async def _make_parent(self, share: Share, inner: str) -> bool:
        """Creates the missing parent directories of a new file; returns False if there are none."""
        parent = inner.rpartition("/")[0]
        if self.auto_mkdir and parent:
            await share.makedirs(parent, exist_ok=True)
            return True
        return False

    async def _rmdir(self, path: str) -> None:
        share, inner = await self._on(path)
        await share.rmdir(inner)

    #: Removes an empty directory.
    rmdir = sync_wrapper(_rmdir)

    async def _close_readers(self, path: str) -> None:
        """Closes what this instance still has open for reading at *path* or below it, so that it can be removed."""
        for reader in list(self.readers.values()):
            if f"{reader.path}/".startswith(f"{path}/"):
                await reader.close_until_read()

    async def _rm_file(self, path: str, **_: Any) -> None:
        """Removes a file."""
        path = self._strip_protocol(path)
        await self._close_readers(path)
        share, inner = await self._on(path)
        await share.remove(inner)

    async def _rm(
        self, path: Any, recursive: bool = False, batch_size: int | None = None, maxdepth: int | None = None,
        **_: Any,
    ) -> None:  # fmt: skip
        """Removes files, and directories with all that is in them when *recursive*."""
        whole = recursive and maxdepth is None
        found = await self._expand_path(path, recursive=recursive and not whole, maxdepth=maxdepth)
        for one in reversed(found):
            share, inner = await self._on(one)
            await self._close_readers(one)
            if not await self._isdir(one):
                await share.remove(inner)
            elif whole:
                await share.rmtree(inner)
            else:
                await share.rmdir(inner)

    async def _mv(
        self, path1: str, path2: str, recursive: bool = False, maxdepth: int | None = None, **_: Any
    ) -> None:
        """Renames within a share, copies and removes between shares."""
        source, inner1 = await self._on(path1)
        target, inner2 = await self._on(path2)
        if source is target and not await self._isdir(path2):
            await self._close_readers(self._strip_protocol(path2))
            await source.rename(inner1, inner2, replace=True)
        else:
            await self._copy(path1, path2, recursive=recursive, maxdepth=maxdepth)
            await self._rm(path1, recursive=recursive)

    mv = sync_wrapper(_mv)

    async def _touch(self, path: str, truncate: bool = True, **_: Any) -> None:
        await (await self._open_file(path, "wb" if truncate else "ab")).close()
        if not truncate:
            share, inner = await self._on(path)
            now = datetime.datetime.now(datetime.UTC)
            await share.set_times(inner, modified_ns=int(now.timestamp() * 1e9))

    #: An empty file; an existing one gets a new time when not *truncate*.
    touch = sync_wrapper(_touch)

    # -- whole files

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """The bytes of a file, or those from *start* to *end*; negative ones count from its end."""
        share, inner = await self._on(path)
        if not start and (end is None or 0 <= end <= SMALL_BYTES):
            data = await share.read_small(inner, SMALL_BYTES if end is None else end)
            if end is not None or len(data) < SMALL_BYTES:
                return data[:end]
        async with share.open(inner) as file:
            first, behind, _step = slice(start, end).indices(file.opened.end_of_file)
            return await file.pread(behind - first, first) if behind > first else b""

    async def _pipe_file(self, path: str, value: Any, mode: str = "overwrite", **_: Any) -> None:
        """Makes a file with these bytes; mode "create": only when the name is free."""
        share, inner = await self._on(path)
        with memoryview(value) as view:
            if mode == "overwrite" and view.nbytes <= SMALL_BYTES:
                await self._pipe_small(share, inner, bytes(view))
                return
            async with await self._open_file(path, "xb" if mode == "create" else "wb") as file:
                await file.write(view)

    async def _pipe_small(self, share: Share, inner: str, data: bytes) -> None:
        try:
            await share.write_small(inner, data)
        except FileNotFoundError:
            if not await self._make_parent(share, inner):
                raise
            await share.write_small(inner, data)

    async def _cp_file(self, path1: str, path2: str, **_: Any) -> None:
        """Copies on the server, through this machine only between shares."""
        source, inner1 = await self._on(path1)
        target, inner2 = await self._on(path2)
        if await self._isdir(path1):
            await self._makedirs(path2, exist_ok=True)
            return
        await self._make_parent(target, inner2)
        if source is target:
            await source.copy(inner1, inner2)
            return
        async with source.open(inner1) as read, target.open(inner2, "wb") as write:
            buffer = memoryview(bytearray(_STEP_BYTES))
            while count := await read.readinto(buffer):
                await write.write(buffer[:count])

    async def _put_file(
        self, lpath: str, rpath: str, mode: str = "overwrite", callback: Any = DEFAULT_CALLBACK, **_: Any
    ) -> None:
        """Uploads a file; *callback* gets the number of bytes."""
        if Path(lpath).is_dir():
            await self._makedirs(rpath, exist_ok=True)
            return
        with Path(lpath).open("rb", buffering=0) as local:
            size = os.fstat(local.fileno()).st_size
            callback.set_size(size)
            if size <= SMALL_BYTES:
                await self._pipe_file(rpath, local.read(), mode)
                callback.relative_update(size)
                return
            async with await self._open_file(rpath, "xb" if mode == "create" else "wb") as file:
                await file.copy_from(
                    local.fileno(), 0, size, local=lpath, progress=_CallbackProgress(callback)
                )

    async def _get_file(self, rpath: str, lpath: Any, callback: Any = DEFAULT_CALLBACK, **_: Any) -> None:
        """Downloads a file to a path or an open local file; *callback* gets the number of bytes."""
        if not isfilelike(lpath) and await self._isdir(rpath):
            Path(lpath).mkdir(parents=True, exist_ok=True)
            return
        share, inner = await self._on(rpath)
        async with share.open(inner) as file:  # before the local file is made: the remote one may not exist
            if isfilelike(lpath):
                await _copy_down(file, lpath, callback)
                return
            Path(lpath).parent.mkdir(parents=True, exist_ok=True)
            with Path(lpath).open("wb", buffering=0) as local:
                size = file.opened.end_of_file
                callback.set_size(size)
                await file.copy_to(local.fileno(), 0, size, local=lpath, progress=_CallbackProgress(callback))

    # -- open files

    async def _open_file(self, path: str, mode: str) -> File:
        """Opens a file; missing parent directories of a new one are created."""
        share, inner = await self._on(path)
        try:
            return await share.open(inner, mode)
        except FileNotFoundError:
            if mode == "rb" or not await self._make_parent(share, inner):
                raise
        return await share.open(inner, mode)

    def _open(
        self, path: str, mode: str = "rb", block_size: Any = None, autocommit: bool = True,
        cache_options: Any = None, **options: Any,
    ) -> FrevoFile:  # fmt: skip
        return FrevoFile(
            self, path, mode, block_size or "default", autocommit, cache_options=cache_options, **options
        )


_FSSPEC_OPTIONS = (
    *("use_listings_cache", "listings_expiry_time", "max_paths", "skip_instance_cache"),
    *("asynchronous", "loop", "batch_size"),
)


class _CallbackProgress:
    """Passes on to a callback of fsspec, which counts steps, how many bytes are done."""

    def __init__(self, callback: Any) -> None:
        self._callback = callback
        self._done = 0

    def __call__(self, done: int) -> None:
        self._callback.relative_update(done - self._done)
        self._done = done


async def _copy_down(file: File, local: Any, callback: Any) -> None:
    size = file.opened.end_of_file
    callback.set_size(size)
    buffer = memoryview(bytearray(max(1, min(size, _STEP_BYTES))))
    while count := await file.readinto(buffer):
        if count > SMALL_BYTES:
            await in_thread(local.write, buffer[:count])
        else:
            local.write(buffer[:count])
        callback.relative_update(count)


def _info(name: str, found: Stat) -> dict[str, Any]:
    kind = "directory" if found.is_dir() else ("link" if found.is_symlink() else "file")
    return {
        "name": name,
        "size": 0 if found.is_dir() else found.size,
        "type": kind,
        "mtime": _time(found.st_mtime),
        "created": _time(found.st_birthtime),
        "attributes": found.attributes,
        "ino": found.file_id,
    }


def _time(seconds: float) -> datetime.datetime:
    """The nearest time that Python can represent: a server may send any value."""
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        end = datetime.datetime.max if seconds > 0 else datetime.datetime.min
        return end.replace(tzinfo=datetime.UTC)
