"""SMB Direct over RDMA cards, from client to disk and back, with cards that exist only in one process."""

from __future__ import annotations

from pathlib import Path

import pytest
from peers.cards import run_with_cards

from integration import over_cards

pytestmark = [pytest.mark.once("it chooses its engine itself"), pytest.mark.timeout(600)]


@pytest.mark.parametrize("engine", ["uring", "epoll"])
@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"], ids=["roce", "iwarp"])
def test_files_and_ends(tmp_path: Path, address: str, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything arrives; a card that is taken away ends the connections, and the client makes a new one; nothing of
    the libraries is left."""
    monkeypatch.setenv("FREVO_ENGINE", engine)
    result = run_with_cards(tmp_path, over_cards.__name__, address)
    assert result.status == 0, result.output
    lines = result.output.splitlines()
    for size in over_cards.SIZES:
        assert f"copy {size}: True True" in lines, result.output
    assert {"together: True", "provider: verbs", "by RDMA: True True", "registered: 0"} <= set(lines), result.output
    assert "removed and back: True True" in lines, result.output
    assert lines[-1] == "left: 0", result.output
