"""The machine in one line: a number without its conditions is not written down."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

#: CPU features that decide how fast signing, sealing and copying are.
_FEATURES = ("aes", "pclmulqdq", "vaes", "vpclmulqdq", "avx2", "avx512f", "erms", "fsrm", "sha_ni")


def machine_line() -> str:
    """Cores, processor, kernel, the features that matter, load average and commit."""
    model, flags = _processor()
    features = " ".join(name for name in _FEATURES if name in flags)
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} x {model}, Linux {platform.release()}, Python {platform.python_version()}, "
        f"[{features}], load average {load}, commit {_commit()}"
    )


def _processor() -> tuple[str, set[str]]:
    fields = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    return fields.get("model name", platform.machine()), set(fields.get("flags", "").split())


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip() or "unknown"
