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
    ReadPath,
    SigningPolicy,
    SplicePolicy,
    Tristate,
    WritePath,
)
from frevo.config.defaults import default_netbios_name
from frevo.config.key import keys_of, setting
from frevo.config.share_keys import ShareConfig
from frevo.config.smbdirect_keys import SmbDirectKeys
from frevo.config.types import (
    Boolean,
    Duration,
    Integer,
    LogLevel,
    Name,
    Path,
    Separator,
    Size,
    Subset,
    Text,
    Transports,
    Words,
)
from frevo.folders import default_private_dir
from frevo.transport.address import DEFAULT_TRANSPORTS, TransportAddress
from frevo.transport.base import DEFAULT_LIMITS

#: Names as in [MS-SMB2] 2.2.3.1.7 and 2.2.3.1.2, strongest choice of this server first.
SIGNING_ALGORITHMS = ("AES-128-GMAC", "AES-128-CMAC", "HMAC-SHA256")
ENCRYPTION_ALGORITHMS = ("AES-128-GCM", "AES-128-CCM", "AES-256-GCM", "AES-256-CCM")
CLIENT_ENCRYPTION_ALGORITHMS = ("AES-128-GCM", "AES-256-GCM", "AES-128-CCM", "AES-256-CCM")
_SIGNING = Subset(SIGNING_ALGORITHMS, SIGNING_ALGORITHMS)
_CIPHERS = Subset(ENCRYPTION_ALGORITHMS, ENCRYPTION_ALGORITHMS)

_KIB, _MIB = 1 << 10, 1 << 20


class GlobalConfig(SmbDirectKeys, frozen=True, kw_only=True):
    """What [global] says; frozen, handed down, replaced as a whole on reload."""

    defaults: ShareConfig = msgspec.field(default_factory=ShareConfig)

    # Names
    workgroup: str = setting(
        Name(), "WORKGROUP", "The workgroup or NetBIOS domain name sent to clients.", lenient=True
    )
    netbios_name: str = setting(
        Name(),
        default_netbios_name,
        "The server's NetBIOS name.",
        default_text="(the host's name)",
        lenient=True,
    )
    server_string: str = setting(Text(), "frevo %v", "The server's description in browse lists.")
    realm: str = setting(Text(), "", "The Kerberos realm.")

    unix_charset: str = setting(
        choices.UNIX_CHARSET, "UTF-8", "The character set of file names on disk. Only UTF-8 is supported."
    )

    # Network
    interfaces: tuple[str, ...] = setting(
        Words(),
        (),
        "The interfaces to serve on: interface names (`*` and `?` are wildcards), addresses, or "
        "address/bits.",
        default_text="(all)",
        restart=True,
    )
    bind_interfaces_only: bool = setting(
        Boolean(),
        False,
        "Accept connections only on the addresses in `interfaces`.",
        restart=True,
        guards=bool,
    )
    server_smb_transports: tuple[TransportAddress, ...] = setting(
        Transports(),
        DEFAULT_TRANSPORTS,
        "The transports to listen on: `tcp`, `nbt`, `quic` or `smbdirect`, each with an optional `:port`. A bare "
        "number means tcp (139 means nbt). `+name` adds to the default.",
        synonyms=("smb ports",),
        restart=True,
    )
    client_smb_transports: tuple[TransportAddress, ...] = setting(
        Transports(),
        DEFAULT_TRANSPORTS,
        "The transports that frevo's client commands try: `tcp`, `nbt`, `quic` or `smbdirect`, each with an optional "
        "`:port`. The first is tried at once, the others 5 ms later. `+name` adds to the default.",
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
        "Signing by frevo's client commands. They always sign, unless this is `disabled` and the server "
        "does not require signing.",
    )
    client_smb_encrypt: EncryptionPolicy = setting(
        choices.ENCRYPTION,
        "if_required",
        "Encryption by frevo's client commands: `off` never encrypts, `if_required` encrypts when the "
        "server requires it, `desired` encrypts when the server can, `required` refuses to connect "
        "without encryption.",
    )
    client_protection: ClientProtection = setting(
        choices.CLIENT_PROTECTION,
        "default",
        "With `encrypt`, frevo's client commands refuse to connect without encryption. They sign in any "
        "case, unless `client signing` says otherwise.",
    )
    client_smb3_signing_algorithms: tuple[str, ...] = setting(
        _SIGNING,
        SIGNING_ALGORITHMS,
        "The signing algorithms that the client commands offer, in order of preference.",
    )
    client_smb3_encryption_algorithms: tuple[str, ...] = setting(
        Subset(ENCRYPTION_ALGORITHMS, CLIENT_ENCRYPTION_ALGORITHMS),
        CLIENT_ENCRYPTION_ALGORITHMS,
        "The ciphers that the client commands offer, in order of preference.",
    )

    client_smb_encryption_over_quic: bool = setting(
        Boolean(),
        True,
        "Whether `client smb encrypt` also applies over QUIC, which encrypts everything itself. With `no`, "
        "QUIC is enough when the server agrees and its certificate was verified.",
    )

    # Protocol
    server_min_protocol: int = setting(
        choices.MIN_PROTOCOL,
        0x0202,
        "The oldest dialect that the server accepts.",
        synonyms=("min protocol",),
        guards=lambda dialect: dialect > 0x0202,
    )
    server_max_protocol: int = setting(
        choices.MAX_PROTOCOL,
        0x0311,
        "The newest dialect that the server accepts.",
        synonyms=("max protocol", "protocol"),
    )
    server_signing: SigningPolicy = setting(
        choices.SIGNING,
        "default",
        "Signing: `mandatory` refuses messages that are neither signed nor encrypted; `auto` and "
        "`disabled` sign when the client asks for it; `default` means `mandatory`. Guests and anonymous "
        "users are exempt because they have no signing key.",
        guards=lambda policy: policy == "mandatory",
    )
    server_smb3_signing_algorithms: tuple[str, ...] = setting(
        _SIGNING,
        SIGNING_ALGORITHMS,
        "The signing algorithms that the server accepts, in order of preference.",
    )
    server_smb3_encryption_algorithms: tuple[str, ...] = setting(
        _CIPHERS, ENCRYPTION_ALGORITHMS, "The ciphers that the server accepts, in order of preference."
    )
    server_smb_encryption_over_quic: bool = setting(
        Boolean(),
        True,
        "Whether `server smb encrypt` also applies over QUIC, which encrypts everything itself. With `no`, "
        "QUIC is enough for clients that ask to rely on it, even for shares that must be encrypted.",
        guards=bool,
    )
    smb2_max_read: int = setting(Size(64 * _KIB, 8 * _MIB), 8 * _MIB, "The largest READ.", unit="bytes")
    smb2_max_write: int = setting(Size(64 * _KIB, 8 * _MIB), 8 * _MIB, "The largest WRITE.", unit="bytes")
    smb2_max_trans: int = setting(
        Size(64 * _KIB, 8 * _MIB),
        8 * _MIB,
        "The largest response to a query, directory listing or ioctl.",
        unit="bytes",
    )
    smb2_max_credits: int = setting(
        Integer(1, 65535),
        DEFAULT_LIMITS["max_credits"],
        "The most credits that one connection can hold.",
        unit="credits",
    )

    # Users
    map_to_guest: GuestMapping = setting(
        choices.MAP_TO_GUEST,
        "never",
        "Which failed log-ons become guest log-ons: `Never` none, `Bad User` those with an unknown user "
        "name, `Bad Password` those with a wrong password too.",
        guards=lambda mapping: mapping == "never",
    )
    restrict_anonymous: int = setting(
        Integer(0, 2),
        0,
        "What anonymous clients may see. 0 and 1: the list of shares, but no account names. 2: nothing; "
        "they cannot connect to IPC$.",
        guards=lambda level: level != 0,
    )
    guest_account: str = setting(
        Text(), "nobody", "The account name shown for guests, and the Unix user that they act as."
    )
    username_map: str = setting(
        Text(),
        "",
        "A file with lines of the form `unixname = client names`. Client names can be `@group`, `*` or "
        "quoted; `!` at the start of a line stops the search when that line matches.",
        guards=bool,
    )
    winbind_separator: str = setting(
        Separator(),
        "\\",
        "The character between domain and user name in lists of users, in `force user`, in `force group` "
        "and in %w.",
        lenient=True,
    )
    frevo_unix_users: Tristate = setting(
        choices.AUTO_YES_NO,
        "auto",
        "Whether each session accesses the disk as its own Unix user. `auto` means yes if the server "
        "runs as root. With `no`, everyone acts as the user that the server runs as.",
        restart=True,
    )
    private_dir: str = setting(
        Path(),
        default_private_dir,
        "The folder (mode 0700) for the accounts, the certificates that frevo makes, and the control socket.",
        default_text="/var/lib/frevo/private for root, else ~/.local/state/frevo/private",
        synonyms=("private directory",),
        restart=True,
    )
    ntlm_auth: NtlmPolicy = setting(
        choices.NTLM_AUTH,
        "ntlmv2-only",
        "`ntlmv2-only` lets users log on with NTLMv2. `disabled` allows Kerberos only, and no anonymous "
        "log-on.",
        guards=lambda policy: policy == "disabled",
    )
    kerberos_method: KerberosMethod = setting(
        choices.KERBEROS_METHOD,
        "secrets only",
        "Where Kerberos keys are kept: `system keytab` or `dedicated keytab`. `secrets only` turns "
        "Kerberos off unless `dedicated keytab file` is set.",
    )
    dedicated_keytab_file: str = setting(
        Text(), "", "The keytab that holds the cifs/host key. Setting it turns Kerberos on."
    )

    # Log
    log_level: int = setting(
        LogLevel(),
        1,
        "How much to log: 0 errors, 1 also warnings, start and stop, 3 also requests, 10 everything.",
        synonyms=("debuglevel",),
        lenient=True,
    )
    log_file: str = setting(Text(), "", "The log file.", default_text="(standard error)", restart=True)

    # frevo's own
    frevo_fast_path: bool = setting(
        Boolean(),
        True,
        "Whether the data plane answers plain READ, WRITE, FLUSH and ECHO requests itself. `no` is slower but gives "
        "the same results.",
    )
    frevo_engine: Engine = setting(
        choices.ENGINE,
        "auto",
        "The I/O engine of the data plane. `auto` uses io_uring where it works, or what the environment variable "
        "`FREVO_ENGINE` says, as clients do.",
        restart=True,
    )
    frevo_read_path: ReadPath = setting(
        choices.READ_PATH,
        "auto",
        "How responses from 64 KiB on are sent. `plain`: copied by the thread that has read the data. `async`: copied "
        "by a thread of the kernel. `zerocopy`: the network card reads frevo's buffer. `splice`: it reads the page "
        "cache; for data that is neither signed nor encrypted, and where `frevo:splice` allows it. `async` and "
        "`zerocopy` need io_uring. None of these three is used over QUIC. Where a way cannot be used, `plain` is. "
        "`auto` is `plain`, the fastest where it was measured; `frevo status` says why another way is not used.",
        restart=True,
    )
    frevo_splice: SplicePolicy = setting(
        choices.SPLICE,
        "auto",
        "When `frevo:read path = splice` sends pages of a file as they are. `auto`: while nobody can change them "
        "before the client has them: under a read lease of Linux (F_SETLEASE), and to clients on other hosts. A "
        "program that opens the file for writing waits until they have arrived, at most 10 seconds; a client that "
        "does not take them for 2 seconds is disconnected. `always`: whoever writes to the file may change what is "
        "being sent; for files that nobody writes to, and for benchmarks. `never`: not at all.",
        restart=True,
    )
    frevo_write_path: WritePath = setting(
        choices.WRITE_PATH,
        "auto",
        "How the data of WRITE requests from 64 KiB on reach their file. `plain`: received into a buffer, and written "
        "from there. `fixed`: the same by io_uring, which it needs, from memory that it knows. `splice`: copied into "
        "the page cache from where the socket has received it; for data that is neither signed nor encrypted, and not "
        "over QUIC. Where a way cannot be used, `plain` is. `auto` is `splice`; `frevo status` says why another way is "
        "not used.",
        restart=True,
    )
    frevo_data_plane_threads: int = setting(
        Integer(0, 256),
        0,
        "Threads of the data plane. 0 means one per core, at most 8.",
        unit="threads",
        restart=True,
    )
    frevo_max_connections: int = setting(
        Integer(1, 1_000_000),
        DEFAULT_LIMITS["max_connections"],
        "The most connections at a time. Further ones are closed as soon as they arrive.",
        unit="connections",
    )
    frevo_max_unauthenticated_connections: int = setting(
        Integer(1, 1_000_000),
        DEFAULT_LIMITS["max_unauthenticated"],
        "The most connections that have not logged on yet. Above this number, the oldest are closed.",
        unit="connections",
    )
    frevo_preauth_message_size: int = setting(
        Size(4 * _KIB, 1 * _MIB),
        DEFAULT_LIMITS["max_preauth_frame"],
        "The largest message accepted before log-on.",
        unit="bytes",
    )
    frevo_preauth_timeout: float = setting(
        Duration(0.1, 3600),
        DEFAULT_LIMITS["preauth_timeout"],
        "How long a connection may take to log on before it is closed.",
        unit="seconds",
    )
    deadtime: int = setting(
        Integer(0, 1_000_000),
        10080,
        "Connections with no open files are closed after being idle for this long. 0 means never.",
        unit="minutes",
        lenient=True,
    )
    keepalive: int = setting(
        Integer(0, 32767),
        300,
        "After this much silence, TCP probes the client and closes the connection if there is no "
        "response. 0 means never.",
        unit="seconds",
        restart=True,
        lenient=True,
    )
    frevo_idle_timeout: float = setting(
        Duration(),
        0.0,
        "The same as `deadtime`, in seconds, and overrides it. 0 means that `deadtime` applies.",
        unit="seconds",
    )
    frevo_drain_timeout: float = setting(
        Duration(0, 3600),
        1.5,
        "How long running requests may take to finish when the server stops.",
        unit="seconds",
    )
    frevo_max_sessions_per_connection: int = setting(
        Integer(1, 65536), 1024, "The most sessions on one connection.", unit="sessions"
    )
    frevo_max_trees_per_session: int = setting(
        Integer(1, 65536), 1024, "The most connected shares in one session.", unit="trees"
    )
    frevo_max_opens_per_session: int = setting(
        Integer(1, 1_000_000), 16384, "The most open files and folders in one session.", unit="opens"
    )
    frevo_max_requests_in_flight: int = setting(
        Integer(1, 65535),
        DEFAULT_LIMITS["max_requests_in_flight"],
        "The most requests in progress on one connection. Further ones stay unread in the socket.",
        unit="requests",
    )
    frevo_max_bytes_in_flight: int = setting(
        Size(16 * _MIB, 4096 * _MIB),
        DEFAULT_LIMITS["max_bytes_in_flight"],
        "The most bytes of requests and responses in progress on one connection.",
        unit="bytes",
    )
    frevo_max_pending_async_requests: int = setting(
        Integer(1, 65535),
        1024,
        "The most waiting requests (blocking locks, change notify) on one connection. Further ones are "
        "refused.",
        unit="requests",
    )
    frevo_max_sessions: int = setting(
        Integer(1, 10_000_000),
        65536,
        "The most sessions in total. For this and the other limits in total, one user may hold no more "
        "than what is still free.",
        unit="sessions",
    )
    frevo_max_unread_bytes: int = setting(
        Size(16 * _MIB, 1024 * 1024 * _MIB),
        DEFAULT_LIMITS["max_unread_bytes"],
        "The most bytes of responses that clients have asked for or not read yet, and of requests that are still "
        "coming in, on all connections. A large request counts with all of its size once it has begun; of a user "
        "who has too much, no more are begun.",
        unit="bytes",
        restart=True,
    )
    frevo_log_on_attempts: int = setting(
        Integer(1, 10_000),
        5,
        "The number of wrong passwords for one account from one address (or ten times as many for all "
        "accounts together) that cause no delay.",
        unit="attempts",
    )
    frevo_log_on_delay: float = setting(
        Duration(0, 60),
        1.0,
        "The delay added by each further wrong password, for every log-on from that address. Correct "
        "passwords have to wait, too. 0 turns this off.",
        unit="seconds",
    )
    frevo_quic_named_pipes: bool = setting(
        Boolean(),
        False,
        "Whether clients may open named pipes over QUIC. They need them to list shares and to look up "
        "account names, but not to use a share.",
        guards=lambda allowed: not allowed,
    )
    frevo_max_pipes: int = setting(
        Integer(1, 1_000_000), 2048, "The most open named pipes in total.", unit="pipes"
    )
    frevo_max_anonymous_pipes: int = setting(
        Integer(0, 1_000_000),
        32,
        "The most open named pipes of all anonymous sessions together, and of all guests together.",
        unit="pipes",
    )
    frevo_max_pipe_bytes: int = setting(
        Size(1 * _MIB, 4096 * _MIB),
        64 * _MIB,
        "The most bytes of calls and unread responses in all named pipes.",
        unit="bytes",
    )
    frevo_max_watches: int = setting(
        Integer(1, 1_000_000), 4096, "The most folders that clients watch, in total.", unit="watches"
    )
    frevo_max_watched_folders: int = setting(
        Integer(1, 10_000_000),
        131_072,
        "The most folders covered by all watches. For recursive watches, subfolders count.",
        unit="folders",
    )
    frevo_max_waiting_requests: int = setting(
        Integer(1, 10_000_000),
        65536,
        "The most waiting requests (blocking locks, change notify) in total.",
        unit="requests",
    )
    frevo_max_session_lifetime: float = setting(
        Duration(),
        0.0,
        "How long a session lasts before the client must log on again. 0 means no limit (with Kerberos: "
        "until the ticket expires).",
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
