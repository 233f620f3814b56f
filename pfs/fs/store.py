"""One open store a place and process: fsspec makes a file system a thread, and they share its caches.

A store that nobody has any more is closed when the next one is asked for. Not at once: the garbage collector may find
it at any allocation, also of a thread that holds the very locks that closing takes.
"""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol

from pfs.store import Store
from pfs.store import open as open_store

_stores: weakref.WeakValueDictionary[tuple[int, Path], Store] = weakref.WeakValueDictionary()
_lock = threading.Lock()


class _Part(Protocol):
    def close(self) -> None: ...


_unused: SimpleQueue[_Part] = SimpleQueue()


def shared_store(path: Path) -> Store:
    """Return the open store of a ``.pfs`` folder; closed some time after nobody has it any more. Raises as `open`."""
    with suppress(Empty):
        while True:
            _unused.get_nowait().close()
    key = (os.getpid(), path)
    with _lock:
        store = _stores.get(key)
        if store is None:
            store = _stores[key] = open_store(path)
            for part in (store.index, store.backend):
                weakref.finalize(store, _unused.put, part).atexit = False
        return store


def _forget_lock() -> None:
    global _lock  # a forked child must not inherit a lock that a thread of the parent holds
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_lock)
