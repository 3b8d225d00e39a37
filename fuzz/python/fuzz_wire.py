"""Fuzz targets for the parsers of `frevo.wire`.

Invariant of each: for any bytes there is a result or WireError, and a result with `pack` can be packed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from vectors import load
from vectors.fscc_cases import LISTS, STRUCTURES
from vectors.hostile import parses_or_wire_error
from vectors.smb2_cases import ALIASES, BODIES, BUFFERS

from frevo.wire import dtyp, fscc, nbt, smb2

HEADER = smb2.Header().pack()
SMB2, FSCC, DTYP, NBT = load("smb2"), load("fscc"), load("dtyp"), load("nbt")

#: A target: the function to call with the input, and the initial inputs.
Target = tuple[Callable[[bytes], None], list[bytes]]


def _body(structure: type[Any], seed: bytes) -> Target:
    return lambda data: parses_or_wire_error(structure.parse, HEADER + data), [seed]


def _buffer(parse: Callable[[bytes], Any], *seeds: bytes) -> Target:
    return lambda data: parses_or_wire_error(parse, data), list(seeds)


def smb2_targets() -> dict[str, Target]:
    """One per message body, and one per structure inside of them."""
    targets = {f"smb2.{type(made).__name__}": _body(type(made), SMB2[name]) for name, made in BODIES.items()}
    for name, all_made in ALIASES.items():
        targets.update({f"smb2.{type(made).__name__}": _body(type(made), SMB2[name]) for made in all_made})
    targets.update(
        {
            f"smb2.{type(made).__name__}": _buffer(type(made).parse, SMB2[name])
            for name, made in BUFFERS.items()
        }
    )
    chain = smb2.pack_create_contexts([(b"MxAc", b""), (b"RqLs", SMB2["lease_v2"]), (b"AAPL", b"123")])
    compound = smb2.Header(next_command=72).pack() + bytes(8) + HEADER + SMB2["logoff"]
    interfaces = smb2.pack_network_interfaces([smb2.NetworkInterfaceInfo(1), smb2.NetworkInterfaceInfo(2)])
    contexts = smb2.pack_error_contexts([smb2.ErrorContext(0, b"abc"), smb2.ErrorContext(0, b"")])
    targets["smb2.create_contexts"] = _buffer(smb2.parse_create_contexts, chain)
    targets["smb2.split_compound"] = _buffer(smb2.split_compound, compound)
    targets["smb2.network_interfaces"] = _buffer(smb2.parse_network_interfaces, interfaces)
    targets["smb2.error_contexts"] = _buffer(lambda data: smb2.parse_error_contexts(data, 2), contexts)
    for typed in (
        smb2.PreauthIntegrityCapabilities([1], b"salt"),
        smb2.EncryptionCapabilities([1, 2]),
        smb2.CompressionCapabilities([1, 2]),
        smb2.NetnameNegotiateContextId("name"),
        smb2.TransportCapabilitiesContext(1),
        smb2.RDMATransformCapabilities([1]),
        smb2.SigningCapabilities([1, 2]),
    ):
        targets[f"smb2.{type(typed).__name__}"] = _buffer(type(typed).parse, typed.pack())
    return targets


def fscc_targets() -> dict[str, Target]:
    """One per structure, one per list; every directory class."""
    targets = {
        f"fscc.{type(made).__name__}": _buffer(type(made).parse, FSCC[name])
        for name, all_made in STRUCTURES.items()
        for made in all_made
    }
    targets.update({f"fscc.{name}": _buffer(parse, FSCC[name]) for name, (_, _, parse) in LISTS.items()})
    for info_class in fscc.DIRECTORY_CLASSES:
        packer = fscc.DirectoryPacker(info_class, 4096)
        packer.append(fscc.DirectoryEntry("a"))
        packer.append(fscc.DirectoryEntry("bc", short_name="B~1"))

        def parse(data: bytes, info_class: int = info_class) -> Any:
            return list(fscc.parse_directory(info_class, data))

        targets[f"fscc.directory_{info_class}"] = _buffer(parse, packer.finish())
    return targets


def other_targets() -> dict[str, Target]:
    """[MS-DTYP] and the NetBIOS session service."""
    return {
        "dtyp.SID": _buffer(dtyp.SID.parse, DTYP["sid"]),
        "dtyp.ACE": _buffer(dtyp.ACE.parse, DTYP["ace"], DTYP["ace_object"]),
        "dtyp.ACL": _buffer(dtyp.ACL.parse, DTYP["acl"]),
        "dtyp.SecurityDescriptor": _buffer(dtyp.SecurityDescriptor.parse, DTYP["security_descriptor"]),
        "nbt.SessionHeader": _buffer(nbt.SessionHeader.parse, NBT["session_message_head"]),
        "nbt.SessionRequest": _buffer(nbt.SessionRequest.parse, NBT["session_request"][4:]),
        "nbt.NegativeSessionResponse": _buffer(nbt.NegativeSessionResponse.parse, b"\x82"),
        "nbt.RetargetSessionResponse": _buffer(nbt.RetargetSessionResponse.parse, bytes(6)),
    }


TARGETS: dict[str, Target] = {**smb2_targets(), **fscc_targets(), **other_targets()}
