"""The ways in which frevo can be made to read and to write, as the configuration's table knows them."""

from __future__ import annotations

from collections.abc import Iterable

from frevo.config import KEYS
from frevo.config.key import Key
from frevo.config.types import Choice

#: What a rung needs besides: the clients of benchmarks are on this host, where pages are not stable, and nobody writes
#: to the files.
_NEEDED = {"read: splice": {"frevo:splice": "always"}}

#: The keys `frevo:read ...` and `frevo:write ...` choose a rung; this value leaves the choice to frevo.
_AUTO = "auto"


def rungs(keys: Iterable[Key] = KEYS) -> dict[str, dict[str, dict[str, str]]]:
    """By path, read or write: the name of each rung, and the option that forces it."""
    found: dict[str, dict[str, dict[str, str]]] = {"read": {}, "write": {}}
    for key in keys:
        path = key.name.removeprefix("frevo:").split()[0]
        if not key.frevo_own or path not in found or not isinstance(key.kind, Choice):
            continue
        names = [str(name) for name in key.kind.names()]
        if _AUTO in names:
            for name in names:
                if name != _AUTO:
                    rung = f"{path}: {name}"
                    found[path][rung] = {key.name: name, **_NEEDED.get(rung, {})}
    return found
