"""Samba parameters that frevo does not have: a warning, or an error where ignoring them is unsafe.

An existing smb.conf should load; but a key that keeps people out must never be ignored in silence.
"""

from __future__ import annotations

from frevo.config.key import normal

_NAMES = """
abort shutdown script; acl allow execute always; acl check permissions; acl claims
evaluation; acl flag inherited canonicalization; acl group control; acl map full control; add group script;
add machine script; add share command; add user script; add user to group script; additional dns hostnames;
addport command; addprinter command; administrative share; afs share; afs token lifetime; afs
username map; aio max threads; aio read size; aio write behind; aio write size; algorithmic rid base;
allocation roundup size; allow dcerpc auth level connect; allow dns updates; allow insecure
allow nt4 crypto; allow trusted domains; allow unsafe cluster upgrade; apply group policies; async dns
timeout; async smb echo handler; auth event notification; auto services; binddns dir; block size; blocking
locks; browse list; cache directory; case sensitive; case sensitive names; casesignames; change notify; change
share command; check parent directory delete on close; check password script; cldap port; client NTLMv2 auth;
client ipc max protocol; client ipc min protocol; client ipc signing; client lanman auth; client ldap sasl
wrapping; client netlogon schannel; client plaintext auth; client protection; client schannel; client smb
encryption over quic; client use kerberos; client use spnego; client use spnego principal; cluster addresses;
clustering; config backend; config file; continuous availability; create krb5 conf; csc policy; ctdb locktime
warn threshold; ctdb timeout; ctdbd socket; cups connection timeout; cups encrypt; cups options; cups server;
dcerpc endpoint servers; deadtime; debug class; debug encryption; debug hires timestamp; debug pid; debug
prefix timestamp; debug syslog format; debug timestamp; debug uid; default; default case; default devmode;
default service; defer sharing violations; delete group script; delete readonly; delete share command; delete
user from group script; delete user script; delete veto files; deleteprinter command; dfree cache
time; dfree command; dgram port; directory name cache size; directory security mask; disable netbios; disable
spoolss; dmapi support; dns forwarder; dns hostname; dns port; dns proxy; dns update command; dns zone
scavenging; dns zone transfer clients allow; dns zone transfer clients deny; domain logons; domain master;
dont descend; dos charset; dos filemode; dos filetime resolution; dos filetimes; dsdb event notification; dsdb
group change notification; dsdb password event notification; durable handles; ea support; enable asu support;
enable core files; enable privileges; encrypt passwords; enhanced browsing; enumports command; eventlog list;
exec; fake directory create times; fake oplocks; force directory security mode;
force printername; force security mode; force unknown acl user; fstype; get quota command; getwd
cache; gpo update command; hide new files timeout;
homedir map; honor change notify privilege; host msdfs; hostname lookups;
idmap backend; idmap cache time; idmap gid; idmap negative cache time; idmap uid; include system
krb5 conf; inherit acls; inherit permissions; init logon delay; init logon delayed hosts;
iprint server; kdc default domain supported enctypes; kdc enable fast; kdc force enable rc4 weak session keys;
kdc supported enctypes; keepalive; kerberos encryption types; kernel change notify; kernel oplocks; kernel
share modes; kpasswd port; krb5 port; lanman auth; large readwrite; ldap admin dn; ldap connection timeout;
ldap debug level; ldap debug threshold; ldap delete dn; ldap deref; ldap follow referral; ldap group suffix;
ldap idmap suffix; ldap machine suffix; ldap max anonymous request size; ldap max authenticated request size;
ldap max search request size; ldap page size; ldap passwd sync; ldap replication sleep; ldap server require
strong auth; ldap ssl; ldap suffix; ldap timeout; ldap user suffix; level2 oplocks; lm announce; lm interval;
load printers; local master; lock dir; lock directory; lock spin time; locking; log nt token command; log
writeable files on exit; logging; logon drive; logon home; logon path; logon script; lppause command; lpq
cache time; lpq command; lpresume command; lprm command; lsa over netlogon; machine password timeout; magic
output; magic script; mangle prefix; mangled names; mangling char; mangling method; map acl inherit; map
archive; map hidden; map readonly; map system; map untrusted to domain; max disk size; max log size; max mux;
max open files; max print jobs; max reported print jobs; max smbd processes; max stat cache size; max ttl; max
wins ttl; max xmit; mdns name; message command; min domain uid; min print space; min receivefile size; min
wins ttl; mit kdc command; msdfs proxy; msdfs root; msdfs shuffle referrals; multicast dns register; name
cache timeout; name resolve order; nbt client socket address; nbt port; ncalrpc dir; netbios aliases; netbios
scope; neutralize nt4 emulation; nis homedir; nmbd bind explicit broadcast; nsupdate command; nt acl support;
nt hash store; nt pipe support; nt status support; ntp signd socket directory; ntvfs handler; null
passwords; obey pam restrictions; old password allowed period; oplock break wait time; oplocks; os level; os2
driver map; pam password change; panic action; paranoid server security; passdb backend; passdb expand
explicit; passwd chat; passwd chat debug; passwd chat timeout; passwd program; password hash gpg key ids;
password hash userPassword schemes; password server; perfcount module; persistent handles; pid directory;
posix locking; postexec; preexec; preexec close; preferred master; prefork backoff increment; prefork
children; prefork maximum backoff; preload; preload modules; preserve case; print command; print notify
backchannel; printable; printcap; printcap cache time; printcap name; printer; printer admin; printer name;
printing; printjob username; profile acls; queuepause command; queueresume command; raw NTLMv2 auth; read raw;
registry shares; reject md5 clients; reject md5 servers; remote announce; remote browse sync; rename user
script; require strong key; reset on zero vc; restrict anonymous; root; root dir; root directory; root
postexec; root preexec; root preexec close; rpc big endian; rpc server dynamic port range; rpc server port;
rpc start on demand helpers; samba kcc command; security; security mask; server multi channel support; server
role; server schannel; server schannel require seal; server services; server smb encryption over quic; server
support krb5 netlogon; set primary group script; set quota command; share modes; short preserve case; show add
printer wizard; shutdown script; smb passwd file; smb1 unix extensions; smb2 disable lock sequence checking;
smb2 disable oplock break retry; smb2 leases; smb3 directory leases; smb3 unix extensions; smbd async dosmode;
smbd force process locks; smbd getinfo ask sharemode; smbd max async dosmode; smbd max dirfiles per task; smbd
max xattr size; smbd profiling level; smbd search ask sharemode; socket address; socket options; spn update
command; spotlight; spotlight backend; stat cache; state directory; store dos attributes; strict allocate;
strict locking; strict rename; strict sync; svcctl list; sync always; sync machine password to keytab; syslog;
syslog only; template homedir; template shell; time server; timestamp logs; tls ca directories; tls cafile;
tls certfile; tls crlfile; tls dh params file; tls enabled; tls keyfile; tls priority; tls trust system cas;
tls verify peer; unicode; unix charset; unix extensions; unix password sync; use client driver; use mmap; use
sendfile; use spnego; user; username; username level; username map cache time; username map
script; users; usershare allow guests; usershare max shares; usershare owner only; usershare path; usershare
prefix allow list; usershare prefix deny list; usershare template share; utmp; utmp directory; veto oplock
files; vfs mkdir use tmp name; vfs objects; volume serial number; winbind cache time; winbind
debug traceid; winbind enum groups; winbind enum users; winbind expand groups; winbind gid; winbind max
clients; winbind max domain connections; winbind nested groups; winbind normalize names; winbind nss info;
winbind offline logon; winbind reconnect delay; winbind refresh tickets; winbind request timeout; winbind rpc
only; winbind scan trusted domains; winbind sealed pipes; winbind separator; winbind uid; winbind use default
domain; winbind use krb5 enterprise principals; winbindd socket directory; wins hook; wins proxy; wins server;
wins support; write cache size; write raw; wtmp directory
"""

#: Normalised name to the name as Samba's manual writes it.
UNSUPPORTED: dict[str, str] = {
    normal(name): " ".join(name.split()) for name in _NAMES.replace("\n", " ").split(";")
}

#: Values with which frevo behaves the same as Samba, so that there is nothing to say.
_SAME = {
    "security": {"user", "auto"},
    "server role": {"standalone server", "standalone", "auto"},
    "encrypt passwords": {"yes", "true", "1", "on"},
    "restrict anonymous": {"0"},
    "null passwords": {"no", "false", "0", "off"},
    "load printers": {"no", "false", "0", "off"},
    "disable spoolss": {"yes", "true", "1", "on"},
    "printable": {"no", "false", "0", "off"},
    "store dos attributes": {"yes", "true", "1", "on"},
    "ea support": {"yes", "true", "1", "on"},
    "fstype": {"ntfs"},
    "delete veto files": {"no", "false", "0", "off"},
    "clustering": {"no", "false", "0", "off"},
    "unix extensions": {"no", "false", "0", "off"},
    "smb1 unix extensions": {"no", "false", "0", "off"},
}
SAME: dict[str, frozenset[str]] = {normal(name): frozenset(values) for name, values in _SAME.items()}

#: Keys that take access away: without them more is reachable than the file says.
RESTRICTING: frozenset[str] = frozenset(
    map(
        normal,
        (
            "restrict anonymous",
            "username",
            "user",
            "users",
            "root directory",
            "root dir",
            "root",
        ),
    )
)
