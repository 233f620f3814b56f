"""Doing a call of S3 again: exponential back-off with full jitter, so that clients that failed together part."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from pfs.backends.s3_errors import FAILURES, is_busy, is_passing

T = TypeVar("T")

FIRST_S: Final = 0.05
LONGEST_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Up to ``tries`` tries of a call, with pauses between; the pauses of 8 tries are 6.4 s on average.

    ``busy_tries``: where the server asks for pauses; 43 s on average, as it may take that long to make room for more.
    ``longest_s``: no try begins later than that after the first, as each may hang for as long as it is given.
    """

    tries: int = 8
    busy_tries: int = 12
    longest_s: float = 120.0
    pause: Callable[[float], object] = time.sleep
    now_s: Callable[[], float] = time.monotonic

    def call(self, work: Callable[[], T], *, again: Callable[[Exception], bool] = is_passing) -> T:
        """Return what ``work`` does; its last error, or the first that is no use to try ``again`` after, is raised."""
        attempt, begun_s = 0, self.now_s()
        while True:
            try:
                return work()
            except FAILURES as error:
                attempt += 1
                most = self.busy_tries if is_busy(error) else self.tries
                if attempt >= most or not again(error) or self.now_s() - begun_s >= self.longest_s:
                    raise
            self.pause(random.uniform(0, min(LONGEST_S, FIRST_S * 2**attempt)))
