"""The machine: in one line or as conditions of a report, and whether something else uses it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from pathlib import Path

from frevo import __version__

#: CPU features that determine the speed of signing, encrypting and copying.
_FEATURES = ("aes", "pclmulqdq", "vaes", "vpclmulqdq", "avx2", "avx512f", "erms", "fsrm", "sha_ni")
#: Fields of the first line of /proc/stat with idle time: idle and iowait.
_IDLE = (3, 4)
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_LOOK_S = 0.2


def busy_seconds() -> float:
    """Processor time used by everything on this machine, with stolen time."""
    fields = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(value for index, value in enumerate(fields) if index not in _IDLE) * _TICK_S


def wait_until_quiet(timeout_s: float, share: float = 0.2) -> None:
    """Waits until at most *share* of the processors is in use, or *timeout_s*."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        before, started = busy_seconds(), time.monotonic()
        time.sleep(_LOOK_S)
        if busy_seconds() - before < share * (os.cpu_count() or 1) * (time.monotonic() - started):
            return


def machine_line() -> str:
    """Cores, processor, kernel, the features that matter, load average and commit."""
    model, flags = _processor()
    features = " ".join(name for name in _FEATURES if name in flags)
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} x {model}, Linux {platform.release()}, Python {platform.python_version()}, "
        f"[{features}], load average {load}, commit {_commit()}"
    )


def conditions(network: str, folder: Path) -> dict[str, str]:
    """What a report must name so that its figures can be compared with others. *folder* has the servers' files."""
    model, flags = _processor()
    memory = next(
        line.split()[1] for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line
    )
    return {
        "processor": f"{os.cpu_count()} x {model}",
        "features": " ".join(name for name in _FEATURES if name in flags),
        "memory": f"{int(memory) / 1e6:.0f} GB",
        "kernel": f"Linux {platform.release()}",
        "load average before": " ".join(f"{value:.1f}" for value in os.getloadavg()),
        "network": network,
        "file system": _file_system(folder),
        "frevo": f"{__version__}, commit {_commit()}, Python {platform.python_version()}",
        **{name: _version(name) for name in ("smbd", "smbclient")},
        "begun": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _file_system(folder: Path) -> str:
    command = ["stat", "--file-system", "--format=%T", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _version(program: str) -> str:
    path = shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
    if path is None:
        return ""
    run = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return run.stdout.strip().removeprefix("Version ")


def _processor() -> tuple[str, set[str]]:
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    return fields.get("model name", platform.machine()), set(fields.get("flags", "").split())


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip() or "unknown"
