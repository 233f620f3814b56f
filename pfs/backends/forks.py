"""What must not be inherited over a fork: locks that another thread holds, threads that are not there, connections."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forgetful(Protocol):
    """Something that can begin anew."""

    def forget_parent(self) -> None:
        """Replace locks, and drop without closing it what belongs to the parent's threads or is shared with them."""
        ...


_known: weakref.WeakSet[Forgetful] = weakref.WeakSet()


def forget_in_children(one: Forgetful) -> None:
    """Call ``one.forget_parent()`` in each child that is forked while ``one`` is there."""
    _known.add(one)


def _forget() -> None:
    for one in list(_known):
        one.forget_parent()


os.register_at_fork(after_in_child=_forget)
