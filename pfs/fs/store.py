"""One open store a place and process: fsspec makes a file system a thread, and they share its caches."""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path

from pfs.store import Store
from pfs.store import open as open_store

_stores: weakref.WeakValueDictionary[tuple[int, Path], Store] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def shared_store(path: Path) -> Store:
    """Return the open store of a ``.pfs`` folder; it is closed when nobody has it any more. Raises as `pfs.open`."""
    key = (os.getpid(), path)
    with _lock:
        store = _stores.get(key)
        if store is None:
            store = _stores[key] = open_store(path)
            for part in (store.index, store.backend):
                weakref.finalize(store, part.close).atexit = False
        return store


def _forget_lock() -> None:
    global _lock  # a forked child must not inherit a lock that a thread of the parent holds
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_lock)
