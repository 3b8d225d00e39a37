"""Who is connecting: the accounts store, SPNEGO with NTLMv2 and Kerberos, and access checks against security
descriptors.

The server makes one `Authenticator(AccountStore(private_dir), AuthSettings(...))`; each SESSION_SETUP
exchange is one `authenticator.begin()` whose `step(token)` gives `StepResult`s until an `Identity` comes out.
Nothing here knows sockets.
"""

from __future__ import annotations

from frevo.auth.accounts import Account, AccountsError, AccountStore
from frevo.auth.authenticator import Authenticator
from frevo.auth.identity import AuthSettings, Identity, StepResult
from frevo.auth.kerberos import KerberosError
from frevo.auth.private_files import PrivateFileError
from frevo.auth.spnego import Acceptor

__all__ = [
    "Acceptor",
    "Account",
    "AccountStore",
    "AccountsError",
    "AuthSettings",
    "Authenticator",
    "Identity",
    "KerberosError",
    "PrivateFileError",
    "StepResult",
]
