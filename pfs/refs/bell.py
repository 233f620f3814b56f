"""A folder in which something happens whenever a process of this machine moves refs of a store that lies elsewhere.

The kernel tells those who wait; what other machines move they find by looking.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_FOLDER: Final = ("run", "bell")


class Bell:
    """The bell of the store in a ``.pfs`` folder; thread-safe."""

    def __init__(self, path: Path) -> None:
        self.folder = path.joinpath(*_FOLDER)

    def ring(self) -> None:
        """Let those know who wait; not being able to is no failure, as they look by themselves."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.folder / "moved", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
            os.close(fd)  # that is told: it was open for writing
