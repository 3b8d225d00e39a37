"""The SPNEGO acceptor: one SESSION_SETUP exchange, token in, StepResult out ([MS-SPNG] 3.2.5, RFC 4178).

Accepts SPNEGO, raw NTLMSSP and raw Kerberos tokens. It uses the first of the client's mechanisms that is enabled; if
that is not the client's first choice, mechListMIC is required in both directions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from frevo.auth import spnego_tokens as tokens
from frevo.auth.identity import Identity, StepResult
from frevo.auth.ntlm import NTLMAcceptor, NTLMResult
from frevo.auth.ntlm_messages import SIGNATURE
from frevo.auth.spnego_tokens import (
    ACCEPT_COMPLETED,
    ACCEPT_INCOMPLETE,
    OID_KRB5,
    OID_MS_KRB5,
    OID_NTLMSSP,
    REQUEST_MIC,
    NegTokenResp,
)
from frevo.errors import SMBError, WireError
from frevo.wire.erref import NTStatus

if TYPE_CHECKING:
    from frevo.auth.authenticator import Authenticator
    from frevo.auth.kerberos import KerberosAcceptor

KERBEROS_OIDS = (OID_MS_KRB5, OID_KRB5)


class Acceptor:
    """One authentication. Call `step` with each of the client's security buffers until the result is `done`.

    Sans-IO; an acceptor that raised or finished accepts no more tokens.
    """

    __slots__ = (
        "_authenticator",
        "_kerberos",
        "_mechanism",
        "_mechanism_list",
        "_mic_required",
        "_next",
        "_ntlm",
        "_selected",
    )

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._next: Callable[[bytes], StepResult] = self._first
        self._ntlm: NTLMAcceptor | None = None
        self._kerberos: KerberosAcceptor | None = None
        self._mechanism = b""
        self._selected: bytes | None = None
        self._mechanism_list = b""
        self._mic_required = False

    def take_claim(self) -> str | None:
        """The name whose password the last step checked; returned once, None if there is none."""
        ntlm = self._ntlm
        if ntlm is None:
            return None
        claim, ntlm.claim = ntlm.claim, None
        return claim

    def step(self, token: bytes | bytearray | memoryview) -> StepResult:
        """Process the client's next security buffer.

        Raises SMBError: LOGON_FAILURE, ACCOUNT_DISABLED, PASSWORD_MUST_CHANGE, INVALID_PARAMETER for a malformed or
        unexpected token, NOT_SUPPORTED if no offered mechanism is enabled. Reference: [MS-SMB2] 3.3.5.5.3.
        """
        current, self._next = self._next, self._finished
        try:
            return current(bytes(token))
        except WireError as error:
            raise SMBError(NTStatus.INVALID_PARAMETER, str(error)) from None

    def _finished(self, token: bytes) -> StepResult:
        raise WireError("the authentication is already finished")

    def _first(self, token: bytes) -> StepResult:
        if token.startswith(SIGNATURE):
            return self._raw_ntlm(token)
        if token[:1] == b"\x60":
            mechanism, _ = tokens.gss_mechanism(token)
            if mechanism in KERBEROS_OIDS:
                return self._raw_kerberos(token)
        init = tokens.parse_init(token)
        self._mechanism_list = init.mechanism_list
        self._mechanism = self._select(init.mechanisms)
        favourite = init.mechanisms[0]
        self._mic_required = _family(favourite) != _family(self._mechanism)
        self._selected = self._mechanism
        if self._mic_required or init.token is None:
            state = REQUEST_MIC if self._mic_required else ACCEPT_INCOMPLETE
            return self._more(state, None)
        return self._mechanism_step(init.token, init.mic)

    def _select(self, offered: tuple[bytes, ...]) -> bytes:
        enabled = self._authenticator.mechanisms
        for mechanism in offered:
            if mechanism in enabled:
                return mechanism
        raise SMBError(NTStatus.NOT_SUPPORTED, "no offered authentication mechanism is enabled")

    def _later(self, token: bytes) -> StepResult:
        response = tokens.parse_resp(token)
        if response.state == tokens.REJECT:
            raise SMBError(NTStatus.LOGON_FAILURE, "the client rejected the authentication")
        if response.token is None:
            raise WireError("SPNEGO token without a mechanism token")
        return self._mechanism_step(response.token, response.mic)

    def _mechanism_step(self, token: bytes, mic: bytes | None) -> StepResult:
        if self._mechanism != OID_NTLMSSP:
            return self._kerberos_step(token, mic)
        if self._ntlm is None:
            self._ntlm = self._authenticator.ntlm_acceptor()
            return self._more(ACCEPT_INCOMPLETE, self._ntlm.challenge(token))
        result = self._ntlm.authenticate(token)
        outcome = self._outcome(self._authenticator.ntlm_identity(result), result.session_key)
        if not result.can_sign:
            if mic is not None and result.account is not None:
                raise SMBError(NTStatus.LOGON_FAILURE, "mechListMIC without extended session security")
            if self._mic_required and result.account is not None:
                raise SMBError(NTStatus.LOGON_FAILURE, "mechListMIC is required but cannot be computed")
            return self._complete(outcome, None)
        return self._check_mic(outcome, result, mic)

    def _kerberos_step(self, token: bytes, mic: bytes | None) -> StepResult:
        if self._kerberos is None:
            self._kerberos = self._authenticator.kerberos_acceptor()
        answer = self._kerberos.step(token)
        result = self._kerberos.result()
        if result is None:
            return self._more(ACCEPT_INCOMPLETE, answer)
        outcome = self._outcome(self._authenticator.kerberos_identity(result), result.session_key, answer)
        return self._check_mic(outcome, self._kerberos, mic)

    def _check_mic(
        self, outcome: StepResult, signer: NTLMResult | KerberosAcceptor, mic: bytes | None
    ) -> StepResult:
        """Check the client's mechListMIC and return ours, or request it if it is required."""
        if mic is not None:
            signer.verify_mic(self._mechanism_list, mic)
        elif self._mic_required:
            ours = signer.make_mic(self._mechanism_list)
            self._next = lambda token: self._awaited_mic(token, outcome, signer)
            response = NegTokenResp(ACCEPT_INCOMPLETE, self._take_selected(), outcome.token or None, ours)
            return StepResult(False, response.pack())
        else:
            return self._complete(outcome, None)
        return self._complete(outcome, signer.make_mic(self._mechanism_list))

    def _awaited_mic(
        self, token: bytes, outcome: StepResult, signer: NTLMResult | KerberosAcceptor
    ) -> StepResult:
        response = tokens.parse_resp(token)
        if response.mic is None:
            raise SMBError(NTStatus.LOGON_FAILURE, "mechListMIC is missing")
        signer.verify_mic(self._mechanism_list, response.mic)
        return StepResult(True, NegTokenResp(ACCEPT_COMPLETED).pack(), outcome.identity, outcome.session_key)

    def _more(self, state: int, token: bytes | None) -> StepResult:
        self._next = self._later
        return StepResult(False, NegTokenResp(state, self._take_selected(), token).pack())

    def _take_selected(self) -> bytes | None:
        """Return supportedMech for the first response only."""
        selected, self._selected = self._selected, None
        return selected

    def _outcome(self, identity: Identity, session_key: bytes, token: bytes = b"") -> StepResult:
        return StepResult(True, token, identity, session_key)

    def _complete(self, outcome: StepResult, mic: bytes | None) -> StepResult:
        response = NegTokenResp(ACCEPT_COMPLETED, self._take_selected(), outcome.token or None, mic)
        return StepResult(True, response.pack(), outcome.identity, outcome.session_key)

    def _raw_ntlm(self, token: bytes) -> StepResult:
        """NTLMSSP without SPNEGO, as sent by some clients."""
        if OID_NTLMSSP not in self._authenticator.mechanisms:
            raise SMBError(NTStatus.NOT_SUPPORTED, "NTLM is not enabled")
        self._ntlm = self._authenticator.ntlm_acceptor()
        challenge = self._ntlm.challenge(token)
        self._next = self._raw_ntlm_authenticate
        return StepResult(False, challenge)

    def _raw_ntlm_authenticate(self, token: bytes) -> StepResult:
        assert self._ntlm is not None, "_raw_ntlm set it"
        result = self._ntlm.authenticate(token)
        return self._outcome(self._authenticator.ntlm_identity(result), result.session_key)

    def _raw_kerberos(self, token: bytes) -> StepResult:
        """A Kerberos token without SPNEGO ([MS-SMB2] 3.3.5.5.3 leaves the choice to GSS-API)."""
        if OID_KRB5 not in self._authenticator.mechanisms:
            raise SMBError(NTStatus.NOT_SUPPORTED, "Kerberos is not enabled")
        acceptor = self._authenticator.kerberos_acceptor()
        answer = acceptor.step(token)
        result = acceptor.result()
        if result is None:
            raise SMBError(NTStatus.LOGON_FAILURE, "Kerberos requires another round")
        return self._outcome(self._authenticator.kerberos_identity(result), result.session_key, answer)


def _family(mechanism: bytes) -> bytes:
    """One name for both spellings of Kerberos."""
    return OID_KRB5 if mechanism == OID_MS_KRB5 else mechanism
