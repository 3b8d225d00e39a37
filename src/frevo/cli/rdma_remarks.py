"""What is wrong with SMB Direct in a configuration, on this machine."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from frevo.config import Config
from frevo.config.macros import macros_in
from frevo.transport import emulated, smbdirect
from frevo.transport.traits import IPProtocol

#: Below this, a card can be given too little memory at a time to be of use.
_MEMLOCK_BYTES = 16 << 20

Remark = tuple[str, str, Literal["warning", "error"]]


def rdma_remarks(config: Config) -> Iterator[Remark]:
    """(attribute of [global], sentence, severity) for every problem; nothing if SMB Direct is not served."""
    settings = config.globals
    served = [address for address in settings.server_smb_transports if address.traits.rdma]
    if not served:
        return
    try:
        provider = smbdirect.choose(settings.frevo_smbdirect_provider)
    except OSError as error:
        yield "frevo_smbdirect_provider", error.strerror or str(error), "error"
        return
    if provider == "emulated":
        yield from _folder(settings.frevo_smbdirect_directory)
    elif provider == "iwarp":
        yield from _same_port(config)
    elif provider == "verbs" and 0 <= resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] < _MEMLOCK_BYTES:
        text = "little memory may be locked for a card (`frevo doctor` says how to raise the limit)"
        yield "server_smb_transports", text, "warning"


def _folder(configured: str) -> Iterator[Remark]:
    if configured and (macros_in(configured) or not configured.startswith("/")):
        yield "frevo_smbdirect_directory", "expected an absolute path without macros", "error"
        return
    folder = emulated.folder_of_server(configured)
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not _writable(existing):
        what = f"{folder} cannot be written" if existing == folder else f"{folder} cannot be created in {existing}"
        yield "frevo_smbdirect_directory", f"{what}: choose another folder", "error"


def _writable(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK, effective_ids=True)


def _same_port(config: Config) -> Iterator[Remark]:
    """iWARP over TCP and another transport on one port."""
    addresses = config.globals.server_smb_transports
    ports = {one.port: one for one in addresses if one.traits.protocol is IPProtocol.TCP and not one.traits.rdma}
    for one in addresses:
        if one.traits.rdma and one.port and one.port in ports:
            text = f"{one} speaks iWARP, which uses TCP, and {ports[one.port]} has its port: choose another, as in "
            yield "server_smb_transports", f"{text}{one.name}:{one.traits.port}", "error"
