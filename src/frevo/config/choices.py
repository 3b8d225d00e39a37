"""The words of the enumerated keys with Samba's synonyms."""

from __future__ import annotations

from typing import Literal, get_args

from frevo.config.types import Choice
from frevo.transport.smbdirect import WantedProvider, WantedTransforms

SigningPolicy = Literal["default", "auto", "mandatory", "disabled"]
EncryptionPolicy = Literal["off", "if_required", "desired", "required"]
GuestMapping = Literal["never", "bad user", "bad password", "bad uid"]
KerberosMethod = Literal["secrets only", "system keytab", "dedicated keytab", "secrets and keytab"]
CachePolicy = Literal["manual", "documents", "programs", "disable"]
NtlmPolicy = Literal["ntlmv2-only", "disabled"]
Engine = Literal["auto", "uring", "epoll"]
ReadPath = Literal["auto", "plain", "async", "zerocopy", "splice"]
WritePath = Literal["auto", "plain", "fixed", "splice"]
SplicePolicy = Literal["auto", "always", "never"]
ClientProtection = Literal["default", "plain", "sign", "encrypt"]
InheritOwner = Literal["no", "windows and unix", "unix only"]
Tristate = Literal["auto", "yes", "no"]
VerifyPeer = Literal[
    "no_check", "ca_only", "ca_and_name_if_available", "ca_and_name", "as_strict_as_possible"
]
ClientAccess = Literal["no", "allow", "require"]
QuicDriver = Literal["auto", "user", "kernel"]
SmbDirectProvider = WantedProvider
RdmaTransforms = WantedTransforms

_NO = ("no", "false", "0", "off", "disabled")
_YES = ("yes", "true", "1", "on", "enabled", "auto", "if_required")
_FORCE = ("required", "mandatory", "force", "forced", "enforced")
_SMB1 = ("core", "coreplus", "core+", "lanman1", "lanman2", "nt1")

#: Samba's protocol names to dialect revisions ([MS-SMB2] 2.2.3).
_DIALECTS: dict[str, int] = {
    "smb2_02": 0x0202,
    "smb2_10": 0x0210,
    "smb2": 0x0210,
    "smb2_22": 0x0210,
    "smb2_24": 0x0210,
    "smb3_00": 0x0300,
    "smb3_02": 0x0302,
    "smb3_10": 0x0302,
    "smb3_11": 0x0311,
    "smb3": 0x0311,
}
_DIALECTS_SHOWN = ("SMB2_02", "SMB2_10", "SMB3_00", "SMB3_02", "SMB3_11")

AUTO_YES_NO: Choice[Tristate] = Choice(
    {
        "auto": "auto",
        **dict.fromkeys(("yes", "true", "1", "on"), "yes"),
        **dict.fromkeys(("no", "false", "0", "off"), "no"),
    },
    shown=("auto", "yes", "no"),
)

SIGNING: Choice[SigningPolicy] = Choice(
    {
        "default": "default",
        **dict.fromkeys(_YES, "auto"),
        "desired": "auto",
        **dict.fromkeys(_FORCE, "mandatory"),
        **dict.fromkeys(_NO, "disabled"),
    },
    shown=("default", "auto", "mandatory", "disabled"),
    notes=dict.fromkeys(
        _NO, "SMB2 and later always sign when the client asks for it: this is the same as auto"
    ),
)

#: With these values of `server signing`, every client that has a key must sign or encrypt.
SIGNING_REQUIRED: tuple[SigningPolicy, ...] = ("default", "mandatory")

CLIENT_SIGNING: Choice[SigningPolicy] = Choice(SIGNING.words, shown=SIGNING.shown)

ENCRYPTION: Choice[EncryptionPolicy] = Choice(
    {
        "default": "if_required",
        **dict.fromkeys(_NO, "off"),
        **dict.fromkeys(_YES, "if_required"),
        "desired": "desired",
        **dict.fromkeys(_FORCE, "required"),
    },
    shown=("off", "if_required", "desired", "required"),
)

MIN_PROTOCOL: Choice[int] = Choice(
    {**_DIALECTS, "default": 0x0202, **dict.fromkeys(_SMB1, 0x0202)},
    shown=_DIALECTS_SHOWN,
    notes=dict.fromkeys(_SMB1, "frevo does not speak SMB1: the minimum is SMB2_02"),
)

MAX_PROTOCOL: Choice[int] = Choice(
    {**_DIALECTS, "default": 0x0311, **dict.fromkeys(_SMB1, 0x0311)},
    shown=_DIALECTS_SHOWN,
    notes=dict.fromkeys(_SMB1, "frevo does not speak SMB1: the maximum is SMB3_11"),
)

CLIENT_PROTECTION: Choice[ClientProtection] = Choice(
    {"default": "default", "plain": "plain", "sign": "sign", "encrypt": "encrypt"}
)

INHERIT_OWNER: Choice[InheritOwner] = Choice(
    {
        **dict.fromkeys(("no", "false", "0", "off"), "no"),
        **dict.fromkeys(("windows and unix", "yes", "true", "1", "on"), "windows and unix"),
        "unix only": "unix only",
    },
    shown=("no", "windows and unix", "unix only"),
)

MAP_TO_GUEST: Choice[GuestMapping] = Choice(
    {"never": "never", "bad user": "bad user", "bad password": "bad password", "bad uid": "bad uid"},
    shown=("Never", "Bad User", "Bad Password", "Bad Uid"),
)

KERBEROS_METHOD: Choice[KerberosMethod] = Choice(
    {
        "default": "secrets only",
        **dict.fromkeys(("secrets only", "secretsonly"), "secrets only"),
        **dict.fromkeys(("system keytab", "systemkeytab"), "system keytab"),
        **dict.fromkeys(("dedicated keytab", "dedicatedkeytab"), "dedicated keytab"),
        **dict.fromkeys(("secrets and keytab", "secretsandkeytab"), "secrets and keytab"),
    },
    shown=("secrets only", "system keytab", "dedicated keytab", "secrets and keytab"),
)

CSC_POLICY: Choice[CachePolicy] = Choice(
    {word: word for word in get_args(CachePolicy)}, shown=get_args(CachePolicy)
)

UNIX_CHARSET: Choice[str] = Choice({"utf-8": "UTF-8", "utf8": "UTF-8"}, shown=("UTF-8",))

_NTLMV1 = ("ntlmv1-permitted", "yes", "true", "1", "on")
NTLM_AUTH: Choice[NtlmPolicy] = Choice(
    {
        **dict.fromkeys(
            ("ntlmv2-only", "no", "false", "0", "off", "mschapv2-and-ntlmv2-only", *_NTLMV1), "ntlmv2-only"
        ),
        "disabled": "disabled",
    },
    shown=("ntlmv2-only", "disabled"),
    notes=dict.fromkeys(_NTLMV1, "frevo never accepts NTLMv1: this is the same as ntlmv2-only"),
)

ENGINE: Choice[Engine] = Choice({"auto": "auto", "uring": "uring", "io_uring": "uring", "epoll": "epoll"})

READ_PATH: Choice[ReadPath] = Choice({word: word for word in get_args(ReadPath)})

WRITE_PATH: Choice[WritePath] = Choice({word: word for word in get_args(WritePath)})

SPLICE: Choice[SplicePolicy] = Choice({word: word for word in get_args(SplicePolicy)})

VERIFY_PEER: Choice[VerifyPeer] = Choice({word: word for word in get_args(VerifyPeer)})

QUIC_DRIVER: Choice[QuicDriver] = Choice({word: word for word in get_args(QuicDriver)})

SMBDIRECT_PROVIDER: Choice[SmbDirectProvider] = Choice({word: word for word in get_args(SmbDirectProvider)})

RDMA_TRANSFORMS: Choice[RdmaTransforms] = Choice(
    {
        "both": "both",
        "encryption": "encryption",
        "signing": "signing",
        **dict.fromkeys(("none", "no", "off"), "none"),
    },
    shown=get_args(RdmaTransforms),
)

CLIENT_ACCESS: Choice[ClientAccess] = Choice(
    {
        **dict.fromkeys(("no", "false", "0", "off"), "no"),
        "allow": "allow",
        **dict.fromkeys(("require", "required"), "require"),
    },
    shown=get_args(ClientAccess),
)
