"""`hosts allow` and `hosts deny`: which client machines may come, in Samba's syntax.

A list holds addresses, prefixes (`150.203.`), networks (`10.0.0.0/8`, `10.0.0.0/255.0.0.0`, `2001:db8::/32`), host
names, domains (`.example.com`), wildcards (`192.168.*`), `ALL` and `LOCAL`; what follows the word `EXCEPT` is left
out again. Pure decisions: who looks names up is frevo.server.rules.hosts.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from collections.abc import Iterable

import msgspec

from frevo.config.types import ValueType, Warn, split_words

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PREFIX = re.compile(r"(?:[0-9]{1,3}\.){1,3}\Z", re.ASCII)
_NUMERIC = re.compile(r"[0-9.]+\Z", re.ASCII)
_NAME = re.compile(r"[\w.*?-]{1,255}\Z")
_RANGE = re.compile(r"[0-9.]+-[0-9.]+\Z", re.ASCII)


class Host(msgspec.Struct, frozen=True):
    """A client machine: its address (None: it has none, a socket of this machine) and its names.

    `names` is None if they have not been looked up. IPv4-mapped IPv6 addresses are the IPv4 address.
    """

    address: Address | None
    names: frozenset[str] | None = None


class Block(msgspec.Struct, frozen=True):
    """The addresses of one IP version that agree with `address` where `mask` has bits."""

    version: int
    address: int
    mask: int

    def holds(self, address: Address | None) -> bool:
        """Whether *address* is one of them."""
        if address is None or address.version != self.version:
            return False
        return int(address) & self.mask == self.address & self.mask


class HostList(msgspec.Struct, frozen=True):
    """One list: who is in `blocks` or `patterns` (names, `.domain`, wildcards, `all`, `local`; lower case), but not
    in the same of `except_*`. `words` are its words as written."""

    words: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()
    patterns: tuple[str, ...] = ()
    except_blocks: tuple[Block, ...] = ()
    except_patterns: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.words)

    @property
    def needs_names(self) -> bool:
        """Whether the names of a client must be known to decide."""
        return any(map(_is_name, (*self.patterns, *self.except_patterns)))

    @property
    def exact_names(self) -> frozenset[str]:
        """The host names that are written out."""
        names = filter(_is_name, (*self.patterns, *self.except_patterns))
        return frozenset(
            name for name in names if name != "local" and not set(name) & set("*?") and name[0] != "."
        )

    def holds(self, host: Host, *, unknown: bool) -> bool:
        """Whether *host* is in the list; *unknown* is what a name counts as that was not looked up."""
        if not _any(self.blocks, self.patterns, host, unknown=unknown):
            return False
        return not _any(self.except_blocks, self.except_patterns, host, unknown=not unknown)


def _any(blocks: Iterable[Block], patterns: Iterable[str], host: Host, *, unknown: bool) -> bool:
    return any(block.holds(host.address) for block in blocks) or any(
        _names(pattern, host, unknown=unknown) for pattern in patterns
    )


def _is_name(pattern: str) -> bool:
    """Whether the pattern matches names, not addresses or everyone."""
    return pattern != "all" and not _matches_addresses(pattern)


def _matches_addresses(pattern: str) -> bool:
    """A wildcard of digits and dots is for addresses; `*` alone is for all."""
    return not set(pattern) - set("0123456789.*?") and bool(set(pattern) & set("*?"))


def _names(pattern: str, host: Host, *, unknown: bool) -> bool:
    if pattern == "all":
        return True
    if _matches_addresses(pattern):
        return pattern == "*" or (host.address is not None and _wild(pattern, str(host.address)))
    if host.names is None:
        return unknown
    if pattern == "local":
        return any("." not in name for name in host.names)
    if pattern.startswith("."):
        return any(name.endswith(pattern) for name in host.names)
    return any(_wild(pattern, name) for name in host.names)


def _wild(pattern: str, text: str) -> bool:
    return fnmatch.fnmatchcase(text, pattern)


def hosts_allowed(allow: HostList, deny: HostList, host: Host) -> bool:
    """Whether these two lists allow *host*, as in Samba: a host in `hosts allow` may connect, otherwise one in `hosts
    deny` may not; with only `hosts allow`, no other host may.

    127.0.0.1 and ::1 may even then, unless `hosts deny` names them; so may a socket of this machine. A name that was
    not looked up counts against the client.
    """
    if _is_loopback(host.address):
        return not deny.holds(host, unknown=False) or allow.holds(host, unknown=False)
    if allow.holds(host, unknown=False):
        return True
    if allow and not deny:
        return False
    return not deny.holds(host, unknown=True)


def _is_loopback(address: Address | None) -> bool:
    return address is None or str(address) in ("127.0.0.1", "::1")


def parse_address(text: str) -> Address | None:
    """*text* as an IP address (without zone, IPv4-mapped as IPv4); None if it is none."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def parse_hosts(text: str, without_netgroups: Warn | None = None) -> HostList:
    """*text* as a list.

    ValueError for words that cannot be a host: ignoring them could admit hosts. With *without_netgroups*, for a list of
    allowed hosts, netgroups admit no one, and are passed to it.
    """
    words = tuple(split_words(text))
    split = next((index for index, word in enumerate(words) if word.upper() == "EXCEPT"), len(words))
    included = words[:split]
    if without_netgroups is not None:
        for word in included:
            if word.startswith("@"):
                without_netgroups(
                    f"{word!r} matches no host: frevo does not support netgroups; list the hosts or networks"
                )
        included = tuple(word for word in included if not word.startswith("@"))
    blocks, patterns = _parse_words(included)
    except_blocks, except_patterns = _parse_words(word for word in words[split:] if word.upper() != "EXCEPT")
    return HostList(words, blocks, patterns, except_blocks, except_patterns)


def _parse_words(words: Iterable[str]) -> tuple[tuple[Block, ...], tuple[str, ...]]:
    blocks, patterns = [], []
    for word in words:
        block = _parse_block(word)
        if block is not None:
            blocks.append(block)
        else:
            patterns.append(_parse_pattern(word))
    return tuple(blocks), tuple(patterns)


def _parse_block(word: str) -> Block | None:
    """The addresses that *word* means; None if it means names."""
    if "/" in word:
        return _parse_network(word)
    if _PREFIX.match(word):
        octets = [int(octet) for octet in word.split(".") if octet]
        if max(octets) <= 255:
            bits = 8 * (4 - len(octets))
            value = int.from_bytes(bytes(octets)) << bits
            return Block(4, value, (0xFFFFFFFF >> bits) << bits)
    address = parse_address(word.strip("[]"))
    if address is not None:
        return Block(address.version, int(address), (1 << address.max_prefixlen) - 1)
    if _NUMERIC.match(word) or _RANGE.match(word) or ":" in word:
        raise ValueError(f"{word!r} is not an address; write 10.0.0.1, 10.0. or 10.0.0.0/8")
    return None


def _parse_network(word: str) -> Block:
    base, _, tail = word.partition("/")
    address = parse_address(base.strip("[]"))
    if address is None:
        raise ValueError(f"{word!r} is not a network; write 10.0.0.0/8 or 2001:db8::/32")
    width = address.max_prefixlen
    everything = (1 << width) - 1
    if tail.isascii() and tail.isdigit():
        if int(tail) > width:
            raise ValueError(f"{word!r}: expected 0 to {width} bits")
        return Block(address.version, int(address), everything ^ (everything >> int(tail)))
    mask = parse_address(tail)
    if mask is None or mask.version != address.version:
        raise ValueError(f"{word!r}: {tail!r} is not a netmask")
    return Block(address.version, int(address), int(mask))


def _parse_pattern(word: str) -> str:
    if word.startswith("@"):
        raise ValueError(f"{word!r}: frevo does not support netgroups; list the hosts or their networks")
    if not _NAME.match(word):
        raise ValueError(f"{word!r} is neither an address nor a host name")
    return word.lower()


class Hosts(ValueType[HostList], frozen=True):
    """A list of hosts; see the head of this module. *allows*: of those who may come."""

    allows: bool = False
    label = "hosts"

    def parse(self, text: str, warn: Warn) -> HostList:
        return parse_hosts(text, warn if self.allows else None)

    def format(self, value: HostList) -> str:
        return ", ".join(value.words)
