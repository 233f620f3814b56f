"""Progress bars: on a terminal only, on stderr, and only for what takes long enough to be worth a line."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

_DELAY_S = 0.5


class Bar:
    """Implements pfs.files.ingest.Progress; shows a bar once `_DELAY_S` have gone by and stderr is a terminal.

    Called from worker threads. Silent otherwise, at the cost of one clock reading a call.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._lock = threading.Lock()
        self._files = self._size = self._done_files = self._done_size = 0
        self._bar: RichProgress | None = None
        self._started = time.monotonic()
        self._wanted = sys.stderr.isatty()

    def total(self, files: int, size: int) -> None:
        """Say how much there is to do, as far as it is known by now."""
        with self._lock:
            self._files, self._size = files, size

    def advance(self, *, files: int = 0, size: int = 0) -> None:
        """Count files and bytes that are done."""
        if not self._wanted:
            return
        with self._lock:
            self._done_files += files
            self._done_size += size
            self._show()

    def _show(self) -> None:
        if self._bar is None:
            if time.monotonic() - self._started < _DELAY_S:
                return
            self._bar = self._make()
            self._task = self._bar.add_task(self._label, total=self._size or None, files="")
            self._bar.start()
        self._bar.update(
            self._task,
            completed=self._done_size,
            total=self._size or None,
            files=f"{self._done_files:,} files",
        )

    @staticmethod
    def _make() -> RichProgress:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.progress import TransferSpeedColumn as Speed

        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            Speed(),
            TextColumn("{task.fields[files]}", justify="right"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            if self._bar is not None:
                self._bar.stop()
