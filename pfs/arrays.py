"""NumPy for modules that every command imports and few commands need: loaded when something of it is first used.

Loading NumPy takes longer than all else that a command for one file does. Such modules say
``from pfs.arrays import np, npt`` and use it inside functions; at their top ``np`` may stand in annotations alone, and
types of arrays have their names here. Modules that are imported by vectorised work alone import NumPy as usual.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias

__all__ = ["I64", "U8", "U16", "U32", "U64", "Voids", "np", "npt"]

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:

    class _Later(ModuleType):
        """Becomes a copy of the module of its name at the first look; any thread may look."""

        def __getattr__(self, name: str) -> object:
            from importlib import import_module

            loaded = import_module(self.__name__)
            self.__dict__.update(vars(loaded))
            self.__class__ = ModuleType  # from here on a look costs what it costs in the module itself
            return getattr(loaded, name)

    np, npt = _Later("numpy"), _Later("numpy.typing")

U8: TypeAlias = "npt.NDArray[np.uint8]"
U16: TypeAlias = "npt.NDArray[np.uint16]"
U32: TypeAlias = "npt.NDArray[np.uint32]"
U64: TypeAlias = "npt.NDArray[np.uint64]"
I64: TypeAlias = "npt.NDArray[np.int64]"
Voids: TypeAlias = "npt.NDArray[np.void]"
"""Rows of records, or ids."""
