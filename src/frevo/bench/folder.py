"""The directory in which a bench creates its files; removed afterwards if empty."""

from __future__ import annotations

import contextlib

from frevo.bench.links import Link
from frevo.client import RemoteError
from frevo.client.connection.messages import FileId
from frevo.client.tree import requests
from frevo.client.tree.namespace import delete
from frevo.wire.smb2 import CreateDisposition, ShareAccess


class Folder:
    """`bench_<workload>_dir` in one share, named as in smbtorture. It cannot be deleted while it is open."""

    def __init__(self, link: Link, name: str) -> None:
        self._link = link
        self.path = link.path(name)
        self._held: FileId | None = None

    async def make(self) -> None:
        """Create it, or open the existing one."""
        share = int(ShareAccess.READ | ShareAccess.WRITE)
        request = requests.opening(
            self.path,
            requests.LIST,
            disposition=int(CreateDisposition.OPEN_IF),
            options=requests.DIRECTORY,
            share_access=share,
        )
        tree = self._link.files.tree
        try:
            self._held = (await tree.create(request, self.path)).file_id
        except PermissionError as error:
            assert isinstance(error, RemoteError)
            text = f"{error.strerror}; the bench creates its own files: use a folder where the user can write"
            error.strerror = text
            raise

    async def remove(self) -> None:
        """Remove it if it is empty; ignores errors."""
        if self._held is None:
            return
        tree, held = self._link.files.tree, self._held
        self._held = None
        with contextlib.suppress(OSError):
            await tree.close(held)
            await delete(tree, self.path, requests.DIRECTORY)
