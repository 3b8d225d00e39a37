"""Test programs and libraries of the Rust crates, for running them elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from peers import programs

_REPOSITORY = Path(__file__).parent.parent.parent
#: As in the Makefile: optimised across crates, they would be built for minutes.
_PROFILE = {"CARGO_PROFILE_RELEASE_LTO": "off"}


def _cargo(words: list[str], name: str, timeout_s: int) -> dict[str, Any]:
    """What cargo says of the target *name* that it has built."""
    options = ["--release", "--locked", "--message-format=json"]
    built = programs.run(
        [programs.need("cargo"), *words, *options], timeout_s=timeout_s, cwd=_REPOSITORY, env=_PROFILE
    )
    for line in built.output.splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("target", {}).get("name") == name and message.get("filenames"):
            return message
    raise AssertionError(f"cargo has not built {name}:\n{built.output[-4000:]}")


def cargo_test(package: str, name: str, timeout_s: int = 600) -> Path:
    """The program of a crate's integration test, built if need be."""
    message = _cargo(["test", "-p", package, "--test", name, "--no-run"], name, timeout_s)
    return Path(message["executable"])


def cargo_library(package: str, timeout_s: int = 600) -> Path:
    """The shared object of a crate, built if need be; cargo is not asked if it is newer than the sources of all crates
    of that family, because it waits for whatever else is being built."""
    name = package.replace("-", "_")
    family = "-".join(package.split("-")[:2])
    sources = [path for path in (_REPOSITORY / "crates").glob(f"{family}*/**/*.rs") if "tests" not in path.parts]
    newest = max(path.stat().st_mtime for path in sources)
    for found in (_REPOSITORY / "target" / "release").glob(f"**/lib{name}.so"):
        if found.stat().st_mtime > newest:
            return found
    message = _cargo(["build", "-p", package], name, timeout_s)
    return next(Path(name) for name in message["filenames"] if name.endswith(".so"))
