"""Structs that threads decode: made ready before the first of them does.

msgspec (0.22) works out what it knows of a struct when it first decodes one, and evaluating its annotations lets other
threads run: one that meets the half of it crashes the process. So a gateway that had just begun died when its first
requests came at once.
"""

from __future__ import annotations

import threading
from typing import TypeVar

import msgspec

F = TypeVar("F")
_lock = threading.Lock()
_known: set[object] = set()


def ready(form: F) -> F:
    """Return ``form``, a struct or a type of structs, which any number of threads may now decode.

    Thread-safe; free but for the first time.
    """
    if form not in _known:
        with _lock:
            msgspec.json.Decoder(form)
            _known.add(form)
    return form
