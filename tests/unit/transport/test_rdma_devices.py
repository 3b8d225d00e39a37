"""What sysfs tells about RDMA devices: trees as the kernel has them for siw, rxe, and cards."""

from __future__ import annotations

from pathlib import Path

from frevo.transport.rdma_devices import RdmaDevice, RdmaKind, rdma_devices


def device(
    root: Path, name: str, node: str, layer: str, state: str, *, ndevs: tuple[str, ...] = (), net: str = ""
) -> None:
    """A device with one port."""
    port = root / name / "ports" / "1"
    (port / "gid_attrs" / "ndevs").mkdir(parents=True)
    (root / name / "node_type").write_text(f"{node}\n")
    for file, text in (("link_layer", layer), ("state", state), ("rate", "100 Gb/sec (4X EDR)")):
        (port / file).write_text(f"{text}\n")
    for index, interface in enumerate(ndevs):
        (port / "gid_attrs" / "ndevs" / str(index)).write_text(f"{interface}\n")
    if net:
        (root / name / "device" / "net" / net).mkdir(parents=True)


def test_kinds_states_and_interfaces(tmp_path: Path) -> None:
    """An RNIC speaks iWARP, a channel adapter RoCE on Ethernet; interfaces come from the GID table or from the card."""
    device(tmp_path, "siw_eth0", "4: RNIC", "Ethernet", "4: ACTIVE", ndevs=("eth0",))
    device(tmp_path, "rxe0", "1: CA", "Ethernet", "1: DOWN", ndevs=("eth1", "eth1", ""))
    device(tmp_path, "mlx5_0", "1: CA", "InfiniBand", "4: ACTIVE", net="ib0")
    rate = "100 Gb/sec (4X EDR)"
    assert rdma_devices(tmp_path) == [
        RdmaDevice("mlx5_0", 1, RdmaKind.INFINIBAND, True, "ACTIVE", rate, ("ib0",)),
        RdmaDevice("rxe0", 1, RdmaKind.ROCE, False, "DOWN", rate, ("eth1",)),
        RdmaDevice("siw_eth0", 1, RdmaKind.IWARP, True, "ACTIVE", rate, ("eth0",)),
    ]
    assert str(rdma_devices(tmp_path)[2]) == f"siw_eth0 on eth0 (iWARP, ACTIVE, {rate})"


def test_none_and_odd_ones(tmp_path: Path) -> None:
    """Without devices there are none; a device without the usual files is not an error."""
    assert rdma_devices(tmp_path / "missing") == []
    (tmp_path / "odd" / "ports" / "first").mkdir(parents=True)
    assert rdma_devices(tmp_path) == [RdmaDevice("odd", 1, RdmaKind.INFINIBAND, False, "", "", ())]
