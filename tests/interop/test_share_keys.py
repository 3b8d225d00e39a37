"""Share keys that decide what a user sees, on frevo and on smbd with the same file and the same Unix users."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from peers.frevo_server import add_user, frevo_server
from peers.samba_server import samba_server
from peers.smbclient import smbclient, smbclient_list
from peers.target import Target

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="acting as other users takes root")

#: Unix users that every Debian has.
USERS = ("games", "daemon")
SHARES: dict[str, dict[str, str]] = {
    "plain": {"read only": "no"},
}


@pytest.fixture(scope="module", params=["frevo", "samba"])
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    """The same shares on frevo, where sessions act as their Unix users, and on smbd."""
    with ExitStack() as stack:
        base = Path(
            stack.enter_context(tempfile.TemporaryDirectory())
        )  # users must get through: not pytest's
        base.chmod(0o755)
        shares = {**SHARES, "homes": {"path": f"{base}/homes/%S", "valid users": "%S", "browseable": "no"}}
        for user in USERS:
            (base / "homes" / user).mkdir(parents=True)
            (base / "homes" / user / f"of-{user}").touch()
        if request.param == "frevo":
            made: Target = stack.enter_context(frevo_server(base, {"frevo:unix users": "yes"}, shares))
            for user in USERS:
                add_user(base / "smb.conf", user)
        else:
            made = stack.enter_context(samba_server(base, {}, shares, USERS))
        for share in SHARES:
            made.folder(share).chmod(0o777)
        yield made


def _as(target: Target, user: str) -> str:
    return f"{user}%{target.password}"


def _names(target: Target, share: str, user: str = "games", *, path: str = "*") -> list[str]:
    """The names that a listing shows, without the folder's own."""
    output = smbclient(target, f'ls "{path}"', share=share, user=_as(target, user)).output
    if "NO_SUCH_FILE" in output:
        return []
    lines = [line for line in output.splitlines() if line.startswith("  ")]
    assert lines, output
    return sorted(name for line in lines if (name := line.split()[0]) not in (".", ".."))


def _shares(target: Target, user: str) -> list[str]:
    lines = smbclient_list(target, user=_as(target, user)).output.splitlines()
    return sorted(line.split("|")[1] for line in lines if line.startswith("Disk|"))


def test_homes(target: Target) -> None:
    """Goal: a user's name is the user's folder, others' are refused, nobody's is none; only one's own is listed."""
    for user, other in (USERS, USERS[::-1]):
        assert _names(target, user, user) == _names(target, "homes", user) == [f"of-{user}"]
        assert "ACCESS_DENIED" in smbclient(target, "ls", share=other, user=_as(target, user)).output
        assert "BAD_NETWORK_NAME" in smbclient(target, "ls", share="nosuch", user=_as(target, user)).output
        shown = _shares(target, user)
        assert user in shown and other not in shown and "homes" not in shown
