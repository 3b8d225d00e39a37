"""Transport tokens of `server smb transports`: `name[:port]`, `+name`, bare ports.

Facts: a bare number is tcp, except 139, which is nbt; names are case-sensitive; at most ten transports,
duplicates are dropped with a warning, one bad token fails the whole parameter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from frevo.transport.traits import CONFIGURABLE, NBT, TCP, TRANSPORTS, TransportTraits

#: More transports than this are ignored with a warning.
TRANSPORTS_MAX = 10

_SEPARATORS = re.compile(r"[\s,;]+")
_PORT = re.compile(r"[0-9]{1,5}\Z", re.ASCII)


class TransportAddress(msgspec.Struct, frozen=True, order=True):
    """One transport and its port; port 0 (any free port) is for programs and tests, never for a file."""

    name: str
    port: int

    @property
    def traits(self) -> TransportTraits:
        """What is special about the transport."""
        return TRANSPORTS[self.name]

    def __str__(self) -> str:
        return self.name if self.traits.port == self.port else f"{self.name}:{self.port}"


#: What is used when nothing is configured.
DEFAULT_TRANSPORTS: tuple[TransportAddress, ...] = tuple(
    TransportAddress(one.name, one.port) for one in (TCP, NBT)
)


def transport_at(port: int, otherwise: str = TCP.name) -> TransportAddress:
    """The transport of a port without a name: the one with that default port, or *otherwise*."""
    owners = [one.name for one in TRANSPORTS.values() if one.bare_port and one.port == port]
    return TransportAddress(owners[0] if owners else otherwise, port)


def parse_transport(token: str) -> TransportAddress:
    """One token (`tcp`, `nbt:1139`, `4450`, `139`); ValueError says what is wrong with it."""
    if _PORT.match(token):
        return transport_at(_port(token, token))
    name, colon, port_text = token.partition(":")
    if name not in CONFIGURABLE:
        known = ", ".join(CONFIGURABLE)
        raise ValueError(f"unknown transport {token!r}: expected {known}, name:port or a port number")
    return TransportAddress(name, _port(port_text, token) if colon else TRANSPORTS[name].port)


def _port(text: str, token: str) -> int:
    if not _PORT.match(text) or not 1 <= int(text) <= 65535:
        raise ValueError(f"invalid port in transport {token!r}: expected 1 to 65535")
    return int(text)


def parse_transports(
    text: str, default: Sequence[TransportAddress] = DEFAULT_TRANSPORTS
) -> tuple[tuple[TransportAddress, ...], list[str]]:
    """The transports that *text* names, in order, and the warnings (duplicates, more than ten).

    When every token carries a sign, `+name` appends to *default* and `-name` removes from it. Raises
    ValueError for a bad token, for a mixture of signed and plain tokens, and for a text that leaves no
    transport.
    """
    tokens = [token for token in _SEPARATORS.split(text) if token]
    signed = [token[0] in "+-" for token in tokens]
    if any(signed) and not all(signed):
        raise ValueError("words with + or - change the default, plain words replace it: do not mix them")
    chosen, warnings = _signed(tokens, default) if any(signed) else _plain(tokens, ())
    if len(chosen) > TRANSPORTS_MAX:
        warnings += [
            f"more than {TRANSPORTS_MAX} transports: {item} ignored" for item in chosen[TRANSPORTS_MAX:]
        ]
    if not chosen:
        raise ValueError(f"the list is empty: expected at least one of {', '.join(CONFIGURABLE)}")
    return tuple(chosen[:TRANSPORTS_MAX]), warnings


def _plain(
    tokens: Iterable[str], start: Iterable[TransportAddress]
) -> tuple[list[TransportAddress], list[str]]:
    chosen = list(start)
    warnings: list[str] = []
    for token in tokens:
        address = parse_transport(token)
        if address in chosen:
            warnings.append(f"duplicate transport {token!r} ignored")
        else:
            chosen.append(address)
    return chosen, warnings


def _signed(
    tokens: Iterable[str], default: Sequence[TransportAddress]
) -> tuple[list[TransportAddress], list[str]]:
    chosen = list(default)
    warnings: list[str] = []
    for token in tokens:
        if token[0] == "+":
            chosen, more = _plain([token[1:]], chosen)
            warnings += more
            continue
        address = parse_transport(token[1:])
        if address in chosen:
            chosen.remove(address)
        else:
            warnings.append(f"transport {token!r} is not in the default: nothing removed")
    return chosen, warnings
