"""Source trees to copy, and checksums to compare them."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import frevo

#: A real source tree that every checkout has.
SOURCE_TREE = Path(frevo.__file__).parent


def checksums(root: Path) -> dict[str, str]:
    """SHA-256 of every file below *root* by its relative name, folders as "folder"; byte code left out."""
    found = {}
    for path in sorted(root.rglob("*")):
        if "__pycache__" in path.parts or path.suffix == ".so":
            continue
        name = str(path.relative_to(root))
        found[name] = "folder" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def copy_tree(target: Path, source: Path = SOURCE_TREE) -> Path:
    """Copies what checksums() sees of *source* to the new folder *target*."""
    for name, digest in checksums(source).items():
        place = target / name
        if digest == "folder":
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes((source / name).read_bytes())
    return target


def random_file(path: Path, size: int, seed: int = 1) -> Path:
    """A file of *size* bytes that look random and are the same in every run."""
    path.write_bytes(random.Random(seed).randbytes(size))
    return path
