"""Samba's parameters that frevo does not use: what each would do, and what ignoring it means.

One table for human readers: `_RELICS` are ignored silently and `_MISSING` with a warning; `_GUARDS` are errors,
because ignoring them would give more access than the file allows. `|` separates synonyms. For the values in `same`,
frevo behaves as Samba does, so that no message is needed.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from frevo.config.key import normal

#: The one row whose effect depends on the modules in its value (frevo.config.vfs_modules).
VFS_OBJECTS = "vfs objects | vfs object"
YES = frozenset({"yes", "true", "1", "on"})
NO = frozenset({"no", "false", "0", "off"})


class Effect(IntEnum):
    """What ignoring a parameter means."""

    NOTHING = 0  # no difference for users of frevo
    LESS = 1  # a feature is missing, but nobody gets more access: a warning
    MORE = 2  # clients would get more access: an error


class Unsupported(msgspec.Struct, frozen=True):
    """One parameter. `scope`: "share" if it applies to one share, "global" if to the whole server."""

    name: str
    synonyms: tuple[str, ...]
    reason: str
    effect: Effect
    same: frozenset[str] = frozenset()
    scope: str = "global"

    def effect_of(self, value: str) -> Effect:
        """The effect of ignoring this *value*: NOTHING if it is empty or what frevo does anyway."""
        word = " ".join(value.strip().strip('"').lower().split())
        return Effect.NOTHING if not word or word in self.same else self.effect


#: (reason, names) of parameters for features that frevo does not have, so that ignoring them loses nothing.
_RELICS: tuple[tuple[str, str], ...] = (
    (
        "frevo does not print",
        """addport command; addprinter command; cups connection timeout; cups encrypt; cups options; cups server;
        default devmode; deleteprinter command; disable spoolss; enable spoolss; enumports command; force
        printername; iprint server; load printers; lppause command; lpq cache time; lpq command; lpresume command;
        lprm command; max print jobs; max reported print jobs; min print space; os2 driver map; print command;
        print notify backchannel; printable | print ok; printcap cache time; printcap name | printcap; printer
        admin; printer driver; printer driver file; printer driver location; printer name | printer; printing;
        printjob username; queuepause command; queueresume command; show add printer wizard; use client driver;
        total print jobs; disable print service""",
    ),
    (
        "frevo speaks SMB 2 and 3 only; this is about SMB 1, LANMAN or older Windows",
        """announce as; announce version; async smb echo handler; client lanman auth; client NTLMv2 auth; client
        plaintext auth; client use spnego; client use spnego principal; dos charset; lanman auth; large readwrite;
        lm announce; lm interval; max mux; max xmit; nt pipe support; nt smb support; nt status support; null
        passwords; password level; raw NTLMv2 auth; read bmpx; read prediction; read raw; read size; reset on zero
        vc; smb1 unix extensions | unix extensions; status; time server; unicode; use spnego; username level; write
        raw; encrypt passwords; protocol extensions; character set; client code page; code page directory; coding
        system; valid chars""",
    ),
    (
        "frevo has no NetBIOS name service, browser or WINS (nmbd); names are found by DNS",
        """browse list; dgram port; disable netbios; dns proxy; domain master; enhanced browsing; hostname lookups;
        local master; max ttl; max wins ttl; mdns name; message command; min wins ttl; multicast dns register; name
        cache timeout; name resolve order; nbt client socket address | socket address; nbt port; netbios aliases;
        netbios scope; nmbd bind explicit broadcast; os level; preferred master | prefered master; remote announce;
        remote browse sync; wins hook; wins partners; wins proxy; wins server; wins support; homedir map; nis
        homedir; source environment""",
    ),
    (
        "frevo has no winbind and no domain membership; `frevo user` manages its accounts",
        """allow trusted domains; apply group policies; client ldap sasl wrapping; client netlogon ping protocol;
        client netlogon schannel; client schannel; client use krb5 netlogon; create krb5 conf; gpo update command;
        idmap backend; idmap cache time; idmap gid | winbind gid; idmap negative cache time; idmap uid | winbind
        uid; include system krb5 conf; kerberos encryption types; krb5 acceptor report canonical client name; ldap
        admin dn; ldap connection timeout; ldap debug level; ldap debug threshold; ldap delete dn; ldap deref; ldap
        filter; ldap follow referral; ldap group suffix; ldap idmap suffix; ldap machine suffix; ldap max anonymous
        request size; ldap max authenticated request size; ldap max search request size; ldap page size; ldap
        passwd sync | ldap password sync; ldap port; ldap replication sleep; ldap server; ldap server require
        strong auth; ldap ssl; ldap suffix; ldap timeout; ldap user suffix; machine password timeout; map untrusted
        to domain; min domain uid; neutralize nt4 emulation; passdb expand explicit; password server; reject aes
        netlogon servers; reject md5 servers; require strong key; sync machine password script; sync machine
        password to keytab; template homedir; template primary group; template shell; winbind cache time; winbind
        debug traceid; winbind enum groups; winbind enum users; winbind expand groups; winbind max clients; winbind
        max domain connections; winbind nested groups; winbind normalize names; winbind nss info; winbind offline
        logon; winbind reconnect delay; winbind refresh tickets; winbind request timeout; winbind rpc only; winbind
        scan trusted domains; winbind sealed pipes; winbind trusted domains only; winbind use default domain;
        winbind use krb5 enterprise principals; winbind varlink service; winbindd socket directory; winbindd
        privileged socket directory; use kerberos keytab""",
    ),
    (
        "frevo is not a domain controller",
        """abort shutdown script; ad dc functional level; add group script; add machine script; add user script;
        add user to group script; additional dns hostnames; allow dns updates; allow nt4 crypto; auth event
        notification; binddns dir | bind dns directory; certificate backdating compensation; cldap port; dcerpc
        endpoint servers; delete group script; delete user from group script; delete user script; dns forwarder;
        dns hostname; dns port; dns update command; dns zone scavenging; dns zone transfer clients allow; dns zone
        transfer clients deny; dsdb event notification; dsdb group change notification; dsdb password event
        notification; enable privileges; init logon delay; init logon delayed hosts; kdc always include pac; kdc
        default domain supported enctypes; kdc enable fast; kdc force enable rc4 weak session keys; kdc name match
        implicit dollar without canonicalization; kdc require canonicalization; kdc supported enctypes; kpasswd
        port; krb5 port; logon drive; logon home; logon path; logon script; lsa over netlogon; mit kdc command; nt
        hash store; nsupdate command; ntp signd socket directory; old password allowed period; password hash gpg key
        ids; password hash userPassword schemes; prefork backoff increment; prefork children; prefork maximum
        backoff; reject md5 clients; rename user script; rndc command; samba kcc command; server reject aes
        schannel; server schannel; server schannel require seal; server services; server support krb5 netlogon; set
        primary group script; shutdown script; spn update command; strong certificate binding enforcement; svcctl
        list; web port; swat directory; domain admin group; domain guest group; domain groups; domain logons""",
    ),
    (
        "frevo's passwords are changed with `frevo user passwd`; it runs no program to change them",
        """check password script; pam password change; passwd chat; passwd chat debug; passwd chat timeout; passwd
        program; smb passwd file; algorithmic rid base""",
    ),
    (
        "this is about Samba's own processes, caches and sockets; frevo needs no such setting",
        """afs token lifetime; afs username map; aio max threads; aio read size; aio write behind; aio write size;
        allocation roundup size; async dns timeout; automount fs types; blocking locks; block size; cache
        directory; change notify; change notify timeout; check parent directory delete on close; client ipc max
        protocol; client ipc min protocol; client ipc signing; ctdb locktime warn
        threshold; ctdb timeout; ctdbd socket; cluster addresses; allow unsafe cluster upgrade; debug class; debug
        encryption; debug hires timestamp; debug pid; debug prefix timestamp; debug syslog format; debug uid;
        defer sharing violations; directory name cache size; dmapi support; enable asu support; enable core files;
        eventlog list; getwd cache; kernel change notify; lock
        directory | lock dir; lock spin time; lock spin count; log writeable files on exit; logging; max
        log size; max open files; max smbd processes; max stat cache size; min receivefile size; ncalrpc dir;
        oplock break wait time; oplock contention limit; perfcount module; pid directory;
        preload modules; rpc big endian; rpc server dynamic port range; rpc server port; rpc start on demand
        helpers; rpc_daemon; shared mem size; smb2 disable lock sequence checking; smb2 disable oplock break
        retry; smb3 directory leases; smbd async dosmode; smbd force process locks; smbd getinfo ask
        sharemode; smbd max async dosmode; smbd max dirfiles per task; smbd max xattr size; smbd profiling level;
        smbd profiling share; smbd search ask sharemode; socket options; stat cache; stat cache size; state
        directory; strict allocate; strict rename; strict sync; syslog; syslog only; timestamp logs | debug
        timestamp; tls dh params file; tls priority; use mmap; use sendfile; utmp; utmp consolidate; utmp
        directory; vfs mkdir use tmp name; write cache size; wtmp directory; ntvfs handler; acl check permissions;
        share modes; use rhosts; wsp property file; allow dcerpc auth level connect; large directories""",
    ),
)


class _Row(msgspec.Struct, frozen=True):
    names: str
    reason: str
    same: frozenset[str] = frozenset()
    scope: str = "global"


#: A feature is missing, but nobody gets more access: a warning with the reason.
_MISSING: tuple[_Row, ...] = (
    _Row(
        "add share command; change share command; delete share command",
        "shares can only be created in the configuration file",
    ),
    _Row("acl allow execute always", "running a program needs the right to execute it", NO),
    _Row("acl claims evaluation", "conditional entries of ACLs are not evaluated", frozenset({"never"})),
    _Row(
        "acl flag inherited canonicalization; acl map full control; force unknown acl user; acl group control; "
        "profile acls; acl compatibility",
        "ACLs are stored as clients set them",
    ),
    _Row("administrative share", "the share is listed like any other", NO),
    _Row("afs share", "AFS is not served", NO),
    _Row(
        "auto services | preload",
        "clients connect to home shares by name; they are not listed in advance",
    ),
    _Row(
        "case sensitive | case sensitive names | casesignames",
        "names ignore case and keep the spelling of their creation",
        frozenset({"no", "false", "0", "off", "auto"}),
    ),
    _Row("preserve case; short preserve case", "names keep the spelling of their creation", YES),
    _Row("default case", "names keep the spelling of their creation", frozenset({"lower"})),
    _Row(
        "mangle prefix; mangling char; mangling method; mangle case; mangled map; mangled stack",
        "names are shown as they are",
    ),
    _Row(
        "client use kerberos",
        "use the client's command line option --kerberos",
        frozenset({"desired", "auto"}),
    ),
    _Row("clustering", "frevo nodes do not share locks: serve each folder from one node only", NO),
    _Row(
        "continuous availability; durable handles; persistent handles",
        "open files are closed when their connection ends",
        NO,
    ),
    _Row("default service | default", "there is no default share for unknown names"),
    _Row("delete readonly", "files with the read-only attribute cannot be deleted", NO),
    _Row("dfree cache time; dfree command", "free space is what the file system reports"),
    _Row("get quota command; set quota command", "only the file system's quotas apply"),
    _Row("dos filemode", "changing permissions requires the right to do so", NO),
    _Row(
        "dos filetimes; dos filetime resolution; fake directory create times",
        "times are stored as clients set them",
    ),
    _Row("ea support", "extended attributes are served", YES),
    _Row("fake oplocks", "oplocks are always real", NO),
    _Row("fstype", "clients always see NTFS", frozenset({"ntfs"})),
    _Row("hide new files timeout", "new files are visible immediately", frozenset({"0"})),
    _Row("honor change notify privilege", "folder traversal depends on `frevo:unix users`", NO),
    _Row("host msdfs; msdfs root; msdfs shuffle referrals; msdfs proxy", "there are no DFS links", NO),
    _Row("magic output; magic script; log nt token command; panic action", "frevo runs no programs"),
    _Row("postexec; preexec | exec; root postexec; root preexec", "frevo runs no programs"),
    _Row("map archive", "attributes are stored in user.DOSATTRIB, not in permission bits", YES),
    _Row(
        "map hidden; map readonly; map system",
        "attributes are stored in user.DOSATTRIB, not in permission bits",
        NO,
    ),
    _Row("store dos attributes", "attributes are stored in user.DOSATTRIB", YES),
    _Row(
        "oplocks; level2 oplocks; smb2 leases",
        "clients may cache what they read (oplocks and leases)",
        YES,
    ),
    _Row("kernel oplocks", "local programs do not break clients' oplocks", NO),
    _Row("kernel share modes", "local programs do not see share modes", NO),
    _Row("locking", "byte-range locks are always supported", YES),
    _Row("posix locking", "local programs do not see clients' locks", NO),
    _Row("max disk size", "clients see the real size", frozenset({"0"})),
    _Row("volume serial number", "the serial number is derived from the file system's", frozenset({"-1"})),
    _Row(
        "nt acl support",
        "clients can see ACLs, and owners can set them",
        YES,
    ),
    _Row(
        "obey pam restrictions; session required",
        "PAM is not used; disable accounts with `frevo user disable`",
        NO,
    ),
    _Row(
        "passdb backend",
        "frevo has its own accounts: import Samba's with `pdbedit -Lw > FILE` and `frevo user import FILE`",
    ),
    _Row("registry shares", "shares in Samba's registry are not served: add them to this file", NO),
    _Row(
        "security",
        "frevo has its own accounts (security = user), and Kerberos with a keytab",
        frozenset({"user", "auto"}),
    ),
    _Row(
        "server role",
        "frevo is a standalone server (with Kerberos from a keytab)",
        frozenset({"standalone server", "standalone", "auto"}),
    ),
    _Row(
        "server multi channel support",
        "frevo decides whether a client may use several connections",
        YES,
    ),
    _Row("smb3 share cap:CONTINUOUS AVAILABILITY", "open files are closed when their connection ends", NO),
    _Row("smb3 unix extensions", "POSIX extensions are not offered", NO),
    _Row("spotlight; spotlight backend", "there is no search index for Macs", NO | {"noindex"}),
    _Row("sync always", "data is written to disk when the client sends FLUSH", NO),
    _Row(
        "unix password sync",
        "`frevo user passwd` does not change the Unix password",
        NO,
    ),
    _Row(
        "username | user | users",
        "has had no effect since Samba 4: use `valid users`",
        scope="share",
    ),
    _Row(
        "directory security mask; force directory security mode; force security mode; security mask",
        "has had no effect since Samba 4: owners can set permissions",
        scope="share",
    ),
    _Row("username map cache time", "frevo has nothing that this would configure"),
    _Row(
        "usershare allow guests; usershare max shares; usershare owner only; usershare path; usershare prefix allow "
        "list; usershare prefix deny list; usershare template share",
        "users cannot create their own shares (net usershare): add them to this file",
        frozenset({"0", "no", "false", "off"}),
    ),
    _Row("veto oplock files", "every file can have oplocks"),
    _Row(VFS_OBJECTS, "frevo cannot load Samba's modules: see the table below for each", scope="share"),
)

#: Ignoring these would give more access than the file allows: an error in the share, or in the whole file.
_GUARDS: tuple[_Row, ...] = (
    _Row("config file", "another file would replace this one"),
    _Row(
        "config backend",
        "the configuration would be in Samba's registry",
        frozenset({"file"}),
    ),
    _Row("root directory | root | root dir", "frevo cannot change its root folder", frozenset({"/"})),
    _Row(
        "username map script",
        "a program would map user names",
    ),
    _Row("preexec close", "a program would decide who may connect", NO, "share"),
    _Row("root preexec close", "a program would decide who may connect", NO, "share"),
    _Row("only user", "only the users in `username` could connect", NO, "share"),
    _Row("revalidate", "users would have to log on again for every share", NO, "share"),
    _Row(
        "server addresses",
        "the share would be available on some of the server's addresses only",
        scope="share",
    ),
    _Row("dont descend", "these folders would look empty", frozenset({"./proc"}), "share"),
    _Row("hosts equiv; alternate permissions", "Samba 2's rules for who may connect", NO),
)

#: Not used yet; ignoring them is harmless.
_WAITING: tuple[_Row, ...] = (
    _Row("allow insecure wide links", "`wide links` alone decides", NO),
    _Row("map acl inherit", "inherited entries are stored in the NT descriptor itself", YES | NO),
    _Row("strict locking", "locks are always checked", YES | NO | frozenset({"auto"})),
    _Row("mangled names", "files cannot be opened by a short name", NO | frozenset({"illegal"})),
    _Row("paranoid server security", "frevo uses no password server"),
)


#: `module:option` and `key : user` that are more than a detail of what is judged by its name already: the part before
#: the colon, or the whole; values in `same` are what frevo does anyway.
OPTIONS: dict[str, Unsupported] = {
    normal(row.names.removesuffix(": NAME")): Unsupported(
        row.names, (), row.reason, effect, row.same, "share"
    )
    for effect, row in (
        (Effect.MORE, _Row("veto files : NAME", "these names would be hidden from some users only")),
        (
            Effect.LESS,
            _Row("hide files : NAME", ("these names would be marked as hidden for some users only")),
        ),
        (
            Effect.MORE,
            _Row(
                "acl_xattr:security_acl_name",
                "it stores ACLs in an attribute that frevo does not read",
                frozenset({"security.ntacl", "user.ntacl"}),
            ),
        ),
        (
            Effect.LESS,
            _Row(
                "streams_xattr:prefix",
                "streams are stored in user.DosStream.*; those with another prefix are not shown",
                frozenset({"user.dosstream."}),
            ),
        ),
    )
}


def _rows(text: str) -> list[tuple[str, ...]]:
    """The names in *text*: rows between `;`, synonyms between `|`."""
    return [
        tuple(" ".join(name.split()) for name in row.split("|")) for row in text.replace("\n", " ").split(";")
    ]


def _table() -> tuple[Unsupported, ...]:
    table = [
        Unsupported(names[0], names[1:], reason, Effect.NOTHING)
        for reason, text in _RELICS
        for names in _rows(text)
    ]
    for effect, rows in ((Effect.LESS, _MISSING + _WAITING), (Effect.MORE, _GUARDS)):
        table += [
            Unsupported(names[0], names[1:], row.reason, effect, row.same, row.scope)
            for row in rows
            for names in _rows(row.names)
        ]
    return tuple(table)


#: Every parameter of Samba 2 to 4.25 that frevo does not have.
TABLE: tuple[Unsupported, ...] = _table()

#: Normalised spelling to its row.
UNSUPPORTED: dict[str, Unsupported] = {
    normal(name): row for row in TABLE for name in (row.name, *row.synonyms)
}
