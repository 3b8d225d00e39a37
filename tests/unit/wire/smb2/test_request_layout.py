"""The offsets that are checked before a request is parsed agree with the structures themselves."""

from __future__ import annotations

import pytest
from vectors import load
from vectors.smb2_cases import FILE_ID

from frevo.errors import WireError
from frevo.wire.smb2 import Command, Header
from frevo.wire.smb2.request_layout import REQUEST_LAYOUTS

VECTORS = load("smb2")

#: Command to its vector and to the payload size of that vector: max of bytes sent and expected.
REQUESTS = {
    Command.NEGOTIATE: ("negotiate_request_311", 0),
    Command.SESSION_SETUP: ("session_setup_request", 0),
    Command.LOGOFF: ("logoff", 0),
    Command.TREE_CONNECT: ("tree_connect_request", 0),
    Command.TREE_DISCONNECT: ("logoff", 0),
    Command.CREATE: ("create_request", 0),
    Command.CLOSE: ("close_request", 0),
    Command.FLUSH: ("flush_request", 0),
    Command.READ: ("read_request", 65536),
    Command.WRITE: ("write_request", 5),
    Command.LOCK: ("lock_request", 0),
    Command.IOCTL: ("ioctl_request", 4096),
    Command.CANCEL: ("logoff", 0),
    Command.ECHO: ("logoff", 0),
    Command.QUERY_DIRECTORY: ("query_directory_request", 65536),
    Command.CHANGE_NOTIFY: ("change_notify_request", 2048),
    Command.QUERY_INFO: ("query_info_request", 4096),
    Command.SET_INFO: ("set_info_request", 8),
}


def test_every_command_has_a_row() -> None:
    """OPLOCK_BREAK checks itself, all the others are here: compare with the table."""
    assert set(REQUEST_LAYOUTS) == set(REQUESTS)


@pytest.mark.parametrize("command", REQUESTS, ids=lambda command: command.name)
def test_offsets(command: Command) -> None:
    """FileId and payload sizes are found where the vector has them; a cut or changed size is refused."""
    name, payload = REQUESTS[command]
    message = Header(command=command).pack() + VECTORS[name]
    layout = REQUEST_LAYOUTS[command]
    layout.check_structure_size(message)
    assert layout.payload_size(message) == payload
    if layout.file_id >= 0:
        assert layout.file_id_of(message) == FILE_ID
        with pytest.raises(WireError):
            layout.file_id_of(message[: layout.file_id + 15])
    for bad in (message[:65], message[:64] + b"\xff\xff" + message[66:]):
        with pytest.raises(WireError):
            layout.check_structure_size(bad)
