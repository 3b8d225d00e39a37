"""The description of an RPC interface: operations by number with their arguments, and Win32 codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any

import msgspec

from frevo.dcerpc.context import RpcContext
from frevo.dcerpc.ndr import Arguments, NDRType, Struct, Unique, WideString
from frevo.dcerpc.pdu import Syntax

#: The in-arguments and out-arguments of a call by name.
Values = dict[str, Any]
Handler = Callable[[RpcContext, Values], Values]

STRING = Unique(WideString())
PLATFORM_ID_NT = 500  # [MS-SRVS] 2.2.2.6


class Win32(IntEnum):
    """Return codes of operations ([MS-ERREF] 2.2, NERR_* of [MS-SRVS] 2.2.2.8)."""

    SUCCESS = 0
    ACCESS_DENIED = 5
    INVALID_NAME = 123
    INVALID_LEVEL = 124
    NERR_NET_NAME_NOT_FOUND = 2310


class Operation(msgspec.Struct, frozen=True):
    """One method. The handler gets the in-arguments by name and returns the out-arguments."""

    name: str
    arguments_in: Arguments
    arguments_out: Arguments
    handler: Handler


class Interface(msgspec.Struct, frozen=True):
    """One service: the syntax that a client binds to, its pipe name, and its operations by number."""

    name: str
    syntax: Syntax
    operations: Mapping[int, Operation]


def fields(*named: tuple[str, NDRType]) -> Struct:
    """A structure of these fields."""
    return Struct(named)
