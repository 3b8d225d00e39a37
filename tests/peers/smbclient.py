"""Runs Samba's smbclient against a target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from peers import programs
from peers.target import Target

DIALECTS = ("SMB2_02", "SMB2_10", "SMB3_00", "SMB3_02", "SMB3_11")


def smbclient(
    target: Target,
    *commands: str,
    share: str = "share",
    dialect: str = "SMB3_11",
    port: int = 0,
    cwd: Path | None = None,
    options: Sequence[str] = (),
    user: str = "",
    timeout_s: float = 120,
) -> programs.Run:
    """Runs *commands* on *share* with exactly *dialect*; the client starts in *cwd*."""
    command = [
        programs.need("smbclient"),
        target.unc(share),
        *("-s", "/dev/null"),
        *("-p", str(port or target.port)),
        *("-m", dialect),
        f"--option=client min protocol={dialect}",
        *("-U", user or target.credentials),
        *options,
        *("-c", "; ".join(commands)),
    ]
    return programs.run(command, cwd=cwd, timeout_s=timeout_s)


def smbclient_list(target: Target, *options: str, user: str = "") -> programs.Run:
    """smbclient -L in its grepable form."""
    command = [programs.need("smbclient"), "-s", "/dev/null", "-g", "-L", f"//{target.host}"]
    return programs.run([*command, "-p", str(target.port), "-U", user or target.credentials, *options])
