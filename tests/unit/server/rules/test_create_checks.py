"""create_checks: mistakes in a CREATE, whatever its name leads to."""

from __future__ import annotations

from typing import Any

import pytest

from frevo.errors import SMBError
from frevo.server.rules.create_checks import check
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import CreateDisposition, CreateOptions, CreateRequest, FileAttributes

DIRECTORY, FILE = CreateOptions.DIRECTORY_FILE, CreateOptions.NON_DIRECTORY_FILE
INVALID = NTStatus.INVALID_PARAMETER


def asked(**fields: Any) -> CreateRequest:
    right: dict[str, Any] = {
        "name": "file",
        "desired_access": 0x1,
        "create_disposition": CreateDisposition.OPEN_IF,
    }
    return CreateRequest(**{**right, **fields})


def test_a_right_one_passes() -> None:
    """Goal: nothing valid is refused. Method: a plain CREATE, a directory, and one to be deleted."""
    check(asked())
    check(asked(create_options=int(DIRECTORY), create_disposition=CreateDisposition.CREATE))
    check(asked(create_options=int(CreateOptions.DELETE_ON_CLOSE), desired_access=0x10000))


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"impersonation_level": 4}, NTStatus.BAD_IMPERSONATION_LEVEL),
        ({"create_disposition": 6}, INVALID),
        ({"share_access": 8}, INVALID),
        ({"file_attributes": 0x8}, INVALID),
        ({"create_options": 0x01000000}, INVALID),
        ({"create_options": int(CreateOptions.OPEN_BY_FILE_ID)}, NTStatus.NOT_SUPPORTED),
        ({"create_options": int(DIRECTORY | FILE)}, INVALID),
        ({"create_options": int(DIRECTORY), "create_disposition": CreateDisposition.SUPERSEDE}, INVALID),
        ({"create_options": int(DIRECTORY), "file_attributes": int(FileAttributes.TEMPORARY)}, INVALID),
        ({"create_options": int(CreateOptions.DELETE_ON_CLOSE)}, NTStatus.ACCESS_DENIED),
        ({"desired_access": 0}, NTStatus.ACCESS_DENIED),
        ({"desired_access": 0x00200000}, NTStatus.ACCESS_DENIED),
        ({"name": "\\file"}, INVALID),
        ({"name": "file::$data", "create_options": int(DIRECTORY)}, NTStatus.NOT_A_DIRECTORY),
        ({"contexts": [(b"abc", b"")]}, INVALID),
        ({"contexts": [(b"ExtA", b"\1")]}, NTStatus.EA_LIST_INCONSISTENT),
    ],
)
def test_a_wrong_one_is_refused(fields: dict[str, Any], status: NTStatus) -> None:
    """Goal: each mistake has its status ([MS-SMB2] 3.3.5.9). Method: one wrong field in a valid CREATE."""
    with pytest.raises(SMBError) as caught:
        check(asked(**fields))
    assert caught.value.status == status
