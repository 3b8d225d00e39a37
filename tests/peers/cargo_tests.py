"""Test programs of the Rust crates, for running them elsewhere."""

from __future__ import annotations

import json
import os
from pathlib import Path

from peers import programs

_REPOSITORY = Path(__file__).parent.parent.parent
#: As in the Makefile: optimised across crates, they would be built for minutes.
_PROFILE = {"CARGO_PROFILE_RELEASE_LTO": "off"}


def cargo_test(package: str, name: str, timeout_s: int = 600) -> Path:
    """The program of a crate's integration test, built if need be."""
    options = ["--release", "--locked", "-p", package, "--test", name]
    words = ["test", *options, "--no-run", "--message-format=json"]
    built = programs.run(
        [programs.need("cargo"), *words], timeout_s=timeout_s, cwd=_REPOSITORY, env={**os.environ, **_PROFILE}
    )
    for line in built.output.splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("target", {}).get("name") == name and message.get("executable"):
            return Path(message["executable"])
    raise AssertionError(f"cargo has not built {name}:\n{built.output[-4000:]}")
