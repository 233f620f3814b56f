"""Whether two files would have one name at a place: found out before anything is sent."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import numpy as np

from pfs.paths import from_key
from pps.transfers.errors import PlaceRefusedError, check_going

if TYPE_CHECKING:
    import threading

_FEW: Final = 1024


def check_distinct(paths: Callable[[], Iterable[bytes]], name: Callable[[bytes], bytes], stop: threading.Event) -> None:
    """Check that each path has a name of its own. Memory: 16 bytes a path; ``paths`` is read twice at most.

    Raises:
        PlaceRefusedError: two paths have one name, or ``name`` says so of one of them. Stopped: ``stop`` was set.
    """
    words = array("Q")
    for path in paths():
        check_going(stop)
        words.append(_word(name(path)))
    ordered = np.sort(np.frombuffer(words, np.uint64)) if words else np.empty(0, np.uint64)
    # Words may be the same by chance, though not so many: names are compared where they are.
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])[:_FEW]
    found: dict[bytes, bytes] = {}
    for path in paths() if len(twice) else ():
        check_going(stop)
        called = name(path)
        word = np.uint64(_word(called))
        at = int(np.searchsorted(twice, word))
        if at == len(twice) or twice[at] != word:
            continue
        if called in found:
            other = from_key(found[called])
            why = f"{other} is called {called.decode()!r} there, too: put {{{{file.path}}}} into the key"
            raise PlaceRefusedError(f"send {from_key(path)}", why)
        found[called] = path


def _word(name: bytes) -> int:
    return int.from_bytes(blake2b(name, digest_size=8).digest(), "little")
