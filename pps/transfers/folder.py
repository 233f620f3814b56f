"""A folder of this machine as a place for files."""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final

import xxhash

from pfs.errors import StorageError
from pfs.paths import from_key, is_disk_name
from pps.spec.places import split
from pps.transfers.errors import PlaceRefusedError, Stopped, of_system
from pps.transfers.place import Arrived, Sending, There

_PIECE: Final = 1 << 20


class Folder:
    """Files below a folder, which is made when the first is written; see `Target`.

    A file is written beside its place, under a hidden name that only depends on its own, and moved there when it is
    whole and synced: what a killed process left is gone on with, as far as it is the same bytes.
    """

    lists = False

    def __init__(self, top: str, *, stop: threading.Event | None = None) -> None:
        self._top, self._stop = os.fsencode(top), stop or threading.Event()
        self._open: set[Path] = set()

    def listed(self) -> Iterator[tuple[bytes, There]]:
        """Yield nothing: names are looked up one by one, which costs less than to sort a folder."""
        return iter(())

    def find(self, name: bytes) -> There | None:
        """Look at the file; the time of its last change stands for its content."""
        return _find(self._path(name))

    def find_url(self, url: str) -> There | None:
        """Look at a file of any folder."""
        return _find(os.fsencode(split(url)[2]))

    def url(self, name: bytes) -> str:
        """Return its path as a URL."""
        return Path(os.fsdecode(self._path(name))).as_uri()

    def holds(self, file: Sending, there: There) -> Arrived | None:
        """Read both."""
        if file.exact and there.size != file.size:
            return None
        try:
            with open(self._path(file.name), "rb") as found:
                same = _common(found, iter(file.pieces()))[0] is None and not found.read(1)
        except OSError as error:
            raise of_system(f"read {from_key(file.name)}", error) from error
        return self._arrived(file.name, there) if same else None

    def put(self, file: Sending) -> Arrived:
        """Write beside the place, read it back, then move it."""
        path = Path(os.fsdecode(self._path(file.name)))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._draft(path) as (draft, out):
                digest, size = self._write(out, file)
                out.flush()
                os.fsync(out.fileno())
                _check_back(out, digest, size, path)
                draft.replace(path)
                self._open.discard(draft)
        except OSError as error:
            raise _of_writing(path, error) from error
        there = self.find(file.name)
        if there is None:
            raise StorageError(f"write {path}", "it is gone right after it was written")
        return self._arrived(file.name, there)

    @contextmanager
    def _draft(self, path: Path) -> Iterator[tuple[Path, BinaryIO]]:
        name = hashlib.blake2b(os.fsencode(path.name), digest_size=8).hexdigest()
        draft = path.with_name(f".{name}.part")
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        with os.fdopen(descriptor, "r+b") as out:
            try:
                fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise StorageError(f"write {path}", "another process writes it at the moment") from error
            self._open.add(draft)
            yield draft, out

    def _write(self, out: BinaryIO, file: Sending) -> tuple[bytes, int]:
        """Write what is not there of a file; return digest and size of all."""
        out.seek(0)
        pieces = iter(file.pieces())
        rest, digest = _common(out, pieces)
        at = out.tell()
        out.truncate()
        for piece in chain([] if rest is None else [rest], pieces):
            if self._stop.is_set():
                raise Stopped
            digest.update(piece)
            out.write(piece)
            at += len(piece)
        if file.exact and at != file.size:
            raise StorageError(f"write {from_key(file.name)}", f"{at} bytes came instead of {file.size}")
        return digest.digest(), at

    def _arrived(self, name: bytes, there: There) -> Arrived:
        return Arrived(self.url(name), there.size, there.etag)

    def _path(self, name: bytes) -> bytes:
        if not all(map(is_disk_name, name.split(b"/"))):
            raise PlaceRefusedError(f"write {from_key(name)}", "it cannot be the path of a file")
        return self._top + b"/" + name

    def abandon(self) -> None:
        """Remove what was begun."""
        for draft in list(self._open):
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            self._open.discard(draft)

    def close(self) -> None:
        """There is nothing to let go of."""


def _of_writing(path: Path, error: OSError) -> PlaceRefusedError | StorageError:
    """Return what an error of writing is: a file in the way may go, a place that takes no folders stays one."""
    link = next((one for one in path.parents if one.is_symlink() and not one.exists()), None)
    if link is not None:
        return PlaceRefusedError(f"write {path}", f"{link} is a link to nothing")
    if isinstance(error, FileNotFoundError):
        return PlaceRefusedError(f"write {path}", "no folder can be made there")
    return of_system(f"write {path}", error)


def _find(path: bytes) -> There | None:
    try:
        status = os.stat(path, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise of_system(f"look at {os.fsdecode(path)}", error) from error
    return There(status.st_size, f"{status.st_mtime_ns:x}-{status.st_size:x}")


def _common(found: BinaryIO, pieces: Iterator[bytes | memoryview]) -> tuple[bytes | memoryview | None, xxhash.xxh3_128]:
    """Read a file as far as it has the bytes of the pieces; return what is left of the piece at hand, and the digest.

    None: all of the pieces were there. The file is at the first byte that differs.
    """
    digest = xxhash.xxh3_128()
    for piece in pieces:
        view = memoryview(piece)
        for start in range(0, len(view), _PIECE):
            part = view[start : start + _PIECE]
            at = found.tell()
            if found.read(len(part)) != part:
                found.seek(at)
                return view[start:], digest
            digest.update(part)
    return None, digest


def _check_back(out: BinaryIO, digest: bytes, size: int, path: Path) -> None:
    """Read a file back, and compare it with what was to be written."""
    back, count = xxhash.xxh3_128(), 0
    out.seek(0)
    while piece := out.read(_PIECE):
        back.update(piece)
        count += len(piece)
    if (back.digest(), count) != (digest, size):
        raise StorageError(f"write {path}", "what was written is not what is there")
