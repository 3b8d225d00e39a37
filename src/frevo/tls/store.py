"""TlsStore: the folder `tls` in `private dir` (mode 0700), with the certificates that frevo makes itself.

| file | contents |
|---|---|
| `cert.pem`, `key.pem` | the server's certificate (chain, leaf first) and its key |
| `ca.pem`, `ca-key.pem` | the CA that signed it, and the CA's key |
| `previous-cert.pem`, `previous-key.pem` | what `frevo tls import` replaced |
| `names.txt` | further names of the server, one a line, for certificates that frevo makes |
| `access.jsonl` | allow and deny entries for clients (`frevo.tls.access`) |
| `issued.jsonl` | client certificates that were issued here; their keys are not kept |
| `audit.jsonl` | who changed what, and when |

All have mode 0600. A file is replaced as a whole, under the lock file `lock`.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from frevo.auth.private_files import ensure_private_directory, locked, replace_private
from frevo.text import json_text
from frevo.tls import pem
from frevo.tls.errors import TlsError
from frevo.tls.files import read_file

_FOLDER = "tls"
#: Names beyond this number are ignored; a certificate with more is too large for a handshake.
NAMES_MAX = 100


class TlsStore:
    """The files of one private directory. Changing methods raise TlsError or PrivateFileError."""

    def __init__(self, private_dir: str | Path) -> None:
        self.private_dir = Path(private_dir)
        self.directory = self.private_dir / _FOLDER
        self.certificate = self.directory / "cert.pem"
        self.key = self.directory / "key.pem"
        self.previous = (self.directory / "previous-cert.pem", self.directory / "previous-key.pem")
        self.ca = self.directory / "ca.pem"
        self.ca_key = self.directory / "ca-key.pem"
        self.names = self.directory / "names.txt"
        self.access = self.directory / "access.jsonl"
        self.issued = self.directory / "issued.jsonl"
        self.audit_log = self.directory / "audit.jsonl"

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Makes the folder if it is missing and holds its lock; errors of the system become TlsError."""
        ensure_private_directory(self.private_dir)
        ensure_private_directory(self.directory)
        try:
            with locked(self.directory / "lock"):
                yield
        except OSError as error:
            raise TlsError(f"cannot write to {self.directory}: {error.strerror}") from error

    def write(self, path: Path, content: bytes) -> None:
        """Replaces the file *path* of this folder; to be called while `changing`."""
        replace_private(path, content)

    def write_pair(self, certfile: Path, keyfile: Path, chain: Sequence[bytes], key: bytes) -> None:
        """Replaces a certificate, leaf first, and its key (DER); to be called while `changing`.

        Whoever reads in between sees a pair that does not fit, and reads again.
        """
        self.write(keyfile, pem.pem_of("PRIVATE KEY", key))
        self.write(certfile, b"".join(pem.pem_of(pem.CERTIFICATE, der) for der in chain))

    def append(self, path: Path, record: dict[str, Any]) -> None:
        """Adds a line of JSON to *path*; to be called while `changing`."""
        descriptor = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        with os.fdopen(descriptor, "wb") as file:
            file.write(json_text(record).encode() + b"\n")

    def audit(self, what: str, **details: Any) -> None:
        """Adds who did *what* and when to the audit log; to be called while `changing`."""
        when = datetime.now(UTC).isoformat(timespec="seconds")
        self.append(self.audit_log, {"time": when, "by": who(), "what": what, **details})

    def extra_names(self) -> list[str]:
        """The names in `names.txt`."""
        if not self.names.exists():
            return []
        lines = read_file(self.names, limit=1 << 16).decode("utf-8", "replace").splitlines()
        names = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        return names[:NAMES_MAX]

    def add_names(self, names: list[str]) -> None:
        """Adds *names* to `names.txt`; to be called while `changing`."""
        known = self.extra_names()
        known += [name for name in dict.fromkeys(names) if name not in known]
        if len(known) > NAMES_MAX:
            raise TlsError(f"a certificate can have {NAMES_MAX} further names: remove some from {self.names}")
        header = "# Further names of this server, one a line, for the certificate that frevo makes.\n"
        self.write(self.names, (header + "".join(f"{name}\n" for name in known)).encode())


def json_lines(path: Path) -> list[tuple[int, Any]]:
    """(line number, value) of each line of the file *path*; none if it is missing. TlsError if a line is not JSON."""
    if not path.exists():
        return []
    found = []
    for number, line in enumerate(read_file(path).splitlines(), 1):
        if line.strip():
            try:
                found.append((number, json.loads(line)))
            except (ValueError, RecursionError):
                raise TlsError(f"{path} is damaged: line {number} is not JSON") from None
    return found


def who() -> str:
    """The person at the keyboard, as far as the system knows: also behind sudo."""
    uid = os.getuid()
    sudo = os.environ.get("SUDO_USER", "") if uid == 0 else ""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid {uid}"
    return f"{name} ({sudo})" if sudo else name
