"""What `pfs serve` does by itself once an hour: artifacts, retention, what else has had its time, collection.

And once a day, of a store in a bucket that has a rule for it, moving old data to another storage class.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pfs.errors import PfsError
from pfs.upkeep.duty import Duty

if TYPE_CHECKING:
    from pfs.model import ChangeToken
    from pfs.store import Store
    from pps.workflows.expire import Effect

EVERY_S = 3600.0
AT_LEAST_EVERY_S = 24 * 3600.0
"""Time alone makes things expire too, where nothing was changed."""
MIN_AGE_S = 600
"""Younger packs are left alone: nobody waits for their space, and who is writing them need not begin again. In a bucket
it is a day, as with `pfs gc`."""


class Upkeep:
    """Upkeep of one store until ``stop`` is set; what it did or what failed is told in a line."""

    def __init__(
        self,
        store: Store,
        stop: threading.Event,
        *,
        tell: Callable[[str], object],
        every_s: float = EVERY_S,
        min_age_s: int | None = None,
        grace_s: int | None = None,
    ) -> None:
        """``min_age_s``, ``grace_s``: of collection; by default 10 minutes and none, in a bucket a day each."""
        self._store, self._stop, self._tell, self._every_s = store, stop, tell, every_s
        self._min_age_s, self._grace_s = min_age_s, grace_s
        self._seen: ChangeToken | None = None
        self._done_s = 0.0
        self._sweeps_ns: int | None = None
        self._tiered_s: float | None = None
        # Of a local store only one machine has a daemon, which holds a lock.
        self._duty = Duty(store.backend, clock_ns=store.clock_ns) if store.backend.parallel > 1 else None
        self._other: str | None = None

    def run(self) -> None:
        """Do it every hour; the first time after one."""
        while not self._stop.wait(self._every_s):
            self.once()
        if self._duty is not None:
            self._duty.end()

    def once(self) -> None:
        """Do it now if anything changed since it was done, or that was a day ago. A failure ends no daemon.

        In a bucket: if it is no other machine's turn.
        """
        try:
            if self._is_ours() and self._is_due():
                self._expire()
                self._collect()
                self._tier()
                self._seen, self._done_s = self._store.changes(), time.monotonic()
        except _StoppedError:
            return
        except PfsError as error:
            self._tell(f"upkeep: {error}")
        except Exception as error:  # a bug of ours must not end upkeep for good
            self._tell(f"upkeep: internal error: {type(error).__name__}: {error}")

    def _is_ours(self) -> bool:
        other = None if self._duty is None else self._duty.take()
        if other is not None and other != self._other:
            self._tell(f"upkeep: `pfs serve` on {other} does it")
        self._other = other
        return other is None

    def _is_due(self) -> bool:
        from pfs.refs.watch import moved

        if self._sweeps_ns is not None and self._store.clock_ns() >= self._sweeps_ns:
            return True
        late = time.monotonic() - self._done_s >= AT_LEAST_EVERY_S
        return self._seen is None or late or moved(self._seen, self._store.changes())

    def _expire(self) -> None:
        """Let go of artifacts; trouble with it is told, and what a collection frees is freed all the same."""
        from cli.commands.artifact import expiry_line
        from pps.workflows.expire import expire

        try:
            line = expiry_line(self._going(expire(self._store)))
        except PfsError as error:
            line = f"artifacts: {error}"
        if line:
            self._tell(f"upkeep: {line}")

    def _going(self, effects: Iterator[Effect]) -> Iterator[Effect]:
        for effect in effects:
            yield effect
            self._end_when_told()

    def _collect(self) -> None:
        from cli.commands.gc import gc_lines
        from pfs.gc.collect import collect
        from pfs.gc.options import in_seconds
        from pps.scheduling.unread import unread

        local_s = MIN_AGE_S if self._store.backend.parallel == 1 else None
        min_age_s = local_s if self._min_age_s is None else self._min_age_s
        options = in_seconds(self._store.backend, min_age_s=min_age_s, grace_s=self._grace_s)
        report = collect(
            self._store,
            options,
            pause=self._stop.wait,
            alive=self._end_when_told,
            readers=lambda: unread(self._store),
        )
        self._sweeps_ns = report.waits_until_ns
        if not report.did_nothing:
            self._tell(f"upkeep: {'; '.join(gc_lines(report))}")
        if report.damaged:
            self._tell(f"upkeep: damaged packs were left alone: {', '.join(report.damaged)}")

    def _tier(self) -> None:
        """Move what the store's rule says, once a day; a look at everything that is live."""
        if self._store.backend.parallel == 1:
            return
        from pfs.refs.tiering import read_rule

        rule = read_rule(self._store.backend)
        late = self._tiered_s is None or time.monotonic() - self._tiered_s >= AT_LEAST_EVERY_S
        if not rule.on or not late:
            return
        from cli.commands.tier import tier_line
        from pfs.tiers.tier import tier

        done = tier(self._store, rule, alive=self._end_when_told)
        self._tiered_s = time.monotonic()
        if done.packs:
            self._tell(f"upkeep: {tier_line(done)}")

    def _end_when_told(self) -> None:
        if self._stop.is_set():
            raise _StoppedError
        if self._duty is not None:
            self._duty.keep()


class _StoppedError(Exception):
    """The daemon ends: the next collection ends what this one began."""
