"""FUSE requests about extended attributes: `user.NAME` is the SMB extended attribute NAME; there are no others.

Without these handlers the kernel answers such requests itself after the first one."""

from __future__ import annotations

import errno
from collections.abc import Awaitable

from frevo.fuse import abi
from frevo.fuse.abi import Opcode
from frevo.fuse.session import Answer, Handler, Request
from frevo.mount.state import State, failure

_PREFIX = "user."
_CREATE, _REPLACE = 1, 2


class Xattrs:
    def __init__(self, state: State) -> None:
        self._state = state

    def handlers(self) -> dict[int, Handler]:
        """The handlers by opcode."""
        return {
            Opcode.GETXATTR: self.getxattr,
            Opcode.LISTXATTR: self.listxattr,
            Opcode.SETXATTR: self.setxattr,
            Opcode.REMOVEXATTR: self.removexattr,
        }

    def getxattr(self, request: Request) -> Answer | Awaitable[Answer]:
        """One value. For security.* and system.*, which the kernel and `ls` read, ENODATA without a request to the
        server."""
        name = request.name(abi.GETXATTR.size)
        if not name.startswith(_PREFIX):
            raise failure(errno.ENODATA)
        return self._getxattr(request, name.removeprefix(_PREFIX))

    async def _getxattr(self, request: Request, name: str) -> Answer:
        size, _ = abi.GETXATTR.unpack_from(request.body)
        known = await self._known(request)
        if name not in known:
            raise failure(errno.ENODATA)
        return _fitting(known[name], size)

    async def listxattr(self, request: Request) -> Answer:
        """The names."""
        size, _ = abi.GETXATTR.unpack_from(request.body)
        known = await self._known(request)
        names = b"".join(f"{_PREFIX}{name}\0".encode(errors="surrogateescape") for name in known)
        return _fitting(names, size)

    async def setxattr(self, request: Request) -> Answer:
        """Sets one value; SMB has no empty ones."""
        size, flags = abi.SETXATTR.unpack_from(request.body)
        name = request.name(abi.SETXATTR.size)
        if not name.startswith(_PREFIX) or not size:
            raise failure(errno.EOPNOTSUPP)
        name = name.removeprefix(_PREFIX)
        if flags:
            there = name in await self._known(request)
            if there and flags & _CREATE:
                raise failure(errno.EEXIST)
            if not there and flags & _REPLACE:
                raise failure(errno.ENODATA)
        value = bytes(request.body[-size:])
        await self._set(request, name, value)
        return b""

    async def removexattr(self, request: Request) -> Answer:
        """Removes one."""
        name = request.name()
        if not name.startswith(_PREFIX) or name.removeprefix(_PREFIX) not in await self._known(request):
            raise failure(errno.ENODATA)
        await self._set(request, name.removeprefix(_PREFIX), b"")
        return b""

    async def _known(self, request: Request) -> dict[str, bytes]:
        return await self._state.remote.share.eas(self._state.table[request.node].path)

    async def _set(self, request: Request, name: str, value: bytes) -> None:
        node = self._state.table[request.node]
        try:
            await self._state.remote.share.set_eas(node.path, {name: value})
        except (UnicodeEncodeError, ValueError):
            raise failure(errno.EINVAL) from None
        node.fresh_until = 0.0


def _fitting(value: bytes, size: int) -> bytes:
    """*value*, or its size if the program only wants that."""
    if not size:
        return abi.xattr_size(len(value))
    if len(value) > size:
        raise failure(errno.ERANGE)
    return value
