"""Bodies that find no memory: in a file without a name until they are whole. One that is dropped leaves nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from pfs.backends.base import Buffer
from pfs.backends.durable import storage_errors, write_all


class Spool:
    """One such file below a directory; one thread at a time. The calls raise StorageError."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        with storage_errors(f"write to {directory}"):
            directory.mkdir(exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115 - `close` does it
        self.size = 0

    def write(self, pieces: Sequence[Buffer]) -> None:
        """Append."""
        with storage_errors(f"write to {self._directory}"):
            write_all(self._file.fileno(), pieces)
        self.size += sum(map(len, pieces))

    def pieces(self, size: int) -> Iterator[memoryview]:
        """Yield all that was written, in pieces of ``size``; each is valid until the next is asked for."""
        buffer = memoryview(bytearray(min(size, self.size)))
        with storage_errors(f"read from {self._directory}"):
            self._file.seek(0)
            while count := self._file.readinto(buffer):
                yield buffer[:count]

    def close(self) -> None:
        """Drop it; idempotent."""
        self._file.close()
