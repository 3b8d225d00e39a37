"""frevo.tls.warnings: in time, not too often, and what clients refuse."""

from __future__ import annotations

import time

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from msgspec.structs import replace
from peers import pki

from frevo.tls.load import Facts, facts_of
from frevo.tls.warnings import DAY_S, date_of, date_warning, days_left, usage_warnings

ROOT = pki.authority("root")
NOW = 1_800_000_000.0


def facts(**changes: object) -> Facts:
    made = facts_of(pki.leaf("nas.example", ROOT).certificate)
    return replace(made, **changes)


def lasting(life_days: float, left_days: float) -> Facts:
    end = NOW + left_days * DAY_S
    return facts(not_before_s=end - life_days * DAY_S, not_after_s=end)


@pytest.mark.parametrize(
    ("life", "left", "words"),
    [
        (365, 22, ""),
        (365, 21, "f expires in 21 days, on 2027-02-05"),
        (90, 22, ""),  # certbot renews with 30 days left
        (6, 2, ""),  # short-lived ones are renewed every two or three days
        (6, 1.4, "f expires tomorrow, on "),
        (6, 0.5, "f expires today, on "),
        (365, 0, "f expired on 2027-01-15: clients refuse"),
        (365, -400, "f expired on 2025-12-11: clients refuse"),
        (365, 366, "f is not valid before 2027-01-16: is this machine's clock right?"),
    ],
)
def test_dates(life: float, left: float, words: str) -> None:
    """Goal: the right sentence on each day. Method: lives and what is left of them."""
    found = date_warning(lasting(life, left), NOW, "f")
    assert found.startswith(words) if words else found == ""


def test_days() -> None:
    """Goal: days with their fraction, and dates in UTC. Method: half a day."""
    assert days_left(lasting(10, 0.5), NOW) == 0.5
    assert date_of(NOW) == "2027-01-15"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"usages": ("any",)}, ""),
        ({"names": ("email:x@y",)}, "has no names"),
        ({"usages": ("clientAuth",)}, r"is not for servers (its extended key usage is clientAuth)"),
        ({"usages": ()}, "Windows refuses it"),
        ({"signs": False}, "does not allow digital signatures"),
        ({"common_name": ""}, "has no common name (CN): Windows refuses it"),
        ({"weak": "it is signed with SHA1"}, "is too weak: it is signed with SHA1"),
        ({"is_ca": True}, "is the certificate of a CA"),
        ({"is_ca": True, "self_signed": True}, ""),
    ],
)
def test_usage(changes: dict[str, object], words: str) -> None:
    """Goal: what makes clients refuse a certificate. Method: each property alone."""
    found = list(usage_warnings(facts(**changes), "f"))
    assert len(found) == bool(words)
    assert not words or words in found[0]


def test_a_client_certificate_is_noticed() -> None:
    """Goal: the facts and the warnings fit together. Method: a client's certificate as a server's."""
    made = pki.leaf("eve", ROOT, usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    assert "is not for servers" in next(usage_warnings(facts_of(made.certificate), "f"))
    assert date_warning(facts_of(made.certificate), time.time(), "f") == ""
