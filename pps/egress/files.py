"""A folder of this machine as the place that files are sent to."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from pfs.errors import FailedError, StorageError
from pfs.paths import from_key, is_disk_name
from pps.egress.target import Sending

_PIECE = 1 << 20


class Folder:
    """Files below a folder, which is made when the first is written; see `Target`."""

    def __init__(self, top: str) -> None:
        self._top = os.fsencode(top)

    def sizes(self, names: Iterable[bytes]) -> Iterator[int | None]:
        """Look each name up."""
        for name in names:
            try:
                status = os.stat(self._path(name), follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                yield None
            except OSError as error:
                raise StorageError(f"look at {from_key(name)}", error.strerror or str(error)) from error
            else:
                yield status.st_size

    def put(self, file: Sending, body: BinaryIO) -> None:
        """Write beside the place, then move."""
        path = Path(os.fsdecode(self._path(file.name)))
        draft = path.with_name(f".{uuid.uuid4().hex}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("xb") as out:
                shutil.copyfileobj(body, out, _PIECE)
                out.flush()
                os.fsync(out.fileno())
            draft.replace(path)
        except OSError as error:
            raise StorageError(f"write {path}", error.strerror or str(error)) from error
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)

    def _path(self, name: bytes) -> bytes:
        if not all(map(is_disk_name, name.split(b"/"))):
            raise FailedError(f"{from_key(name)} cannot be the path of a file")
        return self._top + b"/" + name

    def close(self) -> None:
        """There is nothing to let go of."""
