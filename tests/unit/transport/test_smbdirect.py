"""Which provider carries SMB Direct, and why another one cannot."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from frevo.transport import smbdirect
from frevo.transport.rdma_devices import RdmaDevice, RdmaKind


def card(kind: RdmaKind, *, active: bool = True) -> RdmaDevice:
    """One port of a card."""
    return RdmaDevice("card", 1, kind, active, "ACTIVE" if active else "DOWN", "", ("eth0",))


def with_devices(monkeypatch: pytest.MonkeyPatch, *devices: RdmaDevice, lacking: str = "") -> None:
    """This machine has these devices, and programs can use them unless something is lacking."""
    monkeypatch.setattr(smbdirect, "rdma_devices", lambda: list(devices))
    monkeypatch.setattr(smbdirect, "verbs_missing", lambda: [lacking] if lacking else [])


def test_auto_takes_a_card_that_is_active(monkeypatch: pytest.MonkeyPatch) -> None:
    """A card that is active and usable is taken; in all other cases iWARP over TCP, which always works."""
    with_devices(monkeypatch, card(RdmaKind.ROCE))
    assert smbdirect.choose("auto") == "verbs"
    with_devices(monkeypatch, card(RdmaKind.ROCE, active=False))
    assert smbdirect.choose("auto") == "iwarp"
    with_devices(monkeypatch, card(RdmaKind.ROCE), lacking="libibverbs.so.1 cannot be loaded")
    assert smbdirect.choose("auto") == "iwarp"
    with_devices(monkeypatch)
    assert smbdirect.choose("auto") == "iwarp"


def test_a_provider_that_is_demanded_and_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the key, the reason and what works; those that need nothing are always there."""
    with_devices(monkeypatch)
    with pytest.raises(OSError) as caught:
        smbdirect.choose("verbs")
    assert caught.value.errno == errno.EPROTONOSUPPORT
    words = "frevo:smbdirect provider = verbs, but there is no RDMA device: use auto or iwarp"
    assert caught.value.strerror == words
    monkeypatch.setattr(smbdirect, "sockets_missing", lambda: "this kernel has none")
    with pytest.raises(OSError, match="kernel, but this kernel has none"):
        smbdirect.choose("kernel")
    assert [smbdirect.choose("iwarp"), smbdirect.choose("emulated")] == ["iwarp", "emulated"]


def test_what_verbs_need(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Libraries first, then the device files, each with its reason."""
    monkeypatch.setattr(smbdirect, "LIBRARIES", ("libno-such-library.so.9",))
    [reason] = smbdirect.verbs_missing()
    assert reason.startswith("libno-such-library.so.9 cannot be loaded (")
    monkeypatch.setattr(smbdirect, "LIBRARIES", ())
    monkeypatch.setattr(smbdirect, "DEVICE_FILES", tmp_path)
    assert smbdirect.verbs_missing() == [
        f"{tmp_path}/rdma_cm cannot be opened (No such file or directory)",
        f"{tmp_path}/uverbs* does not exist",
    ]
    for name in ("rdma_cm", "uverbs0"):
        (tmp_path / name).touch()
    assert smbdirect.verbs_missing() == []


def test_ports_of_cards() -> None:
    """The usual port means 5445 for iWARP and 445 for the others; any other is taken as it is."""
    iwarp, roce = card(RdmaKind.IWARP), card(RdmaKind.ROCE)
    assert smbdirect.card_ports(5445, 5445, [iwarp]) == [5445]
    assert smbdirect.card_ports(5445, 5445, [roce]) == [445]
    assert smbdirect.card_ports(5445, 5445, [roce, iwarp, card(RdmaKind.INFINIBAND)]) == [5445, 445]
    assert smbdirect.card_ports(5446, 5445, [roce]) == [5446]
    assert smbdirect.card_ports(5445, 5445, [card(RdmaKind.ROCE, active=False)]) == []
