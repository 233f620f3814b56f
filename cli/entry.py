"""Where a command lives: the tables of the programs are made of this alone."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """Where a command lives, and its one line in the program's help."""

    module: str
    function: str
    help: str
    panel: str
