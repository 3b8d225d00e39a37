"""Which file systems may hang, from tables of mounts in the kernel's format."""

from __future__ import annotations

from pathlib import Path

import pytest

from frevo.vfs.filesystems import Mount, mount_of, mounts, slow_mount

TABLE = """\
22 28 0:20 / /proc rw,nosuid shared:12 - proc proc rw
28 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 28 0:28 / /srv/my\\040data rw - fuse.sshfs host:/ rw,user_id=0
31 28 0:29 / /srv/nas rw shared:3 master:4 - nfs4 nas:/x rw
32 31 0:30 / /srv/nas/scratch rw - tmpfs tmpfs rw
broken line
"""


@pytest.fixture
def table(tmp_path: Path) -> list[Mount]:
    (tmp_path / "mountinfo").write_text(TABLE)
    return mounts(tmp_path / "mountinfo")


def test_parsed(table: list[Mount]) -> None:
    """Goal: every complete line is a mount, with escapes decoded. Method: optional fields, spaces, a broken line."""
    assert [(mount.point, mount.slow) for mount in table] == [
        ("/proc", False), ("/", False), ("/srv/my data", True), ("/srv/nas", True), ("/srv/nas/scratch", False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "point"),
    [
        ("/srv/nas", "/srv/nas"),
        ("/srv/nas/deep/er", "/srv/nas"),
        ("/srv/nas/scratch/x", "/srv/nas"),  # the way there leads through it
        ("/srv/nasty", None),
        ("/srv", "/srv/my data"),  # it lies below
        ("/", "/srv/my data"),
        ("/home", None),
        ("/srv/./x/../nas/y", "/srv/nas"),
    ],
)
def test_slow_mount(table: list[Mount], path: str, point: str | None) -> None:
    """Goal: a share is slow because of its own mount, one above it or one below it. Method: paths against the
    table."""
    found = slow_mount(path, table)
    assert (found.point if found else None) == point


def test_links_are_followed(tmp_path: Path) -> None:
    """Goal: a link to a slow mount is found without touching the mount. Method: relative, absolute, circular ones."""
    root = str(tmp_path.resolve())
    table = [Mount("/", "ext4"), Mount(f"{root}/far", "fuse")]
    (tmp_path / "relative").symlink_to("far/below")
    (tmp_path / "absolute").symlink_to(f"{root}/far")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "near").mkdir()
    assert slow_mount(f"{root}/relative", table) == slow_mount(f"{root}/absolute/x", table) == table[1]
    assert slow_mount(f"{root}/circle", table) is None and slow_mount(f"{root}/near", table) is None


def test_the_newest_mount_counts() -> None:
    """Goal: of two mounts at one place the later one counts. Method: two such mounts."""
    assert mount_of("/a/b", [Mount("/a", "nfs"), Mount("/a", "ext4")]) == ("/a", "ext4")


def test_without_proc() -> None:
    """Goal: no table, no slow mounts, no error."""
    assert mounts(Path("/nonexistent")) == [] and slow_mount("/srv", []) is None
