"""Reading the logs of datums along while they are written (logs.py says how they lie on disk)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

Pieces = Mapping[int, int]
"""The pieces of a log that are on disk: size by number; 0 is the head."""


def live_logs(folder: Path) -> Mapping[str, Pieces]:
    """Return the logs that are in a folder by their datum; one listing, however many there are."""
    found: dict[str, dict[int, int]] = {}
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return found
    for entry in entries:
        name, _, number = entry.name.partition(".log")
        digits = number.removeprefix(".") or "0"
        if digits.isdigit():
            with suppress(FileNotFoundError):
                found.setdefault(name, {})[int(digits)] = entry.stat().st_size
    return found


class Follower:
    """Reads a log that is being written, from its start. Also a context manager; one thread at a time.

    A piece that goes while it is read is read to its end, unless `pause` has closed it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number, self._offset = -1, 0
        self._file: BinaryIO | None = None
        self._rest = b""

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.pause()

    def pause(self) -> None:
        """Close the file until the next reading, which goes on from there."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def is_current(self, pieces: Pieces) -> bool:
        """Say whether all that these pieces have was read."""
        return max(pieces, default=-1) == self._number and pieces.get(self._number) == self._offset

    def read(self) -> bytes:
        """Return what came since the last call, whole lines only; empty when nothing is new or no log is there."""
        # The next piece is looked for first: once it exists, the present one grows no more.
        later = [number for number in live_logs(self._path.parent).get(self._path.stem, {}) if number > self._number]
        data = self._rest + self._more()
        if later:
            self.pause()
            self._number, self._offset = min(later), 0
            data += self._more()
        stop = data.rfind(b"\n") + 1
        self._rest = data[stop:]
        return data[:stop]

    def _more(self) -> bytes:
        if self._file is None:
            path = self._path.with_name(f"{self._path.name}.{self._number}") if self._number else self._path
            try:
                self._file = path.open("rb")
            except FileNotFoundError:
                # Not there yet, or dropped since: the call after this one finds a later piece.
                return b""
            self._file.seek(self._offset)
        data = self._file.read()
        self._offset += len(data)
        return data
