"""Runs a server until it is stopped: signals, log, control socket, reload."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from frevo.aio.acting import act_as
from frevo.cli.common import printable
from frevo.cli.config_remarks import log_path
from frevo.cli.connect_help import banner, explain_bind_error
from frevo.cli.serve_folder import ServeError
from frevo.config import Config
from frevo.folders import make_folder
from frevo.status.control import ControlError, ControlServer
from frevo.text import one_line

if TYPE_CHECKING:
    from frevo.cli.serve import Plan
    from frevo.status.snapshot import CertificateStatus

log = logging.getLogger("frevo.serve")

#: What a stop may take beyond `frevo:drain timeout` before the server's task is cancelled.
STOP_GRACE_S = 0.4
#: Open files are bounded by configuration; the process's soft limit should not be what clients meet first.
OPEN_FILES_MAX = 1 << 20

_LEVELS = {0: logging.ERROR, 1: logging.WARNING, 2: logging.INFO}


class Running(Protocol):
    """What the server reports once every listener is bound."""

    @property
    def server(self) -> Any: ...
    @property
    def addresses(self) -> Sequence[tuple[str, str, int]]: ...
    @property
    def engine(self) -> str: ...
    @property
    def read_path(self) -> str: ...
    @property
    def unused_read_paths(self) -> Mapping[str, str]: ...
    @property
    def write_path(self) -> str: ...
    @property
    def unused_write_paths(self) -> Mapping[str, str]: ...
    @property
    def certificates(self) -> Sequence[CertificateStatus]: ...
    def reload(self, config: Config) -> None: ...


class Runner:
    """One server's life in this process."""

    def __init__(self, plan: Plan, *, quiet: bool, verbosity: int = 0, ready_fd: int | None = None) -> None:
        self._plan = plan
        self._verbosity = verbosity
        self._quiet = quiet
        self._ready_fd = ready_fd
        self._config = plan.config
        self._stop = asyncio.Event()
        self._ready: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
        self._server: asyncio.Task[int] | None = None
        self._running: Running | None = None
        self._stops = 0

    async def run(self) -> int:
        """Serve and return the exit code. Raises ServeError if a port is not available."""
        from frevo.server.run import run_server

        self._server = asyncio.create_task(
            run_server(self._config, stop=self._stop, ready=self._on_ready, bound=self._become_owner)
        )
        with self._signals():
            waiting: set[asyncio.Future[Any]] = {self._server, self._ready}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not self._ready.done():
                self._ready.cancel()
                return await self._result()
            self._running = self._ready.result()
            control = None
            try:
                control = await self._control()
                self._announce()
                return await self._result()
            finally:
                try:
                    if control is not None:
                        await control.close()
                finally:
                    await self._end()

    async def _end(self) -> None:
        """Whatever happened, the server's task is over when we leave."""
        assert self._server is not None
        self._server.cancel()
        await asyncio.gather(self._server, return_exceptions=True)

    def _become_owner(self) -> None:
        if self._plan.owner is not None:
            from frevo.cli.folder_owner import become

            transports = self._config.globals.server_smb_transports
            become(self._plan.owner, quic=any(one.traits.secure for one in transports))

    def _on_ready(self, running: Running) -> None:
        if not self._ready.done():
            self._ready.set_result(running)

    async def _result(self) -> int:
        assert self._server is not None
        try:
            return await self._server
        except asyncio.CancelledError:
            if self._stops:
                return 0 if self._stops == 1 else 130
            raise
        except OSError as error:
            if self._running is None:
                transports = map(str, self._config.globals.server_smb_transports)
                raise ServeError(explain_bind_error(error, transports)) from error
            raise

    # -- signals

    @contextlib.contextmanager
    def _signals(self) -> Any:
        loop = asyncio.get_running_loop()
        handlers = {signal.SIGINT: self.stop, signal.SIGTERM: self.stop, signal.SIGHUP: self.reload}
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def stop(self) -> None:
        """First call: drain and stop. Second: stop at once. Third: leave without cleaning up."""
        self._stops += 1
        if self._stops == 1:
            if not self._quiet:
                with contextlib.suppress(OSError):
                    print("\nStopping (Ctrl-C again to stop at once).", file=sys.stderr, flush=True)
            self._stop.set()
            grace = self._config.globals.frevo_drain_timeout + STOP_GRACE_S
            asyncio.get_running_loop().call_later(grace, self._cancel)
        elif self._stops == 2:
            self._cancel()
        else:
            os._exit(130)

    def _cancel(self) -> None:
        if self._server is not None:
            self._server.cancel()

    def reload(self) -> bool:
        """Read the configuration again and apply what can change at run time; False if it has errors."""
        from frevo.cli.serve import reloaded

        act_as(None)  # a request of a user may have come before
        config = reloaded(self._plan, self._config)
        if config is None:
            return False
        self._config = config
        set_level(config.globals.log_level + self._verbosity)
        if self._running is not None:
            self._running.reload(config)
        return True

    # -- status

    async def _control(self) -> ControlServer | None:
        handlers = {
            "status": self._status,
            "ping": lambda: "pong",
            "reload": self._reload_asked,
            "stop": self.stop,
        }
        control = ControlServer(self._config.globals.private_dir, handlers)
        try:
            await control.start()
        except ControlError as error:
            log.warning("%s: frevo status will not find this server", error)
            return None
        return control

    async def _status(self) -> Any:
        from frevo.status.collect import collect
        from frevo.status.slices import in_slices

        assert self._running is not None
        snapshot = await in_slices(collect(self._running))
        return await in_slices(snapshot.json_steps())

    def _reload_asked(self) -> str:
        if not self.reload():
            raise ControlError("the configuration has errors (see the log): the old one stays in force")
        return "reloaded"

    def _announce(self) -> None:
        assert self._running is not None
        from frevo.server.core.unix_users import acts_as_users
        from frevo.server.rules.acting import who_acts

        act_as(None)
        login = self._plan.login() if self._plan.login is not None else None
        sentence = who_acts(self._config)
        if self._plan.owner is not None:
            sentence = f"Started by root; accesses the disk as {self._plan.owner.name}, the folder's owner."
        shown = not self._quiet or (login is not None and bool(login.password))
        if sentence and not acts_as_users(self._config) and self._plan.owner is None:
            if not shown or log_path(self._config):  # the banner already says so
                log.warning("%s", sentence)
        if shown:
            with contextlib.suppress(OSError):  # no one reads our output: serve anyway
                running = self._running
                lines = banner(self._config, running.addresses, login, sentence, running.certificates)
                print(printable(lines), flush=True)
        where = ", ".join(f"{name} {host} port {port}" for name, host, port in self._running.addresses)
        log.info("engine %s, listening on %s", self._running.engine, where)
        if self._ready_fd is not None:
            write_readiness(self._ready_fd, self._running.addresses)


def write_readiness(fd: int, addresses: Sequence[tuple[str, str, int]]) -> None:
    """One line of JSON for the program that started us: process id and listeners. Closes *fd*."""
    listeners = [{"transport": name, "address": host, "port": port} for name, host, port in addresses]
    try:
        with open(fd, "w", encoding="utf-8") as pipe:
            pipe.write(json.dumps({"pid": os.getpid(), "listeners": listeners}) + "\n")
    except OSError as error:
        log.warning("cannot report readiness to file descriptor %d: %s", fd, error.strerror)


async def run_until_stopped(
    plan: Plan, *, quiet: bool = False, verbosity: int = 0, ready_fd: int | None = None
) -> int:
    """Serve *plan* until a signal stops it; the exit code."""
    start_log(plan.config, verbosity)
    raise_file_limit()
    return await Runner(plan, quiet=quiet, verbosity=verbosity, ready_fd=ready_fd).run()


class LogFormatter(logging.Formatter):
    """One line per record: names come from clients and must not be able to forge lines or colours."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return one_line(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        return printable(super().formatException(ei))


def start_log(config: Config, verbosity: int = 0) -> None:
    """Log to `log file`, whose folder is made when it is missing, at `log level` plus *verbosity*.

    Without one, or when it cannot be written, to standard error.
    """
    name = log_path(config)
    try:
        handler, reason = _handler(name), ""
    except (OSError, ValueError) as error:
        handler, reason = _handler(""), str(getattr(error, "strerror", None) or error)
    handler.setFormatter(LogFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logger = logging.getLogger("frevo")
    for old in tuple(logger.handlers):
        logger.removeHandler(old)
    logger.addHandler(handler)
    logger.propagate = False
    set_level(config.globals.log_level + verbosity)
    if reason:
        log.warning("cannot write to the log file %s: %s: logging here instead", name, reason)


def _handler(name: str) -> logging.Handler:
    if not name:
        return logging.StreamHandler()
    make_folder(Path(name).parent, 0o755)
    return logging.FileHandler(name, encoding="utf-8", errors="backslashreplace")


def set_level(level: int) -> None:
    """`log level` as logging's: 0 errors, 1 warnings, 2 life cycle, 3 and more everything."""
    logging.getLogger("frevo").setLevel(_LEVELS.get(level, logging.DEBUG))


def raise_file_limit() -> None:
    """Raise the soft limit of open files to the hard one, as far as it is of use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
