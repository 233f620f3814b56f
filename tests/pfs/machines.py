"""Machines that have one bucket: each with a folder of its own, so with an index, caches and locks of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import pfs
from pfs.attach import Settings, connect
from pfs.backends.s3_place import S3Options
from pfs.store import Store
from tests.pfs.bucket_world import BUCKET, World

Machine = Callable[[str], Store]
"""Gives the store of a machine by its name; called again, the store of another process there."""


@contextmanager
def machines(bucket: World, place: Path, *, cache_bytes: int | None = None) -> Iterator[Machine]:
    """Give machines with folders in ``place`` that have one new store; ``cache_bytes`` of packs on each."""
    url, options = f"s3://{BUCKET}/{uuid4().hex}", S3Options(endpoint=bucket.url)
    settings = Settings(options) if cache_bytes is None else Settings(options, cache_bytes=cache_bytes)
    with ExitStack() as stack:

        def open_one(name: str) -> Store:
            folder = place / name
            if not folder.exists():
                connect(folder, url, settings=settings).store.close()
            return stack.enter_context(pfs.open(folder))

        yield open_one
