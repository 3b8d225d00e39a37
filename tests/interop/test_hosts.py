"""`hosts allow` and `hosts deny`: Samba's own testparm agrees with the table that frevo is tested with."""

from __future__ import annotations

from pathlib import Path

import pytest
from peers import programs
from vectors.host_lists import DECISIONS


@pytest.mark.parametrize(("allow", "deny", "address", "name", "allowed"), DECISIONS)
def test_testparm_agrees(
    tmp_path: Path, allow: str, deny: str, address: str, name: str, allowed: bool
) -> None:
    """Goal: the table is Samba's. Method: run testparm for each line."""
    testparm = programs.need("testparm")
    config = tmp_path / "smb.conf"
    config.write_text(
        f"[global]\nhostname lookups = yes\n[s]\npath = /tmp\nhosts allow = {allow}\nhosts deny = {deny}\n"
    )
    told = programs.run([testparm, "-s", str(config), name or address, address]).output
    assert ("Allow connection from" in told, "Deny connection from" in told) == (allowed, not allowed), told
