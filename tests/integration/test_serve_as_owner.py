"""`frevo serve PATH` by root: the process becomes the folder's owner, and clients' files are the owner's."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from frevo.cli import folder_owner
from frevo.cli.folder_owner import owner_to_become, private_dir_for
from frevo.cli.serve_folder import ServeError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")

OWNER = pwd.getpwnam("games")


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder open to everybody, with `own`, which is the owner's."""
    folder = Path(tempfile.mkdtemp(prefix="frevo-owner-"))
    folder.chmod(0o755)
    (folder / "own").mkdir()
    os.chown(folder / "own", OWNER.pw_uid, OWNER.pw_gid)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("more", [[], ["--quic=0"]], ids=["tcp", "quic"])
def test_the_server_is_the_owner(base: Path, more: list[str]) -> None:
    """Goal: no right of root is left while it serves, and none is needed, also not to make certificates. Method: the
    kernel's view of the process; the private folder.
    """
    private = base / "private"
    command = [sys.executable, "-m", "frevo", "serve", str(base / "own"), "-p", "0", "--listen", "127.0.0.1"]
    process = subprocess.Popen(
        [*command, *more, "--private-dir", str(private)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if "Stop with Ctrl-C" in line:
            break
    status = Path(f"/proc/{process.pid}/status").read_text()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 0
    ids = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    assert set(map(int, ids["Uid"].split())) == {OWNER.pw_uid}
    assert set(map(int, ids["Gid"].split())) == {OWNER.pw_gid}
    assert int(ids["CapEff"], 16) == int(ids["CapPrm"], 16) == 0
    assert any("accesses the disk as games, the folder's owner" in line for line in said), said
    files = [private, *private.rglob("*")]
    assert {path.stat().st_uid for path in files} == {OWNER.pw_uid}
    assert (private / "accounts.json" in files, private / "tls" / "key.pem" in files) == (True, bool(more))


def test_another_users_private_folder(base: Path) -> None:
    """Goal: a private folder that the owner could not use is refused with a clear message. Method: one of root's."""
    owner = owner_to_become(str(base / "own"))
    assert owner is not None and owner.name == "games"
    (base / "roots").mkdir(mode=0o700)
    with pytest.raises(ServeError, match="does not belong to games"):
        private_dir_for(owner, str(base / "roots"))


def test_an_owner_without_a_home(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: accounts are stored all the same. Method: an owner whose home is root's."""
    monkeypatch.setattr(folder_owner, "STATE_DIR", base / "state")
    owner = owner_to_become(str(base / "own"))
    assert owner is not None
    folder = Path(private_dir_for(owner, None))
    assert folder == base / "state" / "private-games"
    assert (folder.stat().st_uid, folder.stat().st_mode & 0o777) == (OWNER.pw_uid, 0o700)
    assert private_dir_for(owner, None) == str(folder)


def test_roots_own_folder(base: Path) -> None:
    """Goal: root's folder is served by root. Method: the folder above."""
    assert owner_to_become(str(base)) is None
    assert owner_to_become(str(base / "missing")) is None
