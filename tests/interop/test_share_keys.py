"""Share keys that decide what a user sees, on frevo and on smbd with the same file and the same Unix users."""

from __future__ import annotations

import os
import re
import shutil
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
    "for-games": {"valid users": "games", "access based share enum": "yes"},
    "for-daemon": {"valid users": "daemon", "access based share enum": "yes"},
    "unreadable": {"hide unreadable": "yes"},
    "unwriteable": {"hide unwriteable files": "yes", "read only": "no"},
    "special": {"hide special files": "yes"},
    "veto-kept": {"read only": "no", "veto files": "/*.tmp/"},
    "veto-deleted": {"read only": "no", "veto files": "/*.tmp/", "delete veto files": "yes"},
    "inside": {"read only": "no"},
    "nofollow": {"read only": "no", "follow symlinks": "no"},
    "wide": {"read only": "no", "wide links": "yes"},
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
            made = stack.enter_context(samba_server(base, {"smb1 unix extensions": "no"}, shares, USERS))
        for share in SHARES:
            made.folder(share).chmod(0o777)
        yield made


def _as(target: Target, user: str) -> str:
    return f"{user}%{target.password}"


def _names(target: Target, share: str, user: str = "games", *, path: str = "*") -> list[str]:
    """The names in a listing, without the folder's own."""
    output = smbclient(target, f'ls "{path}"', share=share, user=_as(target, user)).output
    if "NO_SUCH_FILE" in output:
        return []
    lines = [line for line in output.splitlines() if line.startswith("  ")]
    assert lines, output
    return sorted(name for line in lines if (name := line.split()[0]) not in (".", ".."))


def _shares(target: Target, user: str) -> list[str]:
    lines = smbclient_list(target, user=_as(target, user)).output.splitlines()
    return sorted(line.split("|")[1] for line in lines if line.startswith("Disk|"))


def _put(path: Path, mode: int, owner: str = "daemon") -> None:
    path.write_text(path.name)
    shutil.chown(path, owner, owner)
    path.chmod(mode)


def test_access_based_share_enum(target: Target) -> None:
    """Goal: a share is listed only for users who may use it."""
    for user, other in (USERS, USERS[::-1]):
        shown = _shares(target, user)
        assert f"for-{user}" in shown and f"for-{other}" not in shown and "plain" in shown


def test_hide_unreadable(target: Target) -> None:
    """Goal: what the Unix user may not read is not listed. Method: modes, owners and folders."""
    folder = target.folder("unreadable")
    for name, mode in (("open", 0o644), ("closed", 0o600), ("group", 0o640)):
        _put(folder / name, mode)
        (folder / f"{name}-dir").mkdir()
        shutil.chown(folder / f"{name}-dir", "daemon", "daemon")
        (folder / f"{name}-dir").chmod(mode | 0o111)
    _put(folder / "own", 0o600, "games")
    assert _names(target, "unreadable") == ["open", "open-dir", "own"]
    assert _names(target, "unreadable", path="closed") == []
    everything = ["closed", "closed-dir", "group", "group-dir", "open", "open-dir"]
    assert _names(target, "unreadable", "daemon") == everything


def test_hide_unwriteable_files(target: Target) -> None:
    """Goal: files that the Unix user may not write are not listed, folders are."""
    folder = target.folder("unwriteable")
    _put(folder / "open", 0o666)
    _put(folder / "closed", 0o644)
    (folder / "dir").mkdir()
    assert _names(target, "unwriteable") == ["dir", "open"]


def test_hide_special_files(target: Target) -> None:
    """Goal: a pipe is not listed."""
    folder = target.folder("special")
    os.mkfifo(folder / "pipe")
    (folder / "file").touch()
    assert _names(target, "special") == ["file"]


def test_links(target: Target) -> None:
    """Goal: where links lead, and the status where they lead nowhere. Method: the same links in three shares."""
    outside = target.root / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    told = {}
    for share in ("inside", "nofollow", "wide"):
        folder = target.folder(share)
        (folder / "file").write_text("file")
        (folder / "dir").mkdir()
        for name, goal in (
            ("in", "file"),
            ("indir", "dir"),
            ("out", "../outside/secret"),
            ("outdir", str(outside)),
        ):
            (folder / name).symlink_to(goal)
        told[share] = [_names(target, share)]
        for path in ("in", "out", "outdir/secret", "OUTDIR/Secret"):
            output = smbclient(target, f'get "{path}" -', share=share, user=_as(target, "games")).output
            found = re.search(r"NT_STATUS_(\w+)|^(file|secret)getting", output)
            told[share].append([found[1] or found[2]] if found else [output])
    no_name, no_path = ["OBJECT_NAME_NOT_FOUND"], ["OBJECT_PATH_NOT_FOUND"]
    assert told == {
        "inside": [["dir", "file", "in", "indir"], ["file"], no_name, no_path, no_path],
        "nofollow": [["dir", "file"], no_name, no_name, no_path, no_path],
        "wide": [["dir", "file", "in", "indir", "out", "outdir"], ["file"], *[["secret"]] * 3],
    }


def test_delete_veto_files(target: Target) -> None:
    """Goal: a folder that contains only vetoed names is removed where the key says so, and not otherwise."""
    for share, gone in (("veto-kept", []), ("veto-deleted", ["nested", "only"])):
        folder = target.folder(share)
        for name in ("only", "mixed", "nested"):
            (folder / name / "x.tmp").mkdir(parents=True)
            (folder / name / "x.tmp" / "y.tmp").touch()
        (folder / "mixed" / "file").touch()
        (folder / "nested" / "x.tmp" / "anything").touch()
        for path in folder.rglob("*"):
            path.chmod(0o777)
        for name in ("only", "mixed", "nested"):
            output = smbclient(target, f"rmdir {name}", share=share, user=_as(target, "games")).output
            assert ("DIRECTORY_NOT_EMPTY" in output) == (name not in gone), output
        assert sorted({"only", "mixed", "nested"} - {path.name for path in folder.iterdir()}) == gone


def test_homes(target: Target) -> None:
    """Goal: a user's name is the user's folder, others' are refused, unknown names do not exist; only one's own is
    listed."""
    for user, other in (USERS, USERS[::-1]):
        assert _names(target, user, user) == _names(target, "homes", user) == [f"of-{user}"]
        assert "ACCESS_DENIED" in smbclient(target, "ls", share=other, user=_as(target, user)).output
        assert "BAD_NETWORK_NAME" in smbclient(target, "ls", share="nosuch", user=_as(target, user)).output
        shown = _shares(target, user)
        assert user in shown and other not in shown and "homes" not in shown
