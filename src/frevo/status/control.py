"""The control socket: a Unix socket in the private folder. A request is one line of JSON, and so is its response.

A server listens on `control.<pid>.sock` (mode 0600, in a folder of mode 0700) and accepts only its own user and root:
`{"request": "status"}` returns `{"ok": true, "result": ...}` or `{"ok": false, "error": "..."}`. Several servers of
one user can share a private folder; `find_servers` lists the running ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import re
import socket
import struct
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from frevo.aio.acting import act_as
from frevo.errors import FrevoError
from frevo.folders import make_folder
from frevo.status.slices import in_slices, json_line

log = logging.getLogger(__name__)

REQUEST_SIZE_MAX = 64 << 10
ANSWER_SIZE_MAX = 512 << 20
CLIENTS_MAX = 32
TIMEOUT_S = 10.0

Handler = Callable[[], Any | Awaitable[Any]]

_SOCKET_NAME = re.compile(r"control\.([0-9]{1,10})\.sock\Z")
_CREDENTIALS = struct.Struct("3i")
_REFUSED = {"ok": False, "error": "only root and the server's user may send it requests"}
_PATH_SIZE_MAX = 107  # sun_path less its NUL


class ControlError(FrevoError):
    """A request to a running server failed; the message is for the user."""


class ControlServer:
    """Answers requests with `handlers`, by name; each returns a JSON value."""

    def __init__(
        self, private_dir: str | Path, handlers: Mapping[str, Handler], *, pid: int | None = None
    ) -> None:
        self.path = socket_path(private_dir, pid or os.getpid())
        self._handlers = dict(handlers)
        self._listener: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. Raises ControlError if the socket cannot be created."""
        act_as(None)  # the socket and its folder are the server's own
        try:
            make_folder(self.path.parent, 0o700)
            self.path.unlink(missing_ok=True)  # left by a dead process that had our pid
            self._listener = _bind(self.path)
        except OSError as error:
            raise ControlError(f"cannot create the control socket {self.path}: {error.strerror}") from error
        asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    async def close(self) -> None:
        """Stop listening and remove the socket; running requests are cut off."""
        act_as(None)
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
            self.path.unlink(missing_ok=True)
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):  # none left: try later, do not spin
                loop = asyncio.get_running_loop()
                loop.remove_reader(listener)
                loop.call_later(1.0, self._resume)
            return
        if len(self._tasks) >= CLIENTS_MAX:
            client.close()
            return
        client.setblocking(False)
        task = asyncio.get_running_loop().create_task(self._serve(client))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._finished(done, client))

    def _resume(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    def _finished(self, task: asyncio.Task[None], client: socket.socket) -> None:
        self._tasks.discard(task)
        client.close()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("control request dropped: %s", error)

    async def _serve(self, client: socket.socket) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            line = await _read_line(client)
            answer = await self._answer(line) if _is_trusted(client) else _REFUSED
            written = await in_slices(json_line(answer))
            await asyncio.get_running_loop().sock_sendall(client, written)

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            name = request["request"]
            handler = self._handlers[name]
        except (ValueError, TypeError, KeyError, RecursionError):
            return {"ok": False, "error": f"expected one of the requests {', '.join(sorted(self._handlers))}"}
        act_as(None)
        try:
            result = handler()
            if isinstance(result, Awaitable):
                result = await result
        except FrevoError as error:
            return {"ok": False, "error": str(error)}
        except Exception as error:
            log.exception("control request %s failed", name)
            return {"ok": False, "error": f"{type(error).__name__}: {error}"}
        return {"ok": True, "result": result}


def ask(path: str | Path, request: str, *, timeout_s: float = TIMEOUT_S) -> Any:
    """The result of *request* from the server at the socket *path*. Raises ControlError."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as client:
            client.settimeout(timeout_s)
            with _address(Path(path)) as address:
                client.connect(address)
            client.sendall(json.dumps({"request": request}).encode() + b"\n")
            with client.makefile("rb") as stream:
                line = stream.readline(ANSWER_SIZE_MAX)
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise ControlError(f"cannot reach the server at {path}: {reason}") from error
    try:
        answer = json.loads(line)
        succeeded, result = answer["ok"], answer.get("result")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ControlError(
            f"the server at {path} closed the connection or sent an invalid response"
        ) from None
    if not succeeded:
        raise ControlError(str(answer.get("error", "the request failed")))
    return result


def socket_path(private_dir: str | Path, pid: int) -> Path:
    """The socket of the server with this process ID."""
    return Path(private_dir) / f"control.{pid}.sock"


def find_servers(private_dir: str | Path) -> dict[int, Path]:
    """Process ID to socket of every server that responds, newest socket first; removes dead sockets.

    Raises ControlError if the folder cannot be read; a missing folder means no servers.
    """
    try:
        names = sorted(os.scandir(private_dir), key=lambda item: -item.stat(follow_symlinks=False).st_mtime)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ControlError(f"cannot read the folder {private_dir}: {error.strerror}") from error
    alive: dict[int, Path] = {}
    for item in names:
        match = _SOCKET_NAME.match(item.name)
        if match and _is_alive(Path(item.path)):
            alive[int(match[1])] = Path(item.path)
    return alive


def _is_alive(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client, _address(path) as address:
            client.settimeout(TIMEOUT_S)
            client.connect(address)
    except ConnectionRefusedError:
        with contextlib.suppress(OSError):
            path.unlink()
        return False
    except OSError:
        return False
    return True


async def _read_line(client: socket.socket) -> bytes:
    """What *client* sends up to its first newline; ControlError if that is too long."""
    data = b""
    while b"\n" not in data:
        if len(data) > REQUEST_SIZE_MAX:
            raise ControlError("the request is too long")
        more = await asyncio.get_running_loop().sock_recv(client, REQUEST_SIZE_MAX)
        if not more:
            break
        data += more
    return data.partition(b"\n")[0]


def _bind(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        os.fchmod(listener.fileno(), 0o600)  # the mode that bind gives the file, whatever the umask adds
        with _address(path) as address:
            listener.bind(address)
        path.chmod(0o600)
        listener.listen(CLIENTS_MAX)
    except BaseException:
        listener.close()
        raise
    return listener


@contextlib.contextmanager
def _address(path: Path) -> Iterator[str]:
    """An address for *path* that fits into sun_path, however long the path is."""
    if len(os.fsencode(path)) <= _PATH_SIZE_MAX:
        yield str(path)
        return
    with tempfile.TemporaryDirectory(prefix="frevo-") as folder:
        link = Path(folder) / "d"
        link.symlink_to(path.parent)
        yield str(link / path.name)


def _is_trusted(connection: socket.socket) -> bool:
    """Whether the peer is root or the server's own user."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(raw)
    return uid in (0, os.geteuid())
