"""A backend on a new directory, and shorthands for making files through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from frevo.vfs.base import Handle, OpenIntent
from frevo.vfs.local import LocalBackend, LocalOptions

BOTH = OpenIntent.READ | OpenIntent.WRITE


@pytest.fixture
def share(tmp_path: Path) -> Path:
    """The exported directory; its parent belongs to the test, too, and is outside the share."""
    root = tmp_path / "share"
    root.mkdir()
    return root


@pytest.fixture
def make_backend(share: Path) -> Iterator[Callable[..., LocalBackend]]:
    """Makes backends of the share with the options given; closes them."""
    made: list[LocalBackend] = []

    def make(**options: object) -> LocalBackend:
        made.append(LocalBackend(str(share), options=LocalOptions(**options)))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for backend in made:
        backend.close()


@pytest.fixture
def backend(make_backend: Callable[..., LocalBackend]) -> LocalBackend:
    """A backend with default options."""
    return make_backend()


def create(backend: LocalBackend, path: str, *, directory: bool = False, attributes: int = 0x20) -> Handle:
    """Creates a file (or directory) that does not exist, opened for reading and writing."""
    mode = 0o755 if directory else 0o644
    attributes = 0x10 if directory else attributes
    return backend.create(
        backend.resolve(path), directory=directory, intent=BOTH, attributes=attributes, mode=mode
    )


def open_(backend: LocalBackend, path: str, intent: OpenIntent = OpenIntent.READ) -> Handle:
    """Opens an existing file."""
    return backend.open(backend.resolve(path), intent)


def names_in(directory: Path) -> list[str]:
    """What is in the directory on disk, sorted."""
    return sorted(path.name for path in directory.iterdir())
