"""A C compiler small enough for the guest: tcc, and the headers and libraries of one project."""

from __future__ import annotations

import re
import tarfile
import tempfile
from pathlib import Path

from peers import programs

_OPENED = re.compile(r"^-> +(/\S+)$", re.MULTILINE)


def toolchain_tar(project: Path, target: Path) -> Path:
    """Writes to *target* everything outside *project* that tcc opens when it builds all of *project*."""
    tcc = programs.need("tcc")
    with tempfile.TemporaryDirectory() as scratch:
        sources = [str(path) for path in sorted(project.glob("*.c"))]
        output = programs.run([tcc, "-vv", "-o", f"{scratch}/program", *sources]).ok()
    opened = {Path(name) for name in _OPENED.findall(output)}
    libraries = next(path for path in opened if path.name == "crt1.o").parent
    search = programs.run([tcc, "-print-search-dirs"]).ok()
    support = Path(search.split("libtcc1:")[1].split()[0])
    wanted = opened | {libraries / "libc.so", libraries / "libc_nonshared.a", libraries / "crtn.o", support}
    wanted |= set(libraries.glob("libc.so.6"))
    with tarfile.open(target, "w") as tar:
        for path in sorted(wanted):
            if path.exists():
                tar.add(path.resolve(), arcname=str(path).lstrip("/"))
    return target


def project_tar(project: Path, target: Path) -> Path:
    """*project* as a tar file with its folder in front of every name."""
    with tarfile.open(target, "w") as tar:
        tar.add(project, arcname=project.name)
    return target
