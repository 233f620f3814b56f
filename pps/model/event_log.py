"""The events of a job as they are kept with it: bounded, and such that `pps.model.state.replay` takes them again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import msgspec

from pfs.structs import ready
from pps.model import state

_FIRST, _LAST = 200, 800
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
    """The first 200 and the last 800 events, each with its time in ns since the start of the job."""

    def __init__(self) -> None:
        self._first: list[tuple[int, str]] = []
        self._last: deque[tuple[int, str]] = deque(maxlen=_LAST)

    def add(self, since_ns: int, event: state.Event) -> None:
        """Take an event."""
        line = (since_ns, encode_event(event))
        if len(self._first) < _FIRST:
            self._first.append(line)
        else:
            self._last.append(line)

    def lines(self) -> tuple[tuple[int, str], ...]:
        """Return what is kept, in order."""
        return (*self._first, *self._last)


def encode_event(event: state.Event) -> str:
    """Return an event as ``Name {fields}``."""
    return f"{type(event).__name__} {msgspec.json.encode(event).decode()}"


def decode_events(lines: Iterable[tuple[int, str]]) -> Iterator[state.Event]:
    """Yield the events of kept lines; all of a job's, if it had at most 1,000."""
    for _, line in lines:
        name, _, fields = line.partition(" ")
        yield msgspec.json.decode(fields, type=ready(_TYPES[name]))
