"""Every key of [global], in one table: the fields of GlobalConfig."""

from __future__ import annotations

import msgspec

from frevo.config import choices
from frevo.config.choices import (
    ClientProtection,
    EncryptionPolicy,
    Engine,
    GuestMapping,
    KerberosMethod,
    NtlmPolicy,
    SigningPolicy,
    Tristate,
)
from frevo.config.defaults import default_netbios_name, default_private_dir
from frevo.config.key import keys_of, setting
from frevo.config.share_keys import ShareConfig
from frevo.config.types import (
    Boolean,
    Duration,
    Integer,
    LogLevel,
    Name,
    Path,
    Size,
    Subset,
    Text,
    Transports,
    Words,
)
from frevo.transport.address import DEFAULT_TRANSPORTS, TransportAddress

#: Names as in [MS-SMB2] 2.2.3.1.7 and 2.2.3.1.2, strongest choice of this server first.
SIGNING_ALGORITHMS = ("AES-128-GMAC", "AES-128-CMAC", "HMAC-SHA256")
ENCRYPTION_ALGORITHMS = ("AES-128-GCM", "AES-128-CCM", "AES-256-GCM", "AES-256-CCM")
CLIENT_ENCRYPTION_ALGORITHMS = ("AES-128-GCM", "AES-256-GCM", "AES-128-CCM", "AES-256-CCM")
_SIGNING = Subset(SIGNING_ALGORITHMS, SIGNING_ALGORITHMS)
_CIPHERS = Subset(ENCRYPTION_ALGORITHMS, ENCRYPTION_ALGORITHMS)

_KIB, _MIB = 1 << 10, 1 << 20


class GlobalConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What [global] says; frozen, handed down, replaced as a whole on reload."""

    defaults: ShareConfig = msgspec.field(default_factory=ShareConfig)

    # Names
    workgroup: str = setting(
        Name(), "WORKGROUP", "The workgroup or NetBIOS domain that clients are told.", lenient=True
    )
    netbios_name: str = setting(
        Name(),
        default_netbios_name,
        "The server's NetBIOS name.",
        default_text="(the host's name)",
        lenient=True,
    )
    server_string: str = setting(Text(), "frevo %v", "The server's description in lists.")
    realm: str = setting(Text(), "", "The Kerberos realm.")

    unix_charset: str = setting(
        choices.UNIX_CHARSET, "UTF-8", "The character set of names on disk: there is only this one."
    )

    # Network
    interfaces: tuple[str, ...] = setting(
        Words(),
        (),
        "Interface names (* and ? are wildcards), addresses or address/bits to serve on.",
        default_text="(all)",
        restart=True,
    )
    bind_interfaces_only: bool = setting(
        Boolean(),
        False,
        "Whether only the addresses of `interfaces` accept connections.",
        restart=True,
        guards=bool,
    )
    server_smb_transports: tuple[TransportAddress, ...] = setting(
        Transports(),
        DEFAULT_TRANSPORTS,
        "What the server listens on: `tcp`, `nbt`, each with an optional `:port`; "
        "a bare number is tcp (139: nbt); "
        "`+name` adds to the default.",
        synonyms=("smb ports",),
        restart=True,
    )
    client_smb_transports: tuple[TransportAddress, ...] = setting(
        Transports(), DEFAULT_TRANSPORTS, "What frevo's own client commands try, in this order."
    )
    client_min_protocol: int = setting(
        choices.MIN_PROTOCOL, 0x0202, "The oldest dialect that frevo's client commands accept."
    )
    client_max_protocol: int = setting(
        choices.MAX_PROTOCOL, 0x0311, "The newest dialect that frevo's client commands offer."
    )
    client_signing: SigningPolicy = setting(
        choices.CLIENT_SIGNING,
        "default",
        "Signing by frevo's client commands: always, unless it is `disabled` and the server does not demand it.",
    )
    client_smb_encrypt: EncryptionPolicy = setting(
        choices.ENCRYPTION,
        "if_required",
        "Encryption by frevo's client commands: `off` never, `if_required` when the server demands it, `desired` "
        "whenever it can, `required` or no connection.",
    )
    client_protection: ClientProtection = setting(
        choices.CLIENT_PROTECTION,
        "default",
        "With `encrypt` frevo's client commands encrypt or do not connect; they sign in any case, unless "
        "`client signing` says otherwise.",
    )
    client_smb3_signing_algorithms: tuple[str, ...] = setting(
        _SIGNING, SIGNING_ALGORITHMS, "Signing algorithms that the client commands offer, best first."
    )
    client_smb3_encryption_algorithms: tuple[str, ...] = setting(
        Subset(ENCRYPTION_ALGORITHMS, CLIENT_ENCRYPTION_ALGORITHMS),
        CLIENT_ENCRYPTION_ALGORITHMS,
        "Ciphers that the client commands offer, best first.",
    )

    # Protocol
    server_min_protocol: int = setting(
        choices.MIN_PROTOCOL,
        0x0202,
        "The oldest dialect that is spoken.",
        synonyms=("min protocol",),
        guards=lambda dialect: dialect > 0x0202,
    )
    server_max_protocol: int = setting(
        choices.MAX_PROTOCOL,
        0x0311,
        "The newest dialect that is spoken.",
        synonyms=("max protocol", "protocol"),
    )
    server_signing: SigningPolicy = setting(
        choices.SIGNING,
        "default",
        "Signing: `mandatory` refuses what is not signed or encrypted, `auto` and `disabled` sign when the client "
        "asks; `default` is `mandatory`. Guests and anonymous users, who have no key to sign with, are excepted.",
        guards=lambda policy: policy == "mandatory",
    )
    server_smb3_signing_algorithms: tuple[str, ...] = setting(
        _SIGNING, SIGNING_ALGORITHMS, "Signing algorithms that are negotiated, best first."
    )
    server_smb3_encryption_algorithms: tuple[str, ...] = setting(
        _CIPHERS, ENCRYPTION_ALGORITHMS, "Ciphers that are negotiated, best first."
    )
    smb2_max_read: int = setting(Size(64 * _KIB, 8 * _MIB), 8 * _MIB, "The largest READ.", unit="bytes")
    smb2_max_write: int = setting(Size(64 * _KIB, 8 * _MIB), 8 * _MIB, "The largest WRITE.", unit="bytes")
    smb2_max_trans: int = setting(
        Size(64 * _KIB, 8 * _MIB),
        8 * _MIB,
        "The largest answer of queries, listings and ioctls.",
        unit="bytes",
    )
    smb2_max_credits: int = setting(
        Integer(1, 65535), 8192, "How many credits one connection can hold at once.", unit="credits"
    )

    # Users
    map_to_guest: GuestMapping = setting(
        choices.MAP_TO_GUEST,
        "never",
        "Who becomes a guest: `Never` nobody, `Bad User` unknown names, `Bad Password` wrong passwords too.",
        guards=lambda mapping: mapping == "never",
    )
    restrict_anonymous: int = setting(
        Integer(0, 2),
        0,
        "What clients without a name may ask: with 0 and 1 the list of shares (accounts and names are never told to "
        "them), with 2 nothing, for IPC$ is closed to them.",
        guards=lambda level: level != 0,
    )
    guest_account: str = setting(
        Text(), "nobody", "The account that guests are shown as, and the Unix user that they act as."
    )
    username_map: str = setting(
        Text(),
        "",
        "A file with lines `unixname = names that clients send`: `@group`, `*`, quoted names, `!` to stop there.",
        guards=bool,
    )
    frevo_unix_users: Tristate = setting(
        choices.AUTO_YES_NO,
        "auto",
        "Whether every session acts on disk as its own Unix user; `auto`: when the server runs as root. "
        "With `no` everybody acts as the user that the server runs as.",
        restart=True,
    )
    private_dir: str = setting(
        Path(),
        default_private_dir,
        "The folder (mode 0700) with the accounts and the control socket.",
        default_text="/var/lib/frevo/private for root, else ~/.local/state/frevo/private",
        synonyms=("private directory",),
        restart=True,
    )
    ntlm_auth: NtlmPolicy = setting(
        choices.NTLM_AUTH,
        "ntlmv2-only",
        "Whether users may log on with NTLMv2; `disabled`: with Kerberos only, and nobody anonymously.",
        guards=lambda policy: policy == "disabled",
    )
    kerberos_method: KerberosMethod = setting(
        choices.KERBEROS_METHOD,
        "secrets only",
        "Where Kerberos keys come from: `system keytab` or `dedicated keytab`; "
        "`secrets only` turns Kerberos off unless `dedicated keytab file` is set.",
    )
    dedicated_keytab_file: str = setting(
        Text(), "", "The keytab with the cifs/host key; setting it turns Kerberos on."
    )

    # Log
    log_level: int = setting(
        LogLevel(),
        1,
        "0 errors, 1 warnings and life cycle, 3 requests, 10 all.",
        synonyms=("debuglevel",),
        lenient=True,
    )
    log_file: str = setting(Text(), "", "The log file.", default_text="(standard error)", restart=True)

    # frevo's own
    frevo_fast_path: bool = setting(
        Boolean(),
        True,
        "Whether the data plane answers plain READ and ECHO itself; `no` gives the same results.",
    )
    frevo_engine: Engine = setting(
        choices.ENGINE, "auto", "The data plane's engine; `auto` takes io_uring where it works.", restart=True
    )
    frevo_data_plane_threads: int = setting(
        Integer(0, 256),
        0,
        "Threads that move bytes; 0 means one per core, at most 8.",
        unit="threads",
        restart=True,
    )
    frevo_max_connections: int = setting(
        Integer(1, 1_000_000), 16384, "Connections at once; more are closed on arrival.", unit="connections"
    )
    frevo_max_unauthenticated_connections: int = setting(
        Integer(1, 1_000_000),
        1024,
        "Connections at once that have not logged on yet; when there are more, the oldest are closed.",
        unit="connections",
    )
    frevo_preauth_message_size: int = setting(
        Size(4 * _KIB, 1 * _MIB), 128 * _KIB, "The largest message before log-on.", unit="bytes"
    )
    frevo_preauth_timeout: float = setting(
        Duration(0.1, 3600), 30.0, "Time to log on; then the connection is closed.", unit="seconds"
    )
    deadtime: int = setting(
        Integer(0, 1_000_000),
        10080,
        "Connections without an open file are closed after this silence; 0 means never.",
        unit="minutes",
    )
    frevo_idle_timeout: float = setting(
        Duration(),
        0.0,
        "`deadtime` in seconds, wins over it; 0 means that `deadtime` holds.",
        unit="seconds",
    )
    frevo_drain_timeout: float = setting(
        Duration(0, 3600), 1.5, "At stop: time for running requests to end.", unit="seconds"
    )
    frevo_max_sessions_per_connection: int = setting(
        Integer(1, 65536), 1024, "Sessions on one connection.", unit="sessions"
    )
    frevo_max_trees_per_session: int = setting(
        Integer(1, 65536), 1024, "Connected shares in one session.", unit="trees"
    )
    frevo_max_opens_per_session: int = setting(
        Integer(1, 1_000_000), 16384, "Open files and folders in one session.", unit="opens"
    )
    frevo_max_requests_in_flight: int = setting(
        Integer(1, 65535),
        8192,
        "Requests of one connection at once; more are not read from the socket.",
        unit="requests",
    )
    frevo_max_bytes_in_flight: int = setting(
        Size(16 * _MIB, 4096 * _MIB),
        64 * _MIB,
        "Bytes of requests and answers of one connection at once.",
        unit="bytes",
    )
    frevo_max_pending_async_requests: int = setting(
        Integer(1, 65535),
        1024,
        "Requests of one connection that wait (blocking locks, change notify); more are refused.",
        unit="requests",
    )
    frevo_max_sessions: int = setting(
        Integer(1, 10_000_000),
        65536,
        "Sessions in all. This and what follows: one user may have at most as much of it as is still free.",
        unit="sessions",
    )
    frevo_max_unread_bytes: int = setting(
        Size(16 * _MIB, 1024 * 1024 * _MIB),
        1024 * _MIB,
        "Answers that clients have not read, of all connections.",
        unit="bytes",
        restart=True,
    )
    frevo_log_on_attempts: int = setting(
        Integer(1, 10_000),
        5,
        "Wrong passwords of one account from one address (ten times as many of all accounts) that cost no time.",
        unit="attempts",
    )
    frevo_log_on_delay: float = setting(
        Duration(0, 60),
        1.0,
        "What each further one costs, whoever tries it from there; right ones wait their turn. 0 turns it off.",
        unit="seconds",
    )
    frevo_max_pipes: int = setting(Integer(1, 1_000_000), 2048, "Open named pipes in all.", unit="pipes")
    frevo_max_anonymous_pipes: int = setting(
        Integer(0, 1_000_000),
        32,
        "Open named pipes of all null sessions together, and of all guests together.",
        unit="pipes",
    )
    frevo_max_pipe_bytes: int = setting(
        Size(1 * _MIB, 4096 * _MIB), 64 * _MIB, "Calls and unread answers in all named pipes.", unit="bytes"
    )
    frevo_max_watches: int = setting(
        Integer(1, 1_000_000), 4096, "Watched folders that clients have open, in all.", unit="watches"
    )
    frevo_max_watched_folders: int = setting(
        Integer(1, 10_000_000),
        131_072,
        "Folders that all these watches look at, those below of a recursive one included.",
        unit="folders",
    )
    frevo_max_waiting_requests: int = setting(
        Integer(1, 10_000_000),
        65536,
        "Requests that wait (blocking locks, change notify), in all.",
        unit="requests",
    )
    frevo_max_session_lifetime: float = setting(
        Duration(),
        0.0,
        "Log-on is asked again after this time; 0 means never (Kerberos: the ticket's end).",
        unit="seconds",
    )

    @property
    def server_smb_encrypt(self) -> EncryptionPolicy:
        """`server smb encrypt` of [global], which rules the sessions."""
        return self.defaults.server_smb_encrypt

    @property
    def kerberos_keytab(self) -> str | None:
        """The keytab to accept tickets with: a path, "" for the system's, None when Kerberos is off."""
        if self.dedicated_keytab_file:
            return self.dedicated_keytab_file.removeprefix("FILE:")
        return "" if self.kerberos_method in ("system keytab", "secrets and keytab") else None


GLOBAL_KEYS = keys_of(GlobalConfig, "global")
