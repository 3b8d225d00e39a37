"""Configuration: smb.conf text to one frozen, typed `Config`.

`load(path)` reads a file, `default_for_folder(...)` makes the configuration of `frevo serve PATH`. The table
of keys is the fields of `GlobalConfig` and `ShareConfig`; parser, testparm and the reference page all come
from it.
"""

from __future__ import annotations

from frevo.config.access import Person, ShareAccess, domains_of, share_access
from frevo.config.config import Change, Config, diff
from frevo.config.global_keys import GlobalConfig
from frevo.config.load import KEYS, default_for_folder, load, load_text
from frevo.config.macros import expand
from frevo.config.problem import ConfigErrors, ConfigProblem
from frevo.config.share_keys import ShareConfig

__all__ = [
    "KEYS",
    "Change",
    "Config",
    "ConfigErrors",
    "ConfigProblem",
    "GlobalConfig",
    "Person",
    "ShareAccess",
    "ShareConfig",
    "default_for_folder",
    "diff",
    "domains_of",
    "expand",
    "load",
    "load_text",
    "share_access",
]
