"""Hiding secret values in what a command writes: each becomes ``***``, also where it is cut between two writes.

A value is looked for as it is, and line by line if it has several; what is shorter than `MIN_BYTES` is not looked for,
as it would be found everywhere. Other spellings of a value (base64, say) are not known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

MIN_BYTES: Final = 6
STARS: Final = b"***"


class Mask:
    """The values to hide; immutable, shared by threads. Never shows them."""

    __slots__ = ("_longest", "_pattern", "_values")

    def __init__(self, values: Iterable[bytes] = ()) -> None:
        parts = {part for value in values for part in (value, value.strip(), *value.splitlines())}
        self._values = sorted((part for part in parts if len(part) >= MIN_BYTES), key=lambda part: (-len(part), part))
        self._pattern = re.compile(b"|".join(map(re.escape, self._values)))
        self._longest = len(self._values[0]) if self._values else 0

    def __bool__(self) -> bool:
        return bool(self._values)

    def all_of(self, data: bytes) -> bytes:
        """Return data without the values."""
        return self._pattern.sub(STARS, data) if self._values else data

    def text(self, text: str) -> str:
        """Return text without the values."""
        return self.all_of(text.encode(errors="surrogateescape")).decode(errors="surrogateescape")

    def split(self, data: bytes) -> tuple[bytes, bytes]:
        """Return what of a stream can go out, without the values, and what is held: it may be the start of one.

        Costs a comparison for each place near the end where a value may begin.
        """
        if not self._values:
            return data, b""
        out: list[bytes] = []
        at = 0
        while True:
            held = self._held_from(data, at)
            match = self._pattern.search(data, at)
            if match is None or match.start() >= held:
                return b"".join([*out, data[at:held]]), data[held:]
            out += [data[at : match.start()], STARS]
            at = match.end()

    def _held_from(self, data: bytes, at: int) -> int:
        """Return the first place from which the rest of data is the start of a value, and not all of it."""
        found = len(data)
        for value in self._values:
            place = max(at, len(data) - len(value) + 1)
            while (place := data.find(value[:1], place, found)) >= 0:
                if value.startswith(data[place:]):
                    found = place
                    break
                place += 1
        return found


class StreamMask:
    """Hides the values of a mask in one stream. One thread at a time."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._held = b""

    def take(self, data: bytes) -> bytes:
        """Return what can go out of what came so far."""
        out, self._held = self._mask.split(self._held + data)
        return out

    @property
    def held(self) -> bytes:
        """What is held now, as it would go out at the end of the stream."""
        return self._mask.all_of(self._held)

    def end(self) -> bytes:
        """Return what is held: the stream is at its end."""
        out, self._held = self.held, b""
        return out
