"""TlsSettings: what smb.conf says about TLS, as one record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from frevo.config import GlobalConfig

VerifyPeer = Literal[
    "no_check", "ca_only", "ca_and_name_if_available", "ca_and_name", "as_strict_as_possible"
]
ClientAccess = Literal["no", "allow", "require"]

#: Samba's defaults, below `private dir`. Files with these names are made when they are missing.
DEFAULT_CERTFILE, DEFAULT_KEYFILE, DEFAULT_CAFILE = "tls/cert.pem", "tls/key.pem", "tls/ca.pem"


class TlsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The keys `tls ...` and `frevo:quic ...`; names of files as in smb.conf (see `path`)."""

    private_dir: str
    enabled: bool = True
    certfile: str = DEFAULT_CERTFILE
    keyfile: str = DEFAULT_KEYFILE
    cafile: str = DEFAULT_CAFILE
    crlfile: str = ""
    ca_directories: tuple[str, ...] = ()
    trust_system_cas: Literal["auto", "yes", "no"] = "auto"
    verify_peer: VerifyPeer = "as_strict_as_possible"
    client_access: ClientAccess = "no"
    #: Further `certfile:keyfile` pairs.
    certificates: tuple[str, ...] = ()

    @property
    def makes_certificate(self) -> bool:
        """Whether nothing is configured: frevo then makes its own certificate and renews it."""
        return (self.certfile, self.keyfile) == (DEFAULT_CERTFILE, DEFAULT_KEYFILE)

    def path(self, name: str) -> Path:
        """The file *name*: as in Samba below `private dir`, unless it is absolute."""
        return Path(self.private_dir) / name

    def pairs(self) -> list[tuple[Path, Path]]:
        """(certificate file, key file) of every certificate that the server presents, the main one first."""
        further = [pair.rpartition(":") for pair in self.certificates]
        names = [(self.certfile, self.keyfile), *((certfile, keyfile) for certfile, _, keyfile in further)]
        return [(self.path(certfile), self.path(keyfile)) for certfile, keyfile in names]


def settings_of(values: GlobalConfig) -> TlsSettings:
    """The settings in [global]."""
    return TlsSettings(
        private_dir=values.private_dir,
        enabled=values.tls_enabled,
        certfile=values.tls_certfile,
        keyfile=values.tls_keyfile,
        cafile=values.tls_cafile,
        crlfile=values.tls_crlfile,
        ca_directories=values.tls_ca_directories,
        trust_system_cas=values.tls_trust_system_cas,
        verify_peer=values.tls_verify_peer,
        client_access=values.frevo_quic_client_access,
        certificates=values.frevo_quic_certificates,
    )
