"""The keys `frevo:smbdirect ...` and `frevo:rdma threshold`, and what contradicts itself."""

from __future__ import annotations

import pytest

from frevo.cli.client_config import of_globals
from frevo.client import Options
from frevo.client.address import Location
from frevo.config import ConfigErrors, load_text
from frevo.transport.smbdirect import SmbDirectSettings


def test_values_and_defaults() -> None:
    """What is not set has the defaults of the client's options; what is set goes there."""
    values = load_text("").globals
    taken = of_globals(values)
    for name in ("smb_direct", "rdma_threshold"):
        assert taken[name] == getattr(Options(), name)
    lines = ("provider = Emulated", "directory = /x", "credits = 7")
    lines += ("receive size = 4K", "message size = 2M", "crc = yes")
    text = "\n".join(f"frevo:smbdirect {line}" for line in lines)
    taken = of_globals(load_text(f"[global]\n{text}\nfrevo:rdma threshold = 64K\n").globals)
    settings = Options(**taken).settings(Location.parse("smb+rdma://nas/s"))
    assert settings.smb_direct == SmbDirectSettings("emulated", "/x", 7, 4096, 2 << 20, True)
    assert settings.rdma_threshold == 65536
    assert [str(one) for one in settings.transports] == ["smbdirect"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("frevo:smbdirect provider = tcp", "expected one of auto, verbs, iwarp, emulated, kernel"),
        ("frevo:rdma threshold = 9M", "out of range"),
        ("frevo:rdma threshold = -1", "expected"),
        ("frevo:smbdirect credits = 1", "out of range: expected 2 to 255"),
        ("frevo:smbdirect receive size = 100", "out of range"),
        ("frevo:smbdirect message size = 64K", "out of range"),
        ("smb ports = smbdirect\nserver max protocol = SMB2", "smbdirect needs `server max protocol = SMB3_00`"),
    ],
)  # fmt: skip
def test_wrong_values(line: str, words: str) -> None:
    """Each is an error with what is expected."""
    with pytest.raises(ConfigErrors) as caught:
        load_text(f"[global]\n{line}\n")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"smbdirect_provider": "tcp"}, "expected auto, verbs, iwarp, emulated or kernel"),
     ({"rdma_threshold": -1}, "0 to 8388608"), ({"rdma_threshold": (8 << 20) + 1}, "0 to 8388608")],
)  # fmt: skip
def test_wrong_options(options: dict[str, object], words: str) -> None:
    """The library's own options are checked as well."""
    with pytest.raises(ValueError, match=words):
        Options(**options).settings(Location.parse("smb+rdma://nas/s"))  # type: ignore[arg-type]
