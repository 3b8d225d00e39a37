"""The client's smb.conf: its `client …` keys as options of `connect`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frevo.cli.common import UsageError, print_problems
from frevo.errors import FrevoError
from frevo.folders import default_private_dir
from frevo.proto.dialect import BY_REVISION, Cipher, Signing
from frevo.tls.client import trust_of
from frevo.tls.settings import TlsSettings, settings_of

if TYPE_CHECKING:
    from frevo.config import Config, GlobalConfig

_SIGNINGS = {
    "AES-128-GMAC": Signing.AES_GMAC,
    "AES-128-CMAC": Signing.AES_CMAC,
    "HMAC-SHA256": Signing.HMAC_SHA256,
}
_CIPHERS = {
    "AES-128-GCM": Cipher.AES_128_GCM,
    "AES-128-CCM": Cipher.AES_128_CCM,
    "AES-256-GCM": Cipher.AES_256_GCM,
    "AES-256-CCM": Cipher.AES_256_CCM,
}


def client_file(given: str | None) -> str | None:
    """The file to read: *given*, else FREVO_CONF, else the user's own if it exists; never Samba's."""
    named = given or os.environ.get("FREVO_CONF")
    if named:
        return named
    base = os.environ.get("XDG_CONFIG_HOME", "")
    own = (Path(base) if base.startswith("/") else Path.home() / ".config") / "frevo" / "smb.conf"
    return str(own) if own.is_file() else None


def client_options(given: str | None, settings: Sequence[str]) -> dict[str, Any]:
    """Fields of `frevo.client.Options` from the file and from *settings* (`key=value`), which override it.

    Without either only whom to trust over QUIC: this machine's own CA, besides the system's. Prints errors like
    `frevo testparm`, then raises FrevoError.
    """
    path = client_file(given)
    if path is None and not settings:
        return {"tls": trust_of(TlsSettings(private_dir=default_private_dir()))}
    config = _load(path, tuple(settings))
    return of_globals(config.globals)


@cache
def _load(path: str | None, settings: tuple[str, ...]) -> Config:
    """Read the file once: a command may connect to several shares."""
    from frevo.config import ConfigErrors, load, load_text

    overrides = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--option {setting}: expected KEY=VALUE, as in 'client max protocol=SMB3_00'")
        overrides[key.strip()] = value.strip()
    try:
        config = load(path, overrides) if path is not None else load_text("", overrides)
    except ConfigErrors as errors:
        print_problems(errors.problems)
        raise FrevoError(f"{path or '--option'} cannot be used: fix the errors above") from None
    print_problems(problem for problem in config.problems if problem.key.lower().startswith("client"))
    return config


def of_globals(values: GlobalConfig) -> dict[str, Any]:
    """The fields of `frevo.client.Options` that [global] sets."""
    from frevo.config import GlobalConfig

    ciphers = tuple(_CIPHERS[name] for name in values.client_smb3_encryption_algorithms)
    must_encrypt = values.client_smb_encrypt == "required" or values.client_protection == "encrypt"
    named = values.workgroup != GlobalConfig().workgroup
    return {
        "transports": values.client_smb_transports,
        "minimum": BY_REVISION[values.client_min_protocol].name,
        "maximum": BY_REVISION[values.client_max_protocol].name,
        "signing": values.client_signing != "disabled",
        "encryption": must_encrypt,
        "prefer_encryption": values.client_smb_encrypt == "desired",
        "encryption_over_quic": values.client_smb_encryption_over_quic,
        "quic_driver": values.frevo_quic_driver,
        "smb_direct": values.smb_direct,
        "rdma_threshold": values.frevo_rdma_threshold,
        "rdma_transforms": values.frevo_rdma_transforms,
        "ciphers": () if values.client_smb_encrypt == "off" and not must_encrypt else ciphers,
        "signings": tuple(_SIGNINGS[name] for name in values.client_smb3_signing_algorithms),
        "workgroup": values.workgroup if named else "",
        "netbios_name": values.netbios_name,
        "tls": trust_of(settings_of(values)),
    }
