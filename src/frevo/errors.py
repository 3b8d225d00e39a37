"""All errors: refused requests, protocol errors of the peer, and the mapping between NTSTATUS and errno.

`SMBError` carries the NTSTATUS that goes on the wire; handlers raise it, one place (server/receive.py) turns it
into an SMB2 error response. `RemoteProtocolError` is the peer's fault and ends its connection.
"""

from __future__ import annotations

import errno

from frevo.wire.erref import NTStatus


class FrevoError(Exception):
    """Base of every error that frevo raises on purpose."""


class RemoteProtocolError(FrevoError):
    """The peer violated the protocol in a way that cannot be answered: its connection ends, others are not affected."""


class WireError(FrevoError):
    """Received bytes do not form the structure that they claim to be (too short, offset outside, bad length).

    The dispatcher answers STATUS_INVALID_PARAMETER.
    """


class SMBError(FrevoError):
    """A request fails with this NTSTATUS.

    `error_data` is the ErrorData of the SMB2 ERROR response ([MS-SMB2] 2.2.2), empty for nearly every status.
    """

    def __init__(self, status: int, message: str = "", *, error_data: bytes = b"") -> None:
        self.status = NTStatus(status)
        self.error_data = error_data
        super().__init__(message or self.status.name)


#: errno to NTSTATUS for responses of a file server ([MS-ERREF] 2.3, with the meaning in Windows).
ERRNO_TO_NTSTATUS: dict[int, NTStatus] = {
    errno.EPERM: NTStatus.ACCESS_DENIED,
    errno.ENOENT: NTStatus.OBJECT_NAME_NOT_FOUND,
    errno.EIO: NTStatus.IO_DEVICE_ERROR,
    errno.EBADF: NTStatus.INVALID_HANDLE,
    errno.EAGAIN: NTStatus.INSUFFICIENT_RESOURCES,
    errno.ENOMEM: NTStatus.INSUFFICIENT_RESOURCES,
    errno.EACCES: NTStatus.ACCESS_DENIED,
    errno.EBUSY: NTStatus.SHARING_VIOLATION,
    errno.EEXIST: NTStatus.OBJECT_NAME_COLLISION,
    errno.EXDEV: NTStatus.NOT_SAME_DEVICE,
    errno.ENOTDIR: NTStatus.NOT_A_DIRECTORY,
    errno.EISDIR: NTStatus.FILE_IS_A_DIRECTORY,
    errno.EINVAL: NTStatus.INVALID_PARAMETER,
    errno.ENFILE: NTStatus.TOO_MANY_OPENED_FILES,
    errno.EMFILE: NTStatus.TOO_MANY_OPENED_FILES,
    errno.ETXTBSY: NTStatus.SHARING_VIOLATION,
    errno.EFBIG: NTStatus.DISK_FULL,
    errno.ENOSPC: NTStatus.DISK_FULL,
    errno.EROFS: NTStatus.MEDIA_WRITE_PROTECTED,
    errno.EMLINK: NTStatus.TOO_MANY_LINKS,
    errno.EPIPE: NTStatus.PIPE_DISCONNECTED,
    errno.ENAMETOOLONG: NTStatus.OBJECT_NAME_INVALID,
    errno.ENOTEMPTY: NTStatus.DIRECTORY_NOT_EMPTY,
    errno.ELOOP: NTStatus.OBJECT_PATH_NOT_FOUND,
    errno.ENODATA: NTStatus.NOT_FOUND,
    errno.EOVERFLOW: NTStatus.INVALID_PARAMETER,
    errno.EOPNOTSUPP: NTStatus.NOT_SUPPORTED,
    errno.ENOSYS: NTStatus.NOT_SUPPORTED,
    errno.EDQUOT: NTStatus.DISK_FULL,
    errno.ESTALE: NTStatus.FILE_CLOSED,
}


def ntstatus_of(error: OSError) -> NTStatus:
    """The NTSTATUS of the response for *error*; UNSUCCESSFUL for an errno that is not in the table."""
    return ERRNO_TO_NTSTATUS.get(error.errno or 0, NTStatus.UNSUCCESSFUL)


#: NTSTATUS to errno, as a client tells its caller. The inverse of the table above where that has one.
NTSTATUS_TO_ERRNO: dict[NTStatus, int] = {
    NTStatus.ACCESS_DENIED: errno.EACCES,
    NTStatus.NETWORK_ACCESS_DENIED: errno.EACCES,
    NTStatus.CANNOT_DELETE: errno.EACCES,
    NTStatus.DELETE_PENDING: errno.EBUSY,
    NTStatus.PRIVILEGE_NOT_HELD: errno.EPERM,
    NTStatus.OBJECT_NAME_NOT_FOUND: errno.ENOENT,
    NTStatus.OBJECT_PATH_NOT_FOUND: errno.ENOENT,
    NTStatus.NO_SUCH_FILE: errno.ENOENT,
    NTStatus.BAD_NETWORK_NAME: errno.ENOENT,
    NTStatus.NOT_FOUND: errno.ENODATA,
    NTStatus.OBJECT_NAME_COLLISION: errno.EEXIST,
    NTStatus.OBJECT_NAME_INVALID: errno.EINVAL,
    NTStatus.OBJECT_PATH_SYNTAX_BAD: errno.EINVAL,
    NTStatus.NAME_TOO_LONG: errno.ENAMETOOLONG,
    NTStatus.NOT_A_DIRECTORY: errno.ENOTDIR,
    NTStatus.FILE_IS_A_DIRECTORY: errno.EISDIR,
    NTStatus.DIRECTORY_NOT_EMPTY: errno.ENOTEMPTY,
    NTStatus.SHARING_VIOLATION: errno.EBUSY,
    NTStatus.FILE_LOCK_CONFLICT: errno.EACCES,
    NTStatus.LOCK_NOT_GRANTED: errno.EACCES,
    NTStatus.INVALID_HANDLE: errno.EBADF,
    NTStatus.FILE_CLOSED: errno.ESTALE,
    NTStatus.NETWORK_NAME_DELETED: errno.ESTALE,
    NTStatus.INVALID_PARAMETER: errno.EINVAL,
    NTStatus.NOT_SUPPORTED: errno.EOPNOTSUPP,
    NTStatus.NOT_IMPLEMENTED: errno.EOPNOTSUPP,
    NTStatus.INVALID_DEVICE_REQUEST: errno.EOPNOTSUPP,
    NTStatus.EAS_NOT_SUPPORTED: errno.EOPNOTSUPP,
    NTStatus.DISK_FULL: errno.ENOSPC,
    NTStatus.QUOTA_EXCEEDED: errno.EDQUOT,
    NTStatus.MEDIA_WRITE_PROTECTED: errno.EROFS,
    NTStatus.TOO_MANY_LINKS: errno.EMLINK,
    NTStatus.TOO_MANY_OPENED_FILES: errno.EMFILE,
    NTStatus.INSUFFICIENT_RESOURCES: errno.ENOMEM,
    NTStatus.NO_MEMORY: errno.ENOMEM,
    NTStatus.NOT_SAME_DEVICE: errno.EXDEV,
    NTStatus.STOPPED_ON_SYMLINK: errno.ELOOP,
    NTStatus.PIPE_DISCONNECTED: errno.EPIPE,
    NTStatus.IO_DEVICE_ERROR: errno.EIO,
    NTStatus.IO_TIMEOUT: errno.ETIMEDOUT,
    NTStatus.CANCELLED: errno.ECANCELED,
    NTStatus.LOGON_FAILURE: errno.EACCES,
    NTStatus.WRONG_PASSWORD: errno.EACCES,
    NTStatus.ACCOUNT_RESTRICTION: errno.EACCES,
    NTStatus.NTLM_BLOCKED: errno.EACCES,
    NTStatus.ACCOUNT_DISABLED: errno.EACCES,
    NTStatus.ACCOUNT_LOCKED_OUT: errno.EACCES,
    NTStatus.ACCOUNT_EXPIRED: errno.EACCES,
    NTStatus.PASSWORD_EXPIRED: errno.EACCES,
    NTStatus.PASSWORD_MUST_CHANGE: errno.EACCES,
    NTStatus.INVALID_LOGON_HOURS: errno.EACCES,
    NTStatus.LOGON_TYPE_NOT_GRANTED: errno.EACCES,
    NTStatus.NO_LOGON_SERVERS: errno.EHOSTUNREACH,
    NTStatus.REQUEST_NOT_ACCEPTED: errno.EBUSY,
    NTStatus.PATH_NOT_COVERED: errno.EXDEV,
    NTStatus.USER_SESSION_DELETED: errno.ESTALE,
    NTStatus.NETWORK_SESSION_EXPIRED: errno.ESTALE,
}


def errno_of(status: int) -> int:
    """The errno a client raises for an NTSTATUS; EIO outside the table."""
    return NTSTATUS_TO_ERRNO.get(NTStatus(status), errno.EIO)
