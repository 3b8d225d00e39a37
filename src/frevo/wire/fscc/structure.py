"""FixedStructure: the base of information classes with a fixed layout."""

from __future__ import annotations

import struct
from typing import ClassVar, Self

import msgspec
from msgspec.structs import astuple

from frevo.wire.codec import Buffer, unpack


class FixedStructure(msgspec.Struct):
    """A record whose fields are the values of LAYOUT in order; reserved bytes are pad bytes."""

    LAYOUT: ClassVar[struct.Struct]

    @classmethod
    def parse(cls, data: Buffer) -> Self:
        """The structure at the start of *data*; what follows is ignored, as in Windows."""
        return cls(*unpack(cls.LAYOUT, data, 0, cls.__name__))

    def pack(self) -> bytes:
        return self.LAYOUT.pack(*astuple(self))
