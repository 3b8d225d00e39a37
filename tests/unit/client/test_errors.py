"""NTSTATUS to errno and back, and the exceptions made from it."""

from __future__ import annotations

import errno

import pytest

from frevo.client.errors import SENTENCES, LogonError, lost, remote_error
from frevo.errors import ERRNO_TO_NTSTATUS, NTSTATUS_TO_ERRNO, FrevoError, errno_of, ntstatus_of
from frevo.wire.erref import NTStatus

#: Numbers that a server folds into the answer for another one; that one comes back.
FOLDED = {
    errno.EPERM: errno.EACCES,
    errno.EAGAIN: errno.ENOMEM,
    errno.ENFILE: errno.EMFILE,
    errno.ETXTBSY: errno.EBUSY,
    errno.EFBIG: errno.ENOSPC,
    errno.ENAMETOOLONG: errno.EINVAL,
    errno.ELOOP: errno.ENOENT,
    errno.EOVERFLOW: errno.EINVAL,
    errno.ENOSYS: errno.EOPNOTSUPP,
    errno.EDQUOT: errno.ENOSPC,
}


@pytest.mark.parametrize("number", sorted(ERRNO_TO_NTSTATUS))
def test_round_trip(number: int) -> None:
    """An errno of a server's file system, sent as NTSTATUS, is the same errno at the client."""
    assert errno_of(ntstatus_of(OSError(number, ""))) == FOLDED.get(number, number)


def test_unknown_statuses() -> None:
    """A status outside the table is EIO and keeps its number."""
    error = remote_error(0xC0001234, "a/b")
    assert (error.errno, int(error.ntstatus), error.filename) == (errno.EIO, 0xC0001234, "a/b")


@pytest.mark.parametrize("status", sorted(NTSTATUS_TO_ERRNO))
def test_classes(status: NTStatus) -> None:
    """Every exception is an OSError of the class that Python itself would choose, and one of ours."""
    error = remote_error(status, "a/b")
    # A BrokenPipeError means this program's own output.
    kind = type(OSError(error.errno, "")) if error.errno != errno.EPIPE else OSError
    assert isinstance(error, FrevoError) and isinstance(error, kind)
    assert (
        error.ntstatus == status and f"STATUS_{status.name}" in str(error) and str(error).startswith("a/b: ")
    )


def test_sentences() -> None:
    """Every status with an errno of its own has a sentence; log-on problems have a class."""
    assert set(SENTENCES) <= set(NTSTATUS_TO_ERRNO)
    assert isinstance(remote_error(NTStatus.LOGON_FAILURE), LogonError)
    assert isinstance(lost("why"), ConnectionError) and "why" in str(lost("why"))
