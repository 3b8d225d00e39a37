"""Runs a script in a virtual machine whose Linux kernel has mounted a share with its own client, cifs.ko."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from peers import programs
from peers.target import Target

TOOL = Path(__file__).parent / "linux-client" / "run.sh"
_CHECK = re.compile(r"^(PASS|FAIL) (.*?)(?: \(status \d+\))?$", re.MULTILINE)


def linux_client(
    target: Target,
    script: Path | str,
    *arguments: str,
    options: str = "vers=3.1.1",
    share: str = "share",
    with_programs: Sequence[str] = (),
    files: Sequence[str] = (),
    mount: bool = True,
    timeout_s: int = 300,
) -> programs.Run:
    """Boots the guest, mounts *share* with *options* and runs *script* there (see run.sh --help)."""
    for name in ("qemu-system-x86_64", "busybox", "cpio", "kmod"):
        programs.need(name)
    command = [
        "bash",
        str(TOOL),
        *("--unc", f"//10.0.2.2/{share}"),
        *("--port", str(target.port)),
        *("--user", target.credentials),
        *("--opts", options),
        *("--timeout", str(timeout_s)),
        *([] if mount else ["--no-mount"]),
        *(word for program in with_programs for word in ("--with", programs.need(program))),
        *(word for file in files for word in ("--file", file)),
        str(script),
        *arguments,
    ]
    result = programs.run(command, timeout_s=timeout_s + 120)
    if result.status == 125 and "apt-get update" in result.output:
        programs.missing(f"no kernel for the guest: {result.output.strip()}")
    return result


def failed_checks(output: str) -> list[str]:
    """The names that the script's `check` reported as FAIL."""
    return [name for verdict, name in _CHECK.findall(output.replace("\r", "")) if verdict == "FAIL"]


def passed_checks(output: str) -> list[str]:
    return [name for verdict, name in _CHECK.findall(output.replace("\r", "")) if verdict == "PASS"]


def judge(result: programs.Run, allowed: dict[str, str], at_least: int) -> None:
    """Every check passed but the *allowed* ones, and there were enough of them."""
    output = result.output[-8000:]
    assert "GUEST BEGIN" in result.output, output
    failed = [name for name in failed_checks(result.output) if name not in allowed]
    assert failed == [], output
    assert len(passed_checks(result.output)) >= at_least, output
    assert result.status == 0 or failed_checks(result.output), output
