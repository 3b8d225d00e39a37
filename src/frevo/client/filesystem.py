"""An fsspec file system: `fsspec.filesystem("frevo", host=…, port=…, username=…, password=…)`, paths share/folder/file.

With it pandas, pyarrow, dask and zarr read and write a NAS.
"""

from __future__ import annotations

import datetime
import uuid
from typing import Any, ClassVar

from fsspec.spec import AbstractBufferedFile, AbstractFileSystem
from fsspec.utils import stringify_path

from frevo.client.address import Location
from frevo.client.blocking import BlockingFile, Face, connect_server
from frevo.client.stat import Stat


class FrevoFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """Files on one SMB server. Other keyword arguments are those of `frevo.client.Options`."""

    protocol: ClassVar[tuple[str, ...]] = ("frevo", "smb")
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
        storage = {name: options.pop(name) for name in _FSSPEC_OPTIONS if name in options}
        super().__init__(host=host, port=port, **storage)
        self.host, self.port = host, port or 0
        self._options = {"user": username, "password": password, "domain": domain, **options}
        #: Writing a file makes the directories above it that are missing.
        self.auto_mkdir = auto_mkdir
        self._server: Face | None = None
        self._shares: dict[str, Face] = {}

    # -- paths

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

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, Any]:
        scheme, found, rest = path.partition("://")
        if not found or not scheme:
            return {}
        place = Location.parse(f"smb://{rest}")
        known = {
            "host": place.host,
            "port": place.port,
            "username": place.user,
            "password": place.password,
            "domain": place.domain,
        }
        return {name: value for name, value in known.items() if value}

    def _on(self, path: str) -> tuple[Face, str]:
        """The share of *path* and the rest of it; connected, again after a lost connection."""
        name, _, inner = self._strip_protocol(path).partition("/")
        if not name:
            raise PermissionError(f"{path!r} names no share: share/folder/file")
        server = self._connected()
        share = self._shares.get(name)
        if share is None:
            share = self._shares[name] = server.share(name)
        return share, inner

    def _connected(self) -> Face:
        if self._server is None or self._server.inner.connection.lost:
            host = f"[{self.host}]" if ":" in self.host else self.host
            self._shares.clear()
            self._server = connect_server(f"smb://{host}:{self.port}" if self.port else f"smb://{host}",
                                          **self._options)  # fmt: skip
        return self._server

    def close(self) -> None:
        """Closes the connection; the next call makes a new one."""
        if self._server is not None:
            server, self._server = self._server, None
            self._shares.clear()
            server.close()

    # -- what is there

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """The entries of a directory, the shares for the root, or the file itself."""
        path = self._strip_protocol(path)
        if not path:
            found = [
                {"name": one.name, "size": 0, "type": "directory"}
                for one in self._connected().shares()
                if one.kind == "disk"
            ]
        else:
            found = self._list(path)
        return found if detail else sorted(one["name"] for one in found)

    def _list(self, path: str) -> list[dict[str, Any]]:
        share, inner = self._on(path)
        try:
            return [_info(f"{path}/{entry.name}", entry.stat()) for entry in share.scandir(inner)]
        except NotADirectoryError:
            return [self.info(path)]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """name, size, type, mtime, created and more of one path."""
        path = self._strip_protocol(path)
        if not path:
            return {"name": "", "size": 0, "type": "directory"}
        share, inner = self._on(path)
        return _info(path, share.stat(inner))

    def created(self, path: str) -> datetime.datetime:
        """When it was made."""
        created: datetime.datetime = self.info(path)["created"]
        return created

    def modified(self, path: str) -> datetime.datetime:
        """When it was last written."""
        modified: datetime.datetime = self.info(path)["mtime"]
        return modified

    # -- changes

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        """A new directory."""
        share, inner = self._on(path)
        if not inner:
            raise FileExistsError(path)
        (share.makedirs if create_parents else share.mkdir)(inner)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """A new directory and those above it."""
        share, inner = self._on(path)
        if inner:
            share.makedirs(inner, exist_ok=exist_ok)
        elif not exist_ok:
            raise FileExistsError(path)

    def rmdir(self, path: str) -> None:
        """Removes an empty directory."""
        share, inner = self._on(path)
        share.rmdir(inner)

    def _rm(self, path: str) -> None:
        share, inner = self._on(path)
        share.remove(inner)

    def rm_file(self, path: str) -> None:
        """Removes a file."""
        self._rm(path)

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Removes files, and directories with all that is in them when *recursive*."""
        for one in reversed(self.expand_path(path, recursive=recursive, maxdepth=maxdepth)):
            if self.isdir(one):
                self.rmdir(one)
            else:
                self._rm(one)

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        """Copies on the server, through this machine only between shares."""
        source, inner1 = self._on(path1)
        target, inner2 = self._on(path2)
        if self.isdir(path1):
            self.makedirs(path2, exist_ok=True)
            return
        parent = self._parent(path2)
        if "/" in parent:
            self.makedirs(parent, exist_ok=True)
        if source is target:
            source.copy(inner1, inner2)
        else:
            target.write_bytes(inner2, source.read_bytes(inner1))

    def mv(
        self, path1: str, path2: str, recursive: bool = False, maxdepth: int | None = None, **_: Any
    ) -> None:
        """Renames within a share, copies and removes between shares."""
        source, inner1 = self._on(path1)
        target, inner2 = self._on(path2)
        if source is target and not self.isdir(path2):
            source.rename(inner1, inner2, replace=True)
        else:
            self.copy(path1, path2, recursive=recursive, maxdepth=maxdepth)
            self.rm(path1, recursive=recursive)

    def touch(self, path: str, truncate: bool = True, **_: Any) -> None:
        """An empty file; an existing one gets a new time when not *truncate*."""
        share, inner = self._on(path)
        self._opened(path, "wb" if truncate else "ab").close()
        if not truncate:
            now = datetime.datetime.now(datetime.UTC)
            share.set_times(inner, modified_ns=int(now.timestamp() * 1e9))

    # -- files

    def _opened(self, path: str, mode: str) -> BlockingFile:
        """The open of a file; the directories above a new one are made when they are missing."""
        share, inner = self._on(path)
        try:
            opened: BlockingFile = share.open(inner, mode)
        except FileNotFoundError:
            parent = inner.rpartition("/")[0]
            if mode == "rb" or not self.auto_mkdir or not parent:
                raise
            share.makedirs(parent, exist_ok=True)
            opened = share.open(inner, mode)
        return opened

    def _open(
        self, path: str, mode: str = "rb", block_size: Any = None, autocommit: bool = True,
        cache_options: Any = None, **options: Any,
    ) -> FrevoFile:  # fmt: skip
        size = block_size or FrevoFile.DEFAULT_BLOCK_SIZE
        return FrevoFile(self, path, mode, size, autocommit, cache_options=cache_options, **options)


_FSSPEC_OPTIONS = (
    *("use_listings_cache", "listings_expiry_time", "max_paths", "skip_instance_cache"),
    *("asynchronous", "loop"),
)


def _info(name: str, found: Stat) -> dict[str, Any]:
    kind = "directory" if found.is_dir() else ("link" if found.is_symlink() else "file")
    return {
        "name": name,
        "size": 0 if found.is_dir() else found.size,
        "type": kind,
        "mtime": datetime.datetime.fromtimestamp(found.st_mtime, datetime.UTC),
        "created": datetime.datetime.fromtimestamp(found.st_birthtime, datetime.UTC),
        "attributes": found.attributes,
        "ino": found.file_id,
    }


class FrevoFile(AbstractBufferedFile):  # type: ignore[misc]
    """A buffered file of fsspec over an open of ours. Without autocommit it has another name until `commit`."""

    DEFAULT_BLOCK_SIZE = 4 << 20

    def __init__(self, fs: FrevoFileSystem, path: str, mode: str, *arguments: Any, **options: Any) -> None:
        self._share, inner = fs._on(path)
        self._inner = inner
        self._committed = True
        self._target = inner
        autocommit = arguments[1] if len(arguments) > 1 else True
        if not autocommit and mode in ("wb", "xb"):
            self._inner, self._committed = f"{inner}.{uuid.uuid4().hex}.part", False
        self._file = fs._opened(f"{self._share.name}/{self._inner}", mode)
        super().__init__(fs, path, mode, *arguments, **options)

    def _fetch_range(self, start: int, end: int) -> bytes:
        return self._file.pread(end - start, start)

    def _initiate_upload(self) -> None:
        self.offset = self._file.tell()

    def _upload_chunk(self, final: bool = False) -> bool:
        data = self.buffer.getvalue()
        if data:
            self._file.pwrite(data, self.offset or 0)
        return True

    def close(self) -> None:
        """Writes what is buffered and closes the open."""
        if not self.closed:
            try:
                super().close()
            finally:
                self._file.close()

    def commit(self) -> None:
        """Gives the file its name."""
        if not self._committed:
            self._share.rename(self._inner, self._target, replace=True)
            self._committed = True

    def discard(self) -> None:
        """Throws the file away."""
        if not self._committed:
            self._share.remove(self._inner)
            self._committed = True
