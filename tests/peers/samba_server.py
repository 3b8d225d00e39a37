"""A private smbd (Debian's Samba) in a temporary folder on its own port: the reference for the harness and
benchmarks."""

from __future__ import annotations

import getpass
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from peers import programs
from peers.target import DOMAIN, SHARES, USER, Target, section, share_sections

START_TIMEOUT_S = 20.0
_MODULE_FOLDERS = [*sorted(Path("/usr/lib").glob("*/samba/vfs")), Path("/usr/lib64/samba/vfs")]
_FOLDERS = ("private", "lock", "state", "cache", "pid", "ncalrpc", "log")


def _configuration(
    base: Path,
    root: Path,
    host: str,
    ports: Sequence[int],
    options: Mapping[str, str],
    shares: Mapping[str, Mapping[str, str]],
) -> str:
    """smb.conf for a standalone server; *options* come last and win.

    The module list and the lock settings are those that reference/smbtorture-4.17 was made with.
    """
    (base / "users").write_text(f"{getpass.getuser()} = {USER}\n")
    settings = {
        "workgroup": DOMAIN,
        "netbios name": "SAMBAPEER",
        "server role": "standalone server",
        "interfaces": "127.0.0.1/8" if host.startswith("127.") else host,
        "bind interfaces only": "yes",
        "smb ports": " ".join(map(str, ports)),
        "private dir": str(base / "private"),
        "lock directory": str(base / "lock"),
        "state directory": str(base / "state"),
        "cache directory": str(base / "cache"),
        "pid directory": str(base / "pid"),
        "ncalrpc dir": str(base / "ncalrpc"),
        "log file": str(base / "log" / "log.%m"),
        "passdb backend": "smbpasswd",
        "username map": str(base / "users"),
        "map to guest": "never",
        "load printers": "no",
        "disable spoolss": "yes",
        "ea support": "yes",
        "vfs objects": "streams_xattr acl_xattr",
        "strict locking": "yes",
        "kernel oplocks": "no",
        "kernel share modes": "no",
        "posix locking": "no",
        "store dos attributes": "yes",
        "map archive": "no",
        "durable handles": "yes",
        **{key: value for key, value in options.items() if not key.startswith("frevo:")},
    }
    return section("global", settings) + "\n" + share_sections(root, {k: dict(v) for k, v in shares.items()})


def samba_module(name: str) -> bool:
    """Whether Samba has this VFS module here."""
    return any(Path(folder, f"{name}.so").exists() for folder in _MODULE_FOLDERS)


@contextmanager
def samba_server(
    base: Path,
    options: Mapping[str, str] | None = None,
    shares: Mapping[str, Mapping[str, str]] = SHARES,
    users: Sequence[str] = (),
    host: str = "127.0.0.1",
) -> Iterator[Target]:
    """Runs smbd with its state in *base* until the block ends; every process it made is gone afterwards. *users* are
    Unix users who may log on, too, with the target's password."""
    smbd = programs.need("smbd")
    smbpasswd = programs.need("smbpasswd")
    if not samba_module("streams_xattr"):
        programs.missing("Samba's streams_xattr module is missing: apt-get install samba-vfs-modules")
    for folder in _FOLDERS:
        (base / folder).mkdir(parents=True, exist_ok=True)
    target = Target("samba", base / "shares", host=host, log=base / "log" / "smbd.out")
    config = base / "smb.conf"
    with programs.reserved_port(host) as target.port, programs.reserved_port(host) as target.nbt_port:
        target.tcp_port = target.port
        ports = (target.port, target.nbt_port)
        config.write_text(_configuration(base, target.root, host, ports, options or {}, shares))
        secret = f"{target.password}\n" * 2
        for unix_user in (getpass.getuser(), *users):
            programs.run([smbpasswd, "-c", str(config), "-L", "-s", "-a", unix_user], text_in=secret).ok()
        with target.log.open("wb") as log:
            process = subprocess.Popen(
                [smbd, "--foreground", "--no-process-group", "-s", str(config), "-l", str(base / "log")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            target.pid = process.pid
            _wait_until_it_accepts(process, target)
            yield target
        finally:
            programs.end_group(process)
            process.wait(10)


def _wait_until_it_accepts(process: subprocess.Popen[bytes], target: Target) -> None:
    """smbd has no readiness signal: ask its port, with a deadline."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not programs.accepts(target.host, target.port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"smbd did not start:\n{target.log.read_text(errors='replace')}")
        time.sleep(0.05)
