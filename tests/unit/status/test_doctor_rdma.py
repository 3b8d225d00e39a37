"""`frevo doctor` about SMB Direct: what a machine has, what it lacks, exactly why, and what helps."""

from __future__ import annotations

import pytest

from frevo.status.doctor import State, rdma
from frevo.transport.rdma_devices import RdmaDevice, RdmaKind

CARD = RdmaDevice("siw0", 1, RdmaKind.IWARP, True, "ACTIVE", "10 Gb/sec", ("eth0",))


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """None, one that is down, one that is active: for people and for programs."""
    monkeypatch.setattr(rdma, "rdma_devices", list)
    [check] = rdma.check_devices()
    assert (check.name, check.state, check.data) == ("rdma", State.LIMITED, {"devices": {}})
    assert "no device" in check.text and "type siw" in check.fix
    monkeypatch.setattr(rdma, "rdma_devices", lambda: [RdmaDevice("m", 2, RdmaKind.ROCE, False, "DOWN", "", ())])
    [check] = rdma.check_devices()
    assert (check.state, check.text) == (State.LIMITED, "none is active: m (RoCE, DOWN)")
    monkeypatch.setattr(rdma, "rdma_devices", lambda: [CARD])
    [check] = rdma.check_devices()
    assert (check.state, check.text) == (State.OK, "siw0 on eth0 (iWARP, ACTIVE, 10 Gb/sec)")
    facts = {"kind": "iWARP", "state": "ACTIVE", "rate": "10 Gb/sec", "interfaces": ["eth0"]}
    assert check.data == {"devices": {"siw0/1": facts}}


def test_libraries_and_device_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing library is to be installed, a missing device file to be made by a module of the kernel."""
    monkeypatch.setattr(rdma, "verbs_missing", lambda: ["libibverbs.so.1 cannot be loaded (no such file)"])
    [check] = rdma.check_verbs()
    assert check.state is State.LIMITED and "apt install" in check.fix and "no such file" in check.text
    monkeypatch.setattr(rdma, "verbs_missing", lambda: ["/dev/infiniband/rdma_cm cannot be opened (Permission denied)"])
    [check] = rdma.check_verbs()
    assert check.state is State.LIMITED and "modprobe" in check.fix and "Permission denied" in check.text
    monkeypatch.setattr(rdma, "verbs_missing", list)
    [check] = rdma.check_verbs()
    assert (check.state, check.fix) == (State.OK, "")


def test_memory_for_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A low limit is named with the command that raises it, unless this process may exceed it."""
    monkeypatch.setattr(rdma.resource, "getrlimit", lambda _: (8 << 20, 8 << 20))
    monkeypatch.setattr(rdma, "_may_lock", lambda: False)
    [check] = rdma.check_registration()
    assert check.state is State.LIMITED and check.text.startswith("8192 KiB may be locked")
    assert check.fix == "ulimit -l 65536, or LimitMEMLOCK=64M in the systemd unit"
    monkeypatch.setattr(rdma, "_may_lock", lambda: True)
    assert rdma.check_registration()[0].state is State.OK
    monkeypatch.setattr(rdma, "_may_lock", lambda: False)
    monkeypatch.setattr(rdma.resource, "getrlimit", lambda _: (-1, -1))
    assert rdma.check_registration()[0].state is State.OK


def test_reading_the_memory_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system call is really tried; Yama forbids it from 2 on, to root only with 3."""
    assert rdma._unreadable() == ""
    monkeypatch.setattr(rdma, "read_number", lambda _: 1)
    assert rdma.check_emulation()[0].state is State.OK
    for scope, user, state in ((2, 1000, State.LIMITED), (2, 0, State.OK), (3, 0, State.LIMITED)):
        monkeypatch.setattr(rdma, "read_number", lambda _, scope=scope: scope)
        monkeypatch.setattr(rdma.os, "geteuid", lambda user=user: user)
        [check] = rdma.check_emulation()
        assert check.state is state and check.data == {"ptrace_scope": scope}
    assert "kernel.yama.ptrace_scope = 3" in check.text
    monkeypatch.setattr(rdma, "_unreadable", lambda: "Operation not permitted")
    [check] = rdma.check_emulation()
    assert check.state is State.LIMITED and "seccomp" in check.fix


def test_sockets_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their absence has its reason, and costs nothing."""
    monkeypatch.setattr(rdma, "sockets_missing", lambda: "there are none (Protocol not supported)")
    [check] = rdma.check_sockets()
    assert check.state is State.LIMITED and "Protocol not supported" in check.text and not check.fix
    monkeypatch.setattr(rdma, "sockets_missing", lambda: "")
    assert rdma.check_sockets()[0].state is State.OK
