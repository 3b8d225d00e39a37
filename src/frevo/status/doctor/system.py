"""Checks of the machine itself: kernel, Python, processor, openat2, io_uring, limits, Kerberos."""

from __future__ import annotations

import errno
import importlib
import importlib.util
import os
import platform
import resource
import sys

from frevo.aio import features, syscalls
from frevo.status.doctor.base import Check, State, read_number, read_text

GROUP = "system"

#: Every open file of a client is a descriptor, so is every connection.
DESCRIPTORS_WANTED = 65536
DESCRIPTORS_NEEDED = 1024
#: Before Linux 5.12 rings count as locked memory.
MEMLOCK_WANTED_BYTES = 8 << 20
#: Each watched folder of each client takes one.
WATCHES_WANTED = 65536

#: Opcodes and abilities of io_uring that frevo has a use for, and what happens without.
USES = {
    "openat2": "opens in threads",
    "statx": "status in threads",
    "fgetxattr": "attributes in threads",
    "renameat": "renames in threads",
    "send_zc": "sent data is copied",
    "sendmsg_zc": "sent data is copied",
    "multishot_accept": "each accepted connection needs a submission",
    "multishot_recv": "each receive needs a submission",
    "provided_buffer_ring": "idle connections hold a buffer",
    "defer_taskrun": "completions interrupt the data plane's threads",
    "fixed_buffers": "buffers are pinned for every transfer",
}


def check_kernel() -> list[Check]:
    """Name and release of the kernel, for information only."""
    system, release = platform.system(), platform.release()
    state = State.OK if system == "Linux" else State.FAILED
    data = {"release": release, "machine": platform.machine(), "processors": os.cpu_count()}
    text = f"{system} {release} on {platform.machine()}, {os.cpu_count()} processors"
    return [Check(GROUP, "kernel", state, text, "" if state is State.OK else "run frevo on Linux", data)]


def check_python() -> list[Check]:
    """The interpreter, at least 3.11."""
    version = platform.python_version()
    good = sys.version_info >= (3, 11)
    fix = "" if good else "install Python 3.11 or newer, then run make build again"
    data = {"version": version, "executable": sys.executable}
    return [
        Check(GROUP, "python", State.OK if good else State.FAILED, f"{version}, {sys.executable}", fix, data)
    ]


def check_processor() -> list[Check]:
    """Processor instructions that make encryption and signing cheap."""
    info = read_text("/proc/cpuinfo")
    lines = [line for line in info.splitlines() if line.startswith(("flags", "Features"))]
    flags = set(lines[0].partition(":")[2].split()) if lines else set()
    wide = {"aes", "pclmulqdq", "vaes", "vpclmulqdq", "avx2", "sha_ni", "pmull", "sha2"}
    found = sorted(flags & wide)
    data = {"flags": found}
    text = f"instructions for encryption: {', '.join(found) or 'none'}"
    if "aes" in flags and flags & {"pclmulqdq", "pmull"}:
        return [Check(GROUP, "processor", State.OK, text, "", data)]
    text += "; encryption and signing will use much processor time"
    fix = "in a virtual machine, pass through the processor's AES and CLMUL instructions"
    return [Check(GROUP, "processor", State.LIMITED, text, fix, data)]


def check_openat2() -> list[Check]:
    """openat2 with RESOLVE_BENEATH, which confines every share."""
    try:
        root = syscalls.openat2(syscalls.AT_FDCWD, b"/", os.O_PATH, resolve=0)
    except OSError as error:
        fix = "use Linux 5.6 or newer; in a container, allow openat2 in the seccomp profile"
        return [Check(GROUP, "openat2", State.FAILED, error.strerror or str(error), fix)]
    try:
        os.close(syscalls.openat2(root, b"../..", os.O_PATH))
    except OSError as error:
        if error.errno == errno.EXDEV:
            return [Check(GROUP, "openat2", State.OK, "the kernel confines paths to their share")]
    finally:
        os.close(root)
    return [
        Check(
            GROUP,
            "openat2",
            State.FAILED,
            "RESOLVE_BENEATH does not confine paths",
            "do not share folders on this machine",
        )
    ]


def check_io_uring() -> list[Check]:
    """The engine for file operations, and the features that the kernel's io_uring lacks."""
    found = features.probe()
    data = {"operations": sorted(found.operations), "abilities": found.abilities, "reason": found.reason}
    try:
        engine, reason = features.choose()
    except (OSError, ValueError) as error:
        return [Check(GROUP, "io_uring", State.FAILED, str(error), f"unset {features.ENGINE_VARIABLE}", data)]
    data["engine"] = engine
    if not found.available:
        return [
            Check(
                GROUP, "io_uring", State.LIMITED, f"engine {engine}: {reason}", _uring_fix(found.reason), data
            )
        ]
    checks = [Check(GROUP, "io_uring", State.OK, f"engine {engine}: {reason}", "", data)]
    lacking = {name: loss for name, loss in USES.items() if not found.has(name)}
    if lacking:
        text = "lacks " + ", ".join(f"{name} ({loss})" for name, loss in lacking.items())
        fix = "available in newer kernels; frevo works without them"
        checks.append(Check(GROUP, "io_uring features", State.LIMITED, text, fix, {"lacking": lacking}))
    else:
        checks.append(Check(GROUP, "io_uring features", State.OK, f"all {len(USES)} that frevo can use"))
    return checks


def check_data_plane() -> list[Check]:
    """The data plane's engine."""
    unset = f"unset {features.DATA_PLANE_VARIABLE}"
    try:
        engine, reason = features.choose_data_plane()
    except OSError as error:
        text = f"{features.DATA_PLANE_VARIABLE}: {error}"
        return [Check(GROUP, "data plane", State.FAILED, text, unset)]
    data = {"engine": engine, "reason": reason}
    text = f"engine {engine}: {reason}"
    if engine == "uring":
        return [Check(GROUP, "data plane", State.OK, text, "", data)]
    if features.wished_for("auto") == engine:
        return [Check(GROUP, "data plane", State.LIMITED, text, unset, data)]
    return [Check(GROUP, "data plane", State.LIMITED, text, _uring_fix(features.probe().reason), data)]


def _uring_fix(reason: str) -> str:
    if "kernel.io_uring_disabled" in reason:
        return "sudo sysctl kernel.io_uring_disabled=0"
    if reason.startswith(("EPERM", "ENOSYS")):
        return (
            "in a container, allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp "
            "profile"
        )
    if reason.startswith("ENOMEM"):
        return "ulimit -l 65536, or LimitMEMLOCK=64M in the systemd unit"
    return "use a newer kernel"


def check_limits() -> list[Check]:
    """Limits of the process: descriptors and locked memory."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    names = [_limit_name(value) for value in (soft, hard)]
    state, fix = State.OK, ""
    if 0 <= hard < DESCRIPTORS_WANTED:
        state = State.LIMITED if hard >= DESCRIPTORS_NEEDED else State.FAILED
        fix = f"ulimit -n {DESCRIPTORS_WANTED}, or LimitNOFILE={DESCRIPTORS_WANTED} in the systemd unit"
    text = f"{names[0]} open files, can be raised to {names[1]} (all clients' connections and open files)"
    checks = [Check(GROUP, "open files", state, text, fix, {"soft": soft, "hard": hard})]
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    small = 0 <= hard < MEMLOCK_WANTED_BYTES
    text = f"{_limit_name(soft)} bytes of locked memory (registered buffers, RDMA; rings before Linux 5.12)"
    fix = "ulimit -l 65536, or LimitMEMLOCK=64M in the systemd unit" if small else ""
    data = {"soft": soft, "hard": hard}
    return [*checks, Check(GROUP, "locked memory", State.LIMITED if small else State.OK, text, fix, data)]


def _limit_name(value: int) -> str:
    return "unlimited" if value == resource.RLIM_INFINITY else str(value)


def check_inotify() -> list[Check]:
    """Limits of change notification."""
    folder = "/proc/sys/fs/inotify"
    watches = read_number(f"{folder}/max_user_watches")
    instances = read_number(f"{folder}/max_user_instances")
    if watches is None or instances is None:
        text = "the kernel has no inotify: clients are not notified of changes made outside frevo"
        return [Check(GROUP, "inotify", State.LIMITED, text)]
    small = watches < WATCHES_WANTED
    fix = f"sudo sysctl fs.inotify.max_user_watches={WATCHES_WANTED * 8}" if small else ""
    data = {"max_user_watches": watches, "max_user_instances": instances}
    text = f"{watches} watched folders and {instances} instances per user"
    return [Check(GROUP, "inotify", State.LIMITED if small else State.OK, text, fix, data)]


def check_kerberos() -> list[Check]:
    """The Python modules needed for Kerberos log-ons."""
    missing = [name for name in ("gssapi",) if importlib.util.find_spec(name) is None]
    if missing:
        fix = f"{sys.executable} -m pip install 'frevo[kerberos]' (needs libkrb5-dev)"
        text = f"Python modules missing: {', '.join(missing)}; NTLMv2 works without them"
        return [Check(GROUP, "kerberos", State.LIMITED, text, fix, {"missing": missing})]
    try:
        importlib.import_module("gssapi")
    except Exception as error:
        return [Check(GROUP, "kerberos", State.LIMITED, f"cannot load gssapi: {error}", "install libkrb5-3")]
    return [Check(GROUP, "kerberos", State.OK, "gssapi is installed")]


SYSTEM_CHECKS = (
    check_kernel,
    check_python,
    check_processor,
    check_openat2,
    check_io_uring,
    check_data_plane,
    check_limits,
    check_inotify,
    check_kerberos,
)
