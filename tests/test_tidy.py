"""Reads the source: import arrows, purity, lengths, docstrings, citations. See docs/architecture.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import frevo

SOURCE = Path(frevo.__file__).parent
REPOSITORY = SOURCE.parent.parent

#: What each package may import, beside itself, `frevo.errors` and `frevo.wire`: the arrows point down only.
ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "records": set(),
    "text": set(),
    "folders": set(),
    "nss": set(),
    "wire": set(),
    "proto": set(),
    "aio": {"_native"},
    "transport": {"aio", "_native"},
    "locking": {"proto"},
    "dcerpc": {"proto"},
    "auth": {"proto"},
    "tls": {"auth", "transport", "aio", "_native"},
    "vfs": {"proto", "locking", "aio"},
    "config": {"transport"},
    "status": {"config", "tls", "transport", "proto", "aio"},
    "client": {"dcerpc", "auth", "tls", "proto", "transport"},
    "fuse": set(),
    "mount": {"client", "fuse"},
    "server": {"config", "status", "dcerpc", "auth", "tls", "vfs", "locking", "proto", "transport", "aio"},
    "bench": {"client", "auth", "tls", "proto", "transport"},
    "lab": {"_native"},
    "cli": {
        *("config", "server", "client", "mount", "fuse", "bench", "lab", "status", "dcerpc"),
        *("auth", "tls", "vfs", "locking", "proto", "transport", "aio"),
    },
    "__main__": {"cli"},
    "__init__": {"client"},
}
#: The same inside server/, types included: what is answered stands on what ends, that on what is decided.
SERVER_ARROWS: dict[str, set[str]] = {
    "core": set(),
    "rules": {"core"},
    "lifecycle": {"rules", "core"},
    "pipes": {"rules", "core"},
    "fsctl": {"pipes", "rules", "core"},
    "handlers": {"fsctl", "pipes", "lifecycle", "rules", "core"},
    "dispatch": {"handlers", "lifecycle", "core"},
    "receive": {"dispatch", "handlers", "lifecycle", "core"},
    "service": {"receive", "lifecycle", "rules", "core"},
    "listening": {"core"},
    "quic_listeners": set(),
    "run": {"service", "listening", "quic_listeners", "core"},
    "__init__": set(),
}
#: The same inside client/: from one connection up to what programs use.
CLIENT_ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "to_the_end": set(),
    "address": set(),
    "netrc": set(),
    "credentials": {"netrc"},
    "connection": {"credentials", "errors", "to_the_end"},
    "tree": {"connection", "address", "errors"},
    "lasting": {"tree", "connection", "errors"},
    "transfer": {"lasting", "tree", "connection", "to_the_end", "errors"},
    "share": {"transfer", "lasting", "tree", "connection", "address", "errors"},
    "batch": {"share", "transfer", "lasting", "tree", "address", "to_the_end", "errors"},
    "server": {"share", "lasting", "tree", "connection", "credentials", "errors"},
    "connect": {"server", "share", "credentials", "address"},
    "blocking": {"connect", "server", "share", "tree", "connection"},
    "filesystem": {"connect", "server", "share", "transfer", "tree", "connection", "to_the_end", "address"},
    "__init__": {"connect", "server", "share", "tree", "credentials", "address", "errors"},
}
EVERYWHERE = {"errors", "folders", "nss", "records", "text", "wire"}
#: Single imports that cross the table, and why.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("proto/protection.py", "_native"): "packet crypto is Rust's; this file is its only door into proto",
    ("auth/private_files.py", "aio"): "secrets are the server's: it asks whom its thread acts as",
    ("auth/ntlm_crypto.py", "_native"): "RC4, which no library of Python's has any more",
}

#: Underscore names that are public all the same: the standard library's.
PUBLIC_UNDERSCORES = {
    *("_replace", "_make"),  # of named tuples
    *("_name_", "_value_", "_value2member_map_"),  # of enums
    *("_exit", "_ArgumentGroup", "_SubParsersAction"),  # os, and argparse's types
}

#: Packages whose modules import each other in one direction only, also late and for type checkers ...
WITHOUT_CIRCLES = ("client", "mount")
#: ... and the circles that are left there, and why.
CIRCLES: dict[frozenset[str], str] = {
    frozenset({"client/filesystem/file.py", "client/filesystem/filesystem.py"}): (
        "fsspec makes the file of the file system, and the file asks it back: one thing in two files"
    ),
    frozenset(f"mount/{name}.py" for name in ("handles", "locking", "nodes", "state", "writing")): (
        "a node knows its opens, writes and locks, and each of these its node: one structure; types only"
    ),
}

#: These know neither sockets nor an event loop nor the clock.
PURE_PACKAGES = ("wire", "proto", "locking", "dcerpc")
IMPURE_MODULES = {"asyncio", "socket", "selectors", "ssl", "threading"}
CLOCK_CALLS = {"time.time", "time.monotonic", "time.time_ns", "time.monotonic_ns", "datetime.now"}

FUNCTION_LINES_MAX = 70
DOCSTRING_LENGTH_MIN = 15
FILE_LINES_MAX = 500
#: Longer files, and why they are one.
LONG_FILES: dict[str, str] = {}

#: Where a file must cite what it carries out.
CITATIONS = {
    "server/handlers": re.compile(r"\[MS-SMB2\] \d"),
    "wire/smb2": re.compile(r"\[MS-SMB2\] \d"),
    "wire/fscc": re.compile(r"\[MS-FSCC\] \d"),
    "wire/dtyp": re.compile(r"\[MS-DTYP\] \d"),
}
#: Files of those folders without a structure or a rule of the specification.
WITHOUT_CITATION = ("__init__.py", "wire/fscc/structure.py")

#: Where `struct` may be used, and for what.
MAY_USE_STRUCT = {
    "wire/": "the specification's structures",
    "dcerpc/": "PDUs",
    "auth/": "NTLM messages and Kerberos",
    "fuse/abi.py": "the kernel's messages",
    "vfs/": "extended attributes and inotify",
    "transport/interfaces.py": "ioctl",
    "lab/pcap.py": "pcap, IP and TCP headers",
    "status/": "the control socket's frames and doctor's probes",
    "server/fsctl/": "control codes whose buffer is one or two numbers",
}

UNIT_TESTS = REPOSITORY / "tests" / "unit"
#: Packages whose modules have unit tests of their own, in the same place below tests/unit.
MIRRORED = ("proto", "wire", "dcerpc", "auth", "tls", "locking", "config", "vfs", "client")
#: Fewer decisions and loops than this are structures and constants.
BRANCHES_MIN = 8
#: Modules whose tests have another name, because they are only one part of what is tested there.
TESTED_ELSEWHERE = {
    "auth/authenticator.py": "unit/auth/test_spnego.py",
    "auth/kerberos.py": "integration/test_kerberos_acceptor.py",
    "auth/ntlm_messages.py": "unit/auth/test_ntlm.py",
    "auth/smbpasswd.py": "unit/auth/test_accounts.py",
    "auth/spnego_tokens.py": "unit/auth/test_spnego.py",
    "client/blocking/loop_thread.py": "unit/client/blocking/test_blocking.py",
    "client/blocking/share.py": "unit/client/blocking/test_blocking.py",
    "client/connection/quic.py": "unit/client/connection/test_dial.py",
    "client/filesystem/file.py": "interop/test_client_fsspec.py",
    "client/server.py": "interop/test_client_logon.py",
    "config/access.py": "unit/config/test_config_macros.py",
    "config/check.py": "unit/config/test_config_load.py",
    "config/config.py": "unit/config/test_config_load.py",
    "config/unsupported.py": "unit/config/test_config_load.py",
    "config/values.py": "unit/config/test_config_load.py",
    "dcerpc/lsarpc.py": "unit/dcerpc/test_names.py",
    "dcerpc/ndr_security.py": "unit/dcerpc/test_srvsvc.py",
    "dcerpc/samr.py": "unit/dcerpc/test_names.py",
    "vfs/handle.py": "unit/vfs/test_local.py",
    "vfs/lookup.py": "unit/vfs/test_local.py",
    "vfs/metadata.py": "unit/vfs/test_local.py",
    "vfs/security.py": "unit/vfs/test_attributes.py",
    "vfs/streamhandle.py": "unit/vfs/test_streams.py",
    "vfs/system.py": "unit/vfs/test_out_of_range_times.py",
    "vfs/shared_folder.py": "unit/vfs/test_confinement.py",
    "wire/dtyp/acl.py": "unit/wire/dtyp/test_security.py",
    "wire/dtyp/security_descriptor.py": "unit/wire/dtyp/test_security.py",
    "wire/dtyp/sid.py": "unit/wire/dtyp/test_security.py",
    "wire/fscc/file_lists.py": "unit/wire/fscc/test_vectors.py",
    "wire/smb2/create.py": "unit/wire/smb2/test_vectors.py",
    "wire/smb2/ioctl_structures.py": "unit/wire/smb2/test_vectors.py",
    "wire/smb2/tree_connect.py": "unit/wire/smb2/test_vectors.py",
}


def modules() -> list[str]:
    """Every Python file of frevo, as a path below src/frevo."""
    return sorted(str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py"))


MODULES = modules()


@cache
def text_of(module: str) -> str:
    return (SOURCE / module).read_text()


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(text_of(module), module)


def package_of(module: str) -> str:
    """wire/smb2/lock.py belongs to "wire", errors.py to "errors"."""
    return module.removesuffix(".py").split("/")[0]


def imports(module: str, *, types: bool = False) -> Iterator[str]:
    """Full names of the modules that *module* imports when it runs; with *types* also those for type checkers."""
    pending: list[ast.AST] = [tree_of(module)]
    while pending:
        node = pending.pop()
        if not types and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            pending += node.orelse
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            packages = base in (
                "frevo",
                "frevo.server",
                "frevo.client",
            )  # `from frevo.server import service` is of service
            yield from ([f"{base}.{name.name}" for name in node.names] if packages else [base])
        else:
            pending += ast.iter_child_nodes(node)


def functions(module: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_arrows() -> None:
    """Imports point down the table above; nothing reaches up or sideways."""
    wrong = []
    for module in MODULES:
        package = package_of(module)
        assert package in ARROWS, f"{package} is new: give it a place in ARROWS"
        allowed = ARROWS[package] | EVERYWHERE | {package}
        for name in imports(module):
            root, _, rest = name.partition(".")
            part = rest.split(".")[0]
            if root == "frevo" and part and not part.startswith("__") and part not in allowed:
                wrong += [] if (module, part) in EXCEPTIONS else [f"{module} imports {name}"]
    assert wrong == []


@pytest.mark.parametrize(("package", "arrows"), [("server", SERVER_ARROWS), ("client", CLIENT_ARROWS)])
def test_arrows_inside(package: str, arrows: dict[str, set[str]]) -> None:
    """The layers inside the two large packages hold, also for late imports and those for types alone."""
    wrong = []
    for module in MODULES:
        if package_of(module) != package:
            continue
        layer = package_of(module.removeprefix(f"{package}/"))
        assert layer in arrows, f"{package}/{layer} is new: give it a place in its table"
        for name in imports(module, types=True):
            part = name.removeprefix(f"frevo.{package}.").split(".")[0]
            if name.startswith(f"frevo.{package}.") and part not in arrows[layer] | {layer}:
                wrong.append(f"{module} imports {name}")
    assert wrong == []


def own_names(package: str) -> set[str]:
    """The underscore names that *package* defines: functions, classes, variables, attributes of `self`."""
    found: set[str] = set()
    for module in MODULES:
        if package_of(module) != package:
            continue
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                found |= {node.attr} if ast.unparse(node.value) in ("self", "cls") else set()
    return {name for name in found if name.startswith("_")}


def test_underscores_stay_in_their_package() -> None:
    """No module uses the underscore names of another package: what others need has a public name."""
    wrong = []
    for package in sorted({package_of(module) for module in MODULES}):
        own = own_names(package) | PUBLIC_UNDERSCORES
        for module in MODULES:
            if package_of(module) != package:
                continue
            for node in ast.walk(tree_of(module)):
                if isinstance(node, ast.Attribute) and node.attr not in own:
                    inherited = ast.unparse(node.value) in ("self", "cls", "super()")
                    if re.match("_[^_]", node.attr) and not inherited:
                        wrong.append(f"{module}:{node.lineno} {ast.unparse(node)}")
                elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "frevo":
                    names = [name.name for name in node.names if re.match("_[^_]", name.name)]
                    home = ((node.module or "") + ".").split(".")[1] or package
                    if home != package:
                        wrong += [f"{module} imports {name} of {node.module}" for name in names]
    assert wrong == []


def imported_files(module: str) -> set[str]:
    """Files of frevo that *module* imports in whatever way: at the top, late, or for type checkers alone."""
    found = set()
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("frevo"):
            base = (node.module or "").replace(".", "/").removeprefix("frevo").lstrip("/")
            for name in node.names:
                inner = f"{base}/{name.name}".lstrip("/")
                found |= {f"{inner}.py", f"{inner}/__init__.py"} & set(MODULES) or {f"{base}.py"}
    return found & set(MODULES)


def circles(names: list[str]) -> set[frozenset[str]]:
    """The groups of files among *names* that import each other."""
    reached = {name: imported_files(name) & set(names) for name in names}
    for _ in names:
        grown = {name: known.union(*(reached[one] for one in known)) for name, known in reached.items()}
        if grown == reached:
            break
        reached = grown
    groups = {
        frozenset(one for one in names if one in reached[name] and name in reached[one]) for name in names
    }
    return groups - {frozenset()}


def test_no_import_circles() -> None:
    """Within a package of WITHOUT_CIRCLES no files import each other, in whatever way; CIRCLES is true."""
    for package in WITHOUT_CIRCLES:
        found = circles([module for module in MODULES if package_of(module) == package])
        assert found == {circle for circle in CIRCLES if package_of(min(circle)) == package}


def test_purity() -> None:
    """Bytes and decisions: no sockets, no event loop, no threads, no clock of their own."""
    wrong = []
    for module in MODULES:
        if package_of(module) not in PURE_PACKAGES:
            continue
        banned = IMPURE_MODULES & {name.split(".")[0] for name in imports(module)}
        wrong += [f"{module} imports {name}" for name in banned]
        calls = (node for node in ast.walk(tree_of(module)) if isinstance(node, ast.Call))
        clocks = (node for node in calls if ast.unparse(node.func) in CLOCK_CALLS)
        wrong += [f"{module}:{node.lineno}: take `now` as an argument" for node in clocks]
    assert wrong == []


def test_docstring_comes_first() -> None:
    """The first line of every file says what is in it."""
    wrong = []
    for module in MODULES:
        first = (ast.get_docstring(tree_of(module)) or "").partition("\n")[0]
        if len(first) < DOCSTRING_LENGTH_MIN or not text_of(module).startswith('"""'):
            wrong.append(f"{module}: {first!r}")
    assert wrong == []


def test_function_lengths() -> None:
    """No function has more than 70 lines."""
    wrong = []
    for module in MODULES:
        for function in functions(module):
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                wrong.append(f"{module}: {function.name} has {lines} lines")
    assert wrong == []


def test_file_lengths() -> None:
    """No file has more than 500 lines without saying why; the list of those that do is true."""
    long = {module for module in MODULES if len(text_of(module).splitlines()) > FILE_LINES_MAX}
    assert long == set(LONG_FILES)


def test_citations() -> None:
    """Handlers and wire structures name the section that they carry out."""
    wrong = []
    for folder, pattern in CITATIONS.items():
        for module in MODULES:
            due = module.startswith(folder + "/") and not module.endswith(WITHOUT_CITATION)
            if due and not pattern.search(text_of(module)):
                wrong.append(f"{module} cites no section ({pattern.pattern})")
    assert wrong == []


def test_no_offsets_by_hand() -> None:
    """Only the places of MAY_USE_STRUCT take bytes apart; the others have frevo.wire for it."""
    others = [module for module in MODULES if not module.startswith(tuple(MAY_USE_STRUCT))]
    assert [module for module in others if "struct" in set(imports(module))] == []


def test_python_signs_and_encrypts_nothing() -> None:
    """Only the data plane does: it has the window that no nonce is used twice in. NTLM and Kerberos have keys of
    their own."""
    calls = re.compile(r"keys\.(sign|encrypt)\(")
    others = [module for module in MODULES if not module.startswith("auth")]
    assert [module for module in others if calls.search(text_of(module))] == []


def test_no_prints_and_no_wildcards() -> None:
    """No print outside cli/, no wildcard import outside an __init__.py."""
    wrong = []
    for module in MODULES:
        for node in ast.walk(tree_of(module)):
            star = isinstance(node, ast.ImportFrom) and any(name.name == "*" for name in node.names)
            if star and not module.endswith("__init__.py"):
                wrong.append(f"{module}: import *")
            printed = isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
            if printed and package_of(module) != "cli":
                wrong.append(f"{module}: print outside cli")
    assert wrong == []


def test_every_test_says_its_goal() -> None:
    """Every test function of this tree has a docstring."""
    wrong = []
    for path in sorted((REPOSITORY / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            test = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
            if test and not ast.get_docstring(node):
                wrong.append(f"{path.relative_to(REPOSITORY)}:{node.lineno} {node.name}")
    assert wrong == []


def branches(module: str) -> int:
    """How many decisions and loops the functions of *module* have."""
    loops = ast.For | ast.AsyncFor | ast.While | ast.comprehension
    kinds = loops | ast.If | ast.IfExp | ast.Try | ast.BoolOp | ast.Match
    return sum(isinstance(node, kinds) for function in functions(module) for node in ast.walk(function))


def mirrors(module: str) -> list[Path]:
    """Where the unit tests of *module* are looked for: vfs/lookup.py in unit/vfs/test_lookup.py."""
    place, name = UNIT_TESTS / Path(module).parent, Path(module).stem
    return [place / f"test_{name}.py", place / f"test_{package_of(module)}_{name}.py"]


def test_logic_has_unit_tests() -> None:
    """A module that decides has its own test file, or is named in TESTED_ELSEWHERE; that list is true."""
    due = {
        module for module in MODULES if package_of(module) in MIRRORED and branches(module) >= BRANCHES_MIN
    }
    without = {module for module in due if not any(path.exists() for path in mirrors(module))}
    assert without - set(TESTED_ELSEWHERE) == set(), "give each a test file in tests/unit"
    assert set(TESTED_ELSEWHERE) - without == set(), "these need no entry (any more)"
    assert [path for path in TESTED_ELSEWHERE.values() if not (REPOSITORY / "tests" / path).is_file()] == []


# -- Rust ----------------------------------------------------------------------------------------------------

RUST = sorted([*(REPOSITORY / "crates").rglob("*.rs"), *(REPOSITORY / "fuzz").rglob("*.rs")])
#: What gets bytes and the time from outside.
RUST_WITHOUT_CLOCK = re.compile(
    r"frevo-dataplane/src/(conn/|pump/|window|wire|framing|credits|budget|event|fast)|frevo-rdma/src/"
)
RUST_CLOCK = re.compile(r"Instant::now\(|SystemTime|\.elapsed\(")
RUST_FUNCTION = re.compile(r'^( *)(?:pub(?:\([a-z]+\))? )?(?:const |async |unsafe |extern "C" )*fn (\w+)')


def rust_functions(lines: list[str]) -> Iterator[tuple[str, int]]:
    """(name, lines) of every function with a body, as rustfmt has indented it."""
    for start, line in enumerate(lines):
        function = RUST_FUNCTION.match(line)
        if function is None:
            continue
        opens = next(index for index in range(start, len(lines)) if lines[index].endswith(("{", ";", "}")))
        if lines[opens].endswith("{"):
            ends = lines.index(function[1] + "}", opens)
            yield function[2], ends - start + 1


def is_comment(line: str) -> bool:
    return line.lstrip().startswith(("//", "#["))


def reason_above(lines: list[str], number: int) -> str:
    """The comments directly above the statement that line *number* belongs to."""
    while (
        number > 0
        and not is_comment(lines[number - 1])
        and lines[number - 1].rstrip()[-1:] not in ("", ";", "{", "}")
    ):
        number -= 1
    first = number
    while first > 0 and is_comment(lines[first - 1]):
        first -= 1
    return "\n".join(lines[first:number])


def test_rust_lengths() -> None:
    """No Rust file has more than 500 lines and no function more than 70, tests among them."""
    assert len(RUST) > 50
    wrong = []
    for path in RUST:
        lines = path.read_text().splitlines()
        name = path.relative_to(REPOSITORY)
        if len(lines) > FILE_LINES_MAX:
            wrong.append(f"{name} has {len(lines)} lines")
        long = ((function, count) for function, count in rust_functions(lines) if count > FUNCTION_LINES_MAX)
        wrong += [f"{name}: {function} has {count} lines" for function, count in long]
    assert wrong == []


def test_rust_files_say_what_is_in_them() -> None:
    """The first line of every Rust file is its documentation."""
    assert [
        str(path) for path in RUST if not path.read_text().startswith(("//! ", "#![no_main]\n//! "))
    ] == []


def test_unsafe_has_a_reason() -> None:
    """Above every unsafe block is why it is sound, above every unsafe function what its caller must see to."""
    wrong, seen = [], 0
    for path in RUST:
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            found = re.search(r"\bunsafe (fn|trait|impl|\{)", line.split("//")[0])
            if found is None:
                continue
            seen += 1
            due = "# Safety" if found[1] in ("fn", "trait") else "SAFETY:"
            if due not in reason_above(lines, number):
                wrong.append(f"{path.relative_to(REPOSITORY)}:{number + 1}")
    assert seen > 50
    assert wrong == []


def test_connections_have_no_clock() -> None:
    """What is protocol in Rust takes the time from its host, as it takes the bytes; tests may give it any."""
    wrong, seen = [], 0
    for path in RUST:
        if RUST_WITHOUT_CLOCK.search(str(path)) is None or "tests" in str(path.relative_to(REPOSITORY)):
            continue
        seen += 1
        code = path.read_text().split("#[cfg(test)]\nmod tests {")[0].splitlines()
        wrong += [f"{path}:{n}" for n, line in enumerate(code, 1) if RUST_CLOCK.search(line.split("//")[0])]
    assert seen > 10
    assert wrong == []


# -- the lists above ------------------------------------------------------------------------------------------


def test_exceptions_are_needed() -> None:
    """An exception that nothing needs any more goes from its list."""
    crossing = {
        (module, name.split(".")[1])
        for module in MODULES
        for name in imports(module)
        if name.startswith("frevo.")
    }
    stale = [f"{module} imports no {part}" for module, part in EXCEPTIONS if (module, part) not in crossing]
    with_struct = [module for module in MODULES if "struct" in set(imports(module))]
    stale += [
        place for place in MAY_USE_STRUCT if not any(module.startswith(place) for module in with_struct)
    ]
    due = [module for module in MODULES if module.startswith(tuple(CITATIONS))]
    stale += [
        ending
        for ending in WITHOUT_CITATION
        if not any(
            module.endswith(ending) and not any(one.search(text_of(module)) for one in CITATIONS.values())
            for module in due
        )
    ]
    text = "\n".join(text_of(module) for module in MODULES)
    stale += [name for name in PUBLIC_UNDERSCORES if f".{name}" not in text]
    assert sorted(stale) == []
