"""The keys of [global] about TLS and QUIC: the fields that GlobalConfig inherits from TlsKeys."""

from __future__ import annotations

import msgspec

from frevo.config import choices
from frevo.config.choices import ClientAccess, QuicDriver, Tristate, VerifyPeer
from frevo.config.key import setting
from frevo.config.types import Boolean, FilePairs, Text, Words


class TlsKeys(msgspec.Struct, frozen=True, kw_only=True):
    """Certificates and who may connect with which. Names of files are relative to `private dir`, as in Samba."""

    tls_enabled: bool = setting(
        Boolean(),
        True,
        "Whether the server may use TLS. Without it, SMB is not served over QUIC.",
        guards=lambda on: not on,
    )
    tls_certfile: str = setting(
        Text(),
        "tls/cert.pem",
        "The server's certificate and the intermediate ones above it, in PEM. A path without a `/` at the "
        "start is relative to `private dir`. With the default names of `tls certfile` and `tls keyfile`, "
        "missing files are made, together with a CA; frevo renews what it made.",
    )
    tls_keyfile: str = setting(
        Text(),
        "tls/key.pem",
        "The private key of the server's certificate, in PEM and without a password. Other users must not "
        "be able to read it.",
    )
    tls_cafile: str = setting(
        Text(),
        "tls/ca.pem",
        "CA certificates, in PEM. The server trusts clients whose certificates these CAs signed; frevo's client "
        "commands trust servers whose certificates they signed.",
    )
    tls_crlfile: str = setting(
        Text(), "", "A certificate revocation list: certificates in it are refused.", guards=bool
    )
    tls_ca_directories: tuple[str, ...] = setting(
        Words(), (), "Directories of further files such as `tls cafile`."
    )
    tls_trust_system_cas: Tristate = setting(
        choices.AUTO_YES_NO,
        "auto",
        "Whether the system's CAs are trusted. `auto`: never for clients of the server; for servers if "
        "neither `tls cafile` nor `tls ca directories` is set.",
    )
    tls_verify_peer: VerifyPeer = setting(
        choices.VERIFY_PEER,
        "as_strict_as_possible",
        "What frevo's client commands check about a server: `no_check` nothing, `ca_only` that a CA signed "
        "its certificate and has not revoked it, `ca_and_name_if_available` also the name, unless the server is "
        "addressed by its IP address, `ca_and_name` also the address. `as_strict_as_possible` also requires "
        "that `tls crlfile`, if set, is up to date and has a list of every CA; Samba requires such a list in any "
        "case.",
        guards=lambda mode: mode == "as_strict_as_possible",
    )
    frevo_quic_client_access: ClientAccess = setting(
        choices.CLIENT_ACCESS,
        "no",
        "Whether clients need a certificate to connect over QUIC. `no`: they are not asked for one. `allow`: "
        "those that present one must be allowed to connect (`frevo tls allow`). `require`: all must.",
        guards=lambda access: access != "no",
    )
    frevo_quic_certificates: tuple[str, ...] = setting(
        FilePairs(),
        (),
        "Further certificates as `certfile:keyfile`. Which one a client sees depends on the name by which "
        "it calls the server.",
    )
    frevo_quic_driver: QuicDriver = setting(
        choices.QUIC_DRIVER,
        "auto",
        "Who speaks QUIC, for the server and for frevo's client commands. `user`: frevo itself. `kernel`: Linux's QUIC "
        "sockets (IPPROTO_QUIC), which come with a module that is not part of Linux yet; without them it is an error. "
        "`auto`: the kernel if it has them. Needs a restart.",
    )
