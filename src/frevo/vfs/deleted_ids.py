"""The ids of files that were removed a moment ago.

A file system gives a free inode number out again at once. The birth time in a file's id tells the new file from the old
one, but where the clock of the file system has not moved on, or it keeps no birth time, it does not: then `create`
makes the file once more while the first one still holds the number. [MS-FSCC] 2.1.9"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

_REMEMBERED_MAX: Final = 4096


class DeletedIds:
    """The last ids that went."""

    __slots__ = ("_ids",)

    def __init__(self) -> None:
        self._ids: OrderedDict[tuple[int, int], None] = OrderedDict()

    def add(self, device: int, file_id: int) -> None:
        """The last name of this file is gone."""
        self._ids[device, file_id] = None
        if len(self._ids) > _REMEMBERED_MAX:
            self._ids.popitem(last=False)

    def __contains__(self, key: tuple[int, int]) -> bool:
        """Whether a client may remember *key*, (device, id), as another file's."""
        return key in self._ids
