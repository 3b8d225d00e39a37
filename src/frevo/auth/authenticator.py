"""The Authenticator creates acceptors and identities from accounts and settings. There is one per configuration."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from frevo.auth import sids
from frevo.auth.accounts import Account, AccountStore
from frevo.auth.identity import AuthSettings, Identity
from frevo.auth.kerberos import KerberosAcceptor, KerberosCredential, KerberosResult, account_of
from frevo.auth.ntlm import NTLMAcceptor, NTLMResult
from frevo.auth.spnego import KERBEROS_OIDS, Acceptor
from frevo.auth.spnego_tokens import OID_NTLMSSP, pack_init2
from frevo.auth.username_map import UsernameMap
from frevo.errors import SMBError
from frevo.wire.dtyp import ANONYMOUS, SID, from_unix_ns
from frevo.wire.erref import NTStatus

log = logging.getLogger(__name__)


def filetime_now() -> int:
    """The current time as FILETIME."""
    return from_unix_ns(time.time_ns())


class Authenticator:
    """Authenticates sessions.

    `initial_token()` goes into NEGOTIATE responses; `begin()` returns one Acceptor per SESSION_SETUP exchange.
    """

    def __init__(
        self,
        accounts: AccountStore,
        settings: AuthSettings | None = None,
        *,
        now: Callable[[], int] = filetime_now,
        machine_sid: SID | None = None,
    ) -> None:
        """KerberosError if a configured keytab cannot be used, PrivateFileError for the machine SID.

        *machine_sid*: default is the one in the accounts' private directory, created there if missing.
        """
        self.accounts = accounts
        self.settings = settings or AuthSettings()
        self.machine_sid = machine_sid or sids.load_machine_sid(accounts.directory)
        self._now = now
        self._credential = None if self.settings.keytab is None else KerberosCredential(self.settings.keytab)
        self.mechanisms = (
            *(KERBEROS_OIDS if self._credential else ()),
            *((OID_NTLMSSP,) if self.settings.ntlm else ()),
        )
        self._initial_token = pack_init2(self.mechanisms)
        self._map = UsernameMap(self.settings.username_map)
        self._admins = frozenset(name.casefold() for name in self.settings.admin_users)

    def initial_token(self) -> bytes:
        """The security buffer of the NEGOTIATE response ([MS-SMB2] 3.3.5.4): our mechanisms."""
        return self._initial_token

    def begin(self) -> Acceptor:
        """A fresh acceptor for one (re-)authentication or binding."""
        return Acceptor(self)

    def ntlm_acceptor(self) -> NTLMAcceptor:
        return NTLMAcceptor(self.find, self.settings, self._now)

    def kerberos_acceptor(self) -> KerberosAcceptor:
        assert self._credential is not None, "Kerberos is selected only when it is enabled"
        return KerberosAcceptor(self._credential)

    def find(self, user: str, domain: str) -> Account | None:
        """The account for a name that a client sent: the one from `username map`, else the name's own."""
        mapped = self._mapped(user, domain)
        return (self.accounts.lookup(mapped) if mapped != user else None) or self.accounts.lookup(user)

    def _mapped(self, user: str, domain: str) -> str:
        """The entry of `username map` for NAME, or for NAME@anything."""
        mapped = self._map.unix_name(user, domain)
        if mapped == user and "@" in user:
            name = user.partition("@")[0]
            mapped = self._map.unix_name(name, domain)
            return user if mapped == name else mapped
        return mapped

    def ntlm_identity(self, result: NTLMResult) -> Identity:
        """The identity after an NTLM log-on."""
        if result.account is not None:
            return self._account_identity(
                result.account, result.user, result.domain, "NTLM", workstation=result.workstation
            )
        if result.is_anonymous:
            sid, groups, name = ANONYMOUS, sids.anonymous_groups(), ""
        else:
            sid, groups, name = self._guest_sid(), sids.guest_groups(), self.settings.guest_account
        return Identity(
            user=result.user,
            domain=result.domain,
            account=name,
            sid=sid,
            group_sids=groups,
            is_guest=result.is_guest,
            is_anonymous=result.is_anonymous,
            workstation=result.workstation,
        )

    def kerberos_identity(self, result: KerberosResult) -> Identity:
        """The identity for an accepted ticket: the account with the principal's name; SMBError if there is none."""
        name = account_of(result.principal, self.settings.realm or result.realm)
        account = self.find(name, result.realm) if name else None
        if account is None:
            raise SMBError(NTStatus.LOGON_FAILURE, f"no account for the principal {result.principal!r}")
        if account.disabled:
            raise SMBError(NTStatus.ACCOUNT_DISABLED, f"account {account.name!r} is disabled")
        expires = None if result.expires_s is None else from_unix_ns(int(result.expires_s * 1_000_000_000))
        domain = result.principal.rpartition("@")[2]
        return self._account_identity(account, name or account.name, domain, "Kerberos", expires=expires)

    def _account_identity(
        self,
        account: Account,
        user: str,
        domain: str,
        package: str,
        *,
        expires: int | None = None,
        workstation: str = "",
    ) -> Identity:
        is_admin = account.key in self._admins
        mapped = self._mapped(user, domain)
        return Identity(
            user=user,
            domain=domain,
            account=account.name if mapped in (user, account.name) else mapped,
            sid=sids.account_sid(self.machine_sid, account.rid),
            group_sids=sids.user_groups(self.machine_sid, is_admin=is_admin),
            is_admin=is_admin,
            expires=expires,
            package=package,
            workstation=workstation,
        )

    def _guest_sid(self) -> SID:
        return sids.account_sid(self.machine_sid, sids.RID_GUEST)
