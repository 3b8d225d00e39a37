"""ServerCertificates: what a server presents and demands over QUIC, kept up to date while it runs.

The server calls `changed` every CHECK_SECONDS: it looks whether a file is another one than before (by modification
time, size and inode), renews the certificate that frevo made, and logs what is about to expire. So neither a renewal by
certbot nor `frevo tls deny` needs a restart or a signal.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from frevo.aio.acting import as_identity
from frevo.errors import FrevoError
from frevo.records import Redacted
from frevo.tls.access import AccessList, Entry
from frevo.tls.errors import TlsError
from frevo.tls.files import Stamp, exists, stamp_of
from frevo.tls.settings import DEFAULT_CAFILE, TlsSettings
from frevo.tls.store import TlsStore
from frevo.tls.trust import ca_certificates, files_of, revocation_lists, system_bundle
from frevo.tls.warnings import DAY_S, date_warning

if TYPE_CHECKING:
    from frevo._native import QuicServerTls
    from frevo.tls.load import Pair

log = logging.getLogger(__name__)

#: How often files are looked at: about ten calls of stat(2).
CHECK_SECONDS = 1.0
#: How often it is tried to renew a certificate, and how often people are warned.
_RENEWAL_SECONDS = 3600.0
_WARN_SECONDS = float(DAY_S)


class Read(Redacted, msgspec.Struct, frozen=True):
    """Everything that was read, and what the data plane made of it."""

    HIDDEN = ("native",)

    pairs: tuple[tuple[Path, Pair], ...]
    entries: tuple[Entry, ...]
    native: Any


def read_all(settings: TlsSettings, *, make: Callable[..., Any] | None = None) -> Read:
    """Reads what *settings* name. TlsError, or PrivateFileError, with a sentence for what cannot be used."""
    from frevo.tls.load import load_pair

    with _explained():
        pairs = tuple((certfile, load_pair(certfile, keyfile)) for certfile, keyfile in settings.pairs())
        entries = tuple(AccessList(TlsStore(settings.private_dir)).entries())
        cas: list[bytes] = []
        crls: list[bytes] = []
        if settings.client_access != "no":
            cas = client_cas(settings)
            crls = revocation_lists([settings.path(settings.crlfile)] if settings.crlfile else [])
        native = (make or _native)(
            [(pair.chain, pair.key) for _, pair in pairs],
            client_access=settings.client_access,
            client_cas=cas,
            crls=crls,
            entries=[entry.native() for entry in entries],
            key_log=os.environ.get("SSLKEYLOGFILE") or None,
        )
    return Read(pairs, entries, native)


class ServerCertificates:
    """The certificates, trusted CAs and entries of a server with *settings*.

    The constructor reads everything, and makes a certificate if none is configured; it raises TlsError, or
    PrivateFileError, with a sentence. Later errors are logged, and what was good stays in force.
    """

    def __init__(
        self,
        settings: TlsSettings,
        *,
        make: Callable[..., Any] | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._clock = clock
        self._monotonic = monotonic
        self._settings = settings
        self._failure = ""
        self._failed_stamps: object = None
        with as_identity(None):
            self._renew_if_due()
            self._stamps = self._look()
            self._read_now = read_all(settings, make=self._make)
        self._check_at = monotonic() + CHECK_SECONDS
        self._renew_at = monotonic() + _RENEWAL_SECONDS
        self._warn_at = monotonic()

    def current(self) -> QuicServerTls:
        """What new connections get; another object after `changed` was True."""
        return self._read_now.native  # type: ignore[no-any-return]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The allow and deny entries in force."""
        return self._read_now.entries

    @property
    def pairs(self) -> tuple[tuple[Path, Pair], ...]:
        """(certificate file, certificate) of everything presented, the main one first."""
        return self._read_now.pairs

    @property
    def failure(self) -> str:
        """Why files that were changed could not be used; empty if all is well."""
        return self._failure

    def changed(self) -> bool:
        """Whether `current` has something new; looks at the files at most every CHECK_SECONDS. Never raises."""
        now = self._monotonic()
        if now < self._check_at:
            return False
        self._check_at = now + CHECK_SECONDS
        with as_identity(None):
            if now >= self._renew_at:
                self._renew_at = now + _RENEWAL_SECONDS
                self._try_to_renew()
            changed = self._reload()
        if now >= self._warn_at:
            self._warn_at = now + _WARN_SECONDS
            for sentence in self.warnings():
                log.warning("%s", sentence)
        return changed

    def reconfigure(self, settings: TlsSettings) -> bool:
        """Takes other *settings* (SIGHUP). Whether `current` is new; if they cannot be used, the old ones stay."""
        before, self._settings = self._settings, settings
        try:
            with as_identity(None):
                self._renew_if_due()
                stamps = self._look()
                self._read()
        except FrevoError as error:
            self._settings = before
            log.error("%s: the old certificates stay in force", error)
            return False
        self._stamps, self._failure = stamps, ""
        return True

    def warnings(self) -> list[str]:
        """What people should know now: certificates that expire soon, and files that cannot be used any more."""
        now = self._clock()
        found = [date_warning(pair.facts, now, f"the certificate {path}") for path, pair in self.pairs]
        return [sentence for sentence in (self._failure, *found) if sentence]

    def _renew_if_due(self) -> None:
        if self._settings.makes_certificate:
            from frevo.tls.generate import ensure_certificate

            with _explained():
                ensure_certificate(TlsStore(self._settings.private_dir), now=self._clock())

    def _try_to_renew(self) -> None:
        try:
            self._renew_if_due()
        except FrevoError as error:
            log.error("cannot renew the server's certificate: %s", error)

    def _reload(self) -> bool:
        """Reads everything again if a file has changed.

        Certificate and key are two files: whoever replaces them is given until the next look to have both in place.
        """
        stamps = self._look()
        if stamps == self._stamps:  # also when what could not be used was put right by the old files
            self._failed_stamps, self._failure = None, ""
            return False
        before = self._read_now
        try:
            self._read()
        except FrevoError as error:
            failure = f"{error}: the old certificates stay in force"
            if self._failed_stamps == stamps and self._failure != failure:
                self._failure = failure
                log.error("%s", failure)
            self._failed_stamps = stamps
            return False
        self._stamps, self._failure, self._failed_stamps = stamps, "", None
        _log_changes(before, self._read_now)
        return True

    def _read(self) -> None:
        self._read_now = read_all(self._settings, make=self._make)

    def _look(self) -> tuple[tuple[Path, Stamp], ...]:
        """The stamps of every file and directory that `read_all` reads."""
        return tuple((path, stamp_of(path)) for path in watched(self._settings))


def client_cas(settings: TlsSettings) -> list[bytes]:
    """The CAs whose clients may connect. TlsError if there is none, because then nobody could."""
    files = [settings.path(settings.cafile)] if settings.cafile else []
    if settings.cafile == DEFAULT_CAFILE and not exists(files[0]):
        files = []
    directories = map(settings.path, settings.ca_directories)
    found = ca_certificates(files, directories, system=settings.trust_system_cas == "yes")
    if not found:
        raise TlsError(
            "`frevo:quic client access` needs CAs for the certificates of clients: set `tls cafile` or "
            "`tls ca directories`"
        )
    return found


def watched(settings: TlsSettings) -> Iterable[Path]:
    """The files and directories that a server with *settings* reads."""
    for certfile, keyfile in settings.pairs():
        yield from (certfile, keyfile)
    yield TlsStore(settings.private_dir).access
    if settings.client_access != "no":
        yield from (settings.path(name) for name in (settings.cafile, settings.crlfile) if name)
        for directory in map(settings.path, settings.ca_directories):
            yield directory
            with contextlib.suppress(TlsError):  # it has gone, which its own stamp says
                yield from files_of(directory)
        bundle = system_bundle() if settings.trust_system_cas == "yes" else None
        yield from () if bundle is None else (bundle,)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turns what the system and the data plane refuse into TlsError."""
    try:
        yield
    except OSError as error:
        name = f"{error.filename}: " if error.filename is not None else ""
        raise TlsError(f"QUIC cannot be served: {name}{error.strerror or error}") from None
    except ValueError as error:
        raise TlsError(f"QUIC cannot be served: {error}") from None


def _native(*args: Any, **options: Any) -> Any:
    from frevo._native import QuicServerTls

    return QuicServerTls(*args, **options)


def _log_changes(before: Read, now: Read) -> None:
    fingerprints = {path: pair.facts.fingerprint for path, pair in before.pairs}
    for path, pair in now.pairs:
        if fingerprints.get(path) != pair.facts.fingerprint:
            log.warning("new certificate in %s: SHA-256 %s", path, pair.facts.fingerprint)
    for entry in now.entries:
        if entry not in before.entries:
            log.warning("client access: %s, by %s", entry, entry.added_by or "an unknown person")
    kept = {entry.identifier for entry in now.entries}
    for entry in before.entries:
        if entry.identifier not in kept:
            log.warning("client access: removed the entry `%s`", entry)
