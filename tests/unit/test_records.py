"""Records: secrets are in no printed form, and records behave as declared."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator

import msgspec
import pytest
from rich.pretty import pretty_repr

import frevo
from frevo.records import Redacted

_SECRET = re.compile(r"(^|_)(password|nt_hash|session_key|encrypted_session_key|secret)$")


class _Door(Redacted, msgspec.Struct, frozen=True):
    HIDDEN = ("code",)

    place: str
    code: bytes = b"1234"


def _records(of: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for one in of.__subclasses__():
        yield one
        yield from _records(one)


def test_hidden_fields_are_in_no_printed_form() -> None:
    """Goal: `HIDDEN` applies to repr, str, format and rich alike. Method: print one each way."""
    door = _Door("north")
    assert repr(door) == "_Door(place='north')"
    for printed in (str(door), f"{door}", f"{[door]}", pretty_repr(door)):
        assert "north" in printed
        assert "1234" not in printed
        assert "code" not in printed


def test_hidden_fields_still_count() -> None:
    """Goal: hiding changes nothing else. Method: compare and hash two that differ in the hidden field alone."""
    assert _Door("north") != _Door("north", b"4321")
    assert _Door("north") == _Door("north")
    assert hash(_Door("north")) == hash(_Door("north"))


def test_every_secret_is_hidden() -> None:
    """Goal: no record forgets `HIDDEN`. Method: import all of frevo and look for fields with a secret's name."""
    for module in pkgutil.walk_packages(frevo.__path__, "frevo."):
        if module.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            if str(error.name).startswith("frevo"):
                raise
    seen = 0
    for record in _records(msgspec.Struct):
        if not record.__module__.startswith("frevo."):
            continue
        for name in filter(_SECRET.search, record.__struct_fields__):
            assert issubclass(record, Redacted), f"{record.__module__}.{record.__name__} shows {name}"
            assert name in record.HIDDEN, f"{record.__module__}.{record.__name__} shows {name}"
            seen += 1
        if issubclass(record, Redacted):
            assert set(record.HIDDEN) <= set(record.__struct_fields__)
    assert seen >= 10


@pytest.mark.parametrize("name", ["place", "code", "other"])
def test_frozen_means_frozen(name: str) -> None:
    """Goal: a frozen record cannot be changed, and no record gets a new field. Method: try."""
    with pytest.raises(AttributeError):
        setattr(_Door("north"), name, "x")
