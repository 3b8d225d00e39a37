"""testparm's warnings about the ways to move data that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from frevo.aio import features
from frevo.cli import data_path_remarks
from frevo.cli.config_remarks import remarks
from frevo.config import load_text


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("frevo:read path = async", 2, "needs io_uring"),
        ("frevo:read path = zerocopy", 2, "needs io_uring"),
        ("frevo:write path = fixed", 2, "needs io_uring"),
        ("frevo:read path = splice\nfrevo:splice = never", 2, "`frevo:splice = never`: `plain`"),
        ("frevo:splice = always", 2, "no effect without `frevo:read path = splice`"),
        ("frevo:read path = splice\nfrevo:fast path = no", 2, "`frevo:fast path = no`: `plain`"),
        ("server signing = mandatory\nfrevo:write path = splice", 3, "not signed"),
        ("smb encrypt = required\nfrevo:read path = splice", 3, "not encrypted"),
        ("server smb transports = quic\ntls enabled = yes\nfrevo:write path = splice", 4, "over QUIC"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path: Path, text: str, line: int, sentence: str) -> None:
    """Goal: each combination that leads to `plain` is said at the key that asks for more. Method: with epoll."""
    config = load_text(f"[global]\n{text}\nfrevo:engine = epoll\nprivate dir = {tmp_path}")
    found = [one for one in remarks(config) if sentence in one.message]
    assert [(one.line, one.severity) for one in found] == [(line, "warning")]


def test_a_kernel_without_an_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Goal: the same where the kernel has io_uring and not the operation. Method: one that has only SEND."""
    monkeypatch.setattr(data_path_remarks, "choose_data_plane", lambda engine: ("uring", "it works"))
    old = features.Features("", frozenset({"send"}), {})
    monkeypatch.setattr(data_path_remarks, "probe", lambda: old)
    config = load_text("[global]\nfrevo:read path = zerocopy\nfrevo:write path = fixed")
    assert list(data_path_remarks.data_path_remarks(config)) == [
        ("frevo_read_path", "this kernel has no send_zc: `plain` is used"),
        ("frevo_write_path", "this kernel has no write_fixed: `plain` is used"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "frevo:read path = async\nfrevo:write path = fixed",
        "frevo:read path = splice\nfrevo:splice = always\nfrevo:write path = splice",
        "frevo:read path = splice\nserver smb transports = quic tcp\nfrevo:engine = epoll",
        "server signing = mandatory\nfrevo:fast path = no",
    ],
)
def test_nothing_is_said_of_what_works(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Goal: no warning for defaults and for what can be followed. Method: with all of io_uring."""
    monkeypatch.setattr(data_path_remarks, "choose_data_plane", lambda engine: ("uring", "it works"))
    full = features.Features("", frozenset({"send", "send_zc", "write_fixed"}), {})
    monkeypatch.setattr(data_path_remarks, "probe", lambda: full)
    assert not list(data_path_remarks.data_path_remarks(load_text(f"[global]\n{text}")))
