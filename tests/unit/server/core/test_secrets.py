"""frevo.server.core.shares: which files of the server no share shows."""

from __future__ import annotations

from pathlib import Path

from frevo.config import load_text
from frevo.server.core.shares import guard_of


def test_keys_are_hidden(tmp_path: Path) -> None:
    """Goal: private keys that smb.conf names are hidden wherever they lie. Method: two keys, a link."""
    live = tmp_path / "live"
    live.mkdir()
    for name in ("nas1.key", "nas2.key", "files.key", "files.pem"):
        (live / name).write_text("x")
    (live / "nas.key").symlink_to("nas1.key")
    text = (
        f"[global]\nprivate dir = {tmp_path / 'private'}\ntls certfile = {live}/nas.pem\n"
        f"tls keyfile = {live}/nas.key\nfrevo:quic certificates = {live}/files.pem:{live}/files.key\n"
    )
    guard = guard_of(load_text(text))

    def hidden() -> set[str]:
        names = ("nas1.key", "nas2.key", "files.key", "files.pem")
        status = {name: (live / name).stat() for name in names}
        return {name for name in names if guard.hides((status[name].st_dev, status[name].st_ino))}

    assert hidden() == {"nas1.key", "files.key"}
    (live / "nas.key").unlink()
    (live / "nas.key").symlink_to("nas2.key")
    assert hidden() == {"nas2.key", "files.key"}


def test_nothing_more_to_look_at(tmp_path: Path) -> None:
    """Goal: without keys elsewhere, only the private directory is looked at. Method: the defaults."""
    (tmp_path / "private").mkdir()
    assert not guard_of(load_text(f"[global]\nprivate dir = {tmp_path / 'private'}\n")).may_lie_anywhere
