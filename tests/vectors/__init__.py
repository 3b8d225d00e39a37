"""Byte vectors of wire structures, one file per specification, read by `load`.

A section `[name]` is one structure; each of its lines is the hex of one field, and what follows '#' says
which. The format is plain so that the Rust tests can read the same files.
"""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent


def load(specification: str) -> dict[str, bytes]:
    """The vectors of `<specification>.txt` by name."""
    vectors: dict[str, bytearray] = {}
    current = bytearray()
    for line in (_FOLDER / f"{specification}.txt").read_text("utf-8").splitlines():
        content = line.partition("#")[0].strip()
        if content.startswith("["):
            current = vectors.setdefault(content.strip("[]"), bytearray())
        elif content:
            current += bytes.fromhex(content)
    return {name: bytes(data) for name, data in vectors.items()}
