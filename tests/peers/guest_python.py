"""Python with frevo in a folder, for a virtual machine that sees it as /host."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import frevo

#: Of the standard library, what nobody needs there; tests alone are half of it.
_UNUSED = (
    *("test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3"),
    *("site-packages", "dist-packages", "config-*"),
)
_PACKAGES = ("msgspec", "greenlet", "cryptography", "_cffi_backend")
_LIBRARY = re.compile(r"=> (/\S+)")


def install(folder: Path) -> str:
    """Puts all of it below *folder*, which may not have any of it. The shell's words that set it up: then `frevo` and
    `python3` are commands in the machine."""
    python, site, libraries = (folder / name for name in ("python", "site", "libraries"))
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    skipped = shutil.ignore_patterns(*_UNUSED)
    shutil.copytree(sysconfig.get_path("stdlib"), python / "lib" / version, ignore=skipped)
    (python / "bin").mkdir()
    program = shutil.copy(os.path.realpath(sys.executable), python / "bin" / "python3")
    site.mkdir()
    libraries.mkdir()
    shutil.copytree(Path(frevo.__file__).parent, site / "frevo")
    for name in _PACKAGES:
        spec = find_spec(name)
        if spec is not None and spec.submodule_search_locations:
            shutil.copytree(spec.submodule_search_locations[0], site / name)
        elif spec is not None and spec.origin:
            shutil.copy(spec.origin, site)
    objects = [program, *python.rglob("*.so"), *site.rglob("*.so")]
    listed = subprocess.run(["ldd", *objects], capture_output=True, text=True, check=False).stdout
    for library in set(_LIBRARY.findall(listed)):
        shutil.copy(library, libraries)
    return "\n".join(
        (
            "export PYTHONHOME=/host/python PYTHONPATH=/host/site PYTHONDONTWRITEBYTECODE=1",
            "guest_python() { export LD_LIBRARY_PATH=/host/libraries:/usr/lib/x86_64-linux-gnu; }",
            'python3() { (guest_python && exec /host/python/bin/python3 "$@"); }',
            'frevo() { python3 -m frevo "$@"; }',
            "",
        )
    )
