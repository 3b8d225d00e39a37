"""ClientTrust: which servers a client believes, and the certificate that it shows them.

Nothing here needs `cryptography`: the data plane looks into the certificates itself.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from frevo.tls.errors import TlsError
from frevo.tls.settings import DEFAULT_CAFILE, TlsSettings, VerifyPeer

if TYPE_CHECKING:
    from frevo._native import QuicClientTls

#: What openssl and others write before it.
_BEFORE_FINGERPRINT = re.compile(r"sha-?256(?: fingerprint)?\s*[:=]\s*")


class ClientTrust(msgspec.Struct, frozen=True, kw_only=True):
    """What a client demands of a server, and shows it. Without arguments: the system's CAs and the server's name.

    Files are read by `native`, so that connecting again takes renewed ones.
    """

    #: How much of a server's certificate is checked; Samba's words for `tls verify peer`.
    verify: VerifyPeer = "as_strict_as_possible"
    #: Files of trusted CAs (PEM or DER).
    ca_files: tuple[str, ...] = ()
    #: Directories of such files.
    ca_directories: tuple[str, ...] = ()
    #: Whether the CAs that this system trusts are trusted as well.
    system_cas: bool = True
    #: Files of revocation lists.
    crl_files: tuple[str, ...] = ()
    #: The SHA-256 of the one certificate that the server may have, in hexadecimal, with or without colons. It takes
    #: the place of every other check.
    fingerprint: str = ""
    #: The client's own certificate and what is above it, leaf first (PEM), and its key; without a file for the key, it
    #: is looked for in the same one.
    certificate: str = ""
    key: str = ""
    #: A file for the secrets of handshakes, with which Wireshark decrypts them; default: SSLKEYLOGFILE.
    key_log: str = ""

    def native(self, server_name: str) -> QuicClientTls:
        """What the data plane needs to connect to *server_name*, a DNS name or an address (also with a zone).

        Without any CA no server is trusted; the refusal contains the server's fingerprint. Raises TlsError if a file
        cannot be used, or if the fingerprint is none.
        """
        from frevo._native import QuicClientTls
        from frevo.tls.trust import revocation_lists  # nothing but QUIC needs it

        wanted = parse_fingerprint(self.fingerprint) if self.fingerprint else None
        checks = wanted is None and self.verify != "no_check"
        cas = self._cas() if checks else []
        crls = revocation_lists(map(Path, self.crl_files)) if checks else []
        try:
            return QuicClientTls(
                _as_in_certificates(server_name),
                verify=self.verify,
                cas=cas,
                crls=crls,
                fingerprint=wanted,
                certificate=self._certificate(),
                key_log=self.key_log or os.environ.get("SSLKEYLOGFILE") or None,
            )
        except (ValueError, OSError) as error:
            reason = (error.strerror or error) if isinstance(error, OSError) else error
            raise TlsError(f"cannot connect to {server_name} over QUIC: {reason}") from None

    def _cas(self) -> list[bytes]:
        from frevo.tls.trust import ca_certificates

        files, directories = map(Path, self.ca_files), map(Path, self.ca_directories)
        return ca_certificates(files, directories, system=self.system_cas)

    def _certificate(self) -> tuple[list[bytes], bytes] | None:
        if not self.certificate:
            if self.key:
                raise TlsError(f"there is a key ({self.key}) but no certificate: use --tls-cert FILE")
            return None
        from frevo.tls import pem
        from frevo.tls.files import read_file, read_key_file

        content = read_file(Path(self.certificate))
        chain = pem.certificates_in(content, self.certificate)
        if not self.key and b"PRIVATE KEY" not in content:
            raise TlsError(f"{self.certificate} has no private key: name the file that has it (--tls-key FILE)")
        keyfile = self.key or self.certificate
        return chain, pem.key_in(read_key_file(Path(keyfile)), keyfile)


def trust_of(settings: TlsSettings) -> ClientTrust:
    """What smb.conf says about servers.

    This machine's own CA is trusted if the user can read it, so that its own server needs no further option.
    """
    named = settings.cafile != DEFAULT_CAFILE
    cafile = settings.path(settings.cafile) if settings.cafile else None
    if not named and cafile is not None and not os.access(cafile, os.R_OK):
        cafile = None
    alone = not named and not settings.ca_directories
    return ClientTrust(
        verify=settings.verify_peer,
        ca_files=(str(cafile),) if cafile is not None else (),
        ca_directories=tuple(str(settings.path(name)) for name in settings.ca_directories),
        system_cas=settings.trust_system_cas == "yes" or (settings.trust_system_cas == "auto" and alone),
        crl_files=(str(settings.path(settings.crlfile)),) if settings.crlfile else (),
    )


def _as_in_certificates(name: str) -> str:
    """A host's name or address as certificates have it: in ASCII (IDNA), without the zone of fe80::1%eth0."""
    if ":" in name:
        return name.partition("%")[0]
    if not name.isascii():
        with contextlib.suppress(UnicodeError):
            return name.encode("idna").decode()
    return name


def parse_fingerprint(text: str) -> bytes:
    """The SHA-256 in *text*: 64 hexadecimal digits, with or without colons, spaces and a `sha256:` before them.

    Raises TlsError that says what it is instead.
    """
    digits = _BEFORE_FINGERPRINT.sub("", text.strip().lower(), count=1)
    compact = "".join(re.split(r"[:\s-]", digits)) if len(digits) < 200 else ""
    if re.fullmatch(r"[0-9a-f]{64}", compact):
        return bytes.fromhex(compact)
    if re.fullmatch(r"[0-9a-f]{40}", compact):
        raise TlsError(f"{text!r} is a SHA-1 fingerprint: expected SHA-256, which has 64 hexadecimal digits")
    raise TlsError(f"{text[:100]!r} is not a fingerprint: expected the 64 hexadecimal digits of a SHA-256")
