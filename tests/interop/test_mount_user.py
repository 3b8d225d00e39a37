"""An ordinary user mounts, through fusermount3, works there and unmounts."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from peers import programs
from peers.frevo_server import FREVO
from peers.mounted import environment, need_fuse
from peers.target import Target

pytestmark = pytest.mark.interop
#: nobody
USER = 65534

#: Run in a mount namespace of its own. $1: a directory of the user; $2: the share; $3: the device or nothing.
SCRIPT = r"""
[ -z "$3" ] || mount --bind "$3" /dev/fuse
user() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
frevo() { user "$PYTHON" -m frevo "$@"; }
cd /
frevo mount "$2" "$1"
grep -c " $1 fuse.frevo .*user_id=65534" /proc/mounts
user bash -euc 'cd "$0"; echo text > file; cat file; flock file true; ln file other; stat -c %U:%h other; rm other' "$1"
! ls "$1" 2> /dev/null   # root is another user
frevo umount "$1"
frevo mount "$2" "$1"
user cat "$1/file"
user fusermount3 -u "$1"
! frevo mount "$2" /root 2>&1
! grep " fuse.frevo .*user_id=65534" /proc/mounts
"""


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory of the user's, in a place he can reach."""
    base = Path("/tmp") / f"frevo-user-{os.getpid()}"
    base.mkdir(mode=0o755)
    (base / "mount").mkdir()
    os.chown(base / "mount", USER, USER)
    yield base
    shutil.rmtree(base)


def test_an_ordinary_user_mounts(server: Target, own: Path) -> None:
    """mount, work, umount and fusermount3 -u as nobody; he cannot mount on other users' directories."""
    need_fuse()
    if os.geteuid():
        programs.missing("only root can become another user")
    unshare, _ = programs.need("unshare"), programs.need("setpriv")
    if shutil.which("fusermount3") is None:
        programs.missing("fusermount3 is missing: apt-get install fuse3")
    device = ""
    if (
        stat.S_IMODE(Path("/dev/fuse").stat().st_mode) & 0o006 != 0o006
    ):  # no udev here: a device for everybody
        device = str(own / "fuse")
        os.mknod(device, stat.S_IFCHR | 0o600, Path("/dev/fuse").stat().st_rdev)
        Path(device).chmod(0o666)
    url = f"smb://{server.host}:{server.port}/share"
    command = [unshare, "-m", "--propagation", "private", "bash", "-euc", SCRIPT, "bash"]
    done = programs.run(
        [*command, str(own / "mount"), url, device],
        env={**environment(server), "PYTHON": FREVO[0], "HOME": str(own)},
        timeout_s=60,
    )
    words = done.ok().split()
    assert words[:3] == ["1", "text", "nobody:2"]
    assert words[3] == "text"
    (server.folder() / "file").unlink()
