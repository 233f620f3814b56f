"""Opening a store by its path, or by the URL of its bucket: what `pfs.open` is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pfs.backends.s3_place import SCHEME
from pfs.config import FOLDER, LOCAL_CONFIG, folder_of_bucket

if TYPE_CHECKING:
    from pfs.encryption.unlock import Unlock
    from pfs.store import Store


def open(location: str | Path | None = None, *, unlock: Unlock | None = None) -> Store:
    """Open the store at a path (the ``.pfs`` folder or the one that holds it) or in a bucket; None: see `locate`.

    For ``s3://bucket/prefix`` that was not opened on this machine before, the index is built first, in a folder of the
    user's caches; how to reach it boto3 finds in its own settings. Other settings: `connect`. ``unlock``: what opens it
    if it is encrypted. Raises as `pfs.store.open`, and as `connect` for a bucket.
    """
    from pfs.store import open as open_at

    if isinstance(location, str) and location.startswith(SCHEME):
        folder = folder_of_bucket(location)
        if not (folder / FOLDER / LOCAL_CONFIG).is_file():
            from pfs.attach import connect

            return connect(folder, location, make=False, unlock=unlock).store
    return open_at(location, unlock=unlock)
