"""What every word of a file says, and whether what was read may be so.

A word of 8 bytes has a version (28 bits) and a check of file, place, version and seed (36 bits). The versions of a
place only grow. A READ may return what was written last before it was sent, or anything that began to be written before
its response came: versions from `low` to `high`. So a block that nobody wrote meanwhile must be whole, and one that
somebody did write may only mix versions of that time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

#: Everything is written in blocks, for each of which the ledger has a version.
BLOCK = 4096
WORD = 8
_WORDS = BLOCK // WORD
#: So many blocks are made or compared at a time: what fits into the processor's cache.
_CHUNK = 16
_CHECK_BITS = np.uint64(36)
_CHECK_MASK = np.uint64((1 << 36) - 1)
#: The kind of a version, its two lowest bits. A block of which the end of the file cuts off a part has the data of a
#: version before, or zeros, or is not there.
ABSENT, DATA, ZEROS, CUT = range(4)
KIND_BITS = 2
VERSION_BITS = 28
#: Odd numbers that spread the parts of an address over all bits.
_FILE, _PLACE, _VERSION, _MIX = (
    np.uint64(number)
    for number in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93)
)
_PLACES = np.arange(_WORDS, dtype=np.uint64) * _PLACE
#: So many faults of one READ are told.
_TOLD_MAX = 3

Array = Any  # numpy.ndarray, whose type parameters say nothing here


@dataclass(frozen=True, slots=True)
class Window:
    """What a range of blocks may contain: by block, the oldest and the newest version. *resized*: the end of the file
    moved meanwhile, so that zeros may be anywhere that is not sure to be data."""

    low: Array
    high: Array
    resized: bool = False

    def allows(self, kinds: tuple[int, ...]) -> Array:
        """By block: whether it may be of one of *kinds*."""
        low, high = (np.isin(one & ((1 << KIND_BITS) - 1), kinds) for one in (self.low, self.high))
        return low | high | ((self.low != self.high) & self.resized)


def _words(seed: int, file: int, first: int, versions: Array) -> Array:
    """All words of the blocks from *first* on, with the version of each."""
    versions = versions.astype(np.uint64)
    with np.errstate(over="ignore"):
        blocks = np.arange(first, first + len(versions), dtype=np.uint64)
        base = blocks * np.uint64(_WORDS) * _PLACE + versions * _VERSION
        base += np.uint64(file + 1) * _FILE + np.uint64(seed)
        words: Array = base[:, None] + _PLACES
    words ^= words >> np.uint64(29)
    words *= _MIX
    words >>= np.uint64(VERSION_BITS)
    words |= versions[:, None] << _CHECK_BITS
    return words.ravel()


def content(seed: int, file: int, first: int, count: int, version: int) -> bytearray:
    """The bytes of *count* blocks from *first* on."""
    data = bytearray(count * BLOCK)
    words = np.frombuffer(data, "<u8")
    for at in range(0, count, _CHUNK):
        number = min(_CHUNK, count - at)
        words[at * _WORDS : (at + number) * _WORDS] = _words(
            seed, file, first + at, np.full(number, version, np.uint64)
        )
    return data


def faults(seed: int, file: int, offset: int, asked: int, data: Any, window: Window) -> list[str]:
    """What is wrong with *data*, the result of reading *asked* bytes at *offset*, a multiple of a word.

    *window* has the blocks from that of *offset* to that of the last byte.
    """
    if len(data) > asked or len(data) % WORD:
        return [f"{len(data)} bytes at {offset} instead of {asked}"]
    found: list[str] = []
    wrong = 0
    first, skip = offset // BLOCK, offset % BLOCK // WORD
    words = np.frombuffer(data, "<u8")
    for at in range(0, -(-(skip + len(words)) // _WORDS), _CHUNK):
        versions = window.low[at : at + _CHUNK]
        low, high = max(at * _WORDS, skip), min((at + len(versions)) * _WORDS, skip + len(words))
        here = words[low - skip : high - skip]
        right = _words(seed, file, first + at, versions)[low - at * _WORDS : high - at * _WORDS]
        if not np.array_equal(here, right):
            bad = _wrong(seed, file, first * _WORDS + low, here, window, first)
            wrong += len(bad)
            for place in bad[: _TOLD_MAX - len(found)]:
                word = int(here[place - first * _WORDS - low])
                found.append(_told(seed, file, int(place), word, window, int(place) // _WORDS - first))
    if wrong:
        found.append(f"{wrong} of {len(words)} words of the READ of {asked} bytes at {offset} are wrong")
    end = offset + len(data)
    missing = window.allows((ABSENT, CUT))[end // BLOCK - first :] if len(data) < asked else np.empty(0, bool)
    if not missing.all():
        short = f"only {len(data)} of {asked} bytes at {offset}"
        found.append(f"{short}: block {end // BLOCK + int(np.argmin(missing))} of file {file} is missing")
    return found


def _checks(seed: int, file: int, places: Array, versions: Array) -> Array:
    """What the words at *places* should say besides their version, if it is one of *versions*."""
    with np.errstate(over="ignore"):
        mixed: Array = places * _PLACE + versions * _VERSION + np.uint64(file + 1) * _FILE + np.uint64(seed)
    mixed ^= mixed >> np.uint64(29)
    mixed *= _MIX
    return mixed >> np.uint64(VERSION_BITS)


def _wrong(seed: int, file: int, start: int, words: Array, window: Window, first: int) -> Array:
    """The places of words that may not be so, of those from the place *start* on. *first*: the window's first block."""
    places = np.arange(start, start + len(words), dtype=np.uint64)
    blocks = (places // np.uint64(_WORDS)).astype(np.int64) - first
    versions = words >> _CHECK_BITS
    counters = versions >> np.uint64(KIND_BITS)
    low, high = (side.astype(np.uint64)[blocks] >> np.uint64(KIND_BITS) for side in (window.low, window.high))
    right = (
        ((words & _CHECK_MASK) == _checks(seed, file, places, versions))
        & ((versions & np.uint64(3)) == DATA)
        & (counters >= low)
        & (counters <= high)
    )
    unsure = window.allows((ZEROS, CUT)) | ((window.low != window.high) & window.allows((ABSENT,)))
    right |= (words == 0) & unsure[blocks]
    return places[~right]


def _told(seed: int, file: int, place: int, word: int, window: Window, block: int) -> str:
    """Why a word is wrong."""
    low, high = (int(side[block]) >> KIND_BITS for side in (window.low, window.high))
    where = f"at byte {place * WORD} of file {file}, where versions {low} to {high} may be"
    version = word >> int(_CHECK_BITS)
    check = int(_checks(seed, file, np.array([place], np.uint64), np.array([version], np.uint64))[0])
    if word == 0:
        return f"{where}: zeros"
    if check == word & int(_CHECK_MASK):
        return f"{where}: version {version >> KIND_BITS}"
    return f"{where}: {word:016x}, which belongs elsewhere or was damaged"
