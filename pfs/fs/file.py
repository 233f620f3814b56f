"""Files as users of fsspec hold them: one to read, of an immutable commit, and one to write, which ends in a commit."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self, cast

from pfs.backends.base import Buffer
from pfs.files.fileref import FileRef
from pfs.files.reader import iter_range
from pfs.fs.errors import os_errors

if TYPE_CHECKING:
    from pfs.files.stream_ingest import StreamIngest
    from pfs.fs.files import Files, Info
    from pfs.fsspec import PfsFileSystem
    from pfs.trees.row import Row

_BUFFER_BYTES: Final = 1 << 20


class ReadFile(io.BufferedReader):
    """A stored file: binary, buffered, seekable; one thread. It pickles as its place: commit, path and position."""

    mode = "rb"

    def __init__(self, fs: PfsFileSystem, files: Files, row: Row) -> None:
        """Read the file ``row`` of ``files``."""
        super().__init__(_Raw(files, row), _BUFFER_BYTES)
        self.fs, self.details, self.size = fs, files.info(row), row.size
        self._pinned = f"{files.pinned}/{row.key.decode()}"

    @property
    def path(self) -> str:
        """The file's name."""
        return str(self.details["name"])

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path

    @property
    def full_name(self) -> str:
        """The file's URL."""
        return str(self.fs.unstrip_protocol(self.path))

    def info(self) -> Info:
        """Return what the file system's ``info`` said when the file was opened."""
        return self.details

    def __reduce__(self) -> tuple[Callable[..., ReadFile], tuple[PfsFileSystem, str, int]]:
        return _reopen, (self.fs, self._pinned, self.tell())

    def __reduce_ex__(self, protocol: object) -> tuple[Callable[..., ReadFile], tuple[PfsFileSystem, str, int]]:
        return self.__reduce__()


def _reopen(fs: PfsFileSystem, name: str, position: int) -> ReadFile:
    file: ReadFile = fs.open(name, "rb")
    file.seek(position)
    return file


class _Raw(io.RawIOBase):
    """A raw stream with our errors as OSErrors, that reads large pieces in threads."""

    def __init__(self, files: Files, row: Row) -> None:
        super().__init__()
        self._reader = files.open(row)
        self._pieces = partial(iter_range, files.source, row, jobs=os.cpu_count() or 1)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._reader.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        with os_errors():
            return self._reader.seek(offset, whence)

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        with os_errors():
            return self._reader.readinto(view) if len(view) <= _BUFFER_BYTES else self._read_large(view)

    def _read_large(self, view: memoryview) -> int:
        start, size = self.tell(), self._reader.size
        at = 0
        for piece in self._pieces(start=min(start, size), stop=min(start + len(view), size)):
            view[at : at + len(piece)] = piece
            at += len(piece)
        self.seek(start + at)
        return at

    def readall(self) -> bytes:
        start, size = self.tell(), self._reader.size
        with os_errors():
            data = b"".join(self._pieces(start=min(start, size), stop=size))
        self.seek(start + len(data))
        return data


class WriteFile(io.BufferedIOBase):
    """A file that is being written: stored as it comes, published when it is closed; one thread.

    A ``with`` block that raises drops it. One that is never closed is dropped too, with a ResourceWarning.
    """

    def __init__(
        self,
        name: str,
        ingest: StreamIngest,
        *,
        mode: str,
        publish: Callable[[FileRef], None],
        abandon: Callable[[], None],
        autocommit: bool,
    ) -> None:
        """``publish`` gets the content when the file is closed, or at `commit` without ``autocommit``."""
        super().__init__()
        self.path, self.mode = name, mode
        self._ingest, self._publish, self._abandon, self._autocommit = ingest, publish, abandon, autocommit
        self._ref: FileRef | None = None
        self._ended = False

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path

    def writable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return how many bytes were written; what an ``ab`` file already has does not count."""
        return self._ingest.size

    def write(self, data: Buffer, /) -> int:  # type: ignore[override]  # ours is a Protocol of the same objects
        """Append bytes; nobody sees them before the file is closed. Returns their number."""
        if self.closed:
            raise ValueError("write to a closed file")
        view = memoryview(data).cast("B")
        with os_errors():
            self._ingest.write(view)
        return len(view)

    def close(self) -> None:
        """Store the rest and publish the file; without ``autocommit``, `commit` does. Idempotent.

        Raises:
            OSError: it could not be stored or published; nothing was changed.
        """
        if self.closed:
            return
        super().close()
        try:
            with os_errors():
                self._ref = self._ingest.finish()
        except BaseException:
            self.discard()
            raise
        if self._autocommit:
            self.commit()

    def commit(self) -> None:
        """Publish what was written, closing the file first if need be; idempotent; raises as `close`."""
        self.close()
        if self._ended or self._ref is None:
            return
        self._ended = True
        with os_errors():
            self._publish(self._ref)

    def discard(self) -> None:
        """Drop what was written, unless it was published; idempotent."""
        super().close()
        if not self._ended:
            self._ended = True
            self._ingest.abandon()
            self._abandon()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.discard()
        else:
            self.close()

    def __enter__(self) -> Self:
        return self

    def __del__(self) -> None:
        # Ours to define, since that of the base class closes: a commit in the garbage collector can wait for ever
        # for a lock that the interrupted code of the same thread holds.
        if not getattr(self, "closed", True):
            text = f"{self.path} was never closed: nothing was written"
            warnings.warn(text, ResourceWarning, source=self, stacklevel=2)


class CompressedFile(io.BufferedIOBase):
    """A file to write behind a compressor, which ends with it: compressors leave the file under them open."""

    def __init__(self, compressor: BinaryIO, file: WriteFile) -> None:
        super().__init__()
        self._compressor, self._file = compressor, file

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Buffer, /) -> int:  # type: ignore[override]  # ours is a Protocol of the same objects
        """Append plain bytes; return their number."""
        self._compressor.write(memoryview(data).cast("B"))
        return memoryview(data).nbytes

    def close(self) -> None:
        """Write the end of the compressed data and close the file; raises as `WriteFile.close`."""
        if not self.closed:
            super().close()
            self._compressor.close()
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.discard()
        else:
            self.close()

    def discard(self) -> None:
        """Drop what was written; idempotent."""
        self._file.discard()
        super().close()

    def __del__(self) -> None:
        """Leave it to the file to complain that it was not closed."""


class TextFile(io.TextIOWrapper):
    """A text file to write; one whose ``with`` block raises is dropped, as a binary one is."""

    def __init__(self, file: WriteFile | CompressedFile, **options: Any) -> None:
        super().__init__(cast("BinaryIO", file), **options)  # it writes as a BinaryIO does
        self._file = file

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
            return
        self._file.discard()
        with suppress(ValueError):  # what it still holds has nowhere to go
            self.close()
