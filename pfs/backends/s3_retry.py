"""Doing a call of S3 again: exponential back-off with full jitter, so that clients that failed together part."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from pfs.backends.s3_errors import FAILURES, is_passing

T = TypeVar("T")

FIRST_S: Final = 0.05
LONGEST_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Up to ``tries`` tries of a call, with pauses between; the pauses of 8 tries are 3.2 s on average."""

    tries: int = 8
    pause: Callable[[float], object] = time.sleep

    def call(self, work: Callable[[], T], *, again: Callable[[Exception], bool] = is_passing) -> T:
        """Return what ``work`` does; its last error, or the first that is no use to try ``again`` after, is raised."""
        attempt = 0
        while True:
            try:
                return work()
            except FAILURES as error:
                attempt += 1
                if attempt >= self.tries or not again(error):
                    raise
            self.pause(random.uniform(0, min(LONGEST_S, FIRST_S * 2**attempt)))
