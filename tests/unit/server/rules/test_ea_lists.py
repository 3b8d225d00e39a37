"""Lists of extended attributes from clients: all are valid, or none is set."""

from __future__ import annotations

import pytest

from frevo.errors import SMBError
from frevo.server.rules.ea_lists import eas_to_set
from frevo.wire.erref import NTStatus
from frevo.wire.fscc import FullEa, pack_full_eas


def packed(*eas: tuple[bytes, bytes]) -> bytes:
    return pack_full_eas(FullEa(name, value) for name, value in eas)


def test_valid_lists() -> None:
    """Goal: a valid list comes back unchanged. Method: two attributes, one of them empty (to be removed)."""
    eas = eas_to_set(packed((b"ONE", b"value"), (b"a b.c", b"")))
    assert [(ea.name, ea.value) for ea in eas] == [(b"ONE", b"value"), (b"a b.c", b"")]


@pytest.mark.parametrize("name", [b"a:b", b"a/b", b"*", b"\x01", b"x" * 255])
def test_names(name: bytes) -> None:
    """Goal: one invalid name refuses the whole list. Method: a wrong one after a right one."""
    with pytest.raises(SMBError) as caught:
        eas_to_set(packed((b"ONE", b"1"), (name, b"2")))
    assert caught.value.status == NTStatus.INVALID_EA_NAME


@pytest.mark.parametrize("cut", [1, 7, 9])
def test_broken_chains(cut: int) -> None:
    """Goal: a chain that ends inside an attribute is EA_LIST_INCONSISTENT. Method: cut a valid one."""
    with pytest.raises(SMBError) as caught:
        eas_to_set(packed((b"ONE", b"value"))[:cut])
    assert caught.value.status == NTStatus.EA_LIST_INCONSISTENT
