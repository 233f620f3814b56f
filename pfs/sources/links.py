"""Symbolic links as data: what a put does with them, and which may be kept because no restore can be led astray."""

from __future__ import annotations

from itertools import takewhile
from typing import Literal, TypeAlias

Symlinks: TypeAlias = Literal["follow", "keep", "skip", "refuse"]
"""follow: what they lead to is put; keep: they are put as links; skip: they are passed over; refuse: an error."""


def stays_inside(text: bytes, depth: int) -> bool:
    """Say whether a link with this target, ``depth`` directories below a top, leads to below that top for certain."""
    steps = [step for step in text.split(b"/") if step not in {b"", b"."}]
    up = len(list(takewhile(lambda step: step == b"..", steps)))
    # Only dots in front can be judged by their number: behind a name they start from wherever that may link to.
    return bool(text) and text[:1] != b"/" and b"\0" not in text and up <= depth and b".." not in steps[up:]
