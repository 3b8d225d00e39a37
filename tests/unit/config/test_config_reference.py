"""frevo.config.reference: the page in docs/ matches the table."""

from __future__ import annotations

from pathlib import Path

from frevo.config import KEYS
from frevo.config.reference import page
from frevo.config.unsupported import TABLE
from frevo.config.vfs_modules import MODULES

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "smb.conf.md"


def test_the_page_is_up_to_date() -> None:
    """Goal: docs/reference/smb.conf.md matches the table. Method: compare (`make docs` generates it)."""
    assert PAGE.read_text() == page()


def test_the_page_has_every_key() -> None:
    """Goal: no key is undocumented. Method: look for each name and synonym."""
    text = page()
    for key in KEYS:
        assert f"\n### {key.name}\n" in text
        assert all(f"`{name}`" in text for name in (*key.synonyms, *key.inverses))


def test_the_page_has_every_name_of_samba() -> None:
    """Goal: unsupported names are listed with a reason. Method: look for each name, synonym and module."""
    text = page()
    for row in TABLE:
        assert all(f"`{name}`" in text for name in (row.name, *row.synonyms)), row.name
        assert row.reason in text
    assert all(f"`{name}`" in text for name in MODULES)
