"""Runs smbtorture suites, reads their subunit output and compares it with the list of expectations.

As a program, it starts a server and prints or rewrites the list:
    PYTHONPATH=tests python -m peers.smbtorture [--server frevo|samba] [--write] [SUITE...]
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from peers import programs
from peers.frevo_server import frevo_server
from peers.samba_server import samba_server
from peers.target import Target

EXPECTATIONS = Path(__file__).parent.parent / "interop" / "smbtorture-expectations.txt"
EXPECTED_RESULTS = ("pass", "fail", "not-yet", "varies")

#: Suites of which only the listed tests are run, and why.
LISTED_TESTS_ONLY = {
    "smb2.session": "the bind tests want a second channel",
}
#: Seconds that a suite may take; the rest gets SUITE_TIMEOUT_S.
SUITE_TIMEOUTS_S = {"smb2.dir": 240, "smb2.timestamps": 180, "smb2.notify": 90}
SUITE_TIMEOUT_S = 90
#: Tests that may hang, waiting for an event that came together with another one: run last and on their own, for this
#: many seconds. Of their suites only the listed tests are run.
MAY_HANG_S = {"smb2.notify.mask": 10}
_OPTIONS = ("torture:timelimit=2", "torture:progress=no")

_RESULT = re.compile(r"^(success|failure|error|skip|xfail|uxsuccess): (.*?)( \[)?$")
_TEST = re.compile(r"^test: (.*)$")
_PASSED = {"success", "xfail"}


@dataclass(frozen=True, slots=True)
class Expectation:
    """One line of the list: what a test is expected to do, and why if it is not a pass."""

    name: str
    result: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one test did: pass, fail or skip, with smbtorture's own words."""

    name: str
    result: str
    detail: str = ""


def full_name(name: str) -> str:
    """A suite that consists of one test has its own last word as the name of that test."""
    return name if name.count(".") > 1 else f"{name}.{name.rpartition('.')[2]}"


def suite_of(name: str) -> str:
    return ".".join(name.split(".")[:2])


def parse_subunit(text: str) -> list[Outcome]:
    """The outcomes in smbtorture's output; a test that began and has no result failed."""
    outcomes: dict[str, Outcome] = {}
    detail: list[str] | None = None
    current = kind = ""
    for line in text.splitlines():
        if detail is not None:
            if line == "]":
                outcomes[current] = Outcome(current, kind, "\n".join(detail))
                detail = None
            else:
                detail.append(line)
        elif match := _TEST.match(line):
            current = full_name(match[1])
            outcomes[current] = Outcome(
                current, "fail", "began and never ended (crash, disconnect or timeout)"
            )
        elif match := _RESULT.match(line):
            current = full_name(match[2])
            kind = "pass" if match[1] in _PASSED else "skip" if match[1] == "skip" else "fail"
            detail = [] if match[3] else None
            outcomes[current] = Outcome(current, kind)
    return list(outcomes.values())


def read_expectations(path: Path = EXPECTATIONS) -> list[Expectation]:
    """The list: `name | result | reason` per line, # begins a comment."""
    expectations = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, result, reason = ([part.strip() for part in line.split("|")] + ["", ""])[:3]
        if result not in EXPECTED_RESULTS:
            raise ValueError(f"{path.name}:{number}: {result!r} is none of {', '.join(EXPECTED_RESULTS)}")
        if result != "pass" and not reason:
            raise ValueError(f"{path.name}:{number}: {name} needs a reason")
        expectations.append(Expectation(name, result, reason))
    return expectations


def run_tests(
    target: Target, names: Sequence[str], timeout_s: float, options: Sequence[str] = ()
) -> tuple[list[Outcome], str]:
    """Runs suites or single tests by name, with more *options*; their outcomes and everything that smbtorture
    printed."""
    command = [
        programs.need("smbtorture"),
        *("-s", "/dev/null"),
        target.unc(),
        *("-p", str(target.port)),
        *("-U", target.credentials),
        *("--format=subunit", "--fullname"),
        *(f"--option={option}" for option in _OPTIONS),
        *options,
        *names,
    ]
    result = programs.run(command, timeout_s=timeout_s)
    return parse_subunit(result.output), result.output


def run_expected(
    target: Target, suite: str, expectations: Iterable[Expectation], options: Sequence[str] = ()
) -> tuple[list[Outcome], str]:
    """Runs the tests of *suite* in the list, with more *options*. If a test hangs, those after it get another run."""
    all_listed = [e.name for e in expectations if suite_of(e.name) == suite]
    listed = [name for name in all_listed if name not in MAY_HANG_S]
    by_name = suite in LISTED_TESTS_ONLY or listed != all_listed
    names: Sequence[str] = listed if by_name else [suite]
    outcomes: list[Outcome] = []
    output = ""
    while names:
        found, text = run_tests(target, names, SUITE_TIMEOUTS_S.get(suite, SUITE_TIMEOUT_S), options)
        outcomes += found
        output += text
        seen = {outcome.name for outcome in outcomes}
        left = [name for name in listed if name not in seen]
        names = left if found and len(left) < len(listed) else []
    for name in sorted(set(all_listed) - set(listed)):
        found, text = run_tests(target, [name], MAY_HANG_S[name], options)
        outcomes += found
        output += text
    return outcomes, output


def differences(outcomes: Iterable[Outcome], expectations: Iterable[Expectation]) -> list[str]:
    """What differs from the list, one sentence each; empty if nothing does. A skip does not count as passed."""
    found = {outcome.name: outcome for outcome in outcomes}
    lines = []
    for expectation in expectations:
        outcome = found.pop(expectation.name, None)
        if outcome is None:
            lines.append(f"{expectation.name}: did not run")
        elif expectation.result == "varies":
            continue
        elif expectation.result == "pass" and outcome.result != "pass":
            lines.append(f"{expectation.name}: expected to pass, but: {outcome.result}: {outcome.detail}")
        elif expectation.result != "pass" and outcome.result == "pass":
            lines.append(f"{expectation.name}: passes now, listed as {expectation.result}: correct the list")
    lines += [f"{name}: {outcome.result}, but not in the list" for name, outcome in found.items()]
    return lines


def _rewritten(expectations: Sequence[Expectation], outcomes: Sequence[Outcome]) -> list[Expectation]:
    """The list corrected: results from *outcomes*, existing reasons kept."""
    known = {expectation.name: expectation for expectation in expectations}
    for outcome in outcomes:
        old = known.get(outcome.name)
        if old is not None and old.result == "varies":
            continue
        if outcome.result == "pass":
            known[outcome.name] = Expectation(outcome.name, "pass")
        elif old is None or old.result == "pass":
            detail = " ".join(outcome.detail.split())[:100] or outcome.result
            known[outcome.name] = Expectation(outcome.name, "not-yet", detail.replace("|", "/"))
    return sorted(known.values(), key=lambda expectation: expectation.name)


def write_expectations(expectations: Sequence[Expectation], path: Path = EXPECTATIONS) -> None:
    """Writes the list below the comment at the beginning of the file."""
    head = [line for line in path.read_text().splitlines() if line.startswith("#")] if path.exists() else []
    body = [" | ".join(filter(None, (e.name, e.result, e.reason))) for e in expectations]
    path.write_text("\n".join([*head, *body]) + "\n")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="peers.smbtorture", description=__doc__)
    parser.add_argument("--server", choices=("frevo", "samba"), default="frevo")
    parser.add_argument("--write", action="store_true", help="make the list say what happened")
    parser.add_argument("--verbose", "-v", action="store_true", help="show everything smbtorture prints")
    parser.add_argument("suites", nargs="*", help="default: every suite of the list")
    options = parser.parse_args(arguments)
    expectations = read_expectations()
    suites = options.suites or sorted({suite_of(e.name) for e in expectations})
    outcomes: list[Outcome] = []
    with (
        tempfile.TemporaryDirectory(prefix="torture-") as base,
        _server(options.server, Path(base)) as target,
    ):
        for suite in suites:
            found, text = run_expected(target, suite, expectations)
            outcomes += found
            print(text if options.verbose else "", end="")
            for outcome in found:
                print(
                    f"{outcome.result:5} {outcome.name}  {' '.join(outcome.detail.split())[:200]}", flush=True
                )
    relevant = [e for e in expectations if suite_of(e.name) in suites]
    lines = differences(outcomes, relevant)
    print(*lines, sep="\n")
    passed = sum(outcome.result == "pass" for outcome in outcomes)
    print(f"{passed} of {len(outcomes)} pass, {len(lines)} not as listed")
    if options.write:
        write_expectations(_rewritten(expectations, outcomes))
    return 1 if lines else 0


def _server(kind: str, base: Path) -> AbstractContextManager[Target]:
    return samba_server(base) if kind == "samba" else frevo_server(base, {"server signing": "auto"})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
