"""Warnings about the keys that choose how data is moved: those that cannot be followed, so that another way is used."""

from __future__ import annotations

from collections.abc import Iterator

from frevo.aio.features import choose_data_plane, probe
from frevo.config import Config

#: The ways that only io_uring has, by key, and the operation that each needs.
_OF_URING = {
    "frevo_read_path": {"async": "send", "zerocopy": "send_zc"},
    "frevo_write_path": {"fixed": "write_fixed"},
}


def data_path_remarks(config: Config) -> Iterator[tuple[str, str]]:
    """(attribute of the server's keys, sentence) for every problem."""
    values = config.globals
    for attribute, ways in _OF_URING.items():
        operation = ways.get(getattr(values, attribute))
        if operation is not None and (reason := _no_ring(config, operation)):
            yield attribute, f"{reason}: `plain` is used"
    unspliced = _unspliced(config)
    for attribute in ("frevo_read_path", "frevo_write_path"):
        if getattr(values, attribute) == "splice" and unspliced:
            yield attribute, f"{unspliced}: `plain` is used"
    if values.frevo_read_path == "splice" and values.frevo_splice == "never":
        yield "frevo_read_path", "`frevo:splice = never`: `plain` is used"
    elif values.frevo_read_path != "splice" and values.frevo_splice == "always":
        yield "frevo_splice", "has no effect without `frevo:read path = splice`"
    if values.frevo_write_path == "fixed" and not values.frevo_fast_path:
        yield "frevo_write_path", "has no effect with `frevo:fast path = no`"


def _no_ring(config: Config, operation: str) -> str:
    """Why the ring of the data plane cannot do *operation*; empty if it can."""
    try:
        engine, reason = choose_data_plane(config.globals.frevo_engine)
    except OSError:  # `frevo serve` will not start, and say so
        return ""
    if engine != "uring":
        return f"needs io_uring, and the engine is {engine} ({reason})"
    return "" if operation in probe().operations else f"this kernel has no {operation}"


def _unspliced(config: Config) -> str:
    """Why nothing of what clients read and write can be spliced; empty if something can."""
    values = config.globals
    if not values.frevo_fast_path:
        return "the fast path splices, and `frevo:fast path = no`"
    if values.server_signing == "mandatory":
        return "only what is not signed is spliced, and `server signing = mandatory`"
    if values.server_smb_encrypt == "required":
        return "only what is not encrypted is spliced, and `server smb encrypt = required`"
    transports = values.server_smb_transports
    if transports and all(address.traits.secure for address in transports):
        return "nothing is spliced over QUIC, and clients connect over nothing else"
    return ""
