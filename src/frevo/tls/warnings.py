"""What to warn about a certificate: its days are numbered, or clients will not like it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from frevo.tls.load import Facts

DAY_S = 86400
#: People are warned this many days before the end, or when a quarter of the life is left, whatever is later: what
#: is renewed by a program every few weeks must not warn all the time.
WARN_DAYS = 21
_WARN_PART = 1 / 4


def days_left(facts: Facts, now: float) -> float:
    """Days until the certificate expires, negative afterwards."""
    return (facts.not_after_s - now) / DAY_S


def date_of(seconds: float) -> str:
    """A day as people write it (UTC)."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def date_warning(facts: Facts, now: float, what: str) -> str:
    """The sentence about the dates of *what* (`the certificate FILE`); empty if they are fine."""
    if now < facts.not_before_s:
        return f"{what} is not valid before {date_of(facts.not_before_s)}: is this machine's clock right?"
    left = days_left(facts, now)
    if left <= 0:
        return f"{what} expired on {date_of(facts.not_after_s)}: clients refuse to connect over QUIC"
    life_days = (facts.not_after_s - facts.not_before_s) / DAY_S
    if left > min(WARN_DAYS, life_days * _WARN_PART):
        return ""
    days = f"in {left:.0f} days" if left >= 1.5 else "tomorrow" if left >= 1 else "today"
    return f"{what} expires {days}, on {date_of(facts.not_after_s)}"


def usage_warnings(facts: Facts, what: str) -> Iterator[str]:
    """Sentences about properties that make clients refuse a server's certificate."""
    if not any(name.startswith(("DNS:", "IP:")) for name in facts.names):
        yield f"{what} has no names (subjectAltName): clients cannot check whose it is"
    if facts.usages and not {"serverAuth", "any"} & set(facts.usages):
        yield f"{what} is not for servers (its extended key usage is {', '.join(facts.usages)})"
    elif not facts.usages:
        yield f"{what} does not say that it is for servers (extended key usage serverAuth): Windows refuses it"
    if not facts.signs:
        yield f"{what} does not allow digital signatures (key usage): TLS 1.3 needs them"
    if not facts.common_name:
        yield f"{what} has no common name (CN): Windows refuses it"
    if facts.weak:
        yield f"{what} is too weak: {facts.weak}"
    if facts.is_ca and not facts.self_signed:
        yield f"{what} is the certificate of a CA: clients refuse it as a server's"
