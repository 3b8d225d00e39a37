"""`frevo serve`: shares a folder, or what an smb.conf says."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from frevo.aio.acting import as_identity
from frevo.aio.syscalls import return_memory
from frevo.cli.common import Subparsers, add_command, add_config_option, print_problems
from frevo.cli.config_remarks import explain, listening, nothing_to_serve
from frevo.cli.folder_owner import Owner, owner_to_become, private_dir_for
from frevo.cli.serve_folder import (
    ORDINARY_PORT,
    ORDINARY_QUIC_PORT,
    SMB_PORT,
    Login,
    ServeError,
    folder_config,
    login_for,
    user_name,
    usual_port,
    usual_quic_port,
)
from frevo.config import Config, ConfigErrors, diff, load
from frevo.config.check import check_globals
from frevo.config.problem import Problems
from frevo.transport.address import TransportAddress, transport_at
from frevo.transport.traits import QUIC, SMBDIRECT

log = logging.getLogger("frevo.serve")

#: Bytes of a block of memory that is given back when it is freed, and of what may be free at the end of the heap.
_LARGEST_BLOCK, _FREE_END = 4 << 20, 16 << 20

#: `--quic` without a port.
_USUAL = -1

_EXAMPLES = """\
  frevo serve ~/Documents                          share a folder with a new password
  frevo serve ~/photos --name pics --read-only     with another name, read-only
  frevo serve . --listen 127.0.0.1 --port 4450     for local programs only
  frevo serve ~/Documents --quic                   also encrypted over QUIC, for clients on the Internet
  frevo serve ~/Documents --rdma                   also over SMB Direct (docs/guide/smbdirect.md)
  frevo serve -c /etc/frevo/smb.conf               as configured in a file
  frevo serve -c ./smb.conf -p 4450                the same on port 4450

Ctrl-C lets running requests finish and stops; a second Ctrl-C stops at once. SIGHUP reloads the configuration file.
"""


class Plan(msgspec.Struct, frozen=True):
    """What to serve: the configuration, how to read it again, and in folder mode how to make the login.

    `login` is called when the server listens: a failed start must not change a password.
    """

    config: Config
    reload: Callable[[], Config]
    login: Callable[[], Login] | None = None
    owner: Owner | None = None  # the user that the process becomes once its ports are bound


def add_parser(subparsers: Subparsers) -> None:
    """The options of `frevo serve`."""
    parser = add_command(subparsers, "serve", "share a folder, or the shares in an smb.conf", _EXAMPLES)
    parser.add_argument("path", nargs="?", metavar="PATH", help="the folder to share")
    add_config_option(parser, "the smb.conf to use (instead of PATH)")
    port_help = f"TCP port (default: {SMB_PORT}, or {ORDINARY_PORT} if that is not permitted)"
    parser.add_argument("-p", "--port", type=port_number, metavar="N", help=port_help)
    quic_help = (
        f"also serve over QUIC, on UDP port N (default: {QUIC.port}, or {ORDINARY_QUIC_PORT} if that is not permitted)"
    )
    parser.add_argument("--quic", type=quic_port, nargs="?", const=_USUAL, metavar="N", help=quic_help)
    rdma_help = f"also serve over SMB Direct, on port N (default: {SMBDIRECT.port}; with InfiniBand and RoCE 445)"
    parser.add_argument("--rdma", type=rdma_port, nargs="?", const=SMBDIRECT.port, metavar="N", help=rdma_help)
    parser.add_argument("--listen", metavar="ADDR", help="address or interface to listen on (default: all)")
    parser.add_argument("--private-dir", metavar="DIR", help="folder for the accounts")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="log more; may be repeated")
    parser.add_argument("-q", "--quiet", action="store_true", help="do not print how to connect")
    ready_help = (
        "when every listener accepts connections, write one line of JSON to this file descriptor and close it"
    )
    parser.add_argument("--ready-fd", type=int, metavar="FD", help=ready_help)
    folder = parser.add_argument_group("with PATH")
    folder.add_argument("--name", metavar="SHARE", help="the share's name (default: the folder's)")
    folder.add_argument("--read-only", action="store_true", help="share it read-only")
    folder.add_argument(
        "--user", metavar="U", help="the user who may connect (default: your login name); created if new"
    )
    folder.add_argument(
        "--new-password", action="store_true", help="set a new random password for an existing user"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until stopped."""
    try:
        plan = _plan(args)
    except ConfigErrors as errors:
        print_problems(errors.problems)
        return 1
    from frevo.cli.runner import run_until_stopped

    _return_memory()
    running = run_until_stopped(plan, quiet=args.quiet, verbosity=args.verbose, ready_fd=args.ready_fd)
    return asyncio.run(running)


def _return_memory() -> None:
    """Have the largest blocks of memory given back when they are freed, unless the environment says what is to be done.

    Otherwise the C library keeps them among small ones once the first has been freed. The smaller ones are used again
    all the time by READs that the data plane does not answer, and there fresh memory would cost more than the copy.
    """
    if not any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return_memory(_LARGEST_BLOCK, _FREE_END)


def _plan(args: argparse.Namespace) -> Plan:
    if (args.path is None) == (args.config is None):
        raise ServeError("give a folder to share, or -c smb.conf (frevo serve --help has examples)")
    if args.quic == _USUAL:
        args.quic = usual_quic_port()
        if args.quic != QUIC.port:
            text = f"frevo: this user may not listen on UDP port {QUIC.port}: QUIC is on {args.quic} instead"
            print(f"{text} (`frevo doctor` says how to permit it)", file=sys.stderr)
    if args.config is not None:
        config = _from_file(args)
        print_problems(config.problems)
        said = explain(config)
        if any(problem.severity == "error" for problem in said):
            raise ConfigErrors(())  # everything has been said
        return Plan(config, lambda: _reread(args))
    owner = owner_to_become(args.path)
    overrides = _overrides(args)
    if owner is not None:
        overrides["private dir"] = private_dir_for(owner, args.private_dir)
    with as_identity(owner.identity if owner is not None else None):
        config = folder_config(args.path, args.name, read_only=args.read_only, overrides=overrides)
    config = _with_options(config, args, default_port=True)
    for problem in listening(config):
        raise ServeError(f"--listen: {problem.message}")
    user = user_name(args.user or (owner.name if owner is not None else None))
    share = next(iter(config.shares.values()))
    config = config.with_share(replace(share, valid_users=(user,)))
    private_dir, new_password = config.globals.private_dir, args.new_password
    return Plan(
        config, lambda: config, lambda: login_for(private_dir, user, new_password=new_password), owner
    )


def _from_file(args: argparse.Namespace) -> Config:
    for option in ("name", "user"):
        if getattr(args, option):
            raise ServeError(f"--{option} is for a folder, not for -c: set it in the file")
    if args.read_only or args.new_password:
        raise ServeError("--read-only and --new-password are for a folder, not for -c")
    return _with_options(load(args.config, _overrides(args)), args, default_port=False)


def _reread(args: argparse.Namespace) -> Config:
    """The file again, for SIGHUP; ConfigErrors when nothing of it could be served."""
    config = _from_file(args)
    if nothing := nothing_to_serve(config):
        raise ConfigErrors((*config.problems, nothing))
    return config


def _overrides(args: argparse.Namespace) -> dict[str, str]:
    return {"private dir": str(Path(args.private_dir).absolute())} if args.private_dir else {}


def _with_options(config: Config, args: argparse.Namespace, *, default_port: bool) -> Config:
    """*config* with `--listen`, `--port`, `--quic` and `--rdma` in it. ConfigErrors if it forbids these."""
    if args.listen:
        config = config.with_globals(interfaces=(host_of(args.listen),), bind_interfaces_only=True)
    port = args.port
    if port is None and default_port:
        port = usual_port()
    if port is not None:
        config = config.with_globals(server_smb_transports=(transport_at(port),))
    for traits, port in ((QUIC, args.quic), (SMBDIRECT, args.rdma)):
        if port is not None:
            others = [one for one in config.globals.server_smb_transports if one.traits is not traits]
            added = TransportAddress(traits.name, port)
            config = config.with_globals(server_smb_transports=(*others, added))
    if args.quic is not None or args.rdma is not None:
        problems = Problems()
        check_globals(config, problems)
        if problems.failed:
            raise ConfigErrors(problems.items)
    return config


def host_of(name: str) -> str:
    """The address of *name* (`localhost`), or *name* itself when it is an address, a network or an
    interface.
    """
    local = {interface for _, interface in socket.if_nameindex()}
    if name in local or not name.replace("-", "").replace(".", "").isalnum():
        return name
    try:
        return str(socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError:
        return name


def reloaded(plan: Plan, current: Config) -> Config | None:
    """The configuration read again, its changes logged; None when it is broken and *current* stays."""
    try:
        config = plan.reload()
    except ConfigErrors as errors:
        for problem in errors.problems:
            log.error("%s", problem)
        log.error("the old configuration stays in force")
        return None
    for problem in config.problems:
        if problem.severity == "error":
            log.error("%s", problem)
    for name in config.unserved:
        log.error("share %s is not served", name)
    changes = diff(current, config)
    for change in changes:
        log.warning("reload: %s", change)
    if not changes:
        log.warning("reload: nothing changed")
    return config


def quic_port(text: str) -> int:
    """The port of `--quic=N`."""
    return _optional_port("--quic", text)


def rdma_port(text: str) -> int:
    """The port of `--rdma=N`."""
    return _optional_port("--rdma", text)


def _optional_port(option: str, text: str) -> int:
    try:
        return port_number(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}: write {option} after the folder, or {option}=N") from None


def port_number(text: str) -> int:
    """A port of the command line; 0 means any free port."""
    if not (text.isascii() and text.isdigit()) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return int(text)
