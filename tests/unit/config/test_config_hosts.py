"""`hosts allow` and `hosts deny`: Samba's syntax and Samba's order of decisions."""

from __future__ import annotations

import time

import pytest
from vectors.host_lists import DECISIONS

from frevo.config import ConfigErrors, load_text
from frevo.config.hosts import Host, HostList, hosts_allowed, parse_address, parse_hosts
from frevo.config.load import KEYS


@pytest.mark.parametrize(("allow", "deny", "address", "name", "allowed"), DECISIONS)
def test_decisions(allow: str, deny: str, address: str, name: str, allowed: bool) -> None:
    """Goal: the same clients are admitted as by Samba. Method: the table."""
    host = Host(parse_address(address), frozenset({name} if name else ()))
    assert host.address is not None
    assert hosts_allowed(parse_hosts(allow), parse_hosts(deny), host) is allowed


@pytest.mark.parametrize(
    "text",
    [
        "@trusted", "1.2.3", "300.1.1.", "256.1.1.1", "10.1.1.1/33", "10.1/16", "10.0.0.0/255.0", "2001:db8:", "::/129",
        "10.0.0.1/::", "192.168.1.10-192.168.1.20", "a/b", "a\\b", "10. EXCEPT @g", "a,[", "10.0.0.0/-1",
    ],
)  # fmt: skip
def test_words_that_are_not_hosts(text: str) -> None:
    """Goal: a word that would silently match nobody is an error. Method: one of each kind, in a deny list."""
    with pytest.raises(ValueError, match=r"\w"):
        parse_hosts(text)


def test_unknown_host_names() -> None:
    """Goal: where host names decide and are unknown, access is denied. Method: every place for a name."""
    host = Host(parse_address("10.1.1.1"), None)
    nobody = HostList()
    assert not hosts_allowed(parse_hosts("good.example.com"), nobody, host)
    assert not hosts_allowed(parse_hosts("ALL EXCEPT .example.com"), nobody, host)
    assert not hosts_allowed(nobody, parse_hosts("bad.example.com"), host)
    assert not hosts_allowed(nobody, parse_hosts("ALL EXCEPT LOCAL"), host)
    assert hosts_allowed(parse_hosts("10. good.example.com"), nobody, host)


def test_which_names_are_needed() -> None:
    """Goal: the resolver is used only for lists with names. Method: lists with and without."""
    assert not parse_hosts("10. ALL 192.168.* 2001:db8::/32").needs_names
    for text in ("LOCAL", ".a.b", "host", "ALL EXCEPT host", "ho*"):
        assert parse_hosts(text).needs_names, text
    assert parse_hosts("Host.Example LOCAL .dom w*ld EXCEPT other").exact_names == {"host.example", "other"}


def test_sockets_without_an_address() -> None:
    """Goal: a local socket counts as 127.0.0.1. Method: a peer that is not an IP address."""
    host = Host(None, frozenset())
    assert hosts_allowed(parse_hosts("10."), HostList(), host)
    assert not hosts_allowed(HostList(), parse_hosts("ALL"), host)


def test_keys_and_synonyms() -> None:
    """Goal: the keys load under all their names, for a share and as its default. Method: a file, and back to text."""
    config = load_text(
        "[global]\nallow hosts = 10. 127.\n[a]\npath = /a\n[b]\npath = /b\nhosts allow = 11.\ndeny hosts = ALL\n"
    )
    assert config.shares["a"].hosts_allow == config.globals.defaults.hosts_allow == parse_hosts("10. 127.")
    assert config.shares["b"].hosts_allow == parse_hosts("11.")
    assert config.shares["b"].hosts_deny == parse_hosts("ALL")
    kind = next(key.kind for key in KEYS if key.name == "hosts allow")
    assert kind.format(parse_hosts("10.,ALL EXCEPT 10.1.")) == "10., ALL, EXCEPT, 10.1."


def test_long_lists_are_quick() -> None:
    """Goal: the cost of the check stays linear. Method: ten thousand networks and a wildcard that backtracks."""
    hosts = parse_hosts(
        " ".join(f"10.{n // 256}.{n % 256}.0/24" for n in range(10_000)) + " " + "*a" * 100 + "*b"
    )
    start = time.perf_counter()
    assert not hosts_allowed(hosts, HostList(), Host(parse_address("11.0.0.1"), frozenset({"a" * 250})))
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    "line", ["hosts deny = @x", "deny hosts = 1.2.3", "hosts alow = 10.", "hosts allow 10."]
)
def test_an_error_in_global_is_an_error_of_the_server(line: str) -> None:
    """Goal: an unusable list in [global] is an error even if a share has its own list. Method: each kind."""
    with pytest.raises(ConfigErrors):
        load_text(f"[global]\n{line}\n[a]\npath = /a\nhosts allow = 10.\nhosts deny = ALL\n")
