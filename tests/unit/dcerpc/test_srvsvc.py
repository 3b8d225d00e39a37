"""srvsvc responses, requested and decoded by impacket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from impacket.dcerpc.v5 import srvs
from impacket.dcerpc.v5.dtypes import NULL
from impacket.dcerpc.v5.rpcrt import DCERPCException

from frevo.dcerpc import ShareInfo

Connect = Callable[..., Any]


def text(value: Any) -> str:
    return str(value)[:-1]


def entries(answer: Any, level: int) -> list[Any]:
    return list(answer["InfoStruct"]["ShareInfo"][f"Level{level}"]["Buffer"])


@pytest.mark.parametrize("level", [0, 1, 2, 501, 502])
@pytest.mark.parametrize("piece_size", [1 << 16, 7])
def test_share_enum_levels(connect: Connect, level: int, piece_size: int) -> None:
    """Every level lists the browseable shares, in order, also when the request arrives in small pieces."""
    client = connect("srvsvc", srvs.MSRPC_UUID_SRVS, piece_size=piece_size)
    answer = srvs.hNetrShareEnum(client, level)
    found = entries(answer, level)
    assert [text(e[f"shi{level}_netname"]) for e in found] == ["share", "Grüße 世界", "IPC$"]
    assert answer["TotalEntries"] == 3
    if level != 0:
        assert [e[f"shi{level}_type"] for e in found] == [0, 0, 0x80000003]
        assert text(found[0][f"shi{level}_remark"]) == "A folder"
    if level in (2, 502):
        assert text(found[0][f"shi{level}_path"]) == "/srv/share"
        assert (found[0][f"shi{level}_max_uses"], found[0][f"shi{level}_current_uses"]) == (7, 2)
    if level == 502:
        assert b"".join(found[0]["shi502_security_descriptor"]) == b"\1SD"


def test_share_enum_hides_paths_from_plain_users(connect: Connect) -> None:
    """A caller who is not an administrator gets the list, but no path and no security descriptor."""
    client = connect("srvsvc", srvs.MSRPC_UUID_SRVS, is_admin=False)
    first = entries(srvs.hNetrShareEnum(client, 502), 502)[0]
    assert text(first["shi502_path"]) == ""
    assert first["shi502_reserved"] == 0


def test_share_enum_fragments(connect: Connect) -> None:
    """Ask for 500 shares: the response spans many fragments, which impacket joins to the whole list."""
    shares = tuple(ShareInfo(f"share{i}", comment="c" * 100) for i in range(500))
    client = connect("srvsvc", srvs.MSRPC_UUID_SRVS, shares=shares)
    found = entries(srvs.hNetrShareEnum(client, 1), 1)
    assert [text(e["shi1_netname"]) for e in found] == [share.name for share in shares]


def test_share_enum_resumes(connect: Connect) -> None:
    """A resume handle skips the entries before it."""
    client = connect("srvsvc", srvs.MSRPC_UUID_SRVS)
    answer = srvs.hNetrShareEnum(client, 1, resumeHandle=2)
    assert [text(e["shi1_netname"]) for e in entries(answer, 1)] == ["IPC$"]
    assert answer["ResumeHandle"] == 0


@pytest.mark.parametrize("level", [0, 1, 2, 501, 502, 1005])
def test_share_get_info(connect: Connect, level: int) -> None:
    """Each level describes one share; its name is found in any case, hidden or not."""
    client = connect("srvsvc", srvs.MSRPC_UUID_SRVS)
    for wanted, name in (("SHARE\0", "share"), ("hidden$\0", "hidden$")):
        info = srvs.hNetrShareGetInfo(client, wanted, level)["InfoStruct"][f"ShareInfo{level}"]
        if level != 1005:
            assert text(info[f"shi{level}_netname"]) == name


@pytest.mark.parametrize(("name", "level", "status"), [("nothing\0", 1, 2310), ("share\0", 77, 124)])
def test_share_get_info_refuses(connect: Connect, name: str, level: int, status: int) -> None:
    """An unknown share is NERR_NetNameNotFound, an unknown level ERROR_INVALID_LEVEL."""
    client = connect("srvsvc", srvs.MSRPC_UUID_SRVS)
    request = srvs.NetrShareGetInfo()
    request["ServerName"] = NULL
    request["NetName"] = name
    request["Level"] = level
    client.call(request.opnum, request)
    assert int.from_bytes(client.recv()[-4:], "little") == status


@pytest.mark.parametrize("level", [100, 101, 102])
def test_server_get_info(connect: Connect, level: int) -> None:
    """The three levels tell name, version and comment."""
    client = connect("srvsvc", srvs.MSRPC_UUID_SRVS)
    info = srvs.hNetrServerGetInfo(client, level)["InfoStruct"][f"ServerInfo{level}"]
    assert text(info[f"sv{level}_name"]) == "FREVO"
    assert info[f"sv{level}_platform_id"] == 500
    if level > 100:
        assert text(info[f"sv{level}_comment"]) == "frevo file server"
        assert (info[f"sv{level}_version_major"], info[f"sv{level}_version_minor"]) == (6, 1)


def test_server_get_info_102_is_for_administrators(connect: Connect) -> None:
    """ERROR_ACCESS_DENIED for a plain user."""
    client = connect("srvsvc", srvs.MSRPC_UUID_SRVS, is_admin=False)
    with pytest.raises(DCERPCException, match=r"(?i)access_denied"):
        srvs.hNetrServerGetInfo(client, 102)


def test_remote_tod(connect: Connect) -> None:
    """The given clock comes back as date and time: 133500000000000000 is 2024-01-17 21:20:00 UTC."""
    client = connect("srvsvc", srvs.MSRPC_UUID_SRVS)
    info = srvs.hNetrRemoteTOD(client)["BufferPtr"]
    date = (info["tod_year"], info["tod_month"], info["tod_day"], info["tod_weekday"])
    time = (info["tod_hours"], info["tod_mins"], info["tod_secs"])
    assert (date, time) == ((2024, 1, 17, 3), (21, 20, 0))


@pytest.mark.parametrize(
    ("call", "level"), [(srvs.hNetrSessionEnum, 10), (srvs.hNetrConnectionEnum, 1), (srvs.hNetrFileEnum, 3)]
)
def test_other_enums_are_empty_or_denied(connect: Connect, call: Callable[..., Any], level: int) -> None:
    """Sessions, connections and files: an empty list for an administrator, access denied for others."""
    arguments: tuple[Any, ...] = (
        ("share\0", level) if call is srvs.hNetrConnectionEnum else ("\0", "\0", level)
    )
    assert call(connect("srvsvc", srvs.MSRPC_UUID_SRVS), *arguments)["TotalEntries"] == 0
    with pytest.raises(DCERPCException, match=r"(?i)access_denied"):
        call(connect("srvsvc", srvs.MSRPC_UUID_SRVS, is_admin=False), *arguments)


def test_unknown_operation_is_a_range_error(connect: Connect) -> None:
    """Operation 200 faults with nca_s_op_rng_error, and the pipe still answers the next call."""
    client = connect("srvsvc", srvs.MSRPC_UUID_SRVS)
    client.call(200, b"")
    with pytest.raises(Exception, match="nca_s_op_rng_error"):
        client.recv()
    assert srvs.hNetrShareEnum(client, 0)["TotalEntries"] == 3
