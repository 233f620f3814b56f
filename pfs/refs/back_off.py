"""Waiting after a lost round of compare-and-swap, so that writers that met part."""

from __future__ import annotations

import time


def back_off(round_no: int, *, far: bool = False) -> None:
    """Wait a random moment that grows with the rounds lost, at most 0.1 s; the first retry is at once.

    ``far``: a round takes some requests, so moments are 25 times as long, and there is one before the first retry too.
    """
    if not far and not round_no:
        return
    import random  # hashes and mathematics that a round that is won needs not

    if far:
        time.sleep(random.uniform(0, min(2.0, 0.05 * 2**round_no)))
    else:
        time.sleep(random.uniform(0, min(0.1, 0.002 * 2**round_no)))
