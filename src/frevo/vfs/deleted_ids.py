"""The IDs of recently deleted files.

A file system may reuse an inode number immediately. Usually the birth time in the file ID tells the new file from the
old one, but not if the file system's clock has not advanced or it stores no birth time. Then `create` creates the file
again while the first one still holds the number. [MS-FSCC] 2.1.9
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

_REMEMBERED_MAX: Final = 4096


class DeletedIds:
    """The IDs deleted last."""

    __slots__ = ("_ids",)

    def __init__(self) -> None:
        self._ids: OrderedDict[tuple[int, int], None] = OrderedDict()

    def add(self, device: int, file_id: int) -> None:
        """The last name of this file was deleted."""
        self._ids[device, file_id] = None
        if len(self._ids) > _REMEMBERED_MAX:
            self._ids.popitem(last=False)

    def __contains__(self, key: tuple[int, int]) -> bool:
        """Whether clients may remember *key*, (device, ID), as a deleted file's."""
        return key in self._ids
