"""wkssvc responses, requested and decoded by impacket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from impacket.dcerpc.v5 import wkst
from impacket.dcerpc.v5.rpcrt import DCERPCException


@pytest.mark.parametrize("level", [100, 101, 102])
def test_workstation_get_info(connect: Callable[..., Any], level: int) -> None:
    """The three levels tell computer name, domain and version."""
    client = connect("wkssvc", wkst.MSRPC_UUID_WKST)
    info = wkst.hNetrWkstaGetInfo(client, level)["WkstaInfo"][f"WkstaInfo{level}"]
    assert str(info[f"wki{level}_computername"])[:-1] == "FREVO"
    assert str(info[f"wki{level}_langroup"])[:-1] == "GROUP"
    assert (info[f"wki{level}_ver_major"], info[f"wki{level}_ver_minor"]) == (6, 1)


def test_workstation_get_info_102_is_for_administrators(connect: Callable[..., Any]) -> None:
    """ERROR_ACCESS_DENIED for a plain user."""
    client = connect("wkssvc", wkst.MSRPC_UUID_WKST, is_admin=False)
    with pytest.raises(DCERPCException, match=r"(?i)access_denied"):
        wkst.hNetrWkstaGetInfo(client, 102)
