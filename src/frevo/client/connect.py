"""`connect`: from an smb:// URL and options to a share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from frevo.client.address import Location
from frevo.client.credentials import Credentials, choose, split_user
from frevo.client.server import CIPHERS, SIGNINGS, Server, Settings, open_server
from frevo.client.share.share import Share
from frevo.proto.dialect import BY_NAME, Cipher, Dialect, Signing
from frevo.proto.rdma import TRANSFORMS
from frevo.records import Redacted
from frevo.tls.client import ClientTrust, parse_fingerprint
from frevo.tls.errors import TlsError
from frevo.transport.address import DEFAULT_TRANSPORTS, TransportAddress, parse_transports, transport_at
from frevo.transport.smbdirect import PROVIDERS, RDMA_THRESHOLD_MAX, SmbDirectSettings
from frevo.transport.traits import QUIC, either

if TYPE_CHECKING:
    from frevo.transport.kernel_quic import WantedDriver
    from frevo.transport.smbdirect import WantedProvider, WantedTransforms


class _Closable(Protocol):
    async def close(self) -> None: ...


T = TypeVar("T", bound=_Closable)


class Connecting(Generic[T]):
    """`await` it, or use it in `async with`, which closes what was connected."""

    def __init__(self, make: Callable[[], Awaitable[T]]) -> None:
        self._make = make
        self._made: T | None = None

    def __await__(self) -> Generator[Any, None, T]:
        return self._make().__await__()

    async def __aenter__(self) -> T:
        self._made = await self._make()
        return self._made

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if self._made is not None:
            await self._made.close()


class Options(Redacted, msgspec.Struct, frozen=True):
    """Everything that `connect` takes besides the URL. user, password, domain, credentials_file: the user; the
    environment (FREVO_USER, FREVO_PASSWORD, FREVO_DOMAIN) and then ~/.netrc (or $NETRC) complete it; without a password
    the Kerberos ticket cache is used. workgroup: the domain of a user who has none. kerberos: auto, required, off.
    guest, anonymous: log on without an account. signing: False turns it off unless the server demands it. encryption:
    True demands it, prefer_encryption takes it where the server can. encryption_over_quic: False lets QUIC do instead
    where the server agrees and was verified. ciphers (none: no encryption at all), signings: what is offered, best
    first. minimum, maximum: dialects, as smb.conf names them (SMB2_02 … SMB3_11). transports: as `client smb
    transports`. timeout: seconds to connect. answer_timeout: seconds without a sign of life from the server, while an
    answer is due, after which the connection counts as lost, 0: as long as it takes. reconnect: seconds to try to get a
    lost connection back, 0: not at all. connections: how many a share may have while large files or very many are moved
    (most servers use one processor for each), 0: by the processors here, 2 to 4 for many files, half as many for a
    large one; 1: never another one. address: the address of the host, if its name does not resolve to it. client_guid:
    16 bytes that servers know this client by; a new one for each connection. netbios_name: what the nbt transport calls
    itself. Over QUIC: tls: the servers to trust, in full. tls_ca: a file with CAs, the only ones to trust.
    tls_fingerprint: the SHA-256 of the only certificate to trust, whatever its name, CA and dates are. tls_server_name:
    the name in the server's certificate, if it is not the host's. tls_cert, tls_key: files with our own certificate and
    its key, for servers that require one; the key may be in the file of the certificate. quic_driver: who speaks QUIC:
    user (this process), kernel (an error without its QUIC sockets), auto (the kernel where it has them). Over SMB
    Direct: smb_direct: what this end offers, in full. smbdirect_provider: what carries it (verbs, iwarp, emulated,
    kernel, auto). rdma_threshold: bytes of a READ or WRITE from which the server moves its data by RDMA, up to 8 MiB,
    0: never. rdma_transforms: how such data is protected where the session signs or encrypts and the server can: both,
    encryption, signing, none."""

    HIDDEN = ("password",)

    user: str | None = None
    password: str | None = None
    domain: str | None = None
    credentials_file: str | None = None
    kerberos: str = "auto"
    guest: bool = False
    anonymous: bool = False
    signing: bool = True
    encryption: bool = False
    minimum: str = "SMB2_02"
    maximum: str = "SMB3_11"
    transports: str | Sequence[TransportAddress] = DEFAULT_TRANSPORTS
    timeout: float = 5.0
    answer_timeout: float = 60.0
    reconnect: float = 30.0
    connections: int = 0
    address: str | None = None
    client_guid: bytes | None = None
    workgroup: str = ""
    prefer_encryption: bool = False
    encryption_over_quic: bool = True
    ciphers: Sequence[Cipher] = CIPHERS
    signings: Sequence[Signing] = SIGNINGS
    netbios_name: str = "FREVO"
    tls: ClientTrust = ClientTrust()
    tls_ca: str | PathLike[str] | None = None
    tls_cert: str | PathLike[str] | None = None
    tls_key: str | PathLike[str] | None = None
    tls_server_name: str | None = None
    tls_fingerprint: str | None = None
    quic_driver: WantedDriver = "auto"
    smb_direct: SmbDirectSettings = SmbDirectSettings()
    smbdirect_provider: WantedProvider | None = None
    rdma_threshold: int = 8192
    rdma_transforms: WantedTransforms = "both"

    def credentials(self, location: Location) -> Credentials:
        """The credentials for *location*: from these options, the URL, the file, the environment or the netrc file."""
        user = self.user if self.user is not None else location.user
        given = Credentials(
            user or "",
            self.password if self.password is not None else location.password,
            self.domain if self.domain is not None else (location.domain or ""),
            self.kerberos,
            self.guest,
            self.anonymous,
        )
        known = choose(split_user(given), self.credentials_file, host=location.host, port=location.known_port)
        if self.workgroup and known.user and not known.domain and "@" not in known.user:
            return replace(known, domain=self.workgroup)
        return known

    def settings(self, location: Location) -> Settings:
        """How to connect to *location*. ValueError for a wrong option."""
        transports = self.transports_to(location)
        if self._names_trust and not any(one.traits.secure for one in transports):
            names = ", ".join(map(str, transports))
            text = f"TLS options have no effect on {names}: use {QUIC.scheme}://, or {QUIC.name} as a transport"
            raise ValueError(text)
        if self.kerberos not in ("auto", "required", "off"):
            raise ValueError(f"kerberos={self.kerberos!r}: expected auto, required or off")
        provider = self.smbdirect_provider or self.smb_direct.provider
        if provider not in ("auto", *PROVIDERS):
            raise ValueError(f"smbdirect_provider={provider!r}: expected auto, {either([*PROVIDERS])}")
        if not 0 <= self.rdma_threshold <= RDMA_THRESHOLD_MAX:
            raise ValueError(f"rdma_threshold={self.rdma_threshold}: expected 0 to {RDMA_THRESHOLD_MAX}")
        if self.rdma_transforms not in TRANSFORMS:
            raise ValueError(f"rdma_transforms={self.rdma_transforms!r}: expected {either([*TRANSFORMS])}")
        return Settings(
            self.signing,
            self.encryption,
            _dialect(self.minimum),
            _dialect(self.maximum),
            transports,
            self.timeout,
            address=self.address,
            client_guid=self.client_guid,
            answer_timeout=self.answer_timeout,
            reconnect=self.reconnect,
            connections=self.connections,
            prefer_encryption=self.prefer_encryption,
            encryption_over_quic=self.encryption_over_quic,
            ciphers=self.ciphers,
            signings=self.signings,
            netbios_name=self.netbios_name,
            quic_driver=self.quic_driver,
            smb_direct=replace(self.smb_direct, provider=provider),
            rdma_threshold=self.rdma_threshold,
            rdma_transforms=self.rdma_transforms,
            tls=self._trust(),
            server_name=self.tls_server_name or "",
        )

    def transports_to(self, location: Location) -> Sequence[TransportAddress]:
        """The transports to reach *location* by, in order. ValueError for a wrong `transports`."""
        transports = self.transports
        if isinstance(transports, str):
            transports, _ = parse_transports(transports)
        if location.transport:
            return [TransportAddress(location.transport, location.known_port)]
        if location.port:
            # The URL's port is for the first transport; 139 is NetBIOS wherever it stands.
            return [transport_at(location.port, transports[0].name)]
        return transports

    @property
    def _names_trust(self) -> bool:
        return any(getattr(self, name) is not None for name in _TLS_NAMES)

    def _trust(self) -> ClientTrust:
        trust = self.tls
        for name in _TLS_NAMES:  # from an unset variable of a script: not the same as no demand
            if getattr(self, name) == "":
                raise ValueError(f"{name} is empty")
        if self.tls_ca:
            trust = replace(trust, ca_files=(_absolute(self.tls_ca),), ca_directories=(), system_cas=False)
        if self.tls_fingerprint:
            try:
                parse_fingerprint(self.tls_fingerprint)
            except TlsError as error:
                raise ValueError(str(error)) from None
            trust = replace(trust, fingerprint=self.tls_fingerprint)
        if self.tls_cert:
            key = _absolute(self.tls_key) if self.tls_key else ""
            trust = replace(trust, certificate=_absolute(self.tls_cert), key=key)
        elif self.tls_key:
            raise ValueError("a key needs its certificate: tls_cert (--tls-cert)")
        return trust


#: The options about TLS that name one thing; None: not given.
_TLS_NAMES = ("tls_ca", "tls_cert", "tls_key", "tls_server_name", "tls_fingerprint")


def _absolute(path: str | PathLike[str]) -> str:
    """*path* however the current directory changes."""
    return str(Path(path).absolute())


def _dialect(name: str) -> Dialect:
    if name not in BY_NAME:
        raise ValueError(f"unknown dialect {name!r}: one of {', '.join(BY_NAME)}")
    return BY_NAME[name]


def connect_server(url: str, options: Options | None = None, **changes: Any) -> Connecting[Server]:
    """Connects and logs on: `async with connect_server("smb://host") as server`."""
    location = Location.parse(url)
    wanted = replace(options or Options(), **changes)
    credentials, settings = wanted.credentials(location), wanted.settings(location)
    return Connecting(lambda: open_server(location.host, credentials, settings))


def connect(url: str, options: Options | None = None, **changes: Any) -> Connecting[Share]:
    """A share: `async with connect("smb://user@host/share", password="…") as share`.

    Options are fields of `Options`, by name. Paths are relative to what stands behind the share in the URL.
    ValueError for an invalid URL or option, RemoteError (an OSError) for what goes wrong.
    """
    location = Location.parse(url)
    if not location.share:
        raise ValueError(f"{url!r} names no share: smb://host/share")
    wanted = replace(options or Options(), **changes)
    credentials, settings = wanted.credentials(location), wanted.settings(location)

    async def make() -> Share:
        server = await open_server(location.host, credentials, settings)
        try:
            return await server.share(location.share, base=location.path, owned=True)
        except BaseException:
            await server.close()
            raise

    return Connecting(make)
