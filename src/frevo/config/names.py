"""Names of keys: which spelling means which key, and which key a misspelt name was meant to be."""

from __future__ import annotations

import difflib

from frevo.config.global_keys import GLOBAL_KEYS
from frevo.config.key import Key, normal
from frevo.config.share_keys import SHARE_KEYS
from frevo.config.unsupported import UNSUPPORTED

#: The whole table, in the order of the reference page.
KEYS: tuple[Key, ...] = GLOBAL_KEYS + SHARE_KEYS

#: Normalised spelling (names, synonyms, inverse synonyms) to its row.
BY_NAME: dict[str, Key] = {
    normal(name): key for key in KEYS for name in (key.name, *key.synonyms, *key.inverses)
}
INVERSES = frozenset(normal(name) for key in KEYS for name in key.inverses)
_SPELLINGS: dict[str, str] = {
    normal(name): name for key in KEYS for name in (key.name, *key.synonyms, *key.inverses)
}
_LENGTH_MAX = 80


def suggestion(name: str) -> str:
    """`; did you mean ...?` with the nearest known key, or nothing."""
    near = difflib.get_close_matches(normal(name)[:_LENGTH_MAX], _SPELLINGS, n=1, cutoff=0.6)
    if near:
        return f"; did you mean `{_SPELLINGS[near[0]]}`?"
    meant = meant_by(name)
    return f"; did you mean `{UNSUPPORTED[meant].name}`?" if meant else ""


def meant_by(name: str) -> str:
    """The known spelling that *name* misspells for certain (a letter or two apart), or nothing."""
    word = normal(name)[:_LENGTH_MAX]
    for known in (_SPELLINGS, UNSUPPORTED):
        near = difflib.get_close_matches(word, known, n=1, cutoff=0.85)
        if near:
            return near[0]
    return ""


def key_at_start(text: str) -> tuple[str, str]:
    """(spelling, rest) when *text* begins with the words of a known key, as in `valid users alice`; else empty.

    The longest spelling wins.
    """
    words = text[:400].split()
    for count in range(min(len(words), 6), 0, -1):
        spelling = normal(" ".join(words[:count]))
        if spelling in BY_NAME or spelling in UNSUPPORTED:
            return spelling, " ".join(words[count:]).lstrip(":= ")
    return "", ""
