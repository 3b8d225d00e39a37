"""A program on the server that reads the files that clients write: it must see what was answered."""

from __future__ import annotations

import os
import time

from benchmarks.soak.client import Ended, Post
from benchmarks.soak.ledger import note_fault
from benchmarks.soak.storage import file_name
from benchmarks.soak.words import BLOCK

_LARGEST_BLOCKS = 256
_REST_S = 0.005


def run(post: Post) -> None:
    """Reads until the round is over."""
    ledger, rng, shape = post.ledger(), post.rng, post.shape
    ended = Ended(ledger)
    files = [os.open(post.share / file_name(number), os.O_RDONLY) for number in range(shape.files)]
    while not ended():
        number, blocks = rng.randrange(shape.files), rng.randrange(1, _LARGEST_BLOCKS)
        offset, size = rng.randrange(shape.blocks - blocks) * BLOCK, blocks * BLOCK
        before = ledger.before(number, offset, size)
        data = os.pread(files[number], size, offset)
        found, raced = ledger.check(number, offset, size, data, before)
        for text in found:
            note_fault(post.folder, "a local reader", text)
        ledger.count(post.member, "local_reads")
        ledger.count(post.member, "local_bytes", len(data))
        ledger.count(post.member, "raced", raced)
        time.sleep(_REST_S)
