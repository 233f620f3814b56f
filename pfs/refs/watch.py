"""Noticing that refs moved, without a daemon: a token of the refs objects, compared again and again."""

from __future__ import annotations

import time

from pfs.backends.base import Backend
from pfs.model import ChangeToken
from pfs.refs.swap import PREFIX

POLL_S = 0.02
SETTLED_NS = 100_000_000
"""What was not changed for this long has the etag that was read, whatever the grain of the file system's clock."""


def change_token(backend: Backend, clock_ns: int, *, last: ChangeToken | None = None) -> ChangeToken:
    """Return the present state of all refs objects; bodies are read only where ``last`` does not settle them."""
    known = {} if last is None else {name: (modified, size, etag) for name, modified, size, etag in last.refs}
    found = []
    for entry in backend.entries(PREFIX):
        modified, size, etag = known.get(entry.name, (0, 0, ""))
        settled = clock_ns - entry.modified_ns > SETTLED_NS
        if (modified, size) != (entry.modified_ns, entry.size) or not settled:
            state = backend.read(entry.name)
            etag = "" if state is None else state[1]
        found.append((entry.name, entry.modified_ns, entry.size, etag))
    return ChangeToken(tuple(found))


def moved(old: ChangeToken, new: ChangeToken) -> bool:
    """Say whether any refs object is another than it was."""
    return [(ref[0], ref[3]) for ref in old.refs] != [(ref[0], ref[3]) for ref in new.refs]


def sleep_until(end: float) -> bool:
    """Sleep one poll, not beyond ``end`` (monotonic seconds); False when that is past."""
    left = end - time.monotonic()
    if left <= 0:
        return False
    time.sleep(min(POLL_S, left))
    return True
