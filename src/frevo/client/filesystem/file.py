"""An fsspec file on top of a `File`: read and written in blocks, given its name when it is committed."""

from __future__ import annotations

import atexit
import os
import threading
import uuid
import weakref
from typing import TYPE_CHECKING, Any

from fsspec.asyn import sync
from fsspec.spec import AbstractBufferedFile

from frevo.client.connection.plane import runs_here
from frevo.client.share.file import File

if TYPE_CHECKING:
    from frevo.client.filesystem.filesystem import FrevoFileSystem

#: Files that are being written: what is buffered is sent before the interpreter ends.
_unfinished: weakref.WeakValueDictionary[int, FrevoFile] = weakref.WeakValueDictionary()
#: The opens of all files: they must not be collected, which closes them, before or together with their FrevoFile.
_opens: dict[int, File] = {}


@atexit.register
def _finish() -> None:
    for file in list(_unfinished.values()):
        file.close()


class FrevoFile(AbstractBufferedFile):  # type: ignore[misc]
    """A buffered fsspec file on top of a `File`. Without autocommit it has another name until `commit`."""

    DEFAULT_BLOCK_SIZE = 4 << 20

    def __init__(
        self, fs: FrevoFileSystem, path: str, mode: str = "rb", block_size: Any = "default",
        autocommit: bool = True, *, size: int | None = None, **options: Any,
    ) -> None:  # fmt: skip
        if mode not in ("rb", "wb", "xb", "ab"):
            raise NotImplementedError(f"mode {mode!r}: one of rb, wb, xb, ab")
        self.fs, self.path, self.mode = fs, fs._strip_protocol(path), mode
        self._written_path = self.path
        self._committed = autocommit or mode == "ab"
        if not self._committed:
            self._written_path = f"{self.path}.{uuid.uuid4().hex}.part"
        self._file = self._reopened()
        known = self._file.opened.end_of_file if size is None and mode == "rb" else size
        super().__init__(fs, self.path, mode, block_size, autocommit, size=known, **options)
        self.loc = self._file.tell()
        (fs.readers if mode == "rb" else _unfinished)[id(self)] = self

    def _reopened(self) -> File:
        self._process = os.getpid()
        opened: File = sync(self.fs.loop, self.fs._open_file, self._written_path, self.mode)
        _opens[id(self)] = opened
        return opened

    def _fetch_range(self, start: int, end: int) -> bytes:
        if (
            self._file.closed or self._process != os.getpid()
        ):  # closed until it is read again, or in a forked child
            self._file = self._reopened()
        data: bytes = sync(self.fs.loop, self._file.pread, end - start, start)
        return data

    async def close_until_read(self) -> None:
        """Closes the `File` until this is read again, so that the file can be removed."""
        if self._process == os.getpid():
            await self._file.close()

    def _initiate_upload(self) -> None:
        self.offset = self._file.tell()

    def _upload_chunk(self, final: bool = False) -> bool:
        with self.buffer.getbuffer() as data:
            if len(data):
                sync(self.fs.loop, self._file.pwrite, data, self.offset or 0)
        return True

    def close(self) -> None:
        """Writes what is buffered and closes the open."""
        if self.closed or self._process != os.getpid():
            return
        try:
            super().close()
        finally:
            _unfinished.pop(id(self), None)
            _opens.pop(id(self), None)
            sync(self.fs.loop, self._file.close)

    def __del__(self) -> None:
        """Closes it, without waiting where that would never end: the loop's own thread may be collecting it."""
        if self.closed or self._process != os.getpid():
            return
        if self.mode == "rb":
            self._closed = True
            _opens.pop(id(self), None)
            self._file.close_later()
        elif not runs_here(self.fs.loop):
            self.close()
        else:
            threading.Thread(target=self.close, name="frevo-close").start()

    def commit(self) -> None:
        """Gives the file its name. FileExistsError for mode "xb" when it is taken by now."""
        if not self._committed:
            sync(self.fs.loop, self._commit)
            self._committed = True

    async def _commit(self) -> None:
        share, written = await self.fs._on(self._written_path)
        _, target = await self.fs._on(self.path)
        await share.rename(written, target, replace=self.mode != "xb")

    def discard(self) -> None:
        """Removes the uncommitted file."""
        if not self._committed:
            sync(self.fs.loop, self.fs._rm_file, self._written_path)
            self._committed = True
