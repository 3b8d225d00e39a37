"""The NTLMv2 acceptor: NEGOTIATE in, CHALLENGE out, AUTHENTICATE in, an identity and keys out ([MS-NLMP]
3.2.5).

NTLMv2 only: LM and NTLMv1 responses are refused whatever they contain. See docs/decisions/0003-ntlm.md for
why this is not pyspnego's acceptor.
"""

from __future__ import annotations

import hmac
import logging
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from frevo.auth import ntlm_crypto as crypto
from frevo.auth.identity import AuthSettings
from frevo.auth.ntlm_messages import (
    AV_FLAG_MIC,
    Authenticate,
    AvId,
    Flag,
    pack_av_pairs,
    pack_challenge,
    parse_negotiate,
)
from frevo.errors import SMBError, WireError
from frevo.records import Redacted
from frevo.wire.erref import NTStatus

if TYPE_CHECKING:
    from frevo.auth.accounts import Account

log = logging.getLogger(__name__)

#: Flags of the client that the server takes over; the others it decides itself.
_ECHOED = (
    Flag.UNICODE
    | Flag.SIGN
    | Flag.SEAL
    | Flag.ALWAYS_SIGN
    | Flag.EXTENDED_SESSION_SECURITY
    | Flag.VERSION
    | Flag.KEY_128
    | Flag.KEY_56
    | Flag.KEY_EXCHANGE
)
_OWN = Flag.NTLM | Flag.REQUEST_TARGET | Flag.TARGET_TYPE_SERVER | Flag.TARGET_INFO
_NO_HASH = bytes(16)


class NTLMResult(Redacted, msgspec.Struct, frozen=True):
    """A finished log-on.

    `account` is None for guest and anonymous, whose `session_key` is zeros or unknown.
    """

    HIDDEN = ("session_key",)

    account: Account | None
    user: str
    domain: str
    workstation: str
    is_guest: bool
    is_anonymous: bool
    flags: int
    session_key: bytes

    @property
    def can_sign(self) -> bool:
        """Whether both sides have the session key, so that a mechListMIC can be computed."""
        return self.account is not None and bool(self.flags & Flag.EXTENDED_SESSION_SECURITY)

    def make_mic(self, message: bytes) -> bytes:
        """The server's signature over *message* (SPNEGO mechListMIC)."""
        return crypto.signature(self.flags, self.session_key, message, from_server=True)

    def verify_mic(self, message: bytes, mic: bytes) -> None:
        """Raise LOGON_FAILURE unless *mic* is the client's signature over *message*."""
        expected = crypto.signature(self.flags, self.session_key, message, from_server=False)
        if not hmac.compare_digest(expected, mic):
            raise SMBError(NTStatus.LOGON_FAILURE, "SPNEGO mechListMIC does not match")


class NTLMAcceptor:
    """One NTLM exchange. Call `challenge` once, then `authenticate` once."""

    __slots__ = (
        "_accounts", "_challenge", "_flags", "_negotiate", "_now", "_server_challenge", "_settings", "claim",
    )  # fmt: skip

    def __init__(
        self, accounts: Callable[[str, str], Account | None], settings: AuthSettings, now: Callable[[], int]
    ) -> None:
        """*accounts* returns the account for (user, domain) as sent by a client."""
        self._accounts = accounts
        self._settings = settings
        self._now = now
        self._flags = 0
        #: The user whose password AUTHENTICATE claims; None before it, and for anonymous users.
        self.claim: str | None = None
        self._negotiate = b""
        self._challenge = b""
        self._server_challenge = b""

    def challenge(self, token: bytes, server_challenge: bytes | None = None) -> bytes:
        """The CHALLENGE for the NEGOTIATE *token*; WireError or SMBError if there is none."""
        client_flags = parse_negotiate(token)
        if not client_flags & (Flag.UNICODE | Flag.OEM):
            raise SMBError(NTStatus.INVALID_PARAMETER, "NTLM client offers no character set")
        self._negotiate = token
        self._flags = (client_flags & _ECHOED) | _OWN
        if not client_flags & Flag.UNICODE:  # Unicode where both will do ([MS-NLMP] 2.2.2.5)
            self._flags |= Flag.OEM
        self._server_challenge = server_challenge or os.urandom(8)
        name = self._settings.netbios_name.upper()
        self._challenge = pack_challenge(self._flags, self._server_challenge, name, self._target_info())
        return self._challenge

    def _target_info(self) -> bytes:
        settings = self._settings
        name = settings.netbios_name.upper()
        texts = (
            (AvId.NB_DOMAIN_NAME, name),
            (AvId.NB_COMPUTER_NAME, name),
            (AvId.DNS_DOMAIN_NAME, settings.dns_domain),
            (AvId.DNS_COMPUTER_NAME, settings.dns_name or name.lower()),
        )
        pairs = [(kind, text.encode("utf-16-le", "surrogatepass")) for kind, text in texts]
        pairs.append((AvId.TIMESTAMP, self._now().to_bytes(8, "little")))
        return pack_av_pairs(pairs)

    def authenticate(self, token: bytes) -> NTLMResult:
        """The result of the AUTHENTICATE *token*.

        Raises WireError for a malformed message; SMBError LOGON_FAILURE for a wrong user, password or MIC, or an old
        response type; ACCOUNT_DISABLED and PASSWORD_MUST_CHANGE only if the password is right.
        """
        message = Authenticate.parse(token, oem=bool(self._flags & Flag.OEM))
        if message.is_anonymous:
            return self._anonymous(message)
        self.claim = message.user
        if not message.is_v2:
            raise SMBError(NTStatus.LOGON_FAILURE, "LM and NTLMv1 responses are refused")
        av_pairs = message.av_pairs()
        account = self._find(message.user, message.domain)
        session_base_key = _session_base_key(message, account, self._server_challenge)
        if account is None or session_base_key is None:
            return self._refused(message, account is not None)
        session_key = _exported_key(message, self._flags, session_base_key)
        self._check_mic(message, av_pairs, session_key)
        if account.disabled:
            raise SMBError(NTStatus.ACCOUNT_DISABLED, f"account {account.name!r} is disabled")
        if account.must_change:
            raise SMBError(
                NTStatus.PASSWORD_MUST_CHANGE, f"account {account.name!r} must change its password"
            )
        return self._result(message, account, session_key)

    def _find(self, user: str, domain: str) -> Account | None:
        """The account for the client's name: NAME or NAME@anything."""
        account = self._accounts(user, domain)
        if account is None and "@" in user:
            account = self._accounts(user.partition("@")[0], domain)
        return account

    def _check_mic(self, message: Authenticate, av_pairs: dict[int, bytes], session_key: bytes) -> None:
        """[MS-NLMP] 3.2.5.1.2: the MIC covers all three messages, if the client's AvPairs announce it."""
        if not int.from_bytes(av_pairs.get(AvId.FLAGS, b"")[:4], "little") & AV_FLAG_MIC:
            if self._settings.require_mic:
                raise SMBError(NTStatus.LOGON_FAILURE, "NTLM client sent no MIC")
            return
        covered = self._negotiate + self._challenge + message.without_mic()
        if not hmac.compare_digest(crypto.hmac_md5(session_key, covered), message.mic()):
            raise SMBError(NTStatus.LOGON_FAILURE, "NTLM MIC does not match")

    def _anonymous(self, message: Authenticate) -> NTLMResult:
        if not self._settings.allow_anonymous:
            raise SMBError(NTStatus.LOGON_FAILURE, "anonymous logon is not allowed")
        return self._result(message, None, bytes(16), is_anonymous=True)

    def _refused(self, message: Authenticate, user_exists: bool) -> NTLMResult:
        """A wrong password or user: guest if `map to guest` allows it, else the same LOGON_FAILURE for both."""
        policy = self._settings.map_to_guest
        if policy == "bad password" or (policy == "bad user" and not user_exists):
            return self._result(message, None, bytes(16), is_guest=True)
        raise SMBError(NTStatus.LOGON_FAILURE, f"wrong user or password for {message.user!r}")

    def _result(
        self,
        message: Authenticate,
        account: Account | None,
        session_key: bytes,
        *,
        is_guest: bool = False,
        is_anonymous: bool = False,
    ) -> NTLMResult:
        return NTLMResult(
            account=account,
            user=message.user,
            domain=message.domain,
            workstation=message.workstation,
            is_guest=is_guest,
            is_anonymous=is_anonymous,
            flags=message.flags & self._flags,
            session_key=session_key,
        )


def _spellings(user: str, domain: str) -> Iterator[tuple[str, str]]:
    """The (user, domain) forms that clients hash, the specified one first.

    Some also upper-case the domain, omit it, do not change the user's case, or upper-case "ß" to "SS" (those in
    Python).
    """
    upper_user = crypto.upper_case(user)
    seen: set[tuple[str, str]] = set()
    for pair in (
        (upper_user, domain),
        (upper_user, crypto.upper_case(domain)),
        (upper_user, ""),
        (user, domain),
        (user.upper(), domain),
    ):
        if pair not in seen:
            seen.add(pair)
            yield pair


def _session_base_key(
    message: Authenticate, account: Account | None, server_challenge: bytes
) -> bytes | None:
    """SessionBaseKey if the response proves the password, else None; takes the same work for an unknown user."""
    nt_hash = account.nt_hash if account is not None else _NO_HASH
    proof, blob = message.nt_response[:16], message.nt_response[16:]
    for user, domain in _spellings(message.user, message.domain):
        response_key = crypto.ntowfv2(nt_hash, user, domain)
        expected = crypto.nt_proof(response_key, server_challenge, blob)
        if hmac.compare_digest(expected, proof):
            return crypto.hmac_md5(response_key, proof) if account is not None else None
    return None


def _exported_key(message: Authenticate, offered: int, key_exchange_key: bytes) -> bytes:
    """ExportedSessionKey ([MS-NLMP] 3.2.5.1.2). For NTLMv2, the KeyExchangeKey is the SessionBaseKey.

    Clients differ on whether KEY_EXCH counts without SIGN and SEAL; a client that sends 16 bytes has exchanged a key.
    """
    if not message.flags & offered & Flag.KEY_EXCHANGE:
        return key_exchange_key
    if len(message.encrypted_session_key) == 16:
        return crypto.rc4(key_exchange_key, message.encrypted_session_key)
    if message.flags & (Flag.SIGN | Flag.SEAL):
        raise WireError("NTLM encrypted session key is not 16 bytes long")
    return key_exchange_key
