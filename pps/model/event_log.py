"""The events of a job as they are kept with it: bounded, and such that `pps.model.state.replay` takes them again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import msgspec

from pfs.structs import ready
from pps.model import state

_FIRST, _LAST = 200, 800
_FIRST_BYTES, _LAST_BYTES = 64 << 10, 192 << 10
"""Events tell of each datum of a unit, of which a unit may have thousands."""
_TYPES: dict[str, type[state.Event]] = {
    kind.__name__: kind
    for kind in (
        state.Begun,
        state.Unrunnable,
        state.Planned,
        state.Submitted,
        state.UnitEnded,
        state.UnitLost,
        state.Restarted,
        state.Stopped,
        state.Gathered,
        state.Egressed,
        state.Published,
    )
}


class EventLog:
    """The first 200 and the last 800 events, each with its time in ns since the start of the job; 256 KiB at most.

    Where that is too little, the first 64 KiB and the last 192 KiB of them are kept, and the last one in any case.
    """

    def __init__(self) -> None:
        self._first: list[tuple[int, str]] = []
        self._last: deque[tuple[int, str]] = deque()
        self._first_left, self._last_bytes = _FIRST_BYTES, 0

    def add(self, since_ns: int, event: state.Event) -> None:
        """Take an event."""
        line = (since_ns, encode_event(event))
        if not self._last and len(self._first) < _FIRST and len(line[1]) <= self._first_left:
            self._first.append(line)
            self._first_left -= len(line[1])
            return
        self._last.append(line)
        self._last_bytes += len(line[1])
        while len(self._last) > 1 and (len(self._last) > _LAST or self._last_bytes > _LAST_BYTES):
            self._last_bytes -= len(self._last.popleft()[1])

    def lines(self) -> tuple[tuple[int, str], ...]:
        """Return what is kept, in order."""
        return (*self._first, *self._last)


def encode_event(event: state.Event) -> str:
    """Return an event as ``Name {fields}``."""
    return f"{type(event).__name__} {msgspec.json.encode(event).decode()}"


def decode_events(lines: Iterable[tuple[int, str]]) -> Iterator[state.Event]:
    """Yield the events of kept lines; all of a job's, if it had at most 1,000 in 192 KiB."""
    for _, line in lines:
        name, _, fields = line.partition(" ")
        yield msgspec.json.decode(fields, type=ready(_TYPES[name]))
