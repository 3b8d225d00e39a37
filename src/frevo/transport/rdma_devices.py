"""The RDMA devices of this machine, as sysfs shows them: kind, state, speed and network interfaces."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import msgspec

_DEVICES = Path("/sys/class/infiniband")
_RNIC = "4"  # node_type of a card that speaks iWARP (rdma/ib_verbs.h: RDMA_NODE_RNIC)
_ACTIVE = "4"  # IB_PORT_ACTIVE
#: More ports than this are not looked at.
_PORTS_MAX = 16


class RdmaKind(StrEnum):
    """What a device speaks on the network."""

    INFINIBAND = "InfiniBand"
    ROCE = "RoCE"
    IWARP = "iWARP"


class RdmaDevice(msgspec.Struct, frozen=True):
    """One port of one device. state: `ACTIVE`, `DOWN` and so on. rate: as the kernel words it, `100 Gb/sec (4X EDR)`.
    interfaces: the names of its network interfaces, those that the kernel tells of."""

    name: str
    port: int
    kind: RdmaKind
    active: bool
    state: str
    rate: str
    interfaces: tuple[str, ...]

    def __str__(self) -> str:
        on = f" on {', '.join(self.interfaces)}" if self.interfaces else ""
        return f"{self.name}{on} ({', '.join(filter(None, (self.kind, self.state, self.rate)))})"


def rdma_devices(place: Path = _DEVICES) -> list[RdmaDevice]:
    """Every port of every device, by name; empty when the kernel has none."""
    found = []
    for device in _entries(place):
        rnic = _number(device / "node_type") == _RNIC
        for port in _entries(device / "ports")[:_PORTS_MAX]:
            ethernet = _text(port / "link_layer") == "Ethernet"
            kind = RdmaKind.IWARP if rnic else RdmaKind.ROCE if ethernet else RdmaKind.INFINIBAND
            state = _text(port / "state").partition(": ")[2]
            names = {_text(one) for one in _entries(port / "gid_attrs" / "ndevs")}
            names |= {one.name for one in _entries(device / "device" / "net")}  # iWARP before Linux 6.5
            found.append(
                RdmaDevice(
                    device.name,
                    int(port.name) if port.name.isdigit() else 1,
                    kind,
                    _number(port / "state") == _ACTIVE,
                    state,
                    _text(port / "rate"),
                    tuple(sorted(names - {""})),
                )
            )
    return found


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:  # an index without a value gives EINVAL
        return ""


def _number(path: Path) -> str:
    """The number in front of `4: ACTIVE`."""
    return _text(path).partition(":")[0]
