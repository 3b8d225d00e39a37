"""A client that is told about changes, and how a test knows that it has been told of all so far."""

from __future__ import annotations

from pathlib import Path

from pair.client import Client

from frevo.wire.erref import NTStatus
from frevo.wire.fscc import parse_notifications
from frevo.wire.smb2 import ChangeNotifyRequest, ChangeNotifyResponse, Command, CreateOptions
from integration.differential import races

#: Names, attributes, size, last write, creation.
_WANTED = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x40


class Watcher:
    """Has asked for changes of a folder."""

    def __init__(self, client: Client, folder: Path) -> None:
        self.client = client
        self._mark = folder / "mark"
        self._file = client.open(folder.name, create_options=CreateOptions.DIRECTORY_FILE)
        self._asked = self._ask()
        while not client.answers(self._asked):  # the interim response: from now on, changes are kept for it
            pass

    def _ask(self) -> int:
        body = ChangeNotifyRequest(0, 60_000, self._file, _WANTED).pack()
        return self.client.send(Command.CHANGE_NOTIFY, body)

    def told(self) -> list[tuple[int, str]]:
        """The changes so far, each kind once: how often the kernel tells of one file's is a matter of time. They end
        with those of a file that a program beside the server makes and deletes."""
        self._mark.touch()
        self._mark.unlink()
        found: set[tuple[int, str]] = set()
        while (2, "mark") not in found:
            reply = self.client.wait(self._asked)
            self.client.replies.clear()
            self._asked = self._ask()
            assert reply.status == NTStatus.SUCCESS, reply.status.name
            changes = parse_notifications(ChangeNotifyResponse.parse(reply.message).buffer)
            found |= {(int(change[0]), change[1]) for change in changes}
        return sorted(one for one in found if one[1] not in (self._mark.name, races.NAME))
