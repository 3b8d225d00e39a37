"""Checks of what SMB Direct can use: devices, libraries and limits, emulation, sockets of the kernel."""

from __future__ import annotations

import ctypes
import os
import resource
from pathlib import Path

from frevo.status.doctor.base import Check, State, read_number
from frevo.transport.rdma_devices import rdma_devices
from frevo.transport.smbdirect import LIBRARIES, sockets_missing, verbs_missing

GROUP = "rdma"

#: What a connection registers at most at a time, and some more: 8 MiB transfers, 8 of them.
MEMLOCK_WANTED_BYTES = 64 << 20
_CAP_IPC_LOCK = 14
_YAMA = "/proc/sys/kernel/yama/ptrace_scope"


def check_devices() -> list[Check]:
    """RDMA devices that the kernel knows, and whether one is connected."""
    devices = rdma_devices()
    data = {
        "devices": {
            f"{one.name}/{one.port}": {
                "kind": one.kind, "state": one.state, "rate": one.rate, "interfaces": list(one.interfaces)
            }
            for one in devices
        }
    }  # fmt: skip
    if not devices:
        text = "no device: frevo speaks iWARP over TCP instead, which needs none"
        fix = "for a software device of the kernel: sudo modprobe siw && sudo rdma link add siw0 type siw netdev eth0"
        return [Check(GROUP, "rdma", State.LIMITED, text, fix, data)]
    text = ", ".join(map(str, devices))
    if any(one.active for one in devices):
        return [Check(GROUP, "rdma", State.OK, text, "", data)]
    fix = "connect it, and set its network interface up: sudo ip link set NAME up"
    return [Check(GROUP, "rdma", State.LIMITED, f"none is active: {text}", fix, data)]


def check_verbs() -> list[Check]:
    """What a program needs to use a device: the libraries and the kernel's device files."""
    reasons = verbs_missing()
    data = {"reasons": reasons}
    if not reasons:
        return [Check(GROUP, "rdma verbs", State.OK, f"{' and '.join(LIBRARIES)} can be used", "", data)]
    fix = "sudo modprobe -a rdma_ucm ib_uverbs; in a container, pass the folder /dev/infiniband on"
    if LIBRARIES[0] in reasons[0] or LIBRARIES[1] in reasons[0]:
        fix = "install rdma-core: sudo apt install libibverbs1 librdmacm1 ibverbs-providers"
    return [Check(GROUP, "rdma verbs", State.LIMITED, f"cards cannot be used: {'; '.join(reasons)}", fix, data)]


def check_registration() -> list[Check]:
    """How much memory may be registered with a card: it is locked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    data = {"soft": soft, "hard": hard, "wanted_bytes": MEMLOCK_WANTED_BYTES, "unlimited": _may_lock()}
    if data["unlimited"] or not 0 <= hard < MEMLOCK_WANTED_BYTES:
        return [Check(GROUP, "rdma memory", State.OK, "enough may be locked for a card", "", data)]
    text = f"{hard >> 10} KiB may be locked for a card: few transfers at a time go by RDMA, or none"
    fix = f"ulimit -l {MEMLOCK_WANTED_BYTES >> 10}, or LimitMEMLOCK={MEMLOCK_WANTED_BYTES >> 20}M in the systemd unit"
    return [Check(GROUP, "rdma memory", State.LIMITED, text, fix, data)]


def _may_lock() -> bool:
    """Whether no limit applies to this process: it has CAP_IPC_LOCK."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return False
    effective = next((line.split()[1] for line in lines if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) >> _CAP_IPC_LOCK & 1)


def check_emulation() -> list[Check]:
    """Whether a process may read another one's memory that agrees, which emulated RDMA does."""
    scope = read_number(_YAMA)
    data = {"ptrace_scope": scope}
    if reason := _unreadable():
        text = f"process_vm_readv is not permitted ({reason}): data goes through the socket"
        fix = "in a container, allow process_vm_readv in the seccomp profile"
        return [Check(GROUP, "rdma emulated", State.LIMITED, text, fix, data)]
    if scope is not None and scope >= 2 and not _may_trace():
        text = f"Yama forbids it (kernel.yama.ptrace_scope = {scope}): data goes through the socket"
        return [Check(GROUP, "rdma emulated", State.LIMITED, text, "sudo sysctl kernel.yama.ptrace_scope=1", data)]
    text = "data moves from process to process, without a copy in between, among programs of one user and with root's"
    return [Check(GROUP, "rdma emulated", State.OK, text, "", data)]


def _may_trace() -> bool:
    return os.geteuid() == 0 and read_number(_YAMA) != 3


class _Range(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def _unreadable() -> str:
    """Why process_vm_readv cannot even read this process; empty if it can."""
    libc = ctypes.CDLL(None, use_errno=True)
    source, target = ctypes.create_string_buffer(b"readable"), ctypes.create_string_buffer(9)
    local, remote = (_Range(ctypes.addressof(one), 8) for one in (target, source))
    if libc.process_vm_readv(os.getpid(), ctypes.byref(local), 1, ctypes.byref(remote), 1, 0) == 8:
        return ""
    return os.strerror(ctypes.get_errno())


def check_sockets() -> list[Check]:
    """Whether the kernel has SMB Direct sockets for programs."""
    if reason := sockets_missing():
        text = f"{reason}: frevo speaks SMB Direct in user space, which needs none"
        return [Check(GROUP, "smb direct in the kernel", State.LIMITED, text, "", {"reason": reason})]
    text = "IPPROTO_SMBDIRECT sockets are available"
    return [Check(GROUP, "smb direct in the kernel", State.OK, text, "", {"reason": ""})]


RDMA_CHECKS = (check_devices, check_verbs, check_registration, check_emulation, check_sockets)
