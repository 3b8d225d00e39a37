"""What a client raises: OSError subclasses with the server's NTSTATUS and a sentence on what to do."""

from __future__ import annotations

import errno as numbers

from frevo.errors import FrevoError, RemoteProtocolError, errno_of
from frevo.wire.erref import NTStatus


class RemoteError(FrevoError, OSError):
    """The server refused something. `ntstatus` is its status; `errno` and the class are the nearest ones of the system.

    A missing file is a FileNotFoundError too, and so on for the other subclasses of OSError.
    """

    ntstatus: NTStatus = NTStatus.UNSUCCESSFUL
    #: It was repeated as often as allowed (`frevo.client.lasting.retry`).
    final = False

    def __str__(self) -> str:
        prefix = f"{self.filename}: " if self.filename else ""
        return f"{prefix}{self.strerror}"


class _NotFound(RemoteError, FileNotFoundError):
    """Nothing has this name."""


class _Exists(RemoteError, FileExistsError):
    """Something has this name."""


class _Denied(RemoteError, PermissionError):
    """Not allowed."""


class _IsDirectory(RemoteError, IsADirectoryError):
    """A directory where a file is needed."""


class _NotDirectory(RemoteError, NotADirectoryError):
    """A file where a directory is needed."""


class _Timeout(RemoteError, TimeoutError):
    """It took too long."""


class LogonError(_Denied):
    """The server did not accept the user or the password."""


class ConnectionLost(RemoteError, ConnectionError):
    """The connection ended. Unless the request was *unsent*, it may or may not have been carried out."""

    unsent = False


class PeerFault(ConnectionLost, RemoteProtocolError):
    """The client ended the connection because the server violated the protocol; nothing is repeated automatically."""


_CLASSES: dict[int, type[RemoteError]] = {
    numbers.ENOENT: _NotFound,
    numbers.EEXIST: _Exists,
    numbers.EACCES: _Denied,
    numbers.EPERM: _Denied,
    numbers.EISDIR: _IsDirectory,
    numbers.ENOTDIR: _NotDirectory,
    numbers.ETIMEDOUT: _Timeout,
}

_LOGON = {
    NTStatus.LOGON_FAILURE,
    NTStatus.WRONG_PASSWORD,
    NTStatus.ACCOUNT_RESTRICTION,
    NTStatus.NTLM_BLOCKED,
    NTStatus.ACCOUNT_DISABLED,
    NTStatus.ACCOUNT_LOCKED_OUT,
    NTStatus.ACCOUNT_EXPIRED,
    NTStatus.PASSWORD_EXPIRED,
    NTStatus.PASSWORD_MUST_CHANGE,
}

#: NTSTATUS to what happened and what to do about it.
SENTENCES: dict[NTStatus, str] = {
    NTStatus.ACCESS_DENIED: "access denied: this user may not do that",
    NTStatus.NETWORK_ACCESS_DENIED: "access denied: this user may not use the share",
    NTStatus.CANNOT_DELETE: "it cannot be deleted: it is read-only (clear the attribute) or in use",
    NTStatus.DELETE_PENDING: "it is being deleted: it disappears when the last program closes it",
    NTStatus.OBJECT_NAME_NOT_FOUND: "no such file or directory",
    NTStatus.NO_SUCH_FILE: "no such file or directory",
    NTStatus.OBJECT_PATH_NOT_FOUND: "the directory of this name does not exist: create it first",
    NTStatus.OBJECT_NAME_COLLISION: "it already exists",
    NTStatus.OBJECT_NAME_INVALID: (
        "the server does not accept this name: it is too long or contains forbidden characters"
    ),
    NTStatus.OBJECT_PATH_SYNTAX_BAD: "the server does not accept this name",
    NTStatus.NOT_A_DIRECTORY: "it is not a directory",
    NTStatus.FILE_IS_A_DIRECTORY: "it is a directory",
    NTStatus.DIRECTORY_NOT_EMPTY: "the directory is not empty",
    NTStatus.SHARING_VIOLATION: "another program has it open without sharing: close it there or try again",
    NTStatus.FILE_LOCK_CONFLICT: "another program has locked this part of the file: try again later",
    NTStatus.LOCK_NOT_GRANTED: "another program has locked this part of the file: try again later",
    NTStatus.BAD_NETWORK_NAME: "there is no such share on the server (`frevo shares` lists them)",
    NTStatus.NETWORK_NAME_DELETED: "the share was removed, or the connection to it ended: connect again",
    NTStatus.DISK_FULL: "the share is full: free up space on the server",
    NTStatus.QUOTA_EXCEEDED: "the user's quota on the server is used up: free up space",
    NTStatus.MEDIA_WRITE_PROTECTED: "the share is read-only",
    NTStatus.INVALID_PARAMETER: "the server rejected the request as invalid",
    NTStatus.NOT_SUPPORTED: "the server or its file system does not support that",
    NTStatus.INVALID_DEVICE_REQUEST: "the server or its file system does not support that",
    NTStatus.EAS_NOT_SUPPORTED: "the share does not support extended attributes",
    NTStatus.NOT_SAME_DEVICE: "it is on another file system: copy it instead",
    NTStatus.STOPPED_ON_SYMLINK: (
        "the path contains a symbolic link that the client must resolve: use its target"
    ),
    NTStatus.TOO_MANY_OPENED_FILES: "too many files are open on the server: close some",
    NTStatus.INSUFFICIENT_RESOURCES: "the server is short of resources: try again later",
    NTStatus.FILE_CLOSED: "the file is closed: open it again",
    NTStatus.PATH_NOT_COVERED: (
        "it is on another server (DFS): frevo does not follow, so connect to that server"
    ),
    NTStatus.NAME_TOO_LONG: "the name is too long for the server",
    NTStatus.REQUEST_NOT_ACCEPTED: "the server or the share has too many users: try again later",
    NTStatus.NO_LOGON_SERVERS: "the server cannot reach its domain controller: try again later",
    NTStatus.INVALID_LOGON_HOURS: "the account may not log on at this time: ask the administrator",
    NTStatus.LOGON_TYPE_NOT_GRANTED: "the account may not log on over the network: ask the administrator",
    NTStatus.IO_TIMEOUT: "the server timed out waiting for its disk or a program: try again later",
    NTStatus.LOGON_FAILURE: "wrong user or password",
    NTStatus.WRONG_PASSWORD: "wrong user or password",
    NTStatus.ACCOUNT_RESTRICTION: (
        "the account may not log on this way (often because its password is empty)"
    ),
    NTStatus.ACCOUNT_DISABLED: "the account is disabled: ask the administrator",
    NTStatus.ACCOUNT_LOCKED_OUT: (
        "the account is locked after wrong passwords: wait, or ask the administrator"
    ),
    NTStatus.ACCOUNT_EXPIRED: "the account has expired: ask the administrator",
    NTStatus.PASSWORD_EXPIRED: "the password has expired: set a new one",
    NTStatus.PASSWORD_MUST_CHANGE: "the password must be changed first: set a new one",
    NTStatus.NTLM_BLOCKED: (
        "the server does not accept passwords (NTLM): log on with a Kerberos ticket from kinit"
    ),
    NTStatus.USER_SESSION_DELETED: "the server ended the session: connect again",
    NTStatus.NETWORK_SESSION_EXPIRED: "the session has expired: connect again",
}


def remote_error(status: int, path: str | None = None, doing: str = "", sentence: str = "") -> RemoteError:
    """The exception for *status* on *path*. *doing*: what was tried; *sentence*: what the status means here."""
    known = NTStatus(status)
    number = errno_of(known)
    kind = LogonError if known in _LOGON else _CLASSES.get(number, RemoteError)
    sentence = sentence or SENTENCES.get(known, "the server refused")
    text = f"{sentence} ({doing + ': ' if doing else ''}STATUS_{known.name})"
    error = kind(number, text, path) if path is not None else kind(number, text)
    error.ntstatus = known
    return error


def lost(reason: str, kind: type[ConnectionLost] = ConnectionLost) -> ConnectionLost:
    """The exception for a connection that ended because of *reason*."""
    error = kind(numbers.ECONNRESET, f"the connection to the server ended: {reason}")
    error.ntstatus = NTStatus.CONNECTION_DISCONNECTED
    return error


def fault(reason: str) -> PeerFault:
    """The exception for a connection that is ended because the server violated the protocol."""
    error = lost(reason, PeerFault)
    assert isinstance(error, PeerFault)
    return error


def unknown_outcome(error: ConnectionLost, path: str) -> ConnectionLost:
    """*error* for something that must not be done twice: the caller has to check what was done."""
    hint = "the server may or may not have carried out the request: check before you repeat it"
    made = ConnectionLost(error.errno, f"{error.strerror}; {hint}", path)
    made.ntstatus = error.ntstatus
    return made
