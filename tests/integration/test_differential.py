"""The fast path only makes the server faster: random steps of three clients and a local program have the same outcome
on servers with each engine and two data-plane threads, and on one that does without.

A seed that fails is printed as a short sequence of steps; `make differential` runs many more.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from peers.planes import PLANES

from integration.differential import compare
from integration.differential.steps import Step, sequence

pytestmark = pytest.mark.once("compares all data planes itself")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[compare.Planes]:
    """A server for each data plane."""
    with compare.planes(tmp_path_factory.mktemp("planes")) as made:
        yield made


@pytest.mark.parametrize("seed", range(8))
def test_any_order_of_steps(running: compare.Planes, seed: int) -> None:
    """Goal: answers, credits, files, times, positions and what watchers are told do not depend on the data plane.
    Method: the seed's steps on each server, one after the other or several at once."""
    compare.check_seeds(running, [seed])


def test_the_fast_path_had_its_part(running: compare.Planes) -> None:
    """Goal: the comparison above compares something. Method: the counters of the servers, after one more sequence."""
    before = running.statistics()
    compare.check_seeds(running, [8])
    after = running.statistics()
    assert not any(after["slow-path"].values())
    for plane in ("epoll", "uring"):
        grown = {name: after[plane][name] - before[plane][name] for name in after[plane]}
        assert grown["fast_reads"] > 1 and grown["fast_writes"] > 1 and grown["fast_flushes"], grown


def test_a_difference_is_found_and_made_small(tmp_path: Path) -> None:
    """Goal: a server that answers differently is noticed, and the report can be repeated. Method: one hides the file b
    from its clients; the steps of some seeds."""
    slow = PLANES["slow-path"]
    with (
        compare.planes(tmp_path, {"slow": slow, "other": {**slow, "veto files": "/b/"}}) as running,
        pytest.raises(compare.Difference) as raised,
    ):
        compare.check_seeds(running, range(5))
    found = raised.value
    assert (found.plane, found.seed) == ("other", 0)
    assert len(found.made.steps) == 1
    [step] = found.made.steps
    assert "b" in step.values
    text = str(found)
    assert compare.read(text[text.index("[" + str(found.made.dialect)) :]) == found.made


def test_a_sequence_depends_on_its_seed_alone() -> None:
    """Goal: a seed is enough to repeat a failure. Method: made twice, and through the text of a report."""
    assert sequence(3) == sequence(3) != sequence(4)
    again = compare.read(compare.written(sequence(3)))
    assert again == sequence(3) and isinstance(again.steps[0], Step)
