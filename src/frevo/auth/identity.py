"""Results of authentication (Identity, StepResult) and its settings (AuthSettings)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from frevo.records import Redacted

if TYPE_CHECKING:
    from frevo.wire.dtyp import SID

#: The values of `map to guest`.
MAP_TO_GUEST = ("never", "bad user", "bad password", "bad uid")


class AuthSettings(msgspec.Struct, frozen=True):
    """The server's settings for authentication, frozen; a reload creates a new Authenticator."""

    #: NetBIOS name of the server, at most 15 characters; told to clients in the NTLM challenge.
    netbios_name: str = "FREVO"
    #: Workgroup, the NetBIOS domain name of a server without a domain.
    workgroup: str = "WORKGROUP"
    #: DNS name of the host; empty: the NetBIOS name in lower case.
    dns_name: str = ""
    #: DNS domain; usually empty.
    dns_domain: str = ""
    #: `map to guest`: one of MAP_TO_GUEST; "bad uid" is as "never", since no account needs a Unix user.
    map_to_guest: str = "never"
    #: `guest account`: the name that a guest session shows.
    guest_account: str = "nobody"
    #: `username map`: the file that maps clients' names to Unix users (and accounts); "" for none.
    username_map: str = ""
    #: Whether the NTLM anonymous logon makes a session (it reaches IPC$ and `guest ok` shares only).
    allow_anonymous: bool = True
    #: Refuse NTLM clients that send no MIC. Off as on Windows: a client that sends one announces it in a part
    #: of its response that an attacker cannot change, so dropping the MIC on the way is always seen.
    require_mic: bool = False
    #: Whether NTLM is a way to log on (`ntlm auth`).
    ntlm: bool = True
    #: Path of the Kerberos keytab; "" for the system's default one, None for no Kerberos.
    keytab: str | None = None
    #: Principals of this realm map to accounts of the same name; empty: the realm of the keytab's service.
    realm: str = ""
    #: Names (any case) whose sessions count as administrators.
    admin_users: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.map_to_guest not in MAP_TO_GUEST:
            raise ValueError(f"map to guest: {self.map_to_guest!r} is not one of {', '.join(MAP_TO_GUEST)}")


class Identity(msgspec.Struct, frozen=True):
    """The user of a session.

    `user` and `domain` are as the client sent them (for logs). `account` is the server's name for `valid users` and on
    disk: the account's, or the one from `username map`. `expires` is the FILETIME at which the session ends (with
    Kerberos, the ticket's end), None for never.
    """

    user: str
    domain: str
    account: str
    sid: SID
    group_sids: tuple[SID, ...] = ()
    is_guest: bool = False
    is_anonymous: bool = False
    is_admin: bool = False
    uid: int | None = None
    gid: int | None = None
    expires: int | None = None
    package: str = "NTLM"
    workstation: str = ""


class StepResult(Redacted, msgspec.Struct, frozen=True):
    """The outcome of one SESSION_SETUP leg.

    `token` is the security buffer of the response, for STATUS_MORE_PROCESSING_REQUIRED when not `done` and
    for STATUS_SUCCESS when `done`. `session_key` is the full key (16 bytes for NTLM, up to 32 for Kerberos);
    [MS-SMB2] 3.3.5.5.3 takes the first 16, zero-padded, as Session.SessionKey and all of it as
    FullSessionKey.
    """

    HIDDEN = ("session_key",)

    done: bool
    token: bytes
    identity: Identity | None = None
    session_key: bytes = b""
