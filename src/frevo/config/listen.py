"""Which hosts the server binds, from `interfaces` and `bind interfaces only`."""

from __future__ import annotations

from frevo.config.config import Config
from frevo.config.problem import ConfigErrors, ConfigProblem
from frevo.transport import interfaces


def listen_hosts(config: Config) -> list[str]:
    """Addresses to bind; ConfigErrors when `interfaces` matches none of this machine's."""
    values = config.globals
    try:
        return interfaces.listen_hosts(values.interfaces, only=values.bind_interfaces_only)
    except (ValueError, OSError) as error:
        place = config.source or "(command line)"
        raise ConfigErrors([ConfigProblem(place, 0, "interfaces", str(error))]) from error
