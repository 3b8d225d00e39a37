"""The CAs that are trusted and the lists of what they revoked, as DER, without looking into them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from frevo.tls import pem
from frevo.tls.errors import TlsError
from frevo.tls.files import Stamp, read_file, stamp_of

#: Where Linux distributions keep all trusted CAs in one file, the most common first.
SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
#: More files of one directory are not read.
DIRECTORY_FILES_MAX = 2000


def ca_certificates(
    files: Iterable[Path] = (), directories: Iterable[Path] = (), *, system: bool = False
) -> list[bytes]:
    """The CAs in *files*, in all files of *directories*, and the *system*'s; each once. TlsError if one has none."""
    found = [der for path in files for der in pem.certificates_in(read_file(path), str(path))]
    for directory in directories:
        found += _of_directory(directory)
    if system:
        found += system_cas()
    return list(dict.fromkeys(found))


def revocation_lists(files: Iterable[Path]) -> list[bytes]:
    """The CRLs in *files*."""
    return [der for path in files for der in pem.crls_in(read_file(path), str(path))]


def files_of(directory: Path) -> list[Path]:
    """The files of a CA directory, by name. TlsError if it cannot be read."""
    try:
        names = sorted(entry.name for entry in os.scandir(directory) if entry.is_file())
    except OSError as error:
        raise TlsError(f"cannot read the CA directory {directory}: {error.strerror}") from None
    return [directory / name for name in names[:DIRECTORY_FILES_MAX]]


def system_bundle() -> Path | None:
    """The file with the system's CAs: `SSL_CERT_FILE`, as for OpenSSL, else the distribution's; None if it has none."""
    named = os.environ.get("SSL_CERT_FILE", "")
    if named:
        return Path(named)
    return next((path for path in map(Path, SYSTEM_BUNDLES) if path.is_file()), None)


def system_cas() -> tuple[bytes, ...]:
    """The CAs that this system trusts; none if there is no bundle."""
    path = system_bundle()
    return () if path is None else _read_bundle(path, stamp_of(path))


@lru_cache(maxsize=4)
def _read_bundle(path: Path, stamp: Stamp) -> tuple[bytes, ...]:
    """*stamp* stands for the version of the file: it is read again when that changes."""
    return tuple(pem.certificates_in(read_file(path), str(path)))


def _of_directory(directory: Path) -> Iterator[bytes]:
    found = False
    for path in files_of(directory):
        try:
            certificates = pem.certificates_in(read_file(path), str(path))
        except TlsError:
            continue  # a README, a revocation list, a link to nowhere
        found = True
        yield from certificates
    if not found:
        raise TlsError(f"the CA directory {directory} contains no certificate")
