"""FixedStructure: the base of information classes that are one compiled layout, one field after the other."""

from __future__ import annotations

import struct
from typing import Any, ClassVar, Self

from frevo.wire.codec import Buffer, unpack


class FixedStructure:
    """A slotted dataclass whose fields are LAYOUT's values in order; reserved bytes are its pad bytes."""

    __slots__ = ()
    LAYOUT: ClassVar[struct.Struct]

    @classmethod
    def parse(cls, data: Buffer) -> Self:
        """The structure at the start of *data*; what follows is ignored, as Windows ignores it."""
        build: Any = cls
        made: Self = build(*unpack(cls.LAYOUT, data, 0, cls.__name__))
        return made

    def pack(self) -> bytes:
        slots: Any = self.__slots__
        return self.LAYOUT.pack(*[getattr(self, name) for name in slots])
