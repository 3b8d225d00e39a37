"""The check of the certificates that a server presents over QUIC."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from frevo.status.doctor.base import Check, State
from frevo.tls.errors import TlsError
from frevo.tls.warnings import date_of, date_warning, usage_warnings

if TYPE_CHECKING:
    from pathlib import Path

    from frevo.tls.settings import TlsSettings

GROUP = "network"
_NAME = "certificate"


def check_certificates(settings: TlsSettings) -> list[Check]:
    """Whether each certificate of a server with *settings* can be used, and until when."""
    [first, *others] = settings.pairs()
    if settings.makes_certificate and not any(path.exists() for path in first):
        text = f"none in {first[0].parent} yet: made when frevo first serves QUIC"
        found = [Check(GROUP, _NAME, State.OK, text, "", {"file": str(first[0])})]
    else:
        found = [_check(*first, renewed=settings.makes_certificate)]
    return found + [_check(*pair, renewed=False) for pair in others]


def _check(certfile: Path, keyfile: Path, *, renewed: bool) -> Check:
    from frevo.tls.load import load_pair  # takes long to import

    data: dict[str, object] = {"file": str(certfile)}
    try:
        facts = load_pair(certfile, keyfile).facts
    except TlsError as error:
        return Check(GROUP, _NAME, State.LIMITED, str(error), "frevo tls --help", data)
    data |= {"subject": facts.subject, "sha256": facts.fingerprint, "expires": facts.not_after_s}
    what = f"the certificate {certfile}"
    dates = date_warning(facts, time.time(), what)
    problems = [sentence for sentence in (dates, *usage_warnings(facts, what)) if sentence]
    if not problems:
        text = f"{facts.subject}, valid until {date_of(facts.not_after_s)}, SHA-256 {facts.fingerprint}"
        return Check(GROUP, _NAME, State.OK, text, "", data)
    fix = "frevo tls renew" if dates and renewed else ""
    return Check(GROUP, _NAME, State.LIMITED, "; ".join(problems), fix, data)
