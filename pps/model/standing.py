"""How the command of a service or a spout stands, as the controller shows it in ``.pfs/run/standing``."""

from __future__ import annotations

from typing import Literal

import msgspec

StandingState = Literal["starting", "running", "restarting", "crashing"]


class StandingRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A command that runs on. Times in ns.

    ``restarting``: it ended well, ``crashing``: badly, for ``reason``; it is started again at ``again_ns``.
    ``since_ns``: when it came into that state. ``restarts``: how often it was started again. ``job``: what a service
    runs as. ``log_tail``: the end of what it had written when it ended last.
    """

    pipeline: str
    spec_commit: str
    state: StandingState
    since_ns: int
    reason: str = ""
    restarts: int = 0
    again_ns: int | None = None
    address: str = ""
    job: str = ""
    log_tail: str = ""
