"""Constants of both planes are defined once, in Rust; where a second definition is unavoidable, the two agree."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import frevo
from frevo import _native
from frevo.config import Config
from frevo.config.global_keys import GlobalConfig
from frevo.server.run import limits_of
from frevo.transport.base import DEFAULT_LIMITS, descriptor_shares
from frevo.transport.traits import TRANSPORTS
from frevo.wire.erref import NTStatus
from frevo.wire.smb2 import (
    COMPRESSION_PROTOCOL_ID,
    CREDIT_BYTES,
    PROTOCOL_ID,
    SMB1_PROTOCOL_ID,
    TRANSFORM_PROTOCOL_ID,
    Command,
    HeaderFlags,
)

SOURCE = Path(frevo.__file__).parent
CRATE = SOURCE.parent.parent / "crates" / "frevo-dataplane" / "src"
#: The numbers of `_native`: nobody gives them another value.
NUMBERS = {name for name, value in vars(_native).items() if name.isupper() and isinstance(value, int)}
#: Limits of the data plane that no key of smb.conf sets, or that follow from several.
DERIVED = {"idle_timeout"}


def stub() -> ast.Module:
    return ast.parse((SOURCE / "_native.pyi").read_text())


def defined(tree: ast.Module) -> set[str]:
    """The public names that the statements of a module define."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def has_number(node: ast.Assign | ast.AnnAssign) -> bool:
    """Whether the value is a number, or several."""
    values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
    return any(isinstance(value, ast.Constant) and isinstance(value.value, int) for value in values)


def test_python_defines_none_of_the_numbers_again() -> None:
    """Event numbers, flags and pseudo-statuses come from `_native` wherever they are used."""
    assert {"ACCEPTED", "CREDITS", "ENCRYPTED", "ENCRYPT", "CLOSE_AFTER", "SHORT_READ"} <= NUMBERS
    again = []
    for path in SOURCE.rglob("*.py"):
        targets = [
            name
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.Assign | ast.AnnAssign) and has_number(node)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            for name in ast.walk(target)
        ]
        again += [
            f"{path.relative_to(SOURCE)}:{name.lineno} {name.id}"
            for name in targets
            if isinstance(name, ast.Name) and name.id in NUMBERS
        ]
    assert again == []


def test_events_have_different_numbers() -> None:
    """Two events with one number would be confused; so would the bits of one set of flags."""
    events = [
        getattr(_native, name) for name in ("ACCEPTED", "MESSAGE", "CLOSED", "REJECTED", "IDLE", "PUMP")
    ]
    assert len({*events, _native.CREDITS}) == 7
    assert _native.ENCRYPT & _native.CLOSE_AFTER == 0
    codes = [value for name, value in vars(_native.RingOperation).items() if name.isupper()]
    assert len(codes) == len(set(codes)) == 14


def test_the_stub_names_what_is_there() -> None:
    """`_native.pyi` has every public name of the module, and no other but the types that it needs itself."""
    there = {name for name in vars(_native) if not name.startswith("_")}
    types = {"Limits"}
    assert {name for name in defined(stub()) if not name.startswith("_")} - types == there


def test_limits_without_a_configuration_are_the_configurations() -> None:
    """A data plane without limits and a server without smb.conf have the same limits."""
    given = limits_of(Config())
    assert {name: given[name] for name in given if name not in DERIVED} == {
        name: DEFAULT_LIMITS[name] for name in given if name not in DERIVED
    }


def test_every_limit_can_be_given_back() -> None:
    """The defaults are what `limits` accepts, by name; an unknown name is an error."""
    _native.Core(limits=DEFAULT_LIMITS)
    with pytest.raises(TypeError, match="max_conections"):
        _native.Core(limits={"max_conections": 1})  # type: ignore[typeddict-unknown-key]
    with pytest.raises(ValueError, match="negative"):
        _native.Core(limits={"idle_timeout": -1.0})


def test_descriptors_are_shared_out_whole() -> None:
    """A quarter is for connections, the rest for files; no smaller process can hold the default number of
    connections."""
    connections, files = descriptor_shares()
    assert connections * 3 <= files <= connections * 3 + 3
    assert GlobalConfig().frevo_max_connections == DEFAULT_LIMITS["max_connections"]


def constants(file: str, module: str = "") -> dict[str, int]:
    """The `pub const NAME: number = value;` of a Rust file, or of one `pub mod` in it."""
    text = (CRATE / file).read_text()
    if module:
        text = re.search(rf"pub mod {module} \{{(.*?)\n\}}", text, re.DOTALL)[1]  # type: ignore[index]
    found = re.findall(
        r"^ *pub const (\w+): (?:u16|u32|usize) = (0x[0-9A-Fa-f_]+|\d[\d_]*);", text, re.MULTILINE
    )
    return {name: int(value.replace("_", ""), 0) for name, value in found}


def test_rust_and_python_have_the_same_commands_and_flags() -> None:
    """Rust repeats a few of the specification's numbers: they are the same."""
    commands = constants("wire/mod.rs", "command")
    assert len(commands) >= 7
    assert {name: int(Command[name]) for name in commands} == commands
    flags = constants("wire/mod.rs", "flags")
    assert len(flags) >= 6
    assert {name: int(HeaderFlags[name]) for name in flags} == flags
    numbers = constants("wire/mod.rs")
    statuses = {name for name in numbers if name.startswith("STATUS_")}
    assert len(statuses) >= 3
    assert {name: int(NTStatus[name.removeprefix("STATUS_")]) for name in statuses} == {
        name: numbers[name] for name in statuses
    }


def test_rust_and_python_have_the_same_sizes_and_protocol_ids() -> None:
    """What a credit pays for, the first bytes of each kind of message. Rust's headers are compared with the vectors of
    Python's tests (wire/vectors.rs)."""
    numbers = constants("wire/mod.rs")
    assert numbers["CREDIT_BYTES"] == CREDIT_BYTES
    ids = re.findall(
        r"pub const PROTOCOL_(\w+): \[u8; 4\] = \[0x(\w\w), b'S', b'M', b'B'\];",
        (CRATE / "wire" / "mod.rs").read_text(),
    )
    assert {name: bytes((int(first, 16),)) + b"SMB" for name, first in ids} == {
        "SMB2": PROTOCOL_ID,
        "SMB1": SMB1_PROTOCOL_ID,
        "TRANSFORM": TRANSFORM_PROTOCOL_ID,
        "COMPRESSION": COMPRESSION_PROTOCOL_ID,
    }


def test_rust_and_python_have_the_same_framings() -> None:
    """Every framing of the table of transports is one of Rust's and the other way round, with the same longest
    message; SMB Direct has none."""
    text = (CRATE / "framing.rs").read_text()
    names = dict(re.findall(r'"(\w+)" => Some\(Framing::(\w+)\)', text))
    longest = {name: int(size, 16) for name, size in re.findall(r"Framing::(\w+) => (0x[0-9A-F_]+),", text)}
    assert {name: longest[kind] for name, kind in names.items()} == {
        one.framing: one.message_max for one in TRANSPORTS.values() if not one.rdma
    }
